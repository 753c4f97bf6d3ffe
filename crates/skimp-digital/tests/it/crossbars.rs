//! Designs of resistive cells: counts from operands, exact sums of ideal chips, what is refused.

use std::sync::Arc;

use skimp_numerics::rng::{Draws, stream};
use skimp_sim::{
    Accelerator, Found, LayerEffect, LayerResult, LayerTrace, LayerWorkload, Moment, Nonlinearity, RecordedTrace,
    SimError, Tuner,
};

use crate::support::{accelerator, events, searched};

const NOTHING: &str = "lrs_spread = 0.0\nhrs_spread = 0.0\nread_noise = 0.0\nsense_offset = 0.0\n";
const PERCEPTRON: [[usize; 2]; 3] = [[784, 512], [512, 256], [256, 10]];

/// What drives a layer: signs, spikes of a share, or words of 4 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Input {
    Signs,
    Spikes(f64),
    Words,
}

/// A binary layer with real operands.
struct Case {
    layer: LayerWorkload,
    codes: Vec<i32>,
    bias: Vec<i64>,
    sums: Vec<i64>,
}

impl Case {
    fn new([n, k]: [usize; 2], input: Input, nonlinearity: Nonlinearity) -> Self {
        let mut draws = Draws::new(5, stream("test/crossbars"));
        let weights: Vec<i32> = (0..n * k).map(|_| if draws.chance(0.5) { 127 } else { -127 }).collect();
        let codes: Vec<i32> = (0..n)
            .map(|_| match input {
                Input::Signs => 2 * i32::from(draws.chance(0.5)) - 1,
                Input::Spikes(share) => i32::from(draws.chance(share)),
                Input::Words => draws.between(0, 15) as i32,
            })
            .collect();
        let (bits, signed) = match input {
            Input::Signs => (2, true),
            Input::Spikes(_) => (1, false),
            Input::Words => (4, false),
        };
        let bias: Vec<i64> = (0..k).map(|_| 127 * (draws.between(0, 8) as i64 - 4) + 63).collect();
        let dot = |(channel, bias): (&[i32], &i64)| {
            channel.iter().zip(&codes).map(|(w, x)| i64::from(w * x)).sum::<i64>() + bias
        };
        let sums = weights.chunks_exact(n).zip(&bias).map(dot).collect();
        let layer = LayerWorkload {
            weight_bits: 8,
            activation_bits: bits,
            activation_signed: signed,
            nonlinearity,
            weights: Some(weights.into()),
            ..LayerWorkload::dense(&format!("fc{n}"), n, k)
        };
        Self { layer, codes, bias, sums }
    }

    fn trace(&self, image: u64) -> LayerTrace {
        let recorded = RecordedTrace {
            activation: Some(self.codes.clone().into()),
            output_sums: Some(self.sums.clone().into()),
            bias: Some(self.bias.clone().into()),
            residual: None,
        };
        LayerTrace::new(&self.layer, Arc::new(recorded)).of(Moment { image, step: 0 })
    }

    fn on(&self, design: &dyn Accelerator, image: u64) -> Vec<i64> {
        let mut sums = self.sums.clone();
        if let Some(effect) = design.effect() {
            effect.sums(&self.layer, &self.trace(image), &mut sums).unwrap();
        }
        sums
    }

    fn counted(&self, design: &dyn Accelerator) -> LayerResult {
        design.simulate_layer(&self.layer, Some(&self.trace(0))).unwrap()
    }
}

#[test]
fn ideal_chips_compute_the_network() {
    for input in [Input::Signs, Input::Spikes(0.3), Input::Words] {
        let case = Case::new([100, 40], input, Nonlinearity::Sign);
        for outputs in ["single", "differential"] {
            let ideal = format!("{NOTHING}bias = \"ideal\"\noutputs = \"{outputs}\"");
            assert!(accelerator("bsnn-tile", &ideal).effect().is_none());
            // Cells without deviation in the way of an effect that is there for something else.
            let other = accelerator("bsnn-tile", &format!("{ideal}\nstuck_at_lrs = 1e-9"));
            assert_eq!(case.on(&*other, 3), case.sums, "{input:?}");
            // Levels enough for every sum of 27 weights.
            let adder = format!("{ideal}\ncombine = \"adder\"\nlevels = \"linear\"\nlevels_bits = 8");
            let found = case.on(&*accelerator("bsnn-tile", &adder), 3);
            let expected = case.sums.clone();
            assert_eq!(found, expected, "{input:?} {outputs}");
        }
        let xnor = accelerator("xnor-rram", &format!("{NOTHING}levels_bits = 8"));
        assert_eq!(case.on(&*xnor, 3), case.sums, "{input:?}");
    }
}

/// One tile that decides for itself decides as the network does.
#[test]
fn one_vote_is_the_neuron() {
    let case = Case::new([27, 60], Input::Spikes(0.5), Nonlinearity::Sign);
    let majority = accelerator("bsnn-tile", &format!("{NOTHING}bias = \"ideal\"\ncombine = \"majority\""));
    let found = case.on(&*majority, 0);
    assert!(found.iter().zip(&case.sums).all(|(found, exact)| (*found >= 0) == (*exact >= 0)));
    // Votes of many tiles are not.
    let case = Case::new([270, 60], Input::Spikes(0.5), Nonlinearity::Sign);
    let found = case.on(&*majority, 0);
    assert!(found.iter().zip(&case.sums).any(|(found, exact)| (*found >= 0) != (*exact >= 0)));
}

/// An image's sums depend on the chip and the image alone, chips differ, and reads do.
#[test]
fn chips_are_samples() {
    let case = Case::new([200, 40], Input::Signs, Nonlinearity::None);
    for name in ["bsnn-tile", "xnor-rram"] {
        let noisy = "read_noise = 0.2\nsense_offset = 0.05\n";
        let chip = |number: u64| accelerator(name, &format!("{noisy}chip = {number}"));
        let first = case.on(&*chip(0), 7);
        let same = chip(0);
        let _ = case.on(&*same, 8);
        assert_eq!(case.on(&*same, 7), first, "{name}");
        assert_ne!(case.on(&*same, 8), first, "{name}");
        assert_ne!(case.on(&*chip(1), 7), first, "{name}");
    }
}

#[test]
fn reads_are_counted_from_operands() {
    let case = Case::new([100, 40], Input::Spikes(0.3), Nonlinearity::Sign);
    let spikes = case.codes.iter().sum::<i32>() as u64;
    let single = case.counted(&*accelerator("bsnn-tile", ""));
    // 4 row tiles of 2 column tiles; each driven row has 40 cells and, in each column tile, two of a reference.
    assert_eq!(events(&single, "row_drives"), 2 * spikes);
    assert_eq!(events(&single, "lrs_reads") + events(&single, "hrs_reads"), spikes * (40 + 2 * 2));
    assert_eq!((events(&single, "senses"), events(&single, "bias_reads")), (40, 4 * 5 * 42));
    assert_eq!(single.total_cycles(), 1);
    let pairs = case.counted(&*accelerator("bsnn-tile", "outputs = \"differential\""));
    assert_eq!(events(&pairs, "lrs_reads"), 40 * spikes);
    assert_eq!(pairs.mapping, [("row_tiles", 4), ("column_tiles", 3), ("tiles", 12)]);
    let signs = Case::new([100, 40], Input::Signs, Nonlinearity::Sign);
    let xnor = signs.counted(&*accelerator("xnor-rram", ""));
    // Either row of a pair is driven.
    assert_eq!(events(&xnor, "lrs_reads") + events(&xnor, "hrs_reads"), 100 * 40);
    assert_eq!((events(&xnor, "senses"), xnor.total_cycles()), (7 * 40, 8));
    // Nothing in, nothing driven.
    let silent = Case::new([100, 40], Input::Spikes(0.0), Nonlinearity::Sign);
    let silent = silent.counted(&*accelerator("bsnn-tile", ""));
    assert_eq!((events(&silent, "row_drives"), events(&silent, "tile_reads")), (0, 0));
}

/// Thresholds of the five bias rows of one tile reach 5; of all row tiles further.
#[test]
fn thresholds_are_clipped_to_bias_rows() {
    let mut case = Case::new([100, 40], Input::Spikes(0.3), Nonlinearity::Sign);
    case.bias = (0..40).map(|k| 127 * (k - 20) + 63).collect();
    let share = |bias: &str| match case.counted(&*accelerator("bsnn-tile", bias)).findings.first() {
        Some(finding) => match finding.found {
            Found::Share { part, whole } => (part, whole),
            _ => (99, 99),
        },
        None => (0, 0),
    };
    // -20 to 19: beyond 5 are 15 below and 14 above.
    assert_eq!(share("bias = \"one-tile\""), (29, 40));
    assert_eq!(share("bias = \"every-tile\""), (0, 40));
    assert_eq!(share("bias = \"ideal\""), (0, 0));
    let clipped = accelerator("bsnn-tile", &format!("{NOTHING}bias = \"one-tile\""));
    let found = case.on(&*clipped, 0);
    assert_eq!(found[39] - case.sums[39], 127 * (5 - 19));
    assert_eq!(found[0] - case.sums[0], 127 * (20 - 5));
    assert_eq!(found[20], case.sums[20]);
}

fn perceptron(name: &str, settings: &str) -> (u64, f64, f64) {
    let design = accelerator(name, settings);
    let (mut tiles, mut nanojoules, mut macs) = (0, 0.0, 0);
    for shape in PERCEPTRON {
        let result = Case::new(shape, Input::Spikes(0.5), Nonlinearity::Sign).counted(&*design);
        tiles += result.mapping.iter().find(|(key, _)| *key == "tiles").unwrap().1;
        nanojoules += design.facts().price(&result).unwrap().total_nj();
        macs += result.macs;
    }
    (tiles, nanojoules, 2.0 * macs as f64 / nanojoules * 1e-3)
}

/// The lecture's perceptron: tiles follow from the mapping; the energy is predicted from cells and sense amplifiers, and what is
/// calibrated is only calibrated.
#[test]
fn the_perceptron_of_the_lecture() {
    let (tiles, predicted, tops_per_w) = perceptron("bsnn-tile", "");
    assert_eq!(tiles, 642);
    assert_eq!(perceptron("bsnn-tile", "outputs = \"differential\"").0, 1274);
    let (_, calibrated, _) = perceptron("bsnn-tile-calibrated", "");
    assert!((calibrated / 1.09 - 1.0).abs() < 0.03, "{calibrated} nJ");
    // Closed forms: power times time, and two operations a weight.
    let published = 519.6e-3 * 2.1;
    skimp_testkit::check(&[
        ("bsnn-tile-energy", published),
        ("bsnn-tile-efficiency-rounded", 2.0 * 0.53e6 / published * 1e-3),
        ("bsnn-tile-efficiency", 2.0 * 535_040.0 / published * 1e-3),
        ("bsnn-tile-tiles-single", tiles as f64),
        ("bsnn-tile-tiles-differential", 1274.0),
        ("bsnn-tile-predicted", tops_per_w),
        ("bsnn-tile-predicted-energy", predicted),
        ("ni-digital-reram", 792.0 / 6.3),
    ]);
}

/// A read of a sub-array: what the projection and the silicon say, and what cells and sense amplifiers come to.
#[test]
fn a_read_of_an_xnor_sub_array() {
    let design = accelerator("xnor-rram", "");
    let case = Case::new([128, 128], Input::Signs, Nonlinearity::Sign);
    let ours = 1e3 * design.facts().price(&case.counted(&*design)).unwrap().total_nj();
    let ops = 2.0 * 128.0 * 128.0;
    skimp_testkit::check(&[
        ("xnor-rram-projected-read", ops / 141.18),
        ("xnor-rram-silicon-read", 2.0 * 128.0 * 64.0 / 24.0),
        ("xnor-rram-predicted-read", ours),
        ("xnor-rram-projection-over-silicon", 141.18 / 24.0),
    ]);
}

#[test]
fn impossible_settings_and_networks_are_refused() {
    let error = |name: &str, settings: &str| {
        let overrides = settings.parse().unwrap();
        skimp_sim::find_model(skimp_digital::ACCELERATORS, name)
            .unwrap()
            .accelerator(&overrides)
            .unwrap_err()
            .to_string()
    };
    let found = error("bsnn-tile", "on_off_ratio = 0.5");
    assert!(found.contains("on_off_ratio") && found.contains("above 1"), "{found}");
    assert!(error("xnor-rram", "lrs_ohm = -5.0").contains("lrs_ohm"));
    assert!(error("bsnn-tile", "technology_nm = 28").contains("32, 45 or 65"));
    let stuck = error("bsnn-tile", "stuck_at_lrs = 0.6\nstuck_at_hrs = 0.6");
    assert!(stuck.contains("stuck_at_hrs") && stuck.contains("at most 1"), "{stuck}");

    let tile = accelerator("bsnn-tile", "tiles = 100");
    let layers = PERCEPTRON.map(|shape| Case::new(shape, Input::Signs, Nonlinearity::Sign).layer);
    let refused = |error: SimError| error.to_string();
    let found = refused(tile.check_network(&layers).unwrap_err());
    assert!(found.contains("takes 642 tiles") && found.contains("found 100"), "{found}");
    let float = LayerWorkload { weights: Some(vec![1, 2, 3, 4].into()), ..LayerWorkload::dense("fc", 4, 1) };
    let found = refused(tile.check_network(&[float]).unwrap_err());
    assert!(found.contains("\"fc\"") && found.contains("not binary"), "{found}");
    let grouped = LayerWorkload::conv("dw", 8, 5, 5, 8, 3).unwrap().with_shape(|shape| shape.groups = 8).unwrap();
    let grouped = LayerWorkload { weights: Some(vec![1; 72].into()), ..grouped };
    assert!(refused(tile.check_network(&[grouped]).unwrap_err()).contains("8 groups"));
}

/// Chips whose cells spread widely decide otherwise than the network, and less so with thresholds of their own: over 64 images that
/// took no part in the estimate. Sums that go on as numbers come closer, too. Clipped thresholds stay clipped.
#[test]
fn thresholds_follow_a_chip() {
    for (name, more) in [
        ("bsnn-tile", "bias = \"ideal\"\n"),
        ("bsnn-tile", "bias = \"ideal\"\ncombine = \"adder\"\nlevels_bits = 8\n"),
        ("xnor-rram", "levels_bits = 8\nwide_levels_bits = 8\n"),
    ] {
        for nonlinearity in [Nonlinearity::Sign, Nonlinearity::None] {
            let base = Case::new([200, 40], Input::Signs, nonlinearity);
            let weights = base.layer.weights.clone().unwrap();
            let case = |image: u64| {
                let mut draws = Draws::new(image, stream("test/thresholds"));
                let codes: Vec<i32> = (0..200).map(|_| if draws.chance(0.7) { 1 } else { -1 }).collect();
                let dot = |channel: &[i32]| channel.iter().zip(&codes).map(|(w, x)| i64::from(w * x)).sum::<i64>();
                let sums =
                    weights.chunks_exact(200).zip(&base.bias).map(|(channel, bias)| dot(channel) + bias).collect();
                Case { layer: base.layer.clone(), codes, bias: base.bias.clone(), sums }
            };
            let traces = (0..256).map(|image| case(image).trace(image)).collect();
            let shown = Shown { layers: vec![base.layer.clone()], traces: vec![traces] };
            let settings = format!("{more}lrs_spread = 0.4\nsense_offset = 0.0\n");
            let wrong = |design: &dyn Accelerator| -> f64 {
                let off = |image: u64| {
                    let case = case(image);
                    let found = case.on(design, image);
                    let pairs = found.iter().zip(&case.sums);
                    match nonlinearity {
                        Nonlinearity::Sign => pairs.filter(|(a, b)| (**a >= 0) != (**b >= 0)).count() as f64,
                        _ => pairs.map(|(a, b)| (a - b).abs() as f64).sum(),
                    }
                };
                (1000..1064).map(off).sum()
            };
            let network = wrong(&*accelerator(name, &settings));
            let chip = wrong(&*searched(name, &format!("{settings}thresholds_from = \"chip\""), &shown));
            assert!(chip < 0.9 * network && chip > 0.0, "{name} {more} {nonlinearity:?}: {network} -> {chip}");
        }
    }
    let model = skimp_sim::find_model(skimp_digital::ACCELERATORS, "bsnn-tile").unwrap();
    let error = |more: &str| {
        let settings = format!("thresholds_from = \"chip\"\n{more}").parse().unwrap();
        model.configure(&settings).unwrap_err().to_string()
    };
    assert!(error("combine = \"majority\"").contains("votes"), "{}", error("combine = \"majority\""));
    assert!(error("wide_input = \"binarized\"").contains("thresholds_from"));
    let error = model.accelerator(&"thresholds_from = \"chip\"".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("thresholds of the chip"), "{error}");
}

/// Layers and operands that a search is shown.
struct Shown {
    layers: Vec<LayerWorkload>,
    traces: Vec<Vec<LayerTrace>>,
}

impl Tuner for Shown {
    fn layers(&self) -> &[LayerWorkload] {
        &self.layers
    }

    fn traces(&self, layer_idx: usize) -> &[LayerTrace] {
        &self.traces[layer_idx]
    }

    fn accuracy(&self, _effect: Option<&dyn LayerEffect>) -> Result<f64, SimError> {
        panic!("levels are placed by sums alone")
    }
}

/// Sums far off the middle, as trained networks on images with a border have them: levels of independent terms are far from
/// them, those of the network's own partial sums are not, and the finer what shares them the less.
#[test]
fn levels_of_own_sums_are_where_the_sums_are() {
    let mut case = Case::new([300, 40], Input::Signs, Nonlinearity::None);
    let mut draws = Draws::new(9, stream("test/own-levels"));
    let weights: Vec<i32> = (0..300 * 40).map(|_| if draws.chance(0.85) { 1 } else { -1 }).collect();
    case.codes = (0..300).map(|_| if draws.chance(0.8) { 1 } else { -1 }).collect();
    let dot = |channel: &[i32]| channel.iter().zip(&case.codes).map(|(w, x)| i64::from(w * x)).sum::<i64>();
    case.sums = weights.chunks_exact(300).map(dot).collect();
    case.bias = vec![0; 40];
    case.layer.weights = Some(weights.into());
    let shown = Shown { layers: vec![case.layer.clone()], traces: vec![vec![case.trace(0)]] };
    for (name, more) in [("xnor-rram", ""), ("bsnn-tile", "combine = \"adder\"\nbias = \"ideal\"\n")] {
        for levels in ["linear", "quantile", "lloyd-max"] {
            let off = |from: &str| {
                let settings = format!("{NOTHING}{more}levels = \"{levels}\"\nlevels_from = \"{from}\"");
                let design = match from {
                    "independent" => accelerator(name, &settings),
                    _ => searched(name, &settings, &shown),
                };
                let found = case.on(&*design, 0);
                let off: f64 = found.iter().zip(&case.sums).map(|(a, b)| (a - b).abs() as f64).sum();
                off / found.len() as f64
            };
            let [independent, layer, sense] = ["independent", "layer", "sense"].map(off);
            assert!(layer < 0.5 * independent, "{name} {levels}: {independent} -> {layer}");
            assert!(sense <= layer, "{name} {levels}: {layer} -> {sense}");
        }
    }
    // Without them the design says what it needs.
    let settings = "levels_from = \"tile\"".parse().unwrap();
    let model = skimp_sim::find_model(skimp_digital::ACCELERATORS, "xnor-rram").unwrap();
    let error = model.accelerator(&settings).unwrap_err().to_string();
    assert!(error.contains("levels of partial sums"), "{error}");
    // A tile that adds currents reads no partial sums.
    let model = skimp_sim::find_model(skimp_digital::ACCELERATORS, "bsnn-tile").unwrap();
    let error = model.configure(&"levels_from = \"layer\"".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("combine = \"adder\""), "{error}");
}
