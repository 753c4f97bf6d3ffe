//! Selective computation of gradients: cycle vectors, and gradients that are the same bit by bit.

use std::sync::Arc;

use proptest::prelude::*;
use skimp_sim::{LayerKind, LayerShape, LayerTrace, LayerWorkload, RecordedTrace, ShapeSpec};

use crate::support::{accelerator, cycles, events, vgg16_conv};

fn trace(layer: &LayerWorkload, activation: Vec<i32>) -> LayerTrace {
    let recorded = RecordedTrace { activation: Some(activation.into()), ..RecordedTrace::default() };
    LayerTrace::new(layer, Arc::new(recorded))
}

/// Pseudo-random numbers below `bound`.
fn numbers(seed: u64) -> impl FnMut(i64) -> i64 {
    let mut state = seed;
    move |bound| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as i64 % bound
    }
}

fn codes(count: usize, percent_zero: i64, seed: u64) -> Vec<i32> {
    let mut draw = numbers(seed);
    (0..count).map(|_| if draw(100) < percent_zero { 0 } else { draw(500) as i32 + 1 }).collect()
}

#[test]
fn cycle_vectors() {
    // 32 channels, 16 output lanes, one position, 9 · 64 products: 36 steps.
    let layer = LayerWorkload::conv("one", 32, 1, 1, 64, 3).unwrap();
    for (non_zero, expected) in [(32, 72), (17, 72), (16, 36), (1, 36), (0, 0)] {
        let activation = (0..32).map(|channel| i32::from(channel < non_zero)).collect();
        let result = accelerator("selective-gradients", "").simulate_layer(&layer, Some(&trace(&layer, activation)));
        let result = result.unwrap();
        assert_eq!(cycles(&result, "compute"), expected, "{non_zero} of 32");
        assert_eq!(events(&result, "dense_cycles"), 72);
        assert_eq!(events(&result, "dram_gradient_bytes"), 2 * non_zero as u64 + 4);
        assert_eq!(events(&result, "dram_gradient_dense_bytes"), 64);
    }
}

#[test]
fn where_the_mask_does_not_hold_the_pass_is_dense() {
    let layer = LayerWorkload::conv("c", 32, 5, 5, 16, 3).unwrap();
    let zeros = trace(&layer, vec![0; layer.shape.input_count()]);
    let dense = accelerator("selective-gradients", "selective = false").simulate_layer(&layer, None).unwrap();
    for (case, reason) in [
        (LayerWorkload { first: true, ..layer.clone() }, "the network's input"),
        (LayerWorkload { activation_signed: true, ..layer.clone() }, "may be negative"),
    ] {
        let result = accelerator("selective-gradients", "").simulate_layer(&case, Some(&zeros)).unwrap();
        assert_eq!((&result.cycles, &result.events), (&dense.cycles, &dense.events));
        assert!(result.notes[0].contains(reason), "{:?}", result.notes);
    }
    let selective = accelerator("selective-gradients", "");
    assert_eq!(selective.simulate_layer(&layer, Some(&zeros)).unwrap().total_cycles(), 0);
    assert!(selective.simulate_layer(&layer, None).unwrap_err().to_string().contains("activation"));
}

#[test]
fn vgg16_layer_follows_the_non_zero_ratio_from_above() {
    let layer = vgg16_conv(8);
    let trace = trace(&layer, codes(layer.shape.input_count(), 60, 3));
    let result = accelerator("selective-gradients", "").simulate_layer(&layer, Some(&trace)).unwrap();
    let ratio = events(&result, "gradients_computed") as f64 / events(&result, "gradients") as f64;
    let normalized = cycles(&result, "compute") as f64 / events(&result, "dense_cycles") as f64;
    assert!(ratio < normalized && normalized < ratio + 0.05, "{ratio} {normalized}");
    let gathered = accelerator("selective-gradients", "gather = true").simulate_layer(&layer, Some(&trace)).unwrap();
    let gathered = cycles(&gathered, "compute") as f64 / events(&gathered, "dense_cycles") as f64;
    assert!(ratio <= gathered && gathered < ratio + 1e-4, "{ratio} {gathered}");
    let dram = events(&result, "dram_gradient_bytes") as f64 / events(&result, "dram_gradient_dense_bytes") as f64;
    assert!((dram - ratio - 1.0 / 16.0).abs() < 1e-12, "{dram}");
}

/// Full back-propagation as a loop over the forward pass: each product sends its share to the input it read.
fn back_propagate(layer: &LayerWorkload, weights: &[i32], gradient: &[i64]) -> Vec<i64> {
    let mut input = vec![0i64; layer.shape.input_count()];
    for_each_product(layer, |at, output, weight| input[at] += gradient[output] * i64::from(weights[weight]));
    input
}

/// Calls with input, output and weight index of each product inside the map.
fn for_each_product(layer: &LayerWorkload, mut call: impl FnMut(usize, usize, usize)) {
    let (cg, kg) = (layer.shape.channels_per_group(), layer.shape.filters_per_group());
    for k in 0..layer.shape.k() {
        for (p, q) in (0..layer.shape.p()).flat_map(|p| (0..layer.shape.q()).map(move |q| (p, q))) {
            for weight in 0..cg * layer.shape.r() * layer.shape.s() {
                let (c, r, s) = (
                    weight / (layer.shape.r() * layer.shape.s()),
                    weight / layer.shape.s() % layer.shape.r(),
                    weight % layer.shape.s(),
                );
                let y = (p * layer.shape.strides()[0] + r * layer.shape.dilations()[0])
                    .wrapping_sub(layer.shape.pads_begin()[0]);
                let x = (q * layer.shape.strides()[1] + s * layer.shape.dilations()[1])
                    .wrapping_sub(layer.shape.pads_begin()[1]);
                if y < layer.shape.h() && x < layer.shape.w() {
                    let at = ((k / kg * cg + c) * layer.shape.h() + y) * layer.shape.w() + x;
                    call(
                        at,
                        (k * layer.shape.p() + p) * layer.shape.q() + q,
                        k * cg * layer.shape.r() * layer.shape.s() + weight,
                    );
                }
            }
        }
    }
}

/// One gradient of the backward convolution with flipped weights: a sum over the outputs that read the input.
fn one_gradient(layer: &LayerWorkload, weights: &[i32], gradient: &[i64], at: usize) -> i64 {
    let (cg, kg) = (layer.shape.channels_per_group(), layer.shape.filters_per_group());
    let (channel, y, x) =
        (at / (layer.shape.h() * layer.shape.w()), at / layer.shape.w() % layer.shape.h(), at % layer.shape.w());
    let group = channel / cg;
    let output = |at: usize, tap: usize, axis: usize, extent: usize| {
        let offset = (at + layer.shape.pads_begin()[axis]).checked_sub(tap * layer.shape.dilations()[axis])?;
        (offset % layer.shape.strides()[axis] == 0 && offset / layer.shape.strides()[axis] < extent)
            .then(|| offset / layer.shape.strides()[axis])
    };
    let mut sum = 0;
    for r in (0..layer.shape.r()).rev() {
        let Some(p) = output(y, r, 0, layer.shape.p()) else { continue };
        for s in (0..layer.shape.s()).rev() {
            let Some(q) = output(x, s, 1, layer.shape.q()) else { continue };
            for k in group * kg..(group + 1) * kg {
                let weight = ((k * cg + channel % cg) * layer.shape.r() + r) * layer.shape.s() + s;
                sum += gradient[(k * layer.shape.p() + p) * layer.shape.q() + q] * i64::from(weights[weight]);
            }
        }
    }
    sum
}

/// Gradients before the ReLU by full back-propagation, and by computing those of non-zero activations only, are the
/// same; returns how many were computed.
fn assert_same_gradients(layer: &LayerWorkload, activation: &[i32], weights: &[i32], gradient: &[i64]) -> u64 {
    let full = back_propagate(layer, weights, gradient);
    let masked = full.iter().zip(activation).map(|(&gradient, &code)| if code > 0 { gradient } else { 0 });
    let mut computed = 0;
    let selective: Vec<i64> = (0..layer.shape.input_count())
        .map(|at| {
            if activation[at] == 0 {
                return 0;
            }
            computed += 1;
            one_gradient(layer, weights, gradient, at)
        })
        .collect();
    assert!(masked.eq(selective.iter().copied()), "gradients differ");
    computed
}

/// Codes of the embedded network's `block2_conv1` on its first image: activation `[48, 7, 7]`, weights and exact sums of
/// the first four filters, a line each.
const RECORDED: &str = include_str!("../data/sample_block2_conv1.txt");

#[test]
fn gradients_are_the_same_on_a_real_layer() {
    let lines: Vec<Vec<i64>> =
        RECORDED.lines().map(|line| line.split(' ').map(|code| code.parse().unwrap()).collect()).collect();
    let narrow = |codes: &[i64]| codes.iter().map(|&code| i32::try_from(code).unwrap()).collect::<Vec<_>>();
    let layer = LayerWorkload::conv("block2_conv1", 48, 7, 7, 4, 3).unwrap();
    let (activation, weights) = (narrow(&lines[0]), narrow(&lines[1]));
    // No gradient is recorded; the layer's sums stand in for one.
    let computed = assert_same_gradients(&layer, &activation, &weights, &lines[2]);
    assert_eq!(computed, 48 * 49 - 1556);
    let result = accelerator("selective-gradients", "").simulate_layer(&layer, Some(&trace(&layer, activation)));
    assert_eq!(events(&result.unwrap(), "gradients_computed"), computed);
}

fn layers() -> impl Strategy<Value = LayerWorkload> {
    let extents = (1usize..3, 1usize..20, 1usize..8, 1usize..8, 1usize..8);
    (extents, 1usize..5, 1usize..4, 1usize..3).prop_filter_map(
        "the kernel fits",
        |((groups, c, h, w, k), kernel, stride, dilation)| {
            let square = ShapeSpec::square(groups * c, h, w, groups * k, kernel);
            let spec = ShapeSpec { groups, strides: [stride, 1], dilations: [1, dilation], ..square };
            Some(LayerWorkload::of_shape("c", LayerKind::Conv, LayerShape::new(spec).ok()?))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn gradients_are_the_same(layer in layers(), percent in 0i64..=100, seed in any::<u64>()) {
        let activation = codes(layer.shape.input_count(), percent, seed);
        let mut draw = numbers(seed ^ 1);
        let weights: Vec<i32> = (0..layer.shape.weight_count()).map(|_| draw(65_535) as i32 - 32_767).collect();
        let gradient: Vec<i64> = (0..layer.shape.output_count()).map(|_| draw(1 << 20) - (1 << 19)).collect();
        let computed = assert_same_gradients(&layer, &activation, &weights, &gradient);
        let result = accelerator("selective-gradients", "").simulate_layer(&layer, Some(&trace(&layer, activation)));
        prop_assert_eq!(events(&result.unwrap(), "gradients_computed"), computed);
    }

    #[test]
    fn work_is_conserved_and_bounded(layer in layers(), percent in 0i64..=100, gather in any::<bool>()) {
        let settings = format!("gather = {gather}");
        let unit = accelerator("selective-gradients", &settings);
        let dense = accelerator("selective-gradients", &format!("{settings}\nselective = false"));
        let dense = dense.simulate_layer(&layer, None).unwrap();
        let result = unit.simulate_layer(&layer, Some(&trace(&layer, codes(layer.shape.input_count(), percent, 9)))).unwrap();
        let [all, executed, skipped, idle] =
            ["backward_macs", "executed_macs", "skipped_macs", "idle_slots"].map(|event| events(&result, event));
        prop_assert_eq!(executed + skipped, all);
        prop_assert_eq!(executed + idle, 256 * cycles(&result, "compute"));
        prop_assert_eq!(events(&result, "dense_cycles"), cycles(&dense, "compute"));
        prop_assert!(cycles(&result, "compute") <= cycles(&dense, "compute"));
        let full = trace(&layer, vec![1; layer.shape.input_count()]);
        let full = unit.simulate_layer(&layer, Some(&full)).unwrap();
        prop_assert_eq!(&full.cycles, &dense.cycles);
        if layer.shape.strides() == [1, 1] && layer.shape.channels_per_group() % 16 == 0 {
            let ratio = events(&result, "gradients_computed") as f64 / events(&result, "gradients") as f64;
            let normalized = cycles(&result, "compute") as f64 / events(&result, "dense_cycles") as f64;
            prop_assert!(normalized >= ratio - 1e-12);
        }
    }
}
