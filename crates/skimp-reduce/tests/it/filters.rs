//! Filter pruning: what goes, how much, and what is refused.

use skimp_graph::networks::{self, Weights};
use skimp_graph::rewrite::trial_shapes;
use skimp_graph::statistics::{self, Statistics};
use skimp_graph::{Graph, Op};
use skimp_reduce::channels::{Channels, Gone};
use skimp_reduce::{METHODS, Needs, ReduceError, Reduction, Removes, Request, Scope, Target, methods};

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
    let request = Request { target, scope, keep: &keep, round_to, settings: &settings, seed: 0, learning: None };
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
    let convs: Vec<usize> = graph
        .nodes()
        .iter()
        .enumerate()
        .filter(|(_, node)| matches!(node.op, Op::Conv(_)))
        .map(|(idx, _)| idx)
        .collect();
    let channels = Channels::of(graph, |_| false).expect("valid");
    let mut gone: Gone = vec![Vec::new(); channels.groups().len()];
    for &(conv, width) in widths {
        let at =
            channels.groups().iter().position(|group| group.layers == [convs[conv - 1]]).expect("a group of its own");
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
