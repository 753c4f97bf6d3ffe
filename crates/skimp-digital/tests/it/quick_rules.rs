//! Bit-Pragmatic, Laconic, SCNN, 2:4 and BitWave: vectors counted by hand, the rules written out literally, properties.

use std::sync::Arc;

use proptest::prelude::*;
use skimp_sim::{LayerResult, LayerTrace, LayerWorkload, RecordedTrace};

use crate::support::{accelerator, events};

const NAMES: [&str; 5] = ["bit-pragmatic", "laconic", "scnn", "structured-2-4", "bitwave"];

fn with(layer: LayerWorkload, weights: Vec<i32>, activation: Vec<i32>) -> (LayerWorkload, LayerTrace) {
    let layer = LayerWorkload { weights: Some(weights.into()), ..layer }.validated().unwrap();
    let recorded = RecordedTrace { activation: Some(activation.into()), ..RecordedTrace::default() };
    let trace = LayerTrace::new(&layer, Arc::new(recorded));
    (layer, trace)
}

fn uniform(layer: LayerWorkload, weight: i32, activation: i32) -> (LayerWorkload, LayerTrace) {
    let (weights, activations) =
        (vec![weight; layer.shape.weight_count()], vec![activation; layer.shape.input_count()]);
    with(layer, weights, activations)
}

fn run(name: &str, settings: &str, (layer, trace): &(LayerWorkload, LayerTrace)) -> LayerResult {
    accelerator(name, settings).simulate_layer(layer, Some(trace)).unwrap()
}

fn total(name: &str, settings: &str, operands: &(LayerWorkload, LayerTrace)) -> u64 {
    run(name, settings, operands).total_cycles()
}

/// 16 x 16 outputs of 256 filters over 256 channels, without padding: 36,864 cycles on DaDianNao.
fn square(k: usize) -> LayerWorkload {
    LayerWorkload::conv("square", 256, 18, 18, k, 3)
        .unwrap()
        .with_shape(|shape| {
            shape.pads_begin = [0, 0];
            shape.pads_end = [0, 0];
        })
        .unwrap()
}

/// Pixels in one row under a 1 x 1 kernel; `codes[pixel][channel]`.
fn row(codes: &[&[i32]], weights: &[&[i32]]) -> (LayerWorkload, LayerTrace) {
    let channels = codes[0].len();
    let layer = LayerWorkload::conv("row", channels, 1, codes.len(), weights.len(), 1).unwrap();
    let activation = (0..channels).flat_map(|channel| codes.iter().map(move |pixel| pixel[channel])).collect();
    with(layer, weights.concat(), activation)
}

#[test]
fn pragmatic_full_activations_take_dense_time() {
    for (activation, cycles) in [(0xffff, 36_864), (0x8000, 36_864 / 16), (0, 36_864 / 16), (0b1011, 36_864 * 3 / 16)] {
        assert_eq!(total("bit-pragmatic", "", &uniform(square(256), 1, activation)), cycles, "{activation:#x}");
    }
    assert_eq!(total("bit-pragmatic", "", &uniform(square(300), 1, 0xffff)), 2 * 36_864);
    assert_eq!(total("bit-pragmatic", "encoding = \"naf\"", &uniform(square(256), 1, 0xffff)), 36_864 * 2 / 16);
    // One window: a brick per cycle, and the last brick's other 15 terms.
    let dense = uniform(LayerWorkload::dense("F2", 4096, 4096), 1, 0xffff);
    assert_eq!(total("bit-pragmatic", "", &dense), 16 * (256 + 15));
}

#[test]
fn pragmatic_columns_wait_or_run_ahead() {
    let brick = |terms: u32| {
        let mut codes = vec![0; 16];
        codes[5] = (1 << terms) - 1;
        codes[6] = -1;
        codes
    };
    let pixel = |terms: &[u32]| terms.iter().flat_map(|&terms| brick(terms)).collect::<Vec<i32>>();
    let (a, b) = (pixel(&[3, 1]), pixel(&[1, 5]));
    let two = row(&[&a, &b], &[&[1; 32]]);
    assert_eq!(total("bit-pragmatic", "", &two), 3 + 5);
    assert_eq!(total("bit-pragmatic", "slack_registers = 1", &two), 6);
    let (a, b) = (pixel(&[9, 1, 1]), pixel(&[1, 1, 9]));
    let three = row(&[&a, &b], &[&[1; 48]]);
    for (registers, cycles) in [(0, 19), (1, 18), (2, 11), (3, 11)] {
        assert_eq!(total("bit-pragmatic", &format!("slack_registers = {registers}"), &three), cycles, "{registers}");
    }
}

#[test]
fn laconic_takes_the_greatest_product_of_terms() {
    let operands = row(&[&[3, 1], &[1, 15]], &[&[1, 7], &[-7, 1]]);
    assert_eq!(total("laconic", "", &operands), 4 * 3);
    assert_eq!(total("laconic", "encoding = \"naf\"", &operands), 2 * 2);
    let result = run("laconic", "", &operands);
    // Terms by channel: activations 2 + 1 and 1 + 4, weights 1 + 3 and 3 + 1.
    assert_eq!(events(&result, "terms"), 3 * 4 + 5 * 4);
    // One filter per tile: the tiles need 12 and 6 cycles and meet.
    assert_eq!(total("laconic", "filters_per_tile = 1", &operands), 12);
    // 16 groups of windows, 144 steps of 16 x 15 products.
    assert_eq!(total("laconic", "", &uniform(square(256), 0x7fff, 0xffff)), 16 * 144 * 240);
    assert_eq!(total("laconic", "", &uniform(square(257), 0x7fff, 0xffff)), 2 * 16 * 144 * 240);
    assert_eq!(total("laconic", "", &uniform(square(256), 0x7fff, 0)), 16 * 144);
}

#[test]
fn scnn_rounds_vectors_up_and_meets_after_output_groups() {
    // One activation and 8 weights per element; then 4 and 9; then 9 and 9.
    assert_eq!(total("scnn", "", &uniform(LayerWorkload::conv("x", 1, 8, 8, 8, 1).unwrap(), 1, 1)), 2);
    assert_eq!(total("scnn", "", &uniform(LayerWorkload::conv("x", 1, 16, 16, 1, 3).unwrap(), 1, 1)), 3);
    assert_eq!(total("scnn", "", &uniform(LayerWorkload::conv("x", 1, 24, 24, 1, 3).unwrap(), 1, 1)), 9);
    // Two pixels in two elements, each with a channel of its own; output channels 0 to 7 use channel 0 with 8 weights
    // and channel 1 with 1, the others the other way round: 2 + 2 cycles, although each element works 3.
    let mut weights = [[1, 0]; 16];
    weights[0][1] = 1;
    weights[8..].fill([0, 1]);
    weights[8][0] = 1;
    let weights: Vec<&[i32]> = weights.iter().map(|pair| pair.as_slice()).collect();
    let result = run("scnn", "", &row(&[&[7, 0], &[0, 7]], &weights));
    assert_eq!((result.total_cycles(), events(&result, "pe_cycles")), (4, 6));
    assert_eq!((events(&result, "executed_macs"), events(&result, "products_outside")), (18, 0));
    // Stride 2 under a 1 x 1 kernel: a quarter of the activations meets a weight.
    let strided =
        LayerWorkload::conv("s", 1, 16, 16, 8, 1).unwrap().with_shape(|shape| shape.strides = [2, 2]).unwrap();
    let result = run("scnn", "", &uniform(strided, 1, 1));
    assert_eq!((result.total_cycles(), events(&result, "executed_macs")), (2, 512));
    // Dense: 64 groups of 8 outputs on 64 elements, 16 channels of one activation and 8 weights.
    assert_eq!(total("scnn", "", &uniform(LayerWorkload::dense("d", 16, 512), 1, 1)), 32);
}

#[test]
fn scnn_effects_cost_what_they_should() {
    // One activation and 8 weights of 8 filters per element: 8 accumulators, each in a bank of its own.
    let eight = uniform(LayerWorkload::conv("x", 1, 8, 8, 8, 1).unwrap(), 1, 1);
    for (conflicts, banks, cycles) in
        [("none", 1, 2), ("queued", 32, 2), ("immediate", 32, 2), ("queued", 1, 8), ("immediate", 2, 4)]
    {
        let settings = format!("bank_conflicts = \"{conflicts}\"\naccumulator_banks = {banks}");
        assert_eq!(total("scnn", &settings, &eight), cycles, "{settings}");
    }
    // 4 activations of a tile of 2 x 2 become 16 with the inputs around it: 4 x 3 vectors.
    let sixteen = uniform(LayerWorkload::conv("x", 1, 16, 16, 1, 3).unwrap(), 1, 1);
    assert_eq!(total("scnn", "halo = \"input\"", &sixteen), 12);
    // A kernel of one tap has no halo.
    assert_eq!(total("scnn", "halo = \"input\"", &eight), total("scnn", "", &eight));
    // Conflicts in each vector cost at least as much as with queues, and those at least nothing.
    let codes = |count: usize, step: usize| {
        (0..count).map(|idx| ((idx * step) % 7) as i32 - 2).map(|code| code.max(0)).collect()
    };
    let layer = LayerWorkload::conv("x", 6, 19, 17, 20, 3).unwrap();
    let (weights, activation) = (codes(layer.shape.weight_count(), 5), codes(layer.shape.input_count(), 3));
    let operands = with(layer, weights, activation);
    for halo in ["output", "input"] {
        let cycles = ["none", "queued", "immediate"]
            .map(|conflicts| total("scnn", &format!("halo = \"{halo}\"\nbank_conflicts = \"{conflicts}\""), &operands));
        assert!(cycles.is_sorted(), "{halo}: {cycles:?}");
    }
}

#[test]
fn two_of_four_halves_dense_cycles() {
    let layer = square(256);
    let keep = |kept: usize| -> Vec<i32> {
        (0..layer.shape.weight_count()).map(|idx| i32::from(idx / 9 % 4 < kept)).collect()
    };
    for (kept, cycles, bits) in
        [(2, 18_432, 9 * 64 * 256 * 36), (1, 18_432, 9 * 64 * 256 * 36), (3, 36_864, 9 * 256 * 256 * 16)]
    {
        let result = run("structured-2-4", "", &with(layer.clone(), keep(kept), vec![0; layer.shape.input_count()]));
        assert_eq!((result.total_cycles(), events(&result, "weight_bits_stored")), (cycles, bits), "{kept}");
        let executed = if kept < 3 { result.macs / 2 } else { result.macs };
        assert_eq!(events(&result, "executed_macs"), executed);
    }
    // 16-bit codes with their indices: 50 % + 6.25 %.
    assert_eq!(9 * 64 * 36 * 10_000 / (9 * 256 * 16), 5_625);
    // One violation anywhere makes the layer dense; runs of fewer than four channels are no pattern.
    let mut spoiled = keep(2);
    spoiled[9 * 2] = 1;
    assert_eq!(total("structured-2-4", "", &with(layer.clone(), spoiled, vec![0; layer.shape.input_count()])), 36_864);
    let narrow = uniform(LayerWorkload::conv("C1", 3, 8, 8, 4, 3).unwrap(), 0, 0);
    assert_eq!(total("structured-2-4", "", &narrow), 64 * 9);
    let tail = with(LayerWorkload::dense("d", 6, 1), vec![1, 0, 0, 1, 1, 1], vec![0; 6]);
    assert_eq!(events(&run("structured-2-4", "", &tail), "executed_macs"), 4);
}

#[test]
fn bitwave_counts_columns_that_are_not_zero() {
    let conv =
        |c: usize, k: usize| LayerWorkload { weight_bits: 8, ..LayerWorkload::conv("w", c, 4, 4, k, 1).unwrap() };
    let eight = |codes: &[i32]| {
        let mut group = codes.to_vec();
        group.resize(8, 0);
        group
    };
    let cycles = |settings: &str, filters: &[Vec<i32>]| {
        let layer = conv(filters[0].len(), filters.len());
        total("bitwave", settings, &with(layer.clone(), filters.concat(), vec![0; layer.shape.input_count()]))
    };
    assert_eq!(cycles("", &[eight(&[1, 2, -4])]), 3);
    assert_eq!(cycles("", &[eight(&[-1, 1])]), 1);
    assert_eq!(cycles("", &[eight(&[127, -127])]), 7);
    let halves = [[eight(&[7]), eight(&[])].concat(), [eight(&[1]), eight(&[4])].concat()];
    assert_eq!(cycles("", &halves), 3);
    assert_eq!(cycles("empty_group_cycles = 1", &halves), 4);
    // 33 filters are two blocks; 17 windows two groups.
    assert_eq!(cycles("", &vec![eight(&[3]); 33]), 4);
    let result = run("bitwave", "", &uniform(conv(64, 64), 0x55, 1));
    assert_eq!(result.total_cycles(), 2 * 8 * 4);
    assert_eq!(
        (events(&result, "columns_executed"), events(&result, "columns_skipped")),
        (16 * 64 * 8 * 4, 16 * 64 * 8 * 3)
    );
    // One window: 512 filters at once.
    let dense = LayerWorkload { weight_bits: 8, ..LayerWorkload::dense("d", 64, 512) };
    assert_eq!(total("bitwave", "", &uniform(dense, 127, 0)), 8 * 7);
}

#[test]
fn missing_operands_are_named() {
    let shape = LayerWorkload::conv("x", 4, 4, 4, 4, 3).unwrap();
    for name in ["laconic", "scnn", "structured-2-4", "bitwave"] {
        let error = accelerator(name, "").simulate_layer(&shape, None).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("needs weight codes"), "{error}");
    }
    let layer = LayerWorkload { weights: Some(vec![1; 144].into()), ..shape };
    for name in ["bit-pragmatic", "laconic", "scnn"] {
        let error = accelerator(name, "").simulate_layer(&layer, None).unwrap_err().to_string();
        assert_eq!(error, format!("layer \"x\": {name} needs the operand trace activation of an image"));
        let batch = layer.clone().with_shape(|shape| shape.n = 2).unwrap();
        assert!(accelerator(name, "").simulate_layer(&batch, None).unwrap_err().to_string().contains("2 images"));
    }
    for (name, settings) in
        [("scnn", "pe_rows = 0"), ("bitwave", "empty_group_cycles = 2"), ("laconic", "encoding = \"x\"")]
    {
        let overrides = settings.parse().unwrap();
        let model = skimp_sim::find_model(skimp_digital::ACCELERATORS, name).unwrap();
        assert!(model.accelerator(&overrides).is_err(), "{name} {settings}");
    }
}

#[derive(Clone, Debug)]
struct Case {
    layer: LayerWorkload,
    weights: Vec<i32>,
    activation: Vec<i32>,
}

impl Case {
    fn operands(&self) -> (LayerWorkload, LayerTrace) {
        with(self.layer.clone(), self.weights.clone(), self.activation.clone())
    }

    /// The activation that input `channel` of `group` has at a tap of a window.
    fn input(&self, group: usize, channel: usize, window: usize, tap: usize) -> i32 {
        let layer = &self.layer;
        let [y, x] = [
            (window / layer.shape.q(), tap / layer.shape.s(), 0),
            (window % layer.shape.q(), tap % layer.shape.s(), 1),
        ]
        .map(|(output, tap, axis)| {
            (output * layer.shape.strides()[axis] + tap * layer.shape.dilations()[axis]) as isize
                - layer.shape.pads_begin()[axis] as isize
        });
        if y < 0 || x < 0 || y as usize >= layer.shape.h() || x as usize >= layer.shape.w() {
            return 0;
        }
        let channel = group * layer.shape.channels_per_group() + channel;
        self.activation[(channel * layer.shape.h() + y as usize) * layer.shape.w() + x as usize]
    }

    fn effectual(&self, activation_only: bool) -> u64 {
        let (layer, taps) = (&self.layer, self.layer.shape.r() * self.layer.shape.s());
        let mut count = 0;
        for (idx, &weight) in self.weights.iter().enumerate() {
            let (filter, input) = (idx / layer.shape.inputs_per_output(), idx % layer.shape.inputs_per_output());
            let group = filter / layer.shape.filters_per_group();
            for window in 0..layer.shape.p() * layer.shape.q() {
                let a = self.input(group, input / taps, window, input % taps);
                count += u64::from(a != 0 && (activation_only || weight != 0));
            }
        }
        count
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = (1usize..4, 1usize..20, 2usize..9, 2usize..9, 1usize..12, 0usize..2, 1usize..3, any::<bool>());
    (shape, any::<u64>()).prop_map(|((groups, c, h, w, k, kernel, stride, dense), seed)| {
        let mut layer = LayerWorkload::conv("c", groups * c, h, w, groups * k, 2 * kernel + 1)
            .unwrap()
            .with_shape(|shape| {
                shape.groups = groups;
                shape.strides = [stride, 3 - stride];
            })
            .unwrap();
        if dense {
            layer = LayerWorkload::dense("d", c * 8, k * 8);
        }
        let mut state = seed;
        let mut draw = |bits: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let code = ((state >> 33) as i32) & ((1 << bits) - 1);
            if state >> 62 == 0 { 0 } else { code }
        };
        let weights =
            (0..layer.shape.weight_count()).map(|_| draw(8) - 128).map(|code| if code % 3 == 0 { 0 } else { code });
        let weights = weights.collect();
        let activation = (0..layer.shape.input_count()).map(|_| draw(9)).collect();
        Case { layer, weights, activation }
    })
}

fn terms(code: i32) -> u64 {
    u64::from(code.unsigned_abs().count_ones())
}

/// Steps of one window of one group of windows, dealt in turn to 16 columns.
fn in_turn(steps: &[u64]) -> u64 {
    let mut done: Vec<u64> = Vec::new();
    let mut issue = 0;
    for (idx, &cycles) in steps.iter().enumerate() {
        let start = if idx < 16 { issue } else { done[idx - 16].max(issue) };
        done.push(start + cycles);
        issue = start + 1;
    }
    done.into_iter().max().unwrap()
}

/// Pragmatic and Laconic step by step for a layer of one group, with one tile of 16 filters for Laconic.
fn literal(case: &Case, laconic: bool) -> u64 {
    let (layer, taps) = (&case.layer, case.layer.shape.r() * case.layer.shape.s());
    let windows: Vec<usize> = (0..layer.shape.p() * layer.shape.q()).collect();
    let filters: Vec<usize> = (0..layer.shape.k()).collect();
    let per_pass = if laconic { 16 } else { 256 };
    let mut cycles = 0;
    for filters in filters.chunks(per_pass) {
        for group in windows.chunks(16) {
            let mut steps = Vec::new();
            for tap in 0..taps {
                for first in (0..layer.shape.c()).step_by(16) {
                    let mut step = 1;
                    for channel in first..(first + 16).min(layer.shape.c()) {
                        for &window in group {
                            let a = terms(case.input(0, channel, window, tap));
                            for &filter in filters {
                                let weight = case.weights[(filter * layer.shape.c() + channel) * taps + tap];
                                step = step.max(if laconic { a * terms(weight) } else { a });
                            }
                        }
                    }
                    steps.push(step);
                }
            }
            cycles += if windows.len() == 1 { in_turn(&steps) } else { steps.iter().sum() };
        }
    }
    cycles
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn cycles_are_those_of_the_literal_rule(case in cases()) {
        if case.layer.shape.groups() == 1 {
            let operands = case.operands();
            prop_assert_eq!(total("bit-pragmatic", "", &operands), literal(&case, false));
            prop_assert_eq!(total("laconic", "tiles = 1", &operands), literal(&case, true));
        }
    }

    #[test]
    fn work_is_conserved_and_never_above_the_peak(case in cases()) {
        let operands = case.operands();
        for name in NAMES {
            let result = run(name, "", &operands);
            prop_assert_eq!(events(&result, "executed_macs") + events(&result, "skipped_macs"), case.layer.shape.dense_macs());
            prop_assert!(result.total_cycles() > 0 || name == "bitwave");
        }
        for (name, activation_only) in [("bit-pragmatic", true), ("laconic", false), ("scnn", false)] {
            prop_assert_eq!(events(&run(name, "", &operands), "executed_macs"), case.effectual(activation_only), "{}", name);
        }
        for name in ["bit-pragmatic", "laconic"] {
            let result = run(name, "", &operands);
            prop_assert_eq!(events(&result, "terms") + events(&result, "idle_slots"), result.total_cycles() * 65_536);
            prop_assert!(events(&result, "terms") >= events(&result, "executed_macs"));
        }
        let scnn = run("scnn", "", &operands);
        let products = events(&scnn, "executed_macs") + events(&scnn, "products_outside");
        prop_assert_eq!(products + events(&scnn, "idle_slots"), scnn.total_cycles() * 1024);
        prop_assert!(events(&scnn, "pe_cycles") <= scnn.total_cycles() * 64 && products <= events(&scnn, "pe_cycles") * 16);
    }

    #[test]
    fn slack_never_costs_and_never_beats_the_slowest_column(case in cases()) {
        let operands = case.operands();
        let cycles = [0, 1, 2, 4, 1024].map(|r| total("bit-pragmatic", &format!("slack_registers = {r}"), &operands));
        prop_assert!(cycles.windows(2).all(|pair| pair[1] <= pair[0]), "{:?}", cycles);
        let columns = total("bit-pragmatic", "windows_in_parallel = 1", &operands);
        prop_assert!(cycles[4] <= columns);
    }

    #[test]
    fn dense_designs_agree_with_dadiannao(case in cases()) {
        let (layer, trace) = uniform(case.layer.clone(), 1, 1);
        let dense = accelerator("dadiannao", "").simulate_layer(&layer, None).unwrap().total_cycles();
        let structured = accelerator("structured-2-4", "").simulate_layer(&layer, Some(&trace)).unwrap().total_cycles();
        let halved = layer.shape.channels_per_group() >= 4;
        let sparse = uniform(case.layer.clone(), 0, 1);
        prop_assert_eq!(structured, dense);
        prop_assert_eq!(total("structured-2-4", "", &sparse), if halved { dense.div_ceil(2) } else { dense });
    }

    #[test]
    fn results_do_not_depend_on_threads_and_merge(case in cases()) {
        let operands = case.operands();
        for name in NAMES {
            let with_threads = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| run(name, "", &operands))
            };
            let (one, three) = (with_threads(1), with_threads(3));
            prop_assert_eq!(&one, &three);
            let mut sum = one.clone();
            sum.merge(&three);
            prop_assert_eq!(sum.total_cycles(), 2 * one.total_cycles());
            for (statistic, count) in one.events.iter() {
                prop_assert_eq!(sum.events.get(statistic.name), Some(2 * count));
            }
        }
    }
}
