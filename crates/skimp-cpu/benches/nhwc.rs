//! Training kernels, layer by layer: forward pass, input gradient and weight gradient, batch 64.
//!
//!     cargo bench -p skimp-cpu --bench nhwc -- [--threads N] [--only TEXT] [--arithmetic f32|bf16|chunked] [--sparse]
//!
//! Figures are GFLOP/s (two operations for each multiply-accumulate, padding included) of the median run (on one
//! thread, of its processor time: the machine may be shared); raw times go to `target/bench/nhwc.csv`. `--sparse` compares the two kernels of the input gradient, multiplying and skipping zero
//! errors, in alternation: the time of the first over that of the second. `benches/pytorch_conv.py` measures beside PyTorch; for that, `--serve` times one layer and
//! pass for each line it reads.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::error::Error;
use std::io::BufRead;

use rayon::ThreadPoolBuilder;
use skimp_cpu::nhwc::{
    Arithmetic, ChunkedSum, ConvShape, Workspace, Zeros, conv_forward, conv_input_grad, conv_input_grad_with,
    conv_weight_grad, skips_zeros,
};
use skimp_testkit::{RawTimes, Times};

/// Images in a batch.
const BATCH: usize = 64;

/// A layer: its name, input extent, channels, kernel, stride and padding.
type Layer = (&'static str, usize, [usize; 2], usize, usize, usize);

const LAYERS: [Layer; 20] = [
    ("resnet20/conv1", 32, [3, 16], 3, 1, 1),
    ("resnet20/16", 32, [16, 16], 3, 1, 1),
    ("resnet20/16-32", 32, [16, 32], 3, 2, 1),
    ("resnet20/short", 32, [16, 32], 1, 2, 0),
    ("resnet20/32", 16, [32, 32], 3, 1, 1),
    ("resnet20/32-64", 16, [32, 64], 3, 2, 1),
    ("resnet20/64", 8, [64, 64], 3, 1, 1),
    ("vgg-small/conv1", 32, [3, 128], 3, 1, 1),
    ("vgg-small/conv2", 32, [128, 128], 3, 1, 1),
    ("vgg-small/conv3", 16, [128, 256], 3, 1, 1),
    ("vgg-small/conv4", 16, [256, 256], 3, 1, 1),
    ("vgg-small/conv5", 8, [256, 512], 3, 1, 1),
    ("vgg-small/conv6", 8, [512, 512], 3, 1, 1),
    ("vgg-small/fc1", 1, [8192, 1024], 1, 1, 0),
    ("4conv/conv1", 32, [3, 32], 3, 1, 1),
    ("4conv/conv2", 32, [32, 32], 3, 1, 1),
    ("4conv/conv3", 16, [32, 64], 3, 1, 1),
    ("4conv/conv4", 16, [64, 64], 3, 1, 1),
    ("4conv/fc1", 1, [4096, 512], 1, 1, 0),
    ("alexnet/fc7", 1, [4096, 4096], 1, 1, 0),
];

const PASSES: [&str; 3] = ["forward", "dgrad", "wgrad"];

/// Operands and results of a layer.
struct Operands {
    shape: ConvShape,
    x: Vec<f32>,
    w: Vec<f32>,
    dy: Vec<f32>,
    out: Vec<f32>,
}

impl Operands {
    fn new(&(_, extent, channels, kernel, stride, pad): &Layer) -> Self {
        let shape = ConvShape::square(BATCH, [extent; 2], channels, kernel, stride, pad);
        let mut state = 1_u64;
        let mut noise = |len: usize| -> Vec<f32> {
            (0..len)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
                })
                .collect()
        };
        let (x, w, dy) = (noise(shape.x_len()), noise(shape.weight_len()), noise(shape.y_len()));
        let out = vec![0.0; shape.x_len().max(shape.y_len()).max(shape.weight_len())];
        Self { shape, x, w, dy, out }
    }

    fn run(&mut self, pass: usize, arithmetic: Arithmetic, workspace: &mut Workspace) {
        let Self { shape, x, w, dy, out } = self;
        match pass {
            0 => conv_forward(shape, x, w, None, &mut out[..shape.y_len()], arithmetic, workspace),
            1 => conv_input_grad(shape, dy, w, &mut out[..shape.x_len()], arithmetic, workspace),
            _ => conv_weight_grad(shape, x, dy, &mut out[..shape.weight_len()], arithmetic, workspace),
        }
    }

    /// Some runs.
    fn time(&mut self, pass: usize, arithmetic: Arithmetic, workspace: &mut Workspace, n_runs: usize) -> Times {
        Times::of(n_runs, || self.run(pass, arithmetic, workspace))
    }
}

/// The median run, in seconds; on one thread the median processor time, to which other programs on the same cores do not
/// add, where runs are long enough for the system to count it.
fn seconds(times: &Times) -> f64 {
    let processor = times.processor_median();
    if rayon::current_num_threads() == 1 && processor > 4e-3 { processor } else { times.median() }
}

fn table(only: &str, arithmetic: Arithmetic) -> std::io::Result<()> {
    let mut raw = RawTimes::new("nhwc");
    println!("{:18} {:>10} {:>10} {:>10}  GFLOP/s", "layer", PASSES[0], PASSES[1], PASSES[2]);
    let mut workspace = Workspace::new();
    for layer in LAYERS.iter().filter(|layer| layer.0.contains(only)) {
        let mut operands = Operands::new(layer);
        let flops = 2.0 * operands.shape.macs() as f64;
        let rates = [0, 1, 2].map(|pass| {
            operands.time(pass, arithmetic, &mut workspace, 1);
            let n_runs = (2e10 / flops).clamp(5.0, 60.0) as usize;
            let times = operands.time(pass, arithmetic, &mut workspace, n_runs);
            raw.add(&format!("{} {}", layer.0, PASSES[pass]), &times);
            flops / seconds(&times) / 1e9
        });
        println!("{:18} {:10.1} {:10.1} {:10.1}", layer.0, rates[0], rates[1], rates[2]);
    }
    println!("raw times: {}", raw.save()?.display());
    Ok(())
}

/// Densities of the errors at which skipping them is compared.
const DENSITIES: [f32; 8] = [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5];

/// The gain of skipping zero errors, at random positions.
fn sparse(only: &str) -> Result<(), String> {
    let header: Vec<String> = DENSITIES.iter().map(|density| format!("{density:>6.2}")).collect();
    println!("{:18} {}  speed-up by density; * where skipping is chosen", "input gradient", header.join("  "));
    let mut workspace = Workspace::new();
    for layer in LAYERS.iter().filter(|layer| layer.0.contains(only)) {
        let mut operands = Operands::new(layer);
        let dense = operands.dy.clone();
        let mut line = format!("{:18}", layer.0);
        for density in DENSITIES {
            // The noise of the errors' own low bits decides which of them stay.
            let keeps = |x: f32| (x.to_bits() >> 3 & 0xFFF) as f32 / 4096.0 < density;
            operands.dy = dense.iter().map(|&x| if keeps(x) { x } else { 0.0 }).collect();
            let mut clocks = [Times::default(), Times::default()];
            let mut results = Vec::new();
            for _ in 0..(1e10 / operands.shape.macs() as f64).clamp(3.0, 30.0) as usize {
                for (clock, zeros) in clocks.iter_mut().zip([Zeros::Multiply, Zeros::Skip]) {
                    let Operands { shape, w, dy, out, .. } = &mut operands;
                    let dx = &mut out[..shape.x_len()];
                    let how = (Arithmetic::F32, zeros);
                    clock.add(|| conv_input_grad_with(shape, dy, w, dx, how, &mut workspace));
                    results.push(dx.iter().fold(0_u64, |hash, x| hash.rotate_left(7) ^ u64::from(x.to_bits())));
                }
            }
            if results.iter().any(|result| *result != results[0]) {
                return Err(format!("{}: the kernels disagree", layer.0));
            }
            let mark = if skips_zeros(&operands.shape, &operands.dy, Arithmetic::F32) { '*' } else { ' ' };
            line += &format!(" {:6.2}{mark}", seconds(&clocks[0]) / seconds(&clocks[1]));
        }
        println!("{line}");
    }
    Ok(())
}

/// Answers each line `LAYER PASS` with the seconds of the median of three runs.
fn serve(arithmetic: Arithmetic) -> Result<(), Box<dyn Error>> {
    let mut workspace = Workspace::new();
    let mut current: Option<(String, Operands)> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (name, pass) = line.split_once(' ').ok_or("expected a layer and a pass")?;
        let pass = PASSES.iter().position(|known| *known == pass).ok_or("unknown pass")?;
        let layer = LAYERS.iter().find(|layer| layer.0 == name).ok_or("unknown layer")?;
        let (_, operands) = match &mut current {
            Some(known) if known.0 == name => known,
            stale => stale.insert((name.to_owned(), Operands::new(layer))),
        };
        println!("{}", seconds(&operands.time(pass, arithmetic, &mut workspace, 3)));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| arguments.iter().position(|arg| arg == name).and_then(|at| arguments.get(at + 1));
    let arithmetic = match value("--arithmetic").map(String::as_str) {
        None | Some("f32") => Arithmetic::F32,
        Some("bf16") => Arithmetic::Bf16,
        Some("chunked") => Arithmetic::Chunked(ChunkedSum::FP16_169),
        Some(other) => return Err(format!("unknown arithmetic {other:?}, expected f32, bf16 or chunked").into()),
    };
    let threads = value("--threads").map_or(Ok(1), |n| n.parse())?;
    let only = value("--only").cloned().unwrap_or_default();
    let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
    if arguments.iter().any(|arg| arg == "--serve") {
        return pool.install(|| serve(arithmetic).map_err(|error| error.to_string())).map_err(Into::into);
    }
    if arguments.iter().any(|arg| arg == "--sparse") {
        return pool.install(|| sparse(&only)).map_err(Into::into);
    }
    pool.install(|| table(&only, arithmetic)).map_err(Into::into)
}
