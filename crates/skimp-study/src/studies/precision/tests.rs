use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::monitor::{Monitor, Silent};
use crate::studies::config::StudyConfig;
use crate::studies::runner::{StudyRun, run_study, study as run_in_memory};

const TINY: &str = r#"
    schema = 1
    name = "tiny"
    title = "Tiny"
    summary = "tiny"

    [network]
    model = "conv4-fc2:channels=1,size=28,widths=2-2-4-4-8,batch-norm=true"

    [data]
    set = "sample"

    [training]
    baseline = "fp32"
    seeds = [1, 2]

    [training.run]
    epochs = 2
    batch_size = 16
    images = 40
    validation_images = 30
    learning_rate = 0.05

    [[training.policies]]
    precision = "fp32"

    [[training.policies]]
    precision = "fp32"
    label = "again"

    [[training.policies]]
    precision = "mxfp4"
    ablates = "fp32"
"#;

fn section(study: &StudyRecord) -> Option<&PrecisionRecord> {
    study.section()
}

fn record(text: &str) -> StudyRecord {
    run_in_memory(&StudyConfig::parse(text, "tiny.toml").unwrap(), &Silent).unwrap()
}

#[test]
fn a_tiny_study_compares_policies_seed_by_seed() {
    let study = record(TINY);
    let precision = section(&study).unwrap();
    assert_eq!((precision.epochs, precision.n_train_images, precision.n_validation_images), (2, 40, 30));
    let [base, again, few] = &precision.policies[..] else { panic!("{precision:?}") };
    // The same policy under another name: the same bits.
    assert_eq!(base.runs, again.runs);
    assert_eq!((base.difference, again.difference), (None, Spread::of(&[0.0, 0.0])));
    assert!(base.casts.is_empty());
    // Four bits compute something else and lose something, in the classes of tensors that are rounded.
    assert_ne!(base.runs, few.runs);
    assert!(few.casts.iter().any(|cast| cast.class == "error" && cast.underflows > 0), "{few:?}");
    assert!(few.casts.iter().all(|cast| cast.overflows + cast.underflows + cast.flushed <= cast.elements));
    for (run, seed) in few.runs.iter().zip([1, 2]) {
        assert_eq!((run.seed, run.curve.len(), run.diverged.as_ref()), (seed, 2, None));
        assert_eq!(run.top1, run.curve[1].validation_accuracy);
    }
    assert_ne!(few.runs[0].curve, few.runs[1].curve);
    let differences: Vec<f64> =
        few.runs.iter().zip(&base.runs).map(|(run, base)| run.top1.unwrap() - base.top1.unwrap()).collect();
    assert_eq!(few.difference, Spread::of(&differences));
    // The resolved configuration repeats the study.
    assert_eq!(section(&record(&study.config_toml)), section(&study));
    let html = skimp_report::html::render(&study);
    assert!(html.contains("Training in few bits") && html.contains("precision-loss"));
}

#[test]
fn the_documented_example_is_a_study() {
    let page = include_str!("../../../../../docs/studies.md");
    let example = page.split("```").find(|block| block.starts_with("toml\n[training]")).unwrap();
    let (head, _) = TINY.split_once("[training]").unwrap();
    StudyConfig::parse(&format!("{head}{}", &example["toml".len()..]), "docs/studies.md").unwrap();
}

#[test]
fn divergence_is_a_result() {
    let study = record(&TINY.replace("learning_rate = 0.05", "learning_rate = 1e30"));
    let precision = section(&study).unwrap();
    let base = &precision.policies[0];
    assert_eq!((base.top1, base.n_diverged), (None, 2));
    assert!(base.runs.iter().all(|run| run.diverged.as_ref().is_some_and(|cause| cause.contains("diverged"))));
    assert!(skimp_report::html::render(&study).contains("Runs that diverged"));
}

#[test]
fn mistakes_are_named() {
    for (from, to, message) in [
        ("seeds = [1, 2]", "seeds = []", "no seeds or no policies"),
        ("label = \"again\"", "label = \"fp32\"", "two policies are labeled \"fp32\""),
        ("ablates = \"fp32\"", "ablates = \"fp33\"", "\"mxfp4\" ablates \"fp33\", expected one of: fp32, again"),
        ("seeds = [1, 2]", "seeds = [1, 2, 1]", "seed 1 is given twice"),
        ("baseline = \"fp32\"", "baseline = \"fp64\"", "baseline is \"fp64\", expected one of: fp32, again, mxfp4"),
        ("precision = \"mxfp4\"", "precision = \"mxfp5\"", "mxfp5"),
        ("epochs = 2", "epochs = 2\nseed = 3", "[training.run] sets seed"),
        ("epochs = 2", "epoch = 2", "unknown field `epoch`"),
        (
            "[training]\n",
            "[[accelerators]]\nmodel = \"compend\"\n[training]\n",
            "[[accelerators]] and [training] exclude each other",
        ),
    ] {
        assert!(TINY.contains(from), "{from}");
        let error = StudyConfig::parse(&TINY.replacen(from, to, 1), "tiny.toml").unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

/// Asks to stop after some questions whether to.
struct StopAfter(AtomicI64);

impl Monitor for StopAfter {
    fn stage(&self, _name: &str, _n_steps: u64) {}
    fn advance(&self, _n: u64) {}
    fn note(&self, _text: &str) {}
    fn interrupted(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) <= 0
    }
}

/// [`TINY`] under policies that keep scales, histories and counts, with intervals so short that they move.
fn stateful() -> String {
    let mut text = TINY.to_owned();
    for precision in [
        "fp16:interval=2,initial-scale=1e9",
        "dfxp:interval=16,warm-up=32",
        "flexpoint:history=2",
        "fp8-ibm",
        "int8-banner",
        "fp8-ocp:history=2",
        "bf16:count=true",
    ] {
        text.push_str(&format!("\n[[training.policies]]\nprecision = \"{precision}\"\n"));
    }
    text
}

fn config(text: &str) -> StudyConfig {
    StudyConfig::parse(text, "tiny.toml").unwrap()
}

fn on_threads<T: Send>(n_threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap().install(work)
}

fn json(record: &StudyRecord) -> String {
    serde_json::to_string(&StudyRecord { timings: Vec::new(), ..record.clone() }).unwrap()
}

fn kept_files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("runs")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn threads_do_not_change_a_record() {
    let config = config(&stateful());
    let [one, two, five] = [1, 2, 5].map(|n| on_threads(n, || json(&run_in_memory(&config, &Silent).unwrap())));
    assert!(one == two && two == five);
}

/// Stopped again and again, in the middle of epochs too, and resumed by new objects: the same records to the byte.
#[test]
fn an_interrupted_study_ends_with_the_same_records() {
    let config = config(&stateful());
    let expected = run_in_memory(&config, &Silent).unwrap();
    let casts = |label: &str| section(&expected).unwrap().policy(label).unwrap().casts.clone();
    assert!(!casts("flexpoint:history=2").is_empty() && !casts("bf16:count=true").is_empty());
    for n_threads in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let run = StudyRun { folder: folder.path().to_owned(), resume: true };
        let mut n_interrupted = 0;
        let found = loop {
            let monitor = StopAfter(AtomicI64::new(19));
            match on_threads(n_threads, || run_study(&config, &run, &monitor)) {
                Ok(record) => break record,
                Err(StudyError::InterruptedRuns { n_runs: 20, n_finished, folder }) => {
                    assert!(n_finished < 20 && folder == run.folder.join("runs"));
                }
                Err(error) => panic!("{error}"),
            }
            n_interrupted += 1;
        };
        assert!(n_interrupted > 5, "{n_interrupted}");
        assert_eq!(section(&found), section(&expected));
        assert_eq!(json(&found), json(&expected));
        // Checkpoints go when their runs are finished.
        let names = kept_files(folder.path());
        assert_eq!(names.len(), 20, "{names:?}");
        assert!(names.contains(&"fp16-interval-2-initial-scale-1e9-seed2.toml".to_owned()), "{names:?}");
    }
}

/// Remembers what it was told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>, AtomicI64);

impl Monitor for Notes {
    fn stage(&self, name: &str, n_steps: u64) {
        self.0.lock().unwrap().push(format!("{name}: {n_steps}"));
        self.1.fetch_add(n_steps as i64, Ordering::SeqCst);
    }
    fn advance(&self, n: u64) {
        self.1.fetch_sub(n as i64, Ordering::SeqCst);
    }
    fn milestone(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

#[test]
fn a_study_that_grows_keeps_what_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let run = |resume| StudyRun { folder: folder.path().to_owned(), resume };
    let first = run_study(&config(TINY), &run(false), &Silent).unwrap();
    let names = kept_files(folder.path());
    assert_eq!(names[..2], ["again-seed1.toml", "again-seed2.toml"], "{names:?}");
    let times =
        || names.iter().map(|name| folder.path().join("runs").join(name).metadata().unwrap().modified().unwrap());
    let before: Vec<_> = times().collect();

    // Nothing is overwritten by accident.
    let error = run_study(&config(TINY), &run(false), &Silent).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("use --resume to go on"), "{error}");
    // A finished study is not trained again; one with a policy more trains that one.
    let notes = Notes::default();
    assert_eq!(json(&run_study(&config(TINY), &run(true), &notes).unwrap()), json(&first));
    assert_eq!(*notes.0.lock().unwrap(), ["opening the data: 1", "6 of 6 runs are finished", "writing the report: 1"]);
    let more = TINY.to_owned() + "\n[[training.policies]]\nprecision = \"mxfp8\"\n";
    let notes = Notes::default();
    let grown = on_threads(1, || run_study(&config(&more), &run(true), &notes)).unwrap();
    assert_eq!(json(&grown), json(&run_in_memory(&config(&more), &Silent).unwrap()));
    assert_eq!(before, times().collect::<Vec<_>>());
    assert_eq!(notes.1.load(Ordering::SeqCst), 0);
    let told = notes.0.into_inner().unwrap();
    assert_eq!(told[1..3], ["6 of 8 runs are finished", "training, 2 runs: 12"]);
    assert!(told[3].starts_with("run 7 of 8: mxfp8, seed 1: ") && told[3].ends_with(" to go"), "{told:?}");
}

#[test]
fn runs_of_other_studies_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = StudyRun { folder: folder.path().to_owned(), resume: true };
    let monitor = StopAfter(AtomicI64::new(10));
    let interrupted = on_threads(1, || run_study(&config(TINY), &run, &monitor)).unwrap_err().to_string();
    assert!(interrupted.starts_with("interrupted; 1 of 6 runs are finished"), "{interrupted}");
    let names = kept_files(folder.path());
    assert_eq!(names, ["fp32-seed1.toml", "fp32-seed2"]);
    let error = |text: &str| run_study(&config(text), &run, &Silent).unwrap_err().to_string();
    let file = |name: &str| folder.path().join("runs").join(name);
    let changed = error(&TINY.replace("epochs = 2", "epochs = 3"));
    assert!(
        changed.starts_with(&format!(
            "{}: it is of a run with epochs = 2, this run has 3;",
            file("fp32-seed1.toml").display()
        )),
        "{changed}"
    );
    assert!(changed.contains("to begin anew, or write to another folder"), "{changed}");
    // The checkpoint of a run under way is looked at, too.
    let changed = error(&TINY.replace("epochs = 2", "epochs = 3").replace("[1, 2]", "[2, 3]"));
    assert!(changed.contains("checkpoint.toml: it is of a run with epochs = 2"), "{changed}");
    assert!(error(&TINY.replace("images = 40", "images = 41")).contains("images = 40, this run has 41"));
    assert!(error(&TINY.replace("2-2-4-4-8", "2-2-4-4-9")).contains("inputs.network_sha256 = "));
    let other = TINY.replace("\"tiny\"", "\"other\"");
    assert!(error(&other).contains("study = \"tiny\", this run has \"other\""));
    // None of its runs has a name that this study has.
    let foreign = error(&other.replace("[1, 2]", "[3]"));
    assert!(foreign.contains("it is of study \"tiny\", this is study \"other\"; write to another folder"), "{foreign}");
    // Damage is named, a changed number too.
    let good = std::fs::read_to_string(file("fp32-seed1.toml")).unwrap();
    std::fs::write(file("fp32-seed1.toml"), good.replace("epoch = 1", "epoch = 2")).unwrap();
    let changed = error(TINY);
    assert!(changed.contains("fp32-seed1.toml: content has changed: expected SHA-256 "), "{changed}");
    std::fs::write(file("fp32-seed1.toml"), "schema = \"skimp.study-run/1\"").unwrap();
    assert!(error(TINY).contains("schema: expected skimp.study-run/3, found skimp.study-run/1"));
    std::fs::write(file("fp32-seed1.toml"), "schema =").unwrap();
    assert!(error(TINY).starts_with(&file("fp32-seed1.toml").display().to_string()));
}

/// A run that diverges is finished: it is kept and not tried again.
#[test]
fn divergence_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let run = StudyRun { folder: folder.path().to_owned(), resume: true };
    let config = config(&TINY.replace("learning_rate = 0.05", "learning_rate = 1e30"));
    let expected = run_in_memory(&config, &Silent).unwrap();
    for _ in 0..2 {
        assert_eq!(json(&run_study(&config, &run, &Silent).unwrap()), json(&expected));
    }
    assert_eq!(kept_files(&run.folder).len(), 6);
}

/// A folder that cannot be made stands for any failure: the error is the cause, not the stop of the other runs.
#[test]
fn a_run_that_fails_stops_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let run = StudyRun { folder: folder.path().to_owned(), resume: true };
    std::fs::create_dir(folder.path().join("runs")).unwrap();
    let blocked: PathBuf = folder.path().join("runs").join("again-seed1");
    std::fs::write(&blocked, "not a folder").unwrap();
    let error = on_threads(2, || run_study(&config(TINY), &run, &Silent)).unwrap_err().to_string();
    assert!(error.starts_with(&blocked.display().to_string()), "{error}");
    std::fs::remove_file(&blocked).unwrap();
    let record = run_study(&config(TINY), &run, &Silent).unwrap();
    assert_eq!(json(&record), json(&run_in_memory(&config(TINY), &Silent).unwrap()));
}

#[test]
fn published_figures_stand_beside_ours() {
    let figures = r#"
        [[published]]
        quantity = "four bits"
        value = "-1 point"
        source = "somebody"
        ours = "accuracy-difference"
        design = "mxfp4"

        [[published]]
        quantity = "twins"
        value = "0"
        source = "somebody"
        ours = "none"
        remark = "stands alone"
    "#;
    let study = record(&format!("{TINY}{figures}"));
    let difference = section(&study).unwrap().policy("mxfp4").unwrap().difference.as_ref().unwrap();
    let ours = format!("{:+.2} ± {:.2} points", 100.0 * difference.mean, 100.0 * difference.std.unwrap());
    let [few, twins] = &study.published[..] else { panic!("{:?}", study.published) };
    assert_eq!((few.ours.as_ref(), few.provenance), (Some(&ours), Provenance::Measured));
    assert_eq!((&twins.ours, twins.remark.as_deref()), (&None, Some("stands alone")));
    let page = skimp_report::html::render(&study);
    assert!(page.contains("Published figures") && page.contains(&ours), "{ours}");
    for wrong in ["cycles-gain", "accuracy-difference\"\ndesign = \"fp32"] {
        let text = format!("{TINY}{}", figures.replacen("none", wrong, 1));
        let error = StudyConfig::parse(&text, "tiny.toml").unwrap_err().to_string();
        assert!(error.contains("published \"twins\"") && error.contains("one of: again, mxfp4"), "{error}");
    }
}
