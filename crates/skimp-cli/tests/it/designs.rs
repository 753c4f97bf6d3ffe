//! Settings of one design beside each other, presets and cost tables of one's own, the report of a simulation.

use crate::{fails, json, ok, text};

const SIMULATE: [&str; 4] = ["simulate", "sample-resnet", "--data", "sample"];

fn cycles(record: &serde_json::Value, idx: usize) -> u64 {
    record["accelerators"][idx]["total"]["cycles"].as_u64().expect("cycles are a number")
}

#[test]
fn labels_compare_settings_of_one_design() {
    let two = ["--accelerator", "on=compend,off=compend", "--set", "off.end=false"];
    let record = json(&[&SIMULATE[..], &two].concat());
    let labels: Vec<_> = (0..2).map(|idx| record["accelerators"][idx]["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["on", "off"]);
    assert!(cycles(&record, 0) < cycles(&record, 1));
    for (idx, set) in [(0, "compend.end=true"), (1, "compend.end=false")] {
        let alone = json(&[&SIMULATE[..], &["--accelerator", "compend", "--set", set]].concat());
        assert_eq!(cycles(&alone, 0), cycles(&record, idx), "{set}");
    }
    fails(&[&SIMULATE[..], &["--accelerator", "compend,compend"]].concat(), 2, "a=compend,b=compend");
    fails(&[&SIMULATE[..], &two[..2], &["--set", "compend.end=false"]].concat(), 2, "say on or off");
}

#[test]
fn a_simulation_writes_the_report_of_a_study() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let args = ["--accelerator", "on=compend,off=compend", "--set", "off.end=false", "--accuracy-images", "20"];
    let record = json(&[&SIMULATE[..], &args, &["--report", text(&out)]].concat());
    assert_eq!(record, json(&[&SIMULATE[..], &args].concat()));
    let html = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(html.contains("</html>") && html.contains("on, off on sample-resnet"), "{}", &html[..2000]);
    // The saved study repeats it.
    let again = folder.path().join("again");
    ok(&["study", text(&out.join("study.toml")), "-o", text(&again)]);
    let read = |folder: &std::path::Path| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(folder.join("results.json")).unwrap()).unwrap()
    };
    assert_eq!(read(&out)["sections"]["simulation"], read(&again)["sections"]["simulation"]);
    assert_eq!(read(&out)["sections"]["simulation"]["accelerators"], record["accelerators"]);
}

#[test]
fn presets_and_cost_tables_are_taken_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    ok(&["show", "compend", "-o", &path("chip.toml")]);
    ok(&["show", "compend-45nm", "-o", &path("mine.toml")]);
    let run = |extra: &[&str]| json(&[&SIMULATE[..], &["--accelerator", "compend"], extra].concat());
    let own = run(&[]);
    let preset = format!("compend={}", path("chip.toml"));
    let same = run(&["--preset", &preset]);
    assert_eq!(own["accelerators"][0]["layers"], same["accelerators"][0]["layers"], "a copy of the preset");

    // Twice the energy of every access to the processing units, and nothing else.
    let table = std::fs::read_to_string(path("mine.toml")).unwrap();
    std::fs::write(path("mine.toml"), table.replacen("access_pj = 6.808", "access_pj = 13.616", 1)).unwrap();
    let costs = format!("compend.costs={}", path("mine.toml"));
    let dear = run(&["--set", &costs]);
    let name = dear["accelerators"][0]["costs"].as_str().unwrap();
    assert!(name.starts_with("compend-45nm (") && name.contains("mine.toml"), "{name}");
    let energy = |record: &serde_json::Value| record["accelerators"][0]["total"]["energy_mj"].as_f64().unwrap();
    assert!(energy(&dear) > energy(&own));
    assert_eq!(cycles(&dear, 0), cycles(&own, 0));
    let by_flag = run(&["--costs", &path("mine.toml")]);
    assert_eq!(by_flag["accelerators"][0]["total"], dear["accelerators"][0]["total"]);

    // In a study: relative to its file.
    let study =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/studies/sample.toml")).unwrap();
    let study = study.replacen("model = \"compend\"", "model = \"compend\"\npreset = \"chip.toml\"", 1);
    std::fs::write(path("chip.toml"), "costs = \"./mine.toml\"\n").unwrap();
    std::fs::write(path("study.toml"), study).unwrap();
    ok(&["study", &path("study.toml"), "--images", "1", "--accuracy-images", "0", "-o", &path("out")]);
    let results = std::fs::read_to_string(path("out/results.json")).unwrap();
    assert!(results.contains("compend-45nm (./mine.toml)"));
    // What ran is in the resolved study: no other file is needed.
    std::fs::remove_file(path("mine.toml")).unwrap();
    ok(&["study", &path("out/study.toml"), "--images", "1", "-o", &path("again")]);

    std::fs::write(path("bad.toml"), table.replacen("read_pj", "reed_pj", 1)).unwrap();
    let costs = format!("compend.costs={}", path("bad.toml"));
    let args = [&SIMULATE[..], &["--accelerator", "compend", "--set", &costs]].concat();
    for part in ["stt.read", "bad.toml", "which compend needs", "stt.reed"] {
        fails(&args, 1, part);
    }
    let none = format!("compend={}", path("none.toml"));
    fails(&[&SIMULATE[..], &["--accelerator", "compend", "--preset", &none]].concat(), 1, "none.toml");
    std::fs::write(path("chip.toml"), "pu_rowz = 3\n").unwrap();
    fails(&[&SIMULATE[..], &["--accelerator", "compend", "--preset", &preset]].concat(), 2, "did you mean \"pu_rows\"");
}

#[test]
fn mappings_are_results() {
    let args = [&SIMULATE[..], &["--accelerator", "eyeriss,compend"]].concat();
    let record = json(&args);
    for accelerator in record["accelerators"].as_array().unwrap() {
        for layer in accelerator["layers"].as_array().unwrap() {
            assert!(!layer["mapping"].as_object().unwrap().is_empty(), "{layer}");
        }
    }
    let rows = record["accelerators"][0]["layers"][0]["mapping"]["set_rows"].as_u64().unwrap();
    let table = ok(&[&args[..], &["--mapping"]].concat());
    assert!(table.contains("eyeriss: mapping of each layer") && table.contains("set rows"), "{table}");
    assert!(table.contains(&rows.to_string()));
    assert!(!ok(&args).contains("mapping of each layer"));
}

/// A record as a file, and the argument that takes it as the preset of `accelerator`.
fn kept(folder: &std::path::Path, accelerator: &str, record: &serde_json::Value) -> String {
    let file = folder.join("result.json");
    std::fs::write(&file, record.to_string()).expect("a temporary folder takes files");
    format!("{accelerator}={}", text(&file))
}

#[test]
fn a_given_mapping_is_evaluated_or_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    for (accelerator, number, refusals) in [
        (
            "eyeriss",
            "filters_per_pe",
            &[
                ("set_rows:1000", "eyeriss does not take the given mapping's set_rows 1000: the hardware takes 1, "),
                ("filters_per_pe:1 channels_per_pe:99", "channels_per_pe 99 beside filters_per_pe 1"),
                ("rows:4", "none called \"rows\""),
            ][..],
        ),
        (
            "tetris",
            "ti_registers",
            &[
                ("output_parts:3", "tetris does not take the given mapping's output_parts 3: the hardware takes 1, "),
                ("ti_memory:1000", "ti_memory 1000: no divisor of the "),
                ("rows:4", "none called \"rows\""),
            ],
        ),
        ("tetris-l1", "to_registers", &[("batch:3", "batch 3: images are scheduled 16 at a time")]),
    ] {
        let args = [&SIMULATE[..], &["--accelerator", accelerator]].concat();
        let found = json(&args);
        // Fed back, a result repeats itself; a note of TETRIS alone says that its mapping is given.
        let preset = kept(folder.path(), accelerator, &found);
        let again = json(&[&args[..], &["--preset", &preset]].concat());
        let layers = |record: &serde_json::Value| {
            let mut layers = record["accelerators"][0]["layers"].as_array().unwrap().clone();
            let is_said = |layer: &serde_json::Value| layer["notes"].to_string().contains("it is searched");
            assert!(!layers.iter().any(is_said), "every layer has its mapping");
            layers.iter_mut().for_each(|layer| layer["notes"] = serde_json::Value::Null);
            layers
        };
        assert_eq!(layers(&again), layers(&found));
        assert_eq!(again["accelerators"][0]["total"], found["accelerators"][0]["total"]);
        let given = again["accelerators"][0]["config"]["mappings"].as_array().unwrap();
        assert_eq!(given.len(), layers(&found).len());

        // Another mapping of one layer: as wanted, and no faster (Eyeriss) or cheaper (TETRIS) than what was found.
        let layer = &found["accelerators"][0]["layers"][1];
        let name = layer["name"].as_str().unwrap();
        let set = |numbers: &str| format!("{accelerator}.mappings=[\"{name}={numbers}\"]");
        let setting = set(&format!("{number}:1"));
        let output = crate::skimp(&[&args[..], &["--set", &setting, "--format", "json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let n_layers = layers(&found).len();
        let note = format!("{accelerator}: no mapping is given for {} of {n_layers} layers; they are", n_layers - 1);
        assert!(said.contains(&note), "{said}");
        let one: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let [first, same] = [0, 1].map(|idx| &one["accelerators"][0]["layers"][idx]);
        assert_eq!(same["mapping"][number], 1);
        let worth = |layer: &serde_json::Value| match accelerator {
            "eyeriss" => layer["cycles"]["total"].as_f64().unwrap(),
            _ => layer["energy_nj"]["total"].as_f64().unwrap(),
        };
        assert!(worth(same) >= worth(layer), "{same}");
        // The others are searched, and say so.
        assert!(first["notes"].to_string().contains("no mapping is given for this layer: it is searched"), "{first}");
        assert_eq!(first["cycles"], found["accelerators"][0]["layers"][0]["cycles"]);
        for (numbers, message) in refusals {
            fails(&[&args[..], &["--set", &set(numbers)]].concat(), 1, message);
        }
    }
}

/// The file, the layer and the cause.
#[test]
fn a_record_of_another_network_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let args = [&SIMULATE[..], &["--accelerator", "tetris,eyeriss"]].concat();
    let found = json(&args);
    let name = found["accelerators"][0]["layers"][0]["name"].as_str().unwrap();
    // A network with other layers, and one that calls a layer the same.
    let net = folder.path().join("net.csv");
    let topology = |name: &str| {
        std::fs::write(&net, format!("Layer,h,w,r,s,c,k,stride,\n{name},10,10,3,3,7,5,1,\n")).unwrap();
    };
    for accelerator in ["tetris", "eyeriss"] {
        let mut found = found.clone();
        let preset = kept(folder.path(), accelerator, &found);
        let simulate = ["simulate", text(&net), "--accelerator", accelerator, "--preset", &preset];
        topology("c1");
        let message = format!(
            "result.json (of sample-resnet): as a preset of {accelerator}: setting \"mappings\": no layer {name:?} is \
             simulated; did you mean \"c1\"?"
        );
        fails(&simulate, 2, &message);
        // Mappings of the command line are not the file's.
        let set = format!("{accelerator}.mappings=[\"conv2=batch:1\"]");
        fails(&[&simulate[..], &["--set", &set]].concat(), 2, "error: setting \"mappings\": no layer \"conv2\"");
        topology(name);
        for design in found["accelerators"].as_array_mut().unwrap() {
            design["layers"].as_array_mut().unwrap().truncate(1);
        }
        kept(folder.path(), accelerator, &found);
        let message = format!(
            "result.json (of sample-resnet): as a preset of {accelerator}: layer {name:?}: {accelerator} does not take the \
             given mapping"
        );
        fails(&simulate, 1, &message);
    }
    // Parameters of single layers are no different.
    for (setting, message) in [
        ("stripes.layer_precisions=[\"none=3\"]", "setting \"layer_precisions\": no layer \"none\""),
        ("stripes.layer_clipped_bits=[\"none=3\"]", "setting \"layer_clipped_bits\": no layer \"none\""),
        ("cnvlutin.layer_thresholds=[\"none=2\"]", "setting \"layer_thresholds\": no layer \"none\""),
    ] {
        let accelerator = setting.split('.').next().unwrap();
        fails(&[&SIMULATE[..], &["--accelerator", accelerator, "--set", setting]].concat(), 2, message);
    }
    for (entry, code, message) in [
        ("none=0:2:5".to_owned(), 2, "setting \"kernel_predictions\": no layer \"none\""),
        (format!("{name}=999:2:5"), 1, "snapea does not take a prediction for kernel 999: it has kernels 0 to "),
    ] {
        let set = format!("snapea.kernel_predictions=[{entry:?}]");
        let args = ["--accelerator", "snapea", "--set", "snapea.mode=predictive", "--set", &set];
        fails(&[&SIMULATE[..], &args].concat(), code, message);
    }
}

/// What a search found is repeated without a search, from the record as it is.
#[test]
fn found_parameters_are_fed_back() {
    let folder = tempfile::tempdir().unwrap();
    for (accelerator, settings) in [
        (
            "snapea",
            &[
                "mode=predictive",
                "max_accuracy_loss_percent=10.0",
                "speculation_weights=[4]",
                "squashed_share_percent=[10.0]",
            ][..],
        ),
        ("stripes", &["precision=search", "max_accuracy_loss=0.1"]),
        ("cnvlutin", &["search_thresholds=true", "max_accuracy_loss=0.1"]),
    ] {
        let run = ["--images", "2", "--accuracy-images", "8", "--tuning-images", "10", "--accelerator", accelerator];
        let args = [&SIMULATE[..], &run].concat();
        let settings: Vec<String> =
            settings.iter().flat_map(|setting| ["--set".to_owned(), format!("{accelerator}.{setting}")]).collect();
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let found = json(&[&args[..], &settings].concat());
        let found = &found["accelerators"][0];
        assert!(found["tuning"].is_object(), "{accelerator} searched");
        let preset = kept(folder.path(), accelerator, &serde_json::json!({ "accelerators": [found] }));
        let again = json(&[&args[..], &["--preset", &preset]].concat());
        let again = &again["accelerators"][0];
        assert!(again["tuning"].is_null(), "{accelerator} searched again");
        for key in ["config", "layers", "total", "accuracy", "energy", "approximate"] {
            assert_eq!(again[key], found[key], "{accelerator} {key}");
        }
    }
}
