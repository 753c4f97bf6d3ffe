//! Nothing takes more memory than it may, whatever the input: an error that says what needs how much, never a crash.

use std::process::Command;

use crate::{fails, ok, text};

#[test]
fn a_budget_is_a_number_and_a_unit() {
    for wrong in ["0", "-1", "lots", "8 Gib!", "nan"] {
        fails(&["list", "networks", &format!("--memory={wrong}")], 2, "expected a positive number and a unit");
    }
    ok(&["list", "networks", "--memory", "1GiB"]);
}

#[test]
fn threads_are_bounded() {
    for wrong in ["0", "1025", "2147483648"] {
        fails(&["inspect", "lenet-5", "--threads", wrong], 2, "expected 1 to 1024");
    }
}

#[test]
fn batches_are_no_larger_than_the_images() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("net.onnx");
    let train = ["train", "lenet-5", "--data", "sample", "--images", "20", "--epochs", "1", "-o", text(&output)];
    let printed = ok(&[&train[..], &["--batch-size", &usize::MAX.to_string(), "--format", "json"]].concat());
    let record: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(record["config"]["batch_size"], 20);
    fails(&[&train[..], &["--epochs", "99999999999"]].concat(), 2, "epochs");
}

/// A named pipe that nobody writes to: the run ends when it is asked to.
#[cfg(unix)]
#[test]
fn a_run_that_waits_for_a_pipe_ends_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.onnx");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut child = Command::new(env!("CARGO_BIN_EXE_skimp"))
        .args(["inspect", text(&pipe)])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        assert!(std::time::Instant::now() < deadline, "it ignores the signal");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
