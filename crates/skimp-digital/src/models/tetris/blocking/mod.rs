//! Loop blocking: which loops run around the global buffer, between buffer and registers, and inside the registers.
//!
//! Three loops (ifmaps, ofmaps, batch) are cut into three levels each. Level 0 runs between memory and buffer, level 1
//! between buffer and register files, level 2 in the register files. Within a level only the innermost non-trivial
//! loop matters for reuse. A kind of data lies in the buffer only if the buffer saves accesses; otherwise it bypasses it.
//!
//! [`exhaustive`] tries everything and is the specification. [`best`] finds a schedule of the same score by bounds.

mod search;

pub(super) use search::{Search, Wanted};
pub use search::{best, exhaustive};

/// Number of loops, of kinds of data, and of blocking levels.
const N: usize = 3;
/// Loop over ifmaps.
pub const IFMAP_LOOP: usize = 0;
/// Loop over ofmaps.
pub const OFMAP_LOOP: usize = 1;
/// Loop over images (and folded parts of them).
pub const BATCH_LOOP: usize = 2;
/// Filters: ifmap and ofmap loops.
pub const FILTERS: usize = 0;
/// Ifmaps: ifmap and batch loops.
pub const IFMAPS: usize = 1;
/// Ofmaps: ofmap and batch loops.
pub const OFMAPS: usize = 2;
/// The loop over which each kind of data can be reused.
pub(super) const REUSE_LOOP: [usize; N] = [BATCH_LOOP, OFMAP_LOOP, IFMAP_LOOP];
/// The loops over which each kind of data extends.
const OWN_LOOPS: [[usize; 2]; N] = [[IFMAP_LOOP, OFMAP_LOOP], [IFMAP_LOOP, BATCH_LOOP], [OFMAP_LOOP, BATCH_LOOP]];

/// Where partial sums that come back from memory are accumulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulation {
    /// In the processing elements: old sums are read, new ones written.
    Engine,
    /// In the vault controller on the logic die.
    MemoryController,
    /// Near the TSV drivers of each DRAM die.
    DramDie,
    /// In the periphery of each DRAM bank.
    Bank,
    /// Inside a bank.
    Subarray,
}

impl Accumulation {
    /// All options with their names in settings.
    pub const ALL: [(&'static str, Accumulation); 5] = [
        ("engine", Accumulation::Engine),
        ("memory-controller", Accumulation::MemoryController),
        ("dram-die", Accumulation::DramDie),
        ("bank", Accumulation::Bank),
        ("subarray", Accumulation::Subarray),
    ];

    /// Whether one update per round crosses the network and the array instead of a read and a write.
    fn updates_from_engine(self) -> bool {
        self != Accumulation::Engine
    }

    /// Whether one update per round crosses the TSVs instead of a read and a write.
    fn updates_over_tsvs(self) -> bool {
        !matches!(self, Accumulation::Engine | Accumulation::MemoryController)
    }

    /// Whether one update per round crosses the shared bus of a DRAM die instead of a read and a write.
    fn updates_over_die_bus(self) -> bool {
        matches!(self, Accumulation::Bank | Accumulation::Subarray)
    }
}

/// How often partial sums move for a number of accumulation rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PsumRule {
    /// Where they are accumulated.
    pub accumulation: Accumulation,
    /// Whether the first round reads too: `2 · rounds` accesses instead of `2 · rounds − 1`.
    pub first_read: bool,
}

impl PsumRule {
    /// Reads and writes of one word where the adder is on this side of the interface: `2 · rounds − 1`, or `2 · rounds`.
    #[must_use]
    pub fn read_write(self, rounds: u64) -> u64 {
        2 * rounds - u64::from(!self.first_read)
    }

    fn pick(self, updates: bool, rounds: u64) -> u64 {
        if updates { rounds } else { self.read_write(rounds) }
    }

    /// Transfers of one word between engine and memory interface.
    #[must_use]
    pub fn engine(self, rounds: u64) -> u64 {
        self.pick(self.accumulation.updates_from_engine(), rounds)
    }

    /// Transfers of one word over the TSVs.
    #[must_use]
    pub fn tsv(self, rounds: u64) -> u64 {
        self.pick(self.accumulation.updates_over_tsvs(), rounds)
    }

    /// Transfers of one word over the shared bus of a die, which bounds the bandwidth.
    #[must_use]
    pub fn die_bus(self, rounds: u64) -> u64 {
        self.pick(self.accumulation.updates_over_die_bus(), rounds)
    }
}

/// What a search minimizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Energy, then time.
    Energy,
    /// Time, then energy.
    Delay,
    /// Energy times time.
    EnergyDelay,
}

impl Goal {
    /// All goals with their names in settings.
    pub const ALL: [(&'static str, Goal); 3] = [("e", Goal::Energy), ("d", Goal::Delay), ("ed", Goal::EnergyDelay)];
}

impl Goal {
    fn score(self, energy: f64, cycles: f64) -> Score {
        match self {
            Goal::Energy => Score { objective: energy, tie: cycles },
            Goal::Delay => Score { objective: cycles, tie: energy },
            Goal::EnergyDelay => Score { objective: energy * cycles, tie: energy },
        }
    }
}

/// What an access costs, in pJ per word, and how fast words move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tariff {
    /// One multiply-accumulate.
    pub mac_pj: f64,
    /// Register file.
    pub register_pj: f64,
    /// Network between the processing elements of an array.
    pub array_pj: f64,
    /// Global buffer.
    pub buffer_pj: f64,
    /// Row and cell activity of the memory.
    pub dram_cell_pj: f64,
    /// Transfer between memory and logic die.
    pub dram_transfer_pj: f64,
    /// One hop between vaults.
    pub hop_pj: f64,
    /// Everything that is powered, per cycle.
    pub static_pj_per_cycle: f64,
    /// Words per cycle of all memory channels; infinite if not bounded.
    pub dram_words_per_cycle: f64,
    /// Words per cycle and vault of the bus of one kind of data; infinite if not bounded.
    pub bus_words_per_cycle: f64,
    /// Movement of partial sums.
    pub psum: PsumRule,
    /// What to minimize.
    pub goal: Goal,
}

/// The loop nest of one vault and the words of a layer over all vaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nest {
    /// Passes in each loop.
    pub counts: [u64; N],
    /// Words of one pass in the buffer.
    pub buffer_unit: [u64; N],
    /// Words of one pass in one register file.
    pub register_unit: [u64; N],
    /// Capacity of the buffer in words.
    pub buffer_words: u64,
    /// Capacity of a register file in words.
    pub register_words: u64,
    /// Multiply-accumulates of the layer.
    pub macs: f64,
    /// Cycles of all passes.
    pub compute_cycles: f64,
    /// Vaults at work.
    pub vaults: f64,
    /// Words that memory delivers if each is moved once into the buffer.
    pub dram_once: [f64; N],
    /// Words that the array takes from the buffer, or from memory past the buffer, if each is moved once.
    pub array_input_once: [f64; N],
    /// Words over the network of the array if each is moved once.
    pub array_once: [f64; N],
    /// Words times hops if each is moved once.
    pub hops_once: [f64; N],
}

/// A schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocking {
    /// Factors by level, then loop. Their product over levels is the loop's count.
    pub factors: [[u64; N]; N],
    /// Innermost loop of levels 0 and 1.
    pub inner: [usize; 2],
    /// Rounds in which each kind of data is fetched from memory, and into the array.
    pub rounds: [[u64; N]; 2],
    /// Whether a kind of data lies in the buffer; otherwise it bypasses it.
    pub stored: [bool; N],
}

/// Worth of a schedule: less is better, and `tie` decides among equals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// What the goal asks for.
    pub objective: f64,
    /// What decides among equals.
    pub tie: f64,
}

impl Score {
    /// Worse than any schedule.
    pub const WORST: Score = Score { objective: f64::INFINITY, tie: f64::INFINITY };

    /// Whether this is strictly better.
    #[must_use]
    pub fn beats(self, other: Score) -> bool {
        self.objective < other.objective || (self.objective <= other.objective && self.tie < other.tie)
    }
}

/// A nest, its costs and its bounds.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'t> {
    /// Loops and words.
    pub nest: Nest,
    /// Costs.
    pub tariff: &'t Tariff,
}

/// Product over the loops that a kind of data has.
fn product_of(datum: usize, counts: &[u64; N]) -> u64 {
    let [a, b] = OWN_LOOPS[datum];
    counts[a] * counts[b]
}

/// Rounds of fetching from memory.
fn memory_rounds(factors: &[u64; N], inner: usize) -> [u64; N] {
    [0, 1, 2].map(|datum| {
        let reuse = REUSE_LOOP[datum];
        if inner == reuse || product_of(datum, factors) == 1 { 1 } else { factors[reuse] }
    })
}

/// Rounds of fetching into the array, with `memory` rounds of fetching from memory. `inner` is a non-trivial loop of
/// `middle`, if there is one.
fn array_rounds(outer: &[u64; N], middle: &[u64; N], inner: usize, memory: &[u64; N]) -> [u64; N] {
    [0, 1, 2].map(|datum| {
        let reuse = REUSE_LOOP[datum];
        if product_of(datum, middle) == 1 {
            memory[datum]
        } else if inner == reuse {
            outer[reuse]
        } else {
            outer[reuse] * middle[reuse]
        }
    })
}

/// Rounds of fetching at both levels.
fn rounds_of(factors: &[[u64; N]; N], inner: [usize; 2]) -> [[u64; N]; 2] {
    let memory = memory_rounds(&factors[0], inner[0]);
    [memory, array_rounds(&factors[0], &factors[1], inner[1], &memory)]
}

/// Loops that may stand innermost: the non-trivial ones, or any one if there is none.
fn inner_loops(factors: [u64; N]) -> impl Iterator<Item = usize> {
    let trivial = factors.iter().all(|&factor| factor == 1);
    (0..N).filter(move |&l| factors[l] > 1 || (trivial && l == 0))
}

impl Problem<'_> {
    /// Words in one register file.
    pub(super) fn register_need(&self, block: &[u64; N]) -> u64 {
        (0..N).map(|datum| product_of(datum, block).saturating_mul(self.nest.register_unit[datum])).sum()
    }

    fn score(
        &self,
        rounds: &[[u64; N]; 2],
        dram_once: &[f64; N],
        buffer_once: &[f64; N],
        bypassed_ofmaps: bool,
    ) -> Score {
        let (nest, tariff) = (&self.nest, self.tariff);
        let mut energy = nest.macs * (tariff.mac_pj + 4.0 * tariff.register_pj);
        let mut bus_words = 0f64;
        let mut dram_words = 0f64;
        for datum in 0..N {
            let [outer, inner] = [rounds[0][datum], rounds[1][datum]];
            let (cells, tsv, die_bus, hops, array) = if datum == OFMAPS {
                let psum = tariff.psum;
                let array = if bypassed_ofmaps { psum.engine(inner) } else { psum.read_write(inner) };
                (psum.read_write(outer), psum.tsv(outer), psum.die_bus(outer), psum.engine(outer), array)
            } else {
                (outer, outer, outer, outer, inner)
            };
            let buffer = buffer_once[datum] * array as f64;
            energy += dram_once[datum] * (cells as f64 * tariff.dram_cell_pj + tsv as f64 * tariff.dram_transfer_pj)
                + buffer * tariff.buffer_pj
                + nest.array_once[datum] * array as f64 * tariff.array_pj
                + nest.hops_once[datum] * hops as f64 * tariff.hop_pj;
            bus_words = bus_words.max(buffer);
            dram_words += dram_once[datum] * die_bus as f64;
        }
        let bus_cycles = bus_words / nest.vaults / tariff.bus_words_per_cycle;
        let cycles = nest.compute_cycles.max(bus_cycles).max(dram_words / tariff.dram_words_per_cycle);
        energy += cycles * tariff.static_pj_per_cycle;
        tariff.goal.score(energy, cycles)
    }

    /// The schedule of these factors, or `None` if it does not fit.
    #[must_use]
    pub fn evaluate(&self, factors: [[u64; N]; N], inner: [usize; 2]) -> Option<(Score, Blocking)> {
        if self.register_need(&factors[2]) > self.nest.register_words {
            return None;
        }
        self.evaluate_fitting(factors, inner)
    }

    /// Words that the buffer holds at least: of what is fetched into the array more often than from memory.
    pub(super) fn least_buffer_need(&self, factors: &[[u64; N]; N], inner: [usize; 2]) -> u64 {
        let rounds = rounds_of(factors, inner);
        self.buffer_need(factors, [0, 1, 2].map(|d| rounds[0][d] < rounds[1][d]))
    }

    fn buffer_need(&self, factors: &[[u64; N]; N], stored: [bool; N]) -> u64 {
        let block = [0, 1, 2].map(|l| factors[1][l] * factors[2][l]);
        let words = |d: usize| product_of(d, &block).saturating_mul(self.nest.buffer_unit[d]);
        (0..N).filter(|&d| stored[d]).map(words).fold(0u64, u64::saturating_add)
    }

    fn evaluate_fitting(&self, factors: [[u64; N]; N], inner: [usize; 2]) -> Option<(Score, Blocking)> {
        let nest = &self.nest;
        let rounds = rounds_of(&factors, inner);
        let reused = [0, 1, 2].map(|d| rounds[0][d] < rounds[1][d]);
        // Folded filters read ifmaps and ofmaps once per fold: the buffer may pay without any reuse between passes.
        let folded = [0, 1, 2].map(|d| !reused[d] && nest.array_input_once[d] > nest.dram_once[d]);
        let mut found: Option<(Score, Blocking)> = None;
        for choice in 0..1usize << N {
            let chosen = [0, 1, 2].map(|d| choice >> d & 1 == 1);
            if (0..N).any(|d| chosen[d] && !folded[d]) {
                continue;
            }
            let stored = [0, 1, 2].map(|d| reused[d] || chosen[d]);
            if self.buffer_need(&factors, stored) > nest.buffer_words {
                continue;
            }
            let dram_once = [0, 1, 2].map(|d| if stored[d] { nest.dram_once[d] } else { nest.array_input_once[d] });
            let buffer_once = [0, 1, 2].map(|d| if stored[d] { nest.array_input_once[d] } else { 0.0 });
            let score = self.score(&rounds, &dram_once, &buffer_once, !stored[OFMAPS]);
            if found.is_none_or(|(best, _)| score.beats(best)) {
                found = Some((score, Blocking { factors, inner, rounds, stored }));
            }
            if folded == [false; N] {
                break;
            }
        }
        found
    }
}

/// Divisors in rising order.
pub(super) fn divisors(value: u64) -> Vec<u64> {
    let mut small = Vec::new();
    let mut large = Vec::new();
    let mut d = 1;
    while d * d <= value {
        if value.is_multiple_of(d) {
            small.push(d);
            if d * d != value {
                large.push(value / d);
            }
        }
        d += 1;
    }
    small.extend(large.into_iter().rev());
    small
}
