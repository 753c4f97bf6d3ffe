//! NIR files in and out.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;
use skimp_graph::ops::{Neuron, Reset, ResetTime};
use skimp_graph::reference::Reference;
use skimp_graph::spiking::{Join, Temporal, TimeLoop};
use skimp_graph::{DType, Dim, Executor, Graph, GraphBuilder, GraphError, Op, Tensor, Window, ops};
use skimp_nir::{Reading, read, write};

const READING: Reading =
    Reading { dt: 1e-4, reset: Reset::Zero, reset_time: ResetTime::SameStep, is_strict: true, steps: 30, join: None };

fn conv_snn() -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(&include_bytes!("../data/conv_snn.nir.gz")[..]).read_to_end(&mut bytes).expect("a case that works");
    bytes
}

fn engine(graph: &Graph) -> Result<Box<dyn Executor>, GraphError> {
    Ok(Box::new(Reference::new(graph)))
}

fn indices(text: &str) -> Vec<usize> {
    text.split_whitespace().map(|index| index.parse().expect("a case that works")).collect()
}

/// Input, hidden and output spikes of each step.
fn expected() -> Vec<[Vec<usize>; 3]> {
    let lines = include_str!("../data/conv_snn.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            <[Vec<usize>; 3]>::try_from(line.split(';').map(indices).collect::<Vec<_>>()).expect("a case that works")
        })
        .collect()
}

/// What the network spikes on the inputs of the file, as in [`expected`].
fn spikes(graph: &Graph) -> Vec<[Vec<usize>; 3]> {
    let expected = expected();
    let mut x = vec![0.0; 16 * expected.len()];
    for (step, [ones, ..]) in expected.iter().enumerate() {
        ones.iter().for_each(|&one| x[16 * step + one] = 1.0);
    }
    let x = Tensor::from_f32(vec![expected.len(), 1, 1, 4, 4], x);
    let temporal = Temporal::of(graph).expect("a case that works").expect("a case that works");
    let mut found = Vec::new();
    let ones = |tensor: &Tensor| -> Vec<usize> {
        tensor
            .as_f32()
            .expect("a case that works")
            .iter()
            .enumerate()
            .filter(|(_, x)| **x > 0.0)
            .map(|(idx, _)| idx)
            .collect()
    };
    let run = TimeLoop::watched(graph, temporal, engine).expect("a case that works");
    run.for_each_step(&[x], &mut |step| {
        found.push([expected[step.step][0].clone(), ones(&step.spikes[0]), ones(&step.spikes[1])]);
        Ok(())
    })
    .expect("a case that works");
    found
}

/// A file of snntorch: convolution, neurons, average pool, dense layer, neurons, spike for spike.
#[test]
fn a_network_of_snntorch() {
    let graph = read(conv_snn(), "conv_snn.nir", &READING).unwrap();
    let temporal = Temporal::of(&graph).unwrap().unwrap();
    assert_eq!((temporal.steps, temporal.join), (30, Join::Sum));
    assert_eq!(spikes(&graph), expected());
    // Another step or reset is another network.
    for other in [Reading { dt: 5e-5, ..READING }, Reading { reset: Reset::Subtract, ..READING }] {
        assert_ne!(spikes(&read(conv_snn(), "conv_snn.nir", &other).unwrap()), expected());
    }
}

/// What is written is read again as the same network.
#[test]
fn out_and_in_again() {
    let graph = read(conv_snn(), "conv_snn.nir", &READING).unwrap();
    for dt in [1e-4, 0.5] {
        let written = write(&graph, dt).unwrap();
        assert_eq!(written.lost, [format!("30 time steps of {dt} s")]);
        let again = read(written.bytes, "again.nir", &Reading { dt, ..READING }).unwrap();
        assert_eq!(spikes(&again), expected(), "dt {dt}");
    }
}

fn image(channels: usize) -> Vec<Dim> {
    vec![Dim::Free("N".to_owned()), Dim::Fixed(channels), Dim::Fixed(4), Dim::Fixed(4)]
}

/// A residual network with neurons of several kinds, and thresholds of each channel.
fn several() -> Graph {
    let mut builder = GraphBuilder::new("several");
    let x = builder.input("x", DType::F32, image(2));
    let numbers = |n: usize| (0..n).map(|i| (i * 7 % 11) as f32 / 8.0 - 0.5).collect::<Vec<f32>>();
    let weight = builder.constant("w", Tensor::from_f32(vec![2, 2, 3, 3], numbers(36)));
    let conv = Op::Conv(ops::Conv { window: Window::padded(&[3, 3], &[1, 1]), groups: 1 });
    let first = builder.node("conv/1", conv, &[x, weight]);
    let neuron = Neuron { is_strict: true, reset: Reset::Zero, ..Neuron::default() };
    let thresholds = builder.constant("thresholds", Tensor::from_f32(vec![2, 1, 1], vec![0.75, 1.25]));
    let first = builder.node("if", Op::Neuron(neuron), &[first, thresholds]);
    let sum = builder.node("sum", Op::Add, &[first, x]);
    let current = Neuron { leak: 0.75, current_leak: 0.5, gain: 0.25, ..neuron };
    let second = builder.node("cuba", Op::Neuron(current), &[sum]);
    let scale = builder.constant("scale", Tensor::from_f32(Vec::new(), vec![1.5]));
    let second = builder.node("scaled", Op::Mul, &[second, scale]);
    let pooled = builder.node("pool", Op::GlobalAveragePool, &[second]);
    let flat = builder.node("flat", Op::Flatten(ops::Flatten { axis: 1 }), &[pooled]);
    let dense = builder.constant("dense.w", Tensor::from_f32(vec![2, 3], numbers(6)));
    let y = builder.node("dense", Op::MatMul, &[flat, dense]);
    let leaky = Neuron { leak: 0.5, rest: 0.125, threshold: 0.25, reset_value: 0.0625, ..neuron };
    let y = builder.node("lif", Op::Neuron(leaky), &[y]);
    builder.output(y);
    builder.build().expect("a case that works")
}

#[test]
fn sums_scales_and_neurons_of_all_kinds() {
    let temporal = Temporal { join: Join::All, ..Temporal::new(12).unwrap() };
    let graph = temporal.on(several());
    let written = write(&graph, 1e-3).unwrap();
    let reading = Reading { dt: 1e-3, steps: 12, join: Some(Join::All), ..READING };
    let again = read(written.bytes, "several.nir", &reading).unwrap();
    let x = Tensor::from_f32(vec![2, 2, 4, 4], (0..64).map(|i| (i * 5 % 13) as f32 / 16.0).collect());
    let run = |graph: &Graph| TimeLoop::new(graph, temporal, engine).unwrap().run(std::slice::from_ref(&x)).unwrap();
    let (expected, found) = (run(&graph), run(&again));
    assert_eq!(found, expected);
    let n_spikes: f32 = expected[0].as_f32().unwrap().iter().sum();
    assert!(n_spikes > 5.0 && n_spikes < 72.0, "{n_spikes} of 72");
}

/// What has no form, and what the file does not say.
#[test]
fn what_nir_cannot_say() {
    let build = |op: Op| {
        let mut builder = GraphBuilder::new("one");
        let x = builder.input("x", DType::F32, image(2));
        let y = builder.node("y", op, &[x]);
        builder.output(y);
        builder.build().unwrap()
    };
    let soft = Neuron { initial: 0.5, ..Neuron::default() };
    let lost = write(&Temporal::new(4).unwrap().on(build(Op::Neuron(soft))), 1e-4).unwrap().lost.join("; ");
    for said in ["by subtraction", "on the threshold", "before the first step", "4 time steps of 0.0001 s"] {
        assert!(lost.contains(said), "{lost}");
    }
    for (op, expected) in [
        (Op::Tanh, "node \"y\" (Tanh): NIR has no form of it"),
        (Op::Neuron(Neuron { reset: Reset::Clear, ..Neuron::default() }), "neither to a value nor by subtraction"),
        (Op::Neuron(Neuron { current_leak: 0.5, ..Neuron::default() }), "keeps all of its potential"),
    ] {
        let error = write(&build(op), 1e-4).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = write(&build(Op::Relu), 0.0).unwrap_err().to_string();
    assert!(error.contains("a time step of 0 s"), "{error}");
}

#[test]
fn bad_files_are_explained() {
    let error = |bytes: Vec<u8>, reading: &Reading| read(bytes, "bad.nir", reading).unwrap_err().to_string();
    assert!(error(b"not HDF5".to_vec(), &READING).contains("bad.nir: not an HDF5 file"));
    assert!(error(Vec::new(), &READING).contains("not an HDF5 file"));
    assert!(error(conv_snn(), &Reading { steps: 0, ..READING }).contains("0 time steps, expected 1 to"));
    assert!(error(conv_snn(), &Reading { dt: -1.0, ..READING }).contains("a time step of -1 s"));
    let long = error(conv_snn(), &Reading { dt: 1.0, ..READING });
    assert!(long.contains("NIR node \"1\" (LIF)") && long.contains("shorter than the time step of 1 s"), "{long}");
    // Any byte may be wrong.
    let whole = conv_snn();
    let mut outcomes: BTreeMap<bool, usize> = BTreeMap::new();
    for place in (0..whole.len()).step_by(97) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x55;
        *outcomes.entry(read(bytes, "bad.nir", &READING).is_ok()).or_default() += 1;
        *outcomes.entry(read(whole[..place].to_vec(), "bad.nir", &READING).is_ok()).or_default() += 1;
    }
    assert!(outcomes[&false] > 600, "{outcomes:?}");
}
