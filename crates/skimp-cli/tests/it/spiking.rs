//! `skimp convert-snn`, and what the other commands do with spiking networks.

use crate::{fails, json, ok, skimp, text};

const CONVERT: [&str; 6] = ["convert-snn", "sample-resnet", "--data", "sample", "--calibration-images", "64"];

fn convert(output: &str, extra: &[&str]) -> serde_json::Value {
    json(&[&CONVERT[..], extra, &["-q", "-o", output]].concat())
}

fn top1(point: &serde_json::Value) -> f64 {
    point["top1"].as_f64().expect("an accuracy")
}

#[test]
fn rates_come_close_to_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snn.onnx");
    let record = convert(text(&file), &["--steps", "64", "--sweep", "1,8", "--accuracy-images", "100"]);
    assert_eq!((&record["schema"], &record["time_steps"]), (&"skimp.convert-snn/1".into(), &64.into()));
    let points = record["points"].as_array().unwrap();
    let steps: Vec<u64> = points.iter().map(|point| point["steps"].as_u64().unwrap()).collect();
    assert_eq!(steps, [1, 8, 64]);
    let float = top1(&record["before"]);
    assert!((top1(&points[2]) - float).abs() < 0.05 && top1(&points[2]) > top1(&points[0]) + 0.1, "{record}");
    let spikes: Vec<f64> = points.iter().map(|point| point["spikes_per_image"].as_f64().unwrap()).collect();
    assert!(spikes[0] > 0.0 && spikes[1] > spikes[0] && spikes[2] > spikes[1], "{spikes:?}");

    // The file says how it runs.
    for engine in ["cpu", "binary", "reference"] {
        let images = if engine == "reference" { "10" } else { "100" };
        let eval = json(&["eval", text(&file), "--data", "sample", "--images", images, "--engine", engine]);
        assert_eq!(eval["time_steps"], 64);
        if engine == "cpu" {
            // A sum on a threshold would turn over in another order.
            assert_eq!(eval["order"], "exact");
            assert_eq!(
                (&eval["top1"], &eval["spikes_per_image"]),
                (&points[2]["top1"], &points[2]["spikes_per_image"])
            );
        }
    }
    let table = ok(&["inspect", text(&file)]);
    assert!(table.contains("Neuron"), "{table}");
    // Codes over time, too: the first layer sees images in integers.
    let integer = json(&["eval", text(&file), "--data", "sample", "--images", "100", "--engine", "integer"]);
    assert!((top1(&integer) - top1(&points[2])).abs() <= 0.03 && integer["time_steps"] == 64, "{integer}");
    let simulated = |network: &str| {
        let design = ["--data", "sample", "--images", "1", "--calibration-images", "1", "--accelerator", "dadiannao"];
        json(&[&["simulate", network], &design[..]].concat())["accelerators"][0]["total"]["cycles"].as_u64().unwrap()
    };
    // Every step is run through the design.
    assert_eq!(simulated(text(&file)), 64 * simulated("sample-resnet"));
    let output = folder.path().join("pruned.onnx");
    fails(&["prune", text(&file), "--method", "l1", "--target", "channels=0.5", "-o", text(&output)], 2, "pruning");
    fails(&[&CONVERT[..1], &[text(&file), "--data", "sample", "-o", text(&output)]].concat(), 2, "conversion");
}

#[test]
fn first_spikes_are_one_for_each_neuron() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("timed.onnx");
    let record = convert(text(&file), &["--coding", "first-spike", "--steps", "16", "--accuracy-images", "60"]);
    let point = &record["points"][0];
    let latency = point["latency_steps"].as_u64().unwrap();
    let n_layers = (latency - 1) / 16;
    assert_eq!((latency - 1) % 16, 0);
    assert!(n_layers > 2 && record["time_steps"] == latency, "{record}");
    assert!((top1(point) - top1(&record["before"])).abs() < 0.06, "{record}");
    let rate = convert(text(&file), &["--steps", "16", "--accuracy-images", "60"]);
    let spikes = |point: &serde_json::Value| point["spikes_per_image"].as_f64().unwrap();
    assert!(spikes(point) < spikes(&rate["points"][0]), "{point} {rate}");
}

/// One step in ONNX's own operators gives the same answers, and files of NIR go out and in.
#[test]
fn plain_operators_and_nir() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (snn, plain, again, nir) = (at("snn.onnx"), at("plain.onnx"), at("again.onnx"), at("snn.nir"));
    let one = ["--steps", "1", "--accuracy-images", "50", "--reset", "zero", "--initial", "0", "--strict"];
    // NIR has no maximum pools.
    let one = [&one[..], &["--max-pools", "average"]].concat();
    convert(&snn, &[&one[..], &["--nir", &nir, "--dt", "1e-3"]].concat());
    convert(&plain, &[&one[..], &["--plain"]].concat());
    let eval = |file: &str| json(&["eval", file, "--data", "sample", "--images", "50"])["correct"].clone();
    assert_eq!(eval(&snn), eval(&plain));
    let read = ["convert-snn", "--nir", &nir, "--steps", "1", "--reset", "zero", "--dt", "1e-3", "-o", &again];
    assert!(ok(&read).contains("Neuron"));
    assert_eq!(eval(&snn), eval(&again));
    let without = |flag: &str| -> Vec<&str> {
        let at = read.iter().position(|arg| *arg == flag).unwrap();
        [&read[..at], &read[at + 2..]].concat()
    };
    for flag in ["--dt", "--reset", "--steps"] {
        fails(&without(flag), 2, flag);
    }
    fails(&["convert-snn", &snn, "--nir", &nir, "--force"], 2, "--dt SECONDS");
    let said = skimp(&["convert-snn", &snn, "--nir", &at("other.nir"), "--dt", "1"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("1 time steps of 1 s"), "{said:?}");
}

#[test]
fn settings_that_cannot_be_are_named() {
    let with = |extra: &[&str], code: i32, message: &str| {
        fails(&[&CONVERT[..], &["-o", "never.onnx"], extra].concat(), code, message);
    };
    with(&["--steps", "0"], 2, "--steps \"0\"");
    with(&["--sweep", "4,0"], 2, "--sweep \"0\"");
    with(&["--percentile", "0"], 2, "--percentile");
    with(&["--fraction", "0"], 2, "--fraction \"0\"");
    with(&["--initial", "1"], 2, "--initial");
    with(&["--plain"], 2, "--plain");
    with(&["--delay", "2"], 2, "--delay");
    with(&["--reset", "hard"], 2, "subtract, zero, clear");
    fails(&["convert-snn", "-o", "never.onnx"], 2, "MODEL, or --nir");
    fails(&CONVERT, 2, "--output");
    fails(
        &["convert-snn", "alexnet", "--data", "sample", "-o", "never.onnx", "--steps", "4"],
        1,
        "a maximum of spikes is no spike of the maximum",
    );
}
