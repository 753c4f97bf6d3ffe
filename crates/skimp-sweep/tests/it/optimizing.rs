//! Optimizations of the embedded network: sets, judgement, files, the same on any threads, stopped, refused.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use skimp_data::Dataset;
use skimp_study::{CostsConfig, DataConfig, Designs, HeldData, Monitor, Network, Silent, TrainConfig};
use skimp_sweep::optimize::{Aim, Budget, OptimizeConfig, OptimizeRecord, Strategy, wilson};
use skimp_sweep::{SqliteStore, SweepConfig, SweepError, SweepRun, optimize, sweep};

fn config(aim: &str, steps: usize, folder: &Path) -> OptimizeConfig {
    OptimizeConfig {
        data: DataConfig { set: "sample".to_owned(), images: 1, ..DataConfig::default() },
        input_size: None,
        aim: aim.parse().unwrap(),
        max_loss: 1.0,
        budget: Budget::Steps(steps),
        strategy: Strategy::Guided,
        calibration_images: 16,
        search_images: 300,
        final_images: 400,
        finetune: 1,
        training: TrainConfig { images: Some(128), ..TrainConfig::default() },
        vary: Vec::new(),
        costs: CostsConfig::Auto,
        designs: Designs::embedded(),
        seed: 3,
        folder: folder.to_owned(),
    }
}

fn run(config: &OptimizeConfig) -> Result<OptimizeRecord, SweepError> {
    optimize("sample-resnet", &Network::open("sample-resnet").unwrap(), config, &Silent)
}

#[test]
fn a_result_is_judged_on_images_of_its_own_and_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let record = run(&config("energy@compend", 14, folder.path())).unwrap();

    let [calibration, search, training, of_final] = &record.sets[..] else { panic!("four sets") };
    assert_eq!([calibration.images, training.images, of_final.images], [16, 128, 400]);
    let train: Vec<usize> = [calibration, search, training].iter().flat_map(|set| set.indices.clone()).collect();
    assert_eq!(train.iter().collect::<HashSet<_>>().len(), train.len());
    assert!([calibration, search, training].iter().all(|set| set.split == "train") && of_final.split == "test");
    let sets: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("sets.json")).unwrap()).unwrap();
    assert_eq!(sets["search"]["indices"].as_array().unwrap().len(), search.images);

    assert_eq!((record.path.len() >= 14, record.path[0].why), (true, "start"));
    let judged = record.judgement.as_ref().unwrap();
    assert!(judged.gain > 1.2, "{}", judged.gain);
    assert_eq!(judged.result.top1_interval.map(f64::to_bits), wilson(judged.result.correct, 400).map(f64::to_bits));
    let loss = 100.0 * (judged.float.top1 - judged.result.top1);
    assert!((judged.loss - loss).abs() < 1e-9);
    let [low, high] = judged.loss_interval;
    assert!(low <= judged.loss && judged.loss <= high);
    assert!(!record.contributions.is_empty() && record.contributions.iter().all(|own| own.times.is_some()));

    // The sweep of one point has the same figures, to the last digit.
    let point = folder.path().join("point.toml");
    let again = SweepConfig::open(point.to_str().unwrap()).unwrap();
    let swept = folder.path().join("swept");
    sweep(&again, &SweepRun::new(&swept), &Silent).unwrap();
    let rows = SqliteStore::open(&swept).unwrap().rows().unwrap();
    let [row] = &rows[..] else { panic!("one point") };
    assert_eq!((row.figures[1], row.figures[3]), (judged.result.objective, Some(judged.result.top1)));

    for name in &record.files {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
    let report = std::fs::read_to_string(folder.path().join("report.md")).unwrap();
    assert!(report.contains("Newcombe, paired") && report.contains("what each lever contributes"), "{report}");
}

#[test]
fn threads_do_not_change_the_path() {
    let of = |threads: usize| {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        // Draws reach the levers that train within a few points.
        let config = OptimizeConfig { strategy: Strategy::Random, ..config("latency@systolic", 4, folder.path()) };
        let record = pool.install(|| run(&config)).unwrap();
        let network = std::fs::read(folder.path().join("network.onnx")).unwrap();
        (record.path, record.values, record.judgement, network)
    };
    let one = of(1);
    assert_eq!(one, of(3));
    assert!(one.0.iter().any(|own| own.turned.iter().any(|(lever, _)| lever == "filters" || lever == "weights")));
}

#[test]
fn a_bound_of_nothing_is_not_proven() {
    let folder = tempfile::tempdir().unwrap();
    let config = OptimizeConfig { max_loss: 0.0, ..config("model-bytes", 3, folder.path()) };
    let record = run(&config).unwrap();
    assert_ne!(record.judgement.as_ref().unwrap().verdict, "proven");
    assert!(record.sentences().contains("bound 0: "), "{}", record.sentences());
}

#[test]
fn no_better_than_the_start_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let record = run(&config("model-bytes", 1, folder.path())).unwrap();
    assert_eq!(record.judgement.as_ref().map(|judged| judged.gain), Some(1.0));
    assert!(record.sentences().contains("no better than the start"), "{}", record.sentences());
    assert!(record.notes.iter().any(|note| note.contains("no file in QDQ form")), "{:?}", record.notes);
}

/// Stops after some points.
#[derive(Default)]
struct Impatient(AtomicU64);

impl Monitor for Impatient {
    fn stage(&self, _name: &str, _n_steps: u64) {}

    fn advance(&self, n: u64) {
        self.0.fetch_add(n, Ordering::SeqCst);
    }

    fn note(&self, _text: &str) {}

    fn interrupted(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= 4
    }
}

#[test]
fn a_stopped_search_leaves_the_best_so_far() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("model-bytes", 1000, folder.path());
    let network = Network::open("sample-resnet").unwrap();
    let record = optimize("sample-resnet", &network, &config, &Impatient::default()).unwrap();
    assert!(record.interrupted && record.judgement.is_none());
    assert!(record.sentences().contains("nothing is proven"));
    assert!(record.path.len() < 10 && record.improvements > 0, "{:?}", record.path);
    Network::open(folder.path().join("network.onnx").to_str().unwrap()).unwrap();
    SweepConfig::open(folder.path().join("point.toml").to_str().unwrap()).unwrap();
}

#[test]
fn what_cannot_be_is_refused() {
    for (text, message) in [("speed", "no objective, expected energy@DESIGN"), ("energy@", "no objective")] {
        assert!(text.parse::<Aim>().unwrap_err().contains(message));
    }
    let folder = tempfile::tempdir().unwrap();
    let refused = |config: OptimizeConfig| {
        let error = run(&config).unwrap_err();
        assert!(error.is_usage(), "{error}");
        error.to_string()
    };
    let base = || config("energy@compend", 2, folder.path());
    let error = refused(OptimizeConfig { aim: "energy@compent".parse().unwrap(), ..base() });
    assert!(error.contains("compent") && error.contains("compend"), "{error}");
    let arrays = Dataset::from_arrays([1, 28, 28], vec![0_u8; 2 * 784], &[0, 9]).unwrap();
    let data = DataConfig { set: "arrays".to_owned(), held: Some(HeldData::new(arrays)), ..DataConfig::default() };
    let error = refused(OptimizeConfig { data, ..base() });
    assert!(error.contains("same images for both splits") && error.contains("give a data set with both"), "{error}");
    let error = refused(OptimizeConfig { calibration_images: 3990, ..base() });
    assert!(error.contains("too few"), "{error}");
    let error = refused(OptimizeConfig { vary: vec![("pu_rows".to_owned(), vec![0.into()])], ..base() });
    assert!(error.starts_with("vary: pu_rows=0: "), "{error}");
    let error = refused(OptimizeConfig {
        vary: vec![("x".to_owned(), vec![0.into()])],
        ..config("model-bytes", 2, folder.path())
    });
    assert!(error.contains("no design whose settings could vary"), "{error}");
    for budget in [Budget::Steps(0), Budget::Minutes(0.0), Budget::Minutes(f64::NAN)] {
        let error = refused(OptimizeConfig { budget, ..base() });
        assert!(error.contains("expected"), "{error}");
    }
}
