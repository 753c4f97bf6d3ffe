//! Cnvlutin: derived vectors, and the properties of its lanes.

use std::sync::Arc;

use proptest::prelude::*;
use skimp_digital::cnvlutin::{CNVLUTIN, decode, encode, window};
use skimp_sim::{AcceleratorModel, LayerResult, LayerTrace, LayerWorkload, RecordedTrace};

use crate::support::{ProbeTuner, accelerator, events, searched, vgg16_conv};

fn lane_cycles(bricks: &[u8], empty: u64) -> u64 {
    window(bricks.iter().copied(), empty, &mut [0; 16]).cycles
}

fn run(settings: &str, layer: &LayerWorkload, codes: Vec<i32>) -> LayerResult {
    let recorded = RecordedTrace { activation: Some(codes.into()), ..RecordedTrace::default() };
    let trace = LayerTrace::new(layer, Arc::new(recorded));
    accelerator("cnvlutin", settings).simulate_layer(layer, Some(&trace)).unwrap()
}

/// Codes of which about `zeros` in 1000 are 0.
fn codes(count: usize, zeros: u64, seed: u64) -> Vec<i32> {
    let mut state = seed;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..count).map(|_| if draw() % 1000 < zeros { 0 } else { (draw() % 30_000) as i32 + 1 }).collect()
}

#[test]
fn window_vectors() {
    let mut one_full = [0u8; 16];
    one_full[0] = 16;
    assert_eq!(lane_cycles(&one_full, 0), 16);
    assert_eq!(lane_cycles(&[8; 32], 1), 16);
    let mut uneven = [0u8; 32];
    (uneven[0], uneven[16], uneven[1]) = (1, 2, 4);
    assert_eq!((lane_cycles(&uneven, 0), lane_cycles(&uneven, 1)), (4, 5));
    // 3 x 3 x 16 channels: 9 bricks on 16 lanes take 16 cycles, DaDianNao takes 9.
    assert_eq!(lane_cycles(&[16; 9], 1), 16);
}

#[test]
fn encoding() {
    let mut brick = [0; 16];
    (brick[1], brick[3]) = (5, 7);
    let encoded = encode(&brick);
    assert_eq!(&encoded[..3], [(5, 1), (7, 3), (0, 0)]);
    assert_eq!(encoded.len(), 16);
    assert_eq!(decode(&encoded), brick);
}

#[test]
fn random_zeros_on_a_vgg_layer() {
    // 44 % zeros, the published average of its networks.
    let layer = vgg16_conv(9);
    let dense = accelerator("dadiannao", "").simulate_layer(&layer, None).unwrap().total_cycles();
    let sparse = run("", &layer, codes(layer.shape.input_count(), 440, 1)).total_cycles();
    skimp_testkit::check(&[("cnvlutin-random-zeros", dense as f64 / sparse as f64)]);
}

#[test]
fn first_and_dense_layers_run_as_on_dadiannao() {
    let cnvlutin = accelerator("cnvlutin", "");
    let dadiannao = accelerator("dadiannao", "costs = \"horowitz-45nm\"");
    let first = LayerWorkload { first: true, ..vgg16_conv(1) };
    for layer in [first, LayerWorkload::dense("F3", 4096, 1000)] {
        let ours = cnvlutin.simulate_layer(&layer, None).unwrap();
        let theirs = dadiannao.simulate_layer(&layer, None).unwrap();
        assert_eq!(ours.total_cycles(), theirs.total_cycles());
        for event in ["brick_reads", "weight_reads", "executed_macs", "idle_slots"] {
            assert_eq!(events(&ours, event), events(&theirs, event), "{event}");
        }
        // Offsets of outputs are the only difference in energy: 4 bits for each 16 that leave the chip.
        let ratio =
            cnvlutin.facts().price(&ours).unwrap().total_nj() / dadiannao.facts().price(&theirs).unwrap().total_nj();
        assert!((1.0..1.03).contains(&ratio), "{ratio}");
    }
}

#[test]
fn offsets_add_a_quarter_to_storage() {
    let layer = LayerWorkload::conv("c", 40, 5, 6, 24, 3).unwrap();
    let result = run("", &layer, codes(layer.shape.input_count(), 500, 3));
    assert_eq!(events(&result, "value_bits_stored"), 48 * 30 * 16);
    assert_eq!(4 * events(&result, "offset_bits_stored"), events(&result, "value_bits_stored"));
}

#[test]
fn what_it_lacks_is_named() {
    let cnvlutin = accelerator("cnvlutin", "");
    let layer = LayerWorkload::conv("c", 16, 4, 4, 8, 3).unwrap();
    let error = cnvlutin.simulate_layer(&layer, None).unwrap_err().to_string();
    assert_eq!(error, "layer \"c\": cnvlutin needs the operand trace activation of an image");
    let wide = LayerWorkload { activation_bits: 20, ..layer };
    let error = cnvlutin.simulate_layer(&wide, None).unwrap_err().to_string();
    assert!(error.contains("activations of 20 bits"), "{error}");
    let model = skimp_sim::find_model(skimp_digital::ACCELERATORS, "cnvlutin").unwrap();
    for (settings, needle) in [
        ("threshold = 3", "power of two"),
        ("empty_brick_cycles = 2", "0 to 1"),
        ("layer_thresholds = [\"c\"]", "LAYER=NUMBER"),
        ("offset_bits = 3", "16 offsets"),
    ] {
        let error = model.accelerator(&settings.parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains(needle), "{error}");
    }
}

#[test]
fn thresholds_drop_small_values() {
    let layer = LayerWorkload::conv("c", 256, 6, 6, 32, 1).unwrap();
    let values: Vec<i32> = (0..layer.shape.input_count()).map(|idx| [1, 3, 4, 9][idx % 4]).collect();
    let executed = |settings: &str| events(&run(settings, &layer, values.clone()), "executed_macs");
    let all = executed("");
    assert_eq!(all, layer.shape.dense_macs());
    assert_eq!(executed("threshold = 4"), all / 2);
    assert_eq!(executed("threshold = 4\nlayer_thresholds = [\"c=8\"]"), all / 4);
    assert_eq!(executed("threshold = 4\nlayer_thresholds = [\"other=8\"]"), all / 2);
}

fn layers() -> impl Strategy<Value = LayerWorkload> {
    (1usize..4, 1usize..40, 1usize..8, 1usize..8, 1usize..24, 0usize..3, 1usize..3, 1usize..3).prop_map(
        |(groups, c, h, w, k, kernel, stride, dilation)| {
            LayerWorkload::conv("c", groups * c, h, w, groups * k, 2 * kernel + 1)
                .unwrap()
                .with_shape(|shape| {
                    shape.groups = groups;
                    shape.strides = [stride, 1];
                    shape.dilations = [1, dilation];
                    shape.pads_begin[1] = kernel * dilation;
                    shape.pads_end[1] = kernel * dilation;
                })
                .unwrap()
        },
    )
}

/// Executed multiplications by the definition: non-zero activations under the taps, once per filter of their group.
fn effectual(layer: &LayerWorkload, codes: &[i32]) -> u64 {
    let mut count = 0;
    for (p, q, r, s) in (0..layer.shape.p()).flat_map(|p| {
        (0..layer.shape.q())
            .flat_map(move |q| (0..layer.shape.r()).flat_map(move |r| (0..layer.shape.s()).map(move |s| (p, q, r, s))))
    }) {
        let y =
            (p * layer.shape.strides()[0] + r * layer.shape.dilations()[0]).wrapping_sub(layer.shape.pads_begin()[0]);
        let x =
            (q * layer.shape.strides()[1] + s * layer.shape.dilations()[1]).wrapping_sub(layer.shape.pads_begin()[1]);
        if y < layer.shape.h() && x < layer.shape.w() {
            count +=
                (0..layer.shape.c()).filter(|c| codes[(c * layer.shape.h() + y) * layer.shape.w() + x] != 0).count();
        }
    }
    (count * layer.shape.filters_per_group()) as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn slots_are_conserved(layer in layers(), zeros in 0u64..1000, seed in any::<u64>(), empty in 0u32..2) {
        let layer = layer.validated().unwrap();
        let codes = codes(layer.shape.input_count(), zeros, seed);
        let expected = effectual(&layer, &codes);
        let result = run(&format!("empty_brick_cycles = {empty}"), &layer, codes);
        let executed = events(&result, "executed_macs");
        prop_assert_eq!(executed, expected);
        prop_assert_eq!(executed + events(&result, "skipped_macs"), layer.shape.dense_macs());
        prop_assert_eq!(executed + events(&result, "idle_slots"), result.total_cycles() * 4096);
    }

    #[test]
    fn whole_rounds_of_bricks_never_lose(
        bricks in prop::collection::vec(0u8..=16, 1..8), empty in 0u64..2, seed in any::<u64>()
    ) {
        let rounds = bricks.len() as u64;
        let all: Vec<u8> =
            (0..rounds * 16).map(|idx| bricks[((idx ^ seed) % rounds) as usize]).collect();
        prop_assert!(lane_cycles(&all, empty) <= rounds * 16);
        prop_assert_eq!(lane_cycles(&vec![16; all.len()], empty), rounds * 16);
    }

    #[test]
    fn encoded_bricks_give_the_same_sums(brick in prop::collection::vec(-9i32..9, 16), seed in any::<u64>()) {
        let weights = codes(16, 0, seed);
        let encoded = encode(&brick);
        prop_assert_eq!(&decode(&encoded), &brick);
        let dense: i64 = brick.iter().zip(&weights).map(|(&a, &w)| i64::from(a) * i64::from(w)).sum();
        let packed: i64 = encoded.iter().map(|&(a, at)| i64::from(a) * i64::from(weights[usize::from(at)])).sum();
        prop_assert_eq!(dense, packed);
    }
}

#[test]
fn nothing_zero_reproduces_dadiannao_where_bricks_fill_the_lanes() {
    let mut layer = LayerWorkload::conv("c", 256, 9, 7, 300, 3).unwrap();
    layer = layer.with_shape(|shape| (shape.pads_begin, shape.pads_end) = ([0, 0], [0, 0])).unwrap();
    let dense = accelerator("dadiannao", "").simulate_layer(&layer, None).unwrap().total_cycles();
    let ours = run("", &layer, vec![1; layer.shape.input_count()]);
    assert_eq!(ours.total_cycles(), dense);
    assert_eq!(events(&ours, "skipped_macs"), 0);
}

#[test]
fn results_do_not_depend_on_threads_and_add_up() {
    let layer = LayerWorkload::conv("c", 70, 11, 9, 20, 3).unwrap();
    let images = [codes(layer.shape.input_count(), 300, 5), codes(layer.shape.input_count(), 700, 6)];
    let on = |threads: usize, image: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run("", &layer, images[image].clone()))
    };
    assert_eq!(on(1, 0), on(3, 0));
    let (mut forth, mut back) = (on(1, 0), on(1, 1));
    forth.merge(&on(2, 1));
    back.merge(&on(2, 0));
    assert_eq!((forth.cycles, forth.events), (back.cycles, back.events));
}

#[test]
fn thresholds_are_searched_under_the_bound() {
    let first = LayerWorkload { first: true, ..LayerWorkload::conv("stem", 3, 8, 8, 16, 3).unwrap() };
    let layers =
        [first, LayerWorkload::conv("a", 16, 8, 8, 16, 3).unwrap(), LayerWorkload::conv("b", 16, 8, 8, 32, 3).unwrap()];
    // An answer is lost where a code of 8 or more becomes 0, in "b" already one of 4.
    let tuner = ProbeTuner::new(&layers, 1000, |layer, code| code.changed_from(if layer == "b" { 4 } else { 8 }));
    let tuned = searched("cnvlutin", "search_thresholds = true", &tuner);
    assert_eq!(tuned.facts().config["layer_thresholds"].to_string(), "[\"a=8\", \"b=4\"]");
    let effect = tuned.effect().unwrap();
    assert_eq!([0, 1, 2].map(|idx| effect.applies(&layers[idx])), [false, true, true]);
    let mut codes = [0, -7, 7, 8, -8];
    effect.activations(&layers[1], &mut codes);
    assert_eq!(codes, [0, 0, 0, 8, -8]);
    assert!(accelerator("cnvlutin", "").effect().is_none());
    let overrides = "search_thresholds = true".parse().unwrap();
    let error = CNVLUTIN.accelerator(&overrides).unwrap_err().to_string();
    assert_eq!(error, "cnvlutin searches thresholds first, on labeled images of a network");
}
