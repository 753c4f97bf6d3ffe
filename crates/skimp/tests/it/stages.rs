//! Stages one by one give what all at once give, and what is kept is not computed again.

use std::ops::ControlFlow;
use std::sync::Mutex;

use skimp::digital::ACCELERATORS;
use skimp::digital::costs::COST_TABLES;
use skimp::graph::integer::is_quantized;
use skimp::quant::{LayerChoices, QdqConfig};
use skimp::sim::toml::Table;
use skimp::{
    AcceleratorConfig, Callback, CostTable, CostsConfig, DataConfig, Design, Designs, Engine, LayersConfig, Monitor,
    Network, Priced, Progress, QuantizationConfig, Quantized, ShapeLayerConfig, Silent, SimulateConfig, Simulated,
    StudyError, Traced, simulate,
};

fn network() -> Network {
    Network::open("sample-resnet").unwrap()
}

fn sample() -> DataConfig {
    DataConfig { set: "sample".into(), images: 2, ..DataConfig::default() }
}

fn quantization() -> QuantizationConfig {
    QuantizationConfig { weight_bits: 8, activation_bits: 8, calibration_images: 4, ..QuantizationConfig::default() }
}

/// All stages in one call.
fn at_once(data: DataConfig, layers: LayersConfig, accelerators: Vec<AcceleratorConfig>, costs: &str) -> Priced {
    let config = SimulateConfig {
        data,
        input_size: None,
        quantization: quantization(),
        layers,
        designs: Designs::embedded(),
        accelerators,
        costs: costs.parse().unwrap(),
        allowed_loss_points: 1.0,
        chips: None,
        dump: None,
        trace: None,
    };
    simulate(&network(), &config, &Silent).unwrap()
}

fn configured(model: &str, settings: &str) -> AcceleratorConfig {
    let (model, set) = (model.to_owned(), settings.parse().unwrap());
    AcceleratorConfig { model, label: None, preset: None, set, origin: None }
}

fn design(model: &str, settings: &str) -> Design {
    Design::of(Designs::embedded().find(model).unwrap(), &settings.parse::<Table>().unwrap()).unwrap()
}

fn quantized(data: &DataConfig) -> (skimp::Images, Quantized) {
    let network = network();
    let images = network.images(data).unwrap();
    let calibrated = network.calibrate(&images, quantization().calibration_images, &Silent).unwrap();
    let quantized = calibrated.quantize(&quantization(), &Silent).unwrap();
    (images, quantized)
}

fn traced(data: &DataConfig, layers: &LayersConfig) -> Traced {
    let (images, quantized) = quantized(data);
    quantized.trace(&images, data.images, layers, &Silent).unwrap()
}

fn json(priced: &Priced) -> String {
    serde_json::to_string_pretty(priced).unwrap()
}

#[test]
fn every_design_gives_the_same_by_stages_as_at_once() {
    let by_shape = ShapeLayerConfig { name: "f2".into(), inputs: 300, outputs: 20, relu: true };
    let layers = LayersConfig { by_shape: vec![by_shape], ..LayersConfig::default() };
    let takes_any = |name: &&str| !skimp_testkit::BINARY_DESIGNS.contains(name);
    let names: Vec<&str> = ACCELERATORS.iter().map(|model| model.name()).filter(takes_any).collect();
    assert_eq!(names.len() + skimp_testkit::BINARY_DESIGNS.len(), ACCELERATORS.len());
    let expected = at_once(sample(), layers.clone(), names.iter().map(|name| configured(name, "")).collect(), "auto");
    let designs: Vec<Design> = names.iter().map(|name| Design::named(name).unwrap()).collect();
    let found = traced(&sample(), &layers).simulate(&designs, &Silent).unwrap().price(&CostsConfig::Auto).unwrap();
    assert_eq!(json(&found), json(&expected));
    assert_eq!(found.layers, expected.layers);
    assert_eq!(found.in_integers, expected.in_integers);
    assert_eq!(found.record.accelerators.len(), names.len());
}

/// Designs that change values are judged, and fitted on images of their own.
#[test]
fn approximate_designs_are_judged_alike() {
    let data = DataConfig { accuracy_images: 20, tuning_images: 10, ..sample() };
    for settings in ["mode = \"predictive\"", "mode = \"search\"\nmax_accuracy_loss_percent = 10.0"] {
        let expected = at_once(data.clone(), LayersConfig::default(), vec![configured("compreend", settings)], "paper");
        let traced = traced(&data, &LayersConfig::default());
        let simulated = traced.simulate(&[design("compreend", settings)], &Silent).unwrap();
        let found = simulated.price(&CostsConfig::Paper).unwrap();
        assert_eq!(json(&found), json(&expected), "{settings}");
        assert_eq!(found.record.accelerators[0].accuracy.as_ref().unwrap().n_images, 20);
    }
}

/// The stages that a run went through, with the steps that it did in each.
fn watched<T>(work: impl FnOnce(&dyn Monitor) -> T) -> (T, Vec<(String, u64)>) {
    let stages: Mutex<Vec<(String, u64)>> = Mutex::default();
    let monitor = Callback::new(|progress| {
        let mut stages = stages.lock().unwrap();
        match (progress, stages.last_mut()) {
            (Progress::Stage { name, .. }, _) => stages.push((name.to_owned(), 0)),
            (Progress::Advanced(n), Some((_, done))) => *done += n,
            _ => {}
        }
        ControlFlow::Continue(())
    });
    let result = work(&monitor);
    (result, stages.into_inner().unwrap())
}

#[test]
fn a_traced_network_runs_once_for_many_designs_and_tables() {
    let traced = {
        let (images, quantized) = quantized(&sample());
        let trace = |monitor: &dyn Monitor| quantized.trace(&images, 2, &LayersConfig::default(), monitor).unwrap();
        let (traced, stages) = watched(trace);
        let n_layers = traced.layers().count() as u64;
        assert_eq!(stages, [("tracing layers".to_owned(), 2 * n_layers)]);
        traced
    };
    let n_steps = 2 * traced.layers().count() as u64;
    let pair = ["cnvlutin", "eyeriss"].map(|name| Design::named(name).unwrap());
    let many = vec![Design::named("dadiannao").unwrap(); 50];
    let (simulated, stages) = watched(|monitor| -> Vec<Simulated> {
        [&pair[..], &many[..]].iter().map(|designs| traced.simulate(designs, monitor).unwrap()).collect()
    });
    // No "calibrating" and no "tracing": the layers are shown to the designs, all designs of a call together.
    assert_eq!(stages, vec![("simulating layers".to_owned(), n_steps); 2]);
    assert_eq!(simulated[1].runs().len(), 50);
    let simulated = &simulated[0];
    for table in ["horowitz-45nm", "paper", "common"] {
        let priced = simulated.price(&CostsConfig::from(table.to_owned())).unwrap();
        let models = ["cnvlutin", "eyeriss"].map(|model| configured(model, ""));
        let expected = at_once(sample(), LayersConfig::default(), models.to_vec(), table);
        assert_eq!(json(&priced), json(&expected), "{table}");
    }
    // Ten tables of the same numbers under names of their own.
    let (_, common) = COST_TABLES.iter().find(|(name, _)| *name == "horowitz-45nm").unwrap();
    let table =
        |idx: usize| CostTable::from_toml(&common.replace("\"horowitz-45nm\"", &format!("\"table-{idx}\""))).unwrap();
    for idx in 0..10 {
        let priced = simulated.price_by(&table(idx)).unwrap();
        let named = simulated.price(&CostsConfig::Common).unwrap();
        let total = |priced: &Priced| priced.record.accelerators[0].total.clone();
        assert_eq!(
            (priced.record.accelerators[0].costs.as_str(), total(&priced)),
            (&*format!("table-{idx}"), total(&named))
        );
    }
    let error = simulated.price(&CostsConfig::Table("horowitz-44nm".into())).unwrap_err();
    assert!(error.to_string().contains("horowitz-45nm"), "{error}");
}

#[test]
fn ranges_give_networks_of_many_widths() {
    let network = network();
    let images = network.images(&sample()).unwrap();
    let (calibrated, stages) = watched(|monitor| network.calibrate(&images, 16, monitor).unwrap());
    assert_eq!(stages, [("calibrating".to_owned(), 16)]);
    let float = network.accuracy(&images, 200, &Silent).unwrap();
    let mut accuracies = Vec::new();
    for (bits, calibration) in [(8, "min-max"), (8, "percentile:99.9"), (4, "min-max"), (2, "min-max")] {
        let config = QuantizationConfig {
            weight_bits: bits,
            activation_bits: bits,
            calibration: calibration.parse().unwrap(),
            calibration_images: 16,
            ..QuantizationConfig::default()
        };
        let (quantized, stages) = watched(|monitor| calibrated.quantize(&config, monitor).unwrap());
        assert!(stages.is_empty(), "nothing runs");
        let accuracy = quantized.accuracy(&images, 200, &Silent).unwrap();
        // Both steps at once are the same network.
        let whole = Quantized::new(&network, &images, &config, &Silent).unwrap();
        assert_eq!(whole.graph(), quantized.graph(), "{bits} bits, {calibration}");
        accuracies.push(accuracy.top1);
    }
    assert!((accuracies[0] - float.top1).abs() < 0.02, "{accuracies:?}");
    assert!(accuracies[3] < accuracies[0] - 0.1, "{accuracies:?}");
}

/// The network as a file in QDQ form would be: run, evaluated and simulated on its own codes.
#[test]
fn a_calibrated_network_becomes_one_in_qdq_form() {
    let network = network();
    let images = network.images(&sample()).unwrap();
    let calibrated = network.calibrate(&images, 16, &Silent).unwrap();
    let qdq = calibrated.to_qdq(&QdqConfig::default(), &LayerChoices::default()).unwrap();
    assert!(is_quantized(&qdq.graph));
    let own = qdq.calibrate(&images, 16, &Silent).unwrap();
    assert!(own.ranges().is_none());
    let error = own.to_qdq(&QdqConfig::default(), &LayerChoices::default()).unwrap_err();
    assert!(matches!(error, StudyError::AlreadyQuantized { .. }), "{error}");
    let codes = own.quantize(&QuantizationConfig::default(), &Silent).unwrap();
    assert_eq!((codes.config().weight_bits, codes.config().activation_bits), (8, 8));
    let accuracy = codes.accuracy(&images, 200, &Silent).unwrap();
    let float = network.accuracy(&images, 200, &Silent).unwrap();
    assert!((accuracy.top1 - float.top1).abs() < 0.02, "{accuracy:?} {float:?}");
    // Other tools read the same bytes.
    let read = Network::from_bytes("qdq", skimp::graph::onnx::export_bytes(&qdq.graph).unwrap()).unwrap();
    let (inputs, _) = images.tensors(0..8).unwrap();
    let run = |network: &Network| network.run(Engine::Integer, std::slice::from_ref(&inputs)).unwrap();
    assert_eq!(run(&read), run(&qdq));
    let traced = codes.trace(&images, 1, &LayersConfig::default(), &Silent).unwrap();
    let simulated = traced.simulate(&[Design::named("compend").unwrap()], &Silent).unwrap();
    assert_eq!(simulated.price(&CostsConfig::Auto).unwrap().record.weight_bits, 8);
}

#[test]
fn a_caller_sees_operands_and_counts() {
    let traced = traced(&sample(), &LayersConfig::default());
    assert_eq!((traced.n_images(), traced.statistics().len()), (2, traced.layers().count()));
    let (idx, layer) = (1, traced.layers().nth(1).unwrap());
    let trace = traced.trace(idx, 1).unwrap();
    assert_eq!(trace.moment().image, 1);
    assert_eq!(trace.activation().unwrap().len(), layer.shape.input_count());
    assert!(traced.trace(idx, 2).is_none() && traced.trace(99, 0).is_none());
    let simulated = traced.simulate(&[Design::named("dadiannao").unwrap().labeled("dense")], &Silent).unwrap();
    let [run] = simulated.runs() else { panic!("one design") };
    let cycles: u64 = run.results().map(skimp::sim::LayerResult::total_cycles).sum();
    let priced = simulated.price_by(&run.design().facts().costs).unwrap();
    assert_eq!(priced.record.accelerators[0].total.cycles, cycles);
    assert_eq!(priced.record.accelerators[0].label, "dense");
}
