//! Hand-computed vectors, operator by operator.

use super::{Reference, evaluate};
use crate::{AutoPad, DType, Data, Dim, Executor, Gemm, GraphBuilder, Op, Pad, PadMode, Slice, Tensor, Window};

fn f(shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::from_f32(shape.to_vec(), data.to_vec())
}

fn t<T>(shape: &[usize], data: &[T]) -> Tensor
where
    T: Clone,
    Data: From<Vec<T>>,
{
    Tensor::new(shape.to_vec(), data.to_vec().into()).unwrap()
}

/// A window with stride and dilation 1 and the same padding at both ends.
fn window(kernel: &[usize], pads: &[usize]) -> Window {
    Window {
        kernel: kernel.to_vec(),
        strides: vec![1; kernel.len()],
        dilations: vec![1; kernel.len()],
        pads_begin: pads.to_vec(),
        pads_end: pads.to_vec(),
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
    }
}

#[derive(Debug)]
struct Case {
    what: &'static str,
    op: Op,
    inputs: Vec<Tensor>,
    expected: Vec<Tensor>,
}

fn case(what: &'static str, op: Op, inputs: &[Tensor], expected: Tensor) -> Case {
    Case { what, op, inputs: inputs.to_vec(), expected: vec![expected] }
}

/// All vectors are exact in f32, so results are compared with `==`.
fn check(cases: Vec<Case>) {
    let mut failures = Vec::new();
    for case in cases {
        let inputs: Vec<Option<&Tensor>> = case.inputs.iter().map(Some).collect();
        match evaluate(&case.op, "node", &inputs) {
            Ok(found) if found == case.expected => {}
            found => failures.push(format!("{}: expected {:?}, found {found:?}", case.what, case.expected)),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn convolutions() {
    let conv = |window: Window, groups: usize| Op::Conv { window, groups };
    let x = f(&[1, 1, 3, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    let ones = f(&[1, 1, 2, 2], &[1.0; 4]);
    let strided = Window { strides: vec![2, 2], ..window(&[2, 2], &[1, 1]) };
    let dilated = Window { dilations: vec![2, 2], ..window(&[2, 2], &[0, 0]) };
    let same = |auto_pad| Window { auto_pad, ..window(&[2, 2], &[0, 0]) };
    check(vec![
        case("valid", conv(window(&[2, 2], &[0, 0]), 1), &[x.clone(), ones.clone()], {
            f(&[1, 1, 2, 2], &[12.0, 16.0, 24.0, 28.0])
        }),
        case(
            "bias",
            conv(window(&[2, 2], &[0, 0]), 1),
            &[x.clone(), ones.clone(), f(&[1], &[-12.0])],
            f(&[1, 1, 2, 2], &[0.0, 4.0, 12.0, 16.0]),
        ),
        case("stride and padding", conv(strided, 1), &[x.clone(), ones.clone()], {
            f(&[1, 1, 2, 2], &[1.0, 5.0, 11.0, 28.0])
        }),
        case("dilation", conv(dilated, 1), &[x.clone(), ones.clone()], f(&[1, 1, 1, 1], &[20.0])),
        case("same upper", conv(same(AutoPad::SameUpper), 1), &[x.clone(), ones.clone()], {
            f(&[1, 1, 3, 3], &[12.0, 16.0, 9.0, 24.0, 28.0, 15.0, 15.0, 17.0, 9.0])
        }),
        case("same lower", conv(same(AutoPad::SameLower), 1), &[x.clone(), ones.clone()], {
            f(&[1, 1, 3, 3], &[1.0, 3.0, 5.0, 5.0, 12.0, 16.0, 11.0, 24.0, 28.0])
        }),
        case(
            "groups: 4 channels to 2 in 2 groups",
            conv(window(&[1, 1], &[0, 0]), 2),
            &[
                f(&[1, 4, 1, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
                f(&[2, 2, 1, 1], &[1.0, 10.0, 100.0, 1000.0]),
            ],
            f(&[1, 2, 1, 2], &[31.0, 42.0, 7500.0, 8600.0]),
        ),
        case(
            "one axis",
            conv(window(&[3], &[1]), 1),
            &[f(&[1, 1, 4], &[1.0, 2.0, 3.0, 4.0]), f(&[1, 1, 3], &[1.0, 10.0, 100.0])],
            f(&[1, 1, 4], &[210.0, 321.0, 432.0, 43.0]),
        ),
        case(
            "three axes",
            conv(window(&[2, 1, 2], &[0, 0, 0]), 1),
            &[f(&[1, 1, 2, 1, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), f(&[1, 1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0])],
            f(&[1, 1, 1, 1, 2], &[37.0, 47.0]),
        ),
        case(
            "batch of none",
            conv(window(&[2, 2], &[0, 0]), 1),
            &[f(&[0, 1, 3, 3], &[]), ones.clone()],
            f(&[0, 1, 2, 2], &[]),
        ),
    ]);
}

#[test]
fn pools() {
    let x = f(&[1, 1, 3, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    let average = |window: Window, count_include_pad| Op::AveragePool { window, count_include_pad };
    let ceil = Window { strides: vec![2, 2], ceil_mode: true, ..window(&[2, 2], &[0, 0]) };
    // Without the rule, 2 of 3 windows would start in the end padding.
    let ceil_padded = Window { strides: vec![2], ceil_mode: true, ..window(&[2], &[1]) };
    let dilated = Window { dilations: vec![2, 2], ..window(&[2, 2], &[0, 0]) };
    check(vec![
        case("max", Op::MaxPool(window(&[2, 2], &[0, 0])), std::slice::from_ref(&x), {
            f(&[1, 1, 2, 2], &[5.0, 6.0, 8.0, 9.0])
        }),
        case("max ceil", Op::MaxPool(ceil.clone()), std::slice::from_ref(&x), {
            f(&[1, 1, 2, 2], &[5.0, 6.0, 8.0, 9.0])
        }),
        case("max, padding never wins", Op::MaxPool(window(&[2], &[1])), &[f(&[1, 1, 2], &[-1.0, -2.0])], {
            f(&[1, 1, 3], &[-1.0, -1.0, -2.0])
        }),
        case(
            "max ceil, no window starts in the padding",
            Op::MaxPool(ceil_padded),
            &[f(&[1, 1, 3], &[3.0, 1.0, 2.0])],
            f(&[1, 1, 2], &[3.0, 2.0]),
        ),
        case("max dilated", Op::MaxPool(dilated), std::slice::from_ref(&x), f(&[1, 1, 1, 1], &[9.0])),
        case(
            "max u8",
            Op::MaxPool(window(&[2], &[0])),
            &[t(&[1, 1, 3], &[1_u8, 200, 3])],
            t(&[1, 1, 2], &[200_u8, 200]),
        ),
        case("average", average(window(&[2, 2], &[0, 0]), false), std::slice::from_ref(&x), {
            f(&[1, 1, 2, 2], &[3.0, 4.0, 6.0, 7.0])
        }),
        case("average without padding", average(window(&[2], &[1]), false), &[f(&[1, 1, 2], &[2.0, 6.0])], {
            f(&[1, 1, 3], &[2.0, 4.0, 6.0])
        }),
        case("average with padding", average(window(&[2], &[1]), true), &[f(&[1, 1, 2], &[2.0, 6.0])], {
            f(&[1, 1, 3], &[1.0, 4.0, 3.0])
        }),
        // The last window reaches one element beyond the input; that element never counts.
        case("average ceil with padding", average(ceil, true), std::slice::from_ref(&x), {
            f(&[1, 1, 2, 2], &[3.0, 4.5, 7.5, 9.0])
        }),
        case("global average", Op::GlobalAveragePool, std::slice::from_ref(&x), f(&[1, 1, 1, 1], &[5.0])),
        case("global max", Op::GlobalMaxPool, std::slice::from_ref(&x), f(&[1, 1, 1, 1], &[9.0])),
        case(
            "reduce mean",
            Op::ReduceMean { axes: vec![-1, 1], keep_dims: false },
            &[f(&[2, 2, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])],
            f(&[2], &[2.5, 6.5]),
        ),
        case(
            "reduce mean of the middle",
            Op::ReduceMean { axes: vec![1], keep_dims: true },
            &[f(&[2, 2, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])],
            f(&[2, 1, 2], &[2.0, 3.0, 6.0, 7.0]),
        ),
        case(
            "reduce mean of integers truncates",
            Op::ReduceMean { axes: vec![], keep_dims: true },
            &[t(&[2], &[-3_i64, -4])],
            t(&[1], &[-3_i64]),
        ),
    ]);
}

#[test]
fn matrix_products() {
    let a = f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let b = f(&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    let gemm = |trans_a, trans_b| Op::Gemm(Gemm { alpha: 2.0, beta: 0.5, trans_a, trans_b });
    let a_t = f(&[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    let b_t = f(&[2, 3], &[1.0, 0.0, 1.0, 0.0, 1.0, 1.0]);
    let product = f(&[2, 2], &[8.0, 10.0, 20.0, 22.0]);
    check(vec![
        case("gemm", gemm(false, false), &[a.clone(), b.clone()], product.clone()),
        case("gemm transposed", gemm(true, true), &[a_t, b_t], product),
        case("gemm with a row", gemm(false, false), &[a.clone(), b.clone(), f(&[2], &[2.0, 4.0])], {
            f(&[2, 2], &[9.0, 12.0, 21.0, 24.0])
        }),
        case("gemm with a column", gemm(false, false), &[a.clone(), b.clone(), f(&[2, 1], &[2.0, 4.0])], {
            f(&[2, 2], &[9.0, 11.0, 22.0, 24.0])
        }),
        case("matmul", Op::MatMul, &[a.clone(), b.clone()], f(&[2, 2], &[4.0, 5.0, 10.0, 11.0])),
        case("matmul of vectors", Op::MatMul, &[f(&[2], &[1.0, 2.0]), f(&[2], &[3.0, 4.0])], f(&[], &[11.0])),
        case("matmul with a vector", Op::MatMul, &[a, f(&[3], &[1.0, 1.0, 0.0])], f(&[2], &[3.0, 9.0])),
        case(
            "matmul broadcasts batches",
            Op::MatMul,
            &[f(&[2, 1, 1, 2], &[1.0, 2.0, 3.0, 4.0]), f(&[2, 2, 1], &[1.0, 1.0, 10.0, 100.0])],
            f(&[2, 2, 1, 1], &[3.0, 210.0, 7.0, 430.0]),
        ),
        case("matmul of i32 wraps", Op::MatMul, &[t(&[1], &[i32::MAX]), t(&[1], &[2_i32])], t(&[], &[-2_i32])),
    ]);
}

#[test]
fn elementwise() {
    let x = f(&[5], &[-2.0, -0.0, 0.5, 1.0, 4.0]);
    let clip = |min, max| Op::Clip { min, max };
    check(vec![
        case("relu", Op::Relu, std::slice::from_ref(&x), f(&[5], &[0.0, 0.0, 0.5, 1.0, 4.0])),
        case("relu of i32", Op::Relu, &[t(&[2], &[-1_i32, 3])], t(&[2], &[0_i32, 3])),
        case("leaky relu", Op::LeakyRelu { alpha: 0.25 }, std::slice::from_ref(&x), {
            f(&[5], &[-0.5, 0.0, 0.5, 1.0, 4.0])
        }),
        case(
            "prelu with a slope per channel",
            Op::PRelu,
            &[f(&[1, 2, 2], &[-1.0, 2.0, -3.0, 4.0]), f(&[2, 1], &[0.5, 2.0])],
            f(&[1, 2, 2], &[-0.5, 2.0, -6.0, 4.0]),
        ),
        case("clip", clip(Some(-1.0), Some(1.0)), std::slice::from_ref(&x), f(&[5], &[-1.0, 0.0, 0.5, 1.0, 1.0])),
        case("clip below", clip(Some(0.75), None), std::slice::from_ref(&x), f(&[5], &[0.75, 0.75, 0.75, 1.0, 4.0])),
        case("clip, min above max", clip(Some(2.0), Some(1.0)), std::slice::from_ref(&x), f(&[5], &[1.0; 5])),
        case("clip of i8", clip(Some(-200.0), Some(2.0)), &[t(&[2], &[-128_i8, 3])], t(&[2], &[-128_i8, 2])),
        case("sigmoid", Op::Sigmoid, &[f(&[2], &[0.0, 200.0])], f(&[2], &[0.5, 1.0])),
        case("hard sigmoid", Op::HardSigmoid { alpha: 0.25, beta: 0.5 }, std::slice::from_ref(&x), {
            f(&[5], &[0.0, 0.5, 0.625, 0.75, 1.0])
        }),
        case("hard swish", Op::HardSwish, &[f(&[4], &[-3.0, 0.0, 1.5, 3.0])], f(&[4], &[0.0, 0.0, 1.125, 3.0])),
        case("tanh", Op::Tanh, &[f(&[2], &[0.0, 100.0])], f(&[2], &[0.0, 1.0])),
        case("sign", Op::Sign, std::slice::from_ref(&x), f(&[5], &[-1.0, 0.0, 1.0, 1.0, 1.0])),
        case("add broadcasts", Op::Add, &[f(&[2, 1], &[1.0, 2.0]), f(&[3], &[10.0, 20.0, 30.0])], {
            f(&[2, 3], &[11.0, 21.0, 31.0, 12.0, 22.0, 32.0])
        }),
        case("sub of u8 wraps", Op::Sub, &[t(&[1], &[1_u8]), t(&[1], &[2_u8])], t(&[1], &[255_u8])),
        case("mul", Op::Mul, &[f(&[2], &[3.0, -2.0]), f(&[], &[2.0])], f(&[2], &[6.0, -4.0])),
        case("div", Op::Div, &[f(&[2], &[3.0, -2.0]), f(&[1], &[2.0])], f(&[2], &[1.5, -1.0])),
        case("div of i32 truncates", Op::Div, &[t(&[3], &[-7_i32, 7, i32::MIN]), t(&[3], &[2_i32, -2, -1])], {
            t(&[3], &[-3_i32, -3, i32::MIN])
        }),
    ]);
    let zero = [t(&[1], &[1_i64]), t(&[1], &[0_i64])];
    let error = evaluate(&Op::Div, "d", &[Some(&zero[0]), Some(&zero[1])]).unwrap_err();
    assert_eq!(error.to_string(), "node \"d\" (Div): integer division by zero");
}

#[test]
fn not_a_number_is_handed_on() {
    let x = f(&[1, 1, 2], &[f32::NAN, 1.0]);
    let clip = Op::Clip { min: Some(0.0), max: Some(1.0) };
    for op in [Op::Relu, clip, Op::Sign, Op::MaxPool(window(&[2], &[0])), Op::GlobalMaxPool] {
        let y = evaluate(&op, "node", &[Some(&x)]).unwrap();
        assert!(y[0].as_f32().unwrap()[0].is_nan(), "{op:?}: {y:?}");
    }
}

#[test]
fn normalizations() {
    check(vec![
        case(
            "batch norm",
            Op::BatchNormalization { epsilon: 0.0 },
            &[
                f(&[1, 2, 2], &[1.0, 3.0, 5.0, 7.0]),
                f(&[2], &[2.0, 1.0]),
                f(&[2], &[1.0, 0.0]),
                f(&[2], &[1.0, 5.0]),
                f(&[2], &[4.0, 0.25]),
            ],
            f(&[1, 2, 2], &[1.0, 3.0, 0.0, 4.0]),
        ),
        case("softmax", Op::Softmax { axis: 1 }, &[f(&[1, 2, 2], &[0.0, 500.0, 0.0, -500.0])], {
            f(&[1, 2, 2], &[0.5, 1.0, 0.5, 0.0])
        }),
        // Window of 2: the channel itself and the next.
        case(
            "lrn",
            Op::Lrn { size: 2, alpha: 2.0, beta: 1.0, bias: 1.0 },
            &[f(&[1, 3, 1], &[1.0, 2.0, 3.0])],
            f(&[1, 3, 1], &[1.0 / 6.0, 2.0 / 14.0, 0.3]),
        ),
    ]);
}

#[test]
fn moves() {
    let x = f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let slice = |axes: &[i64], starts: &[i64], ends: &[i64], steps: &[i64]| {
        Op::Slice(Slice { axes: axes.into(), starts: starts.into(), ends: ends.into(), steps: steps.into() })
    };
    let pad =
        |begin: &[i64], end: &[i64], mode, value| Op::Pad(Pad { begin: begin.into(), end: end.into(), mode, value });
    let row = f(&[3], &[1.0, 2.0, 3.0]);
    let reshape = |shape: &[i64]| Op::Reshape { shape: shape.into(), allow_zero: false };
    check(vec![
        case("concat", Op::Concat { axis: -1 }, &[x.clone(), f(&[2, 1], &[7.0, 8.0])], {
            f(&[2, 4], &[1.0, 2.0, 3.0, 7.0, 4.0, 5.0, 6.0, 8.0])
        }),
        Case {
            what: "split",
            op: Op::Split { axis: 1, sizes: vec![1, 2] },
            inputs: vec![x.clone()],
            expected: vec![f(&[2, 1], &[1.0, 4.0]), f(&[2, 2], &[2.0, 3.0, 5.0, 6.0])],
        },
        case(
            "slice",
            slice(&[1], &[1], &[i64::MAX], &[1]),
            std::slice::from_ref(&x),
            f(&[2, 2], &[2.0, 3.0, 5.0, 6.0]),
        ),
        case("slice backwards", slice(&[-1], &[-1], &[i64::MIN], &[-2]), std::slice::from_ref(&x), {
            f(&[2, 2], &[3.0, 1.0, 6.0, 4.0])
        }),
        case(
            "slice both",
            slice(&[1, 0], &[0, 1], &[-1, 2], &[1, 1]),
            std::slice::from_ref(&x),
            f(&[1, 2], &[4.0, 5.0]),
        ),
        case("slice to nothing", slice(&[1], &[2], &[1], &[1]), std::slice::from_ref(&x), f(&[2, 0], &[])),
        case(
            "slice with a huge step",
            slice(&[1], &[0], &[3], &[i64::MAX]),
            std::slice::from_ref(&x),
            f(&[2, 1], &[1.0, 4.0]),
        ),
        case("pad", pad(&[0, 1], &[1, -1], PadMode::Constant, 9.0), std::slice::from_ref(&x), {
            f(&[3, 3], &[9.0, 1.0, 2.0, 9.0, 4.0, 5.0, 9.0, 9.0, 9.0])
        }),
        case("pad reflect", pad(&[2], &[2], PadMode::Reflect, 0.0), std::slice::from_ref(&row), {
            f(&[7], &[3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0])
        }),
        case("pad edge", pad(&[2], &[1], PadMode::Edge, 0.0), std::slice::from_ref(&row), {
            f(&[6], &[1.0, 1.0, 1.0, 2.0, 3.0, 3.0])
        }),
        case("pad wrap", pad(&[2], &[1], PadMode::Wrap, 0.0), std::slice::from_ref(&row), {
            f(&[6], &[2.0, 3.0, 1.0, 2.0, 3.0, 1.0])
        }),
        case("pad bool", pad(&[1], &[0], PadMode::Constant, 1.0), &[t(&[1], &[false])], t(&[2], &[true, false])),
        case("transpose", Op::Transpose { perm: vec![1, 0] }, std::slice::from_ref(&x), {
            f(&[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0])
        }),
        case("flatten", Op::Flatten { axis: 0 }, std::slice::from_ref(&x), f(&[1, 6], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        case("flatten at the end", Op::Flatten { axis: 2 }, std::slice::from_ref(&x), {
            f(&[6, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        }),
        case("reshape", reshape(&[0, 1, -1]), std::slice::from_ref(&x), f(&[2, 1, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        case("squeeze", Op::Squeeze { axes: vec![] }, &[f(&[1, 2, 1], &[1.0, 2.0])], f(&[2], &[1.0, 2.0])),
        case("squeeze one", Op::Squeeze { axes: vec![-1] }, &[f(&[1, 2, 1], &[1.0, 2.0])], f(&[1, 2], &[1.0, 2.0])),
        case("unsqueeze", Op::Unsqueeze { axes: vec![0, -1] }, &[f(&[2], &[1.0, 2.0])], f(&[1, 2, 1], &[1.0, 2.0])),
        case("identity", Op::Identity, std::slice::from_ref(&row), row.clone()),
        case("dropout", Op::Dropout { ratio: 0.5 }, std::slice::from_ref(&row), row.clone()),
    ]);
}

#[test]
fn conversions() {
    let cast = |to| Op::Cast { to };
    let quantize = Op::QuantizeLinear { axis: 1 };
    let dequantize = Op::DequantizeLinear { axis: 0 };
    let x = f(&[1, 2, 2], &[0.5, 1.5, -100.0, 3.0]);
    check(vec![
        case("to i8", cast(DType::I8), &[f(&[4], &[-1.9, 300.0, f32::NAN, -300.0])], t(&[4], &[-1_i8, 127, 0, -128])),
        case("i32 to u8 wraps", cast(DType::U8), &[t(&[2], &[256_i32, -1])], t(&[2], &[0_u8, 255])),
        case("to bool", cast(DType::Bool), &[f(&[3], &[-0.0, 0.1, f32::NAN])], t(&[3], &[false, true, true])),
        case("bool to f32", cast(DType::F32), &[t(&[2], &[true, false])], f(&[2], &[1.0, 0.0])),
        case("f64 to f32", cast(DType::F32), &[t(&[1], &[1.0_f64 + 2_f64.powi(-25)])], f(&[1], &[1.0])),
        case("quantize half to even", quantize.clone(), &[x.clone(), f(&[], &[1.0])], t(&[1, 2, 2], &[0_u8, 2, 0, 3])),
        case(
            "quantize per axis",
            quantize,
            &[x, f(&[2], &[0.5, 1.0]), t(&[2], &[0_i8, -100])],
            t(&[1, 2, 2], &[1_i8, 3, -128, -97]),
        ),
        case(
            "dequantize per axis",
            dequantize.clone(),
            &[t(&[2, 1], &[1_u8, 255]), f(&[2], &[0.5, 2.0]), t(&[2], &[3_u8, 255])],
            f(&[2, 1], &[-1.0, 0.0]),
        ),
        case("dequantize i32", dequantize, &[t(&[2], &[-7_i32, 1]), f(&[], &[0.5])], f(&[2], &[-3.5, 0.5])),
    ]);
}

#[test]
fn a_graph_shows_every_value_and_checks_its_inputs() {
    let mut builder = GraphBuilder::new("g");
    let x = builder.input("x", DType::F32, vec![Dim::Free("N".to_owned()), Dim::Fixed(2)]);
    let doubled = builder.node("doubled", Op::Add, &[x, x]);
    let parts = builder.node_with_outputs("split", Op::Split { axis: 1, sizes: vec![1, 1] }, &[doubled], 2);
    let y = builder.node("y", Op::Sub, &[parts[0], parts[1]]);
    builder.output(y);
    builder.output(x);
    let reference = Reference::new(&builder.build().unwrap());
    assert_eq!(reference.name(), "reference");
    let mut seen = Vec::new();
    let input = f(&[1, 2], &[3.0, 1.0]);
    let outputs = reference.run_observed(std::slice::from_ref(&input), &mut |id, tensor| {
        seen.push((reference.graph().value(id).name.clone(), tensor.as_f32().unwrap().to_vec()));
    });
    assert_eq!(outputs.unwrap(), [f(&[1, 1], &[4.0]), input]);
    let expected = [("doubled", vec![6.0, 2.0]), ("split.0", vec![6.0]), ("split.1", vec![2.0]), ("y", vec![4.0])];
    assert_eq!(seen, expected.map(|(name, values)| (name.to_owned(), values)));

    let wrong = [
        (vec![f(&[1, 3], &[0.0; 3])], "input \"x\": has extent 3 on axis 1, expected 2"),
        (vec![f(&[2], &[0.0; 2])], "input \"x\": has 1 dims, expected 2"),
        (vec![t(&[1, 2], &[0_i64; 2])], "input \"x\": has element type i64, expected f32"),
        (vec![], "graph \"g\": got 0 inputs, expected 1"),
    ];
    for (inputs, expected) in wrong {
        assert_eq!(reference.run(&inputs).unwrap_err().to_string(), expected);
    }
}

#[test]
fn sums_are_rounded_once() {
    // In f32, each 2^-25 would vanish beside 1; the exact sum is 1 + 2^-20.
    let n = 33;
    let mut x = vec![2_f32.powi(-25); n];
    x[0] = 1.0;
    let window = window(&[n], &[0]);
    let inputs = [f(&[1, 1, n], &x), f(&[1, 1, n], &vec![1.0; n])];
    let y = evaluate(&Op::Conv { window, groups: 1 }, "node", &[Some(&inputs[0]), Some(&inputs[1])]).unwrap();
    assert_eq!(y[0].as_f32().unwrap(), [1.0 + 2_f32.powi(-20)]);
}
