//! How far each modeled effect carries from the plain models towards published figures. What the models give is recorded
//! here, as it stands in their documentation; `docs/published.md` holds it against the published figures.

use std::sync::Arc;

use skimp_sim::{LayerTrace, LayerWorkload, RecordedTrace};

use crate::support::{accelerator, vgg16_conv};

/// Channels that a pass of the chip accumulates in VGG-16's layers, from its buffer accesses (JSSC 52(1), 2017, table VI).
const CHIP_CHANNELS: [u64; 13] = [1, 1, 1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8];

/// Frames per second of VGG-16's convolutions at 200 MHz, three images at once.
fn frames_per_second(chip_channels: bool, overlap: bool) -> f64 {
    let milliseconds = |number: usize| {
        let channels = if chip_channels { CHIP_CHANNELS[number - 1] } else { 0 };
        let settings = format!("clock_mhz = 200.0\nchannels_in_pass = {channels}\nlink_overlaps = {overlap}");
        let layer = vgg16_conv(number).with_shape(|shape| shape.n = 3).unwrap();
        accelerator("eyeriss", &settings).simulate_layer(&layer, None).unwrap().total_cycles() as f64 / 200e3
    };
    3e3 / (1..=13).map(milliseconds).sum::<f64>()
}

#[test]
fn eyeriss_from_the_fastest_mapping_to_the_chip() {
    let found = [(false, true), (false, false), (true, true), (true, false)]
        .map(|(channels, overlap)| frames_per_second(channels, overlap));
    assert!(found.iter().zip(EYERISS).all(|(found, expected)| (found - expected).abs() < 5e-3), "{found:.3?}");
    skimp_testkit::check(&[("eyeriss-vgg16-frames", found[0]), ("eyeriss-vgg16-frames-held", found[3])]);
}

/// As the search finds it; without overlap; with the chip's channels; with both.
const EYERISS: [f64; 4] = [2.133, 1.338, 0.847, 0.695];

/// Settings, and the speed over a dense array of as many multipliers.
const SCNN: [(&str, f64); 5] = [
    ("", 3.800),
    ("halo = \"input\"", 1.904),
    ("bank_conflicts = \"queued\"", 3.799),
    ("bank_conflicts = \"immediate\"", 2.025),
    ("halo = \"input\"\nbank_conflicts = \"immediate\"", 0.872),
];

/// A layer of 28 x 28, 128 channels and 128 filters, with a third of the weights and 45 % of the activations, at random: no
/// source at hand gives the densities of the published networks.
#[test]
fn scnn_from_ideal_banks_to_conflicts() {
    let layer = LayerWorkload::conv("c", 128, 28, 28, 128, 3).unwrap();
    let mut state = 1u64;
    let mut draw = |per_mille: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i32::from((state >> 33) % 1000 < per_mille)
    };
    let weights = (0..layer.shape.weight_count()).map(|_| draw(333)).collect();
    let activation: Arc<[i32]> = (0..layer.shape.input_count()).map(|_| draw(450)).collect();
    let layer = LayerWorkload { weights: Some(weights), ..layer };
    let recorded = RecordedTrace { activation: Some(activation), ..RecordedTrace::default() };
    let trace = LayerTrace::new(&layer, Arc::new(recorded));
    let found = SCNN.map(|(settings, _)| {
        let result = accelerator("scnn", settings).simulate_layer(&layer, Some(&trace)).unwrap();
        layer.shape.dense_macs() as f64 / 1024.0 / result.total_cycles() as f64
    });
    assert!(found.iter().zip(SCNN).all(|(found, (_, expected))| (found - expected).abs() < 5e-3), "{found:.3?}");
    skimp_testkit::check(&[("scnn-random-zeros", found[0]), ("scnn-random-zeros-effects", found[4])]);
}
