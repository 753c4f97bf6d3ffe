use std::sync::atomic::{AtomicI64, Ordering};

use skimp_train::TrainError;
use skimp_train::policy::POLICIES;

use super::*;
use crate::Silent;

/// Asks to stop after that many steps.
struct StopAt(AtomicI64);

impl Monitor for StopAt {
    fn stage(&self, _name: &str, _n_steps: u64) {}
    fn advance(&self, _n: u64) {}
    fn note(&self, text: &str) {
        assert!(text.starts_with("going on from step "), "{text}");
    }
    fn interrupted(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) <= 0
    }
}

/// Nine steps, three of each epoch.
fn config(precision: &str, optimizer: &str) -> TrainConfig {
    TrainConfig {
        network: "conv4-fc2:channels=1,size=28,widths=2-2-4-4-8,batch-norm=true".to_owned(),
        data: "sample".to_owned(),
        images: Some(40),
        validation_images: Some(20),
        epochs: 3,
        batch_size: 16,
        schedule: "cosine".to_owned(),
        optimizer: optimizer.to_owned(),
        weight_decay: 1e-4,
        augment: vec!["crop:pad=2".to_owned()],
        precision: precision.to_owned(),
        seed: 3,
        ..TrainConfig::default()
    }
}

fn run(folder: &Path, logs: &[&str]) -> TrainRun {
    TrainRun {
        output: folder.join("net.onnx"),
        resume: true,
        logs: logs.iter().map(|&log| log.to_owned()).collect(),
        ..TrainRun::default()
    }
}

/// Stopped in the middle of the second and of the third epoch, and resumed by new objects each time, under every policy,
/// with intervals so short that its scales move: the same file to the byte.
#[test]
fn every_policy_is_resumed_to_the_bit() {
    let mut cases: Vec<(String, &str)> = Vec::new();
    for entry in POLICIES {
        let precision = match entry.name() {
            "fp16" => "fp16:interval=2,initial-scale=1e9,backoff=0.01",
            "dfxp" => "dfxp:interval=32,warm-up=48,round=stochastic",
            "flexpoint" => "flexpoint:history=2",
            "fp8-ocp" => "fp8-ocp:history=2",
            name => name,
        };
        cases.push((precision.to_owned(), "sgd"));
    }
    cases.push(("fp16:interval=2,initial-scale=1e9,backoff=0.01".to_owned(), "adam"));
    cases.push(("fp8-ibm".to_owned(), "adam"));
    for (precision, optimizer) in cases {
        let config = config(&precision, optimizer);
        let [whole, parts] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let expected = train(&config, &run(whole.path(), &[]), &Silent).unwrap();
        for (n_steps, stopped_at) in [(4, 4), (4, 8)] {
            let monitor = StopAt(AtomicI64::new(n_steps));
            let error = train(&config, &run(parts.path(), &[]), &monitor).unwrap_err();
            assert!(matches!(error, StudyError::Train(TrainError::Interrupted { .. })), "{precision}: {error}");
            let checkpoint = Checkpoint::load(&parts.path().join("net.train")).unwrap().unwrap();
            assert_eq!(checkpoint.state().step, stopped_at, "{precision}");
        }
        let found = train(&config, &run(parts.path(), &[]), &Silent).unwrap();
        let bytes = |folder: &Path| std::fs::read(folder.join("net.onnx")).unwrap();
        assert!(bytes(whole.path()) == bytes(parts.path()), "{precision} {optimizer}");
        assert_eq!(found.output.sha256, expected.output.sha256);
        let skipped = |record: &TrainRecord| -> Vec<_> {
            record.training.epochs.iter().map(|epoch| (epoch.skipped_steps, epoch.train_loss.to_bits())).collect()
        };
        assert_eq!(skipped(&found), skipped(&expected), "{precision} {optimizer}");
        assert_eq!(skipped(&found).iter().any(|epoch| epoch.0 > 0), precision.starts_with("fp16"), "{precision}");
    }
}

/// The report is there while the run goes on, and a report that cannot be written does not end it.
#[test]
fn the_report_follows_the_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("fp32", "sgd");
    let inner = folder.path().join("net.train");
    let n_epochs = || {
        let text = std::fs::read_to_string(inner.join("results.json")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(std::fs::read_to_string(inner.join("report.html")).unwrap().contains("id=\"training-accuracy\""));
        record["training"]["epochs"].as_array().unwrap().len()
    };
    for expected in [1, 2] {
        let monitor = StopAt(AtomicI64::new(4));
        train(&config, &run(folder.path(), &["csv"]), &monitor).unwrap_err();
        assert_eq!(n_epochs(), expected);
    }
    std::fs::remove_file(inner.join("report.html")).unwrap();
    std::fs::create_dir(inner.join("report.html")).unwrap();
    let error = train(&config, &run(folder.path(), &["csv"]), &Silent).unwrap_err().to_string();
    assert!(error.contains("report.html: is a folder"), "{error}");
    // Everything that matters was written before.
    assert!(folder.path().join("net.onnx").exists());
    std::fs::remove_dir(inner.join("report.html")).unwrap();
    train(&config, &run(folder.path(), &["csv"]), &Silent).unwrap();
    assert_eq!(n_epochs(), 3);
}

#[test]
fn a_missing_folder_is_named_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("embed").join("net.onnx");
    let run = TrainRun { output: output.clone(), ..TrainRun::default() };
    // The network does not exist: nothing is opened before the output is checked.
    let config = TrainConfig { network: "no such network".to_owned(), ..config("fp32", "sgd") };
    let error = train(&config, &run, &Silent).unwrap_err().to_string();
    let name = folder.path().join("embed");
    let expected =
        format!("{}: there is no folder \"{}\"; make it first, or write elsewhere", output.display(), name.display());
    assert_eq!(error, expected);
    assert!(!name.exists());
}

#[test]
fn guesses_are_told_from_answers() {
    // Right, images, classes.
    for (right, n, classes, expected) in [
        (100, 1000, 10, true),
        (128, 1000, 10, true),
        (130, 1000, 10, false),
        (0, 4, 10, false),
        (0, 8, 10, true),
        (100, 200, 2, true),
        (150, 200, 2, false),
        (5, 50, 1, false),
        (0, 0, 10, false),
    ] {
        assert_eq!(is_chance(right, n, classes), expected, "{right} of {n}, {classes} classes");
    }
}
