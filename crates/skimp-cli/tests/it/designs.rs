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
    assert_eq!(read(&out)["simulation"], read(&again)["simulation"]);
    assert_eq!(read(&out)["simulation"]["accelerators"], record["accelerators"]);
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

#[test]
fn a_given_mapping_is_evaluated_or_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json");
    let args = [&SIMULATE[..], &["--accelerator", "eyeriss"]].concat();
    let found = json(&args);
    std::fs::write(&file, found.to_string()).unwrap();
    // Fed back, a result repeats itself.
    let preset = format!("eyeriss={}", text(&file));
    let again = json(&[&args[..], &["--preset", &preset]].concat());
    assert_eq!(again["accelerators"][0]["layers"], found["accelerators"][0]["layers"]);
    let given = again["accelerators"][0]["config"]["mappings"].as_array().unwrap();
    assert_eq!(given.len(), found["accelerators"][0]["layers"].as_array().unwrap().len());

    // Another mapping of one layer: as wanted, and no faster than what the search found.
    let layer = &found["accelerators"][0]["layers"][1];
    let name = layer["name"].as_str().unwrap();
    let set = |numbers: &str| format!("eyeriss.mappings=[\"{name}={numbers}\"]");
    let one = json(&[&args[..], &["--set", &set("filters_per_pe:1")]].concat());
    let same = &one["accelerators"][0]["layers"][1];
    assert_eq!(same["mapping"]["filters_per_pe"], 1);
    assert!(same["cycles"]["total"].as_u64() >= layer["cycles"]["total"].as_u64(), "{same}");
    let with = |numbers: &str, message: &str| fails(&[&args[..], &["--set", &set(numbers)]].concat(), 1, message);
    with("set_rows:1000", "the given mapping's set_rows 1000: the hardware takes 1, ");
    with("filters_per_pe:1 channels_per_pe:99", "channels_per_pe 99 beside filters_per_pe 1");
    with("rows:4", "none called \"rows\"");
}
