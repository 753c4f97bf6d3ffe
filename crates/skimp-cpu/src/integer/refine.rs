//! The search for end positions between the weight prefixes whose sums are known.
//!
//! Partial sums never rise, so an end position lies after the last prefix that does not stop and not after the first
//! that does. What lies between is narrowed by bounds that cost nothing (a plane takes 0 to `mass` units off the sum),
//! then by exact dot products at the plane where interpolation expects the end. Interpolation decides how much work
//! is done, never the result.

use skimp_numerics::EndTest;

use super::conv::{Layer, Prefixes, unwrap};
use super::dots::dots_each;
use super::pack::Tile;

/// Outputs of one filter whose dot products are taken together.
const GROUP: usize = 8;

/// Finds the end positions of one tile, filter by filter.
#[derive(Debug)]
pub(super) struct Refiner<'a> {
    layer: &'a Layer<'a>,
    tile: &'a Tile,
    test: EndTest,
    bits: u32,
    /// One over the number of weights of a filter.
    per_weight: f64,
    open: Vec<Bracket>,
}

/// The end position of an output is in `low + 1 ..= high`.
#[derive(Clone, Copy, Debug, Default)]
struct Bracket {
    position: usize,
    low: u32,
    high: u32,
    /// The last prefix whose sum is known not to stop (0: none), and its dot product.
    low_plane: u32,
    low_dot: i64,
    /// The first prefix whose sum is known to stop, and its dot product.
    high_plane: u32,
    high_dot: i64,
    /// The prefix to look at next.
    next: u32,
}

impl<'a> Refiner<'a> {
    pub(super) fn new(layer: &'a Layer<'a>, tile: &'a Tile, test: EndTest) -> Self {
        let per_weight = 1.0 / layer.problem.depth().max(1) as f64;
        Self { layer, tile, test, bits: layer.problem.weight_bits, per_weight, open: Vec::new() }
    }

    /// End positions of filter `k` with the given initial sums, from exact dot products of some prefixes.
    pub(super) fn run(&mut self, k: usize, initial: &[i64], prefixes: &Prefixes, ends: &mut [u8]) {
        ends.fill(self.bits as u8);
        self.open_brackets(initial, prefixes);
        while !self.open.is_empty() {
            self.narrow_all(k, initial, ends);
            self.evaluate_all(k, initial);
        }
    }

    /// The partial sum after `plane`, from the dot product with the planes up to it.
    fn psum(&self, initial: i64, plane: u32, dot: i64) -> i64 {
        initial - (dot << (self.bits - plane))
    }

    /// One bracket for each output that stops at one of the prefixes.
    fn open_brackets(&mut self, initial: &[i64], prefixes: &Prefixes) {
        let (bits, test) = (self.bits, self.test);
        self.open.clear();
        self.open.resize(initial.len(), Bracket::default());
        let mut n_open = 0;
        let n_prefixes = prefixes.planes.len();
        for (position, &initial) in initial.iter().enumerate() {
            // Sums never rise, so the prefixes that do not stop come first; counting them needs no branch.
            let known = prefixes.planes.iter().zip(&prefixes.exact);
            let stops = |(&plane, dots): (&u32, &Vec<i64>)| test.stops(initial - (dots[position] << (bits - plane)));
            let n_low = n_prefixes - known.map(|prefix| usize::from(stops(prefix))).sum::<usize>();
            let high = n_low.min(n_prefixes - 1);
            let (high_plane, high_dot) = (prefixes.planes[high], prefixes.exact[high][position]);
            let (low_plane, low_dot) = match n_low.checked_sub(1) {
                Some(low) => (prefixes.planes[low], prefixes.exact[low][position]),
                None => (0, 0),
            };
            self.open[n_open] = Bracket {
                position,
                low: low_plane,
                high: high_plane,
                low_plane,
                low_dot,
                high_plane,
                high_dot,
                next: 0,
            };
            n_open += usize::from(n_low < n_prefixes);
        }
        self.open.truncate(n_open);
    }

    /// Narrows all brackets by bounds, writes the ends that are found, and chooses the next prefix of the others.
    fn narrow_all(&mut self, k: usize, initial: &[i64], ends: &mut [u8]) {
        let scaled = self.layer.weights.scaled_prefix_sums(k);
        let mut kept = 0;
        for index in 0..self.open.len() {
            let mut bracket = self.open[index];
            let initial = initial[bracket.position];
            let high_sum = self.psum(initial, bracket.high_plane, bracket.high_dot);
            self.lower_high(&mut bracket, high_sum);
            if bracket.low_plane > 0 {
                self.raise_low(&mut bracket, initial);
            }
            ends[bracket.position] = bracket.high as u8;
            if bracket.high - bracket.low > 1 {
                bracket.next = self.guess(&bracket, high_sum, scaled);
                self.open[kept] = bracket;
                kept += 1;
            }
        }
        self.open.truncate(kept);
    }

    /// Without its last n planes, a sum that stops is greater by at most `(2^n − 1) · unit`. It stops all the same while
    /// that does not reach 0.
    fn lower_high(&self, bracket: &mut Bracket, high_sum: i64) {
        let unit = self.tile.positive[bracket.position] << (self.bits - bracket.high_plane);
        let spare = match self.test {
            EndTest::Negative => -1 - high_sum,
            EndTest::NonPositive => -high_sum,
        };
        let n = (spare / unit.max(1) + 1).ilog2();
        bracket.high = bracket.high.min(bracket.high_plane.saturating_sub(n).max(bracket.low + 1));
    }

    /// The n planes after a prefix take at most `rest − rest / 2^n` off its sum, where `rest` is what all later planes
    /// and one more unit would take. The sum does not stop while that leaves enough.
    fn raise_low(&self, bracket: &mut Bracket, initial: i64) {
        let sum = self.psum(initial, bracket.low_plane, bracket.low_dot);
        let rest = self.tile.positive[bracket.position] << (self.bits - bracket.low_plane);
        let missing = match self.test {
            EndTest::Negative => rest - sum,
            EndTest::NonPositive => rest - sum + 1,
        };
        let n = if missing <= 0 { self.bits } else { (rest / missing).max(1).ilog2() };
        bracket.low = bracket.low.max((bracket.low_plane + n).min(bracket.high - 1));
    }

    /// The prefix strictly inside the bracket that most likely settles it: the one before the expected end, or the
    /// expected end itself where the one before is known.
    fn guess(&self, bracket: &Bracket, high_sum: i64, scaled: &[f64; 17]) -> u32 {
        // What one unit of the filter's scaled prefix sums is expected to stand for in this output's sum.
        let per_unit = if bracket.low_plane == 0 {
            let unit = (self.tile.positive[bracket.position] << (self.bits - bracket.high_plane)) as f64;
            unit * self.per_weight / f64::from(1_u32 << (16 - bracket.high_plane))
        } else {
            let taken = (bracket.high_dot << (16 - bracket.high_plane)) - (bracket.low_dot << (16 - bracket.low_plane));
            let per_word = taken as f64 / f64::from(1_u32 << (16 - self.bits));
            per_word / (scaled[bracket.high_plane as usize] - scaled[bracket.low_plane as usize]).max(1.0)
        };
        let zero = scaled[bracket.high_plane as usize] + high_sum as f64 / per_unit;
        let mut plane = bracket.low + 1;
        while plane < bracket.high && scaled[plane as usize] <= zero {
            plane += 1;
        }
        (plane - 1).max(bracket.low + 1)
    }

    /// Takes the dot products that the brackets wait for and moves their anchors.
    fn evaluate_all(&mut self, k: usize, initial: &[i64]) {
        let row = self.layer.weights.row(k);
        for first in (0..self.open.len()).step_by(GROUP) {
            let group = &self.open[first..(first + GROUP).min(self.open.len())];
            let of = |i: usize| &group[i.min(group.len() - 1)];
            let rows: [_; GROUP] = std::array::from_fn(|i| self.tile.row(of(i).position));
            let wrapped = dots_each(self.layer.isa, row, rows, std::array::from_fn(|i| 16 - of(i).next));
            for (index, wrapped) in (first..first + group.len()).zip(wrapped) {
                let mut bracket = self.open[index];
                let plane = bracket.next;
                let wrapped = wrapped.wrapping_add(self.layer.correction(k, plane));
                let least = if bracket.low_plane == 0 {
                    -(self.tile.positive[bracket.position] << (plane - 1))
                } else {
                    bracket.low_dot << (plane - bracket.low_plane)
                };
                let dot = unwrap(wrapped, least);
                if self.test.stops(self.psum(initial[bracket.position], plane, dot)) {
                    (bracket.high, bracket.high_plane, bracket.high_dot) = (plane, plane, dot);
                } else {
                    (bracket.low, bracket.low_plane, bracket.low_dot) = (plane, plane, dot);
                }
                self.open[index] = bracket;
            }
        }
    }
}
