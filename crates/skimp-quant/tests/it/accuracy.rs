//! Accuracy of integer networks on real images, beside that of the same networks in f32.
//!
//! A part of the test images by default, all of them with `SKIMP_SLOW_TESTS=1`. Figures go to standard error.

use std::{path::PathBuf, time::Instant};

use skimp_cpu::{CpuExecutor, integer::IntegerExecutor};
use skimp_data::{Dataset, Preprocess, Split};
use skimp_graph::{Executor, Graph, Tensor, integer::IntegerEngine, onnx};
use skimp_quant::{
    Calibration, FirstLayer, QuantizationConfig, Quantized, RangeMethod, WeightScales, calibrate, quantize,
};

/// The folder with real data, or `None` with a message.
fn data_root() -> Option<PathBuf> {
    skimp_testkit::data("images and networks")
}

fn slow() -> bool {
    std::env::var_os("SKIMP_SLOW_TESTS").is_some_and(|value| value == "1")
}

/// A network with its data.
struct Subject {
    name: &'static str,
    graph: Graph,
    calibration: Calibration,
    images: Vec<Tensor>,
    labels: Vec<usize>,
    /// Number of images that f32 classifies correctly, and its classes.
    n_correct: usize,
    classes: Vec<usize>,
}

struct Plan {
    name: &'static str,
    model: PathBuf,
    data: String,
    preprocess: &'static str,
    shape: [usize; 3],
    n_default: usize,
    /// Most images with `SKIMP_SLOW_TESTS=1`.
    n_slow: usize,
    n_calibration: usize,
}

const BATCH: usize = 100;

fn batches(data: &Dataset, plan: &Plan, n: usize) -> (Vec<Tensor>, Vec<usize>) {
    let preprocess: Preprocess = plan.preprocess.parse().unwrap();
    let mut labels = Vec::new();
    let images = (0..n)
        .step_by(BATCH)
        .map(|start| {
            let batch = data.batch(start..(start + BATCH).min(n), &preprocess, plan.shape).unwrap();
            labels.extend(batch.labels);
            Tensor::from_f32(batch.shape.to_vec(), batch.images)
        })
        .collect();
    (images, labels)
}

/// Index of the greatest logit of each image, the lowest of equals.
fn classes(logits: &Tensor) -> Vec<usize> {
    let n_classes: usize = logits.shape()[1..].iter().product();
    let greatest = |row: &[f32]| (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
    logits.as_f32().unwrap().chunks(n_classes).map(greatest).collect()
}

fn n_equal(a: &[usize], b: &[usize]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a == b).count()
}

fn subject(plan: Plan) -> Subject {
    let graph = onnx::import(&plan.model).unwrap();
    let executor = CpuExecutor::new(&graph).unwrap();
    let split = |split| Dataset::open(&plan.data, split);
    // ImageNet's sample has one split only.
    let training = split(Split::Train).or_else(|_| split(Split::Test)).unwrap();
    let (calibration_images, _) = batches(&training, &plan, plan.n_calibration);
    let calibration = calibrate(&graph, &executor, calibration_images.into_iter().map(|t| vec![t])).unwrap();
    let test = split(Split::Test).unwrap();
    let n = test.len().min(if slow() { plan.n_slow } else { plan.n_default });
    let (images, labels) = batches(&test, &plan, n);
    let run = |images: &Tensor| classes(&executor.run(std::slice::from_ref(images)).unwrap()[0]);
    let classes: Vec<usize> = images.iter().flat_map(run).collect();
    let n_correct = n_equal(&classes, &labels);
    Subject { name: plan.name, graph, calibration, images, labels, n_correct, classes }
}

impl Subject {
    /// Points of accuracy gained (lost where negative) by quantization.
    fn gain(&self, config: &QuantizationConfig) -> f64 {
        let Quantized { graph, layers, report } = quantize(&self.graph, config, &self.calibration).unwrap();
        let executor = IntegerExecutor::new(&graph).unwrap();
        let start = Instant::now();
        let run = |images: &Tensor| classes(&executor.run(std::slice::from_ref(images)).unwrap()[0]);
        let classes: Vec<usize> = self.images.iter().flat_map(run).collect();
        let seconds = start.elapsed().as_secs_f64();
        let n = self.labels.len();
        let percent = |count: usize| 100.0 * count as f64 / n as f64;
        let n_correct = n_equal(&classes, &self.labels);
        eprintln!(
            "{}: W{} A{} {:?} {:?} {:?}: {:.2} % of {n}, f32 {:.2} %, {:.2} % same class, {} of {} layers with END, \
             {} float nodes, {:.0} images/s",
            self.name,
            config.weight_bits,
            config.activation_bits,
            config.weight_scales,
            config.calibration,
            config.first_layer,
            percent(n_correct),
            percent(self.n_correct),
            percent(n_equal(&classes, &self.classes)),
            layers.iter().filter(|layer| layer.negatives.are_unseen()).count(),
            layers.len(),
            report.float_nodes.len(),
            n as f64 / seconds,
        );
        percent(n_correct) - percent(self.n_correct)
    }
}

fn bits(bits: u32, weight_scales: WeightScales) -> QuantizationConfig {
    QuantizationConfig { weight_bits: bits, activation_bits: bits, weight_scales, ..QuantizationConfig::default() }
}

fn cifar(root: &std::path::Path, name: &'static str, preprocess: &'static str, n_default: usize) -> Plan {
    Plan {
        name,
        model: root.join(format!("models/{name}.onnx")),
        data: format!("cifar10:{}", root.join("cifar10").display()),
        preprocess,
        shape: [3, 32, 32],
        n_default,
        n_slow: usize::MAX,
        n_calibration: 100,
    }
}

#[test]
fn sixteen_bits_keep_the_accuracy_of_cifar10_networks() {
    let Some(root) = data_root() else { return };
    let networks = [
        ("cifar10_resnet20", "imagenet", 1000),
        ("cifar10_resnet32", "imagenet", 300),
        ("cifar10_resnet56", "imagenet", 200),
        ("cifar10_resnet14_projection", "imagenet", 500),
        ("cifar10_resnet20_projection", "imagenet", 500),
        ("cifar10_resnet8", "raw", 1000),
        ("cifar10_cnv_w1a1_binary", "cnv", 300),
    ];
    for (name, preprocess, n_default) in networks {
        let subject = subject(cifar(&root, name, preprocess, n_default));
        for weight_scales in [WeightScales::PerLayer, WeightScales::PerChannel] {
            let gain = subject.gain(&bits(16, weight_scales));
            // Of few images, a single one is more than 0.1 points.
            let allowed = (100.0 / subject.labels.len() as f64).max(0.1) + 1e-9;
            assert!(gain.abs() <= allowed, "{name}, {weight_scales:?}: {gain} points");
        }
    }
}

#[test]
fn eight_bits_cost_less_than_a_point_on_resnet20() {
    let Some(root) = data_root() else { return };
    let subject = subject(cifar(&root, "cifar10_resnet20", "imagenet", 1000));
    for weight_scales in [WeightScales::PerLayer, WeightScales::PerChannel] {
        for calibration in [RangeMethod::MinMax, RangeMethod::Percentile(99.99)] {
            let gain = subject.gain(&QuantizationConfig { calibration, ..bits(8, weight_scales) });
            assert!(gain >= -1.0, "{weight_scales:?}, {calibration:?}: {gain} points");
        }
    }
}

#[test]
fn an_offset_first_layer_changes_nothing() {
    let Some(root) = data_root() else { return };
    let subject = subject(cifar(&root, "cifar10_resnet20", "imagenet", 200));
    let signed = quantize(&subject.graph, &QuantizationConfig::default(), &subject.calibration).unwrap();
    let config = QuantizationConfig { first_layer: FirstLayer::Offset, ..QuantizationConfig::default() };
    let offset = quantize(&subject.graph, &config, &subject.calibration).unwrap();
    assert!(!signed.layers[0].negatives.are_unseen());
    assert!(offset.layers[0].negatives.are_unseen());
    assert_eq!(signed.layers[1..], offset.layers[1..]);
    let run =
        |quantized: &Quantized| IntegerExecutor::new(&quantized.graph).unwrap().run(&subject.images[..1]).unwrap();
    assert_eq!(run(&signed), run(&offset));
}

#[test]
fn the_sample_network_keeps_its_accuracy() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let subject = subject(Plan {
        name: "sample",
        model: root.join("assets/networks/sample-resnet.onnx"),
        data: "sample".to_owned(),
        preprocess: "sample",
        shape: [1, 28, 28],
        n_default: 1000,
        n_slow: usize::MAX,
        n_calibration: 100,
    });
    let gain = subject.gain(&bits(16, WeightScales::PerChannel));
    assert!(gain.abs() <= 0.1 + 1e-9, "{gain} points");
    let gain = subject.gain(&bits(8, WeightScales::PerChannel));
    assert!(gain >= -1.0, "{gain} points");
}

#[test]
fn squeezenet_and_vgg_run_in_sixteen_bits() {
    let Some(root) = data_root() else { return };
    let squeezenet = Plan {
        name: "squeezenet",
        model: root.join("models/imagenet_squeezenet10_deepcompression.onnx"),
        data: format!("imagenet:{}", root.join("imagenet-sample").display()),
        preprocess: "caffe-rounded",
        shape: [3, 227, 227],
        n_default: 30,
        n_slow: usize::MAX,
        // Fewer images miss the ranges that other images need.
        n_calibration: if slow() { 100 } else { 30 },
    };
    let vgg = Plan {
        name: "vgg16",
        shape: [3, 64, 64],
        n_slow: 300,
        n_calibration: 16,
        ..cifar(&root, "imagenet_vgg16_conv_cifar10_head", "caffe", 30)
    };
    for plan in [squeezenet, vgg] {
        let name = plan.name;
        let subject = subject(plan);
        let gain = subject.gain(&bits(16, WeightScales::PerChannel));
        let one_image = 100.0 / subject.labels.len() as f64;
        assert!(gain.abs() <= one_image.max(0.1) + 1e-9, "{name}: {gain} points");
        subject.gain(&bits(8, WeightScales::PerChannel));
    }
}
