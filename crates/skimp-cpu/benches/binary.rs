//! Binary networks on packed bits beside the same networks in f32.
//!
//!     cargo bench -p skimp-cpu --bench binary [-- FILE.onnx ...]
//!
//! Both engines of the same build run in alternation on one thread, batch 1; ratios are of medians. VGG-small is the built-in network
//! with the signs of random weights and random means in its batch norms, with activations ±1 and 1/0; `dense` is the network that it
//! was made of, with its rectifiers. Answers are compared before anything is timed.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use rayon::ThreadPoolBuilder;
use skimp_cpu::CpuExecutor;
use skimp_cpu::binary::BinaryExecutor;
use skimp_graph::binary::lower;
use skimp_graph::networks::{self, Weights};
use skimp_graph::rewrite::Editor;
use skimp_graph::testing::{binarized, random_tensor};
use skimp_graph::{Executor as _, Graph, Op, Tensor, onnx, shape};

/// Pairs of runs.
const PAIRS: usize = 41;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Milliseconds of a call.
fn time(run: &dyn Fn() -> Result<Vec<Tensor>, skimp_graph::GraphError>) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    std::hint::black_box(run()?);
    Ok(1e3 * start.elapsed().as_secs_f64())
}

/// The network with random means in its batch norms: with means of 0 half of the sums lie on their thresholds, where f32, which
/// takes batch norms into weights, rounds to either side.
fn off_ties(graph: &Graph) -> Result<Graph, skimp_graph::GraphError> {
    let mut editor = Editor::new(graph);
    for node in graph.nodes().iter().filter(|node| matches!(node.op, Op::BatchNormalization(_))) {
        let Some((id, mean)) = node.inputs[3].and_then(|id| Some((id, graph.constant(id)?))) else { continue };
        editor.set_constant(id, random_tensor(2, &node.name, mean.shape().to_vec(), 0.0, 10.0))?;
    }
    editor.finish()
}

fn beside(name: &str, graph: &Graph, dense: Option<&Graph>) -> Result<(), Box<dyn Error>> {
    let shapes = shape::bind(graph, 1, None)?;
    let x: Vec<Tensor> = shapes.iter().map(|shape| random_tensor(1, "x", shape.clone(), 0.0, 1.0)).collect();
    let floats = CpuExecutor::new(graph)?;
    let dense = dense.map(CpuExecutor::new).transpose()?;
    let lowered = lower(graph)?;
    let n_weights: usize = lowered.layers().map(|(_, layer)| layer.weight.len()).sum();
    let bits = BinaryExecutor::new(lowered)?;
    let (expected, found) = (floats.run(&x)?, bits.run(&x)?);
    let (expected, found) = (expected[0].as_f32().unwrap_or_default(), found[0].as_f32().unwrap_or_default());
    let scale = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let off = expected.iter().zip(found).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs() / scale));
    if off.is_nan() || off > 1e-4 {
        return Err(format!("{name}: results differ by {off} of the largest").into());
    }
    let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        a.push(time(&|| floats.run(&x))?);
        b.push(time(&|| bits.run(&x))?);
        if let Some(dense) = &dense {
            c.push(time(&|| dense.run(&x))?);
        }
    }
    let (a, b) = (median(a), median(b));
    print!("{name:32} {n_weights:>9} weights of one bit: {b:7.3} ms, f32 {a:7.2} ms, {:6.1}x", a / b);
    if c.is_empty() {
        println!()
    } else {
        println!("; dense {0:7.2} ms, {1:6.1}x", median(c.clone()), median(c) / b)
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let run = || -> Result<(), Box<dyn Error>> {
        let dense = networks::build("vgg-small", Weights::Seeded(1))?;
        for (name, spikes) in [("VGG-small, activations ±1", false), ("VGG-small, activations 1/0", true)] {
            beside(name, &off_ties(&binarized(&dense, spikes)?)?, Some(&dense))?;
        }
        files.iter().try_for_each(|file| beside(file, &onnx::import(Path::new(file))?, None))
    };
    let pool = ThreadPoolBuilder::new().num_threads(1).build()?;
    Ok(pool.install(|| run().map_err(|error| error.to_string()))?)
}
