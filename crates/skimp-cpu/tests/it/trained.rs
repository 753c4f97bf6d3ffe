//! Trained networks on real images, from the folder that `SKIMP_DATA` names.

#![allow(clippy::print_stderr, reason = "a skipped test says so, and the differences are worth reading")]

use std::path::{Path, PathBuf};

use skimp_cpu::CpuExecutor;
use skimp_graph::reference::Reference;
use skimp_graph::{Executor, Tensor, onnx};

use super::{RELATIVE, difference};

const RECORD: usize = 1 + 3 * 32 * 32;

/// How pixels become inputs.
#[derive(Clone, Copy, Debug)]
enum Preparation {
    ImageNet,
    Raw,
    /// min(floor((p / 255 · 2 − 1) · 128 + 0.5), 127) / 128.
    Fixed,
}

impl Preparation {
    fn apply(self, channel: usize, pixel: u8) -> f32 {
        let p = f64::from(pixel);
        let y = match self {
            Self::ImageNet => (p / 255.0 - [0.485, 0.456, 0.406][channel]) / [0.229, 0.224, 0.225][channel],
            Self::Raw => p,
            Self::Fixed => ((p / 255.0 * 2.0 - 1.0) * 128.0 + 0.5).floor().min(127.0) / 128.0,
        };
        y as f32
    }

    fn images(self, records: &[&[u8]]) -> Tensor {
        let pixels = records.iter().flat_map(|record| record[1..].iter().enumerate());
        let pixels = pixels.map(|(i, &pixel)| self.apply(i / 1024, pixel)).collect();
        Tensor::from_f32(vec![records.len(), 3, 32, 32], pixels)
    }
}

fn data() -> Option<PathBuf> {
    skimp_testkit::data("networks and images")
}

fn test_records(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("cifar10/test_batch.bin")).expect("cifar10/test_batch.bin")
}

fn n_right(network: &Path, preparation: Preparation, records: &[&[u8]]) -> usize {
    let executor = CpuExecutor::new(&onnx::import(network).expect("imports")).expect("constants evaluate");
    let mut n_right = 0;
    for records in records.chunks(500) {
        let logits = executor.run(&[preparation.images(records)]).expect("runs").remove(0);
        let logits = logits.as_f32().expect("f32");
        n_right += records
            .iter()
            .zip(logits.chunks_exact(10))
            .filter(|(record, logits)| {
                let best = (0..10).reduce(|best, i| if logits[i] > logits[best] { i } else { best });
                best == Some(record[0].into())
            })
            .count();
    }
    n_right
}

/// (network, preparation, images right of 10,000).
const NETWORKS: [(&str, Preparation, usize); 7] = [
    ("cifar10_resnet20", Preparation::ImageNet, 9173),
    ("cifar10_resnet32", Preparation::ImageNet, 9263),
    ("cifar10_resnet56", Preparation::ImageNet, 9339),
    ("cifar10_resnet14_projection", Preparation::ImageNet, 8964),
    ("cifar10_resnet20_projection", Preparation::ImageNet, 9065),
    ("cifar10_resnet8", Preparation::Raw, 8719),
    ("cifar10_cnv_w1a1_binary", Preparation::Fixed, 7922),
];

/// ResNet-20 only, unless `SKIMP_SLOW_TESTS` is set.
#[test]
fn accuracies_are_right_to_the_image() {
    let Some(folder) = data() else { return };
    let bytes = test_records(&folder);
    let records: Vec<&[u8]> = bytes.chunks_exact(RECORD).collect();
    let n_networks = if std::env::var_os("SKIMP_SLOW_TESTS").is_some() { NETWORKS.len() } else { 1 };
    for (name, preparation, expected) in &NETWORKS[..n_networks] {
        let right = n_right(&folder.join(format!("models/{name}.onnx")), *preparation, &records);
        assert_eq!(right, *expected, "{name}");
    }
}

/// The small ones only, unless `SKIMP_SLOW_TESTS` is set.
#[test]
fn trained_networks_agree_with_the_reference() {
    let Some(folder) = data() else { return };
    let bytes = test_records(&folder);
    let records: Vec<&[u8]> = bytes.chunks_exact(RECORD).take(2).collect();
    let mut cases: Vec<(String, Tensor)> =
        NETWORKS.iter().map(|(name, preparation, _)| ((*name).to_owned(), preparation.images(&records))).collect();
    // The photograph enlarged by repeating pixels, 0 to 255 around the mean: the networks' usual range.
    let enlarged = |size: usize| {
        let pixel = |i: usize| {
            let (c, y, x) = (i / (size * size), i / size % size, i % size);
            f32::from(records[0][1 + c * 1024 + y * 32 / size * 32 + x * 32 / size]) - 110.0
        };
        Tensor::from_f32(vec![1, 3, size, size], (0..3 * size * size).map(pixel).collect())
    };
    cases.push(("imagenet_squeezenet10_deepcompression".to_owned(), enlarged(227)));
    cases.push(("imagenet_vgg16_conv_cifar10_head".to_owned(), enlarged(64)));
    let slow = std::env::var_os("SKIMP_SLOW_TESTS").is_some();
    for (name, images) in cases {
        if !slow && !matches!(name.as_str(), "cifar10_resnet20" | "cifar10_resnet8" | "cifar10_cnv_w1a1_binary") {
            continue;
        }
        let graph = onnx::import(&folder.join(format!("models/{name}.onnx"))).expect("imports");
        let inputs = [images];
        let expected = Reference::new(&graph).run(&inputs).expect("the reference runs");
        let outputs = CpuExecutor::new(&graph).expect("constants evaluate").run(&inputs).expect("runs");
        for (a, b) in outputs.iter().zip(&expected) {
            let off = difference(a, b);
            let pairs = a.as_f32().unwrap_or_default().iter().zip(b.as_f32().unwrap_or_default());
            let most = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            eprintln!("{name}: largest difference {most:e}, relative to the largest magnitude {off:e}");
            assert!(off <= RELATIVE, "{name}: off by {off}");
        }
    }
}
