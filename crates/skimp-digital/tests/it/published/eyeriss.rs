//! Eyeriss against the chip's measurements on AlexNet.

use std::sync::Arc;

use proptest::prelude::*;
use skimp_sim::{LayerKind, LayerResult, LayerShape, LayerTrace, LayerWorkload, RecordedTrace, ShapeSpec};

use crate::support::{accelerator, cycles, events, full_operands, vgg16_conv};

/// AlexNet's convolutions, four images together, without padding of the first as on the chip.
fn alexnet() -> [LayerWorkload; 5] {
    let conv = |name, c, extent, k, kernel, groups| {
        LayerWorkload::conv(name, c, extent, extent, k, kernel)
            .unwrap()
            .with_shape(|shape| {
                shape.n = 4;
                shape.groups = groups;
            })
            .unwrap()
    };
    let mut first = conv("CONV1", 3, 227, 96, 11, 1);
    first =
        first.with_shape(|shape| (shape.strides, shape.pads_begin, shape.pads_end) = ([4, 4], [0, 0], [0, 0])).unwrap();
    first.first = true;
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

/// Pseudo-random codes of which about `zeros` in a thousand are 0.
fn codes(count: usize, zeros: u64, seed: u64) -> Vec<i32> {
    let mut state = seed;
    let mut draw = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..count).map(|_| if draw() % 1000 < zeros { 0 } else { (draw() % 1000) as i32 + 1 }).collect()
}

fn sparse_trace(layer: &LayerWorkload, zeros: u64) -> LayerTrace {
    let sums = codes(layer.shape.output_count(), zeros, 2).into_iter().map(i64::from).collect();
    let activation = codes(layer.shape.input_count(), zeros, 1).into();
    let recorded = RecordedTrace { activation: Some(activation), output_sums: Some(sums), ..RecordedTrace::default() };
    LayerTrace::new(layer, Arc::new(recorded))
}

fn onchip_mw(name: &str, settings: &str, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> (LayerResult, f64) {
    let chip = accelerator(name, settings);
    let result = chip.simulate_layer(layer, trace).unwrap();
    let energy = chip.facts().price(&result).unwrap();
    let microseconds = result.total_cycles() as f64 / chip.facts().clock_mhz;
    let power = (energy.total_nj() - energy.component("dram").unwrap().dynamic_nj) / microseconds;
    (result, power)
}

/// The chip at 200 MHz on four images, and our shares of it.
#[derive(Debug)]
struct Measured {
    latency_ms: f64,
    power_mw: f64,
    active: f64,
    /// Zeros in a thousand activations.
    zeros: u64,
    latency_share: f64,
    power_share: f64,
    dense_power_share: f64,
}

const fn measured(chip: [f64; 3], zeros: u64, shares: [f64; 3]) -> Measured {
    let [latency_ms, power_mw, active] = chip;
    let [latency_share, power_share, dense_power_share] = shares;
    Measured { latency_ms, power_mw, active, zeros, latency_share, power_share, dense_power_share }
}

/// The test of nn_dataflow accepts 80 to 100 % of latency and 60 to 100 % of power. The chip's power holds the gating of
/// real images, so ours is taken at their share of zeros; without gating it is more. Zeros: JSSC 52(1), 2017, table V, as
/// transcribed in the open data of cucapra/fodlam.
const ALEXNET: [Measured; 5] = [
    measured([16.5, 332.0, 151.25], 0, [0.908, 0.678, 0.678]),
    measured([39.2, 288.0, 135.0], 387, [0.847, 0.693, 0.816]),
    measured([21.8, 266.0, 156.0], 725, [0.881, 0.796, 1.059]),
    measured([16.0, 235.0, 156.0], 793, [0.900, 0.876, 1.198]),
    measured([10.0, 236.0, 156.0], 776, [0.960, 0.791, 1.105]),
];

#[test]
fn alexnet_latency_and_power() {
    let mut failures = Vec::new();
    let (mut ours_ms, mut chip_ms, mut least_power) = (0.0, 0.0, f64::INFINITY);
    for (layer, chip) in alexnet().iter().zip(ALEXNET) {
        let trace = sparse_trace(layer, chip.zeros);
        let (result, gated_mw) = onchip_mw("eyeriss", "clock_mhz = 200.0", layer, Some(&trace));
        let (_, dense_mw) = onchip_mw("eyeriss", "clock_mhz = 200.0", layer, None);
        let latency = result.total_cycles() as f64 / 200e3 / chip.latency_ms;
        let active = result.macs as f64 / cycles(&result, "compute") as f64;
        let shares = [latency, gated_mw / chip.power_mw, dense_mw / chip.power_mw];
        let expected = [chip.latency_share, chip.power_share, chip.dense_power_share];
        ours_ms += latency * chip.latency_ms;
        chip_ms += chip.latency_ms;
        least_power = shares[1].min(least_power);
        let near = shares.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-3);
        let accepted = (0.8..=1.0).contains(&shares[0]) && (0.6..=1.0).contains(&shares[1]);
        if !near || !accepted || (active - chip.active).abs() > 0.01 || cycles(&result, "dram_stall") > 0 {
            failures.push(format!("{}: {shares:.3?} of latency and power, {active} active elements", layer.name));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    skimp_testkit::check(&[("eyeriss-alexnet-latency", ours_ms / chip_ms), ("eyeriss-alexnet-power", least_power)]);
}

#[test]
fn filters_are_not_loaded_between_passes_alone() {
    // CONV5 multiplies for 9.58 of its 10.0 ms. Loading its filters at four words per cycle takes longer than the rest,
    // so a model that waits for that exceeds the chip's latency, whatever the mapping.
    let layer = &alexnet()[4];
    let serial =
        accelerator("eyeriss", "clock_mhz = 200.0\nfilter_prefetch = false").simulate_layer(layer, None).unwrap();
    let rest = 2_000_000 - layer.shape.dense_macs() / 156;
    assert_eq!(rest, 83_072);
    assert!(layer.shape.weight_count() as u64 / 4 > rest);
    assert_eq!(serial.total_cycles(), 2_029_824);
    // CONV4 has the same passes (table III), half again as many, and loses four times as much: no cost of a pass gives both.
    let lost =
        |layer: &LayerWorkload, milliseconds: f64| milliseconds * 200e3 - layer.shape.dense_macs() as f64 / 156.0;
    let [fourth, fifth] = [lost(&alexnet()[3], 16.0), lost(layer, 10.0)];
    assert!((3.8..4.0).contains(&(fourth / fifth)), "{fourth} {fifth}");
}

#[test]
fn buffer_accesses_of_the_chip() {
    // Channels that a pass accumulates on the chip (JSSC 52(1), 2017, table III; CONV3 by its accesses, the table's four
    // do not give them), and its accesses of the global buffer in MB (table V), both as transcribed in the open data of
    // cucapra/fodlam. Filters pass the buffer but are not counted there.
    let chip = [(1, 18.5), (2, 77.6), (6, 50.2), (6, 37.4), (6, 24.9)];
    let mut total = 0.0;
    for (layer, (channels, megabytes)) in alexnet().iter().zip(chip) {
        let settings = format!("channels_in_pass = {channels}\nfilter_prefetch = false");
        let result = accelerator("eyeriss", &settings).simulate_layer(layer, None).unwrap();
        let words = events(&result, "buffer_accesses") - events(&result, "dram_filter_words");
        let share = words as f64 * 2e-6 / megabytes;
        assert!((0.93..1.01).contains(&share), "{}: {share}", layer.name);
        total += words as f64 * 2e-6;
    }
    skimp_testkit::check(&[("eyeriss-alexnet-buffer", total)]);
}

#[test]
fn gating_lowers_power_and_no_time() {
    for layer in alexnet() {
        let settings = "clock_mhz = 200.0\ncompression = false";
        let (dense, dense_mw) = onchip_mw("eyeriss", settings, &layer, None);
        let (gated, gated_mw) = onchip_mw("eyeriss", settings, &layer, Some(&sparse_trace(&layer, 600)));
        assert_eq!(gated.total_cycles(), dense.total_cycles());
        let share = events(&gated, "gated_macs") as f64 / gated.macs as f64;
        assert!((0.58..0.72).contains(&share), "{}: {share}", layer.name);
        assert!(gated_mw < dense_mw, "{}", layer.name);
    }
}

#[test]
fn alexnet_off_chip_accesses() {
    let (mut words, mut macs) = (0, 0);
    for layer in alexnet() {
        let result = accelerator("eyeriss", "clock_mhz = 200.0").simulate_layer(&layer, None).unwrap();
        words += events(&result, "dram_uncompressed_words");
        macs += result.macs;
    }
    skimp_testkit::check(&[("eyeriss-alexnet-dram", words as f64 / macs as f64)]);
}

/// VGG-16 on the chip, three images at 200 MHz: milliseconds of processing, MB of the global buffer, and channels that a
/// pass accumulates, which follow from the accesses (two for each output and round). JSSC 52(1), 2017, table VI, as
/// transcribed in the open data of cucapra/fodlam; the latency of CONV2-2 from the table's total, since its digits are
/// misread there.
const VGG16: [(f64, f64, u64); 13] = [
    (38.0, 112.5, 1),
    (810.6, 2402.8, 1),
    (405.3, 1201.4, 1),
    (810.7, 2402.8, 1),
    (204.0, 607.4, 2),
    (408.1, 1214.8, 2),
    (408.1, 1214.8, 2),
    (105.1, 321.8, 4),
    (210.0, 643.7, 4),
    (210.0, 643.7, 4),
    (48.3, 90.0, 8),
    (48.5, 90.0, 8),
    (48.5, 90.0, 8),
];

fn vgg16_milliseconds(settings: impl Fn(usize) -> String) -> Vec<(f64, f64)> {
    (1..=13)
        .map(|number| {
            let layer = vgg16_conv(number).with_shape(|shape| shape.n = 3).unwrap();
            let chip = accelerator("eyeriss", &format!("clock_mhz = 200.0\n{}", settings(number - 1)));
            let result = chip.simulate_layer(&layer, None).unwrap();
            let words = events(&result, "buffer_accesses") - events(&result, "dram_filter_words");
            (result.total_cycles() as f64 / 200e3, words as f64 * 2e-6)
        })
        .collect()
}

#[test]
fn vgg16_held_to_the_channels_of_the_chip() {
    // The search takes the fastest mapping, three times as fast as the chip (`effects.rs`), with fewer partial sums in the
    // buffer: the chip accumulates one channel of the wide layers in a pass. Held to its channels, the network of partial
    // sums bounds ours as it bounds the chip's, layer by layer.
    let held = vgg16_milliseconds(|idx| format!("channels_in_pass = {}", VGG16[idx].2));
    let mut failures = Vec::new();
    for (idx, ((ours_ms, ours_mb), (chip_ms, chip_mb, _))) in held.iter().zip(VGG16).enumerate() {
        let (time, traffic) = (ours_ms / chip_ms, ours_mb / chip_mb);
        // The first layer waits for off-chip memory.
        let times = if idx == 0 { 1.1..1.2 } else { 0.85..0.96 };
        if !times.contains(&time) || !(0.98..1.07).contains(&traffic) {
            failures.push(format!("layer {}: {time:.3} of the time, {traffic:.3} of the traffic", idx + 1));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let processing: f64 = held.iter().map(|(milliseconds, _)| milliseconds).sum();
    let chip: f64 = VGG16.iter().map(|(milliseconds, ..)| milliseconds).sum();
    assert!((chip - 3755.2).abs() < 0.11, "{chip}");
    skimp_testkit::check(&[("eyeriss-vgg16-held", processing)]);
}

#[test]
fn mappings_of_unusual_layers() {
    let eyeriss = accelerator("eyeriss", "");
    let depthwise =
        LayerWorkload::conv("dw", 48, 28, 28, 48, 3).unwrap().with_shape(|shape| shape.groups = 48).unwrap();
    let result = eyeriss.simulate_layer(&depthwise, None).unwrap();
    assert!(mapped(&result, "group_sets") > 1, "{:?}", result.mapping);
    // 13 x 13 taps: two pieces of rows, two of columns.
    let tall = LayerWorkload::conv("13x13", 8, 20, 20, 8, 13).unwrap();
    let result = eyeriss.simulate_layer(&tall, None).unwrap();
    assert_eq!(mapped(&result, "kernel_pieces"), 4);
    // Not even one strip of rows fits: strips of columns.
    let wide = LayerWorkload::conv("wide", 3, 3, 60_000, 4, 3).unwrap();
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
            let square = ShapeSpec::square(groups * c, h, w, groups * k, kernel);
            let spec = ShapeSpec { n, groups, strides: [stride, 1], dilations: [1, dilation], ..square };
            let layer = LayerWorkload::of_shape("c", LayerKind::Conv, LayerShape::new(spec).ok()?);
            Some(LayerWorkload { first, ..layer })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn work_is_conserved_and_bounded(layer in layers(), zeros in 0u64..=1000) {
        // What off-chip memory holds decides on the mapping, too.
        let eyeriss = accelerator("eyeriss", "compression = false");
        let dense = eyeriss.simulate_layer(&layer, None).unwrap();
        let trace = sparse_trace(&layer, zeros);
        let result = eyeriss.simulate_layer(&layer, Some(&trace)).unwrap();
        prop_assert_eq!(events(&result, "executed_macs") + events(&result, "gated_macs"), result.macs);
        prop_assert_eq!(events(&result, "idle_slots") + result.macs, 168 * cycles(&result, "compute"));
        prop_assert_eq!(cycles(&result, "compute"), cycles(&dense, "compute"));
        prop_assert_eq!(events(&dense, "gated_macs"), 0);
        let images = layer.shape.n() as u64;
        let off = accelerator("eyeriss", "zero_gating = false\ncompression = false");
        let off = off.simulate_layer(&layer, Some(&trace)).unwrap();
        prop_assert_eq!(&off.cycles, &dense.cycles);
        prop_assert_eq!(&off.events, &dense.events);
        prop_assert!(events(&dense, "dram_filter_words") >= layer.shape.weight_count() as u64);
        prop_assert!(events(&dense, "dram_ofmap_words") == images * layer.shape.output_count() as u64);
    }
}

#[test]
fn nothing_to_gate_in_full_operands_without_padding() {
    let mut layer = LayerWorkload::conv("c", 16, 9, 7, 24, 3).unwrap();
    layer = layer.with_shape(|shape| (shape.pads_begin, shape.pads_end) = ([0, 0], [0, 0])).unwrap();
    let (layer, trace) = full_operands(layer);
    let result = accelerator("eyeriss", "").simulate_layer(&layer, Some(&trace)).unwrap();
    assert_eq!(events(&result, "gated_macs"), 0);
    // Three pairs in four words of 16 bits: what has no zeros grows by a third.
    let maps = events(&result, "dram_ifmap_words") + events(&result, "dram_ofmap_words");
    let raw = events(&result, "dram_uncompressed_words") - events(&result, "dram_filter_words");
    assert!((maps as f64 / raw as f64 - 4.0 / 3.0).abs() < 1e-2, "{maps} {raw}");
}
