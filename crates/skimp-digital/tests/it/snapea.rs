//! SnaPEA against plain arithmetic, output by output.

use std::sync::Arc;

use proptest::prelude::*;
use skimp_sim::{LayerKind, LayerShape, LayerTrace, LayerWorkload, NegativeSums, RecordedTrace, ShapeSpec};

use crate::support::{accelerator, events};

/// Operands of every output and its weights.
fn windows(layer: &LayerWorkload, activation: &[i32]) -> Vec<(Vec<i64>, Vec<i64>)> {
    let mut all = Vec::new();
    let (channels, weights) = (layer.shape.channels_per_group(), layer.weights.as_deref().unwrap());
    for k in 0..layer.shape.k() {
        for (p, q) in (0..layer.shape.p()).flat_map(|p| (0..layer.shape.q()).map(move |q| (p, q))) {
            let (mut a, mut w) = (Vec::new(), Vec::new());
            for c in 0..channels {
                for (r, s) in (0..layer.shape.r()).flat_map(|r| (0..layer.shape.s()).map(move |s| (r, s))) {
                    let y = (p * layer.shape.strides()[0] + r * layer.shape.dilations()[0])
                        .wrapping_sub(layer.shape.pads_begin()[0]);
                    let x = (q * layer.shape.strides()[1] + s * layer.shape.dilations()[1])
                        .wrapping_sub(layer.shape.pads_begin()[1]);
                    let channel = k / layer.shape.filters_per_group() * channels + c;
                    let inside = y < layer.shape.h() && x < layer.shape.w();
                    let code = if inside {
                        activation[(channel * layer.shape.h() + y) * layer.shape.w() + x]
                    } else {
                        layer.padding_code
                    };
                    a.push(i64::from(code));
                    w.push(i64::from(weights[((k * channels + c) * layer.shape.r() + r) * layer.shape.s() + s]));
                }
            }
            all.push((a, w));
        }
    }
    all
}

/// Multiply-accumulates that the definition does, and its output.
fn by_definition(a: &[i64], w: &[i64], start: i64) -> (u64, i64) {
    let mut order: Vec<usize> = (0..w.len()).filter(|&i| w[i] > 0).collect();
    let mut negative: Vec<usize> = (0..w.len()).filter(|&i| w[i] < 0).collect();
    negative.sort_by_key(|&i| (w[i], i));
    let n_positive = order.len();
    order.extend(negative);
    let mut sum = start;
    for (done, &i) in order.iter().enumerate() {
        sum += a[i] * w[i];
        if done >= n_positive && sum < 0 {
            return (done as u64 + 1, 0);
        }
    }
    (order.len() as u64, sum.max(0))
}

fn layers() -> impl Strategy<Value = LayerWorkload> {
    (1..4usize, 1..3usize, 1..4usize, 1..9usize, 1..40usize, (1..3usize, 1..4usize), 1..3usize).prop_map(
        |(c, groups, kernel, h, w, strides, filters)| {
            let shape = LayerShape::new(ShapeSpec {
                groups,
                strides: [strides.0, strides.1],
                dilations: [1, 1 + h % 2],
                pads_begin: [kernel - 1, kernel - 1],
                pads_end: [kernel - 1, kernel - 1],
                ..ShapeSpec::square(c * groups, h, w, filters * groups, kernel)
            });
            let mut layer = LayerWorkload::of_shape("c", LayerKind::Conv, shape.unwrap());
            // Signed codes of 4 bits, shifted to be non-negative, in every other layer.
            layer.padding_code = if (h + w) % 2 == 0 { 7 } else { 0 };
            layer
        },
    )
}

fn operands(layer: LayerWorkload, seed: u64) -> (LayerWorkload, Vec<i32>, Vec<i64>) {
    let noise =
        |i: usize, n: u64| ((i as u64 + 1).wrapping_mul(seed | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % n;
    let weights: Vec<i32> = (0..layer.shape.weight_count()).map(|i| noise(i, 21) as i32 - 12).collect();
    let activation = (0..layer.shape.input_count()).map(|i| noise(i + 77, 9) as i32).collect();
    let starts = (0..layer.shape.output_count()).map(|i| noise(i + 999, 60) as i64 - 20).collect();
    (LayerWorkload { weights: Some(weights.into()), ..layer }, activation, starts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn exact_mode_counts_what_the_definition_does(layer in layers(), seed in any::<u64>()) {
        let (layer, activation, starts) = operands(layer, seed);
        if layer.check().is_err() {
            return Ok(());
        }
        let (mut expected, mut sums) = (0, Vec::new());
        for ((a, w), &start) in windows(&layer, &activation).iter().zip(&starts) {
            let (macs, output) = by_definition(a, w, start);
            let sum = start + a.iter().zip(w).map(|(a, w)| a * w).sum::<i64>();
            // A negative start without negative weights ends negative with no check; a ReLU makes it 0 all the same.
            prop_assert_eq!(output, sum.max(0));
            expected += macs;
            sums.push(sum);
        }
        let recorded = RecordedTrace {
            activation: Some(activation.into()),
            bias: Some(vec![0; layer.shape.k()].into()),
            residual: Some(starts.into()),
            output_sums: Some(sums.into()),
        };
        let trace = LayerTrace::new(&layer, Arc::new(recorded));
        let result = accelerator("snapea", "").simulate_layer(&layer, Some(&trace)).unwrap();
        let count = |name: &str| result.events.get(name).unwrap();
        prop_assert_eq!(count("executed_macs"), expected);
        prop_assert_eq!(count("executed_macs") + count("skipped_macs"), layer.shape.dense_macs());
        let slots = result.total_cycles() * 256;
        prop_assert_eq!(count("executed_macs") + count("gated_slots") + count("idle_slots"), slots);
        let dense = accelerator("snapea", "mode = \"dense\"").simulate_layer(&layer, None).unwrap();
        prop_assert!(result.total_cycles() <= dense.total_cycles());
        let loose = accelerator("snapea", "kernel_barrier = false").simulate_layer(&layer, Some(&trace)).unwrap();
        prop_assert!(loose.total_cycles() <= result.total_cycles());
        // Without barriers nothing waits; the executed work is the same, and no array beats its own rate.
        let free = "kernel_barrier = false\nlane_barrier = false";
        let free = accelerator("snapea", free).simulate_layer(&layer, Some(&trace)).unwrap();
        prop_assert!(free.total_cycles() <= loose.total_cycles());
        prop_assert_eq!((events(&free, "executed_macs"), events(&free, "gated_slots")), (expected, 0));
        prop_assert!(free.total_cycles() * 256 >= expected);
        // No order of the negative part executes less than the best one of each window.
        let executed = |order: &str| {
            let machine = accelerator("snapea", &format!("negative_order = \"{order}\""));
            events(&machine.simulate_layer(&layer, Some(&trace)).unwrap(), "executed_macs")
        };
        let oracle = executed("oracle");
        for order in ["magnitude", "index", "contribution"] {
            prop_assert!(oracle <= executed(order), "{}", order);
        }
    }
}

#[test]
fn vectors_of_single_windows() {
    // Weights, activations, multiply-accumulates until the sum is final.
    for (weights, activation, macs) in [
        (vec![3, -2, 1, -4], vec![1, 2, 3, 1], 4),
        (vec![3, -2, 1, -4], vec![1, 4, 1, 3], 3),
        (vec![-1, -1, -1, 2], vec![5, 5, 5, 1], 2),
    ] {
        let layer = LayerWorkload { weights: Some(weights.clone().into()), ..LayerWorkload::dense("d", 4, 1) };
        let sum: i32 = weights.iter().zip(&activation).map(|(w, a)| w * a).sum();
        let recorded = RecordedTrace {
            activation: Some(activation.clone().into()),
            bias: Some(vec![0].into()),
            output_sums: Some(vec![i64::from(sum)].into()),
            ..RecordedTrace::default()
        };
        let trace = LayerTrace::new(&layer, Arc::new(recorded));
        for order in ["magnitude", "index"] {
            let machine = accelerator("snapea", &format!("negative_order = \"{order}\""));
            let expected = if order == "index" && activation == [1, 2, 3, 1] { 4 } else { macs };
            let result = machine.simulate_layer(&layer, Some(&trace)).unwrap();
            let executed = result.events.get("executed_macs");
            // By magnitude the first vector is 6, then 6 - 4 = 2, then -2: four as well.
            assert_eq!(executed, Some(expected), "{weights:?} {activation:?} {order}");
        }
    }
}

#[test]
fn given_predictions_stop_after_their_speculation_weights() {
    let weights = vec![4, -1, 2, -3, 1, -2];
    let layer = LayerWorkload { weights: Some(weights.clone().into()), ..LayerWorkload::dense("d", 6, 1) };
    let run = |activation: [i32; 6], threshold: i64| {
        let sum: i32 = weights.iter().zip(&activation).map(|(w, a)| w * a).sum();
        let recorded = RecordedTrace {
            activation: Some(activation.to_vec().into()),
            bias: Some(vec![0].into()),
            output_sums: Some(vec![i64::from(sum)].into()),
            ..RecordedTrace::default()
        };
        let trace = LayerTrace::new(&layer, Arc::new(recorded));
        let settings = format!("mode = \"predictive\"\nkernel_predictions = [\"d=0:2:{threshold}\"]");
        let machine = accelerator("snapea", &settings);
        let result = machine.simulate_layer(&layer, Some(&trace)).unwrap();
        let mut sums = [i64::from(sum)];
        machine.effect().unwrap().sums(&layer, &trace, &mut sums).unwrap();
        (events(&result, "executed_macs"), events(&result, "squashed_outputs"), sums[0])
    };
    // Speculation weights are the 4 and the 2 of lower index: 4 · 1 + 2 · 1 = 6.
    assert_eq!(run([1, 1, 1, 0, 0, 0], 6), (2, 1, -1));
    assert_eq!(run([1, 1, 1, 0, 0, 0], 5), (6, 0, 5));
    // Predicted and negative anyway: nothing is squashed, the sum stays.
    assert_eq!(run([0, 0, 0, 9, 0, 0], 0), (2, 0, -27));
    let model = skimp_sim::find_model(skimp_digital::ACCELERATORS, "snapea").unwrap();
    for (settings, needle) in [
        ("kernel_predictions = [\"d\"]", "LAYER=KERNEL:WEIGHTS:THRESHOLD"),
        ("kernel_criterion = \"x\"", "\"accuracy\" or \"none\""),
        ("mode = \"predictive\"\nnegative_order = \"oracle\"", "bound of the exact mode"),
    ] {
        let error = model.accelerator(&settings.parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains(needle), "{error}");
    }
}

#[test]
fn layers_without_a_proof_run_their_weights() {
    let layer = LayerWorkload {
        weights: Some(vec![3, 0, 1, -4].into()),
        negatives: NegativeSums::SignedOperands,
        ..LayerWorkload::dense("d", 4, 1)
    };
    let result = accelerator("snapea", "").simulate_layer(&layer, None).unwrap();
    assert_eq!((result.events.get("executed_macs"), result.total_cycles()), (Some(3), 3));
}

#[test]
fn an_index_buffer_can_be_left_out() {
    let layer = LayerWorkload::conv("c", 16, 9, 7, 24, 3).unwrap();
    let (layer, trace) = crate::support::full_operands(layer);
    let indexed = |settings: &str| {
        let snapea = accelerator("snapea", settings);
        let result = snapea.simulate_layer(&layer, Some(&trace)).unwrap();
        let energy = snapea.facts().price(&result).unwrap();
        let of = |component: &str| energy.component(component).map_or(0.0, |priced| priced.dynamic_nj);
        (of("index"), of("dram"), result.total_cycles())
    };
    let (with, without) = (indexed(""), indexed("index_bits = 0"));
    assert!(with.0 > 0.0 && without.0.abs() < 1e-12, "{with:?} {without:?}");
    assert!(without.1 < with.1 && without.2 == with.2, "{with:?} {without:?}");
}
