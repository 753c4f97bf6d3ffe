//! Stripes: derived vectors, and the properties of serial activations.

use std::sync::Arc;

use proptest::prelude::*;
use skimp_digital::stripes::{STRIPES, serial_dot};
use skimp_sim::{AcceleratorModel, LayerTrace, LayerWorkload, RecordedTrace};

use crate::support::{ProbeTuner, accelerator, events, searched, vgg16_conv};

fn fixed(bits: u32) -> String {
    format!("precision = \"fixed\"\nprecision_bits = {bits}")
}

#[test]
fn cycle_vectors() {
    let square = LayerWorkload::conv("16x16", 256, 16, 16, 256, 3).unwrap();
    let odd = LayerWorkload::conv("13x13", 256, 13, 13, 384, 3).unwrap();
    for (layer, bits, cycles, speed_up) in [(&square, 8, 18_432, 2.0), (&odd, 5, 15_840, 3.07)] {
        let result = accelerator("stripes", &fixed(bits)).simulate_layer(layer, None).unwrap();
        assert_eq!(result.total_cycles(), cycles, "{}", layer.name);
        let dense = accelerator("dadiannao", "").simulate_layer(layer, None).unwrap().total_cycles();
        let found = dense as f64 / cycles as f64;
        assert!((found - speed_up).abs() < 0.005, "{}: {found}", layer.name);
    }
}

#[test]
fn lossless_precision_is_that_of_the_largest_code() {
    let layer = LayerWorkload::conv("c", 16, 4, 4, 8, 3).unwrap();
    let mut codes = vec![3; layer.shape.input_count()];
    codes[7] = 130;
    let recorded = RecordedTrace { activation: Some(codes.into()), ..RecordedTrace::default() };
    let trace = LayerTrace::new(&layer, Arc::new(recorded));
    let result = accelerator("stripes", "").simulate_layer(&layer, Some(&trace)).unwrap();
    let given = accelerator("stripes", &fixed(8)).simulate_layer(&layer, None).unwrap();
    assert_eq!(result.cycles, given.cycles);
    assert_eq!(result.events, given.events);
    let error = accelerator("stripes", "").simulate_layer(&layer, None).unwrap_err().to_string();
    assert_eq!(error, "layer \"c\": stripes needs the operand trace activation of an image");
}

#[test]
fn lists_name_layers_and_clip_high_bits() {
    let cycles = |settings: &str| {
        let settings = format!("precision = \"fixed\"\n{settings}");
        accelerator("stripes", &settings).simulate_layer(&vgg16_conv(9), None).unwrap().total_cycles()
    };
    let full = cycles("");
    assert_eq!(cycles("layer_precisions = [\"C9=4\"]"), full / 4);
    assert_eq!(cycles("layer_precisions = [\"C8=4\"]"), full);
    assert_eq!(cycles("layer_clipped_bits = [\"C9=8\"]"), full / 2);
    let model = skimp_sim::find_model(skimp_digital::ACCELERATORS, "stripes").unwrap();
    for (settings, needle) in [
        ("precision_bits = 17", "1 to 16"),
        ("layer_precisions = [\"a=0\"]", "1 to 16"),
        ("layer_precisions = [\"a\"]", "LAYER=NUMBER"),
        ("windows_at_once = 0", "windows_at_once"),
    ] {
        let error = model.accelerator(&settings.parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains(needle), "{error}");
    }
}

#[test]
fn dense_layers_and_full_precision_run_at_the_baseline() {
    let dadiannao = accelerator("dadiannao", "");
    let stripes = accelerator("stripes", &fixed(16));
    // 28 x 28 windows are a multiple of 16.
    for layer in [vgg16_conv(9), LayerWorkload::dense("F2", 4096, 4096), LayerWorkload::dense("F3", 4096, 1000)] {
        let ours = stripes.simulate_layer(&layer, None).unwrap().total_cycles();
        assert_eq!(ours, dadiannao.simulate_layer(&layer, None).unwrap().total_cycles());
    }
}

#[test]
fn precisions_are_searched_under_the_bound() {
    let layers =
        [LayerWorkload::conv("a", 16, 8, 8, 16, 3).unwrap(), LayerWorkload::conv("b", 16, 8, 8, 32, 3).unwrap()];
    // Codes up to 1000: 10 bits. "a" stands errors below 8, "b" below 4, and neither stands a clipped code.
    let tuner = ProbeTuner::new(&layers, 1000, |layer, code| code.moved_by(if layer == "b" { 4 } else { 8 }));
    let tuned = searched("stripes", "precision = \"search\"", &tuner);
    assert_eq!(tuned.facts().config["layer_precisions"].to_string(), "[\"a=7\", \"b=8\"]");
    assert_eq!(tuned.facts().config["layer_clipped_bits"].to_string(), "[\"a=6\", \"b=6\"]");
    let mut codes = [7, 8, 1023, 1024];
    tuned.effect().unwrap().activations(&layers[0], &mut codes);
    assert_eq!(codes, [0, 8, 1016, 1016]);
    assert!(accelerator("stripes", "").effect().is_none());
    assert!(accelerator("stripes", "precision = \"fixed\"").effect().is_none());
    let error = STRIPES.accelerator(&"precision = \"search\"".parse().unwrap()).unwrap_err().to_string();
    assert_eq!(error, "stripes searches precisions first, on labeled images of a network");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn serial_sums_are_exact(
        pairs in prop::collection::vec((any::<u16>(), any::<i16>()), 0..40), bits in 1u32..=16, signed in any::<bool>()
    ) {
        let activation = |raw: u16| {
            let code = i32::from(raw) & ((1 << bits) - 1);
            if signed && code >> (bits - 1) == 1 { code - (1 << bits) } else { code }
        };
        let activations: Vec<i32> = pairs.iter().map(|&(raw, _)| activation(raw)).collect();
        let weights: Vec<i32> = pairs.iter().map(|&(_, weight)| i32::from(weight)).collect();
        let exact: i64 = activations.iter().zip(&weights).map(|(&a, &w)| i64::from(a) * i64::from(w)).sum();
        prop_assert_eq!(serial_dot(&activations, &weights, bits, signed), exact);
    }

    #[test]
    fn never_above_the_ideal(
        groups in 1usize..4, c in 1usize..40, h in 1usize..20, k in 1usize..400, kernel in 0usize..3, bits in 1u32..=16
    ) {
        let layer = LayerWorkload::conv("c", groups * c, h, h, groups * k, 2 * kernel + 1).unwrap().with_shape(|shape| shape.groups = groups).unwrap();
        let layer = layer.validated().unwrap();
        let dense = accelerator("dadiannao", "").simulate_layer(&layer, None).unwrap().total_cycles();
        let result = accelerator("stripes", &fixed(bits)).simulate_layer(&layer, None).unwrap();
        prop_assert!(dense * u64::from(bits) <= result.total_cycles() * 16);
        prop_assert_eq!(events(&result, "executed_macs"), layer.shape.dense_macs());
        let products = events(&result, "bit_products");
        prop_assert_eq!(products + events(&result, "bit_products_skipped"), layer.shape.dense_macs() * 16);
        prop_assert_eq!(products + events(&result, "idle_bit_slots"), result.total_cycles() * 4096 * 16);
    }
}
