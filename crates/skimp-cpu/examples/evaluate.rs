//! Runs an ONNX network on the CPU executor (one in QDQ form on the 8-bit executor) and prints how fast.
//!
//! ```text
//! evaluate MODEL.onnx [--packed] [--threads N] [--batch N] [--size HxW] [--order O] [--repeat N] [--input X.f32 [--output Y.f32]]
//! evaluate MODEL.onnx --cifar10 test_batch.bin --scale S --mean R,G,B --std R,G,B [--limit N]
//! ```
//!
//! With `--packed` layers on bits run packed; `--order` is `free` (the default), `exact`, `two` or `four`. The first form runs synthetic images, or raw little-endian f32 of the network's input shape, and prints the fastest
//! and the median time. With `--serve` it runs once for every line on stdin and prints the seconds, which is how
//! `benches/onnxruntime_compare.py` alternates it with onnxruntime. The second form prints the share of records of a
//! CIFAR-10 file that the network gets right, `(pixel * scale - mean) / std` as input.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use skimp_cpu::binary::BinaryExecutor;
use skimp_cpu::integer::IntegerExecutor;
use skimp_cpu::{CpuExecutor, HugePages, Order};
use skimp_graph::integer::{IntegerEngine, is_quantized, lower};
use skimp_graph::spiking::{Temporal, TimeLoop};
use skimp_graph::{Executor, Graph, GraphError, Tensor, binary, onnx, shape};

#[global_allocator]
static ALLOCATOR: HugePages = HugePages;

/// A record of a CIFAR-10 file: one label, 32 x 32 pixels of red, then green, then blue.
const RECORD: usize = 1 + 3 * 32 * 32;

#[derive(Debug)]
struct Arguments {
    model: PathBuf,
    threads: usize,
    batch: usize,
    size: Option<(usize, usize)>,
    repeat: usize,
    input: Option<PathBuf>,
    output: Option<PathBuf>,
    serve: bool,
    is_packed: bool,
    order: Order,
    cifar10: Option<PathBuf>,
    scale: f64,
    mean: Vec<f64>,
    std: Vec<f64>,
    limit: usize,
}

/// The executor of a network: the f32 one, or the one on packed bits; of each time step where it spikes.
fn executor(graph: &Graph, is_packed: bool, order: Order) -> Result<Box<dyn Executor>> {
    let one_step = |step: &Graph| -> Result<Box<dyn Executor>, GraphError> {
        Ok(if is_packed {
            Box::new(BinaryExecutor::new(binary::lower(step)?)?)
        } else {
            Box::new(CpuExecutor::with_order(step, order)?)
        })
    };
    Ok(match Temporal::of(graph)? {
        Some(temporal) => Box::new(TimeLoop::new(graph, temporal, one_step)?),
        None => one_step(graph)?,
    })
}

fn main() -> Result<()> {
    let arguments = parse(std::env::args().skip(1))?;
    rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global()?;
    let graph = onnx::import(&arguments.model)?;
    let executor = executor(&graph, arguments.is_packed, arguments.order)?;
    if let Some(path) = &arguments.cifar10 {
        return accuracy(&*executor, path, &arguments);
    }
    let shapes = shape::bind(&graph, arguments.batch, arguments.size)?;
    let inputs: Vec<Tensor> = match &arguments.input {
        Some(path) => {
            let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
            let elements = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            let shape = shapes.first().context("the network has no input")?.clone();
            let n_bytes = shape.iter().product::<usize>() * 4;
            if bytes.len() != n_bytes {
                bail!("{}: expected {n_bytes} bytes for {shape:?}, found {}", path.display(), bytes.len());
            }
            vec![Tensor::from_f32(shape, elements)]
        }
        None => shapes.into_iter().map(synthetic).collect(),
    };
    // A network in QDQ form is computed on codes.
    let quantized = if is_quantized(&graph) { Some(IntegerExecutor::new(&lower(&graph)?)?) } else { None };
    let run = || match &quantized {
        Some(quantized) => quantized.run(&inputs),
        None => executor.run(&inputs),
    };
    let outputs = run()?;
    if let Some(path) = &arguments.output {
        let elements = outputs.first().and_then(Tensor::as_f32).context("the first output is not f32")?;
        std::fs::write(path, elements.iter().flat_map(|y| y.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    let time = || -> Result<f64> {
        let start = Instant::now();
        run()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let mut stdout = std::io::stdout().lock();
    if arguments.serve {
        for line in std::io::stdin().lock().lines() {
            line?;
            writeln!(stdout, "{}", time()?)?;
            stdout.flush()?;
        }
        return Ok(());
    }
    let mut times = (0..arguments.repeat.max(1)).map(|_| time()).collect::<Result<Vec<f64>>>()?;
    times.sort_by(f64::total_cmp);
    let (best, median, n) = (times[0], times[times.len() / 2], arguments.batch as f64);
    writeln!(stdout, "fastest {:.2} ms, {:.1} images/s", best * 1e3, n / best)?;
    writeln!(stdout, "median  {:.2} ms, {:.1} images/s", median * 1e3, n / median)?;
    Ok(())
}

/// A fixed pattern in [0, 1).
fn synthetic(shape: Vec<usize>) -> Tensor {
    let n = shape.iter().product();
    Tensor::from_f32(shape, (0..n).map(|i: usize| (i.wrapping_mul(2_654_435_761) >> 7 & 0xFF) as f32 / 256.0).collect())
}

fn accuracy(executor: &dyn Executor, path: &PathBuf, arguments: &Arguments) -> Result<()> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let records: Vec<&[u8]> = bytes.chunks_exact(RECORD).take(arguments.limit).collect();
    let mut n_right = 0;
    let start = Instant::now();
    for records in records.chunks(arguments.batch) {
        let pixels = records.iter().flat_map(|record| {
            record[1..].iter().enumerate().map(|(i, &pixel)| {
                let channel = i / 1024;
                ((f64::from(pixel) * arguments.scale - arguments.mean[channel]) / arguments.std[channel]) as f32
            })
        });
        let outputs = executor.run(&[Tensor::from_f32(vec![records.len(), 3, 32, 32], pixels.collect())])?;
        let logits = outputs.first().and_then(Tensor::as_f32).context("the first output is not f32")?;
        for (record, logits) in records.iter().zip(logits.chunks_exact(10)) {
            let best = (0..10).reduce(|best, i| if logits[i] > logits[best] { i } else { best });
            n_right += usize::from(best == Some(record[0].into()));
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let n = records.len();
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{n_right} of {n} right, {:.2} s, {:.0} images/s with preparation", seconds, n as f64 / seconds)?;
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Arguments> {
    let model = arguments.next().context("usage: evaluate MODEL.onnx [--threads N] [--batch N] ...")?.into();
    let mut parsed = Arguments {
        model,
        threads: 0,
        batch: 1,
        size: None,
        repeat: 10,
        input: None,
        output: None,
        serve: false,
        is_packed: false,
        order: Order::Free,
        cifar10: None,
        scale: 1.0 / 255.0,
        mean: vec![0.0; 3],
        std: vec![1.0; 3],
        limit: usize::MAX,
    };
    let list = |value: &str| value.split(',').map(|x| Ok(x.parse()?)).collect::<Result<Vec<f64>>>();
    while let Some(flag) = arguments.next() {
        match flag.as_str() {
            "--serve" => parsed.serve = true,
            "--packed" => parsed.is_packed = true,
            _ => {}
        }
        if matches!(flag.as_str(), "--serve" | "--packed") {
            continue;
        }
        let value = arguments.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--threads" => parsed.threads = value.parse()?,
            "--batch" => parsed.batch = value.parse()?,
            "--repeat" => parsed.repeat = value.parse()?,
            "--limit" => parsed.limit = value.parse()?,
            "--order" => {
                parsed.order = match value.as_str() {
                    "free" => Order::Free,
                    "exact" => Order::Exact,
                    "two" => Order::Two,
                    "four" => Order::Four,
                    other => bail!("--order takes free, exact, two or four, found {other}"),
                }
            }
            "--input" => parsed.input = Some(value.into()),
            "--output" => parsed.output = Some(value.into()),
            "--cifar10" => parsed.cifar10 = Some(value.into()),
            "--scale" => parsed.scale = value.parse()?,
            "--mean" => parsed.mean = list(&value)?,
            "--std" => parsed.std = list(&value)?,
            "--size" => {
                let (height, width) = value.split_once('x').context("--size takes HxW")?;
                parsed.size = Some((height.parse()?, width.parse()?));
            }
            _ => bail!("unknown flag {flag}"),
        }
    }
    if parsed.batch == 0 || parsed.mean.len() != 3 || parsed.std.len() != 3 {
        bail!("--batch needs at least 1, --mean and --std three values");
    }
    Ok(parsed)
}
