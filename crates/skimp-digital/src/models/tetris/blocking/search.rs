//! The search for a blocking: [`exhaustive`] by trying everything, [`best`] by bounds.
//!
//! Energy is a sum over the kinds of data of what their rounds cost, so a schedule's worth is known from its rounds
//! before anything is checked for its size. [`best`] uses that three times:
//!
//! - For fixed outer loops, larger register blocks never cost more accesses: only the largest ones are tried.
//! - Whatever the outer loops, at most one kind of data stays put around a register block; the others are fetched in
//!   as many rounds as there are blocks, from memory or from the buffer. The least of that over all register blocks
//!   bounds a nest, and its share in the array bounds each of its outer loops.
//! - A schedule is checked against buffer and bus only if its rounds alone beat the best one known.

use super::{
    BATCH_LOOP, Blocking, IFMAP_LOOP, N, OFMAP_LOOP, OFMAPS, Problem, REUSE_LOOP, Score, Tariff, array_rounds,
    divisors, inner_loops, memory_rounds, product_of,
};

/// Bounds are taken a hair lower than computed, so that rounding never prunes an optimum.
const BOUND_SLACK: f64 = 1.0 - 1e-12;

/// What a round of each kind of data costs.
#[derive(Clone, Copy, Debug)]
struct Rates<'t> {
    tariff: &'t Tariff,
    fixed_pj: f64,
    compute_cycles: f64,
    /// pJ per round of memory cells, of transfer from memory, of hops.
    cells: [f64; N],
    transfer: [f64; N],
    hops: [f64; N],
    /// pJ per round of the array, from the buffer or past it.
    buffered: [f64; N],
    streamed: [f64; N],
    /// Cycles of memory per round.
    memory_cycles: [f64; N],
}

impl<'t> Rates<'t> {
    fn new(problem: &Problem<'t>) -> Self {
        let (nest, tariff) = (&problem.nest, problem.tariff);
        // Folds that bypass the buffer take more words from memory, never fewer; the rest of the model relies on it too.
        let words = [0, 1, 2].map(|d| nest.dram_once[d].min(nest.array_input_once[d]));
        let streamed = nest.array_once.map(|words| words * tariff.array_pj);
        Rates {
            tariff,
            fixed_pj: nest.macs * (tariff.mac_pj + 4.0 * tariff.register_pj),
            compute_cycles: nest.compute_cycles,
            cells: words.map(|words| words * tariff.dram_cell_pj),
            transfer: words.map(|words| words * tariff.dram_transfer_pj),
            hops: nest.hops_once.map(|words| words * tariff.hop_pj),
            buffered: [0, 1, 2].map(|d| streamed[d] + nest.array_input_once[d] * tariff.buffer_pj),
            streamed,
            memory_cycles: words.map(|words| words / tariff.dram_words_per_cycle),
        }
    }

    /// pJ and cycles of memory for `rounds` of one kind of data.
    fn memory(&self, datum: usize, rounds: u64) -> (f64, f64) {
        let (cells, transfer, hops, bus) = if datum == OFMAPS {
            let psum = self.tariff.psum;
            (psum.read_write(rounds), psum.tsv(rounds), psum.engine(rounds), psum.die_bus(rounds))
        } else {
            (rounds, rounds, rounds, rounds)
        };
        let pj =
            self.cells[datum] * cells as f64 + self.transfer[datum] * transfer as f64 + self.hops[datum] * hops as f64;
        (pj, self.memory_cycles[datum] * bus as f64)
    }

    /// pJ of the array for `rounds` of words that come past the buffer.
    fn streamed(&self, datum: usize, rounds: u64) -> f64 {
        let moves = if datum == OFMAPS { self.tariff.psum.engine(rounds) } else { rounds };
        self.streamed[datum] * moves as f64
    }

    /// pJ of buffer and array for `rounds` of words that lie in the buffer.
    fn buffered(&self, datum: usize, rounds: u64) -> f64 {
        let moves = if datum == OFMAPS { self.tariff.psum.read_write(rounds) } else { rounds };
        self.buffered[datum] * moves as f64
    }

    /// The score of `pj` besides multiply-accumulates and static power, and of `cycles` of memory, a hair lower. The
    /// cycles of computing are exact, so that many schedules of the same time are told apart by their energy.
    fn bound(&self, pj: f64, memory_cycles: f64) -> Score {
        let cycles = self.compute_cycles.max(memory_cycles * BOUND_SLACK);
        let energy = self.fixed_pj + pj + cycles * self.tariff.static_pj_per_cycle;
        self.tariff.goal.score(energy * BOUND_SLACK, cycles)
    }

    /// What each word moved once costs: a bound for every schedule.
    fn once(&self) -> Score {
        let (mut pj, mut cycles) = (0.0, 0.0);
        for datum in 0..N {
            let (memory_pj, memory_cycles) = self.memory(datum, 1);
            pj += memory_pj + self.streamed(datum, 1);
            cycles += memory_cycles;
        }
        self.bound(pj, cycles)
    }
}

/// Ifmaps and ofmaps in a register file, and how many images then fit.
#[derive(Clone, Copy, Debug)]
struct Block {
    ifmaps: u64,
    ofmaps: u64,
    most_images: u64,
}

/// The register blocks of a problem: all factors of ifmaps and ofmaps with which at least one image fits.
fn blocks(problem: &Problem<'_>, all: &[Vec<u64>; N]) -> Vec<Block> {
    let nest = &problem.nest;
    let [filter, ifmap, ofmap] = nest.register_unit;
    let mut found = Vec::new();
    for &ifmaps in &all[IFMAP_LOOP] {
        for &ofmaps in &all[OFMAP_LOOP] {
            let filters = ifmaps.saturating_mul(ofmaps).saturating_mul(filter);
            let image = ifmaps.saturating_mul(ifmap).saturating_add(ofmaps.saturating_mul(ofmap));
            let most_images = match nest.register_words.checked_sub(filters) {
                Some(left) if image > 0 => left / image,
                Some(_) => u64::MAX,
                None => 0,
            };
            if most_images == 0 {
                break;
            }
            found.push(Block { ifmaps, ofmaps, most_images });
        }
    }
    found
}

/// The greatest of `divisors` that divides `value` and is at most `most`.
fn largest(divisors: &[u64], value: u64, most: u64) -> u64 {
    divisors.iter().rev().copied().find(|&d| d <= most && value.is_multiple_of(d)).unwrap_or(1)
}

/// The search for the blocking of one nest, with what does not depend on the blocking.
#[derive(Debug)]
pub(in crate::models::tetris) struct Search<'t> {
    problem: Problem<'t>,
    rates: Rates<'t>,
    divisors: [Vec<u64>; N],
    blocks: Vec<Block>,
    /// pJ of the array at least, whatever comes from memory or buffer.
    array_pj: f64,
    /// A score that no schedule undercuts.
    pub(in crate::models::tetris) floor: Score,
}

/// Outer loops, and what memory costs with them.
#[derive(Clone, Copy, Debug)]
struct Outer {
    bound: Score,
    factors: [u64; N],
    inner: usize,
    rounds: [u64; N],
    pj: f64,
    cycles: f64,
}

impl<'t> Search<'t> {
    /// `None` if no register block fits.
    pub(in crate::models::tetris) fn new(problem: Problem<'t>) -> Option<Search<'t>> {
        let divisors = problem.nest.counts.map(divisors);
        let blocks = blocks(&problem, &divisors);
        if blocks.is_empty() {
            return None;
        }
        let rates = Rates::new(&problem);
        let mut search = Search { problem, rates, divisors, blocks, array_pj: f64::INFINITY, floor: Score::WORST };
        search.set_floor();
        Some(search)
    }

    fn set_floor(&mut self) {
        let rates = &self.rates;
        let once = [0, 1, 2].map(|d| [rates.memory(d, 1).0, rates.streamed(d, 1)]);
        let mut least = f64::INFINITY;
        for block in &self.blocks {
            let outside = self.outside(block, &self.problem.nest.counts);
            // Each kind of data moved once for each block outside: through the array, and on any way.
            let streamed = [0, 1, 2].map(|d| rates.streamed(d, outside[REUSE_LOOP[d]]));
            let moved = [0, 1, 2].map(|d| {
                let rounds = outside[REUSE_LOOP[d]];
                let past = rates.memory(d, rounds).0 + streamed[d];
                if rounds == 1 { past } else { past.min(once[d][0] + rates.buffered(d, rounds)) }
            });
            for (put, [memory, array]) in once.iter().enumerate() {
                let sum =
                    |other: [f64; N], own: f64| (0..N).map(|d| if d == put { own } else { other[d] }).sum::<f64>();
                least = least.min(sum(moved, memory + array));
                self.array_pj = self.array_pj.min(sum(streamed, *array));
            }
        }
        self.floor = rates.bound(least, (0..N).map(|d| rates.memory(d, 1).1).sum());
    }

    /// Loops outside the largest register block of this kind, inside `rest`.
    fn outside(&self, block: &Block, rest: &[u64; N]) -> [u64; N] {
        let images = largest(&self.divisors[BATCH_LOOP], rest[BATCH_LOOP], block.most_images);
        [rest[IFMAP_LOOP] / block.ifmaps, rest[OFMAP_LOOP] / block.ofmaps, rest[BATCH_LOOP] / images]
    }

    /// A schedule as good as the best of all, if it beats `known`.
    pub(in crate::models::tetris) fn best(&self, known: Score) -> Option<(Score, Blocking)> {
        let mut limit = known;
        let mut found = None;
        for outer in &self.outers(known) {
            if !outer.bound.beats(limit) {
                break;
            }
            self.expand(outer, &mut limit, &mut found);
        }
        found
    }

    /// Outer loops that may beat `known`, the most promising first.
    fn outers(&self, known: Score) -> Vec<Outer> {
        let mut outers = Vec::new();
        for &i in &self.divisors[IFMAP_LOOP] {
            for &o in &self.divisors[OFMAP_LOOP] {
                for &b in &self.divisors[BATCH_LOOP] {
                    let factors = [i, o, b];
                    outers.extend(inner_loops(factors).filter_map(|inner| self.outer(factors, inner, known)));
                }
            }
        }
        outers.sort_unstable_by(|a, b| {
            let order = a.bound.objective.total_cmp(&b.bound.objective).then(a.bound.tie.total_cmp(&b.bound.tie));
            order.then((a.factors, a.inner).cmp(&(b.factors, b.inner)))
        });
        outers
    }

    fn outer(&self, factors: [u64; N], inner: usize, known: Score) -> Option<Outer> {
        let rounds = memory_rounds(&factors, inner);
        let (mut pj, mut cycles, mut array_pj) = (0.0, 0.0, 0.0);
        for (datum, &rounds) in rounds.iter().enumerate() {
            let memory = self.rates.memory(datum, rounds);
            pj += memory.0;
            cycles += memory.1;
            array_pj += self.rates.streamed(datum, rounds);
        }
        let bound = self.rates.bound(pj + array_pj.max(self.array_pj), cycles);
        bound.beats(known).then_some(Outer { bound, factors, inner, rounds, pj, cycles })
    }

    /// Every largest register block inside the outer loops.
    fn expand(&self, outer: &Outer, limit: &mut Score, found: &mut Option<(Score, Blocking)>) {
        let (nest, rates) = (&self.problem.nest, &self.rates);
        let rest = [0, 1, 2].map(|l| nest.counts[l] / outer.factors[l]);
        let in_buffer = [0, 1, 2].map(|d| product_of(d, &rest).saturating_mul(nest.buffer_unit[d]));
        for block in &self.blocks {
            if !rest[IFMAP_LOOP].is_multiple_of(block.ifmaps) || !rest[OFMAP_LOOP].is_multiple_of(block.ofmaps) {
                continue;
            }
            let middle = self.outside(block, &rest);
            for inner in inner_loops(middle) {
                let rounds = array_rounds(&outer.factors, &middle, inner, &outer.rounds);
                let (mut pj, mut need) = (outer.pj, 0u64);
                for datum in 0..N {
                    if outer.rounds[datum] < rounds[datum] {
                        pj += rates.buffered(datum, rounds[datum]);
                        need = need.saturating_add(in_buffer[datum]);
                    } else {
                        pj += rates.streamed(datum, rounds[datum]);
                    }
                }
                if need > nest.buffer_words || !rates.bound(pj, outer.cycles).beats(*limit) {
                    continue;
                }
                let block = [0, 1, 2].map(|l| rest[l] / middle[l]);
                let evaluated = self.problem.evaluate_fitting([outer.factors, middle, block], [outer.inner, inner]);
                if let Some(candidate) = evaluated
                    && candidate.0.beats(*limit)
                {
                    *limit = candidate.0;
                    *found = Some(candidate);
                }
            }
        }
    }
}

/// A schedule as good as the best of [`exhaustive`], if it beats `known`.
#[must_use]
pub fn best(problem: &Problem<'_>, known: Score) -> Option<(Score, Blocking)> {
    Search::new(*problem)?.best(known)
}

impl Problem<'_> {
    /// A score that no schedule undercuts: each word moved once.
    #[must_use]
    pub fn lower_bound(&self) -> Score {
        Rates::new(self).once()
    }
}

/// The first schedule of the best score among all factors and orders: the specification of [`best`].
#[must_use]
pub fn exhaustive(problem: &Problem<'_>) -> Option<(Score, Blocking)> {
    Wanted::default().best(problem, Score::WORST)
}

/// What is given of a blocking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::models::tetris) struct Wanted {
    /// Factors by level, then loop.
    pub(in crate::models::tetris) factors: [[Option<u64>; N]; N],
    /// Innermost loop of levels 0 and 1.
    pub(in crate::models::tetris) inner: [Option<usize>; 2],
}

impl Wanted {
    /// All ways to cut a loop of `count` passes.
    pub(in crate::models::tetris) fn splits(&self, loop_idx: usize, count: u64) -> Vec<[u64; N]> {
        let wanted = self.factors.map(|level| level[loop_idx]);
        let factors = |level: usize, of: u64| match wanted[level] {
            Some(factor) if factor > 0 && of.is_multiple_of(factor) => vec![factor],
            Some(_) => Vec::new(),
            None => divisors(of),
        };
        let mut splits = Vec::new();
        for outer in factors(0, count) {
            let of_outer = factors(1, count / outer).into_iter().map(|middle| [outer, middle, count / outer / middle]);
            splits.extend(of_outer.filter(|split| wanted[2].is_none_or(|inner| inner == split[2])));
        }
        splits
    }

    /// Loops that may stand innermost in a level.
    fn inner_loops(&self, level: usize, factors: [u64; N]) -> Vec<usize> {
        self.inner[level].map_or_else(|| inner_loops(factors).collect(), |inner| vec![inner])
    }

    /// The first schedule of the best score among those that are as wanted, if it beats `known`.
    pub(in crate::models::tetris) fn best(&self, problem: &Problem<'_>, known: Score) -> Option<(Score, Blocking)> {
        let (mut limit, mut found) = (known, None);
        self.visit(&problem.nest.counts, &mut |factors, inner| {
            if let Some(candidate) = problem.evaluate(factors, inner)
                && candidate.0.beats(limit)
            {
                limit = candidate.0;
                found = Some(candidate);
            }
        });
        found
    }

    /// Every blocking of loops of `counts` that is as wanted, fitting or not.
    pub(in crate::models::tetris) fn visit(&self, counts: &[u64; N], see: &mut impl FnMut([[u64; N]; N], [usize; 2])) {
        let splits = [IFMAP_LOOP, OFMAP_LOOP, BATCH_LOOP].map(|l| self.splits(l, counts[l]));
        for i in &splits[IFMAP_LOOP] {
            for o in &splits[OFMAP_LOOP] {
                for b in &splits[BATCH_LOOP] {
                    let factors = [0, 1, 2].map(|level| [i[level], o[level], b[level]]);
                    for outer in self.inner_loops(0, factors[0]) {
                        for middle in self.inner_loops(1, factors[1]) {
                            see(factors, [outer, middle]);
                        }
                    }
                }
            }
        }
    }
}
