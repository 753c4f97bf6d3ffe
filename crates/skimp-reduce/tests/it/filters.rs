//! Filter pruning: what goes, how much, and what is refused.

use skimp_graph::networks::{self, Weights};
use skimp_graph::ops::{Conv, Flatten, GroupNormalization, LayerNormalization};
use skimp_graph::reference::Reference;
use skimp_graph::rewrite::{Editor, trial_shapes};
use skimp_graph::statistics::{self, Statistics};
use skimp_graph::testing::random_tensor;
use skimp_graph::{AutoPad, DType, Dim, Executor, Gemm, Graph, GraphBuilder, Op, Tensor, Window};
use skimp_reduce::channels::{Channels, Gone, Masking};
use skimp_reduce::{
    METHODS, Measure, Measured, Needs, ReduceError, Reduction, Removes, Request, Scope, Target, methods,
};

fn counts(graph: &Graph) -> Statistics {
    statistics::compute(graph, &trial_shapes(graph).expect("valid"))
}

fn reduce(
    name: &str,
    graph: &Graph,
    target: &str,
    keep: &[&str],
    round_to: usize,
    scope: Scope,
) -> Result<Reduction, ReduceError> {
    let keep: Vec<String> = keep.iter().map(|&layer| layer.to_owned()).collect();
    let settings = toml::Table::new();
    let target: Target = target.parse().expect("a target");
    let request = Request {
        target,
        measure: None,
        scope,
        keep: &keep,
        round_to,
        masking: Masking::Exact,
        settings: &settings,
        seed: 0,
        learning: None,
    };
    methods::find(name).expect("registered").reduce(graph, &request)
}

/// Methods that rank channels by weights alone.
fn filter_methods() -> impl Iterator<Item = &'static str> {
    let facts = METHODS.iter().map(|method| method.facts());
    facts.filter(|facts| facts.removes == Removes::Channels && facts.needs == Needs::Nothing).map(|facts| facts.name)
}

#[test]
fn half_of_the_channels_is_a_quarter_of_the_operations() {
    let cases = filter_methods().map(|method| (method, "resnet18:size=64")).chain([("l1", "resnet50:size=64")]);
    for (method, network) in cases {
        let graph = networks::build(network, Weights::Seeded(1)).expect("valid");
        let reduced = reduce(method, &graph, "channels=0.5", &[], 8, Scope::Uniform).expect(method);
        assert!(reduced.groups.iter().all(|group| group.after * 2 == group.before), "{method}");
        // Torch-Pruning's README gives 4.12 to 1.07 G with the operations of other layers counted, too.
        let share = counts(&reduced.graph).macs as f64 / counts(&graph).macs as f64;
        assert!((share - 0.26).abs() < 0.015, "{method}: {share}");
        let refused: Vec<&str> = reduced.refused.iter().map(|refusal| refusal.node.as_str()).collect();
        assert_eq!(refused, ["fc"], "{method}");
    }
}

#[test]
fn targets_are_met_as_closely_as_widths_allow() {
    for network in ["resnet20", "resnet20:shortcut=projection", "vgg16-cifar", "mobilenet-v1:size=32"] {
        let Ok(graph) = networks::build(network, Weights::Seeded(2)) else { continue };
        let before = counts(&graph);
        for (scope, fraction) in [(Scope::Uniform, 0.5), (Scope::Global, 0.5), (Scope::Uniform, 0.3)] {
            for (name, count) in
                [("macs", (|c: &Statistics| c.macs) as fn(&Statistics) -> u64), ("params", |c| c.parameters)]
            {
                let reduced = reduce("l1", &graph, &format!("{name}={fraction}"), &[], 1, scope).expect(network);
                let share = count(&counts(&reduced.graph)) as f64 / count(&before) as f64;
                assert!(share <= fraction && share > 0.9 * fraction, "{network} {name} {scope:?}: {share}");
            }
        }
    }
}

#[test]
fn the_smallest_filters_go() {
    let graph = networks::build("vgg16-cifar", Weights::Seeded(3)).expect("valid");
    let reduced = reduce("l1", &graph, "channels=0.5", &[], 8, Scope::Uniform).expect("valid");
    let node = graph.nodes().iter().find(|node| matches!(node.op, Op::Conv(_))).expect("a layer");
    let group = reduced.groups.iter().find(|group| group.widest == node.name).expect("its group");
    let weight = graph.constant(node.inputs[1].expect("a weight")).expect("a constant");
    let len = weight.len() / weight.shape()[0];
    let norm = |filter: usize| -> f64 {
        weight.as_f32().expect("floats")[filter * len..][..len].iter().map(|x| f64::from(x.abs())).sum()
    };
    let kept = (0..group.before).filter(|filter| !group.removed.contains(filter));
    let least = kept.map(norm).fold(f64::INFINITY, f64::min);
    assert!(group.removed.iter().all(|&filter| norm(filter) <= least));
    assert_eq!(group.removed.len(), 32);
}

/// Keeps `widths[i]` channels of the `i`-th convolution, counted from 1 (the first ones).
fn with_widths(graph: &Graph, widths: &[(usize, usize)]) -> Graph {
    let convs: Vec<&str> =
        graph.nodes().iter().filter(|node| matches!(node.op, Op::Conv(_))).map(|node| node.name.as_str()).collect();
    let widths: Vec<(&str, usize)> = widths.iter().map(|&(conv, width)| (convs[conv - 1], width)).collect();
    with_layer_widths(graph, &widths)
}

/// Keeps so many channels of these layers, the first ones.
fn with_layer_widths(graph: &Graph, widths: &[(&str, usize)]) -> Graph {
    let channels = Channels::of(graph, |_| false).expect("valid");
    let mut gone: Gone = vec![Vec::new(); channels.groups().len()];
    for &(layer, width) in widths {
        let is_own = |layers: &[usize]| matches!(layers, &[node] if graph.nodes()[node].name == layer);
        let at = channels.groups().iter().position(|group| is_own(&group.layers)).expect("a group of its own");
        gone[at] = (width..channels.groups()[at].units.len()).collect();
    }
    channels.remove(&gone).expect("valid")
}

/// Counts of Li et al., ICLR 2017, recomputed from the recipes (weights, operations).
#[test]
fn published_shapes_have_their_counts() {
    let graph = networks::build("vgg16-cifar", Weights::Seeded(0)).expect("valid");
    assert_eq!((counts(&graph).weights, counts(&graph).macs), (14_977_728, 313_463_808));
    let a: Vec<(usize, usize)> = std::iter::once((1, 32)).chain((8..=13).map(|conv| (conv, 256))).collect();
    let pruned = counts(&with_widths(&graph, &a));
    assert_eq!((pruned.weights, pruned.macs), (5_390_176, 206_279_680));

    let graph = networks::build("resnet56", Weights::Seeded(0)).expect("valid");
    assert_eq!((counts(&graph).weights, counts(&graph).macs), (848_944, 125_485_696));
    // First convolutions of blocks are the even ones; nine blocks in each stage.
    let recipe = |kept: [f64; 3], skipped: &[usize]| {
        let widths = [16, 32, 64];
        let of = |block: usize| (2 * block + 2, (kept[block / 9] * f64::from(widths[block / 9])).floor() as usize);
        (0..27).map(of).filter(|(conv, _)| !skipped.contains(conv)).collect::<Vec<_>>()
    };
    let a = counts(&with_widths(&graph, &recipe([0.9; 3], &[16, 20, 38, 54])));
    assert_eq!((a.weights, a.macs), (769_456, 112_435_840));
    let b = counts(&with_widths(&graph, &recipe([0.4, 0.7, 0.9], &[16, 18, 20, 34, 38, 54])));
    assert_eq!((b.weights, b.macs), (732_016, 90_907_264));
}

/// Counts of Hu et al., arXiv:1607.03250, recomputed from the layers' sizes (LeNet: all parameters; VGG-16: weights, to
/// 10,000).
#[test]
fn trimmed_shapes_have_their_counts() {
    let graph = networks::build("lenet-5", Weights::Zero).expect("valid");
    for (conv2, fc1, expected) in
        [(50, 500, 431_080), (41, 426, 305_213), (31, 349, 193_004), (26, 293, 138_667), (24, 252, 112_094)]
    {
        let trimmed = counts(&with_layer_widths(&graph, &[("conv2", conv2), ("fc1", fc1)]));
        assert_eq!(trimmed.parameters, expected, "{conv2} {fc1}");
    }
    let graph = networks::build("vgg16", Weights::Zero).expect("valid");
    let trimmed = counts(&with_layer_widths(&graph, &[("conv5_3", 390), ("fc6", 1513)]));
    assert_eq!((trimmed.weights + 5000) / 10_000, 5335);
}

/// VGG-16 with one dense layer behind the mean of each channel.
fn with_global_pool(graph: &Graph) -> Graph {
    let block: Vec<&str> = ["pool5", "flatten", "fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8"].to_vec();
    let mut builder = GraphBuilder::new("head");
    let dims = [Dim::Free("N".to_owned()), Dim::Fixed(512), Dim::Fixed(14), Dim::Fixed(14)];
    let x = builder.input("x", DType::F32, dims.to_vec());
    let pooled = builder.node("pool", Op::GlobalAveragePool, &[x]);
    let flat = builder.node("flat", Op::Flatten(Flatten { axis: 1 }), &[pooled]);
    let weight = builder.constant("fc.weight", Tensor::from_f32(vec![1000, 512], vec![0.0; 512_000]));
    let y =
        builder.node("fc", Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true }), &[flat, weight]);
    builder.output(y);
    let head = builder.build().expect("valid");
    let node = |name: &str| graph.nodes().iter().find(|node| node.name == name).expect(name);
    let (input, output) = (node("pool5").inputs[0].expect("an input"), node("fc8").outputs[0]);
    let mut editor = Editor::new(graph);
    editor.replace_block(&block, &head, &[input], &[output]).expect("fits");
    editor.finish().expect("valid")
}

/// Counts of Luo et al., ICCV 2017, recomputed from the recipes (weights, operations): VGG-16 with the first ten
/// convolutions halved, the same with a global pooling, ResNet-50 with 30 % of the first two convolutions of each block.
#[test]
fn thinet_shapes_have_their_counts() {
    let graph = networks::build("vgg16", Weights::Zero).expect("valid");
    let widths: Vec<(usize, usize)> = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512]
        .iter()
        .zip(1..)
        .map(|(width, conv)| (conv, width / 2))
        .collect();
    let conv = counts(&with_widths(&graph, &widths));
    assert_eq!((conv.weights, conv.macs), (131_440_480, 4_791_205_888));
    let pooled = counts(&with_widths(&with_global_pool(&graph), &widths));
    assert_eq!((pooled.weights, pooled.macs), (8_318_816, 4_668_084_224));
    // `round` and `macs` in millions and billions, as published: 8.661 M and 1.102 G, of 25.503 M and 3.858 G.
    let graph = networks::build("resnet50-v1", Weights::Zero).expect("valid");
    assert_eq!((counts(&graph).weights, counts(&graph).macs), (25_502_912, 3_857_973_248));
    let convs: Vec<&str> =
        graph.nodes().iter().filter(|node| matches!(node.op, Op::Conv(_))).map(|node| node.name.as_str()).collect();
    let of = |(at, name): (usize, &&str)| {
        let stage: u32 = name.strip_prefix("layer")?.split('.').next()?.parse().ok()?;
        let width = f64::from(32 << stage);
        (name.ends_with("conv1") || name.ends_with("conv2")).then_some((at + 1, (0.3 * width).round() as usize))
    };
    let widths: Vec<(usize, usize)> = convs.iter().enumerate().filter_map(of).collect();
    assert_eq!(widths.len(), 32);
    let thin = counts(&with_widths(&graph, &widths));
    assert_eq!(((thin.weights + 500) / 1000, (thin.macs + 500_000) / 1_000_000), (8661, 1102));
}

#[test]
fn what_cannot_be_is_refused_and_says_why() {
    let graph = networks::build("lenet-5", Weights::Seeded(0)).expect("valid");
    let text = |result: Result<Reduction, ReduceError>| result.expect_err("refused").to_string();
    let told = text(reduce("l1", &graph, "macs=0.001", &[], 8, Scope::Uniform));
    assert!(told.contains("macs=0.001") && told.contains("reached"), "{told}");
    let told = text(reduce("l1", &graph, "sparsity=0.5", &[], 8, Scope::Uniform));
    assert!(told.contains("channels="), "{told}");
    let told = text(reduce("l1", &graph, "channels=0.5", &["nobody"], 8, Scope::Uniform));
    assert!(told.contains("nobody"), "{told}");
    let told = text(reduce("apoz", &graph, "channels=0.5", &[], 8, Scope::Uniform));
    assert!(told.contains("--data"), "{told}");
    let told = text(reduce("slimming", &graph, "channels=0.5", &["*"], 8, Scope::Uniform));
    assert!(told.contains("no layer"), "{told}");
    // Nothing to scale by: all groups stay, and are listed.
    let reduced = reduce("slimming", &graph, "channels=0.5", &[], 8, Scope::Uniform).expect("valid");
    assert!(reduced.refused.len() > 1 && reduced.groups.iter().all(|group| group.before == group.after));
    for bad in ["channels=0", "channels=1.5", "macs=x", "sparsity=1", "latency"] {
        assert!(bad.parse::<Target>().is_err(), "{bad}");
    }
    // All channels of a network are none too few.
    let same = reduce("l2", &graph, "channels=1", &[], 8, Scope::Uniform).expect("valid");
    assert!(same.graph == graph && same.notes.len() == 1, "{:?}", same.notes);
}

#[test]
fn activations_meet_their_target() {
    let graph = networks::build("resnet20", Weights::Seeded(2)).expect("valid");
    let before = counts(&graph).activation_sum;
    let reduced = reduce("l1", &graph, "activations=0.5", &[], 1, Scope::Uniform).expect("valid");
    let share = counts(&reduced.graph).activation_sum as f64 / before as f64;
    assert!(share <= 0.5 && share > 0.47, "{share}");
}

#[test]
fn what_is_measured_is_searched_with_few_measurements() {
    let graph = networks::build("resnet20", Weights::Seeded(2)).expect("valid");
    let before = counts(&graph).macs as f64;
    let measurements = std::sync::atomic::AtomicUsize::new(0);
    let ordering = std::sync::atomic::Ordering::Relaxed;
    let measure = |graph: &Graph| {
        measurements.fetch_add(1, ordering);
        // Something that counts stand in for, and that no less than a tenth is left of.
        let ratio = 0.1 + 0.9 * counts(graph).macs as f64 / before;
        Ok(Measured { ratio, text: format!("{ratio:.3}") })
    };
    let settings = toml::Table::new();
    let reduce = |target: &str, measure: Option<&Measure<'_>>| {
        let target: Target = target.parse().expect("a target");
        let scope = Scope::Uniform;
        let request = Request {
            target,
            measure,
            scope,
            keep: &[],
            round_to: 1,
            masking: Masking::Exact,
            settings: &settings,
            seed: 0,
            learning: None,
        };
        methods::find("l1").expect("registered").reduce(&graph, &request)
    };
    let reduced = reduce("cycles@some-design=0.5", Some(&measure)).expect("met");
    let share = 0.1 + 0.9 * counts(&reduced.graph).macs as f64 / before;
    assert!(share <= 0.5 && share > 0.45, "{share}");
    assert!(measurements.load(ordering) <= 6, "few measurements");
    assert!(reduced.notes[0].starts_with("cycles@some-design remains, as measured: "), "{:?}", reduced.notes);
    // What cannot be met says how far it got; what nobody measures is no target.
    let error = reduce("latency=0.05", Some(&measure)).unwrap_err().to_string();
    assert!(error.starts_with("target latency=0.05: ") && error.contains("the most that was reached: 0.10"), "{error}");
    let error = reduce("energy@some-design=0.5", None).unwrap_err().to_string();
    assert!(error.contains("nothing here measures energy@some-design"), "{error}");
    // A failed measurement comes back as it is.
    let fails = |_: &Graph| Err("out of paper".into());
    let error = reduce("latency=0.5", Some(&fails)).unwrap_err();
    assert!(matches!(error, ReduceError::Measure(_)) && error.to_string() == "out of paper", "{error}");
    // All of it needs no measurement.
    let whole = reduce("latency=1", Some(&fails)).expect("met");
    assert!(whole.groups.iter().all(|group| group.removed.is_empty()));
}

#[test]
fn targets_read_as_they_are_written() {
    for text in ["channels=0.5", "activations=0.25", "latency=0.5", "cycles@a-b=0.5", "energy@x=1", "sparsity=0"] {
        assert_eq!(text.parse::<Target>().expect(text).to_string(), text);
    }
    for text in ["cycles=0.5", "cycles@=0.5", "latency@x=0.5", "macs@x=0.5", "energy@x=0", "activations=2", "macs=nan"]
    {
        assert!(text.parse::<Target>().is_err(), "{text}");
    }
}

/// A perceptron with a layer normalization between its layers, and convolutions with a group normalization.
fn normalized() -> [Graph; 2] {
    let weight = |name: &str, shape: Vec<usize>| random_tensor(4, name, shape, 0.0, 1.0);
    let mut perceptron = GraphBuilder::new("perceptron");
    let x = perceptron.input("x", DType::F32, vec![Dim::Free("N".into()), Dim::Fixed(6)]);
    let [w1, w2] = [("w1", [6, 16]), ("w2", [16, 3])].map(|(name, shape)| {
        let tensor = weight(name, shape.to_vec());
        perceptron.constant(name, tensor)
    });
    let [scale, shift] = ["scale", "shift"].map(|name| {
        let tensor = weight(name, vec![16]);
        perceptron.constant(name, tensor)
    });
    let y = perceptron.node("first", Op::MatMul, &[x, w1]);
    let normalization = LayerNormalization { axis: -1, epsilon: 1e-5 };
    let y = perceptron.node("norm", Op::LayerNormalization(normalization), &[y, scale, shift]);
    let y = perceptron.node("second", Op::MatMul, &[y, w2]);
    perceptron.output(y);

    let mut convolutions = GraphBuilder::new("convolutions");
    let x = convolutions.input("x", DType::F32, [1, 2, 5, 5].map(Dim::Fixed).to_vec());
    let [w1, w2] = [("w1", [16, 2, 1, 1]), ("w2", [3, 16, 1, 1])].map(|(name, shape)| {
        let tensor = weight(name, shape.to_vec());
        convolutions.constant(name, tensor)
    });
    let [scale, shift] = ["scale", "shift"].map(|name| {
        let tensor = weight(name, vec![16]);
        convolutions.constant(name, tensor)
    });
    let window = || Window {
        kernel: vec![1; 2],
        strides: vec![1; 2],
        dilations: vec![1; 2],
        pads_begin: vec![0; 2],
        pads_end: vec![0; 2],
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
    };
    let conv = || Op::Conv(Conv { window: window(), groups: 1 });
    let y = convolutions.node("first", conv(), &[x, w1]);
    let normalization = GroupNormalization { groups: 4, epsilon: 1e-5 };
    let y = convolutions.node("norm", Op::GroupNormalization(normalization), &[y, scale, shift]);
    let y = convolutions.node("second", conv(), &[y, w2]);
    convolutions.output(y);
    [perceptron, convolutions].map(|builder| builder.build().expect("well-formed"))
}

#[test]
fn channels_under_statistics_go_when_asked() {
    for graph in normalized() {
        let settings = toml::Table::new();
        let request = |masking| Request {
            target: Target::Channels(0.5),
            measure: None,
            scope: Scope::Uniform,
            keep: &[],
            round_to: 1,
            masking,
            settings: &settings,
            seed: 0,
            learning: None,
        };
        let reduce = |masking| methods::find("l1").expect("registered").reduce(&graph, &request(masking));
        let error = reduce(Masking::Exact).unwrap_err().to_string();
        assert!(error.contains("its statistics run over them"), "{error}");
        let reduced = reduce(Masking::Inexact).expect("asked for");
        let group = &reduced.groups[0];
        assert_eq!((group.before, group.after), (16, 8), "{}", graph.name());
        assert!(reduced.notes[0].contains("removed is not masked") && reduced.notes[0].contains("norm"));
        // What the smaller network computes is what a normalization of what is left computes.
        let kept: Vec<usize> = (0..16).filter(|channel| !group.removed.contains(channel)).collect();
        let constant = |graph: &Graph, name: &str, input: usize| {
            let node = graph.nodes().iter().find(|node| node.name == name).expect("kept");
            graph.constant(node.inputs[input].expect("given")).expect("a constant").clone()
        };
        let out_axis = if graph.name() == "perceptron" { 1 } else { 0 };
        for (name, input, axis) in [("first", 1, out_axis), ("norm", 1, 0), ("norm", 2, 0), ("second", 1, 1 - out_axis)]
        {
            assert_eq!(
                constant(&reduced.graph, name, input),
                constant(&graph, name, input).keep(axis, &kept),
                "{} {name}",
                graph.name()
            );
        }
        if graph.name() == "convolutions" {
            let per_group: Vec<usize> = (0..4).map(|at| kept.iter().filter(|&&c| c / 4 == at).count()).collect();
            assert_eq!(per_group, [2; 4]);
        }
        let extents = trial_shapes(&reduced.graph).expect("valid");
        let shape = extents.shape(graph_input(&reduced.graph)).to_vec();
        let x = [random_tensor(1, "x", shape, 0.0, 1.0)];
        let output = Reference::new(&reduced.graph).run(&x).expect("runs");
        assert!(output[0].as_f32().expect("floats").iter().all(|y| y.is_finite()));
    }
}

fn graph_input(graph: &Graph) -> skimp_graph::ValueId {
    graph.inputs()[0].value
}
