//! Phases of VGG-16 without END and with uniform end planes: equal to the recorded runs.

use skimp_sim::LayerWorkload;

use crate::support::{accelerator, cycles, events, trace_of_ends, vgg16_conv};

/// mem_stt, stt_wb, mem_ab, ab_pu, run_pu of C1 to C13, recorded. Off-chip phases come from a memory simulator.
const RECORDED: [[u64; 5]; 13] = [
    [3701, 580, 325_472, 301_248, 3_612_672],
    [7269, 1156, 652_546, 452_928, 6_823_936],
    [14_724, 2308, 164_860, 113_088, 3_311_616],
    [29_360, 4612, 329_745, 189_504, 6_522_880],
    [58_713, 41_508, 83_779, 94_464, 3_261_440],
    [117_395, 392_020, 167_216, 344_064, 6_522_880],
    [117_395, 392_020, 167_216, 344_064, 6_522_880],
    [234_176, 133_748, 43_142, 170_880, 3_261_440],
    [468_551, 973_132, 86_349, 661_248, 6_522_880],
    [468_551, 973_132, 86_349, 661_248, 6_522_880],
    [468_551, 142_972, 22_964, 163_008, 1_630_720],
    [468_551, 142_972, 22_964, 163_008, 1_630_720],
    [468_551, 142_972, 22_964, 163_008, 1_630_720],
];

#[test]
fn phases_without_end() {
    let compend = accelerator("compend", "end = false");
    let mut on_chip = 0;
    for (number, recorded) in (1..).zip(RECORDED) {
        let layer = vgg16_conv(number);
        let result = compend.simulate_layer(&layer, None).unwrap();
        for (phase, expected) in [("stt_wb", recorded[1]), ("ab_pu", recorded[3]), ("run_pu", recorded[4])] {
            assert_eq!(cycles(&result, phase), expected, "{} {phase}", layer.name);
            on_chip += cycles(&result, phase);
        }
        for (phase, expected) in [("mem_stt", recorded[0]), ("mem_ab", recorded[2])] {
            let ratio = cycles(&result, phase) as f64 / expected as f64;
            assert!((ratio - 1.0).abs() < 0.02, "{} {phase}: {ratio}", layer.name);
        }
        assert_eq!((cycles(&result, "mem_wb"), cycles(&result, "start_up")), (0, 1));
        let total: u64 = result.total_cycles();
        let ratio = total as f64 / (recorded.iter().sum::<u64>() + 1) as f64;
        assert!((ratio - 1.0).abs() < 0.002, "{}: {ratio}", layer.name);
    }
    skimp_testkit::check(&[("compend-dense-phases", on_chip as f64)]);
}

#[test]
fn dense_layers() {
    let compend = accelerator("compend", "end = false");
    for (name, c, k, blocks, run_pu) in [("F2", 4096, 4096, 114, 66_576), ("F3", 4096, 1000, 28, 16_352)] {
        let result = compend.simulate_layer(&LayerWorkload::dense(name, c, k), None).unwrap();
        assert_eq!(cycles(&result, "run_pu"), run_pu, "{name}");
        assert_eq!(events(&result, "dram_weight_lines"), blocks * 4608, "{name}");
        assert_eq!(cycles(&result, "mem_wb"), ((blocks * 4608) as f64 * 6.36).round() as u64);
        assert_eq!(events(&result, "stt_writes"), 0);
    }
    let exact = accelerator("compend", "end = false\nfaithful_dense_blocks = false");
    let result = exact.simulate_layer(&LayerWorkload::dense("F2", 4096, 4096), None).unwrap();
    // 113 blocks of 36 filters and one of 28.
    assert_eq!(cycles(&result, "run_pu"), 4096 * 16 + 114 * 8);
    assert_eq!(events(&result, "dram_weight_lines"), 4096 * 4096 * 2 / 64);
    assert_eq!(events(&result, "planes_dense"), 4096 * 16);
}

#[test]
fn uniform_end_planes() {
    let compend = accelerator("compend", "");
    for (number, end, run_pu) in [
        (2, 8, 3_612_672),
        (2, 1, 802_816),
        (3, 8, 1_705_984),
        (3, 1, 301_056),
        (9, 8, 3_311_616),
        (9, 1, 501_760),
        (9, 16, 6_522_880),
    ] {
        let layer = vgg16_conv(number);
        let trace = trace_of_ends(&layer, vec![end; layer.shape.output_count()]);
        let result = compend.simulate_layer(&layer, Some(&trace)).unwrap();
        assert_eq!(cycles(&result, "run_pu"), run_pu, "C{number}, {end} planes");
    }
}

#[test]
fn c9_accesses() {
    let compend = accelerator("compend", "end = false");
    let result = compend.simulate_layer(&vgg16_conv(9), None).unwrap();
    for (event, expected) in [
        ("wb_accesses", 58_775_040),
        ("net_traversals", 12_845_056),
        ("pu_accesses", 938_312_704),
        ("stt_reads", 972_288),
        ("stt_writes", 73_728),
        ("ab_accesses", 637_056),
        ("ctrl_decisions", 6_422_528),
    ] {
        assert_eq!(events(&result, event), expected, "{event}");
    }
}
