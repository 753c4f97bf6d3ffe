//! A design that skimp does not know takes part in simulate, study, report and records like an embedded one.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use own_accelerator::ZeroSkippingArray;
use skimp::sim::{Accelerator, AcceleratorModel, Found, LayerTrace, LayerWorkload, RecordedTrace, toml};
use skimp::{Designs, Silent, StudyConfig, StudyOverrides, StudyRun};

fn array(settings: &str) -> Box<dyn Accelerator> {
    let settings: toml::Table = settings.parse().expect("settings are TOML");
    ZeroSkippingArray.accelerator(&settings).expect("the settings are in range")
}

/// Two rows, one column; a dense layer of one window: 5 inputs of which 3 are not 0, 4 filters one after another.
#[test]
fn counts_follow_the_rule() {
    let layer = LayerWorkload::dense("d", 5, 4);
    let recorded = RecordedTrace { activation: Some(vec![7, 0, 1, 0, 2].into()), ..RecordedTrace::default() };
    let trace = LayerTrace::new(&layer, Arc::new(recorded));
    let result = array("rows = 2\ncolumns = 1").simulate_layer(&layer, Some(&trace)).unwrap();
    let count = |name: &str| result.events.get(name).unwrap();
    // 3 cycles and 1 of draining for each filter.
    assert_eq!((result.cycles.get("compute"), result.cycles.get("drain")), (Some(12), Some(4)));
    assert_eq!((count("executed_macs"), count("skipped_macs"), count("idle_slots")), (12, 8, 12));
    assert_eq!(result.findings[1].found, Found::Share { part: 3, whole: 3 });
    let dense = array("rows = 2\ncolumns = 1\nskip = false").simulate_layer(&layer, None).unwrap();
    assert_eq!((dense.cycles.get("compute"), dense.events.get("executed_macs")), (Some(20), Some(20)));
    let error = array("").simulate_layer(&layer, None).unwrap_err().to_string();
    assert!(error.contains("zero-skipping-array needs the operand trace activation"), "{error}");
}

const STUDY: &str = r#"
schema = 1
name = "own"
title = "own"
summary = "s"
subject = ""
baseline = "dense"

[network]
model = "sample-resnet"

[data]
set = "sample"
images = 2
accuracy_images = 0

[[accelerators]]
model = "zero-skipping-array"
label = "dense"
set = { skip = false }

[[accelerators]]
model = "zero-skipping-array"
label = "skipping"
set = { costs = "mine.toml" }

[[accelerators]]
model = "eyeriss"

[[comparisons]]
baseline = "dense"
variant = "skipping"
"#;

#[test]
fn a_study_has_it_beside_embedded_designs() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("study.toml"), STUDY).unwrap();
    let table = include_str!("../costs.toml").replace("op_pj = 1.1", "op_pj = 2.2");
    std::fs::write(file("mine.toml"), table).unwrap();
    let study = file("study.toml");
    let study = study.to_str().unwrap();
    let designs = Designs::embedded().with(&ZeroSkippingArray).unwrap();
    let config = StudyConfig::open_with(study, &StudyOverrides::default(), designs).unwrap();
    let out = file("out");
    let record = skimp::run_study(&config, &StudyRun { folder: out.clone(), resume: false }, &Silent).unwrap();

    let simulation = record.simulation().unwrap();
    let [dense, skipping, eyeriss] = &simulation.accelerators[..] else { panic!() };
    assert_eq!((skipping.name.as_str(), skipping.label.as_str()), ("zero-skipping-array", "skipping"));
    assert!(skipping.total.cycles < dense.total.cycles);
    assert!(skipping.costs.contains("mine.toml") && eyeriss.costs == "horowitz-45nm", "{}", skipping.costs);
    let facts = skipping.facts.as_ref().unwrap();
    assert!(facts.exact && facts.needs == "operand values" && facts.exploits == ["zero activations"]);
    assert!(skipping.findings.iter().any(|finding| finding.key == "window_fullness"));
    assert!(eyeriss.findings.is_empty());

    // Its findings, phases and losses stand in every output, and nothing of designs that are not there.
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    for words in [
        "finding-window-fullness-chart",
        "Activations of a window that are not 0",
        "sums leave the array through its columns",
        "16 windows and 16 filters at once",
        "an example of this project",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.to_lowercase().contains("early negative"));
    let found = std::fs::read_to_string(out.join("distributions.csv")).unwrap();
    assert!(found.contains("skipping,conv1,window_fullness,"), "{found}");
    let kept = std::fs::read_to_string(out.join("results.json")).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["sections"]["simulation"]["accelerators"][1]["findings"][0]["key"], "window_fullness");
    assert_eq!(skimp::report(&out).unwrap(), page);
}

#[test]
fn the_program_runs() {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_own-accelerator");
    let said = Command::new(program).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success() && text.contains("zero-skipping-array: what it found"), "{text}");
    let said = Command::new(program).arg(folder.path()).output().unwrap();
    assert!(said.status.success() && Path::new(&folder.path().join("report.html")).is_file());
}

#[test]
fn names_are_unique() {
    let twice = Designs::only(&[&ZeroSkippingArray]).with(&ZeroSkippingArray).unwrap_err();
    assert!(twice.is_usage() && twice.to_string().contains("zero-skipping-array"), "{twice}");
}
