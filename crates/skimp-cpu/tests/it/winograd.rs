//! Convolutions in fewer multiplications.
//!
//! The tolerance is that of the executor: errors of F(4x4, 3x3) are some ten times those of the direct order, about 1e-6 of the
//! largest value at 64 input channels, and a network passes them on from layer to layer.

use skimp_cpu::{CpuExecutor, Order};
use skimp_graph::networks::{self, Weights};
use skimp_graph::reference::Reference;
use skimp_graph::testing::{random_cnn, random_relu_cnn, random_tensor};
use skimp_graph::{AutoPad, DType, Dim, Window};
use skimp_graph::{Executor, Graph, GraphBuilder, Op, Tensor, ops, shape};
use skimp_numerics::rng::{Draws, stream};

use super::{RELATIVE, bits, difference, image, with_threads};

const ORDERS: [Order; 3] = [Order::Two, Order::Four, Order::Free];

/// Compares the outputs with the reference, among thread counts and with those of each image alone. Returns what is wrong, and
/// whether any order gave other bits than the exact one.
fn check(graph: &Graph, inputs: &[Tensor]) -> (Vec<String>, bool) {
    let mut wrong = Vec::new();
    let expected = Reference::new(graph).run(inputs).expect("the reference runs");
    let exact = CpuExecutor::new(graph).expect("constants evaluate").run(inputs).expect("runs");
    let mut differs = false;
    for order in ORDERS {
        let name = format!("{} {order:?}", graph.name());
        let executor = CpuExecutor::with_order(graph, order).expect("constants evaluate");
        let outputs = with_threads(1, || executor.run(inputs)).expect("runs");
        differs |= bits(&outputs) != bits(&exact);
        for (idx, (a, b)) in outputs.iter().zip(&expected).enumerate() {
            let off = difference(a, b);
            if off > RELATIVE || off.is_nan() {
                wrong.push(format!("{name}: output {idx} is off by {off}"));
            }
        }
        for n_threads in [2, 3] {
            let other = with_threads(n_threads, || executor.run(inputs)).expect("runs");
            if bits(&other) != bits(&outputs) {
                wrong.push(format!("{name}: {n_threads} threads change bits"));
            }
        }
        for idx in 0..inputs[0].shape()[0] {
            let alone = with_threads(2, || executor.run(&[image(&inputs[0], idx)])).expect("runs");
            let part: Vec<Tensor> = outputs.iter().map(|output| image(output, idx)).collect();
            if bits(&alone) != bits(&part) {
                wrong.push(format!("{name}: the batch changes the bits of image {idx}"));
            }
        }
    }
    (wrong, differs)
}

/// One 3x3 convolution with a residual and an activation, of drawn extents.
fn convolution(seed: u64) -> (Graph, Tensor) {
    let mut draws = Draws::new(seed, stream("winograd/shapes"));
    let (channels, filters) = (draws.between(1, 70), draws.between(1, 70));
    let pads = [0; 4].map(|_: usize| draws.below(3));
    let [height, width] = [0, 1].map(|axis: usize| draws.between(3, 20).max(3 - pads[axis].min(2)));
    let mut builder =
        GraphBuilder::new(format!("convolution {seed}: {channels} to {filters}, {height} x {width}, {pads:?}"));
    let x = builder.input(
        "x",
        DType::F32,
        vec![Dim::Free("N".into()), Dim::Fixed(channels), Dim::Fixed(height), Dim::Fixed(width)],
    );
    let conv = |name: &str, builder: &mut GraphBuilder| {
        let weight = random_tensor(seed, name, vec![filters, channels, 3, 3], 0.0, 0.3);
        let weight = builder.constant(format!("{name}.weight"), weight);
        let bias = builder
            .constant(format!("{name}.bias"), random_tensor(seed, &format!("{name}.bias"), vec![filters], 0.0, 1.0));
        let window = Window {
            kernel: vec![3; 2],
            strides: vec![1; 2],
            dilations: vec![1; 2],
            pads_begin: pads[..2].to_vec(),
            pads_end: pads[2..].to_vec(),
            auto_pad: AutoPad::NotSet,
            ceil_mode: false,
        };
        builder.node(name, Op::Conv(ops::Conv { window, groups: 1 }), &[x, weight, bias])
    };
    let (a, b) = (conv("a", &mut builder), conv("b", &mut builder));
    let sum = builder.node("sum", Op::Add, &[a, b]);
    // Fused as bounds, and as a program.
    let activation = if seed.is_multiple_of(2) { Op::Relu } else { Op::HardSwish };
    let y = builder.node("y", activation, &[sum]);
    builder.output(y);
    let batch = draws.between(1, 3);
    (builder.build().expect("well-formed"), random_tensor(seed, "x", vec![batch, channels, height, width], 0.0, 1.0))
}

#[test]
fn convolutions_of_many_shapes_agree_with_the_reference() {
    let (mut wrong, mut n_different) = (Vec::new(), 0);
    for seed in 0..120 {
        let (graph, x) = convolution(seed);
        let (found, differs) = check(&graph, &[x]);
        wrong.extend(found);
        n_different += usize::from(differs);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(n_different > 100, "{n_different} of 120 took fewer multiplications");
}

#[test]
fn random_networks_agree_with_the_reference() {
    let (mut wrong, mut n_different) = (Vec::new(), 0);
    for seed in 0..200 {
        let (graph, inputs) = if seed % 2 == 0 { random_cnn(seed) } else { random_relu_cnn(seed) };
        let (found, differs) = check(&graph, &inputs);
        wrong.extend(found);
        n_different += usize::from(differs);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(n_different > 10, "{n_different} of 200 took fewer multiplications");
}

#[test]
fn whole_networks_agree_with_the_reference() {
    for name in ["resnet20", "vgg16-cifar"] {
        let graph = networks::build(name, Weights::Seeded(1)).expect("built in");
        let shapes = shape::bind(&graph, 2, None).expect("bound");
        let x: Vec<Tensor> = shapes.into_iter().map(|shape| random_tensor(2, "x", shape, 0.0, 1.0)).collect();
        let (wrong, differs) = check(&graph, &x);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(differs, "{name} takes fewer multiplications");
    }
}
