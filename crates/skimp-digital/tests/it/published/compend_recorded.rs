//! C5 to C13 with the recorded end planes of one ImageNet image.

use crate::support::{accelerator, cycles, events, recorded_ends, trace_of_ends, vgg16_conv};

/// Layer, run_pu cycles, controller decisions, percent of the recorded total time saved. C5's first two are those of
/// the recorded run; the others were derived from the rules by two implementations.
const RUNS: [(usize, u64, u64, f64); 9] = [
    (5, 2_851_341, 10_692_124, 11.6),
    (6, 5_394_882, 10_314_600, 15.0),
    (7, 4_511_735, 8_549_843, 26.7),
    (8, 2_466_096, 4_695_393, 20.7),
    (9, 4_705_370, 4_605_018, 20.9),
    (10, 4_068_280, 3_967_928, 28.2),
    (11, 1_021_687, 996_599, 25.1),
    (12, 1_023_196, 998_108, 25.0),
    (13, 941_943, 916_855, 28.4),
];

#[test]
fn run_cycles_and_decisions() {
    let compend = accelerator("compend", "");
    let dense = accelerator("compend", "end = false");
    let mut saved_points = 0.0;
    for (number, run_pu, decisions, saved) in RUNS {
        let Some(ends) = recorded_ends(number) else { return };
        let layer = vgg16_conv(number);
        let useful: u64 = ends.iter().map(|&end| u64::from(end)).sum();
        let result = compend.simulate_layer(&layer, Some(&trace_of_ends(&layer, ends))).unwrap();
        assert_eq!(cycles(&result, "run_pu"), run_pu, "C{number}");
        assert_eq!(events(&result, "ctrl_decisions"), decisions, "C{number}");
        assert_eq!(events(&result, "planes_useful"), useful);
        let base = dense.simulate_layer(&layer, None).unwrap().total_cycles();
        let percent = 100.0 * (1.0 - result.total_cycles() as f64 / base as f64);
        assert!((percent - saved).abs() < 0.11, "C{number}: {percent}");
        saved_points += percent;
    }
    // The nine reductions of the published mean over 15 layers.
    skimp_testkit::check(&[("compend-end-saved-points", saved_points)]);
}

#[test]
fn c5_counters_and_energies() {
    let Some(ends) = recorded_ends(5) else { return };
    let layer = vgg16_conv(5);
    // Off-chip cycles of that run: 3,129,267 in all less the phases that the model gives. Split as in the run without
    // END; only the sum matters here.
    let memory = 3_129_267 - 1 - 2_851_341 - 41_508 - 94_464;
    let settings = format!(
        "weight_line_cycles = {:?}\nactivation_line_cycles = {:?}",
        58_713.0 / 9216.0,
        f64::from(memory - 58_713) / 12_992.0
    );
    let compend = accelerator("compend", &settings);
    let result = compend.simulate_layer(&layer, Some(&trace_of_ends(&layer, ends))).unwrap();
    assert_eq!(result.total_cycles(), 3_129_267);
    for (event, expected) in [
        ("stt_reads", 41_472),
        ("stt_writes", 9216),
        ("ab_accesses", 88_640),
        ("ctrl_decisions", 10_692_124),
        ("wb_accesses", 25_306_911),
        ("net_traversals", 5_612_802),
        ("pu_accesses", 431_428_759),
    ] {
        assert_eq!(events(&result, event), expected, "{event}");
    }
    let energy = compend.facts().price(&result).unwrap();
    for (component, dynamic_mj, static_mj) in [
        ("stt", 0.018_707, 0.131_495),
        ("ab", 0.002_494, 0.006_292),
        ("wb", 0.711_939, 0.014_158),
        ("pu", 2.937_167, 0.024_619),
        ("net", 0.603_938, 0.002_209),
        ("ctrl", 0.072_792, 0.000_661),
    ] {
        let priced = energy.component(component).unwrap();
        assert!((priced.dynamic_nj * 1e-6 - dynamic_mj).abs() <= 1e-6, "{component}: {priced:?}");
        assert!((priced.static_nj * 1e-6 - static_mj).abs() <= 1e-6, "{component}: {priced:?}");
    }
    skimp_testkit::check(&[("compend-c5-end-energy", energy.total_nj() * 1e-6)]);
}
