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
    /// Weights of a filter.
    depth: f32,
    /// Per position: prefixes that do not stop.
    n_low: Vec<usize>,
    open: Vec<Bracket>,
}

/// The end position of an output is in `low + 1 ..= high`.
#[derive(Clone, Copy, Debug, Default)]
struct Bracket {
    position: u32,
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
        let (bits, depth) = (layer.problem.weight_bits, layer.problem.shape.inputs_per_output() as f32);
        Self { layer, tile, test, bits, depth, n_low: Vec::new(), open: Vec::new() }
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
        let test = self.test;
        // Sums never rise, so the prefixes that do not stop come first; counting them needs no branch.
        self.n_low.clear();
        self.n_low.resize(initial.len(), 0);
        for (&plane, dots) in prefixes.planes.iter().zip(&prefixes.exact) {
            let shift = self.bits - plane;
            let outputs = self.n_low.iter_mut().zip(initial).zip(dots);
            outputs.for_each(|((n, &initial), &dot)| *n += usize::from(!test.stops(initial - (dot << shift))));
        }
        self.open.clear();
        self.open.resize(initial.len(), Bracket::default());
        let mut n_open = 0;
        let last = prefixes.planes.len() - 1;
        for (position, &n_low) in self.n_low.iter().enumerate() {
            let (high, low) = (n_low.min(last), n_low.saturating_sub(1));
            let known = u32::from(n_low > 0);
            let low_plane = known * prefixes.planes[low];
            let high_plane = prefixes.planes[high];
            self.open[n_open] = Bracket {
                position: position as u32,
                low: low_plane,
                high: high_plane,
                low_plane,
                low_dot: i64::from(known) * prefixes.exact[low][position],
                high_plane,
                high_dot: prefixes.exact[high][position],
                next: 0,
            };
            n_open += usize::from(n_low <= last);
        }
        self.open.truncate(n_open);
    }

    /// Narrows all brackets by bounds, writes the ends that are found, and chooses the next prefix of the others.
    ///
    /// Whether a bracket closes, and how, is as good as random: the steps select instead of branching.
    fn narrow_all(&mut self, k: usize, initial: &[i64], ends: &mut [u8]) {
        let scaled = self.layer.weights.scaled_prefix_sums(k);
        let mut kept = 0;
        for index in 0..self.open.len() {
            let mut bracket = self.open[index];
            let position = bracket.position as usize;
            let (initial, mass) = (initial[position], self.tile.positive[position]);
            let high_sum = self.psum(initial, bracket.high_plane, bracket.high_dot);
            self.lower_high(&mut bracket, mass, high_sum);
            self.raise_low(&mut bracket, mass, initial);
            ends[position] = bracket.high as u8;
            bracket.next = self.guess(&bracket, mass, high_sum, scaled);
            self.open[kept] = bracket;
            kept += usize::from(bracket.high - bracket.low > 1);
        }
        self.open.truncate(kept);
    }

    /// Without its last n planes, a sum that stops is greater by at most `(2^n − 1) · unit`. It stops all the same while
    /// that does not reach 0.
    fn lower_high(&self, bracket: &mut Bracket, mass: i64, high_sum: i64) {
        let unit = mass << (self.bits - bracket.high_plane);
        let spare = -high_sum - i64::from(self.test == EndTest::Negative);
        let n = (spare / unit.max(1) + 1).ilog2();
        bracket.high = bracket.high.min(bracket.high_plane.saturating_sub(n).max(bracket.low + 1));
    }

    /// The n planes after a prefix take at most `rest − rest / 2^n` off its sum, where `rest` is what all later planes
    /// and one more unit would take. The sum does not stop while that leaves enough.
    fn raise_low(&self, bracket: &mut Bracket, mass: i64, initial: i64) {
        let sum = self.psum(initial, bracket.low_plane, bracket.low_dot);
        let rest = mass << (self.bits - bracket.low_plane);
        let missing = rest - sum + i64::from(self.test == EndTest::NonPositive);
        let some = (rest / missing.max(1)).max(1).ilog2();
        let n = if missing <= 0 { self.bits } else { some };
        // Nothing is known of a sum without any plane: the first one adds to it.
        let low = (bracket.low_plane + n).min(bracket.high - 1);
        bracket.low = if bracket.low_plane == 0 { bracket.low } else { bracket.low.max(low) };
    }

    /// The prefix inside the bracket that most likely settles it: the one before the expected end, or the expected end
    /// itself where the one before is known. Of no meaning for a closed bracket.
    fn guess(&self, bracket: &Bracket, mass: i64, high_sum: i64, scaled: &[f32; 16]) -> u32 {
        let [low, high] = [bracket.low_plane, bracket.high_plane];
        // How the filter's scaled prefix sums relate to this output's sums, each from the upper anchor to the lower one;
        // without a lower anchor, weights of the filter's mean would multiply the mass.
        let words = scaled[high as usize - 1] - scaled[(low as usize).max(1) - 1];
        let taken = (bracket.high_dot << (16 - high)) - (bracket.low_dot << (16 - low));
        let anchored = low > 0;
        let words = if anchored { words } else { self.depth };
        let taken = (if anchored { taken } else { mass }) as f32;
        let zero = scaled[high as usize - 1] + (high_sum << (16 - self.bits)) as f32 * words / taken;
        // The last of the 16 need not be told apart: it is no prefix inside a bracket.
        let mut before = 0;
        for step in [8, 4, 2, 1] {
            before = if scaled[before + step - 1] <= zero { before + step } else { before };
        }
        let before = before as u32;
        before.min(bracket.high - 1).max(bracket.low + 1)
    }

    /// Takes the dot products that the brackets wait for and moves their anchors.
    fn evaluate_all(&mut self, k: usize, initial: &[i64]) {
        let row = self.layer.weights.row(k);
        let (bits, test) = (self.bits, self.test);
        let corrections: [u32; 17] = std::array::from_fn(|plane| self.layer.correction(k, plane as u32));
        for first in (0..self.open.len()).step_by(GROUP) {
            let group = &self.open[first..(first + GROUP).min(self.open.len())];
            let of = |i: usize| &group[i.min(group.len() - 1)];
            let rows: [_; GROUP] = std::array::from_fn(|i| self.tile.row(of(i).position as usize));
            let wrapped = dots_each(self.layer.isa, row, rows, std::array::from_fn(|i| 16 - of(i).next));
            for (index, wrapped) in (first..first + group.len()).zip(wrapped) {
                let bracket = &mut self.open[index];
                let (plane, position) = (bracket.next, bracket.position as usize);
                let first = -(self.tile.positive[position] << (plane - 1));
                let later = bracket.low_dot << (plane - bracket.low_plane);
                let least = if bracket.low_plane == 0 { first } else { later };
                let dot = unwrap(wrapped.wrapping_add(corrections[plane as usize]), least);
                let stops = test.stops(initial[position] - (dot << (bits - plane)));
                bracket.high = if stops { plane } else { bracket.high };
                bracket.high_plane = if stops { plane } else { bracket.high_plane };
                bracket.high_dot = if stops { dot } else { bracket.high_dot };
                bracket.low = if stops { bracket.low } else { plane };
                bracket.low_plane = if stops { bracket.low_plane } else { plane };
                bracket.low_dot = if stops { bracket.low_dot } else { dot };
            }
        }
    }
}
