//! Bypass schedules: one kind of data lies in the buffer, the other two stream past it. Closed form.
//!
//! # Source
//! M. Gao et al., "TETRIS", ASPLOS 2017, section on dataflow scheduling; the convention of factors is derived.
//! Differs: partial sums move `2 · rounds − 1` times by default instead of `2 · rounds`, see
//! [`PsumRule`](super::blocking::PsumRule).

use super::blocking::{
    BATCH_LOOP, Blocking, FILTERS, IFMAP_LOOP, IFMAPS, OFMAP_LOOP, OFMAPS, Problem, PsumRule, REUSE_LOOP, Score,
    divisors,
};

/// What lies in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resident {
    /// Filters: ifmaps and ofmaps bypass the buffer (IO bypass).
    Filters,
    /// Ifmaps: ofmaps and filters bypass it (OW bypass).
    Ifmaps,
    /// Ofmaps: ifmaps and filters bypass it (IW bypass).
    Ofmaps,
}

impl Resident {
    /// All of them, in the order in which ties are broken.
    pub const ALL: [Resident; 3] = [Resident::Ifmaps, Resident::Ofmaps, Resident::Filters];

    fn datum(self) -> usize {
        match self {
            Resident::Filters => FILTERS,
            Resident::Ifmaps => IFMAPS,
            Resident::Ofmaps => OFMAPS,
        }
    }
}

/// A layer of one engine, as the closed form sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BypassProblem {
    /// Ifmaps, ofmaps, images.
    pub counts: [u64; 3],
    /// Words of one filter plane, one ifmap, one ofmap.
    pub words: [u64; 3],
    /// Words of the buffer.
    pub buffer_words: u64,
}

impl BypassProblem {
    /// Words between memory and engine for `chunks` (ifmaps, ofmaps, images), or `None` if what is resident does not
    /// fit the buffer. With the adder in memory, partial sums move once per round.
    #[must_use]
    pub fn memory_words(&self, resident: Resident, chunks: [u64; 3], psum: PsumRule) -> Option<u64> {
        let datum = resident.datum();
        let [ifmaps, ofmaps, images] = self.counts;
        let kept: u64 = (0..3).filter(|&l| l != REUSE_LOOP[datum]).map(|l| self.counts[l] / chunks[l]).product();
        if kept * self.words[datum] > self.buffer_words {
            return None;
        }
        // The resident kind is fetched once; each other kind once per chunk of the loop that it does not have.
        let rounds = |other: usize| if other == datum { 1 } else { chunks[REUSE_LOOP[other]] };
        Some(
            ifmaps * ofmaps * self.words[FILTERS] * rounds(FILTERS)
                + ifmaps * images * self.words[IFMAPS] * rounds(IFMAPS)
                + ofmaps * images * self.words[OFMAPS] * psum.tsv(rounds(OFMAPS)),
        )
    }

    /// The least words over all divisors, and the chunks that give them.
    #[must_use]
    pub fn least(&self, resident: Resident, psum: PsumRule) -> Option<(u64, [u64; 3])> {
        let reuse = REUSE_LOOP[resident.datum()];
        let choices =
            [IFMAP_LOOP, OFMAP_LOOP, BATCH_LOOP].map(|l| if l == reuse { vec![1] } else { divisors(self.counts[l]) });
        let mut found: Option<(u64, [u64; 3])> = None;
        for &i in &choices[IFMAP_LOOP] {
            for &o in &choices[OFMAP_LOOP] {
                for &b in &choices[BATCH_LOOP] {
                    let words = self.memory_words(resident, [i, o, b], psum);
                    if let Some(words) = words
                        && found.is_none_or(|(least, _)| words < least)
                    {
                        found = Some((words, [i, o, b]));
                    }
                }
            }
        }
        found
    }
}

/// The best of the three bypass schedules, and of streaming everything.
#[must_use]
pub fn schedule(problem: &Problem<'_>) -> Option<(Score, Blocking)> {
    let nest = &problem.nest;
    let mut found = problem.evaluate([nest.counts, [1; 3], [1; 3]], [BATCH_LOOP, 0]);
    let mut consider = |factors: [[u64; 3]; 3], inner: [usize; 2]| {
        if let Some(candidate) = problem.evaluate(factors, inner)
            && found.is_none_or(|(score, _)| candidate.0.beats(score))
        {
            found = Some(candidate);
        }
    };
    let closed = BypassProblem { counts: nest.counts, words: nest.buffer_unit, buffer_words: nest.buffer_words };
    for resident in Resident::ALL {
        let Some((_, chunks)) = closed.least(resident, problem.tariff.psum) else { continue };
        let z = REUSE_LOOP[resident.datum()];
        let [x, y] = match z {
            IFMAP_LOOP => [OFMAP_LOOP, BATCH_LOOP],
            OFMAP_LOOP => [IFMAP_LOOP, BATCH_LOOP],
            _ => [IFMAP_LOOP, OFMAP_LOOP],
        };
        // Registers hold all of x, all of y, or neither; then as much of z as fits.
        for keep in [[true, true], [true, false], [false, true], [false, false]] {
            let mut block = [1; 3];
            for (l, kept) in [(x, keep[0]), (y, keep[1])] {
                if kept {
                    block[l] = nest.counts[l] / chunks[l];
                }
            }
            for &depth in divisors(nest.counts[z]).iter().rev() {
                block[z] = depth;
                let mut factors = [chunks, [1; 3], block];
                factors[0][z] = nest.counts[z] / depth;
                for l in [x, y] {
                    factors[1][l] = nest.counts[l] / chunks[l] / block[l];
                }
                consider(factors, [z, x]);
                consider(factors, [z, y]);
                if factors[0][z] == 1 {
                    // Nothing streams any more: the loops around the registers may as well run outside the buffer.
                    let merged = [[0, 1, 2].map(|l| factors[0][l] * factors[1][l]), [1; 3], block];
                    consider(merged, [x, x]);
                    consider(merged, [y, y]);
                }
            }
        }
    }
    found
}
