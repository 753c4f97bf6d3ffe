//! The recorded energies of VGG-16 without END.

use skimp_sim::LayerResult;

use super::super::support::{accelerator, cycles, vgg16_conv};

/// Layer; off-chip cycles (weights, activations) and total time as recorded; total energy in mJ; dynamic energies of
/// stt, ab, wb, pu, net, ctrl and their sum; static energies of stt and pu and the sum of all; in mJ as printed.
struct Row {
    layer: usize,
    mem_stt: u64,
    mem_ab: u64,
    total_cycles: u64,
    total_mj: f64,
    dynamic_mj: [f64; 6],
    dynamic_sum_mj: f64,
    static_mj: [f64; 2],
    static_sum_mj: f64,
}

#[rustfmt::skip]
const ROWS: [Row; 9] = [
    Row { layer: 1, mem_stt: 3701, mem_ab: 325_472, total_cycles: 4_243_674, total_mj: 10.892, dynamic_mj: [0.0006, 0.0057, 0.8131, 8.7832, 0.6911, 0.3498], dynamic_sum_mj: 10.643, static_mj: [0.1783, 0.0361], static_sum_mj: 0.2487 },
    Row { layer: 2, mem_stt: 7269, mem_ab: 652_546, total_cycles: 7_937_836, total_mj: 12.984, dynamic_mj: [0.0012, 0.0114, 1.6262, 9.1549, 1.3821, 0.3498], dynamic_sum_mj: 12.526, static_mj: [0.3336, 0.0641], static_sum_mj: 0.4585 },
    Row { layer: 3, mem_stt: 14_724, mem_ab: 164_860, total_cycles: 3_606_597, total_mj: 6.466, dynamic_mj: [0.0025, 0.0028, 0.8131, 4.5733, 0.6911, 0.1749], dynamic_sum_mj: 6.258, static_mj: [0.1516, 0.0291], static_sum_mj: 0.2083 },
    Row { layer: 4, mem_stt: 29_360, mem_ab: 329_745, total_cycles: 7_076_102, total_mj: 10.643, dynamic_mj: [0.0049, 0.0057, 1.6262, 7.0438, 1.3821, 0.1749], dynamic_sum_mj: 10.238, static_mj: [0.2973, 0.0557], static_sum_mj: 0.4057 },
    Row { layer: 5, mem_stt: 58_713, mem_ab: 83_779, total_cycles: 3_539_905, total_mj: 5.339, dynamic_mj: [0.0187, 0.0025, 0.8142, 3.5219, 0.6911, 0.0874], dynamic_sum_mj: 5.136, static_mj: [0.1488, 0.0278], static_sum_mj: 0.2030 },
    Row { layer: 6, mem_stt: 117_395, mem_ab: 167_216, total_cycles: 7_543_576, total_mj: 10.188, dynamic_mj: [0.1221, 0.0094, 1.6371, 6.5191, 1.3821, 0.0874], dynamic_sum_mj: 9.757, static_mj: [0.3170, 0.0586], static_sum_mj: 0.4310 },
    Row { layer: 8, mem_stt: 234_176, mem_ab: 43_142, total_cycles: 3_843_387, total_mj: 5.101, dynamic_mj: [0.0660, 0.0045, 0.8168, 3.2596, 0.6911, 0.0437], dynamic_sum_mj: 4.882, static_mj: [0.1615, 0.0298], static_sum_mj: 0.2196 },
    Row { layer: 9, mem_stt: 468_551, mem_ab: 86_349, total_cycles: 8_712_161, total_mj: 10.307, dynamic_mj: [0.3253, 0.0179, 1.6535, 6.3880, 1.3821, 0.0437], dynamic_sum_mj: 9.811, static_mj: [0.3661, 0.0672], static_sum_mj: 0.4968 },
    Row { layer: 11, mem_stt: 468_551, mem_ab: 22_964, total_cycles: 2_428_216, total_mj: 2.605, dynamic_mj: [0.0979, 0.0044, 0.4105, 1.5970, 0.3455, 0.0109], dynamic_sum_mj: 2.466, static_mj: [0.1020, 0.0187], static_sum_mj: 0.1385 },
];

/// The layer with the off-chip cycles of the recorded run.
fn recorded_run(row: &Row) -> (Box<dyn skimp_sim::Accelerator>, LayerResult) {
    let layer = vgg16_conv(row.layer);
    let plain = accelerator("compend", "end = false").simulate_layer(&layer, None).unwrap();
    let per_line = |cycles: u64, event: &str| cycles as f64 / plain.events.get(event).unwrap() as f64;
    let settings = format!(
        "end = false\nweight_line_cycles = {:?}\nactivation_line_cycles = {:?}",
        per_line(row.mem_stt, "dram_weight_lines"),
        per_line(row.mem_ab, "dram_activation_lines")
    );
    let compend = accelerator("compend", &settings);
    let result = compend.simulate_layer(&layer, None).unwrap();
    (compend, result)
}

#[test]
fn energies_without_end() {
    let mut total_mj = 0.0;
    for row in &ROWS {
        let name = format!("C{}", row.layer);
        let (compend, result) = recorded_run(row);
        assert_eq!(result.total_cycles(), row.total_cycles, "{name}: {:?}", result.cycles);
        let energy = compend.facts().price(&result).unwrap();
        let near = |what: &str, nj: f64, printed: f64, digit: f64| {
            let mj = nj * 1e-6;
            assert!((mj - printed).abs() <= digit / 2.0 + 1e-9, "{name} {what}: {mj} against {printed}");
        };
        for (component, printed) in ["stt", "ab", "wb", "pu", "net", "ctrl"].into_iter().zip(row.dynamic_mj) {
            near(component, energy.component(component).unwrap().dynamic_nj, printed, 1e-4);
        }
        for (component, printed) in ["stt", "pu"].into_iter().zip(row.static_mj) {
            near(component, energy.component(component).unwrap().static_nj, printed, 1e-4);
        }
        near("dynamic", energy.dynamic_nj(), row.dynamic_sum_mj, 1e-3);
        near("static", energy.static_nj(), row.static_sum_mj, 1e-4);
        near("total", energy.total_nj(), row.total_mj, 1e-3);
        total_mj += energy.total_nj() * 1e-6;
    }
    skimp_testkit::check(&[("compend-energy", total_mj)]);
}

#[test]
fn average_power_of_c9() {
    let compend = accelerator("compend", "end = false");
    let result = compend.simulate_layer(&vgg16_conv(9), None).unwrap();
    let milliwatt = |energy: f64| energy / (result.total_cycles() as f64 / compend.facts().clock_mhz);
    let full = milliwatt(compend.facts().price(&result).unwrap().total_nj());
    let low = accelerator("compend", "end = false\ncosts = \"compend-45nm-low-pu\"");
    let low = milliwatt(low.facts().price(&result).unwrap().total_nj());
    skimp_testkit::check(&[("compend-c9-power", full), ("compend-c9-power-low-pu", low)]);
}

#[test]
fn root_units_counted_once_cost_less_where_divisions_share_the_array() {
    let faithful = accelerator("compend", "end = false");
    let physical = accelerator("compend", "end = false\nfaithful_root_count = false");
    for number in 1..=13 {
        let layer = vgg16_conv(number);
        let a = faithful.simulate_layer(&layer, None).unwrap();
        let b = physical.simulate_layer(&layer, None).unwrap();
        assert_eq!(cycles(&a, "run_pu"), cycles(&b, "run_pu"));
        let (a, b) = (a.events.get("pu_accesses").unwrap(), b.events.get("pu_accesses").unwrap());
        assert!(if number <= 8 { b < a } else { a == b }, "C{number}: {a} {b}");
    }
}
