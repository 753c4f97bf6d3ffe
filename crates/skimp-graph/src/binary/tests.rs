use super::{BinaryKind, BinaryOp, BinaryOutput, BinaryReference, BitPadding, BitPool, Threshold, lower};
use crate::reference::Reference;
use crate::spiking::Stepped;
use crate::testing::{random_binary_network, random_spiking_network};
use crate::{DType, Dim, Executor as _, Gemm, Graph, GraphBuilder, Op, Tensor, ops};

fn rows(build: impl FnOnce(&mut GraphBuilder, crate::ValueId) -> crate::ValueId, n: usize) -> Graph {
    let mut builder = GraphBuilder::new("rows");
    let x = builder.input("x", DType::F32, vec![Dim::Free("N".to_owned()), Dim::Fixed(n)]);
    let y = build(&mut builder, x);
    builder.output(y);
    builder.build().unwrap()
}

fn dense(builder: &mut GraphBuilder, name: &str, x: crate::ValueId, weight: &[f32], bias: &[f32]) -> crate::ValueId {
    let n = weight.len() / bias.len();
    let weight = builder.constant(format!("{name}.w"), Tensor::from_f32(vec![bias.len(), n], weight.to_vec()));
    let bias = builder.constant(format!("{name}.b"), Tensor::from_f32(vec![bias.len()], bias.to_vec()));
    let op = Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true });
    builder.node(name, op, &[x, weight, bias])
}

#[test]
fn random_networks_compute_what_the_float_reference_computes() {
    let (mut n_layers, mut n_folded, mut n_each) = (0, 0, 0);
    for seed in 0..400 {
        let (graph, inputs) = random_binary_network(seed);
        let binary = lower(&graph).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let expected = Reference::new(&graph).run(&inputs).unwrap();
        let found = BinaryReference::new(&binary).run(&inputs).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(found, expected, "seed {seed}");
        n_layers += binary.layers().count();
        n_folded += binary.layers().filter(|(_, layer)| matches!(layer.output, BinaryOutput::Bits(..))).count();
        n_each += binary.nodes.iter().filter(|node| matches!(node.op, BinaryOp::Pool(_, BitPool::Each(_)))).count();
    }
    // Most layers end in bits; pools behind a batch norm that turns the sign are among them.
    assert!(n_layers > 800 && n_folded * 2 > n_layers, "{n_folded} of {n_layers} layers");
    assert!(n_each > 20, "{n_each} pools that join by channel");
}

/// Sheet vector: gamma 0.8, beta -0.3, mean 4.2, sigma 2.5 is a threshold of 5.1375, so that 6 fires and 5 does not.
#[test]
fn a_batch_norm_becomes_an_integer_threshold() {
    let of = |gamma: f32| {
        let graph = rows(
            |builder, x| {
                let x = builder.node("in", Op::Sign, &[x]);
                let x = builder.node("spikes", Op::Relu, &[x]);
                let y = dense(builder, "fc", x, &[1.0; 12], &[0.0]);
                let vector = |builder: &mut GraphBuilder, name: &str, x: f32| {
                    builder.constant(name, Tensor::from_f32(vec![1], vec![x]))
                };
                let parameters = [("gamma", gamma), ("beta", -0.3), ("mean", 4.2), ("variance", 6.25)];
                let [gamma, beta, mean, variance] = parameters.map(|(name, x)| vector(builder, name, x));
                let op = Op::BatchNormalization(ops::BatchNormalization { epsilon: 0.0 });
                let y = builder.node("bn", op, &[y, gamma, beta, mean, variance]);
                let y = builder.node("sign", Op::Sign, &[y]);
                dense(builder, "out", y, &[1.0], &[0.0])
            },
            12,
        );
        let binary = lower(&graph).unwrap();
        let (_, layer) = binary.layers().next().unwrap();
        let BinaryOutput::Bits(_, thresholds) = layer.output.clone() else { panic!("no bits") };
        thresholds
    };
    assert_eq!(of(0.8), [Threshold::AtLeast(6)]);
    // -0.8 (u - 4.2) / 2.5 - 0.3 >= 0 is u <= 3.2625.
    assert_eq!(of(-0.8), [Threshold::AtMost(3)]);
    assert_eq!(of(0.0), [Threshold::NEVER]);
}

#[test]
fn a_sign_of_zero_stays_a_third_value() {
    // Sums of two signs are -2, 0 or 2: the Sign of a 0 is 0, which no bit holds.
    let graph = |bias: f32| {
        rows(
            |builder, x| {
                let x = builder.node("in", Op::Sign, &[x]);
                let y = dense(builder, "fc", x, &[1.0, 1.0], &[bias]);
                let y = builder.node("sign", Op::Sign, &[y]);
                dense(builder, "out", y, &[1.0], &[0.0])
            },
            2,
        )
    };
    let binary = lower(&graph(0.0)).unwrap();
    assert_eq!(binary.layers().map(|(_, layer)| layer.output.clone()).collect::<Vec<_>>(), [BinaryOutput::Real]);
    let [(name, reason)] = binary.float_layers.as_slice() else { panic!("{:?}", binary.float_layers) };
    assert!(name == "out" && reason.contains("a third value"), "{name}: {reason}");
    let input = |x: [f32; 2]| [Tensor::from_f32(vec![1, 2], x.to_vec())];
    let run = |x| BinaryReference::new(&binary).run(&input(x));
    assert_eq!(run([1.0, 2.0]).unwrap()[0].as_f32().unwrap(), [1.0]);
    assert_eq!(run([1.0, -2.0]).unwrap()[0].as_f32().unwrap(), [0.0]);
    // Of real numbers one does not know: the run says so.
    let error = run([1.0, 0.0]).unwrap_err().to_string();
    assert!(error.contains("\"in\"") && error.contains("third value"), "{error}");
    // With an odd bias no sum is 0, as with a half.
    for bias in [1.0, 0.5] {
        let binary = lower(&graph(bias)).unwrap();
        let (_, first) = binary.layers().next().unwrap();
        assert!(matches!(first.output, BinaryOutput::Bits(..)), "{bias}");
        assert_eq!(binary.layers().count(), 2);
    }
}

#[test]
fn what_is_not_binary_is_named_with_the_reason() {
    let graph = rows(|builder, x| dense(builder, "fc", x, &[1.0, -1.0], &[0.0]), 2);
    let error = lower(&graph).unwrap_err().to_string();
    assert!(error.contains("\"fc\"") && error.contains("more than two values"), "{error}");
    let graph = rows(
        |builder, x| {
            let x = builder.node("in", Op::Sign, &[x]);
            dense(builder, "fc", x, &[1.0, -0.5], &[0.0])
        },
        2,
    );
    let error = lower(&graph).unwrap_err().to_string();
    assert!(error.contains("one magnitude"), "{error}");
}

#[test]
fn kinds_and_padding_follow_the_alphabet() {
    let mut paddings = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let (graph, _) = random_binary_network(seed);
        let binary = lower(&graph).unwrap();
        for (node, layer) in binary.layers() {
            let BinaryKind::Bits(alphabet) = binary.values[node.inputs[0].0].kind else { panic!("real input") };
            assert_eq!(alphabet, layer.input);
            let padding = match layer.padding {
                BitPadding::Zero => "zero",
                BitPadding::Bit(true) => "set",
                BitPadding::Bit(false) => "clear",
            };
            assert!(alphabet.is_signed || padding != "zero", "0 is a bit of spikes");
            paddings.insert(padding);
        }
    }
    assert_eq!(paddings.len(), 3);
}

#[test]
fn a_step_of_random_spiking_networks_is_that_of_the_float_reference() {
    let (mut n_layers, mut n_events) = (0, 0);
    for seed in 0..200 {
        let (graph, inputs) = random_spiking_network(seed);
        let stepped = Stepped::new(&graph).unwrap();
        let binary = lower(&stepped.graph).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        n_layers += binary.layers().count();
        n_events += binary.event_layers().count();
        let shapes = crate::shape::infer(&graph, &[inputs[0].shape().to_vec()]).unwrap();
        let initial = stepped.states.iter().map(|state| {
            let shape = shapes.shape(state.like).to_vec();
            let n = shape.iter().product();
            Tensor::from_f32(shape, vec![state.initial; n])
        });
        let mut states: Vec<Tensor> = initial.collect();
        for step in 0..4 {
            let operands = [&inputs[..], &states].concat();
            let expected = Reference::new(&stepped.graph).run(&operands).unwrap();
            let found = BinaryReference::new(&binary).run(&operands).unwrap();
            assert_eq!(found, expected, "seed {seed}, step {step}");
            states = expected[graph.outputs().len()..].to_vec();
        }
    }
    assert!(n_layers > 100 && n_events > 100, "{n_layers} {n_events}");
}
