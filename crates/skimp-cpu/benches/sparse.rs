//! Weights that are zero: kernels that leave them out beside those that multiply them, layer by layer and in networks.
//!
//!     cargo bench -p skimp-cpu --bench sparse [-- FILE.onnx ...]
//!
//! Both kernels of the same build run in alternation on one thread; ratios are of medians, with the interval that holds
//! them with 95 % (bootstrap over the pairs). Layers lie between two poolings of one pixel, which leave the values as they
//! are, in blocks of channels: conversions there and back are part of the time. Networks are built-in ones with random
//! weights of which the smallest 90 % of each layer are zero, and the files that are named. Results are compared before
//! anything is timed.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use rayon::ThreadPoolBuilder;
use skimp_cpu::{CpuExecutor, Zeros};
use skimp_graph::networks::{self, Weights};
use skimp_graph::rewrite::Editor;
use skimp_graph::testing::random_tensor;
use skimp_graph::{
    AutoPad, DType, Dim, Executor, Gemm, Graph, GraphBuilder, GraphError, Op, Tensor, Window, onnx, ops, shape,
};
use skimp_numerics::rng::{Draws, stream};

/// Pairs of runs.
const PAIRS: usize = 25;

/// Samples of the bootstrap.
const SAMPLES: usize = 500;

/// Shares of weights that are not zero.
const DENSITIES: [f64; 7] = [0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05];

/// A layer.
#[derive(Clone, Copy, Debug)]
enum Layer {
    /// Channels, filters, extent, kernel, stride.
    Conv(usize, usize, usize, usize, usize),
    /// Inputs, outputs.
    Dense(usize, usize),
}

const LAYERS: [(&str, Layer); 14] = [
    ("resnet20 16x32x32", Layer::Conv(16, 16, 32, 3, 1)),
    ("resnet20 32x16x16", Layer::Conv(32, 32, 16, 3, 1)),
    ("resnet20 64x8x8", Layer::Conv(64, 64, 8, 3, 1)),
    ("resnet20 stride 2", Layer::Conv(32, 64, 16, 3, 2)),
    ("vgg16 conv2_2", Layer::Conv(128, 128, 112, 3, 1)),
    ("vgg16 conv3_2", Layer::Conv(256, 256, 56, 3, 1)),
    ("vgg16 conv4_2", Layer::Conv(512, 512, 28, 3, 1)),
    ("vgg16 conv5_2", Layer::Conv(512, 512, 14, 3, 1)),
    ("1x1 64->256 56x56", Layer::Conv(64, 256, 56, 1, 1)),
    ("1x1 512->128 28x28", Layer::Conv(512, 128, 28, 1, 1)),
    ("1x1 64->256 13x13", Layer::Conv(64, 256, 13, 1, 1)),
    ("dense 512->512", Layer::Dense(512, 512)),
    ("dense 4096->4096", Layer::Dense(4096, 4096)),
    ("dense 25088->4096", Layer::Dense(25088, 4096)),
];

impl Layer {
    fn macs(self) -> f64 {
        match self {
            Self::Conv(c, k, extent, kernel, stride) => (c * k * (extent / stride * kernel).pow(2)) as f64,
            Self::Dense(inputs, outputs) => (inputs * outputs) as f64,
        }
    }

    fn graph(self, density: f64) -> Result<Graph, GraphError> {
        let mut builder = GraphBuilder::new("layer");
        let window = |kernel: usize, stride: usize| Window {
            kernel: vec![kernel; 2],
            strides: vec![stride; 2],
            dilations: vec![1; 2],
            pads_begin: vec![kernel / 2; 2],
            pads_end: vec![kernel / 2; 2],
            auto_pad: AutoPad::NotSet,
            ceil_mode: false,
        };
        let pool = || Op::MaxPool(ops::MaxPool { window: window(1, 1) });
        let y = match self {
            Self::Conv(c, k, extent, kernel, stride) => {
                let x = builder.input("x", DType::F32, [1, c, extent, extent].map(Dim::Fixed).to_vec());
                let weight = builder.constant("weight", thin(vec![k, c, kernel, kernel], density));
                let before = builder.node("before", pool(), &[x]);
                let conv = Op::Conv(ops::Conv { window: window(kernel, stride), groups: 1 });
                let y = builder.node("conv", conv, &[before, weight]);
                builder.node("after", pool(), &[y])
            }
            Self::Dense(inputs, outputs) => {
                let x = builder.input("x", DType::F32, [1, inputs].map(Dim::Fixed).to_vec());
                let weight = builder.constant("weight", thin(vec![outputs, inputs], density));
                let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
                builder.node("dense", Op::Gemm(gemm), &[x, weight])
            }
        };
        builder.output(y);
        builder.build()
    }
}

/// Random weights of which this share is left.
fn thin(shape: Vec<usize>, density: f64) -> Tensor {
    let mut draws = Draws::new(1, stream("bench/sparse"));
    let n = shape.iter().product();
    let mut weight = || if draws.chance(density) { draws.uniform(-1.0, 1.0) } else { 0.0 };
    Tensor::from_f32(shape, (0..n).map(|_| weight()).collect())
}

/// The network without the smallest weights of each layer.
fn pruned(graph: &Graph, density: f64) -> Result<Graph, GraphError> {
    let mut editor = Editor::new(graph);
    for node in graph.nodes().iter().filter(|node| matches!(node.op, Op::Conv(_) | Op::Gemm(_))) {
        let Some((id, weight)) = node.inputs[1].and_then(|id| Some((id, graph.constant(id)?))) else { continue };
        let values = weight.as_f32().unwrap_or_default();
        let mut sizes: Vec<f32> = values.iter().map(|w| w.abs()).collect();
        sizes.sort_unstable_by(f32::total_cmp);
        let limit = sizes[(sizes.len() as f64 * (1.0 - density)) as usize];
        let kept = values.iter().map(|&w| if w.abs() < limit { 0.0 } else { w }).collect();
        editor.set_constant(id, Tensor::from_f32(weight.shape().to_vec(), kept))?;
    }
    editor.finish()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Time of the first over that of the second, with its interval, and the median of the first in milliseconds.
fn ratio(
    a: &CpuExecutor,
    b: &CpuExecutor,
    inputs: &[Tensor],
    repeats: usize,
) -> Result<(f64, [f64; 2], f64), GraphError> {
    let time = |executor: &CpuExecutor| -> Result<f64, GraphError> {
        let start = Instant::now();
        for _ in 0..repeats {
            executor.run(inputs)?;
        }
        Ok(1e3 * start.elapsed().as_secs_f64() / repeats as f64)
    };
    let mut pairs = Vec::with_capacity(PAIRS);
    for pair in 0..PAIRS {
        let first = if pair % 2 == 0 { time(a)? } else { f64::NAN };
        let second = time(b)?;
        pairs.push([if first.is_nan() { time(a)? } else { first }, second]);
    }
    let of = |pairs: &[[f64; 2]]| {
        median(pairs.iter().map(|pair| pair[0]).collect()) / median(pairs.iter().map(|pair| pair[1]).collect())
    };
    let mut draws = Draws::new(0, stream("bench/bootstrap"));
    let mut ratios: Vec<f64> =
        (0..SAMPLES).map(|_| of(&pairs.iter().map(|_| pairs[draws.below(PAIRS)]).collect::<Vec<_>>())).collect();
    ratios.sort_by(f64::total_cmp);
    let interval = [ratios[SAMPLES / 40], ratios[SAMPLES - 1 - SAMPLES / 40]];
    Ok((of(&pairs), interval, median(pairs.iter().map(|pair| pair[0]).collect())))
}

/// Fails where the two do not agree.
fn compare(name: &str, a: &CpuExecutor, b: &CpuExecutor, inputs: &[Tensor]) -> Result<(), Box<dyn Error>> {
    let (a, b) = (a.run(inputs)?, b.run(inputs)?);
    let (a, b) = (a[0].as_f32().unwrap_or_default(), b[0].as_f32().unwrap_or_default());
    let scale = a.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let off = a.iter().zip(b).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs() / scale));
    if off.is_nan() || off > 1e-4 { Err(format!("{name}: results differ by {off}").into()) } else { Ok(()) }
}

fn layers() -> Result<(), Box<dyn Error>> {
    println!("layer, 1 thread: dense ms | break-even % zeros (rule from) | dense / sparse at 90 % zeros (95 %) | 95 %");
    for (name, layer) in LAYERS {
        let (mut points, mut at_90, mut at_95, mut ms, mut rule) = (Vec::new(), (0.0, [0.0; 2]), 0.0, 0.0, 1.0);
        for density in DENSITIES {
            let graph = layer.graph(density)?;
            let shapes = shape::bind(&graph, 1, None)?;
            let x: Vec<Tensor> = shapes.iter().map(|shape| random_tensor(1, "x", shape.clone(), 0.0, 1.0)).collect();
            let dense = CpuExecutor::with_zeros(&graph, Zeros::Multiplied)?;
            let sparse = CpuExecutor::with_zeros(&graph, Zeros::LeftOut)?;
            compare(name, &dense, &sparse, &x)?;
            if !CpuExecutor::new(&graph)?.sparse_layers(&shapes)?.is_empty() && rule > 0.99 {
                rule = 1.0 - density;
            }
            let repeats = (2e7 / layer.macs()).clamp(1.0, 200.0) as usize;
            let (found, interval, dense_ms) = ratio(&dense, &sparse, &x, repeats)?;
            points.push((1.0 - density, found));
            ms = dense_ms;
            match density {
                d if d < 0.07 => at_95 = found,
                d if d < 0.15 => at_90 = (found, interval),
                _ => {}
            }
        }
        // Between the last density at which the dense kernel was faster and the next.
        let even = points.windows(2).find(|pair| pair[0].1 < 1.0 && pair[1].1 >= 1.0).map(|pair| {
            let [(a, low), (b, high)] = [pair[0], pair[1]];
            a + (b - a) * (1.0 - low) / (high - low)
        });
        let even = even.map_or("below 40".to_owned(), |even| format!("{:.0}", 100.0 * even));
        let (found, [low, high]) = at_90;
        println!(
            "{name:20} {ms:9.3} | {even:>8} ({:.0}) | {found:5.2} ({low:.2} to {high:.2}) | {at_95:5.2}",
            100.0 * rule
        );
    }
    Ok(())
}

fn network(name: &str, graph: &Graph) -> Result<(), Box<dyn Error>> {
    let shapes = shape::bind(graph, 1, None)?;
    let x: Vec<Tensor> = shapes.iter().map(|shape| random_tensor(2, "x", shape.clone(), 0.0, 1.0)).collect();
    let dense = CpuExecutor::with_zeros(graph, Zeros::Multiplied)?;
    let chosen = CpuExecutor::new(graph)?;
    compare(name, &dense, &chosen, &x)?;
    let (found, [low, high], ms) = ratio(&dense, &chosen, &x, 1)?;
    let sparse = chosen.sparse_layers(&shapes)?;
    println!("\n{name}: {ms:.2} ms with zeros multiplied, {found:.3} ({low:.3} to {high:.3}) times as long as chosen");
    for node in graph.nodes() {
        let Some(weight) = node.inputs.get(1).copied().flatten().and_then(|id| graph.constant(id)) else { continue };
        if !matches!(node.op, Op::Conv(_) | Op::Gemm(_)) {
            continue;
        }
        let values = weight.as_f32().unwrap_or_default();
        let zeros = values.iter().filter(|w| w.abs() <= 0.0).count() as f64 / values.len().max(1) as f64;
        let kernel = if sparse.contains(&node.name) { "left out" } else { "multiplied" };
        println!("  {:32} {:18} {:5.1} % zeros {kernel}", node.name, format!("{:?}", weight.shape()), 100.0 * zeros);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let run = || -> Result<(), Box<dyn Error>> {
        if arguments.is_empty() {
            layers()?;
            for name in ["resnet20", "vgg16"] {
                network(name, &pruned(&networks::build(name, Weights::Seeded(1))?, 0.1)?)?;
            }
        }
        arguments.iter().try_for_each(|file| network(file, &onnx::import(Path::new(file))?))
    };
    let pool = ThreadPoolBuilder::new().num_threads(1).build()?;
    Ok(pool.install(|| run().map_err(|error| error.to_string()))?)
}
