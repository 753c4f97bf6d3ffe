//! Levers one after another, on the embedded network.

use skimp_report::StudyRecord;
use skimp_report::records::TourRecord;

use crate::inputs::network::Network;
use crate::monitor::Silent;
use crate::simulate::config::{AcceleratorConfig, LayersConfig};
use crate::simulate::designs::Designs;
use crate::simulate::pricing::CostsConfig;
use crate::simulate::session::{SimulateConfig, simulate};
use crate::store::memory::Memory;
use crate::studies::config::StudyConfig;
use crate::studies::embedded::StudyOverrides;
use crate::studies::runner::{study, study_in};
use crate::studies::tour::TourPlan;

const STUDY: &str = r#"
    schema = 1
    name = "way"
    title = "Levers on {network}"
    summary = "s"

    [network]
    model = "sample-resnet"

    [data]
    set = "sample"
    images = 2
    accuracy_images = 60

    [tour.run]
    images = 32
    batch_size = 16

    [[tour.stops]]
    label = "first"
    accelerators = [{ model = "zena", set = { skip = "none" } }, { model = "dadiannao" }]

    [[tour.stops]]
    label = "smaller"
    steps = [{ prune = "l1", target = "macs=0.5", round_to = 2, finetune = 1 }]

    [[tour.stops]]
    label = "8 bits"
    quantization = { weight_bits = 8, activation_bits = 8, calibration_images = 8 }

    [[tour.stops]]
    label = "zeros"
    steps = [{ prune = "magnitude", target = "sparsity=0.5" }]
    accelerators = [{ model = "zena" }]

    [[tour.stops]]
    label = "another"
    network = "sample-bnn"
    accelerators = [{ model = "bsnn-tile" }]
"#;

fn config(text: &str) -> StudyConfig {
    StudyConfig::parse(text, "way.toml").unwrap()
}

fn tour(record: &StudyRecord) -> &TourRecord {
    record.section::<TourRecord>().unwrap()
}

#[test]
fn each_stop_goes_on_from_the_one_before() {
    let record = study(&config(STUDY), &Silent).unwrap();
    let own = tour(&record);
    let stops = &own.stops;
    let bits: Vec<(u32, u32)> = stops.iter().map(|stop| (stop.weight_bits, stop.activation_bits)).collect();
    assert_eq!(bits, [(16, 16), (16, 16), (8, 8), (8, 8), (8, 8)]);
    let designs: Vec<usize> = stops.iter().map(|stop| stop.designs.len()).collect();
    assert_eq!(designs, [2, 2, 2, 1, 1]);
    assert!(stops[1].macs < stops[0].macs && stops[1].zero_weights == 0);
    assert_eq!([stops[2].macs, stops[3].macs], [stops[1].macs; 2]);
    let share = stops[3].zero_weights as f64 / stops[3].weights as f64;
    assert!((share - 0.5).abs() < 0.01, "{share}");
    // Narrower, and with zeros that are skipped, the same array does less.
    assert!(own.energy_gain(&stops[2], &stops[1]).unwrap() > 1.0);
    assert!(own.cycles_gain(&stops[3], &stops[2]).unwrap() > 1.0);
    // Another network in another technology stands alone.
    assert!(stops[4].is_another_network && stops[4].network == "sample-bnn");
    assert!(own.energy_gain(&stops[4], &stops[0]).is_err());
    let said = skimp_report::views::study_text(&record, None);
    assert!(said.contains("void: ") && said.contains("times less energy"), "{said}");
    let page = skimp_report::html::render(&record);
    assert!(page.contains("id=\"tour-chart\"") && page.contains("times less energy"));
}

#[test]
fn the_first_stop_is_what_the_commands_say() {
    let config = config(STUDY);
    let record = study(&config, &Silent).unwrap();
    let first = &tour(&record).stops[0];
    let network = Network::open("sample-resnet").unwrap();
    let named = |model: &str| AcceleratorConfig {
        model: model.to_owned(),
        label: None,
        preset: None,
        set: toml::Table::new(),
        origin: None,
    };
    let mut simulation = SimulateConfig {
        data: config.header.data.clone(),
        input_size: None,
        quantization: skimp_quant::QuantizationConfig::default(),
        layers: LayersConfig::default(),
        designs: Designs::embedded(),
        accelerators: vec![named("zena"), named("dadiannao")],
        costs: CostsConfig::default(),
        allowed_loss_points: 1.0,
        chips: None,
        dump: None,
        trace: None,
    };
    simulation.accelerators[0].set.insert("skip".to_owned(), "none".into());
    let own = simulate(&network, &simulation, &Silent).unwrap().record;
    for (ours, theirs) in first.designs.iter().zip(&own.accelerators) {
        assert_eq!((&ours.name, &ours.total), (&theirs.name, &theirs.total));
    }
}

#[test]
fn a_tour_goes_on_where_it_stopped() {
    let whole = study(&config(STUDY), &Silent).unwrap();
    let store = Memory::new(2);
    let error = study_in(&config(STUDY), &store, false, &Silent).unwrap_err().to_string();
    assert!(error.contains("killed"), "{error}");
    *store.writes_left.lock().unwrap() = usize::MAX;
    // The third stop goes on with a network that nobody has in memory.
    let rest = study_in(&config(STUDY), &store, true, &Silent).unwrap();
    assert_eq!(tour(&rest), tour(&whole));
}

/// What `skimp study` runs where no study is named.
#[test]
fn the_embedded_tour_fits() {
    let study = StudyConfig::open("tour", &StudyOverrides::default()).unwrap();
    let plan = study.plan.get::<TourPlan>().unwrap();
    assert_eq!(plan.n_stops(&study.header).unwrap(), plan.tour.stops.len());
}

#[test]
fn mistakes_are_named() {
    let error = |from: &str, to: &str| {
        assert!(STUDY.contains(from), "{from}");
        StudyConfig::parse(&STUDY.replacen(from, to, 1), "way.toml").unwrap_err().to_string()
    };
    for (from, to, cause) in [
        ("label = \"smaller\"", "label = \"first\"", "two stops are called \"first\""),
        ("label = \"smaller\"", "label = \" \"", "stop 2 has no label"),
        (
            "accelerators = [{ model = \"zena\", set = { skip = \"none\" } }, { model = \"dadiannao\" }]",
            "",
            "names some",
        ),
        ("model = \"dadiannao\" }", "model = \"zena\" }", "labeled \"zena\""),
        ("weight_bits = 8", "weight_bits = 1", "\"8 bits\": quantization: "),
        ("target = \"macs=0.5\"", "target = \"half\"", "\"smaller\": "),
        ("images = 32", "seed = 7", "[tour.run] sets seed"),
        ("images = 32", "learning_rate = -0.1", "[tour.run]: learning rate: expected a number above 0"),
        ("images = 32", "optimizer = \"foo\"", "[tour.run]: "),
        ("batch_size = 16", "batch_size = 0", "[tour.run]: "),
        ("accuracy_images = 60", "accuracy_images = 0", "accuracy_images is 0"),
        ("round_to = 2", "rounds = 2", "rounds"),
    ] {
        let said = error(from, to);
        assert!(said.starts_with("way.toml: ") && said.contains(cause), "{said}");
    }
    for (from, to, stop, cause) in [
        ("set = { skip = \"none\" }", "set = { skip = \"some\" }", "first", "skip"),
        ("model = \"bsnn-tile\"", "model = \"bsnn-tiles\"", "another", "bsnn-tiles"),
        ("network = \"sample-bnn\"", "network = \"sample-bnns\"", "another", "sample-bnns"),
        ("summary = \"s\"", "summary = \"s\"\ncosts = \"common\"", "another", "--costs paper"),
    ] {
        assert!(STUDY.contains(from), "{from}");
        let error = study(&config(&STUDY.replace(from, to)), &Silent).unwrap_err().to_string();
        assert!(error.contains(&format!("way: stop \"{stop}\": ")) && error.contains(cause), "{error}");
    }
}

/// What saves by wrong answers is void, and energies are of the images that there are.
#[test]
fn more_images_than_there_are_change_nothing_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let (images, labels) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
    skimp_data::npy::write(&images, &[3, 1, 28, 28], &vec![0.5_f32; 3 * 784]).unwrap();
    skimp_data::npy::write(&labels, &[3], &[0_i64, 1, 2]).unwrap();
    let set = format!("npy:{},{}", images.display(), labels.display());
    let text = STUDY
        .split("[[tour.stops]]\n    label = \"smaller\"")
        .next()
        .unwrap()
        .replace("\"sample\"", &format!("{set:?}"));
    let of = |n: &str| study(&config(&text.replace("images = 2\n", n)), &Silent).unwrap();
    let (asked, there) = (of("images = 30\n"), of("images = 3\n"));
    assert_eq!((asked.n_images, tour(&asked)), (3, tour(&there)));
}
