//! What points bring: the same as single simulations, whatever they share.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use skimp_study::{
    AcceleratorConfig, CostsConfig, DataConfig, Designs, LayersConfig, Monitor, Network, QuantizationConfig, Silent,
    SimulateConfig, simulate,
};
use skimp_sweep::{Caching, Engine, PointRow, SqliteStore, Status, SweepConfig, SweepRun, sweep};

/// Two images, two widths, designs of all kinds.
pub(crate) const AXES: &str = "schema = 1\nname = \"test\"\nobjectives = [\"latency\", \"energy\", \"-top1\"]\n\
    [network]\nmodel = \"sample-resnet\"\n[data]\nset = \"sample\"\nimages = 2\naccuracy_images = 50\n\
    [quantization]\ncalibration_images = 4\n\
    [[axes]]\nname = \"bits\"\nkey = [\"quantization.weight_bits\", \"quantization.activation_bits\"]\nvalues = [4, 8]\n\
    [[axes]]\nkey = \"accelerator\"\nvalues = [\"compend\", \"stripes\", \"eyeriss\", \"systolic\"]\n\
    [[axes]]\nname = \"pu_rows\"\nkey = \"accelerator.set.pu_rows\"\nvalues = [2, 9]\nwhen = { accelerator = \"compend\" }\n\
    [[axes]]\nkey = \"costs\"\nvalues = [\"common\", \"systolic-45nm\"]\nwhen = { accelerator = \"systolic\" }\n";

pub(crate) fn parse(text: &str) -> SweepConfig {
    SweepConfig::parse(text, "test.toml", Path::new("")).unwrap()
}

/// All that a row holds but its time.
pub(crate) fn without_time(rows: &[PointRow]) -> Vec<PointRow> {
    rows.iter().map(|row| PointRow { seconds: None, ..row.clone() }).collect()
}

fn rows_of(config: &SweepConfig, caching: &Caching) -> Vec<PointRow> {
    let engine = Engine::new(config, &Designs::embedded(), caching).unwrap();
    engine.evaluate(&engine.space().grid().unwrap(), &Silent).unwrap()
}

#[test]
fn a_row_is_what_a_simulation_of_its_own_finds() {
    let sweep = parse(AXES);
    let rows = rows_of(&sweep, &Caching::default());
    assert_eq!(rows.len(), 2 * (2 + 1 + 1 + 2));
    let network = Network::open("sample-resnet").unwrap();
    for row in &rows {
        let config: serde_json::Value = serde_json::from_str(&row.config).unwrap();
        let bits = config["quantization"]["weight_bits"].as_u64().unwrap() as u32;
        let quantization = QuantizationConfig {
            weight_bits: bits,
            activation_bits: bits,
            calibration_images: 4,
            ..QuantizationConfig::default()
        };
        let data = DataConfig { set: "sample".into(), images: 2, accuracy_images: 50, ..DataConfig::default() };
        let single = SimulateConfig {
            data: data.clone(),
            input_size: None,
            quantization,
            layers: LayersConfig::default(),
            designs: Designs::embedded(),
            accelerators: vec![AcceleratorConfig {
                model: config["accelerator"]["model"].as_str().unwrap().to_owned(),
                label: None,
                preset: None,
                // The row's own, all of them: it reproduces the point.
                set: serde_json::from_value(config["accelerator"]["set"].clone()).unwrap(),
                origin: None,
            }],
            costs: CostsConfig::from(config["costs"].as_str().unwrap().to_owned()),
            allowed_loss_points: 1.0,
            chips: None,
            dump: None,
            trace: None,
        };
        let record = simulate(&network, &single, &Silent).unwrap().record;
        let total = &record.accelerators[0].total;
        assert_eq!(row.status, Status::Ok, "{:?}", row.reason);
        assert_eq!(row.figures[0].unwrap().to_bits(), total.latency_ms.to_bits(), "{}", row.axes);
        assert!((row.figures[1].unwrap() * 2.0 / total.energy_mj - 1.0).abs() < 1e-12, "{}", row.axes);
        assert_eq!(row.figures[2], record.accelerators[0].area_mm2);
        let images = network.images(&data).unwrap();
        let exact = network.calibrate(&images, 4, &Silent).unwrap().quantize(&quantization, &Silent).unwrap();
        assert_eq!(row.figures[3], Some(exact.accuracy(&images, 50, &Silent).unwrap().top1), "{}", row.axes);
        assert_eq!(row.figures[5].map(|cycles| 2.0 * cycles), Some(total.cycles as f64));
    }
    // Codes of half the width take half the bytes, all else stays.
    let bytes = |row: &PointRow| row.figures[4].unwrap();
    assert!(bytes(&rows[0]) < 0.6 * bytes(&rows[11]), "{} {}", bytes(&rows[0]), bytes(&rows[11]));
}

#[test]
fn rows_depend_neither_on_threads_nor_on_what_is_kept() {
    let config = parse(AXES);
    let all = without_time(&rows_of(&config, &Caching::default()));
    assert_eq!(without_time(&rows_of(&config, &Caching { bytes: 0, folder: None })), all);
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(one.install(|| without_time(&rows_of(&config, &Caching::default()))), all);
    // One point by itself, and in another order.
    let engine = Engine::new(&config, &Designs::embedded(), &Caching::default()).unwrap();
    let grid = engine.space().grid().unwrap();
    let mut back: Vec<_> = grid.iter().rev().cloned().collect();
    back.truncate(5);
    let found = without_time(&engine.evaluate(&back, &Silent).unwrap());
    assert_eq!(found, all.iter().rev().take(5).cloned().collect::<Vec<_>>());
}

#[test]
fn stages_are_worked_out_once() {
    let config = parse(AXES);
    let engine = Engine::new(&config, &Designs::embedded(), &Caching::default()).unwrap();
    engine.evaluate(&engine.space().grid().unwrap(), &Silent).unwrap();
    let made = |stage: &str| engine.stages().iter().find(|count| count.stage == stage).unwrap().made;
    assert_eq!(["network", "calibrated", "quantized", "accuracy", "traced"].map(made), [1, 1, 2, 2, 2]);
    // Two cost tables price one simulation.
    assert_eq!(made("simulated"), 2 * (2 + 1 + 1 + 1));
}

#[test]
fn points_that_cannot_run_are_results() {
    let text = "schema = 1\nname = \"test\"\nconstraints = [\"latency_ms <= 0.1\"]\n[network]\nmodel = \"sample-resnet\"\n\
        [data]\nset = \"sample\"\n[quantization]\ncalibration_images = 1\n\
        [accelerator]\nmodel = \"compend\"\n\
        [[axes]]\nkey = \"accelerator.set.pu_rows\"\nvalues = [1, 64]\n\
        [[points]]\naccelerator = \"tetris\"\n\"accelerator.set.mappings\" = [\"conv1=a:1\"]\n";
    let config = parse(text);
    let folder = tempfile::tempdir().unwrap();
    let summary = sweep(&config, &SweepRun::new(folder.path()), &Silent).unwrap();
    assert_eq!((summary.n_done, summary.n_points, summary.n_new), (3, 3, 3));
    let status: Vec<_> = summary.record.status.iter().map(|status| status.word()).collect();
    assert!(status.contains(&"failed") && status.contains(&"infeasible"), "{status:?} {:?}", summary.record.reasons);
    for (status, reason) in status.iter().zip(&summary.record.reasons) {
        assert_eq!(*status == "ok", reason.is_empty(), "{reason}");
    }
    assert!(summary.record.reasons.iter().any(|reason| reason.contains("the sweep wants latency_ms <= 0.1")));
    assert!(folder.path().join("report.html").exists());
}

#[test]
fn what_a_study_reproduces_a_row() {
    // The resolved sweep in the folder gives the same points.
    let config = parse(AXES);
    let folder = tempfile::tempdir().unwrap();
    let summary = sweep(&config, &SweepRun::new(folder.path()), &Silent).unwrap();
    let again = SweepConfig::open(folder.path().join("sweep.toml").to_str().unwrap()).unwrap();
    assert_eq!(again, config);
    // As do points that the page exports: the base, and their axes.
    let mut text = summary.record.base_toml.clone();
    for idx in [0, 5] {
        text.push_str("\n[[points]]\n");
        for axis in &summary.record.axes {
            if !axis.values[idx].is_null() {
                text.push_str(&format!("{:?} = {}\n", axis.key, axis.values[idx]));
            }
        }
    }
    let exported = parse(&text);
    let other = tempfile::tempdir().unwrap();
    let few = sweep(&exported, &SweepRun::new(other.path()), &Silent).unwrap();
    let mut ids = [0, 5].map(|idx| summary.record.point_ids[idx].clone());
    ids.sort_unstable();
    assert_eq!(few.record.point_ids, ids);
}

/// Stops after some points, as Ctrl-C does.
struct StopsAfter {
    points: AtomicU64,
    at: u64,
}

impl Monitor for StopsAfter {
    fn stage(&self, _name: &str, _n_steps: u64) {}
    fn note(&self, _text: &str) {}

    fn advance(&self, n: u64) {
        self.points.fetch_add(n, Ordering::Relaxed);
    }

    fn interrupted(&self) -> bool {
        self.points.load(Ordering::Relaxed) >= self.at
    }
}

#[test]
fn a_sweep_that_is_stopped_goes_on() {
    let config = parse(AXES);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let whole = sweep(&config, &SweepRun::new(folders[0].path()), &Silent).unwrap();
    let stop = StopsAfter { points: AtomicU64::new(0), at: 5 };
    let run = SweepRun::new(folders[1].path());
    let part = sweep(&config, &run, &stop).unwrap();
    assert!(part.interrupted && part.n_new >= 5 && part.n_new < 12, "{} points", part.n_new);
    assert_eq!(part.record.n_points(), part.n_new);
    let error = sweep(&config, &run, &Silent).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("--resume"), "{error}");
    let rest = sweep(&config, &SweepRun { resume: true, ..run.clone() }, &Silent).unwrap();
    assert_eq!(rest.n_new + part.n_new, 12);
    assert_eq!(rest.record, whole.record);
    assert_eq!(rest.front, whole.front);
    let none = sweep(&config, &SweepRun { resume: true, ..run }, &Silent).unwrap();
    assert_eq!((none.n_new, none.n_done), (0, 12));
}

#[test]
fn an_evolution_goes_on_as_it_would_have() {
    let text = AXES.replace("[network]", "[search]\nmethod = \"evolution\"\npoints = 6\ngenerations = 3\n[network]");
    let config = parse(&text);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let whole = sweep(&config, &SweepRun::new(folders[0].path()), &Silent).unwrap();
    let run = SweepRun::new(folders[1].path());
    let stop = StopsAfter { points: AtomicU64::new(0), at: 8 };
    assert!(sweep(&config, &run, &stop).unwrap().interrupted);
    let rest = sweep(&config, &SweepRun { resume: true, ..run }, &Silent).unwrap();
    assert_eq!(rest.record, whole.record);
}

#[test]
fn names_of_layers_that_are_not_there_are_refused_before_anything_runs() {
    let base = "schema = 1\nname = \"test\"\n[network]\nmodel = \"sample-resnet\"\n\
        [data]\nset = \"sample\"\nimages = 1\naccuracy_images = 0\n[quantization]\ncalibration_images = 2\n";
    let design = "[accelerator]\nmodel = \"eyeriss\"\n";
    let fine = "[[axes]]\nkey = \"quantization.weight_bits\"\nvalues = [8]\n";
    let widths = "[[axes]]\nkey = \"widths.weight_bits.nowhere\"\nvalues = [4, 5]\n";
    let quoted = "[[axes]]\nkey = \"widths.weight_bits.'no.where'\"\nvalues = [4]\n";
    let mappings = "[[axes]]\nkey = \"accelerator.set.mappings\"\nvalues = [[], [\"nowhere=sets:1\"]]\n";
    for (rest, axes, messages) in [
        (String::new(), widths, ["axis \"widths.weight_bits.nowhere\" = 4: ", "\"nowhere\""]),
        (String::new(), quoted, ["axis \"widths.weight_bits.'no.where'\" = 4: ", "\"no.where\""]),
        (String::new(), mappings, ["axis \"accelerator.set.mappings\" = [\"nowhere=sets:1\"]: ", "nowhere"]),
        ("[widths.activation_bits]\nnowhere = 4\n".to_owned(), fine, ["nowhere", "conv"]),
        ("[widths.activation_bits]\nnowhere = 40\n".to_owned(), fine, ["40", "2 to 16"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let refused = sweep(&parse(&format!("{base}{rest}{design}{axes}")), &SweepRun::new(&out), &Silent);
        let error = refused.unwrap_err();
        let text = error.to_string();
        assert!(messages.iter().all(|message| text.contains(message)) && error.is_usage(), "{text}");
        assert!(!out.exists(), "{text}");
    }
    // Where the network is an axis a layer may be there for some points only.
    let two = "[[axes]]\nkey = \"network\"\nvalues = [\"sample-resnet\", \"sample-bnn\"]\n";
    let folder = tempfile::tempdir().unwrap();
    let both = parse(&format!("{base}[widths.weight_bits]\nnowhere = 4\n{design}{two}"));
    let summary = sweep(&both, &SweepRun::new(folder.path()), &Silent).unwrap();
    assert_eq!(summary.n_new, 2);
    let rows = SqliteStore::open(folder.path()).unwrap().rows().unwrap();
    assert!(rows.iter().all(|row| row.status == Status::Failed && row.reason.as_ref().unwrap().contains("nowhere")));
}

#[test]
fn what_is_wrong_with_all_points_leaves_no_folder() {
    let text = "schema = 1\nname = \"test\"\n[network]\nmodel = \"no-such.onnx\"\n[data]\nset = \"sample\"\n\
        [accelerator]\nmodel = \"eyeriss\"\n[[axes]]\nkey = \"quantization.weight_bits\"\nvalues = [8]\n";
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let error = sweep(&parse(text), &SweepRun::new(&out), &Silent).unwrap_err().to_string();
    assert!(error.contains("no-such.onnx") && !out.exists(), "{error}");
}
