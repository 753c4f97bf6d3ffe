//! Published gains beside what the models give on a real network: one test for each design that skips, with the gap and
//! its likely cause. They need `SKIMP_DATA`, a folder with `cifar10/` and `models/`.

use skimp_report::records::AcceleratorRecord;

use crate::{
    AcceleratorConfig, CostsConfig, DataConfig, LayersConfig, Network, QuantizationConfig, Silent, SimulateConfig,
    simulate,
};

/// VGG-16's convolutions on one CIFAR-10 image of 64 x 64; `None` and a message without `SKIMP_DATA`.
fn vgg16(accelerators: &[(&str, &str)]) -> Option<Vec<AcceleratorRecord>> {
    let data = skimp_testkit::data("a real network to measure")?;
    let network = Network::open(data.join("models/imagenet_vgg16_conv_cifar10_head.onnx").to_str().unwrap()).unwrap();
    let config = |&(model, settings): &(&str, &str)| AcceleratorConfig {
        preset: None,
        model: model.to_owned(),
        label: None,
        set: settings.parse().unwrap(),
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
        accelerators: accelerators.iter().map(config).collect(),
        costs: CostsConfig::Auto,
        allowed_loss_points: 1.0,
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

struct Case {
    what: &'static str,
    published: &'static str,
    why: &'static str,
    found: f64,
    /// What was measured, give or take a few percent.
    within: (f64, f64),
}

fn check(cases: &[Case]) {
    let wrong = |case: &&Case| !(case.within.0..=case.within.1).contains(&case.found);
    let say = |case: &Case| {
        let Case { what, published, why, found, within } = case;
        format!("{what}: {found:.3}, measured before {within:?}; published {published}; {why}")
    };
    let wrong: Vec<String> = cases.iter().filter(wrong).map(say).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
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
    let case = |what, published, why, found, within| Case { what, published, why, found, within };
    let cause = "four lanes wait for their slowest window, eight elements for each other at the end of a kernel";
    check(&[
        case("speed of the exact mode over dense", "1.28", cause, cycles(dense) / cycles(exact), (1.01, 1.04)),
        case(
            "the same without barriers",
            "1.28",
            "the work itself, and small maps that do not fill the array",
            cycles(dense) / cycles(free),
            (1.06, 1.10),
        ),
        case(
            "executed share of the work: the bound of any array",
            "0.78, if 28 % come from skipping alone",
            "positive weights come first and must all be done; zeros are multiplied",
            executed(exact),
            (0.80, 0.86),
        ),
        case(
            "energy of the exact mode over dense",
            "0.84",
            "a 16-bit index for each weight read takes what skipped work saves",
            exact.total.energy_mj / dense.total.energy_mj,
            (0.97, 1.03),
        ),
        case(
            "the same without an index buffer",
            "0.84",
            "",
            no_index.total.energy_mj / dense.total.energy_mj,
            (0.80, 0.88),
        ),
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
    let case = |what, published, why, found, within| Case { what, published, why, found, within };
    check(&[
        case("Cnvlutin", "1.37 (1.24 to 1.55)", "one network; the barrier of a window", gain(1), (1.1, 1.6)),
        case("Stripes, lossless", "1.92", "ranges by max fill 16 bits: nothing is trimmed", gain(2), (0.9, 1.1)),
        case("Bit-Pragmatic", "2.6", "quick rule; codes by max have more one bits", gain(3), (1.2, 2.2)),
        case(
            "2:4",
            "2.0 on pruned weights",
            "these weights are not pruned: the pattern does not hold",
            gain(4),
            (0.99, 1.01),
        ),
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
    let case = |what, published, why, found, within| Case { what, published, why, found, within };
    let loading = "weights of small maps are loaded for few windows: memory bounds the deep layers at 64 x 64";
    check(&[
        case("ComPEND", "1.20 (-16.62 %)", loading, gain(0, 1), (1.0, 1.2)),
        case("ComPreEND, share 0.3", "1.293 over its baseline", loading, gain(0, 2), (1.0, 1.3)),
        case("ZeNA", "5.2 on pruned VGG-16", "not pruned: only activations are zero", gain(3, 4), (1.4, 2.4)),
        case("SCNN, of its dense peak", "2.7 on pruned networks", "weights are dense", of_peak(5), (0.5, 1.8)),
        case("Laconic, of its dense peak", "2.3 to 15.4", "16-bit codes by max", of_peak(6), (0.5, 3.0)),
        case(
            "BitWave, of its dense peak",
            "up to 13.25",
            "no bit flips after training, 16 bits",
            of_peak(7),
            (0.2, 1.5),
        ),
    ]);
    assert!(gain(1, 2) >= 1.0, "prediction stops no later than the proof");
}
