//! Properties of whole layers on random shapes and end planes.

use std::sync::Arc;

use proptest::prelude::*;
use skimp_digital::compend;
use skimp_numerics::EndTest;
use skimp_sim::{LayerTrace, LayerWorkload, RecordedTrace};

use crate::support::{accelerator, cycles, events};

#[derive(Clone, Debug)]
struct Case {
    layer: LayerWorkload,
    negative: Vec<u8>,
    non_positive: Vec<u8>,
}

fn layers() -> impl Strategy<Value = LayerWorkload> {
    (1usize..5, 1usize..20, 1usize..12, 1usize..12, 1usize..24, 0usize..3, 1usize..3, 2u32..=16, any::<bool>())
        .prop_map(|(groups, c, h, w, k, kernel, stride, weight_bits, dense)| {
            if dense {
                return LayerWorkload { weight_bits, ..LayerWorkload::dense("d", groups * c * 40, k * 3) };
            }
            let mut layer = LayerWorkload::conv("c", groups * c, h, w, groups * k, 2 * kernel + 1)
                .unwrap()
                .with_shape(|shape| {
                    shape.groups = groups;
                    shape.strides = [stride, stride];
                })
                .unwrap();
            layer.weight_bits = weight_bits;
            layer
        })
}

fn cases() -> impl Strategy<Value = Case> {
    (layers(), any::<u64>()).prop_map(|(layer, seed)| {
        let planes = layer.weight_bits as u8;
        let mut state = seed;
        let mut draw = |bound: u8| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % u64::from(bound)) as u8 + 1
        };
        let negative: Vec<u8> = (0..layer.shape.output_count()).map(|_| draw(planes + 6).min(planes)).collect();
        let non_positive = negative.iter().map(|&end| if end > 1 && draw(3) == 1 { end - 1 } else { end }).collect();
        Case { layer, negative, non_positive }
    })
}

fn trace(case: &Case) -> LayerTrace {
    let trace = LayerTrace::new(&case.layer, Arc::new(RecordedTrace::default()));
    for (test, ends) in [(EndTest::Negative, &case.negative), (EndTest::NonPositive, &case.non_positive)] {
        trace.keep(compend::key(test), Arc::new(compend::EndPlanes::recorded(ends.clone().into())));
    }
    trace
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn end_saves_and_conserves(case in cases()) {
        let layer = case.layer.clone().validated().unwrap();
        let trace = trace(&case);
        let off = accelerator("compend", "end = false").simulate_layer(&layer, None).unwrap();
        let on = accelerator("compend", "").simulate_layer(&layer, Some(&trace)).unwrap();
        for result in [&off, &on] {
            let [dense, useful, issued, skipped, decided] =
                ["planes_dense", "planes_useful", "planes_issued", "planes_skipped", "ctrl_decisions"]
                    .map(|event| events(result, event));
            prop_assert_eq!(issued + skipped, dense);
            prop_assert!(useful <= decided && decided <= issued);
        }
        prop_assert_eq!(events(&off, "planes_issued"), events(&off, "planes_dense"));
        let peak = 288.0 * 16.0 / f64::from(layer.weight_bits);
        prop_assert!(off.macs as f64 <= peak * cycles(&off, "run_pu") as f64);
        for phase in ["mem_stt", "stt_wb", "mem_wb", "mem_ab", "ab_pu"] {
            prop_assert_eq!(cycles(&on, phase), cycles(&off, phase));
        }
        prop_assert!(cycles(&on, "run_pu") <= cycles(&off, "run_pu"));
    }

    #[test]
    fn results_do_not_depend_on_threads(case in cases()) {
        let trace = trace(&case);
        let compend = accelerator("compend", "");
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| compend.simulate_layer(&case.layer, Some(&trace)).unwrap())
        };
        prop_assert_eq!(run(1), run(3));
    }

    #[test]
    fn a_full_trace_equals_end_off(case in cases()) {
        let planes = case.layer.weight_bits as u8;
        let full = Case { negative: vec![planes; case.negative.len()], ..case };
        let on = accelerator("compend", "").simulate_layer(&full.layer, Some(&trace(&full))).unwrap();
        let off = accelerator("compend", "end = false").simulate_layer(&full.layer, None).unwrap();
        prop_assert_eq!(on.cycles, off.cycles);
        prop_assert_eq!(on.events, off.events);
    }

    #[test]
    fn dadiannao_never_beats_its_peak(layer in layers()) {
        let result = accelerator("dadiannao", "").simulate_layer(&layer, None).unwrap();
        prop_assert!(result.macs <= result.total_cycles() * 4096);
    }

    #[test]
    fn systolic_arrays_conserve_and_respect_both_roofs(
        layer in layers(),
        images in 1usize..4,
        (rows, columns, flow) in (1u64..40, 1u64..40, 0usize..3),
        (double, buffer, bandwidth) in (any::<bool>(), 1u64..5000, 1u64..200),
    ) {
        let layer = layer.with_shape(|shape| shape.n = images).unwrap();
        let flow = ["weight_stationary", "output_stationary", "input_stationary"][flow];
        let settings = format!(
            "rows = {rows}\ncolumns = {columns}\ndataflow = \"{flow}\"\ndouble_buffered_weights = {double}\n\
             input_buffer_bytes = {buffer}\nweight_buffer_bytes = {buffer}\noutput_buffer_bytes = {buffer}\n\
             dram_gb_per_s = {bandwidth}"
        );
        let result = accelerator("systolic", &settings).simulate_layer(&layer, None).unwrap();
        let slots = result.total_cycles() * rows * columns;
        let [executed, idle, passes] = ["executed_macs", "idle_slots", "pass_slots"].map(|name| events(&result, name));
        prop_assert_eq!(executed, layer.shape.dense_macs());
        prop_assert_eq!(executed + idle + passes, slots);
        let traffic = ["dram_input_bytes", "dram_weight_bytes", "dram_output_bytes", "dram_psum_bytes"];
        let bytes: u64 = traffic.iter().map(|name| events(&result, name)).sum();
        // 1 GB/s is 1 byte per cycle at 1 GHz.
        prop_assert!(result.total_cycles() * bandwidth >= bytes);
        let compulsory = layer.shape.weight_count() as u64 * u64::from(layer.weight_bits) / 8;
        prop_assert!(events(&result, "dram_weight_bytes") >= compulsory);
        // Larger buffers never add traffic.
        let larger = settings.replace(&format!("_bytes = {buffer}"), "_bytes = 1000000000");
        let larger = accelerator("systolic", &larger).simulate_layer(&layer, None).unwrap();
        prop_assert!(traffic.iter().all(|name| events(&larger, name) <= events(&result, name)));
        prop_assert!(larger.total_cycles() <= result.total_cycles());
        prop_assert_eq!(events(&larger, "dram_psum_bytes"), 0);
    }

    #[test]
    fn groups_are_products_one_after_another(layer in layers(), flow in 0usize..3) {
        let flow = ["weight_stationary", "output_stationary", "input_stationary"][flow];
        let array = accelerator("systolic", &format!("dataflow = \"{flow}\""));
        let whole = array.simulate_layer(&layer, None).unwrap();
        let groups = layer.shape.groups();
        let one = layer.with_shape(|shape| (shape.c, shape.k, shape.groups) = (shape.c / groups, shape.k / groups, 1)).unwrap();
        let one = array.simulate_layer(&one, None).unwrap();
        prop_assert_eq!(cycles(&whole, "compute"), groups as u64 * cycles(&one, "compute"));
        prop_assert_eq!(events(&whole, "input_reads"), groups as u64 * events(&one, "input_reads"));
    }
}

#[test]
fn counts_beyond_64_bits_are_refused() {
    let layer = LayerWorkload::conv("deep", 1, 1 << 20, 1 << 20, 1, 1).unwrap();
    let array = accelerator("systolic", "rows = 16384\ncolumns = 16384");
    let error = array.simulate_layer(&layer.validated().unwrap(), None).unwrap_err().to_string();
    assert!(error.contains("\"deep\": systolic does not support"), "{error}");
}

#[test]
fn the_wider_test_is_never_slower_on_a_real_layout() {
    // No theorem for single windows, see `one_plane_less_can_cost_cycles`; layers with realistic ends gain.
    let layer = LayerWorkload::conv("c", 128, 14, 14, 64, 3).unwrap();
    let mut state = 7u64;
    let negative: Vec<u8> = (0..layer.shape.output_count())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (6 + (state >> 33) % 16).min(16) as u8
        })
        .collect();
    let non_positive = negative.iter().map(|&end| if end < 16 { end - 1 } else { end }).collect();
    let case = Case { layer, negative, non_positive };
    let trace = trace(&case);
    let narrow = accelerator("compend", "").simulate_layer(&case.layer, Some(&trace)).unwrap();
    let wide = accelerator("compend", "end_test = \"<=0\"").simulate_layer(&case.layer, Some(&trace)).unwrap();
    assert!(cycles(&wide, "run_pu") < cycles(&narrow, "run_pu"));
}
