//! `skimp prune`, `skimp distill` and `skimp recast`.

use crate::{fails, json, ok, text};

#[test]
fn a_pruned_network_is_smaller_and_learns_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("half.onnx");
    let prune = ["prune", "sample-resnet", "--method", "taylor", "--target", "channels=0.5", "--data", "sample"];
    let tuned = ["--finetune", "2", "--learning-rate", "0.02", "--accuracy-images", "400", "-o", text(&file)];
    let record = json(&[&prune[..], &tuned].concat());
    assert_eq!(record["schema"], "skimp.prune/1");
    let of = |when: &str, what: &str| record[when][what].as_f64().unwrap_or_else(|| panic!("{when}.{what}"));
    for what in ["parameters", "weights", "macs", "activation_elements", "activation_bytes_moved", "file_bytes"] {
        assert!(of("after", what) < 0.6 * of("before", what), "{what}");
    }
    // The file is the network that the record tells of.
    let inspected = json(&["inspect", text(&file)]);
    for what in ["macs", "parameters", "weights"] {
        assert_eq!(inspected["total"][what], record["after"][what], "{what}");
    }
    let evaluated = json(&["eval", text(&file), "--data", "sample", "--images", "400"]);
    assert_eq!(evaluated["top1"], record["after"]["top1"]);
    // Ten classes: far from chance, not far from where it was.
    assert!(of("after", "top1") > 0.6 && of("before", "top1") > 0.85, "{record}");
    let groups = record["groups"].as_array().expect("groups");
    assert!(
        groups
            .iter()
            .all(|group| group["removed"].as_array().map(Vec::len) == group["after"].as_u64().map(|n| n as usize))
    );
    assert_eq!(record["refused"][0]["node"], "fc");

    let plan =
        ok(&["prune", "sample-resnet", "--method", "l1", "--target", "macs=0.5", "--round-to", "1", "--dry-run"]);
    assert!(plan.contains("MACs") && plan.contains("why it stays whole"), "{plan}");
}

#[test]
fn what_cannot_be_pruned_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("never.onnx");
    let prune = |target: &str, extra: &[&str], code: i32, message: &str| {
        let asked = ["prune", "sample-resnet", "--method", "l1", "--target", target, "-o", text(&file)];
        fails(&[&asked[..], extra].concat(), code, message);
        assert!(!file.exists());
    };
    prune("macs=0.0001", &[], 1, "the most that was reached");
    prune("sparsity=0.5", &[], 2, "channels=");
    prune("channels=2", &[], 2, "above 0 and at most 1");
    prune("channels=0.5", &["--keep", "nobody"], 1, "nobody");
    prune("channels=0.5", &["--set", "images=3"], 2, "no settings");
    prune("channels=0.5", &["--finetune", "1"], 2, "--data");
    fails(&["prune", "sample-resnet", "--method", "l1", "--target", "channels=0.5"], 2, "--dry-run");
    fails(&["prune", "sample-resnet", "--method", "apoz", "--target", "channels=0.5", "--dry-run"], 2, "--data");
}

#[test]
fn a_student_learns_from_a_teacher() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (half, taught) = (folder.path().join("half.onnx"), folder.path().join("taught.onnx"));
    ok(&["prune", "sample-resnet", "--method", "l2", "--target", "channels=0.5", "-o", text(&half)]);
    let distill = ["distill", text(&half), "--teacher", "sample-resnet", "--data", "sample", "-o", text(&taught)];
    let record =
        json(&[&distill[..], &["--epochs", "2", "--learning-rate", "0.02", "--accuracy-images", "300"]].concat());
    assert_eq!(record["schema"], "skimp.distill/1");
    let [before, after] = [0, 1].map(|at| &record["losses"][at]);
    for term in ["teacher_term", "label_term", "total"] {
        assert!(after[term].as_f64() < before[term].as_f64(), "{term}: {record}");
    }
    let total = |loss: &serde_json::Value| {
        0.9 * loss["teacher_term"].as_f64().unwrap() + 0.1 * loss["label_term"].as_f64().unwrap()
    };
    assert!((total(after) - after["total"].as_f64().unwrap()).abs() < 1e-6, "{record}");
    assert_eq!(json(&["eval", text(&taught), "--data", "sample", "--images", "300"])["top1"], record["after"]["top1"]);
    fails(&[&distill[..], &["--temperature", "0"]].concat(), 2, "temperature");
    let other = ["distill", "resnet20:classes=7,channels=1,size=28", "--teacher", "sample-resnet", "--data", "sample"];
    fails(&[&other[..], &["-o", text(&folder.path().join("never.onnx"))]].concat(), 2, "7");
}

#[test]
fn blocks_are_recast_and_learn() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("plain.onnx");
    // Weights and operations of the released configuration on ResNet-50, first with the stride on the first convolution.
    for (network, macs) in [("resnet50-v1", 2_457_862_144_u64), ("resnet50", 2_534_932_480)] {
        let asked = ["recast", network, "--blocks", "1-11", "--into", "conv", "--structure-only", "-o", text(&file)];
        let record = json(&asked);
        assert_eq!(
            (record["after"]["weights"].as_u64(), record["after"]["macs"].as_u64()),
            (Some(21_984_448), Some(macs))
        );
        assert_eq!(record["untrained"], true);
        std::fs::remove_file(&file).expect("it was written");
    }
    let listed = ok(&["recast", "sample-resnet"]);
    assert!(listed.contains("residual") && listed.contains("conv1"), "{listed}");
    let recast = ["recast", "sample-resnet", "--blocks", "2", "--into", "conv", "-o", text(&file)];
    let learned =
        ["--data", "sample", "--epochs", "2", "--finetune", "1", "--optimizer", "adam", "--learning-rate", "1e-3"];
    let record = json(&[&recast[..], &learned, &["--accuracy-images", "300"]].concat());
    assert_eq!(record["steps"].as_array().map(Vec::len), Some(1));
    assert!(record["after"]["top1"].as_f64() > Some(0.5), "{record}");
    assert_eq!(json(&["eval", text(&file), "--data", "sample", "--images", "300"])["top1"], record["after"]["top1"]);
    fails(&recast, 2, "--structure-only");
    fails(
        &["recast", "sample-resnet", "--blocks", "99", "--structure-only", "-o", text(&folder.path().join("n.onnx"))],
        2,
        "99",
    );
}
