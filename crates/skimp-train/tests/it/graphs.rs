//! Random graphs of every operator that can be trained: the engine against the reference operators.
//!
//! `SKIMP_GRAPHS=FIRST..END` runs those seeds instead of the usual ones.

use rayon::{ThreadPool, ThreadPoolBuilder};
use skimp_graph::testing::{ElementTypes, RandomGraph, random_graph_of, random_tensor};
use skimp_graph::{DType, Node, Op, ops};
use skimp_train::reference::{DropoutKey, Training, has_gradient, loss};
use skimp_train::{LossKind, LossSum, LossTerm, Model, ModelOptions, Target, Targets, TrainError, policy};

use crate::model::STEP;
use crate::oracle::{self, Array, Rounding, Trace};

/// How far a value may be off, relative to the largest one in the graph: up to twelve layers, each with sums in f32.
const OF_VALUES: f64 = 2e-5;

/// How far a gradient may be off, relative to the largest one in the graph: there and back.
const OF_GRADIENTS: f64 = 2e-4;

/// How much more than by rounding every value of the reference once to f32: the engine rounds every sum.
const OF_ROUNDING: f64 = 64.0;

/// A graph in which rounding moves a value or a gradient by more than this share of the largest is not compared.
const ILL_CONDITIONED: f64 = 1e-4;

/// Inexact operands within this share of the largest from a jump of a gradient are not compared.
const NEAR: f64 = 1e-4;

/// Why a graph is not compared, or what is wrong with it.
enum Outcome {
    Compared,
    /// With what [`Model::new`] says, or the tests cannot tell apart.
    LeftOut,
    Wrong(String),
}

/// Values, outputs and gradients of a training step.
#[derive(Debug, PartialEq)]
struct Step {
    loss: u64,
    outputs: Vec<Vec<f32>>,
    gradients: Vec<(String, Vec<f32>)>,
}

fn target(name: &str, len: usize) -> Vec<f32> {
    random_tensor(1, name, vec![len], 0.0, 1.0).into_f32().expect("f32")
}

/// One step with a squared error at every output.
fn step(random: &RandomGraph, names: &[String], pool: &ThreadPool) -> Result<Option<Step>, String> {
    let images = random.inputs[0].as_f32().expect("f32");
    let batch = random.inputs[0].shape()[0];
    let options = ModelOptions { batch, keep: names.to_vec(), ..ModelOptions::default() };
    // What cannot be trained is another test's matter.
    let Ok(mut model) = Model::new(&random.graph, &options) else { return Ok(None) };
    let mut policy = policy::create("fp32").expect("registered");
    let targets: Vec<Vec<f32>> =
        random.expected.iter().zip(names).map(|(output, name)| target(name, output.len())).collect();
    let tensors: Vec<(&str, &[f32])> =
        names.iter().map(String::as_str).zip(targets.iter().map(Vec::as_slice)).collect();
    let term = |name: &String| LossTerm {
        kind: LossKind::MeanSquared,
        tensor: Some(name.clone()),
        factor: 1.0,
        target: Target::Tensor(name.clone()),
    };
    let losses = LossSum { terms: names.iter().map(term).collect() };
    pool.install(|| {
        match model.forward(images, batch, STEP, policy.as_mut()) {
            Ok(()) => {}
            Err(TrainError::OneValue { .. }) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        }
        let outputs: Option<Vec<Vec<f32>>> = names.iter().map(|name| model.tensor(name)).collect();
        let outputs = outputs.ok_or("an output is not kept")?;
        let targets = Targets { labels: &[], tensors: &tensors };
        let report = model.backward(&losses, &targets, policy.as_mut()).map_err(|error| error.to_string())?;
        let loss = report.total.to_bits();
        let gradients = model.params().iter().map(|p| (p.name().to_owned(), p.graph_grad().to_vec())).collect();
        Ok(Some(Step { loss, outputs, gradients }))
    })
}

/// The reference on the same step.
fn reference(random: &RandomGraph, names: &[String], rounding: Rounding) -> Trace {
    let training = Training { dropout: Some(DropoutKey { seed: 7, step: 3 }), ..Training::default() };
    let (images, batch) = (random.inputs[0].as_f32().expect("f32"), random.inputs[0].shape()[0]);
    oracle::run_rounded(&random.graph, images, batch, &training, rounding, &|name, value: &Array| {
        names.iter().any(|output| output == name).then(|| {
            let target: Vec<f64> = target(name, value.data.len()).into_iter().map(f64::from).collect();
            loss::mean_squared(&value.data, &target).gradient
        })
    })
}

fn largest<'a>(lists: impl Iterator<Item = &'a Vec<f64>>) -> f64 {
    lists.flatten().fold(1e-3, |most: f64, x| if x.is_nan() { f64::NAN } else { most.max(x.abs()) })
}

fn distance(a: impl Iterator<Item = f64>, b: &[f64]) -> f64 {
    // A NaN is far from everything.
    let off = |(a, b): (f64, &f64)| if (a - b).is_nan() { f64::INFINITY } else { (a - b).abs() };
    a.zip(b).map(off).fold(0.0, f64::max)
}

/// Whether a gradient jumps near an operand that is not exact, so that rounding decides.
fn is_near_a_jump(random: &RandomGraph, trace: &Trace) -> bool {
    let graph = &random.graph;
    graph.nodes().iter().any(|node| {
        let value = |idx: usize| node.inputs.get(idx).copied().flatten().map(|id| &trace.values[&graph.value(id).name]);
        let Some(x) = value(0) else { return false };
        let (size, exact) = (x.data.iter().fold(1e-3_f64, |most, x| most.max(x.abs())), is_exact(x));
        let near = |at: f64| x.data.iter().any(|x| (x - at).abs() <= NEAR * size);
        match &node.op {
            _ if exact => false,
            Op::Relu | Op::LeakyRelu(_) | Op::PRelu => near(0.0),
            Op::Clip(ops::Clip { min, max }) => [min, max].into_iter().flatten().any(|&bound| near(f64::from(bound))),
            Op::HardSigmoid(ops::HardSigmoid { alpha, beta }) => {
                let (alpha, beta) = (f64::from(*alpha), f64::from(*beta));
                near(-beta / alpha) || near((1.0 - beta) / alpha)
            }
            Op::HardSwish => near(-3.0) || near(3.0),
            Op::Sign => near(0.0) || near(1.0) || near(-1.0),
            Op::MaxPool(_) | Op::GlobalMaxPool => {
                let plane: usize = x.shape.iter().skip(2).product();
                x.data.chunks(plane.max(1)).any(|plane| {
                    let mut sorted = plane.to_vec();
                    sorted.sort_by(f64::total_cmp);
                    // Zeros behind a ReLU are zeros on every engine.
                    sorted.windows(2).any(|two| two[1] - two[0] <= NEAR * size && (two[0] != 0.0 || two[1] != 0.0))
                })
            }
            _ => false,
        }
    })
}

/// Whether all elements are small multiples of a power of two, which no sum has rounded.
fn is_exact(x: &Array) -> bool {
    x.data.iter().all(|x| x.abs() <= 4096.0 && (x * 256.0).fract() == 0.0)
}

fn check(seed: u64, pools: &[ThreadPool; 2]) -> Outcome {
    let random = random_graph_of(seed, ElementTypes::F32, has_gradient);
    let graph = &random.graph;
    let has_floats = graph.values().iter().all(|value| value.constant.as_ref().is_none_or(|t| t.dtype() == DType::F32));
    // For the engine, an image alone is one of a batch, whose axis no Squeeze takes away.
    let is_squeezed = |node: &Node| matches!(&node.op, Op::Squeeze(squeeze) if squeeze.axes.is_empty());
    if random.inputs[0].shape()[0] == 1 && graph.nodes().iter().any(is_squeezed) {
        return Outcome::LeftOut;
    }
    if graph.inputs().len() != 1 || !has_floats || random.expected.iter().any(|output| output.is_empty()) {
        return Outcome::LeftOut;
    }
    let names: Vec<String> = graph.outputs().iter().map(|&id| graph.value(id).name.clone()).collect();
    let wrong = |cause: String| {
        let nodes: Vec<String> =
            graph.nodes().iter().map(|n| format!("{:?} -> {:?}: {:?}", n.inputs, n.outputs, n.op)).collect();
        Outcome::Wrong(format!("seed {seed}: {cause}\n{}", nodes.join("\n")))
    };
    let found = match step(&random, &names, &pools[0]) {
        Ok(Some(found)) => found,
        Ok(None) => return Outcome::LeftOut,
        Err(cause) => return wrong(cause),
    };
    // Bit for bit, NaN and all.
    let again = step(&random, &names, &pools[1]);
    if format!("{again:?}") != format!("{:?}", Ok::<_, String>(Some(&found))) {
        return wrong(format!("one and two threads: {found:?} and {again:?}"));
    }
    let trace = reference(&random, &names, Rounding::None);
    let rounded = reference(&random, &names, Rounding::F32);
    let size = largest(trace.values.values().map(|value| &value.data));
    let steepest = largest(trace.gradients.values());
    if !(size < 1e6 && steepest < 1e6) || is_near_a_jump(&random, &trace) {
        return Outcome::LeftOut;
    }
    for (name, output) in names.iter().zip(&found.outputs) {
        let expected = &trace.values[name].data;
        let by_rounding = distance(rounded.values[name].data.iter().copied(), expected);
        if by_rounding > ILL_CONDITIONED * size {
            return Outcome::LeftOut;
        }
        let off = distance(output.iter().map(|&x| f64::from(x)), expected);
        let is_near = off <= OF_VALUES * size + OF_ROUNDING * by_rounding;
        if output.len() != expected.len() || !is_near {
            return wrong(format!("output {name} is off by {off:e} of {size:e}: {output:?} for {expected:?}"));
        }
    }
    for (name, gradient) in &found.gradients {
        let zeros = vec![0.0; gradient.len()];
        let of = |trace: &Trace| trace.gradients.get(name).cloned().unwrap_or_else(|| zeros.clone());
        let expected = of(&trace);
        let by_rounding = distance(of(&rounded).into_iter(), &expected);
        if by_rounding > ILL_CONDITIONED * steepest {
            return Outcome::LeftOut;
        }
        let off = distance(gradient.iter().map(|&x| f64::from(x)), &expected);
        let is_near = off <= OF_GRADIENTS * steepest + OF_ROUNDING * by_rounding;
        if gradient.len() != expected.len() || !is_near {
            let cause = format!("the gradient of {name} is off by {off:e} of {steepest:e}");
            return wrong(format!("{cause}: {gradient:?} for {expected:?}"));
        }
    }
    Outcome::Compared
}

#[test]
fn training_equals_its_reference_on_any_graph() {
    let range = std::env::var("SKIMP_GRAPHS").ok().map(|range| {
        let (first, end) = range.split_once("..").expect("SKIMP_GRAPHS=FIRST..END");
        first.parse::<u64>().expect("a number")..end.parse::<u64>().expect("a number")
    });
    let is_usual = range.is_none();
    let pools = [1, 2].map(|n| ThreadPoolBuilder::new().num_threads(n).build().expect("threads"));
    let (mut n_compared, mut n_left_out) = (0, 0);
    let mut failures = Vec::new();
    for seed in range.unwrap_or(0..1500) {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(seed, &pools))) {
            Ok(Outcome::Compared) => n_compared += 1,
            Ok(Outcome::LeftOut) => n_left_out += 1,
            Ok(Outcome::Wrong(cause)) => failures.push(cause),
            Err(_) => failures.push(format!("seed {seed}: panic")),
        }
        if failures.len() >= 20 {
            break;
        }
    }
    println!("{n_compared} graphs trained as by the reference, {n_left_out} left out, {} wrong", failures.len());
    assert!(failures.is_empty(), "{} wrong\n{}", failures.len(), failures.join("\n"));
    assert!(!is_usual || n_compared > 150, "only {n_compared} graphs were compared");
}
