//! Optimizations of the embedded network: sets, judgement, files, the same on any threads, stopped, refused.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use skimp_data::Dataset;
use skimp_report::records::OptimizeRecord;
use skimp_report::views::optimize_sentences;
use skimp_study::{CostsConfig, DataConfig, Designs, HeldData, Monitor, Network, Silent, TrainConfig};
use skimp_sweep::optimize::{Aim, Budget, OptimizeConfig, Strategy, wilson};
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
        command: "skimp optimize".to_owned(),
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

    let [calibration, search, fitting, training, of_final] = &record.sets[..] else { panic!("five sets") };
    assert_eq!([calibration.images, search.images, training.images, of_final.images], [16, 300, 128, 400]);
    for (split, sets) in [("train", vec![calibration, training]), ("test", vec![search, fitting, of_final])] {
        let images: Vec<usize> = sets.iter().flat_map(|set| set.indices.clone()).collect();
        assert_eq!(images.iter().collect::<HashSet<_>>().len(), images.len());
        assert!(sets.iter().all(|set| set.split == split));
    }
    let sets: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("sets.json")).unwrap()).unwrap();
    assert_eq!(sets["search"]["indices"].as_array().unwrap().len(), search.images);

    assert!(record.path.len() >= 14 && record.path[0].why == "start");
    let judged = record.judgement.as_ref().unwrap();
    assert!(judged.gain > 1.2, "{}", judged.gain);
    assert_eq!(judged.result.top1_interval.map(f64::to_bits), wilson(judged.result.correct, 400).map(f64::to_bits));
    let loss = 100.0 * (judged.float.top1 - judged.result.top1);
    assert!((judged.loss - loss).abs() < 1e-9);
    let [low, high] = judged.loss_interval;
    assert!(low <= judged.loss && judged.loss <= high);
    assert!(!record.contributions.is_empty() && record.contributions.iter().all(|own| own.times.is_some()));

    // The sweep of one point has the same figures, to the last digit.
    assert_eq!(swept(folder.path(), 1), (judged.result.objective, Some(judged.result.top1)));

    for name in &record.files {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
    let report = std::fs::read_to_string(folder.path().join("report.md")).unwrap();
    assert!(report.contains("Newcombe, paired") && report.contains("what each lever contributes"), "{report}");
}

/// No time is left when the start has been judged: the final images are cut, not the time stretched.
#[test]
fn what_time_is_left_for_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let budget = Budget::Minutes(0.001);
    let record = run(&OptimizeConfig { budget, final_images: 600, ..config("model-bytes", 1, folder.path()) }).unwrap();
    let judged = record.judgement.as_ref().unwrap();
    assert_eq!((record.sets[4].images, judged.images), (600, 400));
    assert!(record.notes.iter().any(|note| note.contains("400 of 600 final images")), "{:?}", record.notes);
    assert_eq!(swept(folder.path(), 4), (judged.result.objective, Some(judged.result.top1)));
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
    assert!(optimize_sentences(&record).contains("bound 0: "), "{}", optimize_sentences(&record));
}

#[test]
fn no_better_than_the_start_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let record = run(&config("model-bytes", 1, folder.path())).unwrap();
    assert_eq!(record.judgement.as_ref().map(|judged| judged.gain), Some(1.0));
    assert!(optimize_sentences(&record).contains("no better than the start"), "{}", optimize_sentences(&record));
    assert!(record.notes.iter().any(|note| note.contains("no file in QDQ form")), "{:?}", record.notes);
}

/// What the sweep of one point in the folder has: objective and accuracy.
fn swept(folder: &Path, figure: usize) -> (Option<f64>, Option<f64>) {
    let again = SweepConfig::open(folder.join("point.toml").to_str().unwrap()).unwrap();
    let swept = folder.join("swept");
    sweep(&again, &SweepRun::new(&swept), &Silent).unwrap();
    let rows = SqliteStore::open(&swept).unwrap().rows().unwrap();
    let [row] = &rows[..] else { panic!("one point") };
    (row.figures[figure], row.figures[3])
}

/// `ComPreEND` predicts signs, and so changes answers: it says how many are right, on the final images, too.
#[test]
fn a_design_that_changes_answers_is_judged_unpaired() {
    let folder = tempfile::tempdir().unwrap();
    let config = OptimizeConfig {
        max_loss: 30.0,
        strategy: Strategy::Single,
        search_images: 50,
        final_images: 50,
        ..config("energy@compreend", 2, folder.path())
    };
    let record = run(&config).unwrap();
    let judged = record.judgement.as_ref().unwrap();
    assert_eq!(judged.interval_method, "Newcombe, unpaired");
    assert_eq!(swept(folder.path(), 1), (judged.result.objective, Some(judged.result.top1)));
    let [low, high] = judged.loss_interval;
    assert!(low <= judged.loss && judged.loss <= high);
    // Two intervals of 50 images that know nothing of each other are wide, even where the loss is none.
    assert!(high - low > 5.0, "{low} {high}");
}

/// Widths of single layers are a lever: they are found, kept, written, and give the same in a sweep.
#[test]
fn bits_per_layer_are_searched_and_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let config = OptimizeConfig { finetune: 0, ..config("model-bytes", 30, folder.path()) };
    let record = run(&config).unwrap();
    let lever = record.levers.iter().find(|lever| lever.name == "layer_bits").unwrap();
    assert!(lever.values.len() > 5 && lever.values[1].contains("weights"), "{lever:?}");
    let tried = record.path.iter().filter(|own| own.turned.iter().any(|(lever, _)| lever == "layer_bits"));
    assert!(tried.filter(|own| own.loss.is_some()).count() > 2);
    assert!(record.levers.iter().any(|lever| lever.name == "recast" && lever.values[1].contains("into conv")));
    // Bits of all layers are never turned beside those of each.
    for own in &record.path {
        let has = |name: &str| own.turned.iter().any(|(lever, _)| lever == name);
        assert!(!(has("layer_bits") && (has("weight_bits") || has("activation_bits"))), "{own:?}");
    }
    assert!(!record.widths.is_empty(), "{:?}", record.values);
    let widths: HashSet<u32> = record.widths.iter().map(|own| own.weight_bits).collect();
    assert!(widths.len() > 1, "{:?}", record.widths);
    let judged = record.judgement.as_ref().unwrap();
    let point = std::fs::read_to_string(folder.path().join("point.toml")).unwrap();
    assert!(point.contains("[widths.weight_bits]"), "{point}");
    // A sweep's point has a design; its bytes are the same.
    let bytes = skimp_sweep::FIGURES.iter().position(|figure| figure.name == "model_bytes").unwrap();
    assert_eq!(swept(folder.path(), bytes), (judged.result.objective, Some(judged.result.top1)));
    let report = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(report.contains("widths of the result&#39;s layers") && report.contains("id=\"picture\""));
}

/// DaDianNao takes as long for few bits as for 16: they are no lever.
#[test]
fn a_design_that_cannot_use_fewer_bits_gets_no_credit() {
    let folder = tempfile::tempdir().unwrap();
    let record = run(&OptimizeConfig { search_images: 60, ..config("latency@dadiannao", 1, folder.path()) }).unwrap();
    assert!(!record.levers.iter().any(|lever| lever.name == "layer_bits"));
    assert!(record.left_out.iter().any(|own| own.name == "layer_bits" && own.reason.contains("gains nothing")));
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
    assert!(optimize_sentences(&record).contains("nothing is proven"));
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
