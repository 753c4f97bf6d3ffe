//! Systolic arrays against SCALE-Sim 3.0.0, and TPU v1 against its paper.

use skimp_digital::systolic::Roofline;
use skimp_sim::{LayerResult, LayerWorkload};

use crate::support::{accelerator, cycles, events};

/// A SCALE-Sim layer: input extent (h, w), kernel extent, channels, filters, stride; no padding.
fn layer(h: usize, w: usize, kernel: usize, c: usize, k: usize, stride: usize) -> LayerWorkload {
    let mut layer = LayerWorkload::conv("x", c, h, w, k, kernel).unwrap();
    layer = layer
        .with_shape(|shape| (shape.pads_begin, shape.pads_end, shape.strides) = ([0, 0], [0, 0], [stride, stride]))
        .unwrap();
    layer.validated().unwrap()
}

/// Dataflow, rows, columns, and for each of five layers: cycles, input reads, filter reads, output writes.
type Measured = (&'static str, u32, u32, [(u64, u64, u64, u64); 5]);

/// Measured with SCALE-Sim 3.0.0 (PyPI, NumPy 1.26, `InterfaceBandwidth: CALC`): COMPUTE_REPORT.csv and
/// DETAILED_ACCESS_REPORT.csv.
const MEASURED: [Measured; 9] = [
    (
        "weight_stationary",
        8,
        8,
        [
            (579, 2592, 360, 1800),
            (827, 3240, 900, 2880),
            (709, 3920, 528, 3234),
            (1195, 400, 3000, 390),
            (309, 675, 525, 630),
        ],
    ),
    (
        "weight_stationary",
        4,
        16,
        [
            (521, 1296, 360, 3240),
            (1103, 2160, 900, 5760),
            (851, 2352, 528, 6468),
            (1149, 200, 3000, 750),
            (588, 675, 525, 1197),
        ],
    ),
    (
        "weight_stationary",
        16,
        4,
        [
            (629, 3888, 360, 1080),
            (869, 5400, 900, 1440),
            (746, 7056, 528, 1617),
            (1959, 800, 3000, 210),
            (429, 1350, 525, 315),
        ],
    ),
    (
        "output_stationary",
        8,
        8,
        [
            (499, 2592, 1800, 520),
            (530, 3240, 2700, 624),
            (1049, 3920, 3696, 2177),
            (455, 400, 3000, 94),
            (177, 675, 1050, 95),
        ],
    ),
    (
        "output_stationary",
        4,
        16,
        [
            (485, 1296, 3240, 540),
            (755, 2160, 5400, 720),
            (1325, 2352, 6864, 2397),
            (235, 200, 3000, 70),
            (278, 675, 1575, 123),
        ],
    ),
    (
        "output_stationary",
        16,
        4,
        [
            (485, 3888, 1080, 540),
            (629, 5400, 1800, 680),
            (1223, 7056, 2112, 2337),
            (943, 800, 3000, 190),
            (185, 1350, 525, 103),
        ],
    ),
    (
        "input_stationary",
        8,
        8,
        [
            (799, 1296, 1800, 1800),
            (755, 1080, 2700, 2880),
            (769, 784, 3696, 3234),
            (675, 100, 3000, 390),
            (579, 675, 1050, 630),
        ],
    ),
    (
        "input_stationary",
        4,
        16,
        [
            (863, 1296, 1080, 3240),
            (1007, 1080, 1800, 5760),
            (879, 784, 2112, 6468),
            (1299, 100, 3000, 750),
            (550, 675, 525, 1197),
        ],
    ),
    (
        "input_stationary",
        16,
        4,
        [
            (1187, 1296, 3240, 1080),
            (971, 1080, 5400, 1440),
            (870, 784, 6864, 1617),
            (447, 100, 3000, 210),
            (614, 675, 1575, 315),
        ],
    ),
];

#[test]
fn cycles_and_accesses_are_those_of_scale_sim() {
    let layers = [
        layer(8, 8, 3, 4, 10, 1),
        layer(12, 9, 3, 5, 20, 2),
        layer(7, 7, 1, 16, 33, 1),
        layer(1, 1, 1, 100, 30, 1),
        layer(9, 9, 5, 3, 7, 3),
    ];
    for (dataflow, rows, columns, measured) in MEASURED {
        let settings = format!(
            "rows = {rows}\ncolumns = {columns}\ndataflow = \"{dataflow}\"\nscale_sim_output_rounding = true\n             dram_gb_per_s = 1000000"
        );
        let array = accelerator("systolic", &settings);
        for (layer, (last_cycle, inputs, filters, outputs)) in layers.iter().zip(measured) {
            let result = array.simulate_layer(layer, None).unwrap();
            let context = format!("{dataflow} {rows}x{columns} {layer:?}");
            // It numbers cycles from 0 and reports the last one.
            assert_eq!(result.total_cycles(), last_cycle + 1, "{context}");
            assert_eq!(events(&result, "input_reads"), inputs, "{context}");
            assert_eq!(events(&result, "weight_reads"), filters, "{context}");
            // With outputs stationary it counts rows + columns more for each fold.
            let folds = result.mapping[0].1 * result.mapping[1].1;
            let extra = if dataflow == "output_stationary" { folds * u64::from(rows + columns) } else { 0 };
            assert_eq!(events(&result, "output_writes") + extra, outputs, "{context}");
        }
    }
}

/// Layers of a residual network in a SCALE-Sim topology: its extents hold `pad` rows and columns of padding for a 3 x 3
/// kernel, that is 2, or 0 where the file leaves padding out.
fn resnet(blocks: [usize; 4], bottleneck: bool, pad: usize) -> Vec<LayerWorkload> {
    let mut layers = vec![layer(224 + 3 * pad, 224 + 3 * pad, 7, 3, 64, 2)];
    let expansion = if bottleneck { 4 } else { 1 };
    let (mut extent, mut c) = (56, 64);
    for (stage, n_blocks) in blocks.into_iter().enumerate() {
        let k = 64 << stage;
        for block in 0..n_blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let (input, output) = (extent, extent / stride);
            if bottleneck {
                layers.push(layer(input, input, 1, c, k, 1));
                layers.push(layer(input + pad, input + pad, 3, k, k, stride));
                layers.push(layer(output, output, 1, k, 4 * k, 1));
            } else {
                layers.push(layer(input + pad, input + pad, 3, c, k, stride));
                layers.push(layer(output + pad, output + pad, 3, k, k, 1));
            }
            if block == 0 && (bottleneck || stage > 0) {
                layers.push(layer(input, input, 1, c, expansion * k, stride));
            }
            (extent, c) = (output, expansion * k);
        }
    }
    layers.push(layer(1, 1, 1, c, 1000, 1));
    layers
}

#[test]
fn whole_networks_take_the_cycles_of_scale_sim() {
    // Measured with SCALE-Sim 3.0.0 on a 256 x 256 weight-stationary array; its ResNet-18 has no padding.
    let settings = "rows = 256\ncolumns = 256\nscale_sim_output_rounding = true\ndram_gb_per_s = 1000000";
    let array = accelerator("systolic", settings);
    for (figure, layers, n_layers) in [
        ("systolic-resnet50", resnet([3, 4, 6, 3], true, 2), 54),
        ("systolic-resnet18", resnet([2, 2, 2, 2], false, 0), 21),
    ] {
        assert_eq!(layers.len(), n_layers, "{figure}");
        let cycles: u64 = layers.iter().map(|layer| array.simulate_layer(layer, None).unwrap().total_cycles()).sum();
        // It counts from 0 in each layer.
        skimp_testkit::check(&[(figure, (cycles - n_layers as u64) as f64)]);
    }
}

#[test]
fn folds_by_hand() {
    // rows = columns = 256, 200 vectors; 4 x 4 with 2; one row more than fits.
    for (side, m, n, k, expected) in [(256, 200, 256, 256, 966), (4, 2, 4, 4, 12), (4, 2, 2, 5, 24)] {
        let array = accelerator("systolic", &format!("rows = {side}\ncolumns = {side}\ndram_gb_per_s = 1000000"));
        let layer = LayerWorkload::dense("x", k, n).with_shape(|shape| shape.n = m).unwrap();
        assert_eq!(array.simulate_layer(&layer, None).unwrap().total_cycles(), expected);
    }
}

fn bytes(result: &LayerResult) -> u64 {
    ["dram_input_bytes", "dram_weight_bytes", "dram_output_bytes", "dram_psum_bytes"]
        .iter()
        .map(|name| events(result, name))
        .sum()
}

#[test]
fn tpu_reaches_its_published_roofs() {
    let tpu = accelerator("tpu-v1", "");
    let roofline = Roofline { peak_gmacs: tpu.facts().peak_gmacs, dram_gb_per_s: 34.0 };
    skimp_testkit::check(&[("tpu-peak", 2e-3 * tpu.facts().peak_gmacs), ("tpu-ridge", roofline.ridge())]);
    // MACs per weight byte and bound of the six programs of its evaluation; both convolutional ones reach the peak.
    for (intensity, bound) in [(200.0, 13.6), (168.0, 11.4), (64.0, 4.4), (96.0, 6.5), (2888.0, 91.75), (1750.0, 91.75)]
    {
        let found = 2e-3 * roofline.bound_gmacs(intensity);
        // One printed decimal.
        assert!((found - bound).abs() <= 0.05, "{intensity}: {found}");
    }
}

#[test]
fn tpu_waits_for_the_weights_of_dense_layers() {
    let tpu = accelerator("tpu-v1", "");
    let shape = LayerWorkload::dense("fc", 2048, 2048);
    let layer =
        LayerWorkload { weight_bits: 8, activation_bits: 8, ..shape.with_shape(|shape| shape.n = 200).unwrap() };
    let result = tpu.simulate_layer(&layer, None).unwrap();
    // 64 tiles of 65,536 bytes at 34 GB/s; the array itself needs 64 x 256 cycles, fill and drain.
    assert_eq!(result.total_cycles(), 86_354);
    assert_eq!(cycles(&result, "compute"), 256 + 63 * 256 + 200 + 510);
    assert_eq!(bytes(&result), 64 * 65_536);
    let used = result.macs as f64 / (result.total_cycles() as f64 * 65_536.0);
    assert!((used - 0.148).abs() < 0.001, "{used}");
    assert_eq!(result.notes, ["memory bound: 200 MACs per off-chip byte, ridge 1349"]);

    // Wider codes take a half and a quarter of the speed where the array is the bound.
    let conv =
        LayerWorkload { weight_bits: 8, activation_bits: 8, ..LayerWorkload::conv("c", 256, 56, 56, 256, 3).unwrap() };
    let wide = LayerWorkload { activation_bits: 16, ..conv.clone() };
    let wider = LayerWorkload { weight_bits: 16, ..wide.clone() };
    let found = [conv, wide, wider].map(|layer| tpu.simulate_layer(&layer, None).unwrap().total_cycles());
    assert_eq!(found, [1, 2, 4].map(|passes| 256 + 8 * 3136 * passes + 3136 * passes + 510));
}
