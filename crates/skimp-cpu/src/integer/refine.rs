//! The search for end positions between the weight prefixes whose sums are known.
//!
//! Partial sums never rise, so an end position lies after the last prefix that does not stop and not after the first
//! that does. What lies between is narrowed by bounds that cost nothing (a plane takes 0 to `mass` units off the sum),
//! then by exact dot products at the plane where interpolation expects the end. Interpolation decides how much work
//! is done, never the result.

use skimp_numerics::EndTest;

use super::conv::{Layer, Prefixes, Window};
use super::dots::dots;
use super::pack::Tile;

/// Outputs of one filter whose dot products are taken together.
const GROUP: usize = 8;

/// Finds the end positions of one tile, filter by filter.
#[derive(Debug)]
pub(super) struct Refiner<'a> {
    layer: &'a Layer<'a>,
    tile: &'a Tile,
    test: EndTest,
    open: Vec<Bracket>,
    /// Indices into `open` by the plane that each waits for.
    waiting: [Vec<usize>; 17],
}

/// The end position of an output is in `low + 1 ..= high`.
#[derive(Clone, Copy, Debug)]
struct Bracket {
    position: usize,
    low: u32,
    high: u32,
    /// The last prefix whose sum is known not to stop (0: none), and its dot product.
    low_anchor: (u32, i64),
    /// The first prefix whose sum is known to stop, and its dot product.
    high_anchor: (u32, i64),
}

impl<'a> Refiner<'a> {
    pub(super) fn new(layer: &'a Layer<'a>, tile: &'a Tile, test: EndTest) -> Self {
        Self { layer, tile, test, open: Vec::new(), waiting: Default::default() }
    }

    /// End positions of filter `k` with the given initial sums, from exact dot products of some prefixes.
    pub(super) fn run(&mut self, k: usize, initial: &[i64], prefixes: &Prefixes, ends: &mut [u8]) {
        let bits = self.layer.problem.weight_bits;
        let filter = Filter { k, bits, initial, layer: self.layer, tile: self.tile, test: self.test };
        self.open.clear();
        for (position, end) in ends.iter_mut().enumerate() {
            *end = bits as u8;
            let known = prefixes.planes.iter().zip(&prefixes.exact).map(|(&plane, dots)| (plane, dots[position]));
            let mut low_anchor = (0, 0);
            for (plane, dot) in known {
                if filter.stops(position, plane, dot) {
                    let bracket =
                        Bracket { position, low: low_anchor.0, high: plane, low_anchor, high_anchor: (plane, dot) };
                    self.open.push(bracket);
                    break;
                }
                low_anchor = (plane, dot);
            }
        }
        while !self.open.is_empty() {
            self.choose(&filter, ends);
            for plane in 1..bits {
                self.evaluate(&filter, plane);
            }
        }
    }

    /// Narrows all brackets, writes the ends that are found, and queues the others.
    fn choose(&mut self, filter: &Filter, ends: &mut [u8]) {
        let mut kept = 0;
        for index in 0..self.open.len() {
            let mut bracket = self.open[index];
            filter.narrow(&mut bracket);
            if bracket.high - bracket.low == 1 {
                ends[bracket.position] = bracket.high as u8;
                continue;
            }
            self.waiting[filter.guess(&bracket) as usize].push(kept);
            self.open[kept] = bracket;
            kept += 1;
        }
        self.open.truncate(kept);
    }

    /// Takes the dot products that wait for `plane` and moves the brackets' anchors.
    fn evaluate(&mut self, filter: &Filter, plane: u32) {
        let row = self.layer.weights.row(filter.k);
        let correction = self.layer.correction(filter.k, plane);
        for group in self.waiting[plane as usize].chunks(GROUP) {
            let index = |i: usize| group[i.min(group.len() - 1)];
            let rows: [_; GROUP] = std::array::from_fn(|i| self.tile.row(self.open[index(i)].position));
            let [wrapped] = dots(self.layer.isa, [row], rows, 16 - plane);
            for (&index, wrapped) in group.iter().zip(wrapped) {
                let bracket = &mut self.open[index];
                let (previous, before) = bracket.low_anchor;
                let mass = self.tile.masses[bracket.position];
                let dot = Window { plane, previous }.unwrap(wrapped.wrapping_add(correction), before, mass);
                if filter.stops(bracket.position, plane, dot) {
                    (bracket.high, bracket.high_anchor) = (plane, (plane, dot));
                } else {
                    (bracket.low, bracket.low_anchor) = (plane, (plane, dot));
                }
            }
        }
        self.waiting[plane as usize].clear();
    }
}

/// One filter over one tile.
struct Filter<'a> {
    k: usize,
    bits: u32,
    initial: &'a [i64],
    layer: &'a Layer<'a>,
    tile: &'a Tile,
    test: EndTest,
}

impl Filter<'_> {
    /// The partial sum after `plane`, from the dot product with the planes up to it.
    fn psum(&self, position: usize, plane: u32, dot: i64) -> i64 {
        self.initial[position] - (dot << (self.bits - plane))
    }

    fn stops(&self, position: usize, plane: u32, dot: i64) -> bool {
        self.test.stops(self.psum(position, plane, dot))
    }

    /// Moves the ends of the bracket inwards as far as bounds prove: the planes after p take `0 ..= (2^n − 1) · mass`
    /// units of the last of n planes off the sum.
    fn narrow(&self, bracket: &mut Bracket) {
        let mass = self.tile.masses[bracket.position].0;
        let (anchor, dot) = bracket.high_anchor;
        let unit = mass << (self.bits - anchor);
        let sum = self.psum(bracket.position, anchor, dot);
        while bracket.high - bracket.low > 1 {
            let taken = ((1_i64 << (anchor - bracket.high + 1)) - 1) * unit;
            if !self.test.stops(sum + taken) {
                break;
            }
            bracket.high -= 1;
        }
        let (anchor, dot) = bracket.low_anchor;
        if anchor == 0 {
            return;
        }
        let sum = self.psum(bracket.position, anchor, dot);
        while bracket.high - bracket.low > 1 {
            let plane = bracket.low + 1;
            let taken = ((1_i64 << (plane - anchor)) - 1) * (mass << (self.bits - plane));
            if self.test.stops(sum - taken) {
                break;
            }
            bracket.low += 1;
        }
    }

    /// The plane strictly inside the bracket that most likely settles it.
    fn guess(&self, bracket: &Bracket) -> u32 {
        let (high, high_dot) = bracket.high_anchor;
        let (low, low_dot) = bracket.low_anchor;
        // Sum over the filter of the digits between a plane and the upper anchor.
        let rest = |plane: u32| {
            let kept = self.layer.weights.prefix_sum(self.k, plane) << (high - plane);
            (self.layer.weights.prefix_sum(self.k, high) - kept) as f64
        };
        let sum = self.psum(bracket.position, high, high_dot) as f64;
        let per_digit = if low == 0 {
            let mass = self.tile.masses[bracket.position].0 as f64;
            mass * f64::from(1_u32 << (self.bits - high)) / self.layer.problem.depth() as f64
        } else {
            (self.psum(bracket.position, low, low_dot) as f64 - sum) / rest(low).max(1.0)
        };
        let expected = (bracket.low + 1..bracket.high).find(|&plane| sum + per_digit * rest(plane) < 0.0);
        match expected {
            // The plane before the expected end, unless it is known already.
            Some(plane) => (plane - 1).max(bracket.low + 1),
            None => bracket.high - 1,
        }
    }
}
