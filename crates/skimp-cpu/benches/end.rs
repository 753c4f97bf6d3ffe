//! Exact 16-bit convolution and early negative detection on the 13 convolutions of VGG-16 at 224 x 224.
//!
//! Synthetic operands: normal weights, quantized symmetrically per layer to 16 bits; half-normal activations, half of
//! them zero, quantized to 16 unsigned bits by their maximum. Every layer is compared with the plane-by-plane
//! definition at some outputs before it is timed.
//!
//!     cargo bench -p skimp-cpu --bench end
//!     cargo bench -p skimp-cpu --bench end -- --dump DIR conv3_2
//!     python3 crates/skimp-cpu/benches/bit_planes_baseline.py DIR conv3_2
//!
//! With `--dump DIR` the operands and results of the named layers are written as raw little-endian files; the script
//! finds the same end positions with one dense convolution per bit plane, compares them and prints its time.
//! Arguments that are no options select layers by name. `RAYON_NUM_THREADS` sets the number of threads.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::error::Error;
use std::path::{Path, PathBuf};

use skimp_cpu::integer::{ConvProblem, EndPlanes, conv_exact, end_planes};
use skimp_graph::shape::{LayerShape, ShapeSpec};
use skimp_numerics::{EndTest, rng};
use skimp_testkit::{RawTimes, Times};

/// Name, rows and columns, input channels, filters.
const LAYERS: [(&str, usize, usize, usize); 13] = [
    ("conv1_1", 224, 3, 64),
    ("conv1_2", 224, 64, 64),
    ("conv2_1", 112, 64, 128),
    ("conv2_2", 112, 128, 128),
    ("conv3_1", 56, 128, 256),
    ("conv3_2", 56, 256, 256),
    ("conv3_3", 56, 256, 256),
    ("conv4_1", 28, 256, 512),
    ("conv4_2", 28, 512, 512),
    ("conv4_3", 28, 512, 512),
    ("conv5_1", 14, 512, 512),
    ("conv5_2", 14, 512, 512),
    ("conv5_3", 14, 512, 512),
];
const BITS: u32 = 16;
/// Runs per figure; the least time counts, as the machine is shared.
const RUNS: usize = 5;

struct Operands {
    activations: Vec<i32>,
    weights: Vec<i32>,
    bias: Vec<i64>,
}

impl Operands {
    fn new(layer: &str, hw: usize, c: usize, k: usize) -> Self {
        let draw = |what: &str, n: usize| -> Vec<f64> {
            let stream = rng::stream(&format!("{layer}/{what}"));
            (0..n as u64).map(|i| rng::normal(1, stream, i)).collect()
        };
        let activations = draw("activation", c * hw * hw).iter().map(|a| a.max(0.0)).collect::<Vec<_>>();
        let activations = quantize(&activations, f64::from((1 << BITS) - 1));
        let weights = quantize(&draw("weight", k * c * 9), f64::from((1 << (BITS - 1)) - 1));
        // A slightly negative mean, as trained layers have: about 60 % of the sums fall below zero.
        let spread = (c as f64 * 9.0).sqrt() * 5000.0 * 7000.0;
        let bias = draw("bias", k).iter().map(|b| ((b - 1.0) * 0.25 * spread) as i64).collect();
        Self { activations, weights, bias }
    }

    fn problem(&self, shape: LayerShape) -> ConvProblem<'_> {
        ConvProblem {
            activations: &self.activations,
            weights: &self.weights,
            bias: &self.bias,
            residual: None,
            shape,
            weight_bits: BITS,
            activation_bits: BITS,
            activation_signed: false,
            input_offset: 0,
        }
    }
}

fn quantize(values: &[f64], greatest_code: f64) -> Vec<i32> {
    let greatest = values.iter().fold(0.0_f64, |max, v| max.max(v.abs()));
    values.iter().map(|v| (v / greatest * greatest_code).round_ties_even() as i32).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut dump: Option<PathBuf> = None;
    let mut names = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dump" => dump = Some(arguments.next().ok_or("--dump needs a folder")?.into()),
            option if option.starts_with("--") => {}
            name => names.push(name.to_owned()),
        }
    }
    println!("threads: {}, runs: {RUNS}, median wall-clock and processor time of each", rayon::current_num_threads());
    println!(
        "layer        MMAC  exact ms    end ms  ratio  GMAC/s  exact cpu   end cpu  ratio negative  planes used of {BITS}"
    );
    let mut raw = RawTimes::new("end");
    let mut total = ([0.0; 2], [0.0; 2], 0_u64);
    for (name, hw, c, k) in LAYERS {
        if !names.is_empty() && !names.iter().any(|n| n == name) {
            continue;
        }
        let operands = Operands::new(name, hw, c, k);
        let problem = operands.problem(LayerShape::new(ShapeSpec::square(c, hw, hw, k, 3))?);
        let ends = end_planes(&problem, EndTest::Negative)?;
        verify(&problem, &ends)?;
        if let Some(folder) = &dump {
            write(folder, name, [hw, c, k], &operands, &ends)?;
        }
        let exact = time(&mut raw, &format!("{name} exact"), || conv_exact(&problem).map(drop))?;
        let end = time(&mut raw, &format!("{name} end"), || end_planes(&problem, EndTest::Negative).map(drop))?;
        for i in 0..2 {
            total.0[i] += exact[i];
            total.1[i] += end[i];
        }
        total.2 += problem.shape.dense_macs();
        let n = ends.planes.len() as f64;
        let negative = ends.sums.iter().filter(|&&sum| sum < 0).count() as f64 / n;
        let planes = ends.planes.iter().map(|&planes| f64::from(planes)).sum::<f64>() / n;
        row(name, problem.shape.dense_macs(), exact, end, &format!("{negative:8.3} {planes:7.2}"));
    }
    row("total", total.2, total.0, total.1, "");
    println!("raw times: {}", raw.save()?.display());
    Ok(())
}

fn row(name: &str, macs: u64, exact: [f64; 2], end: [f64; 2], rest: &str) {
    let (mmacs, rate) = (macs as f64 * 1e-6, macs as f64 * 1e-9 / exact[0]);
    let [ms, cpu_ms] = [0, 1].map(|i| [exact[i] * 1e3, end[i] * 1e3, end[i] / exact[i]]);
    println!(
        "{name:8} {mmacs:8.1} {:9.2} {:9.2} {:6.2} {rate:7.1} {:10.2} {:9.2} {:6.2} {rest}",
        ms[0], ms[1], ms[2], cpu_ms[0], cpu_ms[1], cpu_ms[2]
    );
}

/// Median wall-clock and processor seconds of some runs.
fn time<E: Error>(raw: &mut RawTimes, what: &str, mut work: impl FnMut() -> Result<(), E>) -> Result<[f64; 2], E> {
    let mut outcome = Ok(());
    let times = Times::of(RUNS, || {
        let done = work();
        if outcome.is_ok() {
            outcome = done;
        }
    });
    raw.add(what, &times);
    outcome.map(|()| [times.median(), times.processor_median()])
}

/// Compares 1,000 outputs, drawn at random, with the definition.
fn verify(problem: &ConvProblem, ends: &EndPlanes) -> Result<(), Box<dyn Error>> {
    let sums = conv_exact(problem)?;
    if sums != ends.sums {
        return Err("conv_exact and end_planes differ in their sums".into());
    }
    let (hw, depth) = (problem.shape.h(), problem.shape.inputs_per_output());
    for i in 0..1000 {
        let output = rng::below(2, 0, i, sums.len() as u64) as usize;
        let (k, p, q) = (output / (hw * hw), output / hw % hw, output % hw);
        let mut operands = Vec::with_capacity(depth);
        for c in 0..problem.shape.c() {
            for (r, s) in (0..9).map(|tap| (tap / 3, tap % 3)) {
                let inside = (1..=hw).contains(&(p + r)) && (1..=hw).contains(&(q + s));
                operands.push(if inside { problem.activations[(c * hw + p + r - 1) * hw + q + s - 1] } else { 0 });
            }
        }
        let weights = &problem.weights[k * depth..(k + 1) * depth];
        let trace = skimp_numerics::end_planes(&operands, weights, problem.bias[k], BITS, EndTest::Negative)?;
        if (trace.exact_sum(), trace.planes) != (sums[output], u32::from(ends.planes[output])) {
            return Err(format!("output {output} differs from the definition").into());
        }
    }
    Ok(())
}

/// Little-endian files `NAME.FIELD.TYPE` and the extents in `NAME.txt`.
fn write(folder: &Path, name: &str, extents: [usize; 3], operands: &Operands, ends: &EndPlanes) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let save = |field: &str, bytes: Vec<u8>| std::fs::write(folder.join(format!("{name}.{field}")), bytes);
    save("activations.i32", operands.activations.iter().flat_map(|v| v.to_le_bytes()).collect())?;
    save("weights.i32", operands.weights.iter().flat_map(|v| v.to_le_bytes()).collect())?;
    save("bias.i64", operands.bias.iter().flat_map(|v| v.to_le_bytes()).collect())?;
    save("sums.i64", ends.sums.iter().flat_map(|v| v.to_le_bytes()).collect())?;
    save("planes.u8", ends.planes.clone())?;
    save("txt", extents.map(|extent| extent.to_string()).join(" ").into_bytes())
}
