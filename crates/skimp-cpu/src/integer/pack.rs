//! Packed operands: negated, left-justified weights and channels-last activations, as rows of 16-bit lanes.

use rayon::prelude::*;
use skimp_graph::integer::end::ConvProblem;

use super::dots::{Isa, LANE, Lane, dots_each};

/// Filters as rows over (r, s, channel of the group), each padded with zeros to whole lanes.
///
/// An element is `−weight · 2^(16 − bits)`: the two's complement word of −W is the inverted word of W, so an
/// arithmetic shift right by `16 − p` leaves the bits of planes 1 to p, for any width.
#[derive(Debug)]
pub(super) struct PackedWeights {
    rows: Vec<Lane>,
    lanes: usize,
    /// `prefix_sums[k][p]`: the sum over filter `k` of the words of planes 1 to p.
    prefix_sums: Vec<[i64; 17]>,
    scaled_prefix_sums: Vec<[f32; 16]>,
}

impl PackedWeights {
    pub(super) fn new(problem: &ConvProblem, isa: Isa) -> Self {
        let depth = problem.shape.inputs_per_output();
        let lanes = depth.div_ceil(LANE);
        let taps = problem.shape.r() * problem.shape.s();
        let justify = 16 - problem.weight_bits;
        let mut rows = vec![Lane([0; LANE]); problem.shape.k() * lanes];
        let mut prefix_sums = vec![[0; 17]; problem.shape.k()];
        if depth > 0 {
            let filters = rows.par_chunks_mut(lanes).zip(problem.weights.par_chunks(depth)).zip(&mut prefix_sums);
            filters.for_each(|((lanes_of_row, filter), sums)| {
                let channels = filter.len() / taps;
                let row = lanes_of_row.as_flattened_lanes_mut();
                for (block, kernels) in filter.chunks(taps * LANE).enumerate() {
                    // A block of kernels stays in the first-level cache while tap after tap is taken out of it.
                    for tap in 0..taps {
                        let start = tap * channels + block * LANE;
                        let words = row[start..].iter_mut().zip(kernels[tap..].iter().step_by(taps));
                        words.for_each(|(word, &weight)| *word = (-weight << justify) as i16);
                    }
                }
                *sums = prefix_sums_of(isa, lanes_of_row);
            });
        }
        let scale = |sums: &[i64; 17]| std::array::from_fn(|i| (sums[i + 1] << (15 - i)) as f32);
        let scaled_prefix_sums = prefix_sums.iter().map(scale).collect();
        Self { rows, lanes, prefix_sums, scaled_prefix_sums }
    }

    /// Lanes of a row.
    pub(super) fn lanes(&self) -> usize {
        self.lanes
    }

    /// The row of filter `k`.
    pub(super) fn row(&self, k: usize) -> &[Lane] {
        &self.rows[k * self.lanes..(k + 1) * self.lanes]
    }

    /// The sums over filter `k` of its words with only planes 1 to p kept, for p = 1 to 16, in rising order.
    pub(super) fn scaled_prefix_sums(&self, k: usize) -> &[f32; 16] {
        &self.scaled_prefix_sums[k]
    }

    /// The sum over filter `k` of the words of planes 1 to `plane`.
    pub(super) fn prefix_sum(&self, k: usize, plane: u32) -> i64 {
        self.prefix_sums[k][plane as usize]
    }
}

/// Sums of the words of planes 1 to p of a row, for p = 0 to 16.
fn prefix_sums_of(isa: Isa, row: &[Lane]) -> [i64; 17] {
    // 512 lanes are 2^14 words of 16 bits: their sum stays within 32 bits.
    const PART: usize = 512;
    static ONES: [Lane; PART] = [Lane([1; LANE]); PART];
    let mut sums = [0; 17];
    for part in row.chunks(PART) {
        for first in [1, 9] {
            let shifts: [u32; 8] = std::array::from_fn(|i| 16 - (first + i as u32));
            let part_sums = dots_each(isa, part, [&ONES[..part.len()]; 8], shifts);
            let sums = &mut sums[first as usize..];
            sums.iter_mut().zip(part_sums).for_each(|(sum, part)| *sum += i64::from(part as i32));
        }
    }
    sums
}

/// Rows of lanes as one run of elements.
trait FlattenLanes {
    fn as_flattened_lanes_mut(&mut self) -> &mut [i16];
}

impl FlattenLanes for [Lane] {
    #[allow(unsafe_code, reason = "a lane is nothing but its elements")]
    fn as_flattened_lanes_mut(&mut self) -> &mut [i16] {
        // SAFETY: `Lane` is `repr(C)` around `[i16; 32]` and has the size of it (64 bytes, the alignment), so a run of
        // lanes is a run of 32 times as many `i16`, without padding.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().cast::<i16>(), self.len() * LANE) }
    }
}

/// The image, channels last, as `operand − center`.
///
/// Operands of more than 15 bits do not fit a signed word; the center moves them into it. Sums over centered operands
/// are corrected by `center ·` the sum of the weights.
#[derive(Debug)]
pub(super) struct PackedImage {
    pixels: Vec<i16>,
    padding: Vec<i16>,
    center: i32,
}

impl PackedImage {
    pub(super) fn new(problem: &ConvProblem) -> Self {
        let (_, max) = problem.operand_range();
        let center = (max - i32::from(i16::MAX)).max(0);
        let shift = problem.input_offset - center;
        let (c, hw) = (problem.shape.c(), problem.shape.h() * problem.shape.w());
        let mut pixels = vec![0; c * hw];
        // Blocks of 64 pixels keep the written lines in cache while one channel after another is read.
        pixels.par_chunks_mut((64 * c).max(1)).enumerate().for_each(|(block, out)| {
            let first = 64 * block;
            for channel in 0..c {
                let plane = &problem.activations[channel * hw..(channel + 1) * hw];
                let source = &plane[first..(first + 64).min(hw)];
                for (pixel, &activation) in out.chunks_exact_mut(c).zip(source) {
                    pixel[channel] = (activation + shift) as i16;
                }
            }
        });
        let run = problem.shape.c() * problem.shape.s().max(1);
        Self { pixels, padding: vec![shift as i16; run], center }
    }

    /// What was taken off the operands.
    pub(super) fn center(&self) -> i32 {
        self.center
    }
}

/// The operands of some output positions of one group, one row each, in the order of the filters' rows.
#[derive(Debug)]
pub(super) struct Tile {
    rows: Vec<Lane>,
    lanes: usize,
    n_positions: usize,
    /// Sum of the positive operands, per position.
    pub(super) positive: Vec<i64>,
    /// Minus the sum of the negative operands, per position.
    pub(super) negative: Vec<i64>,
}

impl Tile {
    /// A tile with room for `capacity` positions.
    pub(super) fn with_capacity(capacity: usize, lanes: usize) -> Self {
        let rows = vec![Lane([0; LANE]); capacity * lanes];
        Self { rows, lanes, n_positions: 0, positive: Vec::new(), negative: Vec::new() }
    }

    /// Number of positions.
    pub(super) fn len(&self) -> usize {
        self.n_positions
    }

    /// Greatest sum of the operands' magnitudes of a position.
    pub(super) fn mass(&self) -> i64 {
        let pairs = self.positive.iter().zip(&self.negative);
        pairs.map(|(positive, negative)| positive + negative).max().unwrap_or(0)
    }

    /// The row of a position of the tile. Beyond the last one, the last one.
    pub(super) fn row(&self, position: usize) -> &[Lane] {
        let position = position.min(self.n_positions - 1);
        &self.rows[position * self.lanes..(position + 1) * self.lanes]
    }

    /// Fills the tile with the positions `first .. first + n` of the output plane.
    pub(super) fn fill(&mut self, problem: &ConvProblem, image: &PackedImage, group: usize, first: usize, n: usize) {
        self.n_positions = n;
        self.positive.clear();
        self.negative.clear();
        let depth = problem.shape.inputs_per_output();
        for position in 0..n {
            let (p, q) = ((first + position) / problem.shape.q(), (first + position) % problem.shape.q());
            let row = &mut self.rows[position * self.lanes..(position + 1) * self.lanes];
            fill_row(problem, image, group, [p, q], &mut row.as_flattened_lanes_mut()[..depth]);
            let (positive, negative) = masses(&row.as_flattened_lanes_mut()[..depth], image.center);
            self.positive.push(positive);
            self.negative.push(negative);
        }
    }
}

fn fill_row(problem: &ConvProblem, image: &PackedImage, group: usize, [p, q]: [usize; 2], row: &mut [i16]) {
    let (c, h, w) = (problem.shape.c(), problem.shape.h() as isize, problem.shape.w() as isize);
    let channels = c / problem.shape.groups();
    let x0 = (q * problem.shape.strides()[1]) as isize - problem.shape.pads_begin()[1] as isize;
    let y0 = (p * problem.shape.strides()[0]) as isize - problem.shape.pads_begin()[0] as isize;
    let whole_runs = problem.shape.groups() == 1
        && problem.shape.dilations()[1] == 1
        && x0 >= 0
        && x0 + problem.shape.s() as isize <= w;
    for (r, taps) in row.chunks_exact_mut((problem.shape.s() * channels).max(1)).enumerate() {
        let y = y0 + (r * problem.shape.dilations()[0]) as isize;
        if y < 0 || y >= h {
            taps.copy_from_slice(&image.padding[..taps.len()]);
            continue;
        }
        if whole_runs {
            let start = (y * w + x0) as usize * c;
            taps.copy_from_slice(&image.pixels[start..start + taps.len()]);
            continue;
        }
        for (s, tap) in taps.chunks_exact_mut(channels).enumerate() {
            let x = x0 + (s * problem.shape.dilations()[1]) as isize;
            if x < 0 || x >= w {
                tap.copy_from_slice(&image.padding[..channels]);
            } else {
                let start = (y * w + x) as usize * c + group * channels;
                tap.copy_from_slice(&image.pixels[start..start + channels]);
            }
        }
    }
}

/// Sum of the positive operands, and minus the sum of the negative ones.
fn masses(row: &[i16], center: i32) -> (i64, i64) {
    let mut total = (0, 0);
    // 2^13 operands below 2^17 stay below 2^31.
    for part in row.chunks(1 << 13) {
        let (mut positive, mut all) = (0_i32, 0_i32);
        for &word in part {
            let operand = i32::from(word) + center;
            positive += operand.max(0);
            all += operand;
        }
        total.0 += i64::from(positive);
        total.1 += i64::from(positive) - i64::from(all);
    }
    total
}
