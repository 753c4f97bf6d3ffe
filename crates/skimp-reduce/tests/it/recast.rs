//! Counts of recast networks, and what keeps blocks from being recast.
//!
//! The figures are recomputed from the published architectures by closed formulas; see each test.

use std::sync::Arc;

use skimp_data::{Dataset, InputSpec, Split};
use skimp_graph::networks::{self, Weights};
use skimp_graph::ops::{BatchNormalization, Concat, Conv};
use skimp_graph::rewrite::{Edge, Editor, batch_shapes, fold_batch_norm, trial_shapes};
use skimp_graph::statistics::{self, Statistics};
use skimp_graph::{DType, Dim, Graph, GraphBuilder, Op, Tensor, Window, onnx};
use skimp_reduce::recast::{
    Activations, BlockKind, Change, Course, NewKind, Schooling, Scope, Student, blocks, parse_blocks, recast, train,
};
use skimp_reduce::{Learning, Recipe, ReduceError};
use skimp_train::LossSum;
use skimp_train::augment::Augment;
use skimp_train::loader::{LastBatch, Loader, LoaderConfig, Order};
use skimp_train::optimizer::OptimizerConfig;
use skimp_train::trainer::Unobserved;

fn network(text: &str) -> Graph {
    networks::build(text, Weights::Zero).expect(text)
}

fn count(graph: &Graph) -> Statistics {
    statistics::compute(graph, &batch_shapes(graph, 1).expect("valid"))
}

fn kinds(graph: &Graph) -> Vec<String> {
    blocks(graph).expect("one chain").iter().map(|block| block.kind.to_string()).collect()
}

/// `n` times a type.
fn times(n: usize, kind: &str) -> Vec<String> {
    vec![kind.to_owned(); n]
}

/// `n` in units of `unit`, to nearest.
fn rounded(n: u64, unit: u64) -> u64 {
    (n + unit / 2) / unit
}

fn all(range: std::ops::RangeInclusive<usize>) -> Vec<usize> {
    range.collect()
}

/// Block lists of the release: its numbers for ResNet-50, DenseNet-121 and VGG-16.
#[test]
fn blocks_of_built_in_networks() {
    let (conv, fc) = (|n| times(n, "convolution"), |n| times(n, "dense layer"));
    let of = |text: &str| kinds(&network(text));
    assert_eq!(of("resnet50"), [conv(1), times(16, "bottleneck residual"), fc(1)].concat());
    assert_eq!(of("resnet50-v1"), of("resnet50"));
    assert_eq!(of("resnet34"), [conv(1), times(16, "basic residual"), fc(1)].concat());
    assert_eq!(of("resnet56"), [conv(1), times(27, "basic residual"), fc(1)].concat());
    assert_eq!(of("vgg16"), [conv(13), fc(3)].concat());
    let dense = || times(1, "dense block");
    assert_eq!(
        of("densenet121"),
        [conv(1), dense(), conv(1), dense(), conv(1), dense(), conv(1), dense(), fc(1)].concat()
    );
    assert_eq!(of("lenet-5")[..2], conv(2));

    let found = blocks(&network("densenet121")).expect("one chain");
    let widths: Vec<(usize, usize)> = found.iter().map(|block| (block.in_width, block.width)).collect();
    let expected =
        [(3, 64), (64, 256), (256, 128), (128, 512), (512, 256), (256, 1024), (1024, 512), (512, 1024), (1024, 1000)];
    assert_eq!(widths, expected);
    assert_eq!(found[3].kind, BlockKind::Dense { growth: 32, n_layers: 12 });
    assert_eq!((found[2].riders.len(), found[7].riders.len()), (1, 2));

    let found = blocks(&network("resnet50")).expect("one chain");
    assert_eq!(found[4].kind, BlockKind::Bottleneck { mid: 128 });
    assert_eq!((found[4].in_width, found[4].width, found[4].stride), (256, 512, 2));
    assert_eq!((found[0].width, found[0].stride, found[0].riders.len()), (64, 2, 1));
    assert_eq!(blocks(&network("resnet50-v1")).expect("one chain")[4].stride, 2);
}

/// Depthwise convolutions are no blocks of a type; the others are found all the same.
#[test]
fn what_fits_no_type_says_why() {
    let graph = network("mobilenet-v1");
    let found = blocks(&graph).expect("one chain");
    let BlockKind::Other { node, reason } = &found[1].kind else { panic!("{:?}", found[1].kind) };
    assert!(found[1].nodes.contains(node) && reason.contains("32 groups"), "{node}: {reason}");
    let error = recast(&graph, &[1], NewKind::Conv, &[], 1).expect_err("depthwise").to_string();
    assert!(error.contains(node.as_str()) && error.contains("32 groups"), "{error}");
    // The block before it cannot be recast either, as the depthwise one would be rebuilt.
    let error = recast(&graph, &[0], NewKind::Conv, &[], 1).expect_err("depthwise behind").to_string();
    assert!(error.contains(node.as_str()) && error.contains("rebuilt"), "{error}");
}

/// ResNet-50, blocks 1 to 11: 64, 128 and 256 filters of 3x3, then five bottlenecks, the first with a projection of
/// 256 to 1024 channels, which the published 21.72 M and 2.40 G leave out (262,144 weights and 51.38 M).
#[test]
fn resnet50_mixed() {
    for (name, macs) in [("resnet50-v1", 2_457_862_144), ("resnet50", 2_534_932_480)] {
        let graph = network(name);
        let mixed = recast(&graph, &all(1..=11), NewKind::Conv, &[], 1).expect(name);
        let found = count(&mixed.graph);
        assert_eq!((found.weights, found.macs), (21_984_448, macs), "{name}");
        assert_eq!(kinds(&mixed.graph)[..12], times(12, "convolution"), "{name}");
        assert_eq!(kinds(&mixed.graph)[12..], kinds(&graph)[12..], "{name}");
        assert_eq!((graph.name(), graph.inputs()), (mixed.graph.name(), mixed.graph.inputs()));
        let names = |graph: &Graph| graph.outputs().iter().map(|&id| graph.value(id).name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&graph), names(&mixed.graph));
    }
    let plain = recast(&network("resnet50"), &all(1..=11), NewKind::Conv, &[], 1).expect("resnet50").graph;
    assert_eq!(count(&plain).parameters, 22_019_752);
    // 11.115 M to 3.438 M outputs of layers, 9.609 M to 3.136 M behind rectifiers.
    let (before, after) =
        (Activations::of(&network("resnet50")).expect("valid"), Activations::of(&plain).expect("valid"));
    assert_eq!((rounded(before.products, 1000), rounded(before.rectified, 1000)), (11_115, 9_609));
    assert_eq!((rounded(after.products, 1000), rounded(after.rectified, 1000)), (3_438, 3_136));
    assert!(after.peak <= before.peak);
}

/// All sixteen bottlenecks of ResNet-50 as basic blocks are ResNet-34, count for count; as convolutions, 10,290,368.
#[test]
fn resnet50_all() {
    let basic = recast(&network("resnet50"), &all(1..=16), NewKind::Residual, &[], 1).expect("resnet50").graph;
    let (found, expected) = (count(&basic), count(&network("resnet34")));
    assert_eq!((found.weights, found.parameters, found.macs), (expected.weights, expected.parameters, expected.macs));
    assert_eq!((found.weights, found.parameters), (21_779_648, 21_797_672));
    assert_eq!(Activations::of(&basic).expect("valid"), Activations::of(&network("resnet34")).expect("valid"));
    let plain = recast(&network("resnet50"), &all(1..=16), NewKind::Conv, &[], 1).expect("resnet50").graph;
    let found = count(&plain);
    assert_eq!((found.weights, found.parameters, rounded(found.macs, 1_000_000)), (10_290_368, 10_299_048, 1_795));
}

/// DenseNet-121, the first two dense blocks basic: 7,894,208 − 331,776 − 909,312 weights, and
/// 9·64·256 + 9·256² + 64·256 and 9·128·512 + 9·512² + 128·512. Twice the multiplications, half the rectified elements.
#[test]
fn densenet121_mixed() {
    let graph = network("densenet121");
    let mixed = recast(&graph, &[1, 3], NewKind::Residual, &[], 1).expect("densenet121");
    let found = count(&mixed.graph);
    assert_eq!((found.weights, found.parameters, rounded(found.macs, 1_000_000)), (10_421_440, 10_495_528, 5_808));
    let (before, after) = (Activations::of(&graph).expect("valid"), Activations::of(&mixed.graph).expect("valid"));
    assert_eq!((rounded(before.rectified, 1000), rounded(after.rectified, 1000)), (15_667, 7_689));
    assert_eq!((rounded(before.products, 1000), rounded(after.products, 1000)), (6_900, 5_997));
    // The other blocks are of their type and widths.
    let (old, new) = (blocks(&graph).expect("one chain"), blocks(&mixed.graph).expect("one chain"));
    for at in [0, 2, 4, 5, 6, 7, 8] {
        assert_eq!(new[at], old[at], "block {at}");
    }
    assert_eq!((&new[1].kind, new[1].in_width, new[1].width), (&BlockKind::Basic, 64, 256));
    assert_eq!((&new[3].kind, new[3].in_width, new[3].width), (&BlockKind::Basic, 128, 512));
}

/// The candidate list of ratios for the published 120.61 M and 3.12 G; its first dense layer reads 461 · 7 · 7 features.
#[test]
fn vgg16_by_ratios() {
    let ratios = [0.1, 0.1, 0.2, 0.2, 0.2, 0.4, 0.4, 0.4, 0.6, 0.7, 0.9, 0.9, 0.9];
    let thin = recast(&network("vgg16"), &all(0..=12), NewKind::Same, &ratios, 1).expect("vgg16");
    let widths: Vec<usize> = thin.blocks[..13].iter().map(|block| block.width).collect();
    assert_eq!(widths, [6, 6, 26, 26, 51, 102, 102, 205, 307, 358, 461, 461, 461]);
    assert_eq!(thin.blocks[13].in_width, 22_589);
    let found = count(&thin.graph);
    assert_eq!((rounded(found.weights, 100), rounded(found.macs, 100_000)), (1_206_126, 31_176));
    // Nodes keep their names.
    let names = |graph: &Graph| graph.nodes().iter().map(|node| node.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&thin.graph), names(&network("vgg16")));
}

/// The release's own lists: VGG-16's first layers cut most, and every layer of the small one to 0.4.
#[test]
fn vgg16_as_released() {
    let ratios = [0.1, 0.1, 0.2, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
    let found = count(&recast(&network("vgg16"), &all(0..=12), NewKind::Conv, &ratios, 1).expect("vgg16").graph);
    assert_eq!((rounded(found.weights, 1000), rounded(found.macs, 1_000_000)), (130_837, 3_135));
    assert_eq!(rounded(found.conv_macs, 1_000_000), 3_011);
    let thin = recast(&network("vgg16-cifar"), &all(0..=12), NewKind::Same, &[0.4], 1).expect("vgg16-cifar");
    let widths: Vec<usize> = thin.blocks[..13].iter().map(|block| block.width).collect();
    assert_eq!(widths, [26, 26, 51, 51, 102, 102, 102, 205, 205, 205, 205, 205, 205]);
    let found = count(&thin.graph);
    assert_eq!((found.weights, rounded(found.macs, 100_000)), (2_465_614, 507));
}

/// ResNet-56 becomes the plain network of 29 layers, whatever its shortcuts are.
#[test]
fn resnet56_plain() {
    for name in ["resnet56", "resnet56:shortcut=projection"] {
        let plain = recast(&network(name), &all(1..=27), NewKind::Conv, &[], 1).expect(name).graph;
        let found = count(&plain);
        assert_eq!((found.weights, found.parameters, rounded(found.macs, 100_000)), (413_488, 415_546, 618), "{name}");
        let n_layers = plain.nodes().iter().filter(|node| matches!(node.op, Op::Conv(_) | Op::Gemm(_))).count();
        assert_eq!((n_layers, plain.nodes().iter().any(|node| node.op == Op::Add)), (29, false), "{name}");
    }
}

/// DenseNet-BC-100 of growth 12, all three dense blocks basic: three times the multiplications, a seventh of the
/// rectified elements.
#[test]
fn densenet_bc_residual() {
    let graph = network("densenet-bc-100-12");
    let basic = recast(&graph, &[1, 3, 5], NewKind::Residual, &[], 1).expect("densenet").graph;
    let found = count(&basic);
    assert_eq!((found.weights, found.parameters, rounded(found.macs, 100_000)), (3_243_816, 3_248_974, 9_096));
    assert_eq!(rounded(Activations::of(&basic).expect("valid").rectified, 1000), 640);
}

/// Every step leaves a network that runs, whose next block makes what the teacher's made there.
#[test]
fn every_step_keeps_what_lies_behind() {
    for (name, into) in
        [("resnet20", NewKind::Conv), ("resnet20", NewKind::Same), ("densenet-bc-100-12", NewKind::Conv)]
    {
        let graph = network(name);
        let before = trial_shapes(&graph).expect("valid");
        let mut student = Student::new(&graph, 1).expect("one chain");
        for block in 1..student.blocks().len() - 1 {
            if name.starts_with("dense") && block % 2 == 0 {
                continue;
            }
            let ratio = if into == NewKind::Same { 0.6 } else { 1.0 };
            student.replace(&Change { block, into, ratio }).expect(name);
            let after = trial_shapes(student.graph()).expect("valid");
            for behind in &student.blocks()[block + 1..] {
                let of = |graph: &Graph| graph.values().iter().position(|value| value.name == behind.output);
                let find = |graph: &Graph| skimp_graph::ValueId(of(graph).expect("kept"));
                assert_eq!(after.shape(find(student.graph())), before.shape(find(&graph)), "{name}, block {block}");
            }
        }
    }
}

/// A bottleneck whose input loses width gets a projection, one whose input becomes its output's loses it.
#[test]
fn shortcuts_follow_widths() {
    let convs = |graph: &Graph, part: &str| {
        graph.nodes().iter().filter(|node| node.name.contains(part) && matches!(node.op, Op::Conv(_))).count()
    };
    let graph = network("resnet50:size=32");
    let mixed = recast(&graph, &[1], NewKind::Conv, &[], 1).expect("resnet50").graph;
    // Block 2, 256 to 256 before, reads 64 now.
    assert_eq!((convs(&graph, "layer1.1."), convs(&mixed, "layer1.1."), convs(&mixed, "recast2")), (3, 3, 1));
    // With a ratio of 4 block 2 reads 256 again, and block 1 of the next network becomes an identity's neighbor.
    let wide = recast(&graph, &[1], NewKind::Conv, &[4.0], 1).expect("resnet50").graph;
    assert_eq!((convs(&wide, "layer1.1."), convs(&wide, "recast2")), (3, 0));
    // The stem made 64, then 256: block 1 no longer needs its projection.
    let stem = recast(&graph, &[0], NewKind::Conv, &[4.0], 1).expect("resnet50").graph;
    assert_eq!((convs(&graph, "layer1.0."), convs(&stem, "layer1.0.")), (4, 3));
    // Channels of zeros stay where widths do, else a projection is in their place.
    let graph = network("resnet20");
    let has_pad = |graph: &Graph| graph.nodes().iter().any(|node| node.name == "layer2.0.pad");
    assert!(has_pad(&recast(&graph, &[3], NewKind::Conv, &[], 1).expect("resnet20").graph));
    let thin = recast(&graph, &[3], NewKind::Conv, &[0.5], 1).expect("resnet20").graph;
    assert!(!has_pad(&thin) && convs(&thin, "recast4.shortcut") == 1);
}

/// Growth layers of a dense target: (out − in) / k.
#[test]
fn dense_targets() {
    let graph = network("densenet-bc-100-12");
    // 24 to 216 channels, 192 of them added: 16 layers of 12, of 8 layers half the width.
    let half = recast(&graph, &[1], NewKind::Dense { growth: None }, &[0.5], 1).expect("108 = 24 + 7 · 12").graph;
    assert_eq!(blocks(&half).expect("one chain")[1].kind, BlockKind::Dense { growth: 12, n_layers: 7 });
    let wide = recast(&graph, &[1], NewKind::Dense { growth: Some(48) }, &[], 1).expect("four layers").graph;
    let found = blocks(&wide).expect("one chain");
    assert_eq!((&found[1].kind, found[1].width), (&BlockKind::Dense { growth: 48, n_layers: 4 }, 216));
    let error = recast(&graph, &[1], NewKind::Dense { growth: Some(50) }, &[], 1).expect_err("192 / 50").to_string();
    assert!(error.contains("block1.0.conv1.bn") && error.contains("multiple of 50"), "{error}");
    // Any block of stride 1 becomes one, where a growth is given.
    let graph = network("resnet20");
    let error =
        recast(&graph, &[1], NewKind::Dense { growth: Some(4) }, &[], 1).expect_err("nothing to add").to_string();
    assert!(error.contains("16 channels of 16"), "{error}");
    let dense = recast(&graph, &[1], NewKind::Dense { growth: Some(4) }, &[2.0], 1).expect("16 + 4 · 4").graph;
    assert_eq!(blocks(&dense).expect("one chain")[1].kind, BlockKind::Dense { growth: 4, n_layers: 4 });
    let error = recast(&graph, &[4], NewKind::Dense { growth: Some(4) }, &[2.0], 1).expect_err("stride").to_string();
    assert!(error.contains("stride 2"), "{error}");
    // A dense block behind a recast one reads fewer channels, and adds more layers to make as many.
    let graph = network("densenet-bc-100-12");
    let fewer = recast(&graph, &[0], NewKind::Conv, &[0.5], 1).expect("(216 − 12) / 12").graph;
    assert_eq!(blocks(&fewer).expect("one chain")[1].kind, BlockKind::Dense { growth: 12, n_layers: 17 });
}

/// A removed block is the identity, keeps its number, and the next block reads what it read.
#[test]
fn removed_blocks_keep_their_number() {
    let graph = network("resnet20");
    let less = recast(&graph, &[2, 5], NewKind::Removed, &[], 1).expect("stride 1");
    assert_eq!(less.blocks.len(), blocks(&graph).expect("one chain").len());
    for at in [2, 5] {
        assert_eq!((&less.blocks[at].kind, less.blocks[at].nodes.len()), (&BlockKind::Removed, 1), "block {at}");
        let node = less.graph.nodes().iter().find(|node| node.name == less.blocks[at].nodes[0]).expect("there");
        assert_eq!(node.op, Op::Identity);
        assert_eq!(less.blocks[at + 1].in_width, less.blocks[at - 1].width, "block {at}");
    }
    assert_eq!(count(&less.graph).weights, count(&graph).weights - 2 * 9 * 16 * 16 - 2 * 9 * 32 * 32);
    // It is known again in a file.
    let file = onnx::export_bytes(&less.graph).expect("exports");
    let read = onnx::import_bytes(file.into(), None, "resnet20").expect("imports");
    assert_eq!(kinds(&read), less.blocks.iter().map(|block| block.kind.to_string()).collect::<Vec<_>>());
    let error = recast(&graph, &[4], NewKind::Removed, &[], 1).expect_err("stride 2").to_string();
    assert!(error.contains("layer2.0.conv1") && error.contains("stride 2"), "{error}");
}

#[test]
fn what_cannot_be_recast_names_its_node() {
    let graph = network("resnet20");
    type Case<'c> = (&'c [usize], NewKind, &'c [f64], &'c str, &'c str);
    let cases: [Case<'_>; 8] = [
        (&[10], NewKind::Conv, &[], "\"fc\"", "a dense layer is not recast"),
        (&[11], NewKind::Conv, &[], "found 11", "below 11"),
        (&[1], NewKind::Conv, &[0.01], "layer1.0.conv1", "round to 0"),
        (&[1], NewKind::Conv, &[0.0], "layer1.0.conv1", "a number above 0"),
        (&[0], NewKind::Residual, &[], "conv1", "not recast into a residual block"),
        (&[1], NewKind::Dense { growth: None }, &[], "layer1.0.conv1", "growth"),
        (&[1, 2], NewKind::Conv, &[1.0, 1.0, 1.0], "ratios", "one for each of 2 blocks"),
        (&[1, 1], NewKind::Conv, &[], "recast", "block 1 comes twice"),
    ];
    for (indices, into, ratios, node, cause) in cases {
        let error = recast(&graph, indices, into, ratios, 1).expect_err(cause).to_string();
        assert!(error.contains(node) && error.contains(cause), "{error}");
    }
    let error = recast(&network("resnet50"), &[1], NewKind::Same, &[0.5], 1).expect_err("bottleneck").to_string();
    assert!(error.contains("layer1.0.conv1") && error.contains("not made with fewer filters"), "{error}");
    // Several outputs.
    let mut editor = Editor::new(&graph);
    let inner = editor.value("layer1.0.relu").expect("there");
    editor.set_outputs([graph.outputs(), &[inner]].concat()).expect("there");
    let error = recast(&editor.finish().expect("valid"), &[1], NewKind::Conv, &[], 1).expect_err("two outputs");
    assert!(matches!(error, ReduceError::Nothing { .. }) && error.to_string().contains("2 outputs"), "{error}");
    // A sum without a rectifier behind it.
    let mut editor = Editor::new(&graph);
    editor.remove_node("layer1.0.relu").expect("there");
    let error = recast(&editor.finish().expect("valid"), &[1], NewKind::Conv, &[], 1).expect_err("linear").to_string();
    assert!(error.contains("layer1.0.add") || error.contains("pre-activation"), "{error}");
}

/// What rides between blocks stays; a reshape to fixed extents becomes flattening.
#[test]
fn riders_take_the_new_width() {
    let graph = network("vgg16:size=32");
    let mut editor = Editor::new(&graph);
    let reshape = skimp_graph::ops::Reshape { shape: vec![-1, 512], allow_zero: false };
    editor.replace_op("flatten", Op::Reshape(reshape)).expect("there");
    editor.insert(Edge::Input { node: "flatten", input: 0 }, "same", Op::Identity, &[]).expect("there");
    let fixed = editor.finish().expect("valid");
    let thin = recast(&fixed, &[12], NewKind::Conv, &[0.5], 1).expect("vgg16");
    assert_eq!((thin.blocks[12].width, thin.blocks[13].in_width), (256, 256));
    assert_eq!(thin.blocks[12].riders, ["pool5", "same", "flatten"]);
}

#[test]
fn texts_are_read() {
    assert_eq!(parse_blocks("1,3,5-7"), Ok(vec![1, 3, 5, 6, 7]));
    for text in ["", "1-", "3-1", "one", "-2"] {
        assert!(parse_blocks(text).is_err(), "{text}");
    }
    for into in [
        NewKind::Conv,
        NewKind::Residual,
        NewKind::Dense { growth: None },
        NewKind::Dense { growth: Some(12) },
        NewKind::Same,
        NewKind::Removed,
    ] {
        assert_eq!(into.to_string().parse(), Ok(into));
    }
    let error = "plain".parse::<NewKind>().expect_err("unknown").to_string();
    assert!(error.contains("conv, residual, dense, same, removed"), "{error}");
}

/// Two growth layers that concatenate all before them anew, as PyTorch writes them, behind a layer and before another.
fn dense_by_lists(wrong: bool) -> Graph {
    let mut builder = GraphBuilder::new("lists");
    let dims = [1, 3, 8, 8].map(Dim::Fixed).to_vec();
    let x = builder.input("x", DType::F32, dims);
    let conv = |builder: &mut GraphBuilder, name: &str, x, [k, c]: [usize; 2]| {
        let n = k * c * 9;
        let weight = builder.constant(format!("{name}.w"), Tensor::from_f32(vec![k, c, 3, 3], vec![0.1; n]));
        let window = Window::padded(&[3, 3], &[1, 1]);
        builder.node(name, Op::Conv(Conv { window, groups: 1 }), &[x, weight])
    };
    let norm = |builder: &mut GraphBuilder, name: &str, x, c: usize| {
        let vectors = [1.0, 0.0, 0.0, 1.0].map(|e| Tensor::from_f32(vec![c], vec![e; c]));
        let parts = vectors.into_iter().enumerate().map(|(i, v)| builder.constant(format!("{name}.{i}"), v));
        let inputs: Vec<_> = std::iter::once(x).chain(parts.collect::<Vec<_>>()).collect();
        let y = builder.node(name, Op::BatchNormalization(BatchNormalization { epsilon: 1e-5 }), &inputs);
        builder.node(format!("{name}.relu"), Op::Relu, &[y])
    };
    let concat =
        |builder: &mut GraphBuilder, name: &str, parts: &[_]| builder.node(name, Op::Concat(Concat { axis: 1 }), parts);
    let x = conv(&mut builder, "stem", x, [4, 3]);
    let first = norm(&mut builder, "bn1", x, 4);
    let first = conv(&mut builder, "conv1", first, [2, 4]);
    let order = if wrong { [first, x] } else { [x, first] };
    let second = concat(&mut builder, "cat1", &order);
    let second = norm(&mut builder, "bn2", second, 6);
    let second = conv(&mut builder, "conv2", second, [2, 6]);
    let y = concat(&mut builder, "cat2", &[x, first, second]);
    let y = norm(&mut builder, "bn", y, 8);
    let y = conv(&mut builder, "last", y, [5, 8]);
    builder.output(y);
    builder.build().expect("valid")
}

/// What exporters make of the same blocks.
#[test]
fn forms_of_other_exporters() {
    let graph = dense_by_lists(false);
    let found = blocks(&graph).expect("one chain");
    assert_eq!(found[1].kind, BlockKind::Dense { growth: 2, n_layers: 2 });
    assert_eq!((found[1].in_width, found[1].width, found[1].output.as_str()), (4, 8, "bn.relu"));
    let basic = recast(&graph, &[1], NewKind::Residual, &[], 1).expect("dense").graph;
    assert_eq!(blocks(&basic).expect("one chain")[1].kind, BlockKind::Basic);
    let BlockKind::Other { reason, .. } = &blocks(&dense_by_lists(true)).expect("one chain")[1].kind else {
        panic!("its channels are in another order")
    };
    assert!(reason.contains("all channels before it"), "{reason}");

    // Batch norms folded into biases: rebuilt blocks have biases, new ones batch norms.
    let folded = fold_batch_norm(&network("resnet20:shortcut=projection")).0;
    assert_eq!(kinds(&folded), kinds(&network("resnet20")));
    let n_norms =
        |graph: &Graph| graph.nodes().iter().filter(|node| matches!(node.op, Op::BatchNormalization(_))).count();
    let thin = recast(&folded, &[1, 4], NewKind::Residual, &[0.5], 1).expect("basic").graph;
    assert_eq!(n_norms(&folded), 0);
    // The projections that new widths ask for: of block 1, which makes 8 of 16, and of block 2, which reads them.
    assert_eq!(n_norms(&thin), 3);
    let mut editor = Editor::new(&folded);
    editor.replace_op("layer1.0.add", Op::Sum).expect("there");
    assert_eq!(kinds(&editor.finish().expect("valid")), kinds(&folded));
}

/// Trained networks of files fall into blocks too, and weights are functions of seed and block.
#[test]
fn files_are_recast() {
    let Some(data) = std::env::var_os("SKIMP_DATA") else {
        println!("skipped: SKIMP_DATA is not set");
        return;
    };
    for (name, n) in [("cifar10_resnet20", 9), ("cifar10_resnet20_projection", 9), ("cifar10_resnet56", 27)] {
        let path = std::path::Path::new(&data).join(format!("models/{name}.onnx"));
        let graph = onnx::import(&path).expect(name);
        let found = kinds(&graph);
        assert_eq!(
            found,
            [times(1, "convolution"), times(n, "basic residual"), times(1, "dense layer")].concat(),
            "{name}"
        );
        let plain = |seed| recast(&graph, &all(1..=n), NewKind::Conv, &[], seed).expect(name).graph;
        let one = plain(1);
        assert_eq!(one, plain(1), "{name}");
        assert_ne!(one, plain(2), "{name}");
        assert_eq!(one.all_metadata(), graph.all_metadata(), "{name}");
    }
}

/// The first block of a trained ResNet-20 as a convolution, 750 steps: the student classifies as its teacher does, later
/// blocks the teacher's still (0.896 of 0.909 of 1,024 images; 0.099 with random weights).
#[test]
fn a_trained_network_keeps_its_accuracy() {
    let (Some(data), Some(_)) = (std::env::var_os("SKIMP_DATA"), std::env::var_os("SKIMP_SLOW_TESTS")) else {
        println!("skipped: SKIMP_DATA and SKIMP_SLOW_TESTS are not both set");
        return;
    };
    let data = std::path::Path::new(&data);
    let teacher = onnx::import(&data.join("models/cifar10_resnet20.onnx")).expect("imports");
    let folder = data.join("cifar10");
    let loader = |split, images: std::ops::Range<usize>, augment: &[&str]| {
        let config = LoaderConfig {
            batch: 32,
            seed: 1,
            order: Order::Shuffled,
            last_batch: LastBatch::Drop,
            preprocess: "cifar10".parse().expect("known"),
            input: InputSpec { channels: 3, height: 32, width: 32 },
            augment: Augment::parse(augment).expect("known"),
        };
        let dataset = Dataset::open(&format!("cifar10:{}", folder.display()), split).expect("opens");
        Loader::new(Arc::new(dataset), images.collect(), config).expect("fits")
    };
    let learning = Learning {
        training: loader(Split::Train, 0..4000, &["crop:pad=4", "flip"]),
        validation: Some(loader(Split::Test, 0..1024, &[])),
        recipe: Recipe {
            learning_rate: 5e-3,
            schedule: "cosine".to_owned(),
            optimizer: OptimizerConfig { rule: "adam".to_owned(), ..OptimizerConfig::default() },
            losses: LossSum::cross_entropy(0.0),
            precision: "fp32".to_owned(),
            batch_norm_momentum: 0.1,
            output: None,
            input_size: None,
            seed: 1,
        },
        observer: &Unobserved,
        runs: None,
    };
    let schooling =
        Schooling { block: Course { epochs: 6, learning_rate: None }, finetune: None, scope: Scope::default() };
    let changes = Change::each(&[1], NewKind::Conv, &[]).expect("valid");
    let found = train((&teacher, None), &changes, &schooling, &learning, 1, &mut |_, _| Ok(())).expect("trains");
    let of_teacher = learning.accuracy(&teacher).expect("runs").expect("given");
    let untrained = recast(&teacher, &[1], NewKind::Conv, &[], 1).expect("basic").graph;
    let untrained = learning.accuracy(&untrained).expect("runs").expect("given");
    for step in &found.steps {
        println!("{step:?}");
    }
    let accuracy = found.accuracy.expect("given");
    println!("teacher {of_teacher}, recast {accuracy}, with random weights {untrained}");
    assert!(accuracy > of_teacher - 0.05 && untrained < 0.3, "{accuracy} of {of_teacher}, {untrained}");
}
