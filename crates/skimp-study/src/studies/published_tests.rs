//! Published gains beside what the models give on a real network: what `skimp_testkit` lists
//! with the gap and its cause. They need `SKIMP_DATA`, a folder with `cifar10/` and `models/`.

use skimp_quant::QuantizationConfig;
use skimp_report::records::AcceleratorRecord;

use crate::inputs::config::DataConfig;
use crate::inputs::network::Network;
use crate::monitor::Silent;
use crate::simulate::config::{AcceleratorConfig, LayersConfig};
use crate::simulate::designs::Designs;
use crate::simulate::pricing::CostsConfig;
use crate::simulate::session::{SimulateConfig, simulate};

/// VGG-16's convolutions on one CIFAR-10 image of 64 x 64; `None` and a message without `SKIMP_DATA`.
fn vgg16(accelerators: &[(&str, &str)]) -> Option<Vec<AcceleratorRecord>> {
    let data = skimp_testkit::data("a real network to measure")?;
    let network = Network::open(data.join("models/imagenet_vgg16_conv_cifar10_head.onnx").to_str().unwrap()).unwrap();
    let config = |&(model, settings): &(&str, &str)| AcceleratorConfig {
        preset: None,
        model: model.to_owned(),
        label: None,
        set: settings.parse().unwrap(),
        origin: None,
    };
    let config = SimulateConfig {
        data: DataConfig {
            set: format!("cifar10:{}", data.join("cifar10").display()),
            preprocess: Some("caffe".to_owned()),
            ..DataConfig::default()
        },
        input_size: Some([64, 64]),
        quantization: QuantizationConfig { calibration_images: 4, ..QuantizationConfig::default() },
        layers: LayersConfig { dense: false, ..LayersConfig::default() },
        designs: Designs::embedded(),
        accelerators: accelerators.iter().map(config).collect(),
        costs: CostsConfig::Auto,
        allowed_loss_points: 1.0,
        chips: None,
        dump: None,
        trace: None,
    };
    Some(simulate(&network, &config, &Silent).unwrap().record.accelerators)
}

fn cycles(record: &AcceleratorRecord) -> f64 {
    record.total.cycles as f64
}

fn events(record: &AcceleratorRecord, event: &str) -> f64 {
    record.layers.iter().map(|layer| layer.events.get(event).copied().unwrap_or(0) as f64).sum()
}

fn macs(record: &AcceleratorRecord) -> f64 {
    record.layers.iter().map(|layer| layer.macs as f64).sum()
}

#[test]
fn snapea_exact_mode_and_its_bounds() {
    let Some(runs) = vgg16(&[
        ("snapea", "mode = \"dense\""),
        ("snapea", ""),
        ("snapea", "kernel_barrier = false\nlane_barrier = false\nkernel_assignment = \"dynamic\""),
        ("snapea", "negative_order = \"contribution\""),
        ("snapea", "negative_order = \"oracle\""),
        ("snapea", "index_bits = 0"),
    ]) else {
        return;
    };
    let [dense, exact, free, contribution, oracle, no_index] = &runs[..] else { panic!("six runs") };
    let executed = |run: &AcceleratorRecord| events(run, "executed_macs") / macs(run);
    skimp_testkit::check(&[
        ("snapea-vgg16", cycles(dense) / cycles(exact)),
        ("snapea-vgg16-free", cycles(dense) / cycles(free)),
        ("snapea-vgg16-executed", executed(exact)),
        ("snapea-vgg16-energy", exact.total.energy_mj / dense.total.energy_mj),
        ("snapea-vgg16-energy-no-index", no_index.total.energy_mj / dense.total.energy_mj),
    ]);
    let shares = [oracle, contribution, exact].map(executed);
    assert!(shares.is_sorted(), "no order beats the oracle, magnitude is near the best fixed one: {shares:?}");
    // What the barriers cost is said layer by layer.
    let why = |run: &AcceleratorRecord| run.layers.iter().flat_map(|layer| layer.why.clone()).collect::<Vec<_>>();
    assert!(why(exact).iter().any(|text| text.contains("slowest window")), "{:?}", why(exact));
    assert!(!why(free).iter().any(|text| text.contains("slowest window")), "{:?}", why(free));
}

#[test]
fn designs_over_dadiannao() {
    let Some(runs) =
        vgg16(&[("dadiannao", ""), ("cnvlutin", ""), ("stripes", ""), ("bit-pragmatic", ""), ("structured-2-4", "")])
    else {
        return;
    };
    let gain = |idx: usize| cycles(&runs[0]) / cycles(&runs[idx]);
    skimp_testkit::check(&[
        ("cnvlutin-vgg16", gain(1)),
        ("stripes-vgg16", gain(2)),
        ("bit-pragmatic-vgg16", gain(3)),
        ("structured-2-4-vgg16", gain(4)),
    ]);
}

#[test]
fn designs_over_their_own_dense_form() {
    let Some(runs) = vgg16(&[
        ("compend", "end = false"),
        ("compend", ""),
        ("compreend", ""),
        ("zena", "skip = \"none\""),
        ("zena", ""),
        ("scnn", ""),
        ("laconic", ""),
        ("bitwave", ""),
    ]) else {
        return;
    };
    let gain = |base: usize, idx: usize| cycles(&runs[base]) / cycles(&runs[idx]);
    let of_peak = |idx: usize| runs[idx].total.gmacs_per_s / runs[idx].peak_gmacs.unwrap();
    skimp_testkit::check(&[
        ("compend-vgg16-end", gain(0, 1)),
        ("compreend-vgg16", gain(0, 2)),
        ("zena-vgg16", gain(3, 4)),
        ("scnn-vgg16", of_peak(5)),
        ("laconic-vgg16", of_peak(6)),
        ("bitwave-vgg16", of_peak(7)),
    ]);
    assert!(gain(1, 2) >= 1.0, "prediction stops no later than the proof");
}
