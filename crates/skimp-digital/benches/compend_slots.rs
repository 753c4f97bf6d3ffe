//! ComPEND's slot model: slots moved one by one against the counted form, on the same windows.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use skimp_digital::compend::{COMPEND, EndPlanes, key, literal, slots};
use skimp_numerics::EndTest;
use skimp_sim::{AcceleratorModel, LayerTrace, LayerWorkload, RecordedTrace};

const PLANES: u8 = 16;

/// End planes with the rough shape of the recorded ones: from 6 up, a third of the outputs takes all planes.
fn end_planes(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let draw = (state >> 33) % 24;
            (6 + draw).min(u64::from(PLANES)) as u8
        })
        .collect()
}

fn counted(windows: &[u8], divisions: usize, length: usize) -> slots::SlotCounts {
    let mut sum = slots::SlotCounts::default();
    for window in windows.chunks_exact(divisions * length) {
        let mut run = slots::WindowRun::default();
        window
            .chunks_exact(length)
            .filter_map(|ends| slots::run_division(ends, PLANES))
            .for_each(|d| run.add_division(d));
        sum.add(&run.finish());
    }
    sum
}

fn moved(windows: &[u8], divisions: usize, length: usize) -> slots::SlotCounts {
    let mut sum = slots::SlotCounts::default();
    for window in windows.chunks_exact(divisions * length) {
        let ends: Vec<_> = window.chunks_exact(length).collect();
        sum.add(&literal::run_window(&ends, PLANES));
    }
    sum
}

fn slot_model(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compend_slots");
    group.sample_size(10).measurement_time(Duration::from_secs(1));
    for (divisions, length) in [(1, 32), (4, 32), (8, 8)] {
        let windows = end_planes(784 * divisions * length);
        assert_eq!(counted(&windows, divisions, length), moved(&windows, divisions, length));
        let shape = format!("784x{divisions}x{length}");
        group.bench_function(BenchmarkId::new("literal", &shape), |b| {
            b.iter(|| moved(black_box(&windows), divisions, length));
        });
        group.bench_function(BenchmarkId::new("counted", &shape), |b| {
            b.iter(|| counted(black_box(&windows), divisions, length));
        });
    }
    group.finish();
}

/// C2 to C13 of VGG-16 (10.3 million outputs) on one thread: the whole slot model of one image.
fn vgg16(criterion: &mut Criterion) {
    let shapes: [(usize, usize, usize); 12] = [
        (224, 64, 64),
        (112, 64, 128),
        (112, 128, 128),
        (56, 128, 256),
        (56, 256, 256),
        (56, 256, 256),
        (28, 256, 512),
        (28, 512, 512),
        (28, 512, 512),
        (14, 512, 512),
        (14, 512, 512),
        (14, 512, 512),
    ];
    let layers: Vec<_> = shapes
        .iter()
        .map(|&(extent, c, k)| {
            let layer = LayerWorkload::conv("c", c, extent, extent, k, 3).expect("the kernel fits");
            let trace = LayerTrace::new(&layer, Arc::new(RecordedTrace::default()));
            let ends = EndPlanes::recorded(end_planes(layer.shape.output_count()).into());
            trace.keep(key(EndTest::Negative), Arc::new(ends));
            (layer, trace)
        })
        .collect();
    let Ok(compend) = COMPEND.accelerator(&toml::Table::new()) else { return };
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(1).build() else { return };
    let mut group = criterion.benchmark_group("compend_simulate");
    group.sample_size(10).measurement_time(Duration::from_secs(2));
    group.bench_function("vgg16_c2_to_c13", |b| {
        b.iter(|| {
            pool.install(|| {
                let results = layers.iter().map(|(layer, trace)| compend.simulate_layer(layer, Some(trace)));
                results.map(|result| result.map_or(0, |result| result.total_cycles())).sum::<u64>()
            })
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    slot_model(&mut criterion);
    vgg16(&mut criterion);
    criterion.final_summary();
}
