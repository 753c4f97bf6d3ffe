//! Rules that the interpreter's own vectors do not reach, and hostile input.

use skimp_numerics::rng::Draws;

use super::{TensorType, WindowAxis, bind, broadcast, infer, output_shapes, window_axes};
use crate::ops;
use crate::reference::evaluate;
use crate::{AutoPad, DType, Dim, Gemm, GraphBuilder, Op, Pad, PadMode, Slice, Tensor, Window};

fn window(kernel: usize, stride: usize, pad: usize) -> Window {
    Window {
        kernel: vec![kernel],
        strides: vec![stride],
        dilations: vec![1],
        pads_begin: vec![pad],
        pads_end: vec![pad],
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
    }
}

fn conv(window: Window, groups: usize) -> Op {
    Op::Conv(ops::Conv { window, groups })
}

fn f32s(shape: &[usize]) -> TensorType {
    TensorType { dtype: DType::F32, shape: shape.to_vec() }
}

fn message(op: &Op, inputs: &[TensorType]) -> String {
    let inputs: Vec<Option<&TensorType>> = inputs.iter().map(Some).collect();
    output_shapes(op, "it", &inputs).map_or_else(|error| error.to_string(), |found| format!("accepted: {found:?}"))
}

#[test]
fn errors_name_node_and_cause() {
    let gemm = Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false });
    let no_stride = Window { strides: vec![0], ..window(1, 1, 0) };
    let short = Window { pads_end: vec![], ..window(1, 1, 0) };
    let huge = Window { dilations: vec![usize::MAX], ..window(3, 1, 0) };
    let ceil = Window { ceil_mode: true, ..window(1, 1, 0) };
    let step = Slice { axes: vec![0], starts: vec![0], ends: vec![1], steps: vec![0] };
    let twice = Slice { axes: vec![0, -1], starts: vec![0; 2], ends: vec![1; 2], steps: vec![1; 2] };
    let crop = Pad { begin: vec![-3], end: vec![0], mode: PadMode::Constant, value: 0.0 };
    let grow = Pad { begin: vec![i64::MAX], end: vec![i64::MAX], mode: PadMode::Constant, value: 0.0 };
    let reshape = |shape: &[i64]| Op::Reshape(ops::Reshape { shape: shape.to_vec(), allow_zero: false });
    let cases: Vec<(Op, Vec<TensorType>, &str)> = vec![
        (Op::Relu, vec![], "(Relu): has 0 inputs, expected 1"),
        (conv(window(1, 1, 0), 1), vec![f32s(&[1, 2, 3])], "(Conv): has 1 inputs, expected 2 to 3"),
        (
            conv(window(1, 1, 0), 1),
            vec![f32s(&[1, 2]), f32s(&[1, 2])],
            "input has 2 dims, expected 3 or more (n, c, ..)",
        ),
        (
            conv(window(1, 1, 0), 1),
            vec![f32s(&[1, 2, 3]), f32s(&[1, 2])],
            "weight has 2 dims, expected 3 (k, c / groups, ..)",
        ),
        (
            conv(window(1, 1, 0), 1),
            vec![f32s(&[1, 2, 3]), f32s(&[1, 3, 1])],
            "weight has 3 channels, expected 2 (2 input channels in 1 groups)",
        ),
        (
            conv(window(1, 1, 0), 0),
            vec![f32s(&[1, 2, 3]), f32s(&[1, 2, 1])],
            "0 groups do not divide 2 input and 1 output channels",
        ),
        (
            conv(window(1, 1, 0), 2),
            vec![f32s(&[1, 2, 3]), f32s(&[3, 1, 1])],
            "2 groups do not divide 2 input and 3 output channels",
        ),
        (conv(window(2, 1, 0), 1), vec![f32s(&[1, 2, 3]), f32s(&[1, 2, 1])], "kernel_shape is [2], the weight has [1]"),
        (
            conv(window(4, 1, 0), 1),
            vec![f32s(&[1, 2, 3]), f32s(&[1, 2, 4])],
            "a kernel that spans 4 does not fit an input of 3, 3 with padding",
        ),
        (conv(no_stride, 1), vec![f32s(&[1, 2, 3]), f32s(&[1, 2, 1])], "spatial axis 0: stride is 0"),
        (conv(short, 1), vec![f32s(&[1, 2, 3]), f32s(&[1, 2, 1])], "end pads has 0 entries, expected 1"),
        (conv(huge, 1), vec![f32s(&[1, 2, 3]), f32s(&[1, 2, 3])], "extents are too large"),
        (conv(ceil, 1), vec![f32s(&[1, 2, 3]), f32s(&[1, 2, 1])], "ceil_mode is for pooling only"),
        (
            conv(window(1, 1, 0), 1),
            vec![f32s(&[1, 2, 3]), f32s(&[4, 2, 1]), f32s(&[3])],
            "bias has shape [3], expected [4]",
        ),
        (conv(window(1, 1, 1 << 45), 1), vec![f32s(&[1, 1, 3]), f32s(&[1, 1, 1])], "has more than 2^40 elements"),
        (
            Op::MaxPool(ops::MaxPool { window: window(2, 1, 2) }),
            vec![f32s(&[1, 1, 3])],
            "padding 2, expected less than the 2 that the kernel spans",
        ),
        (Op::Relu, vec![TensorType { dtype: DType::Bool, shape: vec![] }], "has element type bool, expected a number"),
        (Op::Tanh, vec![TensorType { dtype: DType::I8, shape: vec![] }], "unsupported: element type i8"),
        (Op::Add, vec![f32s(&[2, 3]), f32s(&[2])], "shapes [2, 3] and [2] do not broadcast"),
        (
            Op::Add,
            vec![f32s(&[2]), TensorType { dtype: DType::F64, shape: vec![2] }],
            "input 1 has element type f64, expected f32",
        ),
        (Op::Mul, vec![f32s(&[1 << 30, 1]), f32s(&[1 << 30])], "has more than 2^40 elements"),
        (gemm.clone(), vec![f32s(&[2, 3]), f32s(&[2, 3])], "inner extents differ: 3 of [2, 3], 2 of [2, 3]"),
        (gemm, vec![f32s(&[2, 3]), f32s(&[3, 4]), f32s(&[2])], "addend [2] does not broadcast to [2, 4]"),
        (Op::MatMul, vec![f32s(&[]), f32s(&[2])], "an operand is a scalar"),
        (Op::Concat(ops::Concat { axis: 2 }), vec![f32s(&[2, 3])], "axis 2 is out of range for 2 dims"),
        (Op::Concat(ops::Concat { axis: -3 }), vec![f32s(&[2, 3])], "axis -3 is out of range for 2 dims"),
        (
            Op::Concat(ops::Concat { axis: 0 }),
            vec![f32s(&[2, 3]), f32s(&[2, 4])],
            "input 1 has shape [2, 4], which does not join [2, 3] along axis 0",
        ),
        (
            Op::Split(ops::Split { axis: 0, sizes: vec![usize::MAX, 2] }),
            vec![f32s(&[1])],
            "do not add up to the extent 1",
        ),
        (Op::Slice(step), vec![f32s(&[2])], "step along axis 0 is 0"),
        (Op::Slice(twice), vec![f32s(&[2])], "axis -1 occurs twice"),
        (Op::Pad(crop), vec![f32s(&[2])], "padding of axis 0 turns its extent 2 into -1"),
        (Op::Pad(grow), vec![f32s(&[2])], "into 18446744073709551616"),
        (reshape(&[-1, -1]), vec![f32s(&[2])], "shape has more than one -1"),
        (reshape(&[3, -1]), vec![f32s(&[2])], "cannot reshape [2] to [3, -1]: element counts differ"),
        (reshape(&[1, 0]), vec![f32s(&[2])], "shape copies axis 1, the input has 1 dims"),
        (reshape(&[i64::MAX, i64::MAX]), vec![f32s(&[2])], "extents are too large"),
        (
            Op::Transpose(ops::Transpose { perm: vec![0, 0] }),
            vec![f32s(&[2, 3])],
            "perm [0, 0] is not an order of 2 axes",
        ),
        (Op::Squeeze(ops::Squeeze { axes: vec![0] }), vec![f32s(&[2])], "axis 0 has extent 2, expected 1"),
        (
            Op::QuantizeLinear(ops::QuantizeLinear { axis: 1 }),
            vec![f32s(&[2, 3]), f32s(&[2])],
            "scale has 2 elements, expected 1 or 3 (axis 1)",
        ),
        (
            Op::QuantizeLinear(ops::QuantizeLinear { axis: 1 }),
            vec![f32s(&[2, 3]), f32s(&[2, 1])],
            "unsupported: scale of shape [2, 1] (blocked quantization)",
        ),
    ];
    let mut failures = Vec::new();
    for (op, inputs, expected) in cases {
        let found = message(&op, &inputs);
        if !found.contains(expected) || !found.contains("node \"it\"") {
            failures.push(format!("expected {expected:?}, found {found:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn window_rules() {
    #[derive(Debug)]
    struct Case {
        window: Window,
        input: usize,
        /// Padding before and after, number of windows.
        expected: (usize, usize, usize),
    }
    let auto = |auto_pad, kernel, stride| Window { auto_pad, ..window(kernel, stride, 0) };
    let ceil = |kernel, stride, pad| Window { ceil_mode: true, ..window(kernel, stride, pad) };
    let cases = [
        Case { window: window(3, 2, 1), input: 7, expected: (1, 1, 4) },
        Case { window: window(3, 2, 1), input: 8, expected: (1, 1, 4) },
        Case { window: auto(AutoPad::SameUpper, 3, 2), input: 8, expected: (0, 1, 4) },
        Case { window: auto(AutoPad::SameLower, 3, 2), input: 8, expected: (1, 0, 4) },
        Case { window: auto(AutoPad::SameUpper, 1, 3), input: 7, expected: (0, 0, 3) },
        Case { window: auto(AutoPad::Valid, 3, 2), input: 8, expected: (0, 0, 3) },
        Case { window: ceil(3, 2, 0), input: 8, expected: (0, 0, 4) },
        // Unlimited, the last window would start at 4 = input + begin padding.
        Case { window: ceil(2, 2, 1), input: 3, expected: (1, 1, 2) },
        Case { window: ceil(3, 2, 1), input: 4, expected: (1, 1, 3) },
    ];
    for case in cases {
        let op = Op::MaxPool(ops::MaxPool { window: case.window.clone() });
        let axis = window_axes(&op, "it", &case.window, &[case.input]).unwrap()[0];
        assert_eq!((axis.pad_begin, axis.pad_end, axis.output), case.expected, "{case:?}");
    }
}

#[test]
fn taps_and_windows_are_two_views_of_one_relation() {
    let mut draws = Draws::new(1, 0);
    for _ in 0..500 {
        let mut window = window(draws.between(1, 5), draws.between(1, 4), 0);
        window.dilations[0] = draws.between(1, 3);
        window.pads_begin[0] = draws.below(6);
        window.pads_end[0] = draws.below(6);
        window.ceil_mode = draws.chance(0.5);
        let op = Op::MaxPool(ops::MaxPool { window: window.clone() });
        let Ok(axes) = window_axes(&op, "it", &window, &[draws.below(9)]) else { continue };
        let axis: WindowAxis = axes[0];
        for output_idx in 0..axis.output {
            for tap in 0..axis.kernel {
                let position = (output_idx * axis.stride + tap * axis.dilation) as i64 - axis.pad_begin as i64;
                let is_inside = (0..axis.input as i64).contains(&position);
                assert_eq!(axis.taps(output_idx).contains(&tap), is_inside, "{axis:?}");
                assert_eq!(axis.windows(tap).contains(&output_idx), is_inside, "{axis:?}");
                if is_inside {
                    assert_eq!(axis.input_idx(output_idx, tap) as i64, position);
                }
            }
        }
    }
}

#[test]
fn broadcasting() {
    assert_eq!(broadcast(&[2, 1], &[3]), Some(vec![2, 3]));
    assert_eq!(broadcast(&[], &[4, 0]), Some(vec![4, 0]));
    assert_eq!(broadcast(&[0], &[1]), Some(vec![0]));
    assert_eq!(broadcast(&[0], &[2]), None);
}

#[test]
fn inputs_are_bound_and_checked() {
    let free = |name: &str| Dim::Free(name.to_owned());
    let graph = |dims: Vec<Dim>| {
        let mut builder = GraphBuilder::new("g");
        let x = builder.input("x", DType::F32, dims);
        let y = builder.node("y", Op::Relu, &[x]);
        builder.output(y);
        builder.build().unwrap()
    };
    let open = graph(vec![free("N"), Dim::Fixed(3), free("H"), free("H")]);
    assert_eq!(bind(&open, 2, Some((5, 7))).unwrap(), [[2, 3, 5, 7]]);
    let error = bind(&open, 2, None).unwrap_err().to_string();
    assert_eq!(error, "input \"x\": the network leaves height and width open; give them with --input-size");
    let error = infer(&open, &[vec![2, 3, 5, 7]]).unwrap_err().to_string();
    assert_eq!(error, "input \"x\": has extent 7 on axis 3, expected 5");
    assert!(infer(&open, &[vec![2, 3, 5, 5]]).is_ok());
    assert!(infer(&open, &[]).unwrap_err().to_string().contains("got 0 inputs, expected 1"));

    let fixed = graph([1, 3, 8, 8].map(Dim::Fixed).to_vec());
    assert_eq!(bind(&fixed, 4, None).unwrap(), [[1, 3, 8, 8]]);
    assert!(
        bind(&fixed, 1, Some((9, 8))).unwrap_err().to_string().contains("fixes axis 2 to 8, the input size says 9")
    );
    let features = graph(vec![free("N"), free("C")]);
    assert!(bind(&features, 1, None).unwrap_err().to_string().contains("leaves axis 1 (\"C\") open"));
    let huge = graph(vec![free("N"), Dim::Fixed(1 << 30)]);
    assert!(infer(&huge, &[vec![1 << 20, 1 << 30]]).unwrap_err().to_string().contains("more than 2^40"));
    let total = infer(&huge, &[vec![1 << 10, 1 << 30]]).unwrap_err().to_string();
    assert!(total.contains("hold more than 2^40 elements (reached at node \"y\")"), "{total}");
}

/// Draws an integer that is often small and sometimes extreme.
fn hostile(draws: &mut Draws) -> i64 {
    const EXTREMES: [i64; 8] = [i64::MIN, i64::MAX, i64::MIN + 1, -1, 0, 1 << 31, 1 << 40, -(1 << 62)];
    if draws.chance(0.3) { EXTREMES[draws.below(EXTREMES.len())] } else { draws.below(7) as i64 - 2 }
}

fn hostile_list(draws: &mut Draws, n: usize) -> Vec<i64> {
    let n = if draws.chance(0.9) { n } else { draws.below(5) };
    (0..n).map(|_| hostile(draws)).collect()
}

fn hostile_extents(draws: &mut Draws, n: usize) -> Vec<usize> {
    hostile_list(draws, n).into_iter().map(|extent| extent as usize).collect()
}

fn hostile_window(draws: &mut Draws, n: usize) -> Window {
    let auto_pad = [AutoPad::NotSet, AutoPad::SameUpper, AutoPad::SameLower, AutoPad::Valid][draws.below(4)];
    Window {
        kernel: hostile_extents(draws, n),
        strides: hostile_extents(draws, n),
        dilations: hostile_extents(draws, n),
        pads_begin: hostile_extents(draws, n),
        pads_end: hostile_extents(draws, n),
        auto_pad,
        ceil_mode: draws.chance(0.5),
    }
}

fn hostile_op(draws: &mut Draws, x: &Tensor) -> Op {
    let rank = x.shape().len();
    let n_spatial = rank.saturating_sub(2);
    match draws.below(16) {
        0 => Op::Conv(ops::Conv { window: hostile_window(draws, n_spatial), groups: hostile(draws) as usize }),
        1 => Op::MaxPool(ops::MaxPool { window: hostile_window(draws, n_spatial) }),
        2 => Op::AveragePool(ops::AveragePool {
            window: hostile_window(draws, n_spatial),
            count_include_pad: draws.chance(0.5),
        }),
        3 => Op::Concat(ops::Concat { axis: hostile(draws) }),
        4 => Op::Split(ops::Split { axis: hostile(draws), sizes: hostile_extents(draws, 2) }),
        5 => Op::Slice(Slice {
            axes: (0..rank as i64).collect(),
            starts: hostile_list(draws, rank),
            ends: hostile_list(draws, rank),
            steps: hostile_list(draws, rank),
        }),
        6 | 7 => Op::Pad(Pad {
            begin: hostile_list(draws, rank),
            end: hostile_list(draws, rank),
            mode: [PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap][draws.below(4)],
            value: 1.0,
        }),
        8 => Op::ReduceMean(ops::ReduceMean { axes: hostile_list(draws, 1), keep_dims: draws.chance(0.5) }),
        9 => Op::Flatten(ops::Flatten { axis: hostile(draws) }),
        10 => Op::Reshape(ops::Reshape { shape: hostile_list(draws, rank), allow_zero: draws.chance(0.5) }),
        11 => Op::Transpose(ops::Transpose { perm: hostile_extents(draws, rank) }),
        12 => Op::Squeeze(ops::Squeeze { axes: hostile_list(draws, 1) }),
        13 => Op::Unsqueeze(ops::Unsqueeze { axes: hostile_list(draws, 1) }),
        14 => Op::Lrn(ops::Lrn { size: hostile(draws) as usize, alpha: 1.0, beta: 1.0, bias: 1.0 }),
        _ => Op::Softmax(ops::Softmax { axis: hostile(draws) }),
    }
}

/// No attribute makes a rule or the interpreter panic, and what is accepted has the promised shape.
#[test]
fn hostile_attributes_are_errors() {
    let mut n_accepted = 0;
    for seed in 0..20_000 {
        let mut draws = Draws::new(seed, 7);
        let rank = draws.below(6);
        // Zero extents may stand beside huge ones without taking memory.
        let is_empty = rank > 0 && draws.chance(0.2);
        let mut shape: Vec<usize> = (0..rank).map(|_| draws.between(1, 4)).collect();
        if is_empty {
            shape = (0..rank).map(|_| [1, 2, 1 << 36, usize::MAX][draws.below(4)]).collect();
            shape[0] = 0;
        }
        let n_elements: usize = if is_empty { 0 } else { shape.iter().product() };
        let x = Tensor::from_f32(shape, vec![1.0; n_elements]);
        let op = hostile_op(&mut draws, &x);
        let inputs = [Some(&x), Some(&x), Some(&x)];
        let inputs = &inputs[..if matches!(op, Op::Conv(_) | Op::Concat(_)) { 2 } else { 1 }];
        let types: Vec<Option<TensorType>> = inputs.iter().map(|input| input.map(TensorType::of)).collect();
        let types: Vec<Option<&TensorType>> = types.iter().map(Option::as_ref).collect();
        let Ok(expected) = output_shapes(&op, "it", &types) else { continue };
        // What fits the rules may still be large; only small results are worth computing here.
        if expected.iter().all(|output| output.n_elements() < 1 << 20) {
            let found: Vec<TensorType> = evaluate(&op, "it", inputs).unwrap().iter().map(TensorType::of).collect();
            assert_eq!(found, expected, "seed {seed}: {op:?}");
            n_accepted += 1;
        }
    }
    assert!(n_accepted > 1000, "{n_accepted}");
}
