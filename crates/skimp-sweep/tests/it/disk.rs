//! What outlives a run: the same rows, from what an earlier one kept.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use skimp_study::{Designs, Silent};
use skimp_sweep::{Caching, Engine, PointRow, SqliteStore, SweepRun, sweep};

use crate::rows::{parse, without_time};

/// Two networks, one of which has learned.
const REDUCED: &str = "schema = 1\nname = \"disk\"\nobjectives = [\"energy\", \"-top1\"]\n\
    [network]\nmodel = \"sample-resnet\"\n[data]\nset = \"sample\"\nimages = 1\naccuracy_images = 40\n\
    [training]\nimages = 64\nbatch_size = 32\n[quantization]\ncalibration_images = 4\n[accelerator]\nmodel = \"compend\"\n\
    [[axes]]\nkey = \"reduction\"\nvalues = [\"none\", [{ prune = \"l1\", target = \"channels=0.5\", finetune = 1 }]]\n\
    [[axes]]\nkey = \"quantization.weight_bits\"\nvalues = [4, 8]\n";

fn rows(folder: Option<&Path>, text: &str) -> Vec<PointRow> {
    let caching = Caching { folder: folder.map(Path::to_owned), ..Caching::default() };
    let engine = Engine::new(&parse(text), &Designs::embedded(), &caching).unwrap();
    let rows = engine.evaluate(&engine.space().grid().unwrap(), &Silent).unwrap();
    assert_eq!(engine.disk_fault(), None);
    without_time(&rows)
}

fn files(folder: &Path, stage: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> =
        all.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(stage)).collect();
    all.sort();
    all
}

#[test]
fn rows_are_the_same_from_what_an_earlier_run_kept() {
    let folder = tempfile::tempdir().unwrap();
    let plain = rows(None, REDUCED);
    assert_eq!(plain.len(), 4);
    assert_eq!(rows(Some(folder.path()), REDUCED), plain);
    let n_files = |stage| files(folder.path(), stage).len();
    assert_eq!([n_files("network"), n_files("calibrated"), n_files("accuracy")], [1, 2, 4]);
    let written = |path: &PathBuf| std::fs::metadata(path).unwrap().modified().unwrap();
    let times: Vec<_> = files(folder.path(), "").iter().map(written).collect();
    assert_eq!(rows(Some(folder.path()), REDUCED), plain);
    assert_eq!(files(folder.path(), "").iter().map(written).collect::<Vec<_>>(), times);
    // They are read: one that says something else is believed.
    for file in files(folder.path(), "accuracy") {
        let held = serde_json::to_vec(&0.125_f64.to_bits()).unwrap();
        std::fs::write(file, [&Sha256::digest(&held)[..], &held].concat()).unwrap();
    }
    assert!(rows(Some(folder.path()), REDUCED).iter().all(|row| row.figures[3] == Some(0.125)));
    // Other images, another seed of training: other results.
    let other = REDUCED.replace("accuracy_images = 40", "accuracy_images = 30");
    assert!(rows(Some(folder.path()), &other).iter().all(|row| row.figures[3] != Some(0.125)));
    // What training is watched on is part of what makes a network.
    assert_eq!(files(folder.path(), "network").len(), 2);
    rows(Some(folder.path()), &REDUCED.replace("[training]\n", "[training]\nseed = 7\n"));
    assert_eq!(files(folder.path(), "network").len(), 3);
}

#[test]
fn a_sweep_that_cannot_keep_is_the_same_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let caching = Caching { folder: Some(blocked), ..Caching::default() };
    let run = SweepRun { caching, ..SweepRun::new(folder.path().join("out")) };
    let error = sweep(&parse(REDUCED), &run, &Silent).unwrap_err().to_string();
    assert!(error.contains("file"), "{error}");
    let kept = folder.path().join("kept");
    let caching = Caching { folder: Some(kept.clone()), ..Caching::default() };
    let run = SweepRun { caching, ..SweepRun::new(folder.path().join("out")) };
    let short = REDUCED.replace("values = [4, 8]", "values = [4]");
    assert_eq!(sweep(&parse(&short), &run, &Silent).unwrap().n_new, 2);
    let stored = without_time(&SqliteStore::open(&folder.path().join("out")).unwrap().rows().unwrap());
    let mut expected = rows(Some(&kept), &short);
    expected.sort_by(|a, b| a.point_id.cmp(&b.point_id));
    assert_eq!(stored, expected);
}
