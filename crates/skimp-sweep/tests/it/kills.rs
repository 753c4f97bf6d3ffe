//! A process that is killed loses the points under way, and two processes share a store.

use std::process::{Command, Stdio};
use std::time::Duration;

use skimp_study::Silent;
use skimp_sweep::{SqliteStore, SweepRun, sweep};

use crate::rows::{AXES, parse, without_time};

/// Set in the processes that the tests below start, to the folder that they sweep into.
const FOLDER: &str = "SKIMP_TEST_SWEEP_FOLDER";

/// Many short points.
fn text() -> String {
    AXES.replace("values = [2, 9]", "from = 1\nto = 200\ncount = 200")
}

/// Not a test by itself: what a test process does that another one started.
#[test]
fn sweeps_in_a_process_of_its_own() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let run = SweepRun { resume: true, ..SweepRun::new(folder) };
    sweep(&parse(&text()), &run, &Silent).unwrap();
}

fn start(folder: &std::path::Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kills::sweeps_in_a_process_of_its_own"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn n_points(folder: &std::path::Path) -> u64 {
    SqliteStore::open(folder).map_or(0, |store| store.n_points().unwrap_or(0))
}

#[test]
fn a_killed_sweep_goes_on_with_the_same_rows() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let config = parse(&text());
    let whole = sweep(&config, &SweepRun::new(folders[0].path()), &Silent).unwrap();
    let mut before = 0;
    // Killed again and again, each time some points later.
    for _ in 0..3 {
        let mut child = start(folders[1].path());
        while n_points(folders[1].path()) < before + 20 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let after = n_points(folders[1].path());
        assert!(after >= before, "{after} points after {before}");
        before = after;
    }
    assert!(before >= 20);
    let run = SweepRun { resume: true, ..SweepRun::new(folders[1].path()) };
    let rest = sweep(&config, &run, &Silent).unwrap();
    assert_eq!(rest.n_new as u64 + before, whole.n_new as u64);
    assert_eq!(rest.record, whole.record);
}

#[test]
fn two_processes_share_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let mut children = [start(folder.path()), start(folder.path())];
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let alone = tempfile::tempdir().unwrap();
    sweep(&parse(&text()), &SweepRun::new(alone.path()), &Silent).unwrap();
    let rows = |folder: &tempfile::TempDir| without_time(&SqliteStore::open(folder.path()).unwrap().rows().unwrap());
    assert_eq!(rows(&folder), rows(&alone));
}
