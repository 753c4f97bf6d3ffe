//! The kernels on bytes equal the specification bit for bit.

use skimp_cpu::integer::IntegerExecutor;
use skimp_graph::integer::{IntegerEngine, IntegerReference, lower};
use skimp_graph::ops;
use skimp_graph::testing::random_tensor;
use skimp_graph::{AutoPad, DType, Data, Dim, Gemm, Graph, GraphBuilder, Op, Tensor, ValueId, Window};

use crate::qdq::{configs, quantized, random_network};

fn bits(tensors: &[Tensor]) -> Vec<(Vec<usize>, Vec<u32>)> {
    let bits = |tensor: &Tensor| match tensor.data() {
        Data::F32(x) => x.iter().map(|x| x.to_bits()).collect(),
        other => panic!("an output is {:?}", other.dtype()),
    };
    tensors.iter().map(|tensor| (tensor.shape().to_vec(), bits(tensor))).collect()
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let configs = configs();
    let n_seeds = if cfg!(debug_assertions) { 60 } else { 240 };
    for seed in 0..n_seeds {
        let (graph, inputs) = random_network(seed);
        let config = &configs[seed as usize % configs.len()];
        let lowered = lower(&quantized(&graph, &inputs, config).graph).unwrap();
        let expected = bits(&IntegerReference::new(&lowered).unwrap().run(&inputs).unwrap());
        for name in IntegerExecutor::instruction_sets() {
            let executor = IntegerExecutor::with_instructions(&lowered, name).unwrap().unwrap();
            // Twice: the second run finds the memory of the first one.
            for round in 0..2 {
                let got = bits(&executor.run(&inputs).unwrap());
                assert_eq!(got, expected, "seed {seed}, {name}, round {round}, {config:?}");
            }
        }
    }
    assert!(IntegerExecutor::with_instructions(&lower(&random_network(0).0).unwrap(), "none").unwrap().is_none());
}

/// Adds a convolution of a square kernel, `[inputs per group, outputs]`, with a random weight and bias.
fn conv(
    builder: &mut GraphBuilder,
    name: &str,
    x: ValueId,
    [c, k]: [usize; 2],
    [kernel, stride, groups]: [usize; 3],
) -> ValueId {
    let window = Window {
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![1; 2],
        pads_begin: vec![kernel / 2; 2],
        pads_end: vec![kernel / 2; 2],
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
    };
    let deviation = (2.0 / (c * kernel * kernel) as f32).sqrt();
    let part = |builder: &mut GraphBuilder, part: &str, shape: Vec<usize>, deviation: f32| {
        let name = format!("{name}.{part}");
        let tensor = random_tensor(5, &name, shape, 0.0, deviation);
        builder.constant(name, tensor)
    };
    let weight = part(builder, "weight", vec![k, c, kernel, kernel], deviation);
    let bias = part(builder, "bias", vec![k], 0.2);
    builder.node(name, Op::Conv(ops::Conv { window, groups }), &[x, weight, bias])
}

/// Layers of 1 to 9 blocks of channels, so that tiles of every width run; a depthwise and a grouped one; sums that join
/// either operand's layer.
fn wide_network() -> Graph {
    let mut b = GraphBuilder::new("wide");
    let dims = vec![Dim::Free("N".to_owned()), Dim::Fixed(20), Dim::Fixed(9), Dim::Fixed(7)];
    let mut x = b.input("x", DType::F32, dims);
    for (i, channels) in [[20, 48], [48, 80], [80, 32]].into_iter().enumerate() {
        let y = conv(&mut b, &format!("conv{i}"), x, channels, [3, 1, 1]);
        x = b.node(format!("relu{i}"), Op::Relu, &[y]);
    }
    let depthwise = conv(&mut b, "depthwise", x, [1, 32], [3, 1, 32]);
    let sum = b.node("sum", Op::Add, &[x, depthwise]);
    let grouped = conv(&mut b, "grouped", sum, [8, 36], [3, 2, 4]);
    let shortcut = conv(&mut b, "shortcut", sum, [32, 36], [1, 2, 1]);
    let joined = b.node("joined", Op::Add, &[shortcut, grouped]);
    let clipped = b.node("clip", Op::Clip(ops::Clip { min: Some(-0.5), max: Some(2.0) }), &[joined]);
    let wide = conv(&mut b, "wide", clipped, [36, 140], [1, 1, 1]);
    let narrow = conv(&mut b, "narrow", wide, [140, 3], [5, 1, 1]);
    let both = b.node("both", Op::Concat(ops::Concat { axis: 1 }), &[wide, narrow]);
    let pooled = b.node("pool", Op::GlobalAveragePool, &[both]);
    let flat = b.node("flat", Op::Flatten(ops::Flatten { axis: 1 }), &[pooled]);
    let weight = b.constant("dense.weight", random_tensor(5, "dense", vec![37, 143], 0.0, 0.1));
    let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
    let logits = b.node("dense", Op::Gemm(gemm), &[flat, weight]);
    b.output(logits);
    b.output(joined);
    b.build().unwrap()
}

#[test]
fn wide_layers_give_the_same_bits() {
    let graph = wide_network();
    let inputs = [random_tensor(9, "x", vec![3, 20, 9, 7], 0.0, 1.0)];
    for config in configs().iter().take(24) {
        let lowered = lower(&quantized(&graph, &inputs, config).graph).unwrap();
        assert_eq!(lowered.float_nodes().count(), 0);
        let expected = bits(&IntegerReference::new(&lowered).unwrap().run(&inputs).unwrap());
        for name in IntegerExecutor::instruction_sets() {
            let executor = IntegerExecutor::with_instructions(&lowered, name).unwrap().unwrap();
            assert_eq!(bits(&executor.run(&inputs).unwrap()), expected, "{name}, {config:?}");
        }
    }
}
