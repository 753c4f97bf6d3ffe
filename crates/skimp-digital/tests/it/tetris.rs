//! Properties of the mapping search and of whole layers.

use proptest::prelude::*;
use skimp_digital::tetris::blocking::{Accumulation, Goal, Nest, Problem, PsumRule, Score, Tariff, best, exhaustive};
use skimp_digital::tetris::{TETRIS, TETRIS_L1, bypass};
use skimp_sim::{Accelerator, LayerWorkload, SimError};

use crate::support::events;

fn tariffs() -> impl Strategy<Value = Tariff> {
    (0usize..5, any::<bool>(), 0usize..3, 0usize..3, 0usize..2).prop_map(|(adder, first_read, goal, memory, bus)| {
        Tariff {
            mac_pj: 2.0,
            register_pj: 0.6,
            array_pj: 4.0,
            buffer_pj: 14.0,
            dram_cell_pj: 59.2,
            dram_transfer_pj: 20.8,
            hop_pj: 40.0,
            static_pj_per_cycle: 200.0,
            dram_words_per_cycle: [f64::INFINITY, 8.0, 0.5][memory],
            bus_words_per_cycle: [f64::INFINITY, 0.5][bus],
            psum: PsumRule { accumulation: Accumulation::ALL[adder].1, first_read },
            goal: Goal::ALL[goal].1,
        }
    })
}

prop_compose! {
    fn nests()(
        counts in [1u64..25, 1u64..25, 1u64..13],
        register_unit in [1u64..6, 1u64..6, 1u64..3],
        plane in [1u64..30, 1u64..200, 1u64..200],
        registers in 8u64..120,
        buffer_words in 1u64..6000,
        folds in 1u64..3,
        hop in 0u64..3,
    ) -> Nest {
        let [i, o, b] = counts;
        let words = [i * o * plane[0], i * b * plane[1], o * b * plane[2]].map(|count| count as f64);
        Nest {
            counts,
            buffer_unit: plane,
            register_unit,
            buffer_words,
            register_words: registers,
            macs: (i * o * b * 100) as f64,
            compute_cycles: (i * o * b * 10) as f64,
            vaults: 1.0,
            dram_once: words,
            array_input_once: [words[0], words[1] * folds as f64, words[2] * folds as f64],
            array_once: words.map(|count| count * 3.0),
            hops_once: words.map(|count| count * hop as f64),
        }
    }
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_fast_search_is_as_good_as_the_exhaustive_one(nest in nests(), tariff in tariffs()) {
        let problem = Problem { nest, tariff: &tariff };
        match (best(&problem, Score::WORST), exhaustive(&problem)) {
            (None, None) => prop_assert!(bypass::schedule(&problem).is_none()),
            (Some((found, blocking)), Some((reference, _))) => {
                prop_assert!(same(found.objective, reference.objective), "{found:?} {reference:?}");
                prop_assert!(same(found.tie, reference.tie), "{found:?} {reference:?}");
                prop_assert!(problem.lower_bound().objective <= found.objective);
                for l in 0..3 {
                    prop_assert_eq!(blocking.factors.iter().map(|level| level[l]).product::<u64>(), nest.counts[l]);
                }
                prop_assert!(best(&problem, found).is_none(), "nothing beats the best");
                let (closed, _) = bypass::schedule(&problem).unwrap();
                prop_assert!(closed.objective >= found.objective * (1.0 - 1e-9));
            }
            (fast, slow) => prop_assert!(false, "{fast:?} {slow:?}"),
        }
    }

    #[test]
    fn layers_conserve_work(
        groups in 1usize..5, c in 1usize..9, k in 1usize..9, h in 3usize..20, w in 3usize..20, kernel in 1usize..4,
        stride in 1usize..4, images in 1usize..4, dense in any::<bool>(),
    ) {
        let mut layer = LayerWorkload::conv("c", groups * c, h, w, groups * k, kernel);
        layer.groups = groups;
        layer.strides = [stride, 1];
        layer.set_output_extents();
        if dense {
            layer = LayerWorkload::dense("d", groups * c * 7, k * 5);
        }
        layer.n = images;
        for (model, pes) in [(&TETRIS, 3136), (&TETRIS_L1, 256)] {
            for settings in ["batch = 0", "batch = 4\nsearch = \"bypass\"", "goal = \"ed\""] {
                let engine = model.engine(&settings.parse().unwrap()).unwrap();
                let result = engine.simulate_layer(&layer, None).unwrap();
                prop_assert_eq!(events(&result, "executed_macs"), layer.dense_macs());
                let compute = result.cycles.get("compute").unwrap();
                prop_assert_eq!(events(&result, "idle_slots") + result.macs, compute * pes);
                // Every operand is moved at least once per batch, and outputs are written.
                prop_assert!(events(&result, "dram_ofmap_words") >= (images * layer.output_count()) as u64);
                if settings == "batch = 0" {
                    prop_assert!(events(&result, "dram_filter_words") >= layer.weight_count() as u64);
                }
            }
        }
    }
}

#[test]
fn narrow_groups_share_an_array() {
    let engine = TETRIS_L1.engine(&"batch = 1".parse().unwrap()).unwrap();
    let depthwise = LayerWorkload { groups: 64, ..LayerWorkload::conv("dw", 64, 16, 16, 64, 3) };
    let result = engine.simulate_layer(&depthwise, None).unwrap();
    // Sets of 3 x 16; five of them on 16 x 16: 13 rounds of 3 x 16 cycles.
    assert_eq!(result.cycles.get("compute"), Some(13 * 48));
}

#[test]
fn what_cannot_be_mapped_is_refused() {
    let engine = TETRIS.engine(&"register_bytes = 16".parse().unwrap()).unwrap();
    let error = engine.simulate_layer(&LayerWorkload::conv("wide", 8, 32, 32, 8, 11), None).unwrap_err();
    assert!(matches!(error, SimError::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("filter rows of 11 words"), "{error}");
    let wide = LayerWorkload { weight_bits: 32, ..LayerWorkload::dense("d", 8, 8) };
    assert!(TETRIS.engine(&toml::Table::new()).unwrap().simulate_layer(&wide, None).is_err());
    for (settings, needle) in [
        ("memory = \"2d\"", "needs stacked memory"),
        ("memory = \"4d\"", "expected \"3d\" or \"2d\""),
        ("vault_rows = 0", "vault_rows"),
        ("register_bytes = 1", "register_bytes"),
        ("dram_megabytes_per_s = -1.0", "dram_megabytes_per_s"),
        ("goal = \"x\"", "goal"),
        ("batch = 5000", "batch"),
    ] {
        let error = TETRIS.engine(&settings.parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains(needle), "{error}");
    }
}

#[test]
fn one_image_is_a_share_of_its_batch() {
    let engine = TETRIS.engine(&toml::Table::new()).unwrap();
    let one = LayerWorkload::conv("c", 64, 28, 28, 128, 3);
    let all = LayerWorkload { n: 16, ..one.clone() };
    let (one, all) = (engine.simulate_layer(&one, None).unwrap(), engine.simulate_layer(&all, None).unwrap());
    assert_eq!(one.total_cycles(), all.total_cycles().div_ceil(16));
    assert_eq!(one.mapping, all.mapping);
}
