//! One flag, one meaning; manual pages and completions made from the command line; what presets say.

use std::collections::BTreeSet;

use crate::{fails, json, ok, skimp, text};

/// Old spellings stay, and mean the same.
#[test]
fn old_spellings_still_work() {
    let correct = |flag: &str| json(&["eval", "sample-resnet", "--data", "sample", flag, "20"])["correct"].clone();
    assert_eq!(correct("--images"), correct("--limit"));
    let integer = ["eval", "sample-resnet", "--data", "sample", "--images", "20", "--engine", "integer"];
    let with = |calibration: &str| json(&[&integer[..], &["--calibration", calibration]].concat())["correct"].clone();
    assert_eq!(with("min-max"), with("max"));

    let folder = tempfile::tempdir().unwrap();
    let quantize = |name: &str, extra: &[&str]| {
        let file = folder.path().join(name);
        let args =
            ["quantize", "sample-resnet", "--data", "sample", "--calibration-images", "2", "-q", "-o", text(&file)];
        ok(&[&args[..], extra].concat());
        std::fs::read(file).unwrap()
    };
    let new = quantize("new.onnx", &["--weight-bits", "6", "--activation-bits", "8", "--calibration", "min-max"]);
    assert_eq!(new, quantize("old.onnx", &["--weights", "6", "--activations", "8", "--calibration", "max"]));
    for (command, hidden) in [("quantize", "--weights "), ("quantize", "--activations "), ("eval", "--limit")] {
        assert!(!ok(&[command, "--help"]).contains(hidden), "{command} --help shows {hidden}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let man = folder.path().join("man1");
    ok(&["man", text(&man)]);
    let pages: BTreeSet<String> =
        std::fs::read_dir(&man).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for command in
        ["inspect", "run", "eval", "quantize", "train", "simulate", "study", "report", "data", "list", "show"]
    {
        let page = format!("skimp-{command}.1");
        assert!(pages.contains(&page), "{page} is not among {pages:?}");
        let text = std::fs::read_to_string(man.join(page)).unwrap();
        assert!(text.contains(".TH") && text.contains("skimp"), "{command}: {text}");
    }
    assert!(pages.contains("skimp.1") && !pages.contains("skimp-man.1"), "{pages:?}");
}

#[test]
fn completions_know_values() {
    for shell in ["bash", "zsh", "fish"] {
        let script = ok(&["completions", shell]);
        // zsh writes "cifar10\\:".
        // Names of studies stand without a flag, which fish scripts of clap_complete 4.6 do not complete.
        let studies = if shell == "fish" { &[][..] } else { &["zero-skipping"] };
        for value in ["compend", "cifar10", "imagenet", "horowitz-45nm", "adamw"].iter().chain(studies) {
            assert!(script.contains(value), "{shell}: {value} is not completed");
        }
    }
}

#[test]
fn settings_are_listed_with_unit_default_range_meaning_and_source() {
    let record = json(&["list", "settings", "eyeriss"]);
    assert_eq!((&record["schema"], &record["accelerator"]), (&"skimp.settings/1".into(), &"eyeriss".into()));
    let settings = record["settings"].as_array().unwrap();
    let of = |key: &str| settings.iter().find(|setting| setting["key"] == key).unwrap();
    assert_eq!((&of("clock_mhz")["unit"], &of("clock_mhz")["default"]), (&"MHz".into(), &250.0.into()));
    assert_eq!((&of("pe_rows")["range"], &of("pe_rows")["default"]), (&"1 to 1024".into(), &12.into()));
    assert!(of("pe_rows")["source"].as_str().unwrap().contains("nn_dataflow"));
    assert!(settings.iter().all(|setting| !setting["meaning"].as_str().unwrap().is_empty()));
    let table = ok(&["list", "settings", "snapea"]);
    for word in ["key", "unit", "default", "range", "meaning", "source", "kernel_barrier", "\"oracle\""] {
        assert!(table.contains(word), "{word} in\n{table}");
    }
    fails(&["list", "settings"], 2, "compend");
    fails(&["list", "settings", "compent"], 2, "did you mean \"compend\"");
    fails(&["list", "networks", "compend"], 2, "takes no further name");
    let tables = json(&["list", "costs"]);
    assert!(tables["entries"].as_array().unwrap().iter().any(|entry| entry["name"] == "compend-45nm"));
}

#[test]
fn presets_tables_and_studies_are_shown() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/");
    for (name, file) in [
        ("eyeriss", "accelerators/eyeriss.toml"),
        ("compend-45nm", "costs/compend-45nm.toml"),
        ("sample", "studies/sample.toml"),
    ] {
        assert_eq!(ok(&["show", name]), std::fs::read_to_string(format!("{root}{file}")).unwrap());
    }
    // A name of two things: the first one, and a note; --kind chooses.
    let output = skimp(&["show", "selective-gradients"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--kind study"));
    assert!(ok(&["show", "selective-gradients", "--kind", "study"]).contains("[[accelerators]]"));
    assert_eq!(json(&["show", "compend"])["kind"], "accelerator");
    fails(&["show", "compent"], 2, "did you mean \"compend\"? known: ");
    fails(&["show", "compend", "--format", "csv"], 2, "no table");
}

#[test]
fn unknown_settings_name_the_nearest_and_all() {
    let simulate = ["simulate", "sample-resnet", "--data", "sample", "--accelerator", "compend", "--set"];
    let with = |set: &str, message: &str| fails(&[&simulate[..], &[set]].concat(), 2, message);
    with("compend.ent=false", "did you mean \"end\"? known: ab_bank_bytes");
    with("compend.pu_rows=0", "expected 1 to 4096, found 0");
    with("compend.pu_rows=2147483648", "expected 1 to 4096");
    with("compend.end_test=<", "expected \"<0\" or \"<=0\"");
}

#[test]
fn stdout_is_no_folder() {
    fails(&["study", "-o", "-"], 2, "a study writes a folder");
    fails(&["train", "sample-resnet", "--data", "sample", "-o", "-"], 2, "--output MODEL.onnx");
}
