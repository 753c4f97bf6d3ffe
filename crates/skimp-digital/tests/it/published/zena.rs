//! ZeNA: the derived vector of kernel allocation, trends, and the properties of two-sided skipping.

use std::sync::Arc;

use proptest::prelude::*;
use skimp_sim::{LayerResult, LayerTrace, LayerWorkload, RecordedTrace};

use crate::support::{accelerator, events};

fn run(settings: &str, layer: &LayerWorkload, codes: &[i32]) -> LayerResult {
    let recorded = RecordedTrace { activation: Some(codes.into()), ..RecordedTrace::default() };
    let trace = LayerTrace::new(layer, Arc::new(recorded));
    accelerator("zena", settings).simulate_layer(layer, Some(&trace)).unwrap()
}

/// Values of which about `zeros` in 1000 are 0.
fn values(count: usize, zeros: u64, seed: u64) -> Vec<i32> {
    let mut state = seed;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..count).map(|_| if draw() % 1000 < zeros { 0 } else { (draw() % 300) as i32 + 1 }).collect()
}

#[test]
fn allocation_vector() {
    let counts = [9, 1, 8, 2, 7, 3, 6, 4];
    let weights: Vec<i32> = counts.iter().flat_map(|&n| (0..9).map(move |idx| i32::from(idx < n))).collect();
    let layer = LayerWorkload { weights: Some(weights.into()), ..LayerWorkload::dense("d", 9, 8) };
    let cycles = |allocation: &str| {
        let settings = format!("pes = 2\npes_per_group = 2\nkernel_allocation = \"{allocation}\"");
        let result = run(&settings, &layer, &[1; 9]);
        assert_eq!(events(&result, "executed_macs"), 40);
        assert_eq!(events(&result, "idle_slots"), 2 * result.total_cycles() - 40);
        result.total_cycles()
    };
    assert_eq!((cycles("naive"), cycles("zero_aware")), (30, 22));
    // Four groups of two for one window: all sets at once.
    let wide = run("pes = 8\npes_per_group = 2", &layer, &[1; 9]);
    assert_eq!(wide.total_cycles(), 9);
}

#[test]
fn nothing_zero_takes_every_input() {
    let mut layer = LayerWorkload::conv("c", 20, 8, 9, 28, 3).unwrap();
    layer = layer.with_shape(|shape| (shape.pads_begin, shape.pads_end) = ([0, 0], [0, 0])).unwrap();
    layer.weights = Some(vec![1; layer.shape.weight_count()].into());
    let codes = vec![1; layer.shape.input_count()];
    let dense = run("skip = \"none\"", &layer, &codes);
    // 42 windows on 12 groups: four each in the longest runs; two sets of 14 kernels.
    assert_eq!(dense.total_cycles(), 4 * 2 * 180);
    for skip in ["both", "activations", "weights"] {
        let ours = run(&format!("skip = \"{skip}\""), &layer, &codes);
        assert_eq!((&ours.cycles, events(&ours, "skipped_macs")), (&dense.cycles, 0));
    }
}

#[test]
fn two_sides_beat_one_on_a_pruned_layer() {
    // Weights of 35 %, activations of 50 % density, drawn at random: the order is published, the numbers are of others.
    let mut layer = LayerWorkload::conv("c", 256, 13, 13, 384, 3).unwrap();
    layer.weights = Some(values(layer.shape.weight_count(), 650, 1).into());
    let codes = values(layer.shape.input_count(), 500, 2);
    let [both, activations, none] =
        ["both", "activations", "none"].map(|skip| run(&format!("skip = \"{skip}\""), &layer, &codes).total_cycles());
    let (over_none, over_one) = (none as f64 / both as f64, activations as f64 / both as f64);
    skimp_testkit::check(&[("zena-over-none", over_none), ("zena-over-one-sided", over_one)]);
}

#[test]
fn zero_aware_allocation_wastes_less_where_kernels_differ() {
    let mut layer = LayerWorkload::conv("c", 64, 12, 12, 56, 3).unwrap();
    let inputs = layer.shape.inputs_per_output();
    let weights: Vec<i32> =
        (0..56).flat_map(|kernel| values(inputs, (kernel * 37 % 56) as u64 * 17, kernel as u64)).collect();
    layer.weights = Some(weights.into());
    let codes = values(layer.shape.input_count(), 500, 9);
    let naive = run("kernel_allocation = \"naive\"", &layer, &codes);
    let aware = run("", &layer, &codes);
    assert_eq!(events(&naive, "executed_macs"), events(&aware, "executed_macs"));
    assert!(aware.total_cycles() < naive.total_cycles());
    assert!(events(&aware, "group_wait") < events(&naive, "group_wait"));
}

#[test]
fn what_it_lacks_is_named() {
    let zena = accelerator("zena", "");
    let layer = LayerWorkload::conv("c", 4, 4, 4, 4, 3).unwrap();
    let error = zena.simulate_layer(&layer, None).unwrap_err().to_string();
    assert_eq!(error, "layer \"c\": zena needs the operand trace activation of an image");
    let recorded = RecordedTrace { activation: Some(vec![1; 64].into()), ..RecordedTrace::default() };
    let trace = LayerTrace::new(&layer, Arc::new(recorded));
    let error = zena.simulate_layer(&layer, Some(&trace)).unwrap_err().to_string();
    assert!(error.contains("needs weight codes"), "{error}");
    let blind = accelerator("zena", "skip = \"none\"");
    assert!(blind.simulate_layer(&layer, None).is_ok());
    let model = skimp_sim::find_model(skimp_digital::ACCELERATORS, "zena").unwrap();
    for (settings, needle) in [("pes = 169", "multiple of pes_per_group"), ("skip = \"all\"", "both")] {
        let error = model.accelerator(&settings.parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains(needle), "{error}");
    }
}

/// Pairs of non-zero operands by the definition.
fn effectual(layer: &LayerWorkload, codes: &[i32], weights: &[i32]) -> u64 {
    let (channels, filters) = (layer.shape.channels_per_group(), layer.shape.filters_per_group());
    let mut count = 0;
    for k in 0..layer.shape.k() {
        for window in 0..layer.shape.p() * layer.shape.q() {
            for input in 0..layer.shape.inputs_per_output() {
                let (c, tap) =
                    (input / (layer.shape.r() * layer.shape.s()), input % (layer.shape.r() * layer.shape.s()));
                let y = (window / layer.shape.q() * layer.shape.strides()[0] + tap / layer.shape.s())
                    .wrapping_sub(layer.shape.pads_begin()[0]);
                let x = (window % layer.shape.q() * layer.shape.strides()[1] + tap % layer.shape.s())
                    .wrapping_sub(layer.shape.pads_begin()[1]);
                let channel = k / filters * channels + c;
                count += u64::from(
                    y < layer.shape.h()
                        && x < layer.shape.w()
                        && codes[(channel * layer.shape.h() + y) * layer.shape.w() + x] != 0
                        && weights[k * layer.shape.inputs_per_output() + input] != 0,
                );
            }
        }
    }
    count
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn slots_are_conserved(
        groups in 1usize..4, c in 1usize..70, h in 1usize..7, w in 1usize..7, k in 1usize..24, kernel in 0usize..2,
        stride in 1usize..3, zeros in 0u64..1000, seed in any::<u64>()
    ) {
        let mut layer = LayerWorkload::conv("c", groups * c, h, w, groups * k, 2 * kernel + 1).unwrap().with_shape(|shape| {
            shape.groups = groups;
            shape.strides = [stride, 1];
        }).unwrap();
        let weights = values(layer.shape.weight_count(), 1000 - zeros, seed ^ 1);
        layer.weights = Some(weights.clone().into());
        let layer = layer.validated().unwrap();
        let codes = values(layer.shape.input_count(), zeros, seed);
        let mut cycles = Vec::new();
        for skip in ["both", "activations", "weights", "none"] {
            let result = run(&format!("skip = \"{skip}\""), &layer, &codes);
            let executed = events(&result, "executed_macs");
            prop_assert_eq!(executed + events(&result, "skipped_macs"), layer.shape.dense_macs());
            prop_assert_eq!(executed + events(&result, "idle_slots"), result.total_cycles() * 168);
            prop_assert!(events(&result, "group_wait") <= events(&result, "idle_slots"));
            if skip == "both" {
                prop_assert_eq!(executed, effectual(&layer, &codes, &weights));
            }
            cycles.push(result.total_cycles());
        }
        prop_assert!(cycles[0] <= cycles[1].min(cycles[2]) && cycles[1].max(cycles[2]) <= cycles[3]);
    }
}

#[test]
fn results_do_not_depend_on_threads_and_add_up() {
    let mut layer = LayerWorkload::conv("c", 70, 11, 9, 20, 3).unwrap();
    layer.weights = Some(values(layer.shape.weight_count(), 400, 3).into());
    let images = [values(layer.shape.input_count(), 300, 5), values(layer.shape.input_count(), 700, 6)];
    let on = |threads: usize, image: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run("", &layer, &images[image]))
    };
    assert_eq!(on(1, 0), on(3, 0));
    let (mut forth, mut back) = (on(1, 0), on(1, 1));
    forth.merge(&on(2, 1));
    back.merge(&on(2, 0));
    assert_eq!((forth.cycles, forth.events), (back.cycles, back.events));
}
