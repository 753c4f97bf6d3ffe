//! Networks before and after a rewrite.

use super::{
    KeptReason, fold_arithmetic, fold_batch_norm, fold_constants, fold_pads, remove_dead, remove_identities, simplify,
};
use crate::ops;
use crate::reference::Reference;
use crate::testing::random_cnn;
use crate::{DType, Dim, Executor, Gemm, Graph, GraphBuilder, Op, Pad, PadMode, Tensor};

/// Largest difference of the outputs, relative to the largest output (at least 1).
fn difference(a: &Graph, b: &Graph, inputs: &[Tensor]) -> f32 {
    let (a, b) = (Reference::new(a).run(inputs).unwrap(), Reference::new(b).run(inputs).unwrap());
    assert_eq!(a.len(), b.len());
    let mut worst = 0.0_f32;
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a.shape(), b.shape());
        let (a, b) = (a.as_f32().unwrap(), b.as_f32().unwrap());
        let scale = a.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
        worst = a.iter().zip(b).fold(worst, |worst, (a, b)| worst.max((a - b).abs() / scale));
    }
    worst
}

#[test]
fn batch_norms_fold_in_random_networks() {
    let (mut n_folded, mut n_kept) = (0, 0);
    for seed in 0..60 {
        let (graph, inputs) = random_cnn(seed);
        let (folded, report) = fold_batch_norm(&graph);
        // A handful of roundings of weights and sums, each of relative size 2^-24, through at most 20 layers of gain
        // near 1: 1e-5 leaves a factor of about 8.
        let found = difference(&graph, &folded, &inputs);
        assert!(found < 1e-5, "seed {seed}: {found}");
        let n_left = folded.nodes().iter().filter(|node| matches!(node.op, Op::BatchNormalization(_))).count();
        assert_eq!(n_left, report.kept.len());
        assert_eq!(graph.nodes().len() - folded.nodes().len(), report.folded.len());
        n_folded += report.folded.len();
        n_kept += report.kept.len();
    }
    assert!(n_folded > 50 && n_kept > 10, "{n_folded} folded, {n_kept} kept");
}

fn batch_norm(builder: &mut GraphBuilder, name: &str, x: crate::ValueId, variance: f32) -> crate::ValueId {
    let mut inputs = vec![x];
    for (part, values) in [("g", [2.0, 0.5]), ("b", [1.0, 0.0]), ("m", [0.5, -1.0]), ("v", [variance, 0.25])] {
        inputs.push(builder.constant(format!("{name}.{part}"), Tensor::from_f32(vec![2], values.to_vec())));
    }
    builder.node(name, Op::BatchNormalization(ops::BatchNormalization { epsilon: 0.0 }), &inputs)
}

fn gemm_input(builder: &mut GraphBuilder) -> crate::ValueId {
    builder.input("x", DType::F32, vec![Dim::Free("N".to_owned()), Dim::Fixed(2)])
}

#[test]
fn batch_norm_folds_into_gemm() {
    for trans_b in [false, true] {
        let mut builder = GraphBuilder::new("gemm");
        let x = gemm_input(&mut builder);
        let w = builder.constant("w", Tensor::from_f32(vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]));
        let c = builder.constant("c", Tensor::from_f32(vec![1, 2], vec![1.0, -1.0]));
        let gemm = Op::Gemm(Gemm { alpha: 0.5, beta: 2.0, trans_a: false, trans_b });
        let y = builder.node("fc", gemm, &[x, w, c]);
        let y = batch_norm(&mut builder, "bn", y, 4.0);
        builder.output(y);
        let graph = builder.build().unwrap();
        let (folded, report) = fold_batch_norm(&graph);
        assert_eq!(report.folded[0].into, "fc");
        assert_eq!(folded.nodes().len(), 1);
        assert_eq!(folded.value(folded.outputs()[0]).name, "bn");
        // Factors 1 and 1; biases 1 + (2 - 0.5) and 0 + (-2 + 1).
        let bias = folded.nodes()[0].inputs[2].unwrap();
        assert_eq!(folded.constant(bias).unwrap().as_f32().unwrap(), [2.5, -1.0]);
        let x = Tensor::from_f32(vec![1, 2], vec![1.0, 10.0]);
        assert_eq!(
            Reference::new(&graph).run(std::slice::from_ref(&x)).unwrap(),
            Reference::new(&folded).run(&[x]).unwrap()
        );
    }
}

#[test]
fn batch_norms_that_stay_say_why() {
    for (expected, variance, n_readers, is_linear) in [
        (KeptReason::NotFinite, -1.0, 1, true),
        (KeptReason::InputUsedElsewhere, 4.0, 2, true),
        (KeptReason::NoLinearProducer, 4.0, 1, false),
    ] {
        let mut builder = GraphBuilder::new("kept");
        let mut y = gemm_input(&mut builder);
        let w = builder.constant("w", Tensor::from_f32(vec![2, 2], vec![1.0; 4]));
        if is_linear {
            y = builder.node("fc", Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false }), &[y, w]);
        }
        let z = batch_norm(&mut builder, "bn", y, variance);
        builder.output(z);
        if n_readers == 2 {
            builder.output(y);
        }
        let graph = builder.build().unwrap();
        let (folded, report) = fold_batch_norm(&graph);
        assert_eq!(report.kept.len(), 1);
        assert_eq!(report.kept[0].reason, expected);
        assert_eq!(folded.nodes().len(), graph.nodes().len());
    }
}

#[test]
fn shared_weights_are_copied() {
    let mut builder = GraphBuilder::new("shared");
    let x = gemm_input(&mut builder);
    let w = builder.constant("w", Tensor::from_f32(vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]));
    let gemm = Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false });
    let y = builder.node("fc1", gemm.clone(), &[x, w]);
    let y = batch_norm(&mut builder, "bn", y, 1.0);
    let y = builder.node("fc2", gemm, &[y, w]);
    builder.output(y);
    let graph = builder.build().unwrap();
    let (folded, _) = fold_batch_norm(&graph);
    let names: Vec<&str> = folded.values().iter().map(|value| value.name.as_str()).collect();
    assert_eq!(names, ["x", "w", "bn", "fc2", "fc1.weight", "fc1.bias"]);
    assert!(difference(&graph, &folded, &[Tensor::from_f32(vec![1, 2], vec![1.0, -3.0])]) < 1e-6);
}

#[test]
fn constants_fold_and_dead_nodes_go() {
    let mut builder = GraphBuilder::new("constants");
    let x = gemm_input(&mut builder);
    let a = builder.constant("a", Tensor::from_f32(vec![2], vec![1.0, 2.0]));
    let sum = builder.node("sum", Op::Add, &[a, a]);
    let wide = builder.node("wide", Op::Unsqueeze(ops::Unsqueeze { axes: vec![0] }), &[sum]);
    let y = builder.node("y", Op::Mul, &[x, wide]);
    let _dead = builder.node("dead", Op::Relu, &[y]);
    let zero = builder.constant("zero", Tensor::from_i64(vec![1], vec![0]));
    let fails = builder.node("fails", Op::Div, &[zero, zero]);
    builder.output(y);
    builder.output(wide);
    builder.output(fails);
    let graph = builder.build().unwrap();
    let folded = fold_constants(&graph);
    let names: Vec<&str> = folded.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["y", "fails"]);
    let wide = folded.constant(folded.outputs()[1]).unwrap();
    assert_eq!((wide.shape(), wide.as_f32().unwrap()), (&[1, 2][..], &[2.0, 4.0][..]));
    // Far larger than what it comes from: left for the run to decide.
    let mut builder = GraphBuilder::new("huge");
    let a = builder.constant("a", Tensor::from_f32(vec![1], vec![1.0]));
    let pad = Pad { begin: vec![0], end: vec![1 << 36], mode: PadMode::Constant, value: 0.0 };
    let y = builder.node("pad", Op::Pad(pad), &[a]);
    builder.output(y);
    assert_eq!(fold_constants(&builder.build().unwrap()).nodes().len(), 1);
}

#[test]
fn identities_go_and_names_of_outputs_stay() {
    let mut builder = GraphBuilder::new("identities");
    let x = gemm_input(&mut builder);
    let y = builder.node("dropout", Op::Dropout(ops::Dropout { ratio: 0.5 }), &[x]);
    let y = builder.node("cast", Op::Cast(ops::Cast { to: DType::F32 }), &[y]);
    let y = builder.node("relu", Op::Relu, &[y]);
    let pad = Pad { begin: vec![0; 2], end: vec![0; 2], mode: PadMode::Constant, value: 0.0 };
    let z = builder.node("pad", Op::Pad(pad), &[y]);
    let other = builder.node("tanh", Op::Tanh, &[y]);
    let through = builder.node("through", Op::Identity, &[x]);
    for output in [z, other, through] {
        builder.output(output);
    }
    let graph = builder.build().unwrap();
    let smaller = remove_identities(&graph);
    let names: Vec<&str> = smaller.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["relu", "tanh", "through"]);
    let outputs: Vec<&str> = smaller.outputs().iter().map(|&id| smaller.value(id).name.as_str()).collect();
    assert_eq!(outputs, ["pad", "tanh", "through"]);
    let x = Tensor::from_f32(vec![1, 2], vec![1.0, -3.0]);
    assert_eq!(difference(&graph, &smaller, &[x]).to_bits(), 0);
}

#[test]
fn simplification_is_exact_and_idempotent() {
    for seed in 0..30 {
        let (graph, inputs) = random_cnn(seed);
        assert_eq!(remove_dead(&graph), graph, "seed {seed}: nothing is dead");
        let simple = simplify(&graph);
        assert_eq!(difference(&graph, &simple, &inputs).to_bits(), 0, "seed {seed}");
        assert_eq!(simplify(&simple), simple, "seed {seed}");
    }
}

/// `((conv(x) + [1, -1]) − [0.5, 0]) · [2, 3] / 2`, with constants of every form that means one number for each channel.
#[test]
fn arithmetic_folds_into_the_layer_before() {
    let mut builder = GraphBuilder::new("arithmetic");
    let x =
        builder.input("x", DType::F32, vec![Dim::Free("N".to_owned()), Dim::Fixed(2), Dim::Fixed(2), Dim::Fixed(1)]);
    let w = builder.constant("w", Tensor::from_f32(vec![2, 2, 1, 1], vec![1.0, 2.0, 3.0, 4.0]));
    let window = crate::Window::pointwise(2);
    let conv = builder.node("conv", Op::Conv(ops::Conv { window, groups: 1 }), &[x, w]);
    let mut y = conv;
    for (name, op, shape, numbers) in [
        ("add", Op::Add, vec![2, 1, 1], vec![1.0, -1.0]),
        ("sub", Op::Sub, vec![1, 2, 1, 1], vec![0.5, 0.0]),
        ("mul", Op::Mul, vec![2, 1, 1], vec![2.0, 3.0]),
        ("div", Op::Div, vec![], vec![2.0]),
        ("from", Op::Sub, vec![1], vec![4.0]),
        // Columns, not channels.
        ("columns", Op::Add, vec![1, 1, 2, 1], vec![1.0, 2.0]),
    ] {
        let constant = builder.constant(format!("{name}.c"), Tensor::from_f32(shape, numbers));
        y = builder.node(name, op, &if name == "from" { [constant, y] } else { [y, constant] });
    }
    builder.output(y);
    let graph = builder.build().unwrap();
    let folded = fold_arithmetic(&graph);
    let names: Vec<&str> = folded.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["conv", "columns"]);
    let inputs = [Tensor::from_f32(vec![1, 2, 2, 1], vec![1.0, -2.0, 0.5, 3.0])];
    // Small multiples of powers of two: nothing rounds.
    assert_eq!(Reference::new(&folded).run(&inputs).unwrap(), Reference::new(&graph).run(&inputs).unwrap());
    assert_eq!(fold_arithmetic(&folded), folded);
}

/// Another reader of the layer, and weights that would be infinite.
#[test]
fn arithmetic_that_cannot_fold_stays() {
    for (divisor, is_read) in [(2.0, true), (0.0, false)] {
        let mut builder = GraphBuilder::new("arithmetic");
        let x = gemm_input(&mut builder);
        let w = builder.constant("w", Tensor::from_f32(vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]));
        let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false };
        let h = builder.node("gemm", Op::Gemm(gemm), &[x, w]);
        let c = builder.constant("c", Tensor::from_f32(vec![2], vec![divisor, 1.0]));
        let y = builder.node("div", Op::Div, &[h, c]);
        builder.output(y);
        if is_read {
            builder.output(h);
        }
        let graph = builder.build().unwrap();
        assert_eq!(fold_arithmetic(&graph), graph);
    }
}

/// Uneven padding before two convolutions; with another reader, another value or padded channels it stays.
#[test]
fn padding_folds_into_the_convolutions_that_read_it() {
    let pad = |begin: [i64; 4], value| {
        Op::Pad(Pad { begin: begin.to_vec(), end: vec![0, 0, 2, 0], mode: PadMode::Constant, value })
    };
    for (begin, value, has_pool, folds) in [
        ([0, 0, 1, 0], 0.0, false, true),
        ([0, 0, 1, 0], 1.0, false, false),
        ([0, 1, 1, 0], 0.0, false, false),
        ([0, 0, -1, 0], 0.0, false, false),
        ([0, 0, 1, 0], 0.0, true, false),
    ] {
        let mut builder = GraphBuilder::new("pads");
        let x = builder.input("x", DType::F32, [1, 1, 4, 3].map(Dim::Fixed).to_vec());
        let padded = builder.node("pad", pad(begin, value), &[x]);
        let n_channels = 1 + begin[1] as usize;
        for (name, kernel) in [("a", [2, 2]), ("b", [1, 3])] {
            let mut window = crate::Window::padded(&kernel, &[0, 1]);
            window.strides = vec![2, 1];
            let shape = vec![2, n_channels, kernel[0], kernel[1]];
            let numbers = (0..shape.iter().product()).map(|i| i as f32 - 2.5).collect();
            let weight = builder.constant(format!("{name}.w"), Tensor::from_f32(shape, numbers));
            let conv = builder.node(name, Op::Conv(ops::Conv { window, groups: 1 }), &[padded, weight]);
            builder.output(conv);
        }
        if has_pool {
            let pool = builder.node("pool", Op::GlobalMaxPool, &[padded]);
            builder.output(pool);
        }
        let graph = builder.build().unwrap();
        let folded = fold_pads(&graph);
        assert_eq!(folded.nodes().iter().all(|node| !matches!(node.op, Op::Pad(_))), folds, "{begin:?} {value}");
        let inputs = [Tensor::from_f32(vec![1, 1, 4, 3], (0..12).map(|i| i as f32 * 0.5 - 3.0).collect())];
        let run = |graph: &Graph| Reference::new(graph).run(&inputs).unwrap();
        assert_eq!(run(&folded), run(&graph));
    }
}
