//! ComPEND's slot model: slots moved one by one against the counted form, on the same windows.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use skimp_digital::compend::{literal, slots};

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
    group.sample_size(10);
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

criterion_group!(benches, slot_model);
criterion_main!(benches);
