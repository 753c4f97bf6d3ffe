//! Networks in QDQ form, from file to figures: every design runs on the codes of the file.

use std::path::Path;

use skimp_digital::ACCELERATORS;
use skimp_graph::integer::{CodeType, is_quantized};
use skimp_quant::{FirstLayer, LayerChoices, OutputForm, QdqConfig, QuantizationConfig, Scheme};

use crate::inputs::config::DataConfig;
use crate::inputs::network::Network;
use crate::monitor::Silent;
use crate::simulate::accelerators::accelerator_configs;
use crate::simulate::config::LayersConfig;
use crate::simulate::designs::Designs;
use crate::simulate::priced::Priced;
use crate::simulate::pricing::CostsConfig;
use crate::simulate::session::{SimulateConfig, simulate};
use crate::stages::evaluate::{Engine, EvaluateConfig, evaluate};
use crate::stages::qdq;
use crate::stages::qdq::QuantizeConfig;
use crate::stages::quantized::Quantized;

fn data() -> DataConfig {
    DataConfig { set: "sample".into(), images: 2, accuracy_images: 8, ..DataConfig::default() }
}

/// The embedded network in QDQ form, in a file.
fn write(folder: &Path, activation_type: CodeType, activation_scheme: Scheme, weight_scheme: Scheme) -> String {
    let config = QuantizeConfig {
        data: DataConfig { accuracy_images: 0, ..data() },
        input_size: None,
        qdq: QdqConfig {
            weight_scheme,
            activation_scheme,
            activation_type,
            calibration_images: 16,
            output_form: OutputForm::Accumulators,
            ..QdqConfig::default()
        },
        choices: LayerChoices::default(),
    };
    let path = folder.join(format!("{activation_type:?}{activation_scheme:?}{weight_scheme:?}.onnx"));
    qdq::quantize(&Network::open("sample-resnet").unwrap(), &config, &path, &Silent).unwrap();
    path.to_str().unwrap().to_owned()
}

fn run(network: &Network, models: &[String], first_layer: FirstLayer) -> Priced {
    run_at(network, models, QuantizationConfig { calibration_images: 2, first_layer, ..QuantizationConfig::default() })
}

fn run_at(network: &Network, models: &[String], quantization: QuantizationConfig) -> Priced {
    let config = SimulateConfig {
        data: data(),
        input_size: None,
        quantization,
        layers: LayersConfig::default(),
        designs: Designs::embedded(),
        accelerators: accelerator_configs(&Designs::embedded(), models, &[], &[]).unwrap(),
        costs: CostsConfig::Auto,
        allowed_loss_points: 1.0,
        chips: None,
        dump: None,
        trace: None,
    };
    simulate(network, &config, &Silent).unwrap()
}

/// Operands, sums and, in ComPEND, end planes are checked against the integer network in each run.
#[test]
fn every_design_simulates_a_file_in_qdq_form() {
    let folder = tempfile::tempdir().unwrap();
    let models: Vec<String> = ACCELERATORS
        .iter()
        .map(|model| model.name().to_owned())
        .filter(|name| !skimp_testkit::BINARY_DESIGNS.contains(&name.as_str()))
        .collect();
    let network = Network::open(&write(folder.path(), CodeType::U8, Scheme::Asymmetric, Scheme::Symmetric)).unwrap();
    assert!(is_quantized(&network.graph));
    let simulation = run(&network, &models, FirstLayer::Signed);
    assert_eq!((simulation.record.weight_bits, simulation.record.activation_bits), (8, 8));
    assert_eq!(simulation.record.accelerators.len(), models.len());
    assert!(simulation.in_integers.unwrap().is_whole());
    for design in &simulation.record.accelerators {
        assert!(design.total.cycles > 0 && design.total.simulated_percent > 99.9, "{}", design.name);
    }
}

#[test]
fn early_negative_detection_runs_on_every_kind_of_codes() {
    let folder = tempfile::tempdir().unwrap();
    for (code_type, scheme, weights, weight_bits) in [
        (CodeType::U8, Scheme::Symmetric, Scheme::Symmetric, 8),
        (CodeType::I8, Scheme::Asymmetric, Scheme::Symmetric, 8),
        (CodeType::I8, Scheme::Symmetric, Scheme::Asymmetric, 9),
    ] {
        let network = Network::open(&write(folder.path(), code_type, scheme, weights)).unwrap();
        let simulation = run(&network, &["compend".to_owned(), "snapea".to_owned()], FirstLayer::Offset);
        assert_eq!(simulation.record.weight_bits, weight_bits, "{code_type:?} {scheme:?} {weights:?}");
        let agreement = simulation.record.accelerators[0].findings.iter().find_map(|finding| finding.is_exact());
        assert_eq!(agreement, Some(true), "{code_type:?} {scheme:?} {weights:?}");
    }
}

/// Our file and the same network quantized at once have the same layers, and designs that look at shapes and widths alone
/// take the same cycles and events for them. (A sum of two layers is in the accumulator of the second and a node of its own
/// in the first, so designs that look at values may differ.)
#[test]
fn a_file_in_qdq_form_has_the_layers_of_the_network_quantized_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = Network::open(&write(folder.path(), CodeType::U8, Scheme::Symmetric, Scheme::Symmetric)).unwrap();
    let float = Network::open("sample-resnet").unwrap();
    let models = ["dadiannao", "systolic", "tpu-v1", "tetris"].map(str::to_owned);
    let quantization = QuantizationConfig {
        weight_bits: 8,
        activation_bits: 8,
        calibration_images: 2,
        ..QuantizationConfig::default()
    };
    let [of_file, at_once] = [&file, &float].map(|network| run_at(network, &models, quantization).record.accelerators);
    for (of_file, at_once) in of_file.iter().zip(&at_once) {
        assert_eq!(of_file.layers.len(), at_once.layers.len(), "{}", of_file.name);
        for (a, b) in of_file.layers.iter().zip(&at_once.layers) {
            assert_eq!(
                (&a.operator, a.macs, &a.cycles, &a.events),
                (&b.operator, b.macs, &b.cycles, &b.events),
                "{}",
                a.name
            );
        }
    }
}

/// Codes of uint8 and int8 under one scheme differ by 128 throughout: so do no operand, no cycle and no event.
#[test]
fn types_of_codes_make_no_difference() {
    let folder = tempfile::tempdir().unwrap();
    for scheme in [Scheme::Symmetric, Scheme::Asymmetric] {
        let of = |code_type| {
            let network = Network::open(&write(folder.path(), code_type, scheme, Scheme::Symmetric)).unwrap();
            let models = ["compend", "eyeriss", "scnn", "stripes"].map(str::to_owned);
            let record = run(&network, &models, FirstLayer::Signed).record;
            record.accelerators.into_iter().map(|design| (design.layers, design.total)).collect::<Vec<_>>()
        };
        assert_eq!(of(CodeType::U8), of(CodeType::I8), "{scheme:?}");
    }
}

#[test]
fn simulation_and_evaluation_run_one_network() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::open(&write(folder.path(), CodeType::U8, Scheme::Asymmetric, Scheme::Symmetric)).unwrap();
    let config = EvaluateConfig {
        data: DataConfig { accuracy_images: 32, ..data() },
        input_size: None,
        engine: Some(Engine::Integer),
        order: skimp_cpu::Order::Exact,
        quantization: QuantizationConfig::default(),
    };
    let evaluated = evaluate(&network, &config, &Silent).unwrap();
    let images = crate::inputs::images::Images::open(&config.data, &network.graph, None).unwrap();
    let quantized = Quantized::new(&network, &images, &config.quantization, &Silent).unwrap();
    let tally = quantized.classify(&images, 32, &Silent);
    assert_eq!(tally.unwrap().top1, evaluated.correct);
}
