//! From a layer to the best partition, mapping and blocking.

use skimp_sim::{LayerWorkload, SimError};

use super::blocking::{Blocking, FILTERS, IFMAPS, Nest, OFMAPS, Problem, Score, Search as BlockingSearch};
use super::bypass;
use super::config::{Config, Search};
use super::partition::{Partition, hop_words, partitions, share};
use super::row_stationary::{Mapping, Part, wanted_mappings};

/// Words of a layer over all vaults if each is moved once, exact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    pub(super) dram: [u128; 3],
    pub(super) array_input: [u128; 3],
    pub(super) array: [u128; 3],
    pub(super) hops: [u128; 3],
}

/// How one layer is computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) partition: Partition,
    pub(super) mapping: Mapping,
    pub(super) blocking: Blocking,
    pub(super) words: Words,
    pub(super) images: u64,
}

/// Numbers that place a layer on the vaults and on their arrays.
pub(super) const PLACE: [&str; 13] = [
    "batch",
    "batch_parts",
    "batch_rows",
    "fmap_rows",
    "fmap_columns",
    "output_parts",
    "output_rows",
    "output_outside",
    "ifmaps_per_pass",
    "ofmaps_per_pass",
    "groups_per_pass",
    "folded_rows",
    "folded_columns",
];

/// Factors of the loops over ifmaps, ofmaps and images, by level.
pub(super) const FACTORS: [[&str; 3]; 3] = [
    ["ti_memory", "to_memory", "tb_memory"],
    ["ti_buffer", "to_buffer", "tb_buffer"],
    ["ti_registers", "to_registers", "tb_registers"],
];

/// Innermost loops: 0 over ifmaps, 1 over ofmaps, 2 over images.
pub(super) const INNER: [&str; 2] = ["inner_memory", "inner_buffer"];

/// How many of [`PLACE`] come before those of the split, and before those of the mapping.
const BEFORE: [usize; 2] = [1, 8];

fn split_numbers(partition: &Partition) -> [u64; 7] {
    [
        partition.batch_parts(),
        partition.batch[0],
        partition.fmap[0],
        partition.fmap[1],
        partition.output_parts(),
        partition.output[0],
        u64::from(partition.output_outside),
    ]
}

fn mapping_numbers(mapping: &Mapping) -> [u64; 5] {
    let [ifmaps, ofmaps, groups] = mapping.replicated;
    [ifmaps, ofmaps, groups, mapping.fold_rows, mapping.fold_columns]
}

fn place(partition: &Partition, mapping: &Mapping, images: u64) -> [(&'static str, u64); 13] {
    let mut numbers = [images; 13];
    numbers[BEFORE[0]..BEFORE[1]].copy_from_slice(&split_numbers(partition));
    numbers[BEFORE[1]..].copy_from_slice(&mapping_numbers(mapping));
    std::array::from_fn(|idx| (PLACE[idx], numbers[idx]))
}

/// Numbers of [`PLACE`] that a candidate must have; the others are free.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Placed(pub(super) [Option<u64>; 13]);

impl Placed {
    fn has(wanted: &[Option<u64>], numbers: &[u64]) -> bool {
        wanted.iter().zip(numbers).all(|(wanted, number)| wanted.is_none_or(|wanted| wanted == *number))
    }

    fn allows_split(&self, partition: &Partition, images: u64) -> bool {
        Self::has(&self.0[..BEFORE[0]], &[images])
            && Self::has(&self.0[BEFORE[0]..BEFORE[1]], &split_numbers(partition))
    }

    /// Folds of rows and columns, the last two numbers.
    fn folds(&self) -> [Option<u64>; 2] {
        [self.0[11], self.0[12]]
    }

    fn allows_mapping(&self, mapping: &Mapping) -> bool {
        Self::has(&self.0[BEFORE[1]..], &mapping_numbers(mapping))
    }
}

impl Plan {
    /// Numbers that tell this plan from all others of the layer.
    pub(super) fn numbers(&self) -> Vec<(&'static str, u64)> {
        let mut numbers = place(&self.partition, &self.mapping, self.images).to_vec();
        for (names, factors) in FACTORS.iter().zip(self.blocking.factors) {
            numbers.extend(names.iter().copied().zip(factors));
        }
        numbers.extend(INNER.iter().copied().zip(self.blocking.inner.map(|inner| inner as u64)));
        numbers
    }
}

/// All that a plan depends on besides the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PlanKey {
    extents: [usize; 6],
    groups: usize,
    strides: [usize; 2],
    dilations: [usize; 2],
    pads: [[usize; 2]; 2],
    images: u64,
    layout: Option<Partition>,
}

impl PlanKey {
    pub(super) fn new(layer: &LayerWorkload, images: u64, layout: Option<&Partition>) -> Self {
        PlanKey {
            extents: [
                layer.shape.c(),
                layer.shape.h(),
                layer.shape.w(),
                layer.shape.k(),
                layer.shape.r(),
                layer.shape.s(),
            ],
            groups: layer.shape.groups(),
            strides: layer.shape.strides(),
            dilations: layer.shape.dilations(),
            pads: [layer.shape.pads_begin(), layer.shape.pads_end()],
            images,
            layout: layout.copied(),
        }
    }
}

/// A split over the vaults with a mapping on their arrays, yet without a blocking.
#[derive(Debug)]
pub(super) struct Candidate {
    bound: Score,
    partition: Partition,
    mapping: Mapping,
    words: Words,
    pub(super) nest: Nest,
}

impl Candidate {
    /// The plan with this blocking.
    pub(super) fn with(&self, blocking: Blocking, images: u64) -> Plan {
        let Candidate { partition, mapping, words, .. } = *self;
        Plan { partition, mapping, blocking, words, images }
    }

    /// Its part of [`Plan::numbers`].
    pub(super) fn numbers(&self, images: u64) -> [(&'static str, u64); 13] {
        place(&self.partition, &self.mapping, images)
    }
}

/// The best plan for `images` images; `layout` tells how the previous layer left the ifmaps, by default in the way in
/// which this layer is split.
pub(super) fn plan(
    config: &Config,
    layer: &LayerWorkload,
    images: u64,
    layout: Option<&Partition>,
) -> Result<Plan, SimError> {
    let candidates = candidates(config, layer, images, layout, &Placed::default());
    best(config, &candidates, images, searched(config)).ok_or_else(|| {
        let need = 2 * layer.shape.s() + 1;
        let what = format!(
            "filter rows of {} words: {need} words, {} in a register file",
            layer.shape.s(),
            config.register_words
        );
        SimError::Unsupported { layer: layer.name.clone(), accelerator: super::NAME, what }
    })
}

/// A blocking that beats a score, or none.
type Found = Option<(Score, Blocking)>;

/// The search of the settings.
pub(super) fn searched(config: &Config) -> impl Fn(&BlockingSearch<'_>, &Problem<'_>, Score) -> Found {
    let by = config.search;
    move |search, problem, limit| match by {
        Search::Exhaustive => search.best(limit),
        Search::Bypass => bypass::schedule(problem),
    }
}

/// The best of `candidates`, each with the blocking that `schedule` finds for it.
pub(super) fn best(
    config: &Config,
    candidates: &[Candidate],
    images: u64,
    schedule: impl Fn(&BlockingSearch<'_>, &Problem<'_>, Score) -> Found,
) -> Option<Plan> {
    // Candidates are large and most are never looked at: their places are sorted instead.
    let mut order: Vec<(Score, usize)> = candidates.iter().map(|candidate| candidate.bound).zip(0..).collect();
    order.sort_by(|(a, _), (b, _)| a.objective.total_cmp(&b.objective).then(a.tie.total_cmp(&b.tie)));
    let mut limit = Score::WORST;
    let mut found = None;
    for candidate in order.into_iter().map(|(_, idx)| &candidates[idx]) {
        if !candidate.bound.beats(limit) {
            break;
        }
        let problem = Problem { nest: candidate.nest, tariff: &config.tariff };
        let Some(search) = BlockingSearch::new(problem) else { continue };
        if !search.floor.beats(limit) {
            continue;
        }
        if let Some((score, blocking)) = schedule(&search, &problem, limit)
            && score.beats(limit)
        {
            limit = score;
            found = Some(candidate.with(blocking, images));
        }
    }
    found
}

/// The splits over the vaults, with the mappings on their arrays, that are as `placed` wants them.
pub(super) fn candidates(
    config: &Config,
    layer: &LayerWorkload,
    images: u64,
    layout: Option<&Partition>,
    placed: &Placed,
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    let partitions = partitions(layer, images, config.mesh, config.partition).into_iter();
    for partition in partitions.filter(|partition| placed.allows_split(partition, images)) {
        let layout = layout.unwrap_or(&partition);
        let part = largest_part(layer, images, &partition);
        let wanted = |mapping: &Mapping| placed.allows_mapping(mapping);
        let mappings = wanted_mappings(&part, config.array, config.fill, placed.folds(), wanted);
        if mappings.is_empty() {
            continue;
        }
        let hops = hop_words(layer, images, &partition, layout, config.memory, config.mesh);
        for mapping in mappings {
            let words = words(layer, images, &partition, &part, &mapping, hops);
            let nest = nest(config, layer, images, &partition, &part, &mapping, &words);
            let bound = Problem { nest, tariff: &config.tariff }.lower_bound();
            candidates.push(Candidate { bound, partition, mapping, words, nest });
        }
    }
    candidates
}

/// Extents of the part of the vault with the most work.
fn largest_part(layer: &LayerWorkload, images: u64, partition: &Partition) -> Part {
    let outputs = partition.output_parts();
    let groups = layer.shape.groups() as u64;
    let (groups, k) = match groups {
        1 => (1, (layer.shape.k() as u64).div_ceil(outputs)),
        _ => (groups.div_ceil(outputs), layer.shape.filters_per_group() as u64),
    };
    Part {
        groups,
        c: layer.shape.channels_per_group() as u64,
        k,
        r: layer.shape.r() as u64,
        s: layer.shape.s() as u64,
        p: (layer.shape.p() as u64).div_ceil(partition.fmap[0]),
        q: (layer.shape.q() as u64).div_ceil(partition.fmap[1]),
        n: images / partition.batch_parts(),
    }
}

/// Extent of a kernel with its dilation.
fn covered(layer: &LayerWorkload, axis: usize) -> u64 {
    let window = layer.shape.axes()[axis];
    ((window.kernel - 1) * window.dilation + 1) as u64
}

/// Ifmap positions along an axis that `outputs` outputs need, computed in `folds` separate pieces. Padding counts.
fn inputs(layer: &LayerWorkload, axis: usize, outputs: u64, folds: u64) -> u64 {
    let stride = layer.shape.strides()[axis] as u64;
    let folds = folds.min(outputs);
    folds * covered(layer, axis) + (outputs - folds) * stride
}

fn words(
    layer: &LayerWorkload,
    images: u64,
    partition: &Partition,
    part: &Part,
    mapping: &Mapping,
    hops: [u128; 3],
) -> Words {
    let wide = |value: u64| u128::from(value);
    let sum = |axis: usize, total: usize, folds: u64| -> u128 {
        let parts = partition.fmap[axis];
        (0..parts)
            .map(|i| share(total as u64, parts, i))
            .map(|range| wide(inputs(layer, axis, range.end - range.start, folds)))
            .sum()
    };
    let images = wide(images);
    let channels = layer.shape.c() as u128 * if layer.shape.groups() == 1 { wide(partition.output_parts()) } else { 1 };
    let tiles = wide(partition.tiles());
    let copies = tiles * wide(partition.batch_parts());
    let filters = layer.shape.weight_count() as u128;
    let ifmaps = sum(0, layer.shape.p(), mapping.fold_columns) * sum(1, layer.shape.q(), 1) * channels * images;
    let ofmaps = layer.shape.output_count() as u128 * images;
    let folds = wide(mapping.fold_rows);
    let set = wide(mapping.set_pes) * folds;
    let pieces = wide(mapping.fold_columns) * tiles * images;
    Words {
        dram: [filters * copies, ifmaps, ofmaps],
        array_input: [filters * copies, ifmaps * folds, ofmaps * folds],
        array: [
            wide(part.s) * set * layer.shape.k() as u128 * layer.shape.channels_per_group() as u128 * copies,
            wide(inputs(layer, 1, part.q, 1)) * set * channels * pieces,
            wide(part.q) * set * layer.shape.k() as u128 * pieces,
        ],
        hops,
    }
}

fn nest(
    config: &Config,
    layer: &LayerWorkload,
    images: u64,
    partition: &Partition,
    part: &Part,
    mapping: &Mapping,
    words: &Words,
) -> Nest {
    let [ifmaps, ofmaps, groups] = mapping.replicated;
    let rows = part.p.div_ceil(mapping.fold_columns);
    let mut buffer_unit = [0; 3];
    buffer_unit[FILTERS] = part.r * part.s * ifmaps * ofmaps * groups;
    buffer_unit[IFMAPS] = inputs(layer, 0, rows, 1) * inputs(layer, 1, part.q, 1) * ifmaps * groups;
    buffer_unit[OFMAPS] = rows * part.q * ofmaps * groups;
    let float = |words: [u128; 3]| words.map(|count| count as f64);
    Nest {
        counts: mapping.counts,
        buffer_unit,
        register_unit: [part.s, part.s, 1],
        buffer_words: config.buffer_words,
        register_words: config.register_words,
        macs: layer.shape.dense_macs() as f64 / layer.shape.n() as f64 * images as f64,
        compute_cycles: mapping.cycles() as f64,
        vaults: partition.vaults() as f64,
        dram_once: float(words.dram),
        array_input_once: float(words.array_input),
        array_once: float(words.array),
        hops_once: float(words.hops),
    }
}

#[cfg(test)]
mod tests {
    use super::super::blocking::exhaustive;
    use super::super::{TETRIS, TETRIS_L1};
    use super::*;

    /// The best score of all splits, mappings and blockings, nothing left out.
    fn literal(config: &Config, layer: &LayerWorkload, images: u64) -> Option<Score> {
        let mut found: Option<Score> = None;
        for candidate in candidates(config, layer, images, None, &Placed::default()) {
            let problem = Problem { nest: candidate.nest, tariff: &config.tariff };
            if let Some((score, _)) = exhaustive(&problem)
                && found.is_none_or(|best| score.beats(best))
            {
                found = Some(score);
            }
        }
        found
    }

    fn score(config: &Config, layer: &LayerWorkload, plan: &Plan) -> Score {
        let matching = candidates(config, layer, plan.images, None, &Placed::default())
            .into_iter()
            .find(|candidate| candidate.partition == plan.partition && candidate.mapping == plan.mapping);
        let nest = matching.unwrap().nest;
        let problem = Problem { nest, tariff: &config.tariff };
        problem.evaluate(plan.blocking.factors, plan.blocking.inner).unwrap().0
    }

    #[test]
    fn plans_are_as_good_as_the_best_of_everything() {
        let strided = LayerWorkload::conv("strided", 6, 15, 11, 20, 5)
            .unwrap()
            .with_shape(|shape| shape.strides = [2, 2])
            .unwrap();
        let layers = [
            LayerWorkload::conv("square", 24, 14, 14, 32, 3).unwrap(),
            LayerWorkload::conv("folded", 4, 30, 9, 12, 3).unwrap(),
            strided,
            LayerWorkload::conv("depthwise", 8, 12, 12, 8, 3).unwrap().with_shape(|shape| shape.groups = 8).unwrap(),
            LayerWorkload::dense("dense", 120, 60),
        ];
        // Storage and memory small enough to matter.
        let small = "buffer_bytes = 3000\nregister_bytes = 96\ndram_megabytes_per_s = 8000.0";
        let mut failures = Vec::new();
        for (model, settings) in [(&TETRIS, small), (&TETRIS, ""), (&TETRIS_L1, small)] {
            for goal in ["e", "d", "ed"] {
                let settings = format!("batch = 4\ngoal = \"{goal}\"\n{settings}");
                let engine = model.engine(&settings.parse().unwrap()).unwrap();
                for layer in &layers {
                    let found = score(&engine.config, layer, &plan(&engine.config, layer, 4, None).unwrap());
                    let best = literal(&engine.config, layer, 4).unwrap();
                    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
                    if !close(found.objective, best.objective) || !close(found.tie, best.tie) {
                        failures.push(format!("{} {settings}: {found:?}, best {best:?}", layer.name));
                    }
                }
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }
}
