//! Data sets as users have them: laid out in some way, damaged, in two roles, or not made for the network.
#![allow(clippy::unwrap_used, reason = "test code, also outside test functions")]

use std::path::Path;

use skimp::data::npy;
use skimp::graph::{DType, Dim, GraphBuilder, Op, onnx, ops};

use crate::{fails, json, ok, skimp, text};

/// A network on `size` x `size` images of three channels: their means, which tell red, green and blue apart, or all
/// their values.
fn network(folder: &Path, size: usize, means: bool) -> String {
    let mut builder = GraphBuilder::new("rgb");
    let dims = vec![Dim::Free("n".to_owned()), Dim::Fixed(3), Dim::Fixed(size), Dim::Fixed(size)];
    let x = builder.input("x", DType::F32, dims);
    let values = if means { builder.node("means", Op::GlobalAveragePool, &[x]) } else { x };
    let flat = builder.node("flat", Op::Flatten(ops::Flatten { axis: 1 }), &[values]);
    builder.output(flat);
    let path = folder.join("rgb.onnx");
    onnx::export(&builder.build().unwrap(), &path).unwrap();
    text(&path).to_owned()
}

/// An 8x8 picture of color 0, 1 or 2.
fn put(path: &Path, color: usize) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut bytes = b"P6 8 8 255\n".to_vec();
    bytes.extend((0..8 * 8 * 3).map(|at| if at % 3 == color { 200 } else { 10 }));
    std::fs::write(path, bytes).unwrap();
}

/// What a command says besides its result.
fn notes(args: &[&str]) -> String {
    let output = skimp(args);
    assert!(output.status.success(), "skimp {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn labels_do_not_shift() {
    let folder = tempfile::tempdir().unwrap();
    let network = network(folder.path(), 8, true);
    let set = folder.path().join("set");
    for (color, name) in ["ant", "bee", "cat"].iter().enumerate() {
        put(&set.join(format!("train/{name}/0.ppm")), color);
    }
    put(&set.join("val/bee/0.ppm"), 1);
    put(&set.join("val/cat/more/1.ppm"), 2);
    std::fs::create_dir_all(set.join("val/@eaDir")).unwrap();
    std::fs::write(set.join("val/cat/2.tiff"), "II").unwrap();
    let data = format!("imagenet:{}", text(&set));
    let eval = ["eval", &network, "--data", &data, "--preprocess", "unit,resize=8"];
    assert_eq!((json(&eval)["top1"].as_f64(), json(&eval)["images"].as_u64()), (Some(1.0), Some(2)));
    assert!(notes(&eval).contains("left out: .tiff files (not a format that is read) (1, such as val/cat/2.tiff)"));

    let record = json(&["data", &data]);
    let test = &record["splits"][1];
    assert_eq!((&test["images_checked"], &test["class_names"][0]["name"]), (&2.into(), &"ant".into()));
    assert!(ok(&["data", &data]).contains("numbered in the byte order of their names"));

    // A class less than the network has answers for: which one it is decides the numbers.
    let part = folder.path().join("part");
    put(&part.join("ant/0.ppm"), 0);
    put(&part.join("cat/0.ppm"), 2);
    let at = format!("imagenet:{}", text(&part));
    let eval_part = ["eval", &network, "--data", &at, "--preprocess", "unit,resize=8"];
    let said = notes(&eval_part);
    assert!(said.contains("the network tells 3 apart: the numbers are right only if"), "{said}");
    assert_eq!(json(&eval_part)["top1"], 0.5);
    std::fs::write(part.join("classes.txt"), "ant\nbee\ncat\n").unwrap();
    assert_eq!(json(&eval_part)["top1"], 1.0);

    // A class more than the network has answers for.
    put(&set.join("val/dog/0.ppm"), 0);
    fails(&eval, 1, "labels up to 3 (\"dog\"), of 4 classes, but the network tells 3 apart");
}

#[test]
fn damaged_images_are_found_before_a_run() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..300 {
        put(&folder.path().join(format!("a/{number:03}.ppm")), 0);
    }
    let data = format!("imagenet:{}", text(folder.path()));
    ok(&["data", &data]);
    let half = |name: &str| std::fs::write(folder.path().join(name), b"P6 8 8 255\nhalf").unwrap();
    // 100 of 300 are decoded: the first, every third, the last.
    half("a/001.ppm");
    ok(&["data", &data]);
    fails(&["data", &data, "--all"], 1, "a/001.ppm");
    half("a/000.ppm");
    fails(&["data", &data], 1, "a/000.ppm");
    fails(&["data", &data, "--all"], 1, "2 of 300 images that were checked cannot be read");
}

#[test]
fn no_image_is_trained_and_measured_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let pixels: Vec<u8> = (0..200 * 784).map(|_| random()).collect();
    let labels: Vec<u8> = (0..200).map(|_| random() % 10).collect();
    npy::write(at("x.npy"), &[200, 1, 28, 28], &pixels).unwrap();
    npy::write(at("y.npy"), &[200], &labels).unwrap();
    let data = format!("npy:{},{}", at("x.npy"), at("y.npy"));
    let train = |name: &str, flags: &[&str]| -> Vec<String> {
        let common =
            ["train", "sample-resnet", "--data", &data, "--preprocess", "unit", "--lr", "0.05", "-o", &at(name)];
        common.iter().chain(flags).map(|&part| part.to_owned()).collect()
    };
    let line = train("net.onnx", &["--epochs", "8"]);
    let args: Vec<&str> = line.iter().map(String::as_str).collect();
    let record = json(&args);
    assert_eq!(record["config"]["validation_share"], 0.2);
    let count = |key: &str| record["training"][key].as_u64();
    assert_eq!((count("n_train_images"), count("n_validation_images")), (Some(160), Some(40)));
    // Random labels can be learned by heart, but not guessed: 4 of 40 in the mean, and 3.7 standard deviations.
    assert!(record["top1"].as_f64().unwrap() < 0.28, "{}", record["top1"]);

    let line = train("short.onnx", &["--epochs", "1", "--validation-share", "0.5"]);
    let args: Vec<&str> = line.iter().map(String::as_str).collect();
    assert_eq!(json(&args)["training"]["n_validation_images"], 100);
    let line = train("refused.onnx", &["--epochs", "1", "--validation-share", "1.5"]);
    let args: Vec<&str> = line.iter().map(String::as_str).collect();
    fails(&args, 2, "\"1.5\", expected a share above 0 and below 1");

    // A trained network is measured before its first step, and the measurement changes nothing.
    let tune = |name: &str, flags: &[&str]| -> serde_json::Value {
        let (net, output) = (at("net.onnx"), at(name));
        json(
            &[&["train", &net, "--data", "sample", "--images", "16", "--epochs", "1", "-o", &output][..], flags]
                .concat(),
        )
    };
    let measured = tune("a.onnx", &["--validation-images", "200"]);
    let before = &measured["training"]["before"];
    assert!(before["validation_accuracy"].as_f64().is_some_and(|top1| top1 < 0.5), "{before}");
    let unmeasured = tune("b.onnx", &["--validation", "none"]);
    assert!(unmeasured["training"]["before"].is_null());
    assert_eq!(measured["output"]["sha256"], unmeasured["output"]["sha256"]);
}

#[test]
fn images_that_do_not_fit_are_named_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let larger = network(folder.path(), 32, false);
    let eval = ["eval", &larger, "--data", "sample", "--limit", "3", "--preprocess", "unit"];
    let adapted = &json(&eval)["data"]["adapted"];
    assert_eq!(*adapted, serde_json::json!(["resized from 28x28 to 32x32", "gray repeated to 3 channels"]));
    assert!(notes(&eval).contains("images are resized from 28x28 to 32x32, gray repeated to 3 channels"));
    let colors = network(folder.path(), 28, true);
    let eval = ["eval", &colors, "--data", "sample", "--limit", "3", "--preprocess", "unit"];
    fails(&eval, 1, "labels up to 9, of 10 classes, but the network tells 3 apart");
}

#[test]
fn ranges_come_from_training_images() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("q.onnx");
    let quantize = ["quantize", "sample-resnet", "--data", "sample", "--calibration-images", "4", "-o", text(&output)];
    assert_eq!(json(&quantize)["data"]["split"], "train");
    assert_eq!(json(&[&quantize[..], &["--split", "test"]].concat())["data"]["split"], "test");
    let other = folder.path().join("other.onnx");
    let args = [&quantize[..7], &[text(&other), "--split", "test"]].concat();
    assert!(notes(&args).contains("4 of 1000 test images set the ranges"));
    // Accuracy in integers is measured on images that did not set the ranges, unless that is asked for.
    let eval = ["eval", "sample-resnet", "--data", "sample", "--limit", "8", "--engine", "integer"];
    assert!(!notes(&eval).contains("set the ranges"));
    assert!(
        notes(&[&eval[..], &["--calibration-split", "test"]].concat())
            .contains("16 of 1000 test images set the ranges")
    );
}
