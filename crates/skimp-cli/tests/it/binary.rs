//! Binary networks: `eval --engine binary`, `binarize`.

use crate::{fails, json, ok, text};

fn data() -> Option<(String, String)> {
    let data = skimp_testkit::data("models")?;
    let network = data.join("models/cifar10_cnv_w1a1_binary.onnx").display().to_string();
    Some((network, format!("cifar10:{}", data.join("cifar10").display())))
}

/// FINN's CNV W1A1: 79.22 % of the 10,000 test images, which is what its file comes with.
#[test]
fn a_binary_network_gives_the_same_answers_on_bits() {
    let Some((network, cifar)) = data() else { return };
    let evaluated =
        |engine: &str| json(&["eval", &network, "--data", &cifar, "--preprocess", "cnv", "--engine", engine]);
    let (bits, floats) = (evaluated("binary"), evaluated("cpu"));
    assert_eq!(bits["correct"], 7922);
    assert_eq!(bits["correct"], floats["correct"]);
    assert_eq!(bits["engine"], "binary");
    let left_out = bits["in_bits"]["left_out"].as_array().expect("a list");
    assert_eq!(left_out.len(), 1, "the first layer: {left_out:?}");
    assert!(bits["images_per_s"].as_f64() > Some(0.0));
    // Other pixels than it was trained on: the sign of a sum that is exactly 0 is no bit.
    fails(&["eval", &network, "--data", &cifar, "--engine", "binary"], 1, "third value");
}

#[test]
fn a_packed_network_is_a_network() {
    let Some((network, cifar)) = data() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let packed = folder.path().join("cnv.skz");
    let record = json(&["binarize", &network, "-o", text(&packed)]);
    assert_eq!(record["layers"].as_array().map(Vec::len), Some(8));
    let (before, after) = (record["onnx_bytes"].as_u64().expect("bytes"), record["bytes"].as_u64().expect("bytes"));
    assert!(20 * after <= before, "{before} {after}");
    assert_eq!(std::fs::metadata(&packed).expect("a file").len(), after);
    let correct = |path: &str| {
        let data = ["--data", &cifar, "--preprocess", "cnv", "--images", "500"];
        json(&[&["eval", path, "--engine", "binary"][..], &data].concat())["correct"].clone()
    };
    assert_eq!(correct(text(&packed)), correct(&network));
    let macs = |path: &str| json(&["inspect", path])["total"].clone();
    assert_eq!(macs(text(&packed)), macs(&network));
}

#[test]
fn a_float_network_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let packed = folder.path().join("never.skz");
    fails(&["binarize", "sample-resnet", "-o", text(&packed)], 2, "train --quantizer");
    assert!(!packed.exists());
    fails(&["eval", "sample-resnet", "--data", "sample", "--engine", "binary"], 1, "more than two values");
    fails(&["binarize", "sample-resnet"], 2, "--output");
    ok(&["binarize", "--help"]);
}
