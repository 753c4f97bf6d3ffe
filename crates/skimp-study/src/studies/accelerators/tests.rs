use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::monitor::Silent;
use crate::store::Store;
use crate::store::memory::Memory;
use crate::studies::runner::{StudyRun, run_study, study, study_in};

const STUDY: &str = r#"
schema = 1
name = "designs"
title = "Designs on {network}"
summary = "s"
baseline = "A"

[network]
model = "sample-resnet"

[data]
set = "sample"
images = 2
accuracy_images = 8

[quantization]
calibration_images = 2

[layers]
by_shape = [{ name = "F2", inputs = 64, outputs = 32, relu = true }]

[[accelerators]]
model = "compend"
label = "A"

[[accelerators]]
model = "compreend"
label = "B, approximate"

[[accelerators]]
model = "eyeriss"

[[comparisons]]
baseline = "A"
variant = "B, approximate"
"#;

/// One design more, of another kind of workload.
const MORE: &str = "\n[[accelerators]]\nmodel = \"dadiannao\"\n";

fn config(text: &str) -> StudyConfig {
    StudyConfig::parse(text, "designs.toml").unwrap()
}

fn json(record: &StudyRecord) -> String {
    StudyRecord { timings: Vec::new(), ..record.clone() }.to_json().unwrap()
}

/// Remembers stages, notes and milestones, and may ask to stop.
struct Notes(Mutex<Vec<String>>, AtomicI64);

impl Notes {
    fn new() -> Self {
        Self::stopping_after(i64::MAX)
    }

    fn stopping_after(questions: i64) -> Self {
        Self(Mutex::default(), AtomicI64::new(questions))
    }

    fn push(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }

    fn has(&self, words: &str) -> bool {
        self.0.lock().unwrap().iter().any(|text| text.contains(words))
    }
}

impl Monitor for Notes {
    fn stage(&self, name: &str, _n_steps: u64) {
        self.push(name);
    }
    fn advance(&self, _n: u64) {}
    fn milestone(&self, text: &str) {
        self.push(text);
    }
    fn note(&self, text: &str) {
        self.push(text);
    }
    fn interrupted(&self) -> bool {
        self.1.fetch_sub(1, Ordering::SeqCst) <= 0
    }
}

/// Killed at any of its points and resumed: the record of a study that was not.
#[test]
fn a_killed_study_ends_with_the_same_record() {
    let config = config(STUDY);
    let whole = json(&study(&config, &Silent).unwrap());
    let names = ["accuracy", "design-a", "design-b-approximate", "design-eyeriss", "network"];
    for n_written in 0..=names.len() {
        let store = Memory::new(n_written);
        let killed = study_in(&config, &store, false, &Silent);
        assert_eq!(killed.is_ok(), n_written == names.len());
        assert_eq!(store.held().len(), n_written);
        *store.writes_left.lock().unwrap() = names.len() - n_written;
        let notes = Notes::new();
        assert_eq!(json(&study_in(&config, &store, true, &notes).unwrap()), whole, "{n_written}");
        assert_eq!(store.held(), names);
        assert_eq!(notes.has(&format!("{n_written} of 5 runs are finished")), n_written > 0);
        // Accuracy comes last: where it alone is missing, nothing is simulated again.
        assert_eq!(notes.has("simulating layers"), n_written < 4, "{n_written}");
        assert_eq!(notes.has("accuracy, fp32"), n_written < 5, "{n_written}");
    }
}

#[test]
fn an_accelerator_that_is_added_runs_alone() {
    let (first, more) = (config(STUDY), config(&format!("{STUDY}{MORE}")));
    let store = Memory::new(usize::MAX);
    study_in(&first, &store, false, &Silent).unwrap();
    let before = store.points.lock().unwrap().clone();
    let notes = Notes::new();
    let grown = study_in(&more, &store, true, &notes).unwrap();
    assert_eq!(json(&grown), json(&study(&more, &Silent).unwrap()));
    assert!(notes.has("5 of 6 runs are finished") && notes.has("run 6 of 6: dadiannao: done"));
    let mut after = store.points.lock().unwrap().clone();
    let added = after.remove("design-dadiannao").unwrap();
    assert_eq!(after, before);
    assert!(added.figures["cycles"] > 0.0 && added.figures["latency_ms"] > 0.0);
    // One that is taken out again, or an order that changes, takes nothing away.
    assert_eq!(json(&study_in(&first, &store, true, &Silent).unwrap()), json(&study(&first, &Silent).unwrap()));
}

#[test]
fn what_a_point_depends_on_is_its_identity() {
    let store = Memory::new(usize::MAX);
    study_in(&config(STUDY), &store, false, &Silent).unwrap();
    let costs = "label = \"A\"\nset = { costs = \"compend-45nm\" }";
    for (from, to, message) in [
        ("images = 2\n", "images = 3\n", "data.images = 2, this run has 3"),
        ("calibration_images = 2", "calibration_images = 3", "quantization.calibration_images = 2, this run has 3"),
        ("label = \"A\"", "label = \"A\"\nset = { end = false }", "settings.end = true, this run has false"),
        ("label = \"A\"", costs, "costs."),
        ("baseline = \"A\"", "costs = \"paper\"", "costs."),
        ("model = \"sample-resnet\"", "model = \"lenet-5\"", "inputs.network_sha256 = "),
        ("outputs = 32", "outputs = 33", "layers.by_shape = "),
    ] {
        assert!(STUDY.contains(from), "{from}");
        let changed = study_in(&config(&STUDY.replacen(from, to, 1)), &store, true, &Silent).unwrap_err().to_string();
        assert!(changed.starts_with("memory/") && changed.contains(message), "{changed}");
        assert!(changed.contains("to begin anew, or write to another folder"), "{changed}");
    }
    // What only the report says may change.
    let words =
        STUDY.replace("title = \"Designs", "title = \"Other designs").replace("baseline = \"A\"\n\n[net", "[net");
    let words = config(&words.replacen("[network]", "allowed_loss_points = 2.0\n[network]", 1));
    let found = study_in(&words, &store, true, &Silent).unwrap();
    assert_eq!(json(&found), json(&study(&words, &Silent).unwrap()));
}

/// In a folder: a study that begins anew does so, as ever, but throws away nothing that took long.
#[test]
fn without_resume_a_study_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let run = |resume| StudyRun { folder: folder.path().to_owned(), resume };
    let whole = run_study(&config(STUDY), &run(false), &Silent).unwrap();
    let other = config(&STUDY.replace("images = 2\n", "images = 1\n").replace("\"designs\"", "\"others\""));
    let notes = Notes::new();
    let anew = run_study(&other, &run(false), &notes).unwrap();
    assert!(notes.has("simulating layers") && !notes.has("runs are finished"));
    assert_eq!(json(&anew), json(&study(&other, &Silent).unwrap()));
    assert_ne!(json(&anew), json(&whole));
    // Interrupted with something to show for it, and resumed.
    let notes = Notes::stopping_after(4);
    let stopped = run_study(&config(STUDY), &run(false), &notes).map(drop).unwrap_err();
    assert!(matches!(stopped, StudyError::Interrupted | StudyError::InterruptedRuns { .. }), "{stopped}");
    assert_eq!(json(&run_study(&config(STUDY), &run(true), &Silent).unwrap()), json(&whole));
    // Points that are no disposable ones.
    let path = folder.path().join("runs/design-a.toml");
    let store = crate::store::folder::FolderStore::new(folder.path().join("runs"));
    let mut point = store.read("design-a").unwrap().unwrap();
    point.disposable = false;
    store.write("design-a", &point).unwrap();
    let refused = run_study(&config(STUDY), &run(false), &Silent).unwrap_err();
    assert!(refused.is_usage() && refused.to_string().contains("use --resume to go on"), "{refused}");
    // Damage is named.
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("study = \"designs\"", "study = \"design\"")).unwrap();
    let damaged = run_study(&config(STUDY), &run(true), &Silent).unwrap_err().to_string();
    assert!(damaged.contains("design-a.toml: content has changed"), "{damaged}");
}
