//! The f32 executor against the reference interpreter.

mod operators;
mod random;
mod sparse;
mod special;
mod trained;
mod winograd;

use rayon::ThreadPoolBuilder;
use skimp_cpu::CpuExecutor;
use skimp_graph::reference::Reference;
use skimp_graph::{Executor, Graph, Tensor, ValueId};

/// How far the executor may be from the reference, relative to the largest magnitude of the tensor.
///
/// The reference sums in f64 and rounds once; the executor sums n products in f32, one rounding each, which for the
/// random signs of real sums costs about sqrt(n) · 2^-24 of the sum of magnitudes: 4e-6 at n = 4,608 (VGG-16's
/// deepest sum). A network passes that on from layer to layer, and folded batch norms round the weights once more.
const RELATIVE: f32 = 1e-4;

/// The largest difference relative to the largest magnitude; NaN must meet NaN, infinity the same infinity.
fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()));
    let (Some(a), Some(b)) = (a.as_f32(), b.as_f32()) else {
        return if a == b { 0.0 } else { f32::INFINITY };
    };
    let scale = b.iter().filter(|x| x.is_finite()).fold(1.0_f32, |most, x| most.max(x.abs()));
    a.iter()
        .zip(b)
        .map(|(a, b)| match (a.is_finite(), b.is_finite()) {
            (true, true) => (a - b).abs() / scale,
            _ if a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan() => 0.0,
            _ => f32::INFINITY,
        })
        .fold(0.0, f32::max)
}

fn bits(tensors: &[Tensor]) -> Vec<Vec<u32>> {
    tensors.iter().map(|t| t.as_f32().unwrap_or_default().iter().map(|x| x.to_bits()).collect()).collect()
}

/// One image of a batch.
fn image(batch: &Tensor, idx: usize) -> Tensor {
    let n = batch.shape()[0];
    let len = batch.len() / n;
    let shape = std::iter::once(1).chain(batch.shape()[1..].iter().copied()).collect();
    Tensor::from_f32(shape, batch.as_f32().expect("f32")[idx * len..][..len].to_vec())
}

fn with_threads<T: Send>(n_threads: usize, f: impl FnOnce() -> T + Send) -> T {
    ThreadPoolBuilder::new().num_threads(n_threads).build().expect("a thread pool").install(f)
}

/// Compares all values and the outputs with the reference, and the outputs among thread counts; returns what is wrong.
fn check(graph: &Graph, inputs: &[Tensor]) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = graph.name();
    let mut expected: Vec<(ValueId, Tensor)> = Vec::new();
    let outputs = Reference::new(graph)
        .run_observed(inputs, &mut |id, tensor| expected.push((id, tensor.clone())))
        .expect("the reference runs");
    let executor = CpuExecutor::new(graph).expect("constants evaluate");

    let mut observed: Vec<(ValueId, Tensor)> = Vec::new();
    executor.run_observed(inputs, &mut |id, tensor| observed.push((id, tensor.clone()))).expect("runs observed");
    if observed.iter().map(|(id, _)| id).ne(expected.iter().map(|(id, _)| id)) {
        wrong.push(format!("{name}: other values are observed"));
    }
    for ((id, a), (_, b)) in observed.iter().zip(&expected) {
        let off = difference(a, b);
        if off > RELATIVE || off.is_nan() {
            wrong.push(format!("{name}: observed value \"{}\" is off by {off}", graph.value(*id).name));
        }
    }
    let single = with_threads(1, || executor.run(inputs)).expect("runs");
    for (idx, (a, b)) in single.iter().zip(&outputs).enumerate() {
        let off = difference(a, b);
        if off > RELATIVE || off.is_nan() {
            wrong.push(format!("{name}: output {idx} is off by {off}"));
        }
    }
    for n_threads in [2, 3] {
        let other = with_threads(n_threads, || executor.run(inputs)).expect("runs");
        if bits(&other) != bits(&single) {
            wrong.push(format!("{name}: {n_threads} threads change bits"));
        }
    }
    wrong
}
