//! Properties of the mapping search and of whole layers.

use proptest::prelude::*;
use skimp_digital::tetris::blocking::{Accumulation, Goal, Nest, Problem, PsumRule, Score, Tariff, best, exhaustive};
use skimp_digital::tetris::{TETRIS, TETRIS_L1, bypass};
use skimp_sim::{Accelerator, LayerResult, LayerWorkload, SimError};

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
        let mut layer = LayerWorkload::conv("c", groups * c, h, w, groups * k, kernel).unwrap().with_shape(|shape| {
            shape.groups = groups;
            shape.strides = [stride, 1];
        }).unwrap();
        if dense {
            layer = LayerWorkload::dense("d", groups * c * 7, k * 5);
        }
        layer = layer.with_shape(|shape| shape.n = images).unwrap();
        for (model, pes) in [(&TETRIS, 3136), (&TETRIS_L1, 256)] {
            for settings in ["batch = 0", "batch = 4\nsearch = \"bypass\"", "goal = \"ed\""] {
                let engine = model.engine(&settings.parse().unwrap()).unwrap();
                let result = engine.simulate_layer(&layer, None).unwrap();
                prop_assert_eq!(events(&result, "executed_macs"), layer.shape.dense_macs());
                let compute = result.cycles.get("compute").unwrap();
                prop_assert_eq!(events(&result, "idle_slots") + result.macs, compute * pes);
                // Every operand is moved at least once per batch, and outputs are written.
                prop_assert!(events(&result, "dram_ofmap_words") >= (images * layer.shape.output_count()) as u64);
                if settings == "batch = 0" {
                    prop_assert!(events(&result, "dram_filter_words") >= layer.shape.weight_count() as u64);
                }
            }
        }
    }
}

/// The setting that gives the mappings of `results`.
fn given(results: &[LayerResult]) -> String {
    let entry = |result: &LayerResult| {
        let numbers: Vec<String> = result.mapping.iter().map(|(name, number)| format!("{name}:{number}")).collect();
        format!("{:?}", format!("{}={}", result.layer, numbers.join(" ")))
    };
    format!("\nmappings = [{}]", results.iter().map(entry).collect::<Vec<_>>().join(", "))
}

fn counts(result: &LayerResult) -> Vec<(&'static str, u64)> {
    let statistics = result.cycles.iter().chain(result.events.iter());
    statistics.map(|(statistic, count)| (statistic.name, count)).chain(result.mapping.iter().copied()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_mapping_fed_back_gives_the_same_counts(
        groups in 1usize..4, c in 1usize..20, k in 1usize..20, h in 3usize..30, w in 3usize..30, kernel in 1usize..6,
        stride in 1usize..3, images in 1usize..5, batch in 0u32..5, buffer in 600u32..40_000, registers in 24u32..400,
        goal in 0usize..3, search in 0usize..2, model in 0usize..2, adder in 0usize..5,
    ) {
        let first = LayerWorkload::conv("a=b c", groups * c, h, w, groups * k, kernel.min(h).min(w)).unwrap().with_shape(|shape| {
            shape.groups = groups;
            shape.strides = [stride, 1];
        }).unwrap();
        let second = LayerWorkload::conv("second", groups * k, first.shape.p(), first.shape.q(), c * 3, 1).unwrap();
        let mut layers = [first, second, LayerWorkload::dense("d", c * 60, k * 7)];
        layers.iter_mut().for_each(|layer| layer.shape = layer.shape.with_images(images));
        let mut settings = format!(
            "batch = {batch}\nbuffer_bytes = {buffer}\nregister_bytes = {registers}\ngoal = {:?}\nsearch = {:?}",
            ["e", "d", "ed"][goal], ["exhaustive", "bypass"][search],
        );
        if model == 0 {
            settings += &format!("\naccumulation = {:?}", Accumulation::ALL[adder].0);
        }
        let model = [&TETRIS, &TETRIS_L1][model];
        let engine = |settings: &str| model.engine(&settings.parse().unwrap()).unwrap();
        let Ok(found) = engine(&settings).simulate_network(&layers) else { return Ok(()) };
        let found = found.unwrap();
        let again = engine(&(settings.clone() + &given(&found))).simulate_network(&layers).unwrap().unwrap();
        for (found, again) in found.iter().zip(&again) {
            prop_assert_eq!(counts(found), counts(again));
            prop_assert!(again.notes[0].starts_with("given mapping; "), "{:?}", again.notes);
        }
        // The first layer alone is given: the others are searched as before, and say so.
        let some = engine(&(settings + &given(&found[..1]))).simulate_network(&layers).unwrap().unwrap();
        for (idx, (found, some)) in found.iter().zip(&some).enumerate() {
            prop_assert_eq!(counts(found), counts(some));
            prop_assert_eq!(some.notes.iter().any(|note| note.contains("it is searched")), idx > 0);
        }
    }
}

/// On L-1 alone, 32 -> 64 channels at 14 x 14: one channel of each kind in a pass is 32 x 64 passes of 3 x 14 cycles.
fn one_by_one() -> LayerWorkload {
    LayerWorkload::conv("c", 32, 14, 14, 64, 3).unwrap()
}

fn with_mapping(settings: &str, numbers: &str) -> Result<LayerResult, SimError> {
    let settings = format!("batch = 1\n{settings}\nmappings = [\"c={numbers}\"]");
    TETRIS_L1.engine(&settings.parse().unwrap())?.simulate_layer(&one_by_one(), None)
}

#[test]
fn given_mappings_are_counted_by_hand() {
    let stream = "ifmaps_per_pass:1 ofmaps_per_pass:1 ti_memory:32 to_memory:64";
    // Ifmaps with their padding; partial sums are read and written again in each round but the first.
    let (filters, ifmaps, ofmaps) = (32 * 64 * 9, 32 * 16 * 16, 64 * 14 * 14);
    for (inner, ifmap_words, ofmap_words) in
        [(0, 64 * ifmaps, ofmaps), (1, ifmaps, 63 * ofmaps), (2, 64 * ifmaps, 63 * ofmaps)]
    {
        let result = with_mapping("", &format!("{stream} inner_memory:{inner}")).unwrap();
        let words = ["filter", "ifmap", "ofmap"].map(|kind| events(&result, &format!("dram_{kind}_words")));
        assert_eq!(words, [filters, ifmap_words, ofmap_words], "{inner}");
        assert_eq!(result.cycles.get("compute"), Some(32 * 64 * 42));
        assert_eq!(events(&result, "gbuf_words"), 0);
    }
    // All ifmaps in the buffer, read from there for each ofmap.
    let kept = "ifmaps_per_pass:1 ofmaps_per_pass:1 to_memory:64 ti_buffer:32 inner_memory:1 inner_buffer:0";
    let result = with_mapping("", kept).unwrap();
    assert_eq!((events(&result, "dram_ifmap_words"), events(&result, "gbuf_words")), (ifmaps, 64 * ifmaps));
    // A part of the numbers: the best with these, no better than the best of all.
    let engine = TETRIS_L1.engine(&"batch = 1".parse().unwrap()).unwrap();
    let joules = |result: &LayerResult| engine.facts().price(result).unwrap().total_nj();
    let best = joules(&engine.simulate_layer(&one_by_one(), None).unwrap());
    for part in ["ti_registers:1", "to_buffer:2 inner_buffer:2", "ofmaps_per_pass:1", "batch:1"] {
        let result = with_mapping("", part).unwrap();
        assert!(joules(&result) >= best * (1.0 - 1e-12), "{part}");
        for number in part.split(' ') {
            let (name, number) = number.split_once(':').unwrap();
            assert!(result.mapping.iter().any(|(known, value)| *known == name && value.to_string() == number));
        }
    }
}

#[test]
fn mappings_that_do_not_fit_are_refused_with_the_reason() {
    let small = "buffer_bytes = 4096";
    let pass = "ifmaps_per_pass:1 ofmaps_per_pass:1";
    for (settings, numbers, reason) in [
        ("", "rows:4", "its numbers have none called \"rows\""),
        ("", "batch:2", "batch 2: images are scheduled 1 at a time"),
        ("", "output_parts:2", "output_parts 2: the hardware takes 1"),
        ("", "ifmaps_per_pass:3 folded_columns:2", "folded_columns 2 beside ifmaps_per_pass 3: the hardware takes 1"),
        ("", "inner_memory:3", "inner_memory 3: expected 0 (ifmaps), 1 (ofmaps) or 2 (images)"),
        ("", &format!("{pass} ti_memory:3"), "ti_memory 3: no divisor of the 32 passes over ifmaps"),
        ("", &format!("{pass} to_memory:0"), "to_memory 0: no divisor of the 64 passes over ofmaps"),
        (
            "",
            &format!("{pass} to_memory:4 to_buffer:4 to_registers:1"),
            "to_memory 4 x to_buffer 4 x to_registers 1 = 16: not the 64 passes over ofmaps",
        ),
        (
            "",
            &format!("{pass} folded_columns:1 tb_memory:4 tb_registers:5"),
            "tb_memory 4 x tb_registers 5 = 20: no divisor of the 1 passes over images",
        ),
        // Filters, ifmaps and ofmaps of a register block: 3 x 32 x 64 + 3 x 32 + 64.
        ("", &format!("{pass} ti_registers:32 to_registers:64"), "6304 words in a register file, which holds 512"),
        // 32 ifmaps of 16 x 16.
        (
            small,
            &format!("{pass} folded_columns:1 to_memory:64 ti_buffer:32 inner_memory:1 inner_buffer:0"),
            "8192 words in the buffer, which holds 2048",
        ),
    ] {
        let error = with_mapping(settings, numbers).unwrap_err();
        assert!(matches!(error, SimError::NotTaken { .. }), "{error}");
        let error = error.to_string();
        assert!(error.starts_with("layer \"c\": tetris-l1 does not take the given mapping"), "{error}");
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn narrow_groups_share_an_array() {
    let engine = TETRIS_L1.engine(&"batch = 1".parse().unwrap()).unwrap();
    let depthwise =
        LayerWorkload::conv("dw", 64, 16, 16, 64, 3).unwrap().with_shape(|shape| shape.groups = 64).unwrap();
    let result = engine.simulate_layer(&depthwise, None).unwrap();
    // Sets of 3 x 16; five of them on 16 x 16: 13 rounds of 3 x 16 cycles.
    assert_eq!(result.cycles.get("compute"), Some(13 * 48));
}

#[test]
fn what_cannot_be_mapped_is_refused() {
    let engine = TETRIS.engine(&"register_bytes = 16".parse().unwrap()).unwrap();
    let error = engine.simulate_layer(&LayerWorkload::conv("wide", 8, 32, 32, 8, 11).unwrap(), None).unwrap_err();
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
    let one = LayerWorkload::conv("c", 64, 28, 28, 128, 3).unwrap();
    let all = one.clone().with_shape(|shape| shape.n = 16).unwrap();
    let (one, all) = (engine.simulate_layer(&one, None).unwrap(), engine.simulate_layer(&all, None).unwrap());
    assert_eq!(one.total_cycles(), all.total_cycles().div_ceil(16));
    assert_eq!(one.mapping, all.mapping);
}
