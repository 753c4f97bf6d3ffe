//! A sweep of any size for tests and the example: designs, bits and buffers of a made-up network.

use serde_json::{Value, json};
use skimp_report::records::{
    AxisColumn, FigureColumn, InputDigest, ObjectiveRecord, PointStatus, SlowLayer, SweepPoint, SweepRecord,
};

const DESIGNS: [&str; 4] = ["compend", "cnvlutin", "stripes", "systolic"];
const LAYERS: [&str; 6] = ["conv1", "block1.conv1", "block2.conv1", "block2.conv2", "block3.conv1", "linear"];
const BOUNDS: [&str; 3] = ["compute", "weight bandwidth", "off-chip bandwidth"];

/// A draw in [0, 1) keyed by point and stream (SplitMix64).
pub(crate) fn draw(point: u64, stream: u64) -> f64 {
    let mut bits = (point * 64 + stream + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// The record without points.
fn frame() -> SweepRecord {
    let axis = |key: &str| AxisColumn { key: key.to_owned(), ..AxisColumn::default() };
    let figure = |name: &str, unit: &str| FigureColumn {
        name: name.to_owned(),
        unit: unit.to_owned(),
        ..FigureColumn::default()
    };
    let objective =
        |name: &str, unit: &str, maximize| ObjectiveRecord { name: name.to_owned(), unit: unit.to_owned(), maximize };
    SweepRecord {
        name: "demo".to_owned(),
        title: "Designs, bits and buffers on a made-up network".to_owned(),
        summary: "Figures are made up: they show a page, not a result.".to_owned(),
        config_toml: "schema = 1\nname = \"demo\"\n".to_owned(),
        base_toml: "schema = 1\nname = \"demo\"\n\n[network]\nname = \"sample-resnet\"\n".to_owned(),
        seed: 7,
        objectives: vec![
            objective("latency", "ms", false),
            objective("energy", "mJ", false),
            objective("top1", "%", true),
        ],
        constraints: vec!["area <= 16".to_owned()],
        axes: vec![
            axis("accelerator.model"),
            axis("quantization.weight_bits"),
            axis("quantization.activation_bits"),
            axis("accelerator.set.buffer_kib"),
            axis("accelerator.set.units"),
            axis("quantization.calibration"),
        ],
        figures: vec![figure("latency", "ms"), figure("energy", "mJ"), figure("top1", "%"), figure("area", "mm²")],
        inputs: vec![InputDigest {
            path: "sample-resnet (embedded)".to_owned(),
            sha256: "8f43".repeat(16),
            size_bytes: Some(158_000),
        }],
        provenance: vec!["Energies by the common 45 nm table.".to_owned()],
        ..SweepRecord::default()
    }
}

fn point(idx: u64) -> SweepPoint {
    let level = |stream: u64, n: usize| (draw(idx, stream) * n as f64) as usize;
    let design = level(0, DESIGNS.len());
    let (weight_bits, activation_bits) = ([2, 4, 6, 8][level(1, 4)], [4, 8][level(2, 2)]);
    let buffer_kib = 2f64.powf(3.0 + 7.0 * draw(idx, 3));
    let units = [16, 32, 64, 128, 256, 512][level(4, 6)];
    let calibration = ["max", "entropy", "percentile"][level(5, 3)];
    let axes = vec![
        json!(DESIGNS[design]),
        json!(weight_bits),
        json!(activation_bits),
        json!(buffer_kib),
        json!(units),
        // Some points leave the calibration to its default.
        if draw(idx, 6) < 0.05 { Value::Null } else { json!(calibration) },
    ];
    let id = format!("p{idx:05}");
    if DESIGNS[design] == "systolic" && buffer_kib < 16.0 {
        let reason = "layer block3.conv1: a tile takes 16 KiB, more than the buffer".to_owned();
        return SweepPoint { id, status: PointStatus::Failed, reason, axes, ..SweepPoint::default() };
    }
    let noise = |stream| 0.85 + 0.3 * draw(idx, stream);
    let speed = f64::from(units) * [1.0, 0.8, 8.0 / f64::from(weight_bits), 1.3][design];
    let latency = (400.0 / speed + 60.0 / buffer_kib) * noise(7);
    let bits = f64::from(weight_bits * activation_bits);
    let energy = (0.02 * bits + 0.001 * f64::from(units) + 8.0 / buffer_kib) * noise(8);
    let top1 = 93.0 - 40.0 / bits * noise(9) - if calibration == "max" { 0.5 } else { 0.0 };
    let area = 0.02 * f64::from(units) * bits.sqrt() / 4.0 + buffer_kib / 100.0;
    let fits = area <= 16.0;
    let share = [0.3 + 0.2 * draw(idx, 10), 0.1 + 0.1 * draw(idx, 11), 0.05];
    let slow = |(rank, &share): (usize, &f64)| SlowLayer {
        layer: LAYERS[(level(12, 6) + rank) % 6].to_owned(),
        share,
        bound: BOUNDS[(level(13, 3) + rank) % 3].to_owned(),
    };
    SweepPoint {
        id,
        status: if fits { PointStatus::Ok } else { PointStatus::Infeasible },
        reason: if fits { String::new() } else { "area <= 16 is violated".to_owned() },
        axes,
        // Accuracy is measured for some points only.
        figures: vec![Some(latency), Some(energy), (draw(idx, 14) < 0.9).then_some(top1), Some(area)],
        why: share.iter().enumerate().map(slow).collect(),
    }
}

/// A sweep of `n` points.
pub(crate) fn sweep(n: u64) -> SweepRecord {
    let mut record = frame();
    record.extend((0..n).map(point));
    record
}
