//! What holds for every method that removes channels.

use std::sync::Arc;

use skimp_data::{Dataset, InputSpec, Split};
use skimp_graph::ops::{Conv, Flatten};
use skimp_graph::testing::random_tensor;
use skimp_graph::{DType, Dim, Gemm, Graph, GraphBuilder, Op, ValueId, Window};
use skimp_reduce::channels::Masking;
use skimp_reduce::{Learning, METHODS, Method, Needs, Recipe, ReduceError, Reduction, Removes, Request, Scope, Target};
use skimp_train::LossSum;
use skimp_train::augment::Augment;
use skimp_train::loader::{LastBatch, Loader, LoaderConfig, Order};
use skimp_train::optimizer::OptimizerConfig;
use skimp_train::trainer::Unobserved;

/// Methods that remove channels.
fn filter_methods() -> impl Iterator<Item = &'static dyn Method> {
    METHODS.iter().copied().filter(|method| method.facts().removes == Removes::Channels)
}

/// 64 images of the embedded sample.
fn learning() -> Learning<'static> {
    let config = LoaderConfig {
        batch: 16,
        seed: 1,
        order: Order::Shuffled,
        last_batch: LastBatch::Keep,
        preprocess: "sample".parse().expect("known"),
        input: InputSpec { channels: 1, height: 28, width: 28 },
        augment: Augment::default(),
    };
    let images = Arc::new(Dataset::open("sample", Split::Train).expect("embedded"));
    let recipe = Recipe {
        learning_rate: 0.02,
        schedule: "constant".to_owned(),
        optimizer: OptimizerConfig::default(),
        losses: LossSum::cross_entropy(0.0),
        precision: "fp32".to_owned(),
        batch_norm_momentum: 0.1,
        output: None,
        input_size: None,
        seed: 1,
    };
    let training = Loader::new(images, (0..64).collect(), config).expect("fits");
    Learning { training, validation: None, recipe, observer: &Unobserved, runs: None }
}

fn reduce(
    method: &dyn Method,
    graph: &Graph,
    fraction: f64,
    keep: &[String],
    learning: Option<&Learning<'_>>,
) -> Result<Reduction, ReduceError> {
    let mut settings = toml::Table::new();
    for (name, value) in [("images", 64), ("epochs", 1)] {
        if method.settings().contains_key(name) {
            settings.insert(name.to_owned(), value.into());
        }
    }
    let target = Target::Channels(fraction);
    let needs = method.facts().needs != Needs::Nothing;
    let learning = learning.filter(|_| needs);
    method.reduce(
        graph,
        &Request {
            target,
            measure: None,
            scope: Scope::Uniform,
            keep,
            round_to: 1,
            masking: Masking::Exact,
            settings: &settings,
            seed: 3,
            learning,
        },
    )
}

/// A network under construction, of 28 x 28 images.
struct Net {
    builder: GraphBuilder,
}

impl Net {
    fn new() -> Self {
        Self { builder: GraphBuilder::new("net") }
    }

    fn input(&mut self, name: &str) -> ValueId {
        let dims = std::iter::once(Dim::Free("N".to_owned())).chain([1, 28, 28].map(Dim::Fixed)).collect();
        self.builder.input(name, DType::F32, dims)
    }

    fn weight(&mut self, name: &str, shape: &[usize]) -> ValueId {
        self.builder.constant(format!("{name}.weight"), random_tensor(2, name, shape.to_vec(), 0.0, 0.3))
    }

    fn conv_with(&mut self, name: &str, x: ValueId, weight: ValueId) -> ValueId {
        let op = Op::Conv(Conv { window: Window::padded(&[3, 3], &[1, 1]), groups: 1 });
        self.builder.node(name, op, &[x, weight])
    }

    /// A convolution from `c` to `n` channels and a rectifier.
    fn conv(&mut self, name: &str, x: ValueId, c: usize, n: usize) -> ValueId {
        let weight = self.weight(name, &[n, c, 3, 3]);
        let y = self.conv_with(name, x, weight);
        self.builder.node(format!("{name}.relu"), Op::Relu, &[y])
    }

    /// Means of `c` channels, and ten classes.
    fn finish(mut self, x: ValueId, c: usize) -> Graph {
        let y = self.builder.node("mean", Op::GlobalAveragePool, &[x]);
        let y = self.builder.node("flatten", Op::Flatten(Flatten { axis: 1 }), &[y]);
        let weight = self.weight("fc", &[10, c]);
        let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
        let y = self.builder.node("fc", Op::Gemm(gemm), &[y, weight]);
        self.builder.output(y);
        self.builder.build().expect("valid")
    }
}

fn chain() -> Graph {
    let mut net = Net::new();
    let x = net.input("x");
    let y = net.conv("conv1", x, 1, 8);
    let y = net.conv("conv2", y, 8, 6);
    net.finish(y, 6)
}

/// The bits of every constant, by name.
fn bits(graph: &Graph) -> Vec<(&str, Vec<u32>)> {
    let constants = graph.values().iter().filter_map(|value| Some((value, value.constant.as_ref()?.as_f32()?)));
    constants.map(|(value, elements)| (value.name.as_str(), elements.iter().map(|x| x.to_bits()).collect())).collect()
}

/// The same seed: the same channels and the same weights.
#[test]
fn once_and_again_are_equal() {
    let (graph, learning) = (chain(), learning());
    for method in filter_methods() {
        let name = method.facts().name;
        let [once, again] = [(); 2].map(|()| reduce(method, &graph, 0.5, &[], Some(&learning)).expect(name));
        assert_eq!(once.groups, again.groups, "{name}");
        assert_eq!(bits(&once.graph), bits(&again.graph), "{name}");
        let is_cut = once.groups.iter().all(|group| 2 * group.after == group.before);
        // Nothing scales by batch normalization here.
        assert!(is_cut || name == "slimming", "{name}: {:?}", once.groups);
    }
}

/// All channels stay: the network is what it was, and the result says so.
#[test]
fn all_of_the_channels_is_the_same_network() {
    let (graph, learning) = (chain(), learning());
    for method in filter_methods() {
        let name = method.facts().name;
        let same = reduce(method, &graph, 1.0, &[], Some(&learning)).expect(name);
        assert!(same.graph == graph, "{name}");
        assert_eq!(same.notes, ["target channels=1: nothing goes, the network is as it was"], "{name}");
    }
}

/// A convolution of one channel, layers that share a weight, and a layer that nobody reads: what cannot go is listed with
/// the reason, the rest goes.
#[test]
fn odd_layers_are_listed() {
    let mut net = Net::new();
    let x = net.input("x");
    let y = net.conv("conv1", x, 1, 8);
    net.conv("unused", y, 8, 4);
    let y = net.conv("conv2", y, 8, 6);
    let shared = net.weight("shared", &[6, 6, 3, 3]);
    let y = net.conv_with("shared1", y, shared);
    let y = net.conv_with("shared2", y, shared);
    let y = net.conv("single", y, 6, 1);
    let y = net.conv("last", y, 1, 8);
    let (graph, learning) = (net.finish(y, 8), learning());
    for method in filter_methods() {
        let name = method.facts().name;
        let reduced = reduce(method, &graph, 0.5, &[], Some(&learning)).expect(name);
        let reason = |node: &str| {
            let refusal = reduced.refused.iter().find(|refusal| refusal.node == node);
            refusal.map_or_else(|| panic!("{name}: {node} of {:?}", reduced.refused), |refusal| refusal.reason.as_str())
        };
        assert!(reason("conv2").contains("\"shared1\" (Conv)") && reason("conv2").contains("by other nodes"), "{name}");
        assert!(reason("single").contains("single channel"), "{name}: {}", reason("single"));
        for layer in ["conv1", "last"] {
            let group = reduced.groups.iter().find(|group| group.widest == layer).expect(layer);
            assert!((group.before, group.after) == (8, 4) || name == "slimming", "{name}: {group:?}");
        }
    }
}

/// Layers that are kept make what they made, whatever the method; where all are, nothing is left to do.
#[test]
fn kept_layers_keep_their_channels() {
    let (graph, learning) = (chain(), learning());
    for method in filter_methods().filter(|method| method.facts().name != "slimming") {
        let name = method.facts().name;
        let reduced = reduce(method, &graph, 0.5, &["conv1".to_owned()], Some(&learning)).expect(name);
        let left: Vec<(&str, usize)> =
            reduced.groups.iter().map(|group| (group.widest.as_str(), group.after)).collect();
        assert_eq!(left, [("conv2", 3)], "{name}");
        assert!(
            reduced.refused.iter().any(|refusal| refusal.node == "conv1" && refusal.reason.contains("kept")),
            "{name}"
        );
        let told = reduce(method, &graph, 0.5, &["*".to_owned()], Some(&learning)).expect_err(name).to_string();
        assert!(told.contains("no layer's channels may go"), "{name}: {told}");
    }
}

/// Two inputs: methods that need no images reduce the network, the others say what they expect.
#[test]
fn a_second_input_is_told_of() {
    let mut net = Net::new();
    let (x, z) = (net.input("x"), net.input("z"));
    let both = net.builder.node("both", Op::Add, &[x, z]);
    let y = net.conv("conv1", both, 1, 8);
    let (graph, learning) = (net.finish(y, 8), learning());
    for method in filter_methods() {
        let facts = method.facts();
        let result = reduce(method, &graph, 0.5, &[], Some(&learning));
        if facts.needs == Needs::Nothing {
            assert_eq!(result.expect(facts.name).groups.len(), 1, "{}", facts.name);
        } else {
            let told = result.expect_err(facts.name).to_string();
            assert!(told.contains("input"), "{}: {told}", facts.name);
        }
    }
}
