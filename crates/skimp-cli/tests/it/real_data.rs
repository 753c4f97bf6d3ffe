//! Real networks on real data, where `SKIMP_DATA` names a folder with both.

use std::path::PathBuf;

use crate::{json, text};

fn data(needed: &str) -> Option<PathBuf> {
    let folder = skimp_testkit::data(needed)?;
    let exists = folder.join(needed).exists();
    if !exists {
        skimp_testkit::skipped(&format!("SKIMP_DATA has no {needed}"));
    }
    exists.then_some(folder)
}

#[test]
fn accuracies_on_cifar10_are_the_stated_ones_to_the_image() {
    let Some(folder) = data("cifar10/test_batch.bin") else { return };
    let set = format!("cifar10:{}", text(&folder.join("cifar10")));
    for (model, preprocess, correct) in [
        ("cifar10_resnet20", "imagenet", 9173),
        ("cifar10_resnet14_projection", "imagenet", 8964),
        ("cifar10_resnet20_projection", "imagenet", 9065),
        ("cifar10_resnet8", "raw", 8719),
        ("cifar10_cnv_w1a1_binary", "cnv", 7922),
    ] {
        let path = folder.join("models").join(format!("{model}.onnx"));
        let record = json(&["eval", text(&path), "--data", &set, "--preprocess", preprocess]);
        assert_eq!(record["correct"], correct, "{model}");
    }
}

#[test]
fn every_network_simulates_on_its_data() {
    let Some(folder) = data("models") else { return };
    let cifar10 = format!("cifar10:{}", text(&folder.join("cifar10")));
    let imagenet = format!("imagenet:{}", text(&folder.join("imagenet-sample")));
    for (model, set, preprocess, size) in [
        ("cifar10_resnet20", &cifar10, "imagenet", None),
        ("cifar10_resnet8", &cifar10, "raw", None),
        ("cifar10_resnet14_projection", &cifar10, "imagenet", None),
        ("cifar10_cnv_w1a1_binary", &cifar10, "cnv", None),
        ("imagenet_vgg16_conv_cifar10_head", &cifar10, "caffe", Some("64")),
        ("imagenet_squeezenet10_deepcompression", &imagenet, "caffe-rounded", None),
    ] {
        let path = folder.join("models").join(format!("{model}.onnx"));
        let mut args = vec!["simulate", text(&path), "--accelerator", "compend,dadiannao", "--data", set];
        args.extend(["--preprocess", preprocess, "--calibration-images", "2"]);
        args.extend(size.iter().flat_map(|size| ["--input-size", size]));
        let record = json(&args);
        for accelerator in record["accelerators"].as_array().unwrap() {
            assert!(accelerator["total"]["cycles"].as_u64().unwrap() > 0, "{model}");
        }
    }
}
