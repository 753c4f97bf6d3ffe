//! Eyeriss against the chip's measurements on AlexNet.

use std::sync::Arc;

use proptest::prelude::*;
use skimp_sim::{LayerResult, LayerTrace, LayerWorkload, RecordedTrace};

use crate::support::{accelerator, cycles, events, full_operands, vgg16_conv};

/// AlexNet's convolutions, four images together, without padding of the first as on the chip.
fn alexnet() -> [LayerWorkload; 5] {
    let conv = |name, c, extent, k, kernel, groups| LayerWorkload {
        n: 4,
        groups,
        ..LayerWorkload::conv(name, c, extent, extent, k, kernel)
    };
    let mut first = conv("CONV1", 3, 227, 96, 11, 1);
    (first.strides, first.pads_begin, first.pads_end) = ([4, 4], [0, 0], [0, 0]);
    first.first = true;
    first.set_output_extents();
    [
        first,
        conv("CONV2", 96, 27, 256, 5, 2),
        conv("CONV3", 256, 13, 384, 3, 1),
        conv("CONV4", 384, 13, 384, 3, 2),
        conv("CONV5", 384, 13, 256, 3, 2),
    ]
}

fn mapped(result: &LayerResult, name: &str) -> u64 {
    result.mapping.iter().find(|(known, _)| *known == name).unwrap().1
}

/// Pseudo-random codes of which about `percent` are 0.
fn codes(count: usize, percent: u64, seed: u64) -> Vec<i32> {
    let mut state = seed;
    let mut draw = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..count).map(|_| if draw() % 100 < percent { 0 } else { (draw() % 1000) as i32 + 1 }).collect()
}

fn sparse_trace(layer: &LayerWorkload, percent: u64) -> LayerTrace {
    let sums = codes(layer.output_count(), percent, 2).into_iter().map(i64::from).collect();
    let activation = codes(layer.input_count(), percent, 1).into();
    let recorded = RecordedTrace { activation: Some(activation), output_sums: Some(sums), ..RecordedTrace::default() };
    LayerTrace::new(layer, Arc::new(recorded))
}

fn onchip_mw(name: &str, settings: &str, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> (LayerResult, f64) {
    let chip = accelerator(name, settings);
    let result = chip.simulate_layer(layer, trace).unwrap();
    let energy = chip.price(&result).unwrap();
    let microseconds = result.total_cycles() as f64 / chip.clock_mhz();
    let power = (energy.total_nj() - energy.component("dram").unwrap().dynamic_nj) / microseconds;
    (result, power)
}

/// Latency in ms, power in mW, active elements of the chip at 200 MHz; then ours as shares of the first two. The test
/// of nn_dataflow accepts 80 to 100 % of latency and 60 to 100 % of power.
///
/// CONV5 lies outside: 1.5 % above in latency, because each pass loads its filters before it computes and the chip loses
/// half as much there (4 % against 11 % on CONV4, whose passes are alike: what hides it is not published); 0.6 % above
/// in power, because the measured figure holds the gating of real images and ours none.
const ALEXNET: [(f64, f64, f64, f64, f64); 5] = [
    (16.5, 332.0, 151.25, 0.931, 0.663),
    (39.2, 288.0, 135.0, 0.857, 0.772),
    (21.8, 266.0, 156.0, 0.931, 0.870),
    (16.0, 235.0, 156.0, 0.952, 0.985),
    (10.0, 236.0, 156.0, 1.015, 1.006),
];

#[test]
fn alexnet_latency_and_power() {
    for (layer, (latency, power, active, latency_share, power_share)) in alexnet().iter().zip(ALEXNET) {
        let (result, milliwatts) = onchip_mw("eyeriss", "clock_mhz = 200.0", layer, None);
        let name = &layer.name;
        let share = result.total_cycles() as f64 / 200e3 / latency;
        assert!((share - latency_share).abs() < 1e-3, "{name}: {share} of the latency");
        assert!((milliwatts / power - power_share).abs() < 1e-3, "{name}: {} of the power", milliwatts / power);
        let found = result.macs as f64 / cycles(&result, "compute") as f64;
        assert!((found - active).abs() < 0.01, "{name}: {found} active elements");
        assert_eq!(cycles(&result, "dram_stall"), 0, "{name}");
        if name != "CONV5" {
            assert!((0.8..=1.0).contains(&share) && (0.6..=1.0).contains(&(milliwatts / power)), "{name}");
        }
    }
}

#[test]
fn gating_lowers_power_and_no_time() {
    for layer in alexnet() {
        let (dense, dense_mw) = onchip_mw("eyeriss", "clock_mhz = 200.0", &layer, None);
        let (gated, gated_mw) = onchip_mw("eyeriss", "clock_mhz = 200.0", &layer, Some(&sparse_trace(&layer, 60)));
        assert_eq!(gated.total_cycles(), dense.total_cycles());
        let share = events(&gated, "gated_macs") as f64 / gated.macs as f64;
        assert!((0.58..0.72).contains(&share), "{}: {share}", layer.name);
        assert!(gated_mw < dense_mw, "{}", layer.name);
    }
}

#[test]
fn alexnet_off_chip_accesses() {
    // Published: 0.0029 words per multiply-accumulate, compressed maps. Ours is 0.0045 before compression: the search
    // takes the fastest mapping and then the least movement, the chip's favor reuse in the buffer.
    let (mut words, mut macs) = (0, 0);
    for layer in alexnet() {
        let result = accelerator("eyeriss", "clock_mhz = 200.0").simulate_layer(&layer, None).unwrap();
        words += events(&result, "dram_uncompressed_words");
        macs += result.macs;
    }
    let per_mac = words as f64 / macs as f64;
    assert!((per_mac - 0.00449).abs() < 1e-4, "{per_mac}");
}

#[test]
fn vgg16_frame_rate() {
    // Published: 0.7 frames per second at 200 MHz and batch 3, of which three quarters of the time are no multiplying;
    // the closed form has no such losses and comes near the array's peak. Not a model of the chip's controller.
    let milliseconds: f64 = (1..=13)
        .map(|number| {
            let layer = LayerWorkload { n: 3, ..vgg16_conv(number) };
            let result = accelerator("eyeriss", "clock_mhz = 200.0").simulate_layer(&layer, None).unwrap();
            result.total_cycles() as f64 / 200e3
        })
        .sum();
    let frames = 3e3 / milliseconds;
    assert!((frames - 2.02).abs() < 0.02, "{frames}");
}

#[test]
fn mappings_of_unusual_layers() {
    let eyeriss = accelerator("eyeriss", "");
    let depthwise = LayerWorkload { groups: 48, ..LayerWorkload::conv("dw", 48, 28, 28, 48, 3) };
    let result = eyeriss.simulate_layer(&depthwise, None).unwrap();
    assert!(mapped(&result, "group_sets") > 1, "{:?}", result.mapping);
    // 13 x 13 taps: two pieces of rows, two of columns.
    let tall = LayerWorkload::conv("13x13", 8, 20, 20, 8, 13);
    let result = eyeriss.simulate_layer(&tall, None).unwrap();
    assert_eq!(mapped(&result, "kernel_pieces"), 4);
    // Not even one strip of rows fits: strips of columns.
    let wide = LayerWorkload::conv("wide", 3, 3, 60_000, 4, 3);
    let result = eyeriss.simulate_layer(&wide, None).unwrap();
    assert!(mapped(&result, "column_strips") > 1);
    let dense = eyeriss.simulate_layer(&LayerWorkload::dense("fc", 9216, 4096), None).unwrap();
    assert!(cycles(&dense, "dram_stall") > 10 * cycles(&dense, "compute"), "{:?}", dense.cycles);
    let wide_codes = LayerWorkload { weight_bits: 17, ..vgg16_conv(9) };
    assert!(eyeriss.simulate_layer(&wide_codes, None).unwrap_err().to_string().contains("17 bits"));
    let tiny = accelerator("eyeriss", "buffer_bytes = 16").simulate_layer(&vgg16_conv(9), None);
    assert!(tiny.unwrap_err().to_string().contains("buffer"));
}

fn layers() -> impl Strategy<Value = LayerWorkload> {
    let extents = (1usize..4, 1usize..20, 1usize..20, 1usize..40, 1usize..30);
    (extents, 1usize..14, 1usize..4, 1usize..3, 1usize..4, any::<bool>()).prop_filter_map(
        "the kernel fits",
        |((groups, c, h, w, k), kernel, stride, dilation, n, first)| {
            let mut layer = LayerWorkload::conv("c", groups * c, h, w, groups * k, kernel);
            (layer.groups, layer.strides, layer.dilations, layer.n) = (groups, [stride, 1], [1, dilation], n);
            layer.first = first;
            layer.set_output_extents();
            layer.validated().ok()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn work_is_conserved_and_bounded(layer in layers(), percent in 0u64..=100) {
        let eyeriss = accelerator("eyeriss", "");
        let dense = eyeriss.simulate_layer(&layer, None).unwrap();
        let trace = sparse_trace(&layer, percent);
        let result = eyeriss.simulate_layer(&layer, Some(&trace)).unwrap();
        prop_assert_eq!(events(&result, "executed_macs") + events(&result, "gated_macs"), result.macs);
        prop_assert_eq!(events(&result, "idle_slots") + result.macs, 168 * cycles(&result, "compute"));
        prop_assert_eq!(cycles(&result, "compute"), cycles(&dense, "compute"));
        prop_assert_eq!(events(&dense, "gated_macs"), 0);
        let images = layer.n as u64;
        let off = accelerator("eyeriss", "zero_gating = false\ncompression = false");
        let off = off.simulate_layer(&layer, Some(&trace)).unwrap();
        prop_assert_eq!(&off.cycles, &dense.cycles);
        prop_assert_eq!(&off.events, &dense.events);
        prop_assert!(events(&dense, "dram_filter_words") >= layer.weight_count() as u64);
        prop_assert!(events(&dense, "dram_ofmap_words") == images * layer.output_count() as u64);
    }

    #[test]
    fn a_larger_buffer_is_never_slower(layer in layers()) {
        let small = accelerator("eyeriss", "buffer_bytes = 32768").simulate_layer(&layer, None).unwrap();
        let large = accelerator("eyeriss", "").simulate_layer(&layer, None).unwrap();
        prop_assert!(large.total_cycles() <= small.total_cycles());
    }
}

#[test]
fn nothing_to_gate_in_full_operands_without_padding() {
    let mut layer = LayerWorkload::conv("c", 16, 9, 7, 24, 3);
    (layer.pads_begin, layer.pads_end) = ([0, 0], [0, 0]);
    layer.set_output_extents();
    let (layer, trace) = full_operands(layer);
    let result = accelerator("eyeriss", "").simulate_layer(&layer, Some(&trace)).unwrap();
    assert_eq!(events(&result, "gated_macs"), 0);
    // Three pairs in four words of 16 bits: what has no zeros grows by a third.
    let maps = events(&result, "dram_ifmap_words") + events(&result, "dram_ofmap_words");
    let raw = events(&result, "dram_uncompressed_words") - events(&result, "dram_filter_words");
    assert!((maps as f64 / raw as f64 - 4.0 / 3.0).abs() < 1e-2, "{maps} {raw}");
}
