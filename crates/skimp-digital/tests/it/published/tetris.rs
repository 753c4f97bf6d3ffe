//! TETRIS: closed-form vectors, the acceptance of the open model, and its counts.
//!
//! Reference runs: stanford-mast/nn_dataflow 2.1, the configurations of its test "TETRIS Figure 8" (unbounded memory
//! bandwidth, accumulation in the engine, batch 16); pooling layers taken out, since nothing here models them.

use skimp_digital::tetris::blocking::{Accumulation, PsumRule};
use skimp_digital::tetris::bypass::{BypassProblem, Resident};
use skimp_digital::tetris::{TETRIS, TETRIS_L1, Tetris};
use skimp_sim::{Accelerator, LayerResult, LayerWorkload};

use crate::support::vgg16_conv;

const OPEN_MODEL: &str = "dram_megabytes_per_s = 0.0\naccumulation = \"engine\"\nwhole_array = true";

fn rule(accumulation: Accumulation) -> PsumRule {
    PsumRule { accumulation, first_read: false }
}

#[test]
fn bypass_vectors() {
    let problem = BypassProblem { counts: [4, 8, 1], words: [9, 100, 100], buffer_words: 200 };
    let engine = rule(Accumulation::Engine);
    assert_eq!(problem.memory_words(Resident::Ifmaps, [2, 1, 1], engine), Some(3088));
    assert_eq!(problem.least(Resident::Ifmaps, engine), Some((3088, [2, 1, 1])));
    assert_eq!(problem.least(Resident::Ofmaps, engine), Some((2688, [1, 4, 1])));
    assert_eq!(problem.least(Resident::Filters, engine), Some((1888, [1, 2, 1])));
    for accumulation in [Accumulation::DramDie, Accumulation::Bank, Accumulation::Subarray] {
        assert_eq!(problem.memory_words(Resident::Ifmaps, [2, 1, 1], rule(accumulation)), Some(2288));
    }
    assert_eq!(problem.memory_words(Resident::Ifmaps, [2, 1, 1], rule(Accumulation::MemoryController)), Some(3088));
    let paper = PsumRule { first_read: true, ..engine };
    assert_eq!(problem.memory_words(Resident::Ifmaps, [2, 1, 1], paper), Some(3888));
    assert_eq!(problem.memory_words(Resident::Ifmaps, [1, 1, 1], engine), None, "400 words in a buffer of 200");
}

#[test]
fn psum_rounds() {
    for (accumulation, engine, tsv, die_bus) in [
        (Accumulation::Engine, 5, 5, 5),
        (Accumulation::MemoryController, 3, 5, 5),
        (Accumulation::DramDie, 3, 3, 5),
        (Accumulation::Bank, 3, 3, 3),
        (Accumulation::Subarray, 3, 3, 3),
    ] {
        let psum = rule(accumulation);
        assert_eq!((psum.engine(3), psum.tsv(3), psum.die_bus(3)), (engine, tsv, die_bus), "{accumulation:?}");
        assert_eq!(psum.read_write(3), 5, "cells read and write with any option");
        assert_eq!(psum.read_write(1), 1);
    }
}

/// AlexNet in two columns, as in the open model.
fn alexnet() -> Vec<LayerWorkload> {
    let half = |name: &str, c: usize, extent: usize, k: usize, kernel: usize| {
        LayerWorkload::conv(name, c, extent, extent, k, kernel).unwrap()
    };
    let mut conv1 = half("conv1", 3, 227, 48, 11);
    conv1 =
        conv1.with_shape(|shape| (shape.strides, shape.pads_begin, shape.pads_end) = ([4, 4], [0, 0], [0, 0])).unwrap();
    let mut fc1 = half("fc1", 256, 6, 4096, 6);
    fc1 = fc1.with_shape(|shape| (shape.pads_begin, shape.pads_end) = ([0, 0], [0, 0])).unwrap();
    let columns = [
        conv1,
        half("conv2", 48, 27, 128, 5),
        half("conv3", 256, 13, 192, 3),
        half("conv4", 192, 13, 192, 3),
        half("conv5", 192, 13, 128, 3),
    ];
    let mut layers: Vec<_> = columns.iter().flat_map(|layer| [layer.clone(), layer.clone()]).collect();
    layers.extend([fc1, LayerWorkload::dense("fc2", 4096, 4096), LayerWorkload::dense("fc3", 4096, 1000)]);
    layers.iter_mut().for_each(|layer| layer.shape = layer.shape.with_images(16));
    layers
}

/// Cycles and millijoules.
fn totals(model: &Tetris, settings: &str, layers: &[LayerWorkload]) -> (u64, f64, Vec<LayerResult>) {
    let engine = model.engine(&settings.parse().unwrap()).unwrap();
    let results = engine.simulate_network(layers).unwrap().unwrap();
    let energy = results.iter().map(|result| engine.facts().price(result).unwrap().total_nj()).sum::<f64>() * 1e-6;
    (results.iter().map(LayerResult::total_cycles).sum(), energy, results)
}

#[test]
fn alexnet_acceptance() {
    let layers = alexnet();
    let (l1_cycles, l1_mj, l1) = totals(&TETRIS_L1, OPEN_MODEL, &layers);
    let (t16_cycles, t16_mj, t16) = totals(&TETRIS, OPEN_MODEL, &layers);
    assert!((t16_cycles as f64) < 1.2 * l1_cycles as f64 * 256.0 / 3136.0, "{l1_cycles} {t16_cycles}");
    assert!(t16_mj < 0.72 * l1_mj, "{l1_mj} {t16_mj}");

    // Cycles and mJ of the open model with exhaustive blocking, layer by layer.
    let open_model =
        [(5_575_680, 8.19706), (13_271_040, 15.8326), (6_230_016, 9.79053), (4_672_512, 7.3756), (3_115_008, 4.93406)];
    let columns = open_model.iter().flat_map(|&layer| [layer, layer]);
    let dense = [(3_145_728, 13.9316), (1_048_576, 6.07178), (262_144, 1.49642)];
    let engine = TETRIS_L1.engine(&OPEN_MODEL.parse().unwrap()).unwrap();
    for (result, (cycles, millijoules)) in l1.iter().zip(columns.chain(dense)) {
        assert_eq!(result.total_cycles(), cycles, "{}", result.layer);
        let found = engine.facts().price(result).unwrap().total_nj() * 1e-6;
        assert!((found / millijoules - 1.0).abs() < 3e-3, "{}: {found} mJ", result.layer);
    }
    skimp_testkit::check(&[
        ("tetris-l1-alexnet-cycles", l1_cycles as f64),
        ("tetris-l1-alexnet-energy", l1_mj),
        ("tetris-t16-alexnet-cycles", t16_cycles as f64),
        ("tetris-t16-alexnet-energy", t16_mj),
    ]);
    assert!(t16.iter().all(|result| result.images == 16));
}

#[test]
fn vgg16_against_the_open_model() {
    let layers: Vec<_> = (1..=13).map(|number| vgg16_conv(number).with_shape(|shape| shape.n = 16).unwrap()).collect();
    let (l1_cycles, l1_mj, _) = totals(&TETRIS_L1, OPEN_MODEL, &layers);
    let (t16_cycles, t16_mj, _) = totals(&TETRIS, OPEN_MODEL, &layers);
    skimp_testkit::check(&[
        ("tetris-l1-vgg16-cycles", l1_cycles as f64),
        ("tetris-l1-vgg16-energy", l1_mj),
        ("tetris-t16-vgg16-cycles", t16_cycles as f64),
        ("tetris-t16-vgg16-energy", t16_mj),
    ]);
    for (model, exhaustive) in [(&TETRIS_L1, l1_mj), (&TETRIS, t16_mj)] {
        let (_, bypass, _) = totals(model, &format!("{OPEN_MODEL}\nsearch = \"bypass\""), &layers);
        assert!((1.0..1.03).contains(&(bypass / exhaustive)), "bypass {bypass}, exhaustive {exhaustive}");
    }
}

#[test]
fn memory_options_order_as_expected() {
    let layers: Vec<_> = (1..=13).map(|number| vgg16_conv(number).with_shape(|shape| shape.n = 16).unwrap()).collect();
    // Small storage, so that partial sums return to memory.
    let small = "buffer_bytes = 4096\nregister_bytes = 64\ndram_megabytes_per_s = 32000.0\n";
    // Each option moves no word more than the one before it, so its best schedule costs no more.
    for goal in ["e", "d"] {
        let mut before = f64::INFINITY;
        for accumulation in ["engine", "memory-controller", "dram-die", "bank", "subarray"] {
            let settings = format!("{small}goal = \"{goal}\"\naccumulation = \"{accumulation}\"");
            let engine = TETRIS.engine(&settings.parse().unwrap()).unwrap();
            let worth: f64 = layers
                .iter()
                .map(|layer| {
                    let result = engine.simulate_layer(layer, None).unwrap();
                    let energy = engine.facts().price(&result).unwrap().total_nj();
                    if goal == "e" { energy } else { result.total_cycles() as f64 }
                })
                .sum();
            assert!(worth <= before * (1.0 + 1e-9), "{goal} {accumulation}: {worth} after {before}");
            before = worth;
        }
    }
    let paper = totals(&TETRIS, &format!("{small}count_first_psum_read = true"), &layers).1;
    assert!(paper > totals(&TETRIS, small, &layers).1);
    let planar = "memory = \"2d\"\naccumulation = \"engine\"";
    assert!(totals(&TETRIS, planar, &layers).1 > totals(&TETRIS, "accumulation = \"engine\"", &layers).1);
    let naive = totals(&TETRIS, "partition = \"naive\"", &layers[10..]).1;
    assert!(naive > totals(&TETRIS, "", &layers[10..]).1);
}

/// Where the gains of T-16 over L-1 come from, on one network.
#[derive(Debug)]
struct Gains {
    network: &'static str,
    speed: f64,
    /// How much better the arrays are filled, per element; and how much less memory is waited for.
    utilization: f64,
    waiting: f64,
    energy: f64,
    /// What the 2D table of costs makes of T-16's own counts, and what it makes of L-1's beyond that.
    costs: f64,
    counts: f64,
    /// Speed and energy over four engines of L-1.
    four: [f64; 2],
}

#[test]
fn gains_of_the_presets() {
    // What the published gains are over is not L-1: T-16 has 12.25 times its elements, and the authors' own test asks for
    // more than ten times its speed. The parts are recorded here as they are; none is published.
    let vgg: Vec<_> = (1..=13).map(|number| vgg16_conv(number).with_shape(|shape| shape.n = 16).unwrap()).collect();
    let expected = [
        (
            alexnet(),
            Gains {
                network: "AlexNet",
                speed: 14.02,
                utilization: 1.164,
                waiting: 0.983,
                energy: 1.80,
                costs: 1.57,
                counts: 1.144,
                four: [3.34, 1.55],
            },
        ),
        (
            vgg,
            Gains {
                network: "VGG-16",
                speed: 15.50,
                utilization: 1.265,
                waiting: 1.0,
                energy: 1.79,
                costs: 1.44,
                counts: 1.243,
                four: [3.59, 1.47],
            },
        ),
    ];
    let compute = |results: &[LayerResult]| -> f64 {
        results.iter().map(|result| result.cycles.get("compute").unwrap() as f64).sum()
    };
    let mut failures = Vec::new();
    for (layers, expected) in expected {
        let (l1_cycles, l1_mj, l1) = totals(&TETRIS_L1, "", &layers);
        let (t16_cycles, t16_mj, t16) = totals(&TETRIS, "", &layers);
        let (_, planar_mj, _) = totals(&TETRIS, "costs = \"tetris-45nm-2d\"\naccumulation = \"engine\"", &layers);
        let (four_cycles, four_mj, _) = totals(&TETRIS_L1, "vault_rows = 2\nvault_columns = 2", &layers);
        let speed = l1_cycles as f64 / t16_cycles as f64;
        let computing = compute(&l1) / compute(&t16);
        let found = Gains {
            network: expected.network,
            speed,
            utilization: computing * 256.0 / 3136.0,
            waiting: speed / computing,
            energy: l1_mj / t16_mj,
            costs: planar_mj / t16_mj,
            counts: l1_mj / planar_mj,
            four: [four_cycles as f64 / t16_cycles as f64, four_mj / t16_mj],
        };
        if found.network == "VGG-16" {
            skimp_testkit::check(&[("tetris-speed", found.speed), ("tetris-energy", found.energy)]);
        }
        let pairs = |gains: &Gains| {
            let [four_speed, four_energy] = gains.four;
            let Gains { speed, utilization, waiting, energy, costs, counts, .. } = *gains;
            [speed, utilization, waiting, energy, costs, counts, four_speed, four_energy]
        };
        if pairs(&found).iter().zip(pairs(&expected)).any(|(found, expected)| (found / expected - 1.0).abs() > 5e-3) {
            failures.push(format!("found {found:.3?}, expected {expected:?}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn gains_over_four_engines_on_one_image() {
    let mut layers: Vec<_> = (1..=13).map(vgg16_conv).collect();
    layers.extend(skimp_testkit::VGG16_DENSE.map(|(c, k)| LayerWorkload::dense("fc", c, k)));
    let (four_cycles, four_mj, _) = totals(&TETRIS_L1, "batch = 1\nvault_rows = 2\nvault_columns = 2", &layers);
    let (t16_cycles, t16_mj, _) = totals(&TETRIS, "batch = 1", &layers);
    skimp_testkit::check(&[
        ("tetris-speed-four", four_cycles as f64 / t16_cycles as f64),
        ("tetris-energy-four", four_mj / t16_mj),
    ]);
}
