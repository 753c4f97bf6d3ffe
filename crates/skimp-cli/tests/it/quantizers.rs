//! `skimp train --quantizer`: networks of few bits from the command line.

use crate::{fails, json, ok, text};

/// A short run of a small network on the sample.
fn train<'a>(quantizer: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let common = [
        "train",
        "mlp:widths=32",
        "--data",
        "sample",
        "--images",
        "320",
        "--batch-size",
        "16",
        "--epochs",
        "2",
        "--optimizer",
        "adam",
        "--lr",
        "0.003",
        "--validation-images",
        "200",
        "--log",
        "none",
        "-q",
        "--quantizer",
    ];
    [&common[..], &[quantizer], more].concat()
}

#[test]
fn every_quantizer_gives_a_network_that_evaluates_as_it_was_trained() {
    let folder = tempfile::tempdir().unwrap();
    for quantizer in ["float", "bwn", "bnn", "bnn01:padding=1", "xnor", "snn:surrogate=atan", "bsnn", "int2", "int8"] {
        let output = folder.path().join(format!("{}.onnx", quantizer.replace(':', "-")));
        let record = json(&train(quantizer, &["-o", text(&output)]));
        assert_eq!(record["config"]["quantizer"], quantizer);
        let top1 = record["top1"].as_f64().unwrap();
        assert!(top1 > 0.3, "{quantizer} learns nothing: {top1}");
        let engines: &[&str] = if quantizer.starts_with("int") { &["cpu", "integer"] } else { &["cpu"] };
        for engine in engines {
            let found = json(&["eval", text(&output), "--data", "sample", "--limit", "200", "--engine", engine]);
            let off = (found["top1"].as_f64().unwrap() - top1).abs();
            // Of 200 images; near-ties of real sums, and in integers biases of whole accumulators, may decide some.
            let allowed = if *engine == "integer" { 0.05 } else { 0.011 };
            assert!(off <= allowed, "{quantizer} on {engine}: {} after {top1}", found["top1"]);
        }
    }
}

#[test]
fn an_interrupted_run_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for quantizer in ["xnor:ends=same,glorot=true", "int4", "int4:method=ste"] {
        let name = quantizer.split([':', ',']).collect::<Vec<_>>().join("-");
        let (whole, parts) = (path(&format!("{name}-whole.onnx")), path(&format!("{name}-parts.onnx")));
        ok(&train(quantizer, &["-o", &whole]));
        let part = path(&format!("{name}-folder"));
        let run = train(quantizer, &["-o", &parts, "--folder", &part, "--resume"]);
        let first: Vec<&str> = run.iter().map(|&argument| if argument == "2" { "1" } else { argument }).collect();
        ok(&first);
        ok(&run);
        assert!(std::fs::read(&whole).unwrap() == std::fs::read(&parts).unwrap(), "{quantizer}");
        let other = train("bnn", &["-o", &parts, "--folder", &part, "--resume"]);
        fails(&other, 1, if quantizer.starts_with("xnor") { "quantizer" } else { "does not belong to this network" });
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("net.onnx");
    let with = |quantizer: &'static str, more: &[&'static str]| {
        let mut arguments = train(quantizer, more);
        arguments.extend(["-o", text(&output)]);
        arguments.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let refused = |arguments: Vec<String>, code: i32, message: &str| {
        fails(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), code, message);
    };
    refused(with("xnoor", &[]), 2, "did you mean \"xnor\"");
    refused(with("bsnn:padding=-1", &[]), 2, "expected 0 or 1");
    refused(with("bnn", &["--precision", "bf16"]), 2, "expected fp32 with quantizer bnn");
    let mut arguments = with("bnn", &[]);
    "resnet8".clone_into(&mut arguments[1]);
    refused(arguments, 1, "chain of layers");
    let list = json(&["list", "quantizers"]);
    let entries = list["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 14);
    assert!(entries.iter().all(|entry| entry["precision"] == if entry["name"] == "float" { "any" } else { "fp32" }));
}
