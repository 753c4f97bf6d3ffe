//! Padding whose operand is not 0: every design that looks at values sees the codes that the network computes with.

use std::sync::Arc;

use proptest::prelude::*;
use skimp_digital::ACCELERATORS;
use skimp_sim::{LayerTrace, LayerWorkload, RecordedTrace};

use crate::support::{accelerator, events, record_ends};

/// A layer with padding of its own on each side, its activation codes, and a trace of exact sums.
fn cases() -> impl Strategy<Value = (LayerWorkload, Vec<i32>)> {
    let extents = (1..5usize, 1..3usize, 1..4usize, 1..8usize, 1..10usize);
    (extents, (1..3usize, 1..3usize), (0..3usize, 0..3usize), prop_oneof![Just(0), Just(7), Just(127)], any::<u64>())
        .prop_map(|((c, groups, kernel, h, w), strides, pads, offset, seed)| {
            let noise = |i: usize, n: u64| {
                ((i as u64 + 1).wrapping_mul(seed | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % n
            };
            let mut layer = LayerWorkload::conv("c", c * groups, h + kernel, w + kernel, 3 * groups, kernel)
                .unwrap()
                .with_shape(|shape| {
                    shape.groups = groups;
                    shape.strides = [strides.0, strides.1];
                    shape.pads_begin = [pads.0.min(kernel), pads.1.min(kernel)];
                    shape.pads_end = [pads.1.min(kernel), 1];
                })
                .unwrap();
            layer.padding_code = offset;
            layer.activation_bits = 8;
            layer.weight_bits = 8;
            layer.weights = Some((0..layer.shape.weight_count()).map(|i| noise(i, 13) as i32 - 6).collect());
            let greatest = 2 * offset.max(4) as u64;
            let codes = (0..layer.shape.input_count()).map(|i| noise(i + 77, greatest + 1) as i32).collect();
            (layer, codes)
        })
}

fn trace(layer: &LayerWorkload, codes: &[i32]) -> LayerTrace {
    let (weights, depth) = (layer.weights.as_deref().unwrap(), layer.shape.inputs_per_output());
    let sum = |idx: usize| -> i64 {
        let filter = &weights[idx / (layer.shape.p() * layer.shape.q()) * depth..][..depth];
        layer.operands(codes, idx).zip(filter).map(|(a, &w)| i64::from(a) * i64::from(w)).sum()
    };
    let recorded = RecordedTrace {
        activation: Some(codes.to_vec().into()),
        bias: Some(vec![0; layer.shape.k()].into()),
        output_sums: Some((0..layer.shape.output_count()).map(sum).collect()),
        residual: None,
    };
    let trace = LayerTrace::new(layer, Arc::new(recorded));
    record_ends(&trace, vec![layer.weight_bits as u8; layer.shape.output_count()]);
    trace
}

/// Products behind all outputs of which `counts` says that they are done, padding's operands included.
fn products(layer: &LayerWorkload, codes: &[i32], counts: impl Fn(i32, i32) -> bool) -> u64 {
    let (weights, depth) = (layer.weights.as_deref().unwrap(), layer.shape.inputs_per_output());
    let of_output = |idx: usize| {
        let filter = &weights[idx / (layer.shape.p() * layer.shape.q()) * depth..][..depth];
        layer.operands(codes, idx).zip(filter).filter(|&(a, &w)| counts(a, w)).count() as u64
    };
    (0..layer.shape.output_count()).map(of_output).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn padding_is_skipped_only_where_it_is_zero((layer, codes) in cases()) {
        let layer = layer.validated().unwrap();
        let trace = trace(&layer, &codes);
        trace.check_operands(&layer, usize::MAX).unwrap();
        let run = |name: &str| accelerator(name, "").simulate_layer(&layer, Some(&trace)).unwrap();
        let activation = products(&layer, &codes, |a, _| a != 0);
        let both = products(&layer, &codes, |a, w| a != 0 && w != 0);
        for (name, expected) in
            [("bit-pragmatic", activation), ("cnvlutin", activation), ("laconic", both), ("scnn", both), ("zena", both)]
        {
            prop_assert_eq!(events(&run(name), "executed_macs"), expected, "{}", name);
        }
        prop_assert_eq!(events(&run("eyeriss"), "gated_macs"), layer.shape.dense_macs() - activation);
        // Precision holds the padding, too: its operand lies in a window of every layer that has padding.
        let largest = codes.iter().copied().max().unwrap_or(0).max(layer.padding_code);
        if layer.has_offset_padding() {
            let stripes = accelerator("stripes", "precision = \"lossless\"").simulate_layer(&layer, Some(&trace)).unwrap();
            prop_assert_eq!(stripes.mapping[0], ("precision_bits", u64::from((32 - largest.leading_zeros()).max(1))));
        }
    }

    /// What lies in the padding is no matter of the layer's work, nor of its cycles where values do not count.
    #[test]
    fn every_design_runs_offset_padding((layer, codes) in cases()) {
        let layer = layer.validated().unwrap();
        let trace = trace(&layer, &codes);
        let zero = LayerWorkload { padding_code: 0, ..layer.clone() };
        for model in ACCELERATORS {
            let machine = model.accelerator(&toml::Table::new()).unwrap();
            if machine.check_network(std::slice::from_ref(&layer)).is_err() {
                // Their weights are ±1.
                let is_binary = skimp_testkit::BINARY_DESIGNS.contains(&model.name());
                prop_assert!(is_binary, "{} refuses", model.name());
                continue;
            }
            let result = machine.simulate_layer(&layer, Some(&trace)).unwrap();
            prop_assert_eq!(result.macs, layer.shape.dense_macs(), "{}", model.name());
            if ["dadiannao", "systolic", "tpu-v1", "tetris", "tetris-l1", "bitwave", "structured-2-4"].contains(&model.name()) {
                let dense = machine.simulate_layer(&zero, Some(&trace)).unwrap();
                prop_assert_eq!(result, dense, "{}", model.name());
            }
        }
    }
}
