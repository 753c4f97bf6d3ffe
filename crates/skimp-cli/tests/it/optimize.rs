//! `skimp optimize`: a folder of results, and what it refuses.

use crate::{fails, json, text};

const BASE: [&str; 6] = ["optimize", "sample-resnet", "--max-loss", "1", "--steps", "3"];

#[test]
fn an_optimization_writes_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let few = ["--search-images", "100", "--accuracy-images", "100", "--train-images", "64", "-o", text(&out)];
    let args = [&BASE[..], &["--data", "sample", "--objective", "model-bytes", "--strategy", "single"], &few].concat();
    let record = json(&args);
    assert_eq!(record["schema"], "skimp.optimize/2");
    assert_eq!(record["path"][0]["why"], "start");
    assert!(record["command"].as_str().unwrap().starts_with("skimp optimize sample-resnet --max-loss 1"));
    assert_eq!(record["judgement"]["images"], 100);
    for name in record["files"].as_array().unwrap() {
        assert!(out.join(name.as_str().unwrap()).is_file(), "{name}");
    }
    // A second run into the same folder replaces its own files, but no one else's.
    json(&args);
    std::fs::write(out.join("optimize.json"), "mine").unwrap();
    fails(&args, 2, "network.onnx");
}

#[test]
fn objectives_and_designs_that_are_none_are_refused() {
    let with = |more: &[&'static str]| [&BASE[..], more].concat();
    fails(&with(&["--data", "sample", "--objective", "speed"]), 2, "expected energy@DESIGN");
    fails(&with(&["--data", "sample", "--objective", "energy@compent"]), 2, "compend");
    fails(&with(&["--data", "sample", "--split", "test", "--objective", "model-bytes"]), 2, "both splits");
    fails(&with(&["--objective", "model-bytes"]), 2, "--data");
}
