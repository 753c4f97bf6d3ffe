//! The mapping rules beyond VGG-16, on layers small enough to count by hand.

use skimp_sim::{Found, LayerWorkload, NegativeSums};

use crate::support::{accelerator, cycles, events, trace_of_ends};

fn mapping(result: &skimp_sim::LayerResult, key: &str) -> u64 {
    result.mapping.iter().find(|(name, _)| *name == key).map(|&(_, value)| value).unwrap()
}

#[test]
fn uneven_divisions_count_the_longest() {
    let compend = accelerator("compend", "end = false");
    // 64 channels, 3x3: 18 leaves, 8 divisions; 20 filters are dealt 3,3,3,3,2,2,2,2.
    let layer = LayerWorkload::conv("x", 64, 4, 4, 20, 3).unwrap();
    let result = compend.simulate_layer(&layer, None).unwrap();
    assert_eq!((mapping(&result, "leaf_pus"), mapping(&result, "divisions")), (18, 8));
    assert_eq!(cycles(&result, "run_pu"), 16 * (3 * 16 + 8));
    assert_eq!(events(&result, "ctrl_decisions"), 16 * 20 * 16);
    // One block; 16 x 18 lines at most: full load, 3 x 4 sideways steps and 3 down, 6 lines each.
    assert_eq!(cycles(&result, "ab_pu"), 18 + 15 * 6 + 16 * 3);
}

#[test]
fn channels_beyond_powers_of_two_are_padded_to_slices() {
    let compend = accelerator("compend", "end = false");
    // 100 channels: 4 slices, 36 leaves, 4 divisions.
    let result = compend.simulate_layer(&LayerWorkload::conv("x", 100, 6, 6, 8, 3).unwrap(), None).unwrap();
    assert_eq!((mapping(&result, "leaf_pus"), mapping(&result, "divisions")), (36, 4));
    assert_eq!(events(&result, "dram_weight_lines"), 8 * 36 * 32 * 2 / 64);
    assert_eq!(events(&result, "dram_activation_lines"), 36 * 4);
    assert_eq!(cycles(&result, "run_pu"), 36 * (2 * 16 + 8));
}

#[test]
fn last_block_holds_the_rest() {
    let compend = accelerator("compend", "end = false");
    // 512 channels: 9,216 bytes a filter, 32 filters a block: 100 filters are 32, 32, 32, 4.
    let result = compend.simulate_layer(&LayerWorkload::conv("x", 512, 3, 3, 100, 3).unwrap(), None).unwrap();
    assert_eq!(mapping(&result, "filter_blocks"), 4);
    assert_eq!(cycles(&result, "run_pu"), 9 * (100 * 16 + 4 * 8));
    assert_eq!(cycles(&result, "stt_wb"), 100 * 144 + 4 * 4);
}

#[test]
fn kernels_strides_and_dilations() {
    let compend = accelerator("compend", "end = false");
    let pointwise = LayerWorkload::conv("1x1", 64, 5, 5, 16, 1).unwrap();
    let result = compend.simulate_layer(&pointwise, None).unwrap();
    // 2 leaves would allow 72 divisions; 16 is the most.
    assert_eq!((mapping(&result, "leaf_pus"), mapping(&result, "divisions")), (2, 16));
    assert_eq!(cycles(&result, "run_pu"), 25 * (16 + 8));
    assert_eq!(cycles(&result, "ab_pu"), 25 * (2 + 3));

    let strided =
        LayerWorkload::conv("s2", 64, 8, 8, 8, 3).unwrap().with_shape(|shape| shape.strides = [2, 2]).unwrap();
    let result = compend.simulate_layer(&strided, None).unwrap();
    // 4 x 4 windows; a step brings 2 of 3 columns: 12 lines.
    assert_eq!(cycles(&result, "ab_pu"), 18 + 15 * 12 + 16 * 3);

    let dilated = LayerWorkload::conv("d2", 64, 8, 8, 8, 3)
        .unwrap()
        .with_shape(|shape| {
            shape.dilations = [2, 2];
            shape.pads_begin = [2, 2];
            shape.pads_end = [2, 2];
        })
        .unwrap();
    let result = compend.simulate_layer(&dilated.validated().unwrap(), None).unwrap();
    // Neighbors share no column.
    assert_eq!(cycles(&result, "ab_pu"), 64 * (18 + 3));
}

#[test]
fn depthwise_channels_share_slices() {
    let compend = accelerator("compend", "end = false");
    let layer = LayerWorkload::conv("dw", 48, 4, 4, 48, 3).unwrap().with_shape(|shape| shape.groups = 48).unwrap();
    let result = compend.simulate_layer(&layer.validated().unwrap(), None).unwrap();
    // Bundles of 32 and 16 channels, 9 leaves and 16 divisions each.
    assert_eq!((mapping(&result, "group_bundles"), mapping(&result, "divisions")), (2, 16));
    assert_eq!(cycles(&result, "run_pu"), 16 * (2 * 16 + 8) + 16 * (16 + 8));
    assert!(result.notes.iter().any(|note| note.contains("2 bundles")), "{:?}", result.notes);
}

#[test]
fn inputs_beyond_the_array_take_passes_without_end() {
    let layer = LayerWorkload::conv("5x5", 256, 4, 4, 6, 5).unwrap();
    let trace = trace_of_ends(&layer, vec![3; layer.shape.output_count()]);
    let result = accelerator("compend", "").simulate_layer(&layer, Some(&trace)).unwrap();
    assert_eq!((mapping(&result, "leaf_pus"), mapping(&result, "pu_passes")), (200, 2));
    assert_eq!(cycles(&result, "run_pu"), 16 * 2 * (6 * 16 + 8));
    assert_eq!(cycles(&result, "ab_pu"), 16 * (200 + 2 * 3));
    assert_eq!(result.findings[0].found, Found::Off("6400 inputs per output take 2 passes".into()));
    assert_eq!(events(&result, "planes_dense"), 16 * 6 * 16 * 2);

    let dense = accelerator("compend", "faithful_dense_blocks = false");
    let result = dense.simulate_layer(&LayerWorkload::dense("F1", 25_088, 4096), None).unwrap();
    // 784 leaves, 6 passes; 5 filters of 50,176 bytes fit the weight buffers.
    assert_eq!((mapping(&result, "pu_passes"), mapping(&result, "filter_blocks")), (6, 820));
    assert_eq!(cycles(&result, "run_pu"), 6 * (4096 * 16 + 820 * 8));
    assert_eq!(events(&result, "dram_weight_lines"), 3_211_264);
}

#[test]
fn wide_maps_are_cut_into_strips_and_heavy_weights_into_parts() {
    let compend = accelerator("compend", "end = false");
    let wide = LayerWorkload::conv("wide", 256, 8, 200, 16, 3).unwrap();
    let result = compend.simulate_layer(&wide, None).unwrap();
    // 131,072 bytes hold 3 rows of 85 pixels: 83 output columns a strip, one output row a pass.
    assert_eq!((mapping(&result, "column_strips"), mapping(&result, "activation_passes")), (3, 24));
    assert_eq!(events(&result, "dram_activation_lines"), (8 + 2) * (85 + 85 + 36) * 8);

    let heavy = LayerWorkload::conv("heavy", 512, 3, 3, 1000, 3).unwrap();
    let result = compend.simulate_layer(&heavy, None).unwrap();
    assert_eq!((mapping(&result, "stt_parts"), mapping(&result, "filter_blocks")), (2, 32));
    assert_eq!(events(&result, "dram_activation_lines"), 2 * 9 * 16);

    let impossible = LayerWorkload::conv("huge", 4096, 40, 40, 4, 7).unwrap();
    let error = compend.simulate_layer(&impossible, None).unwrap_err().to_string();
    assert!(error.contains("\"huge\"") && error.contains("window of 7 x 7"), "{error}");
}

#[test]
fn narrow_codes_take_fewer_planes_and_lines() {
    let compend = accelerator("compend", "end = false");
    let layer =
        LayerWorkload { weight_bits: 8, activation_bits: 8, ..LayerWorkload::conv("w8", 512, 28, 28, 512, 3).unwrap() };
    let result = compend.simulate_layer(&layer, None).unwrap();
    assert_eq!(mapping(&result, "filter_blocks"), 8);
    assert_eq!(cycles(&result, "run_pu"), 784 * 8 * (64 * 8 + 8));
    assert_eq!(events(&result, "dram_weight_lines"), 73_728 / 2);
}

#[test]
fn layers_where_end_is_invalid_say_why() {
    let compend = accelerator("compend", "");
    let obstacle = NegativeSums::NoRelu { next: "Softmax".into() };
    let layer = LayerWorkload { negatives: obstacle, ..LayerWorkload::dense("F3", 4096, 1000) };
    let result = compend.simulate_layer(&layer, None).unwrap();
    assert_eq!(result.findings[0].found, Found::Off("no ReLU follows, but Softmax".into()));
    assert_eq!(cycles(&result, "run_pu"), 16_352);

    let valid = LayerWorkload::dense("F2", 4096, 4096);
    let error = compend.simulate_layer(&valid, None).unwrap_err().to_string();
    assert_eq!(error, "layer \"F2\": compend needs the operand trace activation of an image");

    let mut lost = LayerWorkload::dense("d", 2, 1);
    lost.weights = Some(vec![5, -32_768].into());
    let trace = trace_of_ends(&lost, vec![3]);
    let error = compend.simulate_layer(&lost, Some(&trace)).unwrap_err().to_string();
    assert!(error.contains("-32768"), "{error}");
    let batch = LayerWorkload::dense("d", 2, 1).with_shape(|shape| shape.n = 2).unwrap();
    assert!(compend.simulate_layer(&batch, None).unwrap_err().to_string().contains("2 images at once"));
}

#[test]
fn write_back_is_an_option() {
    let layer = LayerWorkload::conv("x", 64, 8, 8, 40, 3).unwrap();
    let off = accelerator("compend", "end = false").simulate_layer(&layer, None).unwrap();
    let on = accelerator("compend", "end = false\nmodel_writeback = true").simulate_layer(&layer, None).unwrap();
    assert_eq!(off.cycles.get("write_back"), None);
    // 64 pixels of 64 stored channels of 2 bytes: 128 lines.
    assert_eq!(events(&on, "dram_output_lines"), 128);
    assert_eq!(cycles(&on, "write_back"), (128.0f64 * 6.44).round() as u64);
    assert_eq!(on.total_cycles() - off.total_cycles(), cycles(&on, "write_back"));
}
