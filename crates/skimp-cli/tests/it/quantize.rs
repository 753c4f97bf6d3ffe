//! `skimp quantize` beyond its defaults, and what runs its networks.

use std::process::Command;

use crate::{fails, json, ok, skimp, text};

const QUANTIZE: [&str; 6] = ["quantize", "sample-resnet", "--data", "sample", "--calibration-images", "8"];

fn quantized(extra: &[&str]) -> (serde_json::Value, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("q.onnx");
    let record = json(&[&QUANTIZE[..], extra, &["-o", text(&file)]].concat());
    (record, std::fs::read(file).expect("the network was written"))
}

#[test]
fn accuracy_and_error_are_shown_before_and_after() {
    let (record, _) = quantized(&["--accuracy-images", "100"]);
    let before = json(&["eval", "sample-resnet", "--data", "sample", "--images", "100"]);
    assert_eq!(record["accuracy"]["before"]["top1"], before["top1"]);
    let after = record["accuracy"]["after"]["top1"].as_f64().unwrap();
    assert!((after - before["top1"].as_f64().unwrap()).abs() < 0.05, "{record}");
    let errors = |record: &serde_json::Value| -> Vec<f64> {
        record["layers"].as_array().unwrap().iter().map(|layer| layer["sqnr_db"].as_f64().unwrap()).collect()
    };
    let eight = errors(&record);
    assert!(eight.iter().all(|db| (15.0..80.0).contains(db)), "{eight:?}");
    // A bit of every weight less costs each layer about 6 dB where weights dominate: four bits less cost much.
    let four = errors(&quantized(&["--weight-bits", "4", "--accuracy-images", "0"]).0);
    assert!(eight.iter().zip(&four).all(|(eight, four)| eight > four), "{eight:?} {four:?}");
    let folder = tempfile::tempdir().unwrap();
    let table = ok(&[&QUANTIZE[..], &["-o", text(&folder.path().join("q.onnx"))]].concat());
    for word in ["SQNR", "top-1", "float", "quantized", "split test"] {
        assert!(table.contains(word), "{word} in\n{table}");
    }
}

#[test]
fn layers_stay_in_float_or_take_other_widths() {
    let (whole, _) = quantized(&["--accuracy-images", "0"]);
    let names: Vec<&str> =
        whole["layers"].as_array().unwrap().iter().map(|layer| layer["name"].as_str().unwrap()).collect();
    let (first, last) = (names[0], names[names.len() - 1]);
    let four = format!("{last}=4");
    let (mixed, _) = quantized(&["--accuracy-images", "0", "--keep-float", first, "--layer-weight-bits", &four]);
    let layers = mixed["layers"].as_array().unwrap();
    assert!(layers.iter().all(|layer| layer["name"] != first), "{mixed}");
    assert!(mixed["float_nodes"].as_array().unwrap().iter().any(|node| node["name"] == first));
    for layer in layers {
        assert_eq!(layer["weight_bits"], if layer["name"] == last { 4 } else { 8 });
    }
    let with =
        |extra: &[&str], message: &str| fails(&[&QUANTIZE[..], &["-o", "never.onnx"], extra].concat(), 2, message);
    with(&["--keep-float", "no-such-layer"], first);
    with(&["--layer-weight-bits", "no-such-layer=4"], first);
    with(&["--layer-weight-bits", &format!("{last}=9")], "2 to 8");
}

#[test]
fn eval_picks_the_engine_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("q.onnx");
    ok(&[&QUANTIZE[..], &["--accuracy-images", "0", "-o", text(&file)]].concat());
    let eval = |extra: &[&str]| {
        let args = ["eval", text(&file), "--data", "sample", "--images", "100", "--format", "json"];
        let output = skimp(&[&args[..], extra].concat());
        let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (record, String::from_utf8(output.stderr).unwrap())
    };
    let (picked, said) = eval(&[]);
    assert_eq!(picked["engine"], "integer");
    assert!(said.contains("the integer engine runs it"), "{said}");
    let (asked, _) = eval(&["--engine", "integer"]);
    assert_eq!((&picked["correct"], &picked["requantization"]), (&asked["correct"], &asked["requantization"]));
    assert_eq!(eval(&["--engine", "cpu"]).0["engine"], "cpu");
    assert_eq!(json(&["eval", "sample-resnet", "--data", "sample", "--images", "5"])["engine"], "cpu");
}

#[test]
fn files_go_to_stdout_alone() {
    let (_, bytes) = quantized(&["--accuracy-images", "0"]);
    let quantize = [&QUANTIZE[..], &["--accuracy-images", "0", "-o", "-"]].concat();
    let output = Command::new(env!("CARGO_BIN_EXE_skimp")).args(&quantize).output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, bytes, "the same network as in a file");
    assert!(String::from_utf8_lossy(&output.stderr).contains("SQNR"));
    fails(&[&quantize[..], &["--format", "json"]].concat(), 2, "leave out --format");

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    skimp::data::npy::write(path("x.npy"), &[1, 1, 28, 28], &vec![0.5_f32; 784]).unwrap();
    ok(&["run", "sample-resnet", "--input", &path("x.npy"), "-o", &path("y.npy")]);
    let output = skimp(&["run", "sample-resnet", "--input", &path("x.npy"), "-o", "-"]);
    assert_eq!(output.stdout, std::fs::read(path("y.npy")).unwrap());
    assert_eq!(ok(&["inspect", "sample-resnet", "-o", "-"]), ok(&["inspect", "sample-resnet"]));
}
