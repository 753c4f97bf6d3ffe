//! What the tests of weight pruning share.

use std::sync::{Arc, LazyLock};

use skimp_data::{Dataset, InputSpec, Split};
use skimp_graph::testing::random_tensor;
use skimp_graph::{AutoPad, DType, Dim, Gemm, Graph, GraphBuilder, Op, Window, ops};
use skimp_train::LossSum;
use skimp_train::augment::Augment;
use skimp_train::loader::{LastBatch, Loader, LoaderConfig, Order};
use skimp_train::optimizer::OptimizerConfig;
use skimp_train::trainer::Unobserved;

use crate::channels::Masking;
use crate::{Learning, Method, Recipe, ReduceError, Reduction, Request, Scope, Target};

pub(crate) fn window(kernel: usize, stride: usize, pad: usize) -> Window {
    Window {
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![1; 2],
        pads_begin: vec![pad; 2],
        pads_end: vec![pad; 2],
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
    }
}

/// Dense layers `fc1`, `fc2`, ... of these widths, with a ReLU between them.
pub(crate) fn dense_net(widths: &[usize]) -> Graph {
    let mut builder = GraphBuilder::new("dense");
    let mut y = builder.input("x", DType::F32, vec![Dim::Free("N".to_owned()), Dim::Fixed(widths[0])]);
    for (idx, pair) in widths.windows(2).enumerate() {
        let name = format!("fc{}", idx + 1);
        let weight = format!("{name}.weight");
        let weight = builder.constant(weight.clone(), random_tensor(1, &weight, vec![pair[1], pair[0]], 0.0, 0.4));
        let bias = format!("{name}.bias");
        let bias = builder.constant(bias.clone(), random_tensor(1, &bias, vec![pair[1]], 0.0, 0.1));
        let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
        y = builder.node(name, Op::Gemm(gemm), &[y, weight, bias]);
        if idx + 2 < widths.len() {
            y = builder.node(format!("relu{}", idx + 1), Op::Relu, &[y]);
        }
    }
    builder.output(y);
    builder.build().unwrap()
}

/// For 28 x 28 images: conv1 (8 channels) → ReLU → pool → conv2 (12) → batch norm → ReLU → pool → fc (10 classes).
pub(crate) fn small_net() -> Graph {
    let mut builder = GraphBuilder::new("small");
    let dims = std::iter::once(Dim::Free("N".to_owned())).chain([1, 28, 28].map(Dim::Fixed)).collect();
    let x = builder.input("x", DType::F32, dims);
    let constant = |builder: &mut GraphBuilder, name: &str, shape: &[usize], mean: f32, deviation: f32| {
        builder.constant(name, random_tensor(3, name, shape.to_vec(), mean, deviation))
    };
    let conv = || Op::Conv(ops::Conv { window: window(3, 1, 1), groups: 1 });
    let pool = || Op::MaxPool(ops::MaxPool { window: window(2, 2, 0) });
    let w = constant(&mut builder, "conv1.weight", &[8, 1, 3, 3], 0.0, 0.5);
    let b = constant(&mut builder, "conv1.bias", &[8], 0.0, 0.1);
    let y = builder.node("conv1", conv(), &[x, w, b]);
    let y = builder.node("relu1", Op::Relu, &[y]);
    let y = builder.node("pool1", pool(), &[y]);
    let w = constant(&mut builder, "conv2.weight", &[12, 8, 3, 3], 0.0, 0.2);
    let y = builder.node("conv2", conv(), &[y, w]);
    let norm = ["scale", "shift", "mean", "variance"].map(|part| {
        let mean = if part == "scale" || part == "variance" { 1.0 } else { 0.0 };
        constant(&mut builder, &format!("bn.{part}"), &[12], mean, 0.0)
    });
    let op = Op::BatchNormalization(ops::BatchNormalization { epsilon: 1e-5 });
    let y = builder.node("bn", op, &[y, norm[0], norm[1], norm[2], norm[3]]);
    let y = builder.node("relu2", Op::Relu, &[y]);
    let y = builder.node("pool2", pool(), &[y]);
    let y = builder.node("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
    let w = constant(&mut builder, "fc.weight", &[10, 588], 0.0, 0.05);
    let b = constant(&mut builder, "fc.bias", &[10], 0.0, 0.01);
    let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
    let y = builder.node("fc", Op::Gemm(gemm), &[y, w, b]);
    builder.output(y);
    builder.build().unwrap()
}

/// The images `range` of the embedded sample, in batches of 16.
pub(crate) fn loader(range: std::ops::Range<usize>, order: Order) -> Loader {
    let config = LoaderConfig {
        batch: 16,
        seed: 1,
        order,
        last_batch: LastBatch::Keep,
        preprocess: "sample".parse().unwrap(),
        input: InputSpec { channels: 1, height: 28, width: 28 },
        augment: Augment::default(),
    };
    Loader::new(Arc::new(Dataset::open("sample", Split::Train).unwrap()), range.collect(), config).unwrap()
}

/// What [`small_net`] learns from: 64 images, and 64 others to measure on.
pub(crate) fn learning() -> Learning<'static> {
    let recipe = Recipe {
        learning_rate: 0.02,
        schedule: "constant".to_owned(),
        optimizer: OptimizerConfig { weight_decay: 1e-4, ..OptimizerConfig::default() },
        losses: LossSum::cross_entropy(0.0),
        precision: "fp32".to_owned(),
        batch_norm_momentum: 0.1,
        output: None,
        input_size: None,
        seed: 7,
    };
    let validation = Some(loader(64..128, Order::Sequential));
    Learning { training: loader(0..64, Order::Shuffled), validation, recipe, observer: &Unobserved, runs: None }
}

/// A request without settings.
pub(crate) fn request(target: Target) -> Request<'static> {
    static NONE: LazyLock<toml::Table> = LazyLock::new(toml::Table::new);
    Request {
        target,
        measure: None,
        scope: Scope::Uniform,
        keep: &[],
        round_to: 8,
        masking: Masking::Exact,
        settings: &NONE,
        seed: 5,
        learning: None,
    }
}

/// Runs a method for a sparsity; `settings` are TOML.
pub(crate) fn run(
    method: &dyn Method,
    graph: &Graph,
    sparsity: f64,
    settings: &str,
    learning: Option<&Learning<'_>>,
) -> Result<Reduction, ReduceError> {
    let settings: toml::Table = toml::from_str(settings).unwrap();
    let target = Target::Sparsity(sparsity);
    method.reduce(graph, &Request { settings: &settings, learning, ..request(target) })
}

/// The elements of a constant.
pub(crate) fn elements<'g>(graph: &'g Graph, name: &str) -> &'g [f32] {
    let value = graph.values().iter().find(|value| value.name == name).unwrap();
    value.constant.as_ref().unwrap().as_f32().unwrap()
}

/// The bits of every constant, by name.
pub(crate) fn bits(graph: &Graph) -> Vec<(String, Vec<u32>)> {
    let constants = graph.values().iter().filter_map(|value| Some((value, value.constant.as_ref()?.as_f32()?)));
    constants.map(|(value, elements)| (value.name.clone(), elements.iter().map(|x| x.to_bits()).collect())).collect()
}

/// Checks that masks are 0 or 1, that what they cut is exactly zero, and gives the zeros of all.
pub(crate) fn check_masks(reduction: &Reduction) -> usize {
    let mut n_zeros = 0;
    for (name, mask) in &reduction.masks {
        let elements = elements(&reduction.graph, name);
        assert_eq!(elements.len(), mask.len(), "{name}");
        for (element, &mask) in elements.iter().zip(mask) {
            assert!(mask.to_bits() == 1.0_f32.to_bits() || (mask.to_bits() == 0 && element.to_bits() == 0), "{name}");
        }
        n_zeros += mask.iter().filter(|mask| mask.to_bits() == 0).count();
    }
    n_zeros
}
