//! NaN, infinities, zeros of both signs and the ends of the range through the operators.
//!
//! The right values are those of onnxruntime 1.32.0 on the CPU, graph optimizations disabled. Where it contradicts
//! itself, the definition holds: its `MaxPool` hands NaN on only from the last element of a window, and gives the
//! lowest finite number for a window of −∞; its `Clip` without an upper bound clips +∞ to the largest finite number.

use skimp_cpu::CpuExecutor;
use skimp_graph::ops;
use skimp_graph::reference::Reference;
use skimp_graph::{AutoPad, DType, Dim, Executor, Graph, GraphBuilder, Op, Tensor, Window};

use super::bits;

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;
const SPECIAL: [f32; 8] = [NAN, 0.0, -0.0, INF, -INF, 1.0, -1.0, 7.0];

fn unary(op: Op, dims: &[usize]) -> Graph {
    let mut builder = GraphBuilder::new(op.name());
    let dims = dims.iter().enumerate().map(|(axis, &n)| if axis == 0 { Dim::Free("N".into()) } else { Dim::Fixed(n) });
    let x = builder.input("x", DType::F32, dims.collect());
    let y = builder.node("y", op, &[x]);
    builder.output(y);
    builder.build().expect("well-formed")
}

/// Bits, with one NaN for all.
fn canonical(tensors: &[Tensor]) -> Vec<Vec<u32>> {
    let nan = |bits: u32| if f32::from_bits(bits).is_nan() { f32::NAN.to_bits() } else { bits };
    bits(tensors).into_iter().map(|tensor| tensor.into_iter().map(nan).collect()).collect()
}

/// Runs on both engines as a vector and as an image in blocks; `expected` for [`SPECIAL`].
fn check(op: &Op, expected: [f32; 8]) {
    for shape in [vec![1, 8], vec![1, 8, 1, 1], vec![2, 2, 2, 2]] {
        let (graph, n) = (unary(op.clone(), &shape), shape.iter().product::<usize>() / 8);
        let x = [Tensor::from_f32(shape.clone(), SPECIAL.repeat(n))];
        let expected = canonical(&[Tensor::from_f32(shape, expected.repeat(n))]);
        assert_eq!(canonical(&Reference::new(&graph).run(&x).expect("runs")), expected, "reference, {op:?}");
        let executor = CpuExecutor::new(&graph).expect("constants evaluate");
        assert_eq!(canonical(&executor.run(&x).expect("runs")), expected, "f32 engine, {op:?}");
    }
}

#[test]
fn activations_follow_onnxruntime() {
    check(&Op::Relu, [NAN, 0.0, -0.0, INF, 0.0, 1.0, 0.0, 7.0]);
    check(&Op::LeakyRelu(ops::LeakyRelu { alpha: 0.125 }), [NAN, 0.0, -0.0, INF, -INF, 1.0, -0.125, 7.0]);
    check(&Op::Sign, [NAN, 0.0, 0.0, 1.0, -1.0, 1.0, -1.0, 1.0]);
    check(&Op::HardSigmoid(ops::HardSigmoid { alpha: 0.25, beta: 0.5 }), [NAN, 0.5, 0.5, 1.0, 0.0, 0.75, 0.25, 1.0]);
    check(&Op::HardSwish, [NAN, 0.0, -0.0, INF, NAN, 2.0 / 3.0, -1.0 / 3.0, 7.0]);
    check(&Op::Clip(ops::Clip { min: Some(0.0), max: Some(6.0) }), [NAN, 0.0, -0.0, 6.0, 0.0, 1.0, 0.0, 6.0]);
    check(&Op::Clip(ops::Clip { min: Some(2.0), max: Some(1.0) }), [NAN, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    check(&Op::Clip(ops::Clip { min: Some(-1.0), max: None }), [NAN, 0.0, -0.0, INF, -1.0, 1.0, -1.0, 7.0]);
}

/// Special values are the same; others are within the bounds of the vectorized functions.
#[test]
fn engines_agree_on_special_values() {
    let functions = [
        Op::Sigmoid,
        Op::Tanh,
        Op::Erf,
        Op::Exp,
        Op::Gelu(ops::Gelu { tanh: false }),
        Op::Gelu(ops::Gelu { tanh: true }),
        Op::Swish(ops::Swish { alpha: 0.5 }),
        Op::Mish,
        Op::Neg,
        Op::Abs,
        Op::Sqrt,
        Op::Reciprocal,
        Op::Softmax(ops::Softmax { axis: 1 }),
        Op::GlobalMaxPool,
        Op::GlobalAveragePool,
    ];
    let near = |(a, b): (&u32, &u32)| {
        let (a, b) = (f32::from_bits(*a), f32::from_bits(*b));
        a.to_bits() == b.to_bits()
            || a.is_finite() && b.is_finite() && (a - b).abs() <= 5e-7 * b.abs().max(f32::MIN_POSITIVE)
    };
    let window = Window {
        kernel: vec![1, 2],
        strides: vec![1; 2],
        dilations: vec![1; 2],
        pads_begin: vec![0, 1],
        pads_end: vec![0, 1],
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
    };
    let pools = [
        Op::MaxPool(ops::MaxPool { window: window.clone() }),
        Op::AveragePool(ops::AveragePool { window, count_include_pad: true }),
        Op::ReduceMean(ops::ReduceMean { axes: vec![2, 3], keep_dims: true }),
    ];
    for op in functions.into_iter().chain(pools) {
        let graph = unary(op.clone(), &[1, 1, 1, 8]);
        for turn in 0..8 {
            let mut x = SPECIAL;
            x.rotate_left(turn);
            let x = [Tensor::from_f32(vec![1, 1, 1, 8], x.to_vec())];
            let expected = canonical(&Reference::new(&graph).run(&x).expect("runs"));
            let got = CpuExecutor::new(&graph).expect("constants evaluate").run(&x).expect("runs");
            let got = canonical(&got);
            let same = got.iter().flatten().zip(expected.iter().flatten()).all(near);
            assert!(same, "{op:?}, turn {turn}: {got:x?}, not {expected:x?}");
        }
    }
}

type Function = fn(f32, f32) -> f32;

/// Additions, products and quotients are those of IEEE 754, whether the other operand is a constant, one parameter a
/// channel, or computed.
#[test]
fn arithmetic_follows_ieee() {
    let n = SPECIAL.len();
    let pairs: Vec<(f32, f32)> = SPECIAL.iter().flat_map(|&a| SPECIAL.iter().map(move |&b| (a, b))).collect();
    let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
    let functions: [(Op, Function); 4] =
        [(Op::Add, |a, b| a + b), (Op::Sub, |a, b| a - b), (Op::Mul, |a, b| a * b), (Op::Div, |a, b| a / b)];
    for (op, function) in functions {
        for constant in [false, true] {
            let mut builder = GraphBuilder::new(op.name());
            let dims = || vec![Dim::Free("N".into()), Dim::Fixed(n * n), Dim::Fixed(1), Dim::Fixed(1)];
            let x = builder.input("x", DType::F32, dims());
            let y = if constant {
                builder.constant("c", Tensor::from_f32(vec![n * n, 1, 1], b.clone()))
            } else {
                builder.input("y", DType::F32, dims())
            };
            let z = builder.node("z", op.clone(), &[x, y]);
            builder.output(z);
            let graph = builder.build().expect("well-formed");
            let mut inputs = vec![Tensor::from_f32(vec![1, n * n, 1, 1], a.clone())];
            inputs.extend((!constant).then(|| Tensor::from_f32(vec![1, n * n, 1, 1], b.clone())));
            let right: Vec<f32> = a.iter().zip(&b).map(|(&a, &b)| function(a, b)).collect();
            let right = canonical(&[Tensor::from_f32(vec![1, n * n, 1, 1], right)]);
            assert_eq!(canonical(&Reference::new(&graph).run(&inputs).expect("runs")), right, "reference, {op:?}");
            let executor = CpuExecutor::new(&graph).expect("constants evaluate");
            assert_eq!(canonical(&executor.run(&inputs).expect("runs")), right, "f32 engine, {op:?}, {constant}");
        }
    }
}

/// Padding and dilation of 10^8: all but the middle tap read padding, which is not to be stored.
#[test]
fn wide_paddings_are_not_stored() {
    const FAR: usize = 100_000_000;
    for (channels, groups) in [(1, 1), (16, 1), (3, 3)] {
        let mut builder = GraphBuilder::new("wide");
        let dims = vec![Dim::Free("N".into()), Dim::Fixed(channels), Dim::Fixed(2), Dim::Fixed(4)];
        let x = builder.input("x", DType::F32, dims);
        let n = channels * channels / groups * 9;
        let weight = Tensor::from_f32(vec![channels, channels / groups, 3, 3], (0..n).map(|i| i as f32).collect());
        let weight = builder.constant("w", weight);
        let window = Window {
            kernel: vec![3; 2],
            strides: vec![1; 2],
            dilations: vec![FAR; 2],
            pads_begin: vec![FAR; 2],
            pads_end: vec![FAR; 2],
            auto_pad: AutoPad::NotSet,
            ceil_mode: false,
        };
        let conv = builder.node("conv", Op::Conv(ops::Conv { window, groups }), &[x, weight]);
        let sum = builder.node("sum", Op::Add, &[conv, x]);
        let relu = builder.node("relu", Op::Relu, &[sum]);
        builder.output(relu);
        let graph = builder.build().expect("well-formed");
        let shape = vec![2, channels, 2, 4];
        let x = [Tensor::from_f32(shape.clone(), (0..16 * channels).map(|i| i as f32 - 5.0).collect())];
        let executor = CpuExecutor::new(&graph).expect("constants evaluate");
        assert!(executor.working_bytes(&[shape], 2).expect("fits") < 100_000);
        let (got, expected) = (executor.run(&x).expect("runs"), Reference::new(&graph).run(&x).expect("runs"));
        assert_eq!(got, expected, "{channels} channels, {groups} groups");
    }
}
