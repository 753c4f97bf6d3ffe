//! TETRIS' mapping search: networks per second, against the literal search over all blockings.
//!
//! Before anything is timed, the fast search is checked to be as good as the literal one on the nests that are timed.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion};
use skimp_digital::tetris::blocking::{Accumulation, Goal, Nest, Problem, PsumRule, Score, Tariff, best, exhaustive};
use skimp_digital::tetris::{TETRIS, TETRIS_L1, Vaults, bypass};
use skimp_sim::{Accelerator, LayerWorkload};
use skimp_testkit::{VGG16_CONVOLUTIONS, VGG16_DENSE};

/// VGG-16: 13 convolutions and three dense layers.
fn vgg16() -> Vec<LayerWorkload> {
    let conv = |&(extent, c, k): &(usize, usize, usize)| {
        LayerWorkload::conv("c", c, extent, extent, k, 3).expect("the kernel fits")
    };
    let dense = |&(c, k): &(usize, usize)| LayerWorkload::dense("d", c, k);
    VGG16_CONVOLUTIONS.iter().map(conv).chain(VGG16_DENSE.iter().map(dense)).collect()
}

fn tariff() -> Tariff {
    Tariff {
        mac_pj: 2.0,
        register_pj: 0.6,
        array_pj: 4.0,
        buffer_pj: 14.0,
        dram_cell_pj: 59.2,
        dram_transfer_pj: 20.8,
        hop_pj: 40.0,
        static_pj_per_cycle: 200.0,
        dram_words_per_cycle: 128.0,
        bus_words_per_cycle: f64::INFINITY,
        psum: PsumRule { accumulation: Accumulation::DramDie, first_read: false },
        goal: Goal::Energy,
    }
}

/// One vault's loops of a 3 x 3 convolution on `extent` squared.
fn nest(counts: [u64; 3], extent: u64) -> Nest {
    let [i, o, b] = counts;
    let planes = [9, (extent + 2) * (extent + 2), extent * extent];
    let words = [i * o * planes[0], i * b * planes[1], o * b * planes[2]].map(|count| count as f64);
    Nest {
        counts,
        buffer_unit: planes,
        register_unit: [3, 3, 1],
        buffer_words: 66_516,
        register_words: 256,
        macs: (i * o * b * 9 * planes[2]) as f64,
        compute_cycles: (i * o * b * 3 * extent) as f64,
        vaults: 1.0,
        dram_once: words,
        array_input_once: words,
        array_once: words.map(|count| 3.0 * count),
        hops_once: [0.0; 3],
    }
}

fn blockings(criterion: &mut Criterion) {
    let tariff = tariff();
    let mut group = criterion.benchmark_group("mapping_search/blocking");
    group.sample_size(10).measurement_time(Duration::from_secs(1));
    for (name, counts, extent) in [("64x32x16", [64, 32, 16], 28), ("256x96x16", [256, 96, 16], 14)] {
        let problem = Problem { nest: nest(counts, extent), tariff: &tariff };
        let (fast, literal) = (best(&problem, Score::WORST), exhaustive(&problem));
        let (Some((fast, _)), Some((literal, _))) = (fast, literal) else { panic!("a schedule fits") };
        assert!(fast.objective <= literal.objective * (1.0 + 1e-12), "{fast:?} {literal:?}");
        group.bench_function(BenchmarkId::new("exhaustive", name), |b| b.iter(|| exhaustive(black_box(&problem))));
        group.bench_function(BenchmarkId::new("bounded", name), |b| b.iter(|| best(black_box(&problem), Score::WORST)));
        group.bench_function(BenchmarkId::new("bypass", name), |b| b.iter(|| bypass::schedule(black_box(&problem))));
    }
    group.finish();
}

/// Whole networks on one thread, batch 16: partitions, mappings and blockings of all 16 layers, of which 12 differ. An
/// engine remembers the layers it has seen, so each round gets a fresh one; `each-layer` forgets between layers too.
fn networks(criterion: &mut Criterion) {
    let layers = vgg16();
    let mut group = criterion.benchmark_group("mapping_search/vgg16");
    group.sample_size(10).measurement_time(Duration::from_secs(2));
    for (name, model) in [("tetris", &TETRIS), ("tetris-l1", &TETRIS_L1)] {
        for search in ["exhaustive", "bypass"] {
            let settings = toml::Table::from_iter([("search".to_owned(), search.into())]);
            let engine = || model.engine(&settings).unwrap_or_else(|error| panic!("{error}"));
            let cycles = |engine: &Vaults, layer: &LayerWorkload| {
                engine.simulate_layer(black_box(layer), None).map_or(0, |result| result.total_cycles())
            };
            group.bench_function(BenchmarkId::new(search, name), |b| {
                let all = |engine: Vaults| layers.iter().map(|layer| cycles(&engine, layer)).sum::<u64>();
                b.iter_batched(engine, all, BatchSize::PerIteration);
            });
            group.bench_function(BenchmarkId::new(format!("{search}-each-layer"), name), |b| {
                let engines = || layers.iter().map(|_| engine()).collect::<Vec<_>>();
                let all = |engines: Vec<Vaults>| {
                    engines.iter().zip(&layers).map(|(engine, layer)| cycles(engine, layer)).sum::<u64>()
                };
                b.iter_batched(engines, all, BatchSize::PerIteration);
            });
        }
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    blockings(&mut criterion);
    networks(&mut criterion);
    criterion.final_summary();
}
