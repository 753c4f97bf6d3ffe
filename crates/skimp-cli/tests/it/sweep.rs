//! `skimp sweep`: points, stores, shards, exports, and what is said of mistakes.

use std::path::Path;

use crate::{fails, json, ok, text};

const SWEEP: &str = "schema = 1\nname = \"cli\"\nobjectives = [\"latency\", \"energy\"]\n[network]\nmodel = \"sample-resnet\"\n\
    [data]\nset = \"sample\"\n[quantization]\ncalibration_images = 2\n[accelerator]\nmodel = \"compend\"\n\
    [[axes]]\nkey = \"accelerator.set.pu_rows\"\nvalues = [1, 2, 4]\n\
    [[axes]]\nkey = \"accelerator.set.end\"\nvalues = [true, false]\n";

fn written(folder: &Path, content: &str) -> String {
    let path = folder.join("file.toml");
    std::fs::write(&path, content).expect("the folder is ours");
    text(&path).to_owned()
}

#[test]
fn a_sweep_is_run_told_and_exported() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = written(folder.path(), SWEEP);
    let at = |name: &str| folder.path().join(name);
    let out = at("out");
    let said = ok(&["sweep", &file, "-o", text(&out)]);
    for part in
        ["cli: 6 of 6 points are done, 6 of them in this run", "quantized 1 (shared", "Pareto front", "report: "]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Again without --resume; then from its own resolved file, in its own folder.
    fails(&["sweep", &file, "-o", text(&out)], 2, "there are 6 points of a sweep; give --resume");
    let again = json(&["sweep", text(&out.join("sweep.toml")), "-o", text(&out), "--resume"]);
    assert_eq!((again["n_new"].as_u64(), again["n_done"].as_u64()), (Some(0), Some(6)));
    // The record of one simulation has the same figures.
    let single = json(&[
        "simulate",
        "sample-resnet",
        "--accelerator",
        "compend",
        "--data",
        "sample",
        "--calibration-images",
        "2",
        "--set",
        "compend.pu_rows=4",
    ]);
    let latency = single["accelerators"][0]["total"]["latency_ms"].as_f64();
    let csv = at("points.csv");
    ok(&["sweep", "export", text(&out), "--format", "csv", "-o", text(&csv)]);
    let table = std::fs::read_to_string(&csv).expect("it is written");
    let header: Vec<&str> = table.lines().next().expect("a header").split(',').collect();
    let place = |name: &str| header.iter().position(|own| *own == name).expect("the column is there");
    let (rows, end) = (place("accelerator.set.pu_rows"), place("accelerator.set.end"));
    let cells: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let cell = cells.iter().find(|cells| cells[rows] == "4" && cells[end] == "true").expect("the point is there");
    assert_eq!(cell[place("latency")].parse().ok(), latency);
    ok(&["sweep", "export", text(&out), "--format", "parquet", "-o", text(&at("points.parquet"))]);
    assert!(std::fs::read(at("points.parquet")).expect("it is written").starts_with(b"PAR1"));
    // The page can be made again.
    let page = std::fs::read_to_string(out.join("report.html")).expect("it is written");
    assert_eq!(ok(&["report", text(&out)]), page);
    for (number, part) in ["1/2", "2/2"].iter().zip(["a", "b"]) {
        ok(&["sweep", &file, "-o", text(&at(part)), "--shard", number]);
    }
    assert!(ok(&["sweep", "merge", text(&at("a")), text(&at("b")), "-o", text(&at("ab"))]).starts_with("6 points"));
    assert_eq!(std::fs::read_to_string(at("ab").join("report.html")).expect("it is written"), page);
}

#[test]
fn mistakes_in_sweeps_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    for (from, to, message) in [
        ("accelerator.set.pu_rows", "accelerator.set.pu_row", "axis \"accelerator.set.pu_row\" = 1: unknown setting"),
        ("[1, 2, 4]", "[1, 0]", "axis \"accelerator.set.pu_rows\" = 0"),
        ("model = \"sample-resnet\"", "model = \"sample-resnat\"", "sample-resnat"),
        ("objectives", "objective", "unknown field `objective`"),
        ("[quantization]", "[quantisation]", "unknown field `quantisation`"),
    ] {
        assert!(SWEEP.contains(from), "{from}");
        let file = written(folder.path(), &SWEEP.replace(from, to));
        fails(&["sweep", &file, "-o", text(&out)], 2, message);
    }
    fails(&["sweep", "no-such-sweep", "-o", text(&out)], 2, "neither a file nor an embedded sweep \"no-such-sweep\"");
    fails(&["sweep", "design-space", "-o", text(&out)], 2, "--network");
    fails(
        &["sweep", "export", text(folder.path()), "--format", "csv", "-o", text(&folder.path().join("points.csv"))],
        1,
        "is this the folder of a sweep?",
    );
    fails(
        &["sweep", "merge", text(folder.path()), "-o", text(&folder.path().join("merged"))],
        1,
        "is this the folder of a sweep?",
    );
    fails(&["sweep", "sample-buffers", "--shard", "3/2"], 2, "3/2");
    // A file of the user's stays, and is told of before the first point.
    let mine = folder.path().join("mine");
    std::fs::create_dir(&mine).expect("the folder is ours");
    std::fs::write(mine.join("report.html"), "mine").expect("the folder is ours");
    let file = written(folder.path(), SWEEP);
    fails(&["sweep", &file, "-o", text(&mine)], 2, "not from skimp");
    assert_eq!(std::fs::read_to_string(mine.join("report.html")).expect("it stays"), "mine");
    assert!(!mine.join("sweep.sqlite").exists());
}
