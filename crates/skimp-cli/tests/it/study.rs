//! `skimp study` over a training: killed, interrupted and resumed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{fails, ok, skimp, text};

/// Four runs of 10 epochs of 4 steps.
const STUDY: &str = r#"
    schema = 1
    name = "tiny"
    title = "Tiny"
    summary = "tiny"

    [network]
    model = "lenet-5"

    [data]
    set = "sample"

    [training]
    baseline = "fp32"
    seeds = [1, 2]

    [training.run]
    epochs = 10
    batch_size = 16
    images = 64
    validation_images = 32

    [[training.policies]]
    precision = "fp32"

    [[training.policies]]
    precision = "fp16:interval=3"
"#;

/// The records of a study, but for the times.
fn records(folder: &Path) -> serde_json::Value {
    let text = std::fs::read(folder.join("results.json")).expect("the records are written");
    let mut record: serde_json::Value = serde_json::from_slice(&text).expect("the records are JSON");
    record.as_object_mut().and_then(|record| record.remove("timings")).expect("times are recorded");
    record
}

/// Finished runs and checkpoints.
fn kept(folder: &Path) -> (usize, usize) {
    let entries = std::fs::read_dir(folder.join("runs")).into_iter().flatten().flatten();
    let is_file = |path: &PathBuf| path.extension().is_some_and(|end| end == "toml");
    let (files, folders): (Vec<_>, Vec<_>) = entries.map(|entry| entry.path()).partition(is_file);
    (files.len(), folders.iter().filter(|folder| folder.join("checkpoint.toml").exists()).count())
}

#[test]
fn a_killed_study_ends_with_the_same_records() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (study, whole, killed) = (path("tiny.toml"), path("whole"), path("killed"));
    std::fs::write(&study, STUDY).unwrap();
    let said = skimp(&["study", text(&study), "--threads", "2", "-v", "-o", text(&whole)]);
    let stderr = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{stderr}");
    assert!(stderr.contains("run 4 of 4: "), "{stderr}");
    assert_eq!(kept(&whole), (4, 0));

    // Killed when the first run has a checkpoint, then when a run is finished and the next one has a checkpoint.
    let resume = ["study", text(&study), "--threads", "1", "--resume", "-o", text(&killed)];
    for n_finished in [0, 1] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_skimp"))
            .args(resume)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        while kept(&killed) < (n_finished, 1) && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!killed.join("results.json").exists(), "{:?}", kept(&killed));
    }
    fails(&["study", text(&study), "-o", text(&killed)], 2, "use --resume to go on");
    let said = skimp(&resume);
    let stderr = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && stderr.contains(" of 4 runs are finished"), "{stderr}");
    assert_eq!(records(&killed), records(&whole));

    // The study has changed.
    std::fs::write(&study, STUDY.replace("epochs = 10", "epochs = 11")).unwrap();
    fails(&resume, 1, "fp32-seed1.toml: it is of a run with epochs = 10, this run has 11");
    assert_eq!(records(&killed), records(&whole));
}

/// The first Ctrl-C stops all runs between two steps, each with a checkpoint.
#[cfg(unix)]
#[test]
fn an_interrupted_study_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (study, out) = (folder.path().join("tiny.toml"), folder.path().join("out"));
    std::fs::write(&study, STUDY.replace("epochs = 10", "epochs = 400")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_skimp"))
        .args(["study", text(&study), "--threads", "2", "-o", text(&out)])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while kept(&out).1 < 2 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("0 of 4 runs are finished, --resume goes on from ") && stderr.contains("runs"), "{stderr}");
    assert_eq!(kept(&out), (0, 2));
}

/// Studies of accelerators keep what they have, too; without `--resume` they start anew.
#[test]
fn studies_of_accelerators_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (study, out, whole) = (path("two.toml"), path("out"), path("whole"));
    let (sample, more) = (
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/studies/sample.toml")).unwrap(),
        "\n[[accelerators]]\nmodel = \"eyeriss\"\n",
    );
    std::fs::write(&study, &sample).unwrap();
    let images = ["--images", "1", "--accuracy-images", "20"];
    let run =
        |extra: &[&str], out: &Path| skimp(&[&["study", text(&study), "-o", text(out)], &images[..], extra].concat());
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(run(&["--resume"], &out).status.success());
    let n_kept = kept(&out).0;
    std::fs::write(&study, sample + more).unwrap();
    let resumed = run(&["--resume"], &out);
    assert!(said(&resumed).contains(&format!("{n_kept} of {} runs are finished", n_kept + 1)), "{}", said(&resumed));
    let anew = run(&[], &whole);
    assert!(anew.status.success() && !said(&anew).contains("are finished"), "{}", said(&anew));
    assert_eq!(records(&out), records(&whole));
    assert_eq!(resumed.stdout.len() - text(&out).len(), anew.stdout.len() - text(&whole).len());
    // What has changed is named, and without --resume it runs.
    let changed = ["study", text(&study), "-o", text(&out), "--images", "2", "--accuracy-images", "20"];
    fails(&[&changed[..], &["--resume"]].concat(), 1, "data.images = 1, this run has 2");
    ok(&changed);
    // Keys of another kind than the study's.
    fails(&["study", "low-precision-training", "--costs", "paper", "-o", text(&path("none"))], 2, "has no costs");
}
