//! Every command on the embedded network and data.

use std::collections::BTreeSet;

use crate::{json, ok, skimp, text};

#[test]
fn help_names_every_command_and_each_has_examples() {
    let help = ok(&["--help"]);
    for command in ["study", "inspect", "run", "eval", "quantize", "simulate", "report", "data", "list", "completions"]
    {
        assert!(help.contains(command), "{command} is not in --help");
        assert!(ok(&[command, "--help"]).contains("Example"), "{command} --help has no example");
    }
}

#[test]
fn inspect_counts_the_embedded_network() {
    let record = json(&["inspect", "sample-resnet"]);
    assert_eq!(record["schema"], "skimp.inspect/1");
    let layers = record["layers"].as_array().unwrap();
    let n_convolutions = layers.iter().filter(|layer| layer["operator"] == "Conv").count();
    assert!(n_convolutions >= 4, "{n_convolutions} convolutions");
    let sum = |key: &str| layers.iter().map(|layer| layer[key].as_u64().unwrap()).sum::<u64>();
    for key in ["macs", "weights", "parameters"] {
        assert_eq!(record["total"][key], sum(key), "{key}");
    }
    let table = ok(&["inspect", "sample-resnet"]);
    assert!(table.contains("Conv") && table.contains("MACs"), "{table}");
    let csv = ok(&["inspect", "sample-resnet", "--format", "csv"]);
    assert_eq!(csv.lines().count(), layers.len() + 1);
}

#[test]
fn inspect_says_what_can_be_done_with_a_network() {
    let record = json(&["inspect", "sample-resnet", "--support"]);
    assert_eq!((&record["schema"], &record["imported"]["answer"]), (&"skimp.support/1".into(), &"yes".into()));
    assert_eq!((&record["integer"]["answer"], &record["trained"]["answer"]), (&"yes".into(), &"yes".into()));
    let designs = record["simulated"].as_array().unwrap();
    assert!(designs.iter().all(|design| design["layers"] == design["of"]), "{designs:?}");
    let table = ok(&["inspect", "sample-resnet", "--support"]);
    assert!(table.contains("imported") && table.contains("eyeriss"), "{table}");
    // That a file is not read is an answer, too.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("garbage.onnx");
    std::fs::write(&path, b"this is no network").unwrap();
    assert_eq!(json(&["inspect", text(&path), "--support"])["imported"]["answer"], "no");
}

#[test]
fn built_in_networks_go_where_models_go() {
    let record = json(&["inspect", "resnet20:classes=100"]);
    assert_eq!((&record["model"]["name"], &record["model"]["untrained"]), (&"resnet20".into(), &true.into()));
    assert_eq!(record["total"]["weights"], 268_336 + 64 * 90);
    assert_eq!(json(&["inspect", "sample-resnet"])["model"].get("untrained"), None);
    let args = ["eval", "lenet-5", "--data", "sample", "--limit", "20"];
    let output = skimp(&args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("lenet-5 is untrained"), "{said}");
    let names = json(&["list", "networks"]);
    let names: BTreeSet<&str> =
        names["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert!(names.contains("sample-resnet") && names.contains("vgg-small"), "{names:?}");

    // A file of the same name wins.
    let folder = tempfile::tempdir().unwrap();
    ok(&["inspect", "lenet-300-100", "--export", text(&folder.path().join("resnet20"))]);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_skimp"))
        .args(["inspect", "resnet20", "--format", "json"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&record["total"]["weights"], &record["model"]["path"]), (&266_200.into(), &"resnet20".into()));
}

#[test]
fn eval_reaches_its_documented_accuracy_in_float_and_integers() {
    let float = json(&["eval", "sample-resnet", "--data", "sample"]);
    assert_eq!((&float["schema"], &float["images"]), (&"skimp.evaluate/1".into(), &1000.into()));
    let top1 = |record: &serde_json::Value| record["top1"].as_f64().unwrap();
    // assets/networks/README.md; another order of sums may move an image across the border.
    assert!((top1(&float) - 0.938).abs() < 0.0015, "{float}");
    let integer = json(&["eval", "sample-resnet", "--data", "sample", "--engine", "integer"]);
    assert!((top1(&integer) - top1(&float)).abs() <= 0.001, "16 bits: {integer}");
    let reference = json(&["eval", "sample-resnet", "--data", "sample", "--engine", "reference", "--limit", "20"]);
    let cpu = json(&["eval", "sample-resnet", "--data", "sample", "--limit", "20"]);
    assert_eq!(reference["correct"], cpu["correct"]);
}

#[test]
fn simulate_follows_the_documented_schema() {
    let args = ["simulate", "sample-resnet", "--accelerator", "compend,dadiannao", "--data", "sample", "--images", "2"];
    let record = json(&args);
    assert_eq!(record["schema"], "skimp.simulate/3");
    let accelerators = record["accelerators"].as_array().unwrap();
    assert_eq!(accelerators.len(), 2);
    for accelerator in accelerators {
        let layers = accelerator["layers"].as_array().unwrap();
        let total: u64 = layers.iter().map(|layer| layer["cycles"]["total"].as_u64().unwrap()).sum();
        assert_eq!(accelerator["total"]["cycles"], total);
        for layer in layers {
            let parts = layer["cycles"].as_object().unwrap().iter().filter(|(name, _)| *name != "total");
            assert_eq!(layer["cycles"]["total"], parts.map(|(_, n)| n.as_u64().unwrap()).sum::<u64>());
        }
    }
    let layers = accelerators[0]["layers"].as_array().unwrap();
    let state = |layer: &serde_json::Value| {
        let findings = layer["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["key"] == "end").unwrap()["verdict"].clone()
    };
    assert!(layers.iter().any(|layer| state(layer)["holds"] == true), "no layer ran early negative detection");
    let off = layers.iter().map(state).find(|state| state["holds"] == false).unwrap();
    assert!(!off["reason"].as_str().unwrap().is_empty());
    // Nothing depends on the number of threads.
    let mut single = args.to_vec();
    single.extend(["--threads", "1"]);
    assert_eq!(json(&single), record);
}

#[test]
fn end_saves_cycles_and_can_be_switched_off() {
    let cycles = |extra: &[&str]| {
        let mut args = vec!["simulate", "sample-resnet", "--accelerator", "compend", "--data", "sample"];
        args.extend(extra);
        json(&args)["accelerators"][0]["total"]["cycles"].as_u64().unwrap()
    };
    let (with, without) = (cycles(&[]), cycles(&["--set", "compend.end=false"]));
    assert!(with < without, "{with} cycles with END, {without} without");
    assert!(cycles(&["--first-layer", "offset"]) <= with);
}

#[test]
fn a_dump_agrees_with_its_definition() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["simulate", "sample-resnet", "--accelerator", "compend", "--data", "sample", "--first-layer", "offset"];
    let mut args = args.to_vec();
    args.extend(["--dump", text(folder.path())]);
    ok(&args);
    let index = std::fs::read_to_string(folder.path().join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let stems = index["layers"].as_object().unwrap();
    assert!(stems.len() >= 5, "{stems:?}");
    for stem in stems.keys() {
        for kind in ["weight", "bias", "activation", "output"] {
            assert!(folder.path().join(format!("{stem}.{kind}.npy")).is_file(), "{stem}.{kind}.npy");
        }
    }
    let Some(python) = skimp_testkit::python("numpy to check the dump") else { return };
    // The program that the documentation shows, on every layer.
    let page = include_str!("../../../../docs/simulate.md");
    let (_, rest) = page.split_once("```python\n").unwrap();
    let (program, _) = rest.split_once("```").unwrap();
    for (stem, name) in stems {
        let program = program.replace("DIR", text(folder.path())).replace("\"conv2\"", &name.to_string());
        let output = std::process::Command::new(&python).args(["-c", &program]).output().unwrap();
        assert!(output.status.success(), "{stem}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn an_embedded_study_writes_a_complete_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let said = ok(&["study", "sample", "--images", "2", "--accuracy-images", "50", "-o", text(&out)]);
    assert!(said.contains("report.html"), "{said}");
    let results = std::fs::read_to_string(out.join("results.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&results).unwrap();
    assert_eq!(record["schema"], "skimp.study/4");
    let designs = record["sections"]["simulation"]["accelerators"].as_array().unwrap();
    let mut findings = designs.iter().filter_map(|design| design["findings"].as_array()).flatten();
    let compared = findings.find(|finding| finding["kind"] == "agreement").unwrap();
    assert_eq!(compared["value"], 0.0);
    assert!(compared["of"].as_u64().unwrap() > 10_000);
    assert!(
        record["sections"]["comparison"]["comparisons"][0]["total_runtime_reduction_percent"].as_f64().unwrap() > 0.0
    );
    let html = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(html.contains("bit-exact") && html.contains("</html>"));
    assert_eq!(ok(&["report", text(&out)]), html);

    // The saved configuration repeats the run; only the timings differ.
    let again = folder.path().join("again");
    ok(&["study", text(&out.join("study.toml")), "-o", text(&again)]);
    let repeated = std::fs::read_to_string(again.join("results.json")).unwrap();
    let mut repeated: serde_json::Value = serde_json::from_str(&repeated).unwrap();
    let mut first = record;
    for value in [&mut first, &mut repeated] {
        value.as_object_mut().unwrap().remove("timings");
    }
    assert_eq!(first, repeated);
}

#[test]
fn lists_and_data_describe_themselves() {
    for what in ["accelerators", "datasets", "preprocessings", "networks", "studies", "operators", "formats"] {
        let record = json(&["list", what]);
        assert!(!record["entries"].as_array().unwrap().is_empty(), "{what}");
    }
    let sample = json(&["data", "sample"]);
    assert_eq!(sample["splits"][1]["images"], 1000);
    assert!(ok(&["completions", "bash"]).contains("skimp"));
    assert!(ok(&["completions", "man"]).contains(".TH"));
}

#[test]
fn run_and_export_agree_between_engines() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let values: Vec<f32> = (0..784).map(|i| (i % 17) as f32 / 17.0 - 0.4).collect();
    skimp::data::npy::write(folder.path().join("x.npy").as_path(), &[1, 1, 28, 28], &values).unwrap();
    ok(&["inspect", "sample-resnet", "--export", &path("copy.onnx")]);
    let mut outputs = Vec::new();
    for (model, engine) in [
        ("sample-resnet", &["reference"][..]),
        ("sample-resnet", &["cpu"]),
        (&path("copy.onnx"), &["cpu"]),
        ("sample-resnet", &["cpu", "--exact-order"]),
    ] {
        let mut arguments = vec!["run", model, "--engine"];
        arguments.extend(engine);
        let files = [path("x.npy"), path("y.npy")];
        arguments.extend(["--input", &files[0], "--output", &files[1]]);
        ok(&arguments);
        let array = skimp::data::npy::read(path("y.npy")).unwrap();
        assert_eq!(array.shape, [1, 10]);
        outputs.push(array.data.into_f32());
    }
    assert_eq!(outputs[1], outputs[2], "an exported network computes the same");
    for other in [&outputs[1], &outputs[3]] {
        for (a, b) in outputs[0].iter().zip(other) {
            assert!((a - b).abs() < 1e-4 * a.abs().max(1.0), "reference {a}, cpu {b}");
        }
    }
}

#[test]
fn quiet_runs_say_nothing_on_stderr() {
    let output = skimp(&["eval", "sample-resnet", "--data", "sample", "--limit", "5", "-q"]);
    assert!(output.status.success() && output.stderr.is_empty());
}

#[test]
fn a_quantized_network_keeps_its_accuracy_on_every_engine() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sample8.onnx");
    let said = ok(&["quantize", "sample-resnet", "--data", "sample", "--format", "json", "-q", "-o", text(&file)]);
    let record: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(record["schema"], "skimp.quantize/2");
    assert_eq!((&record["requantization"], &record["float_nodes"]), (&"float".into(), &serde_json::json!([])));
    let top1 = |model: &str, engine: &str| {
        let said =
            ok(&["eval", model, "--data", "sample", "--limit", "200", "--engine", engine, "--format", "json", "-q"]);
        serde_json::from_str::<serde_json::Value>(&said).unwrap()["top1"].as_f64().unwrap()
    };
    let float = top1("sample-resnet", "cpu");
    for engine in ["integer", "cpu"] {
        assert!((top1(text(&file), engine) - float).abs() < 0.03, "{engine}");
    }
}
