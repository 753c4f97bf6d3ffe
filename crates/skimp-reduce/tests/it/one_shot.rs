//! Pruning without training on a real network, where the data folder is at hand.

use std::path::Path;
use std::sync::Arc;

use skimp_data::{Dataset, InputSpec, Split};
use skimp_graph::onnx;
use skimp_reduce::channels::Masking;
use skimp_reduce::{Learning, Recipe, Request, Scope, Target, methods};
use skimp_train::LossSum;
use skimp_train::augment::Augment;
use skimp_train::loader::{LastBatch, Loader, LoaderConfig, Order};
use skimp_train::optimizer::OptimizerConfig;
use skimp_train::trainer::Unobserved;

fn loader(folder: &Path, split: Split, n_images: usize, order: Order) -> Loader {
    let dataset = Dataset::open(&format!("cifar10:{}", folder.join("cifar10").display()), split).expect("opens");
    let config = LoaderConfig {
        batch: 64,
        seed: 1,
        order,
        last_batch: LastBatch::Keep,
        preprocess: "imagenet".parse().expect("known"),
        input: InputSpec { channels: 3, height: 32, width: 32 },
        augment: Augment::default(),
    };
    Loader::new(Arc::new(dataset), (0..n_images).collect(), config).expect("fits")
}

/// ResNet-20: at 60 % zeros only moving the weights that stay keeps the accuracy near that of the dense network.
/// `SKIMP_SLOW_TESTS=1` takes all test images, all sparsities and scopes, and prints a table.
#[test]
fn moving_the_weights_that_stay_helps() {
    let Some(folder) = skimp_testkit::data("cifar10 and models") else { return };
    let is_slow = std::env::var_os("SKIMP_SLOW_TESTS").is_some_and(|value| value == "1");
    let graph = onnx::import(&folder.join("models/cifar10_resnet20.onnx")).expect("imports");
    let recipe = Recipe {
        learning_rate: 0.01,
        schedule: "constant".to_owned(),
        optimizer: OptimizerConfig::default(),
        losses: LossSum::cross_entropy(0.0),
        precision: "fp32".to_owned(),
        batch_norm_momentum: 0.1,
        output: None,
        input_size: None,
        seed: 1,
    };
    let learning = Learning {
        training: loader(&folder, Split::Train, 256, Order::Sequential),
        validation: Some(loader(&folder, Split::Test, if is_slow { 10_000 } else { 500 }, Order::Sequential)),
        recipe,
        observer: &Unobserved,
        runs: None,
    };
    let accuracy = |method: &str, sparsity: f64, settings: &str| {
        let settings: toml::Table = toml::from_str(settings).expect("valid");
        let request = Request {
            target: Target::Sparsity(sparsity),
            measure: None,
            scope: Scope::Uniform,
            keep: &[],
            round_to: 8,
            masking: Masking::Exact,
            settings: &settings,
            seed: 1,
            learning: Some(&learning).filter(|_| method != "deep-compression"),
        };
        let reduction = methods::find(method).expect("known").reduce(&graph, &request).expect("reduces");
        let accuracy = learning.accuracy(&reduction.graph).expect("runs").expect("has images");
        println!("{method} {settings} at {sparsity}: {:.2} %", 100.0 * accuracy);
        accuracy
    };
    let dense = learning.accuracy(&graph).expect("runs").expect("has images");
    println!("dense: {:.2} %", 100.0 * dense);
    assert!(dense > 0.88);
    let [magnitude, wanda, obc] = ["magnitude", "wanda", "obc"].map(|method| accuracy(method, 0.6, ""));
    assert!(obc > magnitude + 0.05 && obc > wanda + 0.05 && obc > dense - 0.05, "{obc} {magnitude} {wanda} of {dense}");
    if is_slow {
        for (method, scope) in [
            ("magnitude", "uniform"),
            ("wanda", "uniform"),
            ("obc", "uniform"),
            ("magnitude", "erk"),
            ("wanda", "erk"),
            ("obc", "erk"),
            ("magnitude", "global"),
        ] {
            for sparsity in [0.5, 0.8, 0.9] {
                accuracy(method, sparsity, &format!("scope = \"{scope}\""));
            }
        }
        accuracy("nm", 0.5, "");
        accuracy("deep-compression", 0.5, "");
    }
}
