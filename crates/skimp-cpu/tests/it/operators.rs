use skimp_cpu::CpuExecutor;
use skimp_graph::ops;
use skimp_graph::{
    AutoPad, DType, Dim, Executor, Gemm, Graph, GraphBuilder, Op, Pad, PadMode, Slice, Tensor, ValueId, Window,
};

use super::check;

/// Values in [-1, 1) without a pattern.
fn tensor(shape: &[usize], seed: usize) -> Tensor {
    let n = shape.iter().product();
    let x = |i: usize| (((i * 7_919 + seed * 104_729 + 13) * 2_654_435_761) >> 9) % 4_001;
    Tensor::from_f32(shape.to_vec(), (0..n).map(|i| x(i) as f32 / 2_000.0 - 1.0).collect())
}

fn window(kernel: &[usize], stride: usize, dilation: usize, pad: usize) -> Window {
    let n = kernel.len();
    Window {
        kernel: kernel.to_vec(),
        strides: vec![stride; n],
        dilations: vec![dilation; n],
        pads_begin: vec![pad; n],
        pads_end: vec![pad; n],
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
    }
}

/// A network of one input.
fn network(
    name: &str,
    shape: &[usize],
    make: impl FnOnce(&mut GraphBuilder, ValueId) -> Vec<ValueId>,
) -> (Graph, Tensor) {
    let mut builder = GraphBuilder::new(name);
    let free = std::iter::once(Dim::Free("N".to_owned()));
    let dims = free.chain(shape[1..].iter().map(|_| Dim::Free(String::new()))).collect();
    let x = builder.input("x", DType::F32, dims);
    for y in make(&mut builder, x) {
        builder.output(y);
    }
    (builder.build().expect("well formed"), tensor(shape, 1))
}

fn conv_case(x: &[usize], weight: &[usize], groups: usize, [stride, dilation, pad]: [usize; 3]) -> (Graph, Tensor) {
    let name = format!("conv {x:?} {weight:?} groups {groups} stride {stride} dilation {dilation} pad {pad}");
    network(&name, x, |builder, input| {
        let w = builder.constant("w", tensor(weight, 2));
        let b = builder.constant("b", tensor(&weight[..1], 3));
        let op = Op::Conv(ops::Conv { window: window(&weight[2..], stride, dilation, pad), groups });
        let y = builder.node("conv", op, &[input, w, b]);
        vec![builder.node("relu", Op::Relu, &[y])]
    })
}

#[test]
fn convolutions_of_every_kind() {
    let cases = [
        conv_case(&[2, 3, 9, 9], &[20, 3, 3, 3], 1, [1, 1, 1]),
        conv_case(&[1, 24, 9, 9], &[24, 1, 3, 3], 24, [1, 1, 1]),
        conv_case(&[3, 40, 11, 8], &[40, 1, 5, 5], 40, [2, 1, 2]),
        conv_case(&[1, 7, 9, 9], &[7, 1, 3, 3], 7, [1, 3, 3]),
        conv_case(&[2, 8, 6, 7], &[12, 2, 3, 3], 4, [1, 1, 1]),
        conv_case(&[2, 6, 9, 10], &[12, 2, 3, 2], 3, [3, 2, 2]),
        conv_case(&[1, 8, 6, 7], &[16, 1, 3, 3], 8, [2, 1, 1]),
        conv_case(&[2, 64, 5, 6], &[32, 32, 3, 3], 2, [1, 1, 1]),
        conv_case(&[2, 33, 14, 14], &[70, 33, 1, 1], 1, [2, 1, 0]),
        conv_case(&[2, 5, 30], &[18, 5, 7], 1, [2, 2, 3]),
        conv_case(&[2, 3, 4, 5, 6], &[4, 3, 2, 3, 2], 1, [1, 1, 1]),
        conv_case(&[1, 16, 3, 3], &[16, 16, 3, 3], 1, [1, 1, 4]),
        conv_case(&[0, 3, 5, 5], &[4, 3, 3, 3], 1, [1, 1, 1]),
    ];
    let wrong: Vec<String> = cases.iter().flat_map(|(graph, x)| check(graph, std::slice::from_ref(x))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn two_convolutions_into_one_addition() {
    let (graph, x) = network("projection", &[2, 20, 8, 8], |builder, x| {
        let conv = |builder: &mut GraphBuilder, name: &str, from, kernel: usize, seed| {
            let w = builder.constant(format!("{name}.w"), tensor(&[24, 20, kernel, kernel], seed));
            builder.node(
                name,
                Op::Conv(ops::Conv { window: window(&[kernel; 2], 2, 1, kernel / 2), groups: 1 }),
                &[from, w],
            )
        };
        let a = conv(builder, "a", x, 3, 4);
        let b = conv(builder, "b", x, 1, 5);
        let sum = builder.node("sum", Op::Add, &[a, b]);
        let clip = builder.node("clip", Op::Clip(ops::Clip { min: Some(-0.5), max: Some(2.0) }), &[sum]);
        // The sum is read twice, so the clip cannot swallow it.
        vec![builder.node("twice", Op::Add, &[clip, sum])]
    });
    assert_eq!(check(&graph, &[x]), Vec::<String>::new());
}

#[test]
fn data_movement_and_broadcasts() {
    let slice = |axes: &[i64], starts: &[i64], ends: &[i64], steps: &[i64]| {
        Op::Slice(Slice { axes: axes.to_vec(), starts: starts.to_vec(), ends: ends.to_vec(), steps: steps.to_vec() })
    };
    let pad =
        |begin: &[i64], end: &[i64], mode| Op::Pad(Pad { begin: begin.to_vec(), end: end.to_vec(), mode, value: 0.25 });
    let unary = [
        slice(&[2, 3], &[1, 0], &[i64::MAX, i64::MAX], &[2, 2]),
        slice(&[1], &[-5], &[i64::MAX], &[1]),
        slice(&[-1, 1], &[-1, 0], &[i64::MIN, 9], &[-1, 2]),
        slice(&[0], &[1], &[2], &[1]),
        pad(&[0, 8, 1, 0], &[0, 3, 0, 2], PadMode::Constant),
        pad(&[0, 0, 2, 1], &[0, 0, 1, 2], PadMode::Reflect),
        pad(&[0, 0, -1, 0], &[0, 0, 1, 0], PadMode::Constant),
        pad(&[1, 0, 0, 0], &[0, 0, 0, 0], PadMode::Constant),
        Op::Transpose(ops::Transpose { perm: vec![0, 2, 3, 1] }),
        Op::Transpose(ops::Transpose { perm: vec![1, 0, 2, 3] }),
        Op::Softmax(ops::Softmax { axis: 1 }),
        Op::Softmax(ops::Softmax { axis: 0 }),
        Op::ReduceMean(ops::ReduceMean { axes: vec![-1, 2], keep_dims: false }),
        Op::ReduceMean(ops::ReduceMean { axes: vec![], keep_dims: true }),
        Op::ReduceMean(ops::ReduceMean { axes: vec![1], keep_dims: true }),
        Op::Reshape(ops::Reshape { shape: vec![0, -1, 6], allow_zero: false }),
        Op::Reshape(ops::Reshape { shape: vec![-1, 6], allow_zero: false }),
        Op::Flatten(ops::Flatten { axis: 2 }),
        Op::Unsqueeze(ops::Unsqueeze { axes: vec![0] }),
        Op::Unsqueeze(ops::Unsqueeze { axes: vec![-1] }),
        Op::Lrn(ops::Lrn { size: 5, alpha: 1e-2, beta: 0.75, bias: 1.0 }),
        Op::GlobalMaxPool,
        Op::MaxPool(ops::MaxPool { window: Window { ceil_mode: true, ..window(&[3, 3], 2, 1, 1) } }),
        Op::MaxPool(ops::MaxPool { window: window(&[2, 3], 1, 2, 0) }),
        Op::AveragePool(ops::AveragePool { window: window(&[3, 3], 2, 1, 1), count_include_pad: true }),
        Op::AveragePool(ops::AveragePool {
            window: Window { ceil_mode: true, ..window(&[3, 3], 2, 1, 1) },
            count_include_pad: false,
        }),
        Op::HardSwish,
        Op::HardSigmoid(ops::HardSigmoid { alpha: 0.3, beta: 0.4 }),
        Op::Tanh,
        Op::Sign,
        Op::Dropout(ops::Dropout { ratio: 0.5 }),
    ];
    let mut wrong = Vec::new();
    for (idx, op) in unary.into_iter().enumerate() {
        let (graph, x) = network(&format!("{idx} {op:?}"), &[2, 20, 7, 6], |builder, x| {
            let doubled = builder.constant("two", Tensor::from_f32(vec![1], vec![2.0]));
            let x = builder.node("mul", Op::Mul, &[x, doubled]);
            vec![builder.node("op", op, &[x])]
        });
        wrong.extend(check(&graph, &[x]));
    }
    for (idx, shape) in
        [&[20, 1, 1][..], &[1, 20, 1, 1], &[1], &[], &[6], &[7, 6], &[2, 20, 7, 6], &[20, 7, 6]].iter().enumerate()
    {
        for op in [Op::Add, Op::Sub, Op::Mul, Op::Div] {
            let (graph, x) = network(&format!("{idx} {op:?} {shape:?}"), &[2, 20, 7, 6], |builder, x| {
                let parameter = Tensor::from_f32(
                    shape.to_vec(),
                    tensor(shape, 9).into_f32().unwrap().iter().map(|p| p + 1.5).collect(),
                );
                let parameter = builder.constant("p", parameter);
                let left = builder.node("left", op.clone(), &[x, parameter]);
                vec![builder.node("right", op, &[parameter, left])]
            });
            wrong.extend(check(&graph, &[x]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn concatenations_that_share_memory() {
    let (graph, x) = network("dense block", &[2, 16, 6, 5], |builder, x| {
        let conv = |builder: &mut GraphBuilder, name: &str, from, channels: [usize; 2], kernel: usize, seed| {
            let w = builder.constant(format!("{name}.w"), tensor(&[channels[1], channels[0], kernel, kernel], seed));
            builder.node(
                name,
                Op::Conv(ops::Conv { window: window(&[kernel; 2], 1, 1, kernel / 2), groups: 1 }),
                &[from, w],
            )
        };
        let concat = |builder: &mut GraphBuilder, name: &str, parts: &[ValueId]| {
            builder.node(name, Op::Concat(ops::Concat { axis: 1 }), parts)
        };
        let a = conv(builder, "a", x, [16, 32], 3, 1);
        let b = conv(builder, "b", a, [32, 20], 5, 2);
        let ab = concat(builder, "ab", &[a, b]);
        let c = conv(builder, "c", ab, [52, 16], 3, 3);
        let abc = concat(builder, "abc", &[c, ab]);
        let twice = concat(builder, "twice", &[abc, abc, a]);
        let again = concat(builder, "again", &[a, b, c, x]);
        let d = conv(builder, "d", twice, [168, 16], 7, 4);
        vec![conv(builder, "e", again, [84, 9], 3, 5), d, ab]
    });
    assert_eq!(check(&graph, &[x]), Vec::<String>::new());
}

#[test]
fn squeeze_and_excitation_and_dense_layers() {
    let (graph, x) = network("se", &[3, 40, 5, 6], |builder, x| {
        let pooled = builder.node("gap", Op::GlobalAveragePool, &[x]);
        let w = builder.constant("w", tensor(&[40, 40, 1, 1], 3));
        let squeezed =
            builder.node("fc", Op::Conv(ops::Conv { window: window(&[1, 1], 1, 1, 0), groups: 1 }), &[pooled, w]);
        let gate = builder.node("gate", Op::Sigmoid, &[squeezed]);
        let scaled = builder.node("scale", Op::Mul, &[x, gate]);
        let slope = builder.constant("slope", tensor(&[40, 1, 1], 6));
        let scaled = builder.node("prelu", Op::PRelu, &[scaled, slope]);
        let flat = builder.node("flat", Op::Flatten(ops::Flatten { axis: 1 }), &[scaled]);
        let (w, b) = (builder.constant("dw", tensor(&[1200, 33], 7)), builder.constant("db", tensor(&[33], 8)));
        let gemm = Gemm { alpha: 0.5, beta: 2.0, trans_a: false, trans_b: false };
        let dense = builder.node("dense", Op::Gemm(gemm), &[flat, w, b]);
        let m = builder.constant("m", tensor(&[33, 5], 9));
        vec![builder.node("matmul", Op::MatMul, &[dense, m]), scaled]
    });
    assert_eq!(check(&graph, &[x]), Vec::<String>::new());
}

/// Tensors that are no images: products, normalizations along rows, data movement.
#[test]
fn tensors_of_any_rank() {
    let slice = |axes: &[i64], starts: &[i64], ends: &[i64], steps: &[i64]| {
        Op::Slice(Slice { axes: axes.to_vec(), starts: starts.to_vec(), ends: ends.to_vec(), steps: steps.to_vec() })
    };
    let shapes: [&[usize]; 5] = [&[2, 3, 5, 7], &[1, 40, 33], &[3, 6], &[2, 2, 3, 4, 5], &[1, 197, 64]];
    let mut wrong = Vec::new();
    for (idx, shape) in shapes.iter().enumerate() {
        let rank = shape.len();
        let mut reversed: Vec<usize> = (1..rank).rev().collect();
        reversed.insert(0, 0);
        let mut ops = vec![
            Op::Softmax(ops::Softmax { axis: -1 }),
            Op::Softmax(ops::Softmax { axis: 1 }),
            Op::Transpose(ops::Transpose { perm: reversed }),
            slice(&[-1], &[1], &[i64::MAX], &[2]),
            Op::Erf,
            Op::Neg,
            Op::Gelu(ops::Gelu { tanh: true }),
        ];
        if rank > 2 {
            ops.push(slice(&[1, -1], &[1, -3], &[i64::MAX, -1], &[1, 1]));
        }
        if rank == 4 {
            ops.push(Op::Transpose(ops::Transpose { perm: vec![0, 2, 1, 3] }));
            ops.push(Op::Transpose(ops::Transpose { perm: vec![0, 1, 3, 2] }));
        }
        for op in ops {
            let (graph, x) = network(&format!("{idx} {op:?}"), shape, |builder, x| vec![builder.node("op", op, &[x])]);
            wrong.extend(check(&graph, &[x]));
        }
        let last = shape[rank - 1];
        let (graph, x) = network(&format!("{idx} products"), shape, |builder, x| {
            let weight = builder.constant("w", tensor(&[last, 70], 4));
            let bias = builder.constant("b", tensor(&[70], 5));
            let product = builder.node("product", Op::MatMul, &[x, weight]);
            let sum = builder.node("sum", Op::Add, &[bias, product]);
            let gelu = builder.node("gelu", Op::Gelu(ops::Gelu { tanh: false }), &[sum]);
            let back = builder.constant("w2", tensor(&[70, last], 6));
            let product = builder.node("back", Op::MatMul, &[gelu, back]);
            let residual = builder.node("residual", Op::Add, &[product, x]);
            let (scale, shift) = (builder.constant("s", tensor(&[last], 7)), builder.constant("t", tensor(&[last], 8)));
            let norm = Op::LayerNormalization(ops::LayerNormalization { axis: -1, epsilon: 1e-5 });
            let normal = builder.node("norm", norm, &[residual, scale, shift]);
            let joined = builder.node("joined", Op::Concat(ops::Concat { axis: -1 }), &[normal, x, gelu]);
            let sizes = vec![last + 3, last + 67];
            let split = Op::Split(ops::Split { axis: -1, sizes });
            let parts = builder.node_with_outputs("parts", split, &[joined], 2);
            vec![parts[1], parts[0], sum]
        });
        wrong.extend(check(&graph, &[x]));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn attention() {
    let (graph, x) = network("attention", &[2, 37, 24], |builder, x| {
        let weight = builder.constant("w", tensor(&[24, 72], 2));
        let qkv = builder.node("qkv", Op::MatMul, &[x, weight]);
        let reshape = |shape: &[i64]| Op::Reshape(ops::Reshape { shape: shape.to_vec(), allow_zero: false });
        let heads = builder.node("heads", reshape(&[0, 37, 3, 3, 8]), &[qkv]);
        let turned = builder.node("turned", Op::Transpose(ops::Transpose { perm: vec![0, 2, 3, 1, 4] }), &[heads]);
        let mut part = |idx: i64| {
            let at = builder.constant(format!("i{idx}"), Tensor::from_i64(vec![], vec![idx]));
            builder.node(format!("part{idx}"), Op::Gather(ops::Gather { axis: 1 }), &[turned, at])
        };
        let (q, k, v) = (part(0), part(1), part(-1));
        let scale = builder.constant("scale", Tensor::from_f32(vec![], vec![0.35]));
        let q = builder.node("scaled", Op::Mul, &[q, scale]);
        let k = builder.node("k", Op::Transpose(ops::Transpose { perm: vec![0, 1, 3, 2] }), &[k]);
        let scores = builder.node("scores", Op::MatMul, &[q, k]);
        let weights = builder.node("weights", Op::Softmax(ops::Softmax { axis: -1 }), &[scores]);
        let mixed = builder.node("mixed", Op::MatMul, &[weights, v]);
        let back = builder.node("back", Op::Transpose(ops::Transpose { perm: vec![0, 2, 1, 3] }), &[mixed]);
        vec![builder.node("flat", reshape(&[0, 37, 24]), &[back])]
    });
    assert_eq!(check(&graph, &[x]), Vec::<String>::new());
}

#[test]
fn channels_normalized_between_convolutions() {
    for channels in [16, 40] {
        let (graph, x) = network("block", &[2, channels, 9, 7], |builder, x| {
            let w = builder.constant("w", tensor(&[channels, 1, 7, 7], 2));
            let deep = Op::Conv(ops::Conv { window: window(&[7, 7], 1, 1, 3), groups: channels });
            let deep = builder.node("deep", deep, &[x, w]);
            let last = builder.node("last", Op::Transpose(ops::Transpose { perm: vec![0, 2, 3, 1] }), &[deep]);
            let (scale, shift) =
                (builder.constant("s", tensor(&[channels], 7)), builder.constant("t", tensor(&[channels], 8)));
            let norm = Op::LayerNormalization(ops::LayerNormalization { axis: -1, epsilon: 1e-6 });
            let normal = builder.node("norm", norm, &[last, scale, shift]);
            let first = builder.node("first", Op::Transpose(ops::Transpose { perm: vec![0, 3, 1, 2] }), &[normal]);
            let w = builder.constant("w2", tensor(&[2 * channels, channels, 1, 1], 3));
            let wide = Op::Conv(ops::Conv { window: window(&[1, 1], 1, 1, 0), groups: 1 });
            let wide = builder.node("wide", wide, &[first, w]);
            // Gelu as exporters write it.
            let root = builder.constant("root", Tensor::from_f32(vec![], vec![std::f32::consts::SQRT_2]));
            let (one, half) = (
                builder.constant("one", Tensor::from_f32(vec![], vec![1.0])),
                builder.constant("half", Tensor::from_f32(vec![], vec![0.5])),
            );
            let inner = builder.node("inner", Op::Div, &[wide, root]);
            let erf = builder.node("erf", Op::Erf, &[inner]);
            let sum = builder.node("sum", Op::Add, &[erf, one]);
            let product = builder.node("product", Op::Mul, &[wide, sum]);
            let gelu = builder.node("gelu", Op::Mul, &[product, half]);
            let swish = builder.node("gate", Op::Sigmoid, &[gelu]);
            vec![builder.node("swish", Op::Mul, &[swish, gelu]), normal]
        });
        assert_eq!(check(&graph, &[x]), Vec::<String>::new());
    }
}

/// A constant that is stretched to the number of images, as importing writes it.
#[test]
fn constants_as_long_as_the_batch() {
    let (graph, x) = network("stretched", &[3, 4, 6], |builder, x| {
        let cut = Slice { axes: vec![1, 2], starts: vec![0; 2], ends: vec![1; 2], steps: vec![1; 2] };
        let cut = builder.node("cut", Op::Slice(cut), &[x]);
        let truth = builder.node("truth", Op::Cast(ops::Cast { to: DType::Bool }), &[cut]);
        let falses = builder.node("false", Op::Xor, &[truth, truth]);
        let token = builder.constant("token", tensor(&[1, 1, 6], 5));
        let tokens = builder.node("tokens", Op::Where, &[falses, token, token]);
        let joined = builder.node("joined", Op::Concat(ops::Concat { axis: 1 }), &[tokens, x]);
        let w = builder.constant("w", tensor(&[6, 5], 6));
        vec![builder.node("y", Op::MatMul, &[joined, w])]
    });
    assert_eq!(check(&graph, &[x]), Vec::<String>::new());
}

#[test]
fn values_that_are_not_f32_and_constants() {
    let (graph, x) = network("mixed", &[2, 3, 4, 4], |builder, x| {
        let scale = builder.constant("scale", Tensor::from_f32(vec![], vec![0.05]));
        let q = builder.node("q", Op::QuantizeLinear(ops::QuantizeLinear { axis: 1 }), &[x, scale]);
        let y = builder.node("dq", Op::DequantizeLinear(ops::DequantizeLinear { axis: 1 }), &[q, scale]);
        let folded = builder.node("folded", Op::Relu, &[scale]);
        let z = builder.node("add", Op::Add, &[y, folded]);
        vec![z, folded, q]
    });
    assert_eq!(check(&graph, &[x]), Vec::<String>::new());
}

#[test]
fn infinities_and_nan_pass_as_in_the_reference() {
    let (graph, mut x) = conv_case(&[1, 3, 8, 8], &[17, 3, 3, 3], 1, [1, 1, 1]);
    let mut elements = x.into_f32().expect("f32");
    elements[9] = f32::NAN;
    elements[100] = f32::INFINITY;
    x = Tensor::from_f32(vec![1, 3, 8, 8], elements);
    assert_eq!(check(&graph, &[x]), Vec::<String>::new());
    let (graph, x) = network("infinite weight", &[1, 3, 5, 5], |builder, x| {
        let mut weight = tensor(&[4, 3, 3, 3], 2).into_f32().expect("f32");
        weight[0] = f32::INFINITY;
        let w = builder.constant("w", Tensor::from_f32(vec![4, 3, 3, 3], weight));
        let y = builder.node("conv", Op::Conv(ops::Conv { window: window(&[3, 3], 1, 1, 1), groups: 1 }), &[x, w]);
        vec![builder.node("pool", Op::MaxPool(ops::MaxPool { window: window(&[2, 2], 2, 1, 0) }), &[y])]
    });
    assert_eq!(check(&graph, &[x]), Vec::<String>::new());
}

#[test]
fn wrong_inputs_are_errors() {
    let (graph, x) = conv_case(&[1, 3, 8, 8], &[17, 3, 3, 3], 1, [1, 1, 1]);
    let executor = CpuExecutor::new(&graph).expect("constants evaluate");
    assert!(executor.run(&[]).is_err());
    assert!(executor.run(&[x.reshaped(vec![1, 3, 64]).expect("as many")]).is_err());
    assert!(executor.run(&[tensor(&[1, 4, 8, 8], 1)]).is_err());
    assert!(executor.run(&[tensor(&[1, 3, 0, 8], 1)]).is_err());
    assert!(executor.run(&[Tensor::from_i64(vec![1, 3, 1, 1], vec![0; 3])]).is_err());
}
