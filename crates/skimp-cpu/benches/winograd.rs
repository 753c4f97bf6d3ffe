//! 3x3 convolutions in fewer multiplications beside direct ones, and which the rule for [`Order::Free`] chooses.
//!
//!     cargo bench -p skimp-cpu --bench winograd
//!
//! Each row is four convolutions of one image, on one thread in alternation; a figure is the median over the rounds of how
//! many times as fast as the direct kernel, in processor time. Results are compared before anything is timed.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::error::Error;

use rayon::ThreadPoolBuilder;
use skimp_cpu::{CpuExecutor, Order};
use skimp_graph::ops;
use skimp_graph::testing::random_tensor;
use skimp_graph::{AutoPad, DType, Dim, Executor, Graph, GraphBuilder, GraphError, Op, Tensor, Window};
use skimp_testkit::Times;

/// Rounds, of which the median counts.
const ROUNDS: usize = 9;
/// Convolutions of a network.
const N_CONVOLUTIONS: usize = 4;
/// Channels, filters, rows and columns: of VGG, ResNet, SqueezeNet, DenseNet and VoVNet, and small ones.
const SHAPES: [[usize; 3]; 34] = [
    [64, 64, 224],
    [64, 128, 112],
    [128, 128, 112],
    [128, 256, 56],
    [256, 256, 56],
    [256, 512, 28],
    [512, 512, 28],
    [512, 512, 14],
    [64, 64, 56],
    [128, 128, 28],
    [256, 256, 14],
    [512, 512, 7],
    [128, 32, 56],
    [128, 32, 28],
    [128, 32, 14],
    [128, 32, 7],
    [16, 64, 54],
    [32, 128, 27],
    [48, 192, 13],
    [64, 256, 13],
    [96, 208, 14],
    [160, 320, 7],
    [16, 16, 32],
    [32, 32, 16],
    [64, 64, 8],
    [16, 32, 112],
    [8, 8, 32],
    [8, 16, 56],
    [24, 8, 28],
    [16, 8, 28],
    [64, 64, 4],
    [64, 64, 2],
    [128, 256, 5],
    [256, 256, 1],
];

fn network([channels, filters, extent]: [usize; 3]) -> Result<Graph, GraphError> {
    let mut builder = GraphBuilder::new("convolutions");
    let x = builder.input("x", DType::F32, [1, channels, extent, extent].map(Dim::Fixed).to_vec());
    for idx in 0..N_CONVOLUTIONS {
        let weight = random_tensor(idx as u64, "weight", vec![filters, channels, 3, 3], 0.0, 1.0);
        let weight = builder.constant(format!("weight{idx}"), weight);
        let window = Window {
            kernel: vec![3; 2],
            strides: vec![1; 2],
            dilations: vec![1; 2],
            pads_begin: vec![1; 2],
            pads_end: vec![1; 2],
            auto_pad: AutoPad::NotSet,
            ceil_mode: false,
        };
        let y = builder.node(format!("conv{idx}"), Op::Conv(ops::Conv { window, groups: 1 }), &[x, weight]);
        let y = builder.node(format!("pool{idx}"), Op::GlobalMaxPool, &[y]);
        builder.output(y);
    }
    builder.build()
}

/// The largest difference relative to the largest magnitude.
fn difference(a: &[Tensor], b: &[Tensor]) -> f32 {
    let all =
        |tensors: &[Tensor]| tensors.iter().flat_map(|x| x.as_f32().unwrap_or_default().to_vec()).collect::<Vec<_>>();
    let (a, b) = (all(a), all(b));
    let scale = b.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    a.iter().zip(&b).fold(0.0, |most, (a, b)| most.max((a - b).abs() / scale))
}

fn measure() -> Result<(), Box<dyn Error>> {
    println!("{:>16} {:>12} {:>8} {:>8} {:>8} {:>10}", "layer", "direct (ms)", "2x2", "4x4", "rule", "error");
    for shape in SHAPES {
        let graph = network(shape)?;
        let [channels, filters, extent] = shape;
        let x = [random_tensor(1, "x", vec![1, channels, extent, extent], 0.0, 1.0)];
        let orders = [Order::Exact, Order::Two, Order::Four, Order::Free];
        let executors = orders.map(|order| CpuExecutor::with_order(&graph, order));
        let executors = executors.into_iter().collect::<Result<Vec<_>, _>>()?;
        let expected = executors[0].run(&x)?;
        let mut worst = 0.0_f32;
        for executor in &executors {
            let off = difference(&executor.run(&x)?, &expected);
            worst = worst.max(off);
            if off.is_nan() || off > 1e-4 {
                return Err(format!("{shape:?}: results differ by {off}").into());
            }
        }
        let macs = (N_CONVOLUTIONS * channels * filters * extent * extent * 9) as f64;
        let repeats = (3e9 / macs).clamp(1.0, 5000.0) as usize;
        let mut times = vec![Vec::new(); executors.len()];
        for _ in 0..ROUNDS {
            for (executor, times) in executors.iter().zip(&mut times) {
                times.push(Times::of(1, || (0..repeats).for_each(|_| drop(executor.run(&x)))).processor_median());
            }
        }
        let ratio = |idx: usize| {
            let mut ratios: Vec<f64> = times[0].iter().zip(&times[idx]).map(|(direct, other)| direct / other).collect();
            ratios.sort_by(f64::total_cmp);
            ratios[ratios.len() / 2]
        };
        let mut direct = times[0].clone();
        direct.sort_by(f64::total_cmp);
        let milliseconds = direct[direct.len() / 2] / (repeats * N_CONVOLUTIONS) as f64 * 1e3;
        let name = format!("{channels}-{filters}, {extent}");
        let (two, four, rule) = (ratio(1), ratio(2), ratio(3));
        println!("{name:>16} {milliseconds:12.3} {two:8.2} {four:8.2} {rule:8.2} {worst:10.1e}");
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    ThreadPoolBuilder::new().num_threads(1).build()?.install(|| measure().map_err(|error| error.to_string()))?;
    Ok(())
}
