//! More hardware never takes more cycles: what a design can do with less, it can do with more.

use std::sync::Arc;

use proptest::prelude::*;
use skimp_digital::ACCELERATORS;
use skimp_sim::{LayerKind, LayerShape, LayerTrace, LayerWorkload, RecordedTrace, ShapeSpec, find_model};
use toml::{Table, Value};

use crate::support::{accelerator, record_ends, vgg16_conv};

/// The hardware of designs that search their mapping, and of closed forms in which more of it never costs time, with
/// settings of the comparison.
///
/// Not here: designs that deal windows or filters in turn and wait for the slowest (more of them may wait longer); the
/// sides of a systolic array, which a wave crosses, as in SCALE-Sim; TETRIS's mesh, in which every vault has to work, as
/// in the open model. TETRIS searches for the least energy by default and is asked for the least time here.
const GROWS: [(&str, &str, &[&str]); 7] = [
    (
        "eyeriss",
        "",
        &[
            "pe_rows",
            "pe_columns",
            "filter_words",
            "ifmap_words",
            "psum_words",
            "buffer_bytes",
            "filter_words_per_cycle",
            "ifmap_words_per_cycle",
            "psum_words_per_cycle",
            "link_mhz",
            "link_bytes",
        ],
    ),
    ("tetris", "goal = \"d\"", TETRIS),
    ("tetris-l1", "goal = \"d\"", TETRIS),
    ("systolic", "", SYSTOLIC),
    ("tpu-v1", "", SYSTOLIC),
    ("dadiannao", "", &["tiles", "filters_per_tile", "inputs_per_brick"]),
    ("structured-2-4", "", &["tiles", "filters_per_tile"]),
];

const TETRIS: &[&str] = &["array_rows", "array_columns", "buffer_bytes", "register_bytes", "dram_megabytes_per_s"];
const SYSTOLIC: &[&str] = &["input_buffer_bytes", "weight_buffer_bytes", "output_buffer_bytes", "dram_gb_per_s"];

fn layers() -> impl Strategy<Value = LayerWorkload> {
    let extents = (1usize..4, 1usize..24, 1usize..20, 1usize..20, 1usize..40);
    (extents, 1usize..8, 1usize..3, any::<bool>()).prop_filter_map(
        "the kernel fits",
        |((groups, c, h, w, k), kernel, stride, dense)| {
            if dense {
                return Some(LayerWorkload::dense("d", groups * c * 8, k * 3));
            }
            let square = ShapeSpec::square(groups * c, h, w, groups * k, kernel);
            let shape = LayerShape::new(ShapeSpec { groups, strides: [stride, stride], ..square }).ok()?;
            Some(LayerWorkload::of_shape("c", LayerKind::Conv, shape))
        },
    )
}

fn with_operands(mut layer: LayerWorkload, seed: u64) -> (LayerWorkload, LayerTrace) {
    let mut state = seed;
    let mut draw = |least: i32, span: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        least + ((state >> 33) % span) as i32
    };
    layer.weights = Some((0..layer.shape.weight_count()).map(|_| draw(-5, 11)).collect());
    let activation: Vec<i32> = (0..layer.shape.input_count()).map(|_| draw(-40, 100).max(0)).collect();
    let ends: Vec<u8> = (0..layer.shape.output_count()).map(|_| draw(1, 16) as u8).collect();
    let recorded = RecordedTrace {
        activation: Some(activation.into()),
        output_sums: Some((0..layer.shape.output_count()).map(|_| i64::from(draw(-50, 100))).collect()),
        bias: Some(vec![0; layer.shape.k()].into()),
        residual: None,
    };
    let trace = LayerTrace::new(&layer, Arc::new(recorded));
    record_ends(&trace, ends);
    (layer, trace)
}

/// More of an amount: one, half as much again, twice as much.
fn more(value: &Value) -> Vec<Value> {
    match value {
        Value::Integer(amount) if *amount > 0 => {
            [amount + 1, amount + amount / 2, amount * 2].map(Value::from).to_vec()
        }
        Value::Float(amount) if *amount > 0.0 => [amount * 1.1, amount * 1.5].map(Value::from).to_vec(),
        _ => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn more_of_anything_is_never_slower(layer in layers(), seed in any::<u64>()) {
        let (layer, trace) = with_operands(layer, seed);
        for (name, base, keys) in GROWS {
            let model = find_model(ACCELERATORS, name).unwrap();
            let (base, preset): (Table, Table) = (base.parse().unwrap(), model.preset().parse().unwrap());
            let run = |set: &Table| model.accelerator(set).unwrap().simulate_layer(&layer, Some(&trace));
            let less = run(&base).unwrap().total_cycles();
            for &key in keys {
                for value in more(&preset[key]) {
                    let mut set = base.clone();
                    set.insert(key.to_owned(), value.clone());
                    let more = run(&set).unwrap().total_cycles();
                    prop_assert!(more <= less, "{name}.{key} = {value}: {more} cycles after {less}, seed {seed}");
                }
            }
        }
    }
}

/// Cycles on each layer for each of `values`, which grow: never more.
fn never_more(design: &str, base: &str, key: &str, values: &[u32], layers: &[LayerWorkload]) {
    for layer in layers {
        let mut before = u64::MAX;
        for value in values {
            let chip = accelerator(design, &format!("{base}\n{key} = {value}"));
            let Ok(result) = chip.simulate_layer(layer, None) else {
                assert_eq!(before, u64::MAX, "{design}.{key} = {value} does not fit {}", layer.name);
                continue;
            };
            let cycles = result.total_cycles();
            assert!(cycles <= before, "{design}.{key} = {value}: {cycles} cycles of {} after {before}", layer.name);
            before = cycles;
        }
    }
}

fn real_layers() -> Vec<LayerWorkload> {
    let stem = LayerWorkload::conv("ResNet conv1", 3, 224, 224, 64, 7)
        .unwrap()
        .with_shape(|shape| shape.strides = [2, 2])
        .unwrap();
    let depthwise = LayerWorkload::conv("MobileNet dw", 512, 14, 14, 512, 3)
        .unwrap()
        .with_shape(|shape| shape.groups = 512)
        .unwrap();
    let mut layers: Vec<_> = [1, 2, 5, 8, 11].map(vgg16_conv).to_vec();
    layers.extend([
        stem,
        depthwise,
        LayerWorkload::conv("DenseNet block2.4.conv1", 256, 28, 28, 128, 1).unwrap(),
        LayerWorkload::conv("AlexNet conv2", 48, 27, 27, 128, 5).unwrap(),
        LayerWorkload::dense("fc3", 4096, 1000),
    ]);
    layers
}

#[test]
fn eyeriss_on_real_layers() {
    let layers = real_layers();
    for (key, values) in [
        ("pe_rows", &[3, 5, 7, 11, 12, 13, 16, 24][..]),
        ("pe_columns", &[7, 13, 14, 15, 16, 28]),
        ("filter_words", &[32, 224, 225, 512]),
        ("ifmap_words", &[4, 7, 10, 12, 13, 24, 48]),
        ("psum_words", &[4, 24, 25, 64]),
        ("buffer_bytes", &[16_384, 65_536, 110_592, 120_000, 1 << 20]),
        ("filter_words_per_cycle", &[1, 2, 3, 4, 5, 8]),
        ("ifmap_words_per_cycle", &[1, 2, 3, 4]),
        ("psum_words_per_cycle", &[1, 3, 4, 5, 8]),
        ("channels_in_pass", &[1, 2, 4, 5, 16]),
        ("link_bytes", &[2, 4, 8, 9]),
    ] {
        never_more("eyeriss", "", key, values, &layers);
    }
}

#[test]
fn eyeriss_takes_the_mapping_of_smaller_registers() {
    // 3 channels of 3 columns fill 9 words: that mapping runs on 12 and on 48 words, too.
    for (layer, most) in [(vgg16_conv(11), 2_835_200), (real_layers()[7].clone(), 347_734)] {
        // Padding is part of the map where these figures are from, and takes no time.
        for words in [10, 12, 48] {
            let chip = accelerator("eyeriss", &format!("ifmap_words = {words}"));
            let cycles = chip.simulate_layer(&layer, None).unwrap().total_cycles();
            assert!(cycles <= most, "{} with {words} words: {cycles}", layer.name);
        }
    }
}

#[test]
fn tetris_on_real_layers() {
    let layers = real_layers();
    for design in ["tetris", "tetris-l1"] {
        for (key, values) in [
            ("array_rows", &[5, 12, 14, 15, 16][..]),
            ("array_columns", &[7, 13, 14, 15, 16]),
            ("buffer_bytes", &[16_384, 133_032, 200_000, 589_824]),
            ("register_bytes", &[64, 512, 520, 1024]),
        ] {
            never_more(design, "goal = \"d\"", key, values, &layers);
        }
    }
}
