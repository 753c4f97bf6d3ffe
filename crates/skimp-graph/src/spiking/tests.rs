use super::*;
use crate::ops::{self, Conv, FirstSpike, Neuron, Reset, ResetTime};
use crate::reference::Reference;
use crate::{DType, Dim, Executor, GraphBuilder, Tensor, Window, onnx};

fn reference(graph: &Graph) -> Result<Box<dyn Executor>, GraphError> {
    Ok(Box::new(Reference::new(graph)))
}

/// One neuron on an input of `n` elements.
fn alone(neuron: Neuron, n: usize) -> Graph {
    let mut builder = GraphBuilder::new("alone");
    let x = builder.input("x", DType::F32, vec![Dim::Free("N".to_owned()), Dim::Fixed(n)]);
    let spikes = builder.node("neuron", Op::Neuron(neuron), &[x]);
    builder.output(spikes);
    builder.build().unwrap()
}

fn row(elements: &[f32]) -> Tensor {
    Tensor::from_f32(vec![1, elements.len()], elements.to_vec())
}

/// Currents, and the spikes and the last potential that ten steps give: of the IF neuron with a threshold of 10, by hand.
#[test]
fn integrate_and_fire() {
    let subtract = [
        (3.0, "0001001001", 0.0),
        (4.0, "0010100101", 0.0),
        (7.0, "0110110111", 0.0),
        (10.0, "1111111111", 0.0),
        (11.0, "1111111111", 10.0),
        (25.0, "1111111111", 150.0),
        (-3.0, "0000000000", -30.0),
    ];
    let zero = [
        (3.0, "0001000100", 6.0),
        (4.0, "0010010010", 4.0),
        (7.0, "0101010101", 0.0),
        (10.0, "1111111111", 0.0),
        (11.0, "1111111111", 0.0),
        (25.0, "1111111111", 0.0),
        (-3.0, "0000000000", -30.0),
    ];
    for (reset, cases) in [(Reset::Subtract, subtract), (Reset::Zero, zero)] {
        let neuron = Neuron { threshold: 10.0, reset, ..Neuron::default() };
        let graph = alone(neuron, cases.len());
        let stepped = Stepped::new(&graph).unwrap();
        let engine = Reference::new(&stepped.graph);
        let currents = row(&cases.map(|(current, ..)| current));
        let mut potential = row(&[0.0; 7]);
        let mut spikes = vec![String::new(); 7];
        for _ in 0..10 {
            let [spike, next] = engine.run(&[currents.clone(), potential]).unwrap().try_into().unwrap();
            for (text, &spike) in spikes.iter_mut().zip(spike.as_f32().unwrap()) {
                text.push(if spike > 0.0 { '1' } else { '0' });
            }
            potential = next;
        }
        let found =
            cases.iter().zip(spikes).zip(potential.as_f32().unwrap()).map(|((case, spikes), &v)| (case.0, spikes, v));
        let found: Vec<_> = found.collect();
        let expected: Vec<_> = cases.iter().map(|&(current, spikes, v)| (current, spikes.to_owned(), v)).collect();
        assert_eq!(found, expected, "{reset:?}");
    }
}

/// Subtraction gives a rate of `min(1, floor(T · I / threshold) / T)`.
#[test]
fn rates_of_constant_currents() {
    let graph = alone(Neuron { threshold: 8.0, ..Neuron::default() }, 6);
    for steps in [1, 2, 5, 16] {
        let temporal = Temporal { join: Join::Sum, ..Temporal::new(steps).unwrap() };
        let currents = [0.0, 1.0, 3.0, 7.5, 8.0, 20.0];
        let counts = TimeLoop::new(&graph, temporal, reference).unwrap().run(&[row(&currents)]).unwrap();
        let expected = currents.map(|current| (steps as f32 * current / 8.0).floor().min(steps as f32));
        assert_eq!(counts[0].as_f32().unwrap(), expected, "{steps} steps");
    }
}

#[test]
fn outputs_are_joined_in_four_ways() {
    let graph = alone(Neuron { threshold: 10.0, ..Neuron::default() }, 4);
    let expected = [
        (Join::Mean, [0.3, 0.7, 0.0, 1.0]),
        (Join::Sum, [3.0, 7.0, 0.0, 10.0]),
        (Join::Last, [1.0, 1.0, 0.0, 1.0]),
        // 3 fires in the fourth step first, 7 in the second.
        (Join::FirstSpike, [7.0, 9.0, 0.0, 10.0]),
    ];
    for (join, expected) in expected {
        let temporal = Temporal { join, ..Temporal::new(10).unwrap() };
        let run = TimeLoop::new(&graph, temporal, reference).unwrap().run(&[row(&[3.0, 7.0, -3.0, 12.0])]);
        assert_eq!(run.unwrap()[0].as_f32().unwrap(), expected, "{join:?}");
    }
}

/// A sequence of inputs, and the values of each step.
#[test]
fn an_axis_more_is_time() {
    let graph = alone(Neuron::default(), 1);
    let temporal = Temporal { join: Join::Sum, ..Temporal::new(3).unwrap() };
    let run = TimeLoop::new(&graph, temporal, reference).unwrap();
    let inputs = |steps: usize| Tensor::from_f32(vec![steps, 1, 1], vec![0.5; steps]);
    let mut seen = Vec::new();
    let outputs = run.run_observed(&[inputs(3)], &mut |id, tensor| seen.push((id.0, tensor.as_f32().unwrap()[0])));
    assert_eq!(outputs.unwrap()[0].as_f32().unwrap(), [1.0]);
    assert_eq!(seen, [(1, 0.0), (1, 1.0), (1, 0.0)]);
    let error = run.run(&[inputs(4)]).unwrap_err().to_string();
    assert!(error.contains("4 time steps") && error.contains("runs 3"), "{error}");
}

/// The spikes of an image depend on the image, the seed and the step, and on nothing else.
#[test]
fn random_spikes_follow_the_image() {
    let graph = alone(Neuron::default(), 50);
    let temporal = Temporal { input: InputCoding::Bernoulli, join: Join::Sum, seed: 3, ..Temporal::new(400).unwrap() };
    let run = |temporal: Temporal, x: &Tensor| {
        let outputs = TimeLoop::new(&graph, temporal, reference).unwrap().run(std::slice::from_ref(x));
        outputs.map(|outputs| outputs[0].as_f32().unwrap().to_vec())
    };
    let (a, b) = (vec![0.25; 50], (0..50).map(|i| i as f32 / 50.0).collect::<Vec<_>>());
    let both = Tensor::from_f32(vec![2, 50], [a.clone(), b.clone()].concat());
    let together = run(temporal, &both).unwrap();
    assert_eq!(together[..50], run(temporal, &row(&a)).unwrap());
    assert_eq!(together[50..], run(temporal, &row(&b)).unwrap());
    assert_ne!(together, run(Temporal { seed: 4, ..temporal }, &both).unwrap());
    // 20,000 spikes of probability 1/4: the standard deviation of their number is 61.
    let n: f32 = together[..50].iter().sum();
    assert!((n - 5000.0).abs() < 6.0 * 61.3, "{n}");
    let error = run(temporal, &row(&[1.5; 50])).unwrap_err().to_string();
    assert!(error.contains("1.5") && error.contains("direct"), "{error}");
}

#[test]
fn files_keep_neurons_and_steps() {
    let neuron = Neuron {
        threshold: 0.75,
        leak: 0.5,
        gain: 0.25,
        rest: 0.125,
        current_leak: 0.5,
        reset: Reset::Zero,
        reset_time: ResetTime::NextStep,
        reset_value: 0.0625,
        is_strict: true,
        initial: 0.375,
        ..Neuron::default()
    };
    let temporal = Temporal { join: Join::Sum, input: InputCoding::Bernoulli, seed: 7, ..Temporal::new(12).unwrap() };
    let timed = Neuron { first_spike: Some(FirstSpike { start: 3, window: 5 }), ..Neuron::default() };
    for graph in
        [alone(neuron, 4), alone(Neuron { reset_time: ResetTime::Ahead, ..Neuron::default() }, 2), alone(timed, 3)]
    {
        let graph = temporal.on(graph);
        let bytes = onnx::export_bytes(&graph).unwrap();
        assert_eq!(onnx::import_bytes(bytes.into(), None, "alone").unwrap(), graph);
        assert_eq!(Temporal::of(&graph).unwrap(), Some(temporal));
        // The step has its states in the file, too.
        let stepped = Stepped::new(&graph).unwrap().graph;
        let bytes = onnx::export_bytes(&stepped).unwrap();
        let again = onnx::import_bytes(bytes.into(), None, "alone").unwrap();
        assert_eq!(again.nodes()[0].op, stepped.nodes()[0].op);
        assert_eq!(again.outputs().len(), stepped.outputs().len());
    }
}

#[test]
fn wrong_settings_are_named() {
    let graph =
        |key: &str, value: &str| alone(Neuron::default(), 1).with_metadata(STEPS_KEY, "4").with_metadata(key, value);
    for (key, value, expected) in [
        (STEPS_KEY, "0", "a number of 1 to"),
        (STEPS_KEY, "many", "a number of 1 to"),
        (JOIN_KEY, "vote", "mean, sum, last, first-spike, all"),
        (INPUT_KEY, "morse", "direct, bernoulli"),
        (SEED_KEY, "-1", "at least 0"),
    ] {
        let error = Temporal::of(&graph(key, value)).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(expected), "{error}");
        let bytes = onnx::export_bytes(&graph(key, value)).unwrap();
        assert!(onnx::import_bytes(bytes.into(), None, "wrong").unwrap_err().to_string().contains(key));
    }
    for (neuron, expected) in [
        (Neuron { leak: 1.5, ..Neuron::default() }, "\"leak\" is 1.5, expected 0 to 1"),
        (Neuron { threshold: f32::NAN, ..Neuron::default() }, "\"threshold\" is NaN"),
        (Neuron { reset: Reset::Zero, reset_time: ResetTime::Ahead, ..Neuron::default() }, "\"subtract\" only"),
        (Neuron { first_spike: Some(FirstSpike { start: 0, window: 0 }), ..Neuron::default() }, "\"window\" is 0"),
        (
            Neuron { leak: 0.5, first_spike: Some(FirstSpike { start: 0, window: 2 }), ..Neuron::default() },
            "has no leak",
        ),
    ] {
        let error = Reference::new(&alone(neuron, 1)).run(&[row(&[1.0])]).unwrap_err().to_string();
        assert!(error.contains("node \"neuron\" (Neuron)") && error.contains(expected), "{error}");
    }
}

/// A convolution and neurons, each channel with a threshold of its own.
fn layer(neuron: Neuron) -> Graph {
    let mut builder = GraphBuilder::new("layer");
    let dims = [None, Some(2), Some(4), Some(4)].map(|n| n.map_or(Dim::Free("N".to_owned()), Dim::Fixed));
    let x = builder.input("x", DType::F32, dims.to_vec());
    let draws = |n: usize| (0..n).map(|i| (i * 7 % 5) as f32 / 4.0 - 0.5).collect();
    let weight = builder.constant("weight", Tensor::from_f32(vec![3, 2, 3, 3], draws(54)));
    let conv = Conv { window: Window::padded(&[3, 3], &[1, 1]), groups: 1 };
    let y = builder.node("conv", Op::Conv(conv), &[x, weight]);
    let thresholds = builder.constant("thresholds", Tensor::from_f32(vec![3, 1, 1], vec![0.25, 0.5, 1.0]));
    let spikes = builder.node("neuron", Op::Neuron(neuron), &[y, thresholds]);
    builder.output(spikes);
    builder.build().unwrap()
}

/// One step of plain operators gives the same bits.
#[test]
fn one_step_in_plain_operators() {
    let x = Tensor::from_f32(vec![2, 2, 4, 4], (0..64).map(|i| (i * 5 % 9) as f32 / 8.0).collect());
    let neurons = [
        Neuron::default(),
        Neuron { is_strict: true, gain: 0.5, ..Neuron::default() },
        Neuron { initial: 0.125, leak: 0.5, rest: 0.25, ..Neuron::default() },
    ];
    for neuron in neurons {
        let graph = Temporal::new(1).unwrap().on(layer(neuron));
        let once = TimeLoop::new(&graph, Temporal::of(&graph).unwrap().unwrap(), reference).unwrap();
        let plain = plain(&graph).unwrap();
        assert!(plain.nodes().iter().all(|node| !matches!(node.op, Op::Neuron(_))));
        assert_eq!(Temporal::of(&plain).unwrap(), None);
        let expected = once.run(std::slice::from_ref(&x)).unwrap();
        assert_eq!(Reference::new(&plain).run(std::slice::from_ref(&x)).unwrap(), expected);
        let n_spikes: f32 = expected[0].as_f32().unwrap().iter().sum();
        assert!(n_spikes > 0.0 && n_spikes < expected[0].len() as f32);
    }
    let error = plain(&Temporal::new(2).unwrap().on(layer(Neuron::default()))).unwrap_err().to_string();
    assert!(error.contains("2 time steps"), "{error}");
}

fn numbers(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + seed * 11) % 23) as f32 / 23.0 - 0.45).collect()
}

/// A residual block, an average and a dense layer; where it is asked for, maxima and a softmax.
fn residual(has_max: bool) -> Graph {
    let mut builder = GraphBuilder::new("residual");
    let dims = [None, Some(2), Some(6), Some(6)].map(|n| n.map_or(Dim::Free("N".to_owned()), Dim::Fixed));
    let x = builder.input("x", DType::F32, dims.to_vec());
    let window = || Window::padded(&[3, 3], &[1, 1]);
    let conv = |builder: &mut GraphBuilder, name: &str, x, inputs: usize| {
        let weight = Tensor::from_f32(vec![4, inputs, 3, 3], numbers(36 * inputs, name.len()));
        let weight = builder.constant(format!("{name}.w"), weight);
        let bias = builder.constant(format!("{name}.b"), Tensor::from_f32(vec![4], vec![0.1, -0.2, 0.3, 0.05]));
        builder.node(name, Op::Conv(Conv { window: window(), groups: 1 }), &[x, weight, bias])
    };
    let first = conv(&mut builder, "a", x, 2);
    let first = builder.node("relu1", Op::Relu, &[first]);
    let second = conv(&mut builder, "bb", first, 4);
    let second = builder.node("relu2", Op::Relu, &[second]);
    let third = conv(&mut builder, "ccc", second, 4);
    let sum = builder.node("sum", Op::Add, &[third, first]);
    let mut y = builder.node("relu3", Op::Clip(ops::Clip { min: Some(0.0), max: Some(6.0) }), &[sum]);
    if has_max {
        y = builder.node("max", Op::MaxPool(ops::MaxPool { window: Window::padded(&[2, 2], &[0, 0]) }), &[y]);
    }
    let pooled = builder.node("pool", Op::GlobalAveragePool, &[y]);
    let flat = builder.node("flat", Op::Flatten(ops::Flatten { axis: 1 }), &[pooled]);
    let weight = builder.constant("fc.w", Tensor::from_f32(vec![4, 3], numbers(12, 5)));
    let bias = builder.constant("fc.b", Tensor::from_f32(vec![3], vec![0.5, -0.5, 0.25]));
    let gemm = ops::Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false };
    y = builder.node("fc", Op::Gemm(gemm), &[flat, weight, bias]);
    if has_max {
        y = builder.node("softmax", Op::Softmax(ops::Softmax { axis: 1 }), &[y]);
    }
    builder.output(y);
    builder.build().unwrap()
}

const CONVERSION: Conversion = Conversion {
    steps: 16,
    coding: Coding::Rate,
    reset: Reset::Subtract,
    reset_time: ResetTime::SameStep,
    is_strict: false,
    initial: 0.5,
    max_pools: MaxPools::Refuse,
    input: InputCoding::Direct,
    seed: 0,
};

fn images(n: usize) -> Tensor {
    Tensor::from_f32(vec![n, 2, 6, 6], numbers(72 * n, 3).into_iter().map(|x| x + 0.5).collect())
}

/// The greatest value of each name on some images.
fn greatest(graph: &Graph, x: &Tensor) -> std::collections::HashMap<String, f32> {
    let mut greatest = std::collections::HashMap::new();
    let seen = &mut |id, tensor: &Tensor| {
        let most = tensor.as_f32().unwrap().iter().copied().fold(0.0, f32::max);
        greatest.insert(graph.value(id).name.clone(), most);
    };
    Reference::new(graph).run_observed(std::slice::from_ref(x), seen).unwrap();
    greatest
}

/// The largest difference of a spiking network's outputs from those that it approximates, and its spikes.
fn error(graph: &Graph, conversion: &Conversion) -> (f32, f32) {
    let x = images(2);
    let greatest = greatest(graph, &x);
    let converted = convert(graph, conversion, &|name| greatest.get(name).copied()).unwrap();
    let bytes = onnx::export_bytes(&converted.graph).unwrap();
    let read = onnx::import_bytes(bytes.into(), None, "read").unwrap();
    let temporal = Temporal::of(&read).unwrap().unwrap();
    let run = TimeLoop::watched(&read, temporal, reference).unwrap();
    let (mut joined, mut n_spikes) = (Joined::new(temporal.join), 0.0);
    run.for_each_step(std::slice::from_ref(&x), &mut |step| {
        let spikes = step.spikes.iter().flat_map(|spikes| spikes.as_f32().unwrap());
        n_spikes += spikes.filter(|spike| **spike > 0.0).count() as f32;
        joined.add(step.outputs)
    })
    .unwrap();
    let expected = Reference::new(graph).run(&[x]).unwrap();
    let pairs = joined.outputs()[0].as_f32().unwrap().to_vec().into_iter().zip(expected[0].as_f32().unwrap().to_vec());
    (pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max), n_spikes)
}

/// Rates, and times, tell the values the better the more steps there are.
#[test]
fn more_steps_come_closer() {
    let graph = residual(false);
    for coding in Coding::ALL {
        let at = |steps| error(&graph, &Conversion { steps, coding, ..CONVERSION });
        let errors = [8, 64, 512].map(at);
        assert!(errors[2].0 < 0.01 && errors[2].0 < errors[0].0 / 4.0, "{coding:?}: {errors:?}");
        if coding == Coding::FirstSpike {
            // Three layers of 144 neurons, two images: at most one spike each.
            assert!(errors.iter().all(|(_, spikes)| *spikes <= 864.0), "{errors:?}");
        } else {
            assert!(errors[2].1 > 864.0, "{errors:?}");
        }
    }
}

/// What is spread over steps is the same sum: in one step in the first layer, in 1 + 4 steps and so on.
#[test]
fn layers_wait_for_those_before() {
    let converted =
        convert(&residual(false), &Conversion { steps: 4, coding: Coding::FirstSpike, ..CONVERSION }, &|_| None);
    let graph = converted.unwrap().graph;
    let starts: Vec<usize> = graph
        .nodes()
        .iter()
        .filter_map(|node| match node.op {
            Op::Neuron(neuron) => neuron.first_spike.map(|timed| timed.start),
            _ => None,
        })
        .collect();
    assert_eq!(starts, [1, 5, 9]);
    let temporal = Temporal::of(&graph).unwrap().unwrap();
    assert_eq!((temporal.steps, temporal.join), (13, Join::Sum));
}

/// The first layer's currents are the same in each step: a pool goes before its neurons, and nothing is lost.
#[test]
fn pools_of_steady_currents_go_before_the_neuron() {
    let mut builder = GraphBuilder::new("pooled");
    let dims = [None, Some(2), Some(6), Some(6)].map(|n| n.map_or(Dim::Free("N".to_owned()), Dim::Fixed));
    let x = builder.input("x", DType::F32, dims.to_vec());
    let weight = builder.constant("w", Tensor::from_f32(vec![4, 2, 3, 3], numbers(72, 1)));
    let y = builder.node("conv", Op::Conv(Conv { window: Window::padded(&[3, 3], &[1, 1]), groups: 1 }), &[x, weight]);
    let y = builder.node("relu", Op::Relu, &[y]);
    let window = Window { strides: vec![2, 2], ..Window::padded(&[2, 2], &[0, 0]) };
    let y = builder.node("max", Op::MaxPool(ops::MaxPool { window }), &[y]);
    let y = builder.node("pool", Op::GlobalAveragePool, &[y]);
    builder.output(y);
    let graph = builder.build().unwrap();
    for coding in Coding::ALL {
        let (error, _) = error(&graph, &Conversion { steps: 512, coding, ..CONVERSION });
        assert!(error < 0.005, "{coding:?}: {error}");
    }
    let random = Conversion { input: InputCoding::Bernoulli, ..CONVERSION };
    assert!(convert(&graph, &random, &|_| None).unwrap_err().to_string().contains("--max-pools before"));
    let before = convert(&graph, &Conversion { max_pools: MaxPools::Before, ..random }, &|_| None).unwrap().graph;
    let order: Vec<&str> = before.nodes().iter().map(|node| node.op.name()).collect();
    assert_eq!(order[..3], ["Conv", "MaxPool", "Neuron"]);
}

#[test]
fn what_cannot_spike_is_named() {
    let unknown = |_: &str| None;
    let refused = convert(&residual(true), &CONVERSION, &unknown).unwrap_err().to_string();
    assert!(refused.contains("node \"max\" (MaxPool)") && refused.contains("--max-pools average"), "{refused}");
    let converted =
        convert(&residual(true), &Conversion { max_pools: MaxPools::Average, ..CONVERSION }, &unknown).unwrap();
    assert_eq!(converted.notes.len(), 2, "{:?}", converted.notes);
    assert!(converted.graph.nodes().iter().any(|node| matches!(node.op, Op::AveragePool(_))));
    assert!(!converted.graph.nodes().iter().any(|node| matches!(node.op, Op::Softmax(_))));
    let zero = convert(&residual(false), &Conversion { steps: 0, ..CONVERSION }, &unknown).unwrap_err().to_string();
    assert!(zero.contains("0 time steps, expected 1 to"), "{zero}");
    let again = convert(&converted.graph, &CONVERSION, &unknown).unwrap_err().to_string();
    assert!(again.contains("spiking neurons already"), "{again}");
    let mut builder = GraphBuilder::new("smooth");
    let x = builder.input("x", DType::F32, vec![Dim::Fixed(1), Dim::Fixed(2)]);
    let y = builder.node("tanh1", Op::Tanh, &[x]);
    builder.output(y);
    let smooth = convert(&builder.build().unwrap(), &CONVERSION, &unknown).unwrap_err().to_string();
    assert!(smooth.contains("node \"tanh1\" (Tanh)") && smooth.contains("rectifiers"), "{smooth}");
}

/// A spiking network of one step with weights of ±1 is a binary network of activations 1 and 0, bit for bit: sums of integers
/// against the threshold that a batch normalization is. And it is the network of activations ±1 with
/// `sum w a >= t` for `sum w x >= (t + sum w) / 2`.
#[test]
fn one_step_is_a_binary_network() {
    const WIDTHS: [usize; 4] = [20, 31, 17, 9];
    let sign = |i: usize| if (i * i * 29 + i * 7) % 11 < 5 { -1_i64 } else { 1 };
    let mut builder = GraphBuilder::new("binary");
    let mut y = builder.input("x", DType::F32, vec![Dim::Free("N".to_owned()), Dim::Fixed(WIDTHS[0])]);
    let mut layers = Vec::new();
    for (layer, pair) in WIDTHS.windows(2).enumerate() {
        let (inputs, outputs) = (pair[0], pair[1]);
        let weight: Vec<i64> = (0..inputs * outputs).map(|i| sign(i + 1000 * layer)).collect();
        // y = gamma (u - mean) / sigma + beta >= 0, with gamma of both signs: the weights of a negative one turn round.
        let norm = |k: usize| {
            let gamma = [0.8, -0.5, 1.5][k % 3];
            (gamma, (k % 5) as f64 * 0.7 - 1.4, 0.3 - (k % 4) as f64 * 0.2, 2.5)
        };
        let turned = |k: usize| if norm(k).0 < 0.0 { -1 } else { 1 };
        let threshold = |k: usize| {
            let (gamma, mean, beta, sigma) = norm(k);
            turned(k) as f64 * (mean - beta * sigma / gamma)
        };
        let floats = weight.iter().enumerate().map(|(i, w)| (w * turned(i % outputs)) as f32).collect();
        let w = builder.constant(format!("w{layer}"), Tensor::from_f32(vec![inputs, outputs], floats));
        let sums = builder.node(format!("sums{layer}"), Op::MatMul, &[y, w]);
        let thresholds = (0..outputs).map(|k| threshold(k) as f32).collect();
        let t = builder.constant(format!("t{layer}"), Tensor::from_f32(vec![outputs], thresholds));
        y = builder.node(format!("spikes{layer}"), Op::Neuron(Neuron::default()), &[sums, t]);
        layers.push((weight, inputs, outputs, norm));
    }
    builder.output(y);
    let graph = Temporal::new(1).unwrap().on(builder.build().unwrap());
    let run = TimeLoop::new(&graph, Temporal::new(1).unwrap(), reference).unwrap();
    let n = 40;
    let bits: Vec<i64> = (0..n * WIDTHS[0]).map(|i| i64::from(sign(3 * i + i / 20) > 0)).collect();
    let x = Tensor::from_f32(vec![n, WIDTHS[0]], bits.iter().map(|&bit| bit as f32).collect());
    let found = run.run(&[x]).unwrap();
    let mut expected = bits;
    for (weight, inputs, outputs, norm) in layers {
        let image = |image: &[i64]| -> Vec<i64> {
            let fires = |k: usize| {
                let column = || (0..inputs).map(|i| weight[i * outputs + k]);
                let sum: i64 = column().zip(image).map(|(w, x)| w * x).sum();
                let (gamma, mean, beta, sigma) = norm(k);
                let fires = gamma * (sum as f64 - mean) / sigma + beta >= 0.0;
                // As activations of +1 and -1: twice the threshold minus the sum of the weights.
                let of_signs: i64 = column().zip(image).map(|(w, x)| w * (2 * x - 1)).sum();
                assert_eq!(of_signs, 2 * sum - column().sum::<i64>());
                i64::from(fires)
            };
            (0..outputs).map(fires).collect()
        };
        expected = expected.chunks(inputs).flat_map(image).collect();
    }
    let found: Vec<i64> = found[0].as_f32().unwrap().iter().map(|&x| x as i64).collect();
    assert_eq!(found, expected);
    assert!(expected.contains(&0) && expected.contains(&1));
}
