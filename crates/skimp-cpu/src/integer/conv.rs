//! The tiles of a convolution: exact sums from wrapped dot products.

use std::ops::Range;

use rayon::prelude::*;
use skimp_graph::integer::end::{ConvProblem, EndPlanes};
use skimp_numerics::EndTest;

use super::dots::{Isa, Lane, dots};
use super::pack::{PackedImage, PackedWeights, Tile};
use super::refine::Refiner;
use super::wide;

/// Filters and positions whose dot products are taken together: 24 accumulators of the 32 registers.
const FILTERS: usize = 4;
const POSITIONS: usize = 6;
/// Lanes of a row taken at a time, so that `FILTERS + POSITIONS` rows stay in the first-level cache.
const DEPTH_LANES: usize = 32;
/// Bytes of a tile, within a second-level cache.
const TILE_BYTES: usize = 640 << 10;
/// Most positions of a tile.
const MAX_POSITIONS: usize = 192;
/// Tasks per thread, for an even load.
const TASKS_PER_THREAD: usize = 8;

/// What the tiles of a layer share.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    pub(super) problem: &'a ConvProblem<'a>,
    pub(super) weights: PackedWeights,
    pub(super) image: PackedImage,
    pub(super) isa: Isa,
}

/// Some positions of some filters of one group, and where their results go, one slice per filter.
struct Task<'o> {
    group: usize,
    first_filter: usize,
    first_position: usize,
    sums: Vec<&'o mut [i64]>,
    planes: Vec<&'o mut [u8]>,
}

/// Sums of a validated problem, and the end positions if `end` says how to find them (else `planes` is empty).
pub(super) fn run(problem: &ConvProblem, end: Option<EndTest>, isa: Isa) -> EndPlanes {
    let n_positions = problem.shape.p() * problem.shape.q();
    let n_outputs = problem.shape.k() * n_positions;
    let mut sums = vec![0; n_outputs];
    let mut planes = vec![0; if end.is_some() { n_outputs } else { 0 }];
    if n_outputs > 0 {
        let layer = Layer { problem, weights: PackedWeights::new(problem, isa), image: PackedImage::new(problem), isa };
        let tasks = split(&layer, &mut sums, &mut planes);
        tasks.into_par_iter().for_each(|task| run_task(&layer, task, end));
    }
    EndPlanes { planes, sums }
}

fn split<'o>(layer: &Layer, sums: &'o mut [i64], planes: &'o mut [u8]) -> Vec<Task<'o>> {
    let problem = layer.problem;
    let n_positions = problem.shape.p() * problem.shape.q();
    let row_bytes = (layer.weights.lanes() * size_of::<Lane>()).max(1);
    let fitting = (TILE_BYTES / row_bytes).clamp(POSITIONS, MAX_POSITIONS) / POSITIONS * POSITIONS;
    let n_tiles = n_positions.div_ceil(fitting);
    let positions = n_positions.div_ceil(n_tiles).next_multiple_of(POSITIONS);
    let n_tiles = n_positions.div_ceil(positions);
    let filters_of_group = problem.shape.k() / problem.shape.groups();
    let wanted = (TASKS_PER_THREAD * rayon::current_num_threads()).div_ceil(n_tiles * problem.shape.groups());
    let filters = filters_of_group.div_ceil(wanted).next_multiple_of(FILTERS).min(filters_of_group);
    let chunks_of_group = filters_of_group.div_ceil(filters);

    let mut tasks = Vec::with_capacity(problem.shape.groups() * chunks_of_group * n_tiles);
    for group in 0..problem.shape.groups() {
        for chunk in 0..chunks_of_group {
            let first_filter = group * filters_of_group + chunk * filters;
            let starts = (0..n_positions).step_by(positions);
            tasks.extend(starts.map(|first_position| Task {
                group,
                first_filter,
                first_position,
                sums: Vec::new(),
                planes: Vec::new(),
            }));
        }
    }
    let task_of = |k: usize| (k / filters_of_group * chunks_of_group + k % filters_of_group / filters) * n_tiles;
    for (k, row) in sums.chunks_mut(n_positions).enumerate() {
        for (tile, part) in row.chunks_mut(positions).enumerate() {
            tasks[task_of(k) + tile].sums.push(part);
        }
    }
    for (k, row) in planes.chunks_mut(n_positions).enumerate() {
        for (tile, part) in row.chunks_mut(positions).enumerate() {
            tasks[task_of(k) + tile].planes.push(part);
        }
    }
    tasks
}

fn run_task(layer: &Layer, mut task: Task, end: Option<EndTest>) {
    let n = task.sums[0].len();
    let mut tile = Tile::with_capacity(n, layer.weights.lanes());
    tile.fill(layer.problem, &layer.image, task.group, task.first_position, n);
    let mut prefixes = Prefixes::new(layer.problem.weight_bits, &tile, end.is_some());
    let mut refiner = end.map(|test| Refiner::new(layer, &tile, test));
    let mut initial = vec![0; n];
    for first in (0..task.sums.len()).step_by(FILTERS) {
        let n_filters = FILTERS.min(task.sums.len() - first);
        let filters: [usize; FILTERS] = std::array::from_fn(|f| task.first_filter + first + f.min(n_filters - 1));
        prefixes.compute(layer, &tile, filters);
        for (f, &k) in filters[..n_filters].iter().enumerate() {
            prefixes.resolve(layer, &tile, f, k);
            initial_sums(layer.problem, k, task.first_position, &mut initial);
            let sums = initial.iter().zip(prefixes.last()).map(|(initial, dot)| initial - dot);
            task.sums[first + f].iter_mut().zip(sums).for_each(|(out, sum)| *out = sum);
            if let Some(refiner) = &mut refiner {
                refiner.run(k, &initial, &prefixes, task.planes[first + f]);
            }
        }
    }
}

/// Bias plus residual of the positions `first ..` of filter `k`.
fn initial_sums(problem: &ConvProblem, k: usize, first: usize, sums: &mut [i64]) {
    sums.fill(problem.bias[k]);
    if let Some(residual) = problem.residual {
        let row = &residual[k * problem.shape.p() * problem.shape.q() + first..];
        sums.iter_mut().zip(row).for_each(|(sum, residual)| *sum += residual);
    }
}

/// Dot products of a tile with the leading planes of some filters' weights.
#[derive(Debug)]
pub(super) struct Prefixes {
    /// Numbers of leading planes, rising; the last is all of them.
    pub(super) planes: Vec<u32>,
    /// Dot products of one filter, per entry of `planes` and position: `Σ (−W >> (bits − plane)) · operand`.
    pub(super) exact: Vec<Vec<i64>>,
    /// The same modulo 2^32 and of centered operands, `[plane][filter][position]`.
    wrapped: Vec<u32>,
    n_positions: usize,
    /// Per entry of `planes` and position, see [`greatest_drop`].
    drops: Vec<Vec<i64>>,
    /// Whether sums need 64 bits throughout.
    wide: bool,
}

impl Prefixes {
    fn new(bits: u32, tile: &Tile, end: bool) -> Self {
        let width = digit_width(tile.mass()).min(bits);
        let planes: Vec<u32> = match width {
            0 if end => (1..=bits).collect(),
            0 => vec![bits],
            width => {
                let n = bits.div_ceil(width);
                (1..=n).map(|j| (j * bits).div_ceil(n)).collect()
            }
        };
        let n = tile.len().next_multiple_of(POSITIONS);
        let exact = vec![vec![0; tile.len()]; planes.len()];
        let drops_of = |index: usize| {
            let digits = planes[index] - index.checked_sub(1).map_or(0, |i| planes[i]);
            let masses = tile.positive.iter().zip(&tile.negative);
            masses.map(|(&positive, &negative)| greatest_drop(digits, index == 0, positive, negative)).collect()
        };
        let drops = if width == 0 { Vec::new() } else { (0..planes.len()).map(drops_of).collect() };
        let wrapped = vec![0; planes.len() * FILTERS * n];
        Self { planes, exact, wrapped, n_positions: n, drops, wide: width == 0 }
    }

    /// Dot products of all bits with the filter last resolved.
    fn last(&self) -> &[i64] {
        self.exact.last().map_or(&[], Vec::as_slice)
    }

    /// Takes the wrapped dot products of `filters`.
    fn compute(&mut self, layer: &Layer, tile: &Tile, filters: [usize; FILTERS]) {
        if self.wide {
            return;
        }
        self.wrapped.fill(0);
        let lanes = layer.weights.lanes();
        let rows = filters.map(|k| layer.weights.row(k));
        for start in (0..lanes).step_by(DEPTH_LANES) {
            let depth = start..(start + DEPTH_LANES).min(lanes);
            if tile.len() == 1 {
                // A dense layer.
                self.accumulate::<1>(layer.isa, rows, tile, 0, depth);
                continue;
            }
            for first in (0..tile.len()).step_by(POSITIONS) {
                self.accumulate::<POSITIONS>(layer.isa, rows, tile, first, depth.clone());
            }
        }
    }

    /// Adds the dot products over some lanes of P positions.
    fn accumulate<const P: usize>(
        &mut self,
        isa: Isa,
        rows: [&[Lane]; FILTERS],
        tile: &Tile,
        first: usize,
        depth: Range<usize>,
    ) {
        let weights = rows.map(|row| &row[depth.clone()]);
        let activations: [_; P] = std::array::from_fn(|i| &tile.row(first + i)[depth.clone()]);
        for (index, &plane) in self.planes.iter().enumerate() {
            let block = dots(isa, weights, activations, 16 - plane);
            for (f, block) in block.iter().enumerate() {
                let at = (index * FILTERS + f) * self.n_positions + first;
                let out = &mut self.wrapped[at..at + P];
                out.iter_mut().zip(block).for_each(|(sum, part)| *sum = sum.wrapping_add(*part));
            }
        }
    }

    /// Turns the wrapped dot products of filter `k`, the `f`-th of those computed, into exact ones.
    fn resolve(&mut self, layer: &Layer, tile: &Tile, f: usize, k: usize) {
        if self.wide {
            let (row, center) = (layer.weights.row(k), layer.image.center());
            for (&plane, exact) in self.planes.iter().zip(&mut self.exact) {
                for (position, dot) in exact.iter_mut().enumerate() {
                    *dot = wide::prefix_dot(row, tile.row(position), center, 16 - plane);
                }
            }
            return;
        }
        for (index, &plane) in self.planes.iter().enumerate() {
            let correction = layer.correction(k, plane);
            let at = (index * FILTERS + f) * self.n_positions;
            let wrapped = &self.wrapped[at..at + tile.len()];
            let (before, after) = self.exact.split_at_mut(index);
            let exact = after[0].iter_mut().zip(wrapped).zip(&self.drops[index]);
            match before.last() {
                None => {
                    exact.for_each(|((dot, &wrapped), &drop)| *dot = unwrap(wrapped.wrapping_add(correction), -drop))
                }
                Some(previous) => {
                    let d = plane - self.planes[index - 1];
                    exact.zip(previous).for_each(|(((dot, &wrapped), &drop), &previous)| {
                        *dot = unwrap(wrapped.wrapping_add(correction), (previous << d) - drop);
                    });
                }
            }
        }
    }
}

impl Layer<'_> {
    /// What centered operands leave out of a dot product with the leading planes of filter `k`, modulo 2^32.
    pub(super) fn correction(&self, k: usize, plane: u32) -> u32 {
        (self.weights.prefix_sum(k, plane).wrapping_mul(i64::from(self.image.center()))) as u32
    }
}

/// Greatest number of planes d, at most 16, with `(2^d − 1) · mass < 2^32`.
fn digit_width(mass: i64) -> u32 {
    (1..=16).rev().find(|&d| ((1_i64 << d) - 1).saturating_mul(mass) < 1 << 32).unwrap_or(0)
}

/// How far below `previous << digits` a dot product may lie that has `digits` more planes than the previous one (0 in
/// all where `first`).
///
/// The digits added to a weight are `0 ..= 2^d − 1`, or `−2^(d−1) ..= 2^(d−1) − 1` where they are the first, so the dot
/// product lies in a window of at most `(2^d − 1) · (positive + negative) < 2^32` values above its least one.
fn greatest_drop(digits: u32, first: bool, positive: i64, negative: i64) -> i64 {
    if first {
        (positive << (digits - 1)) + (negative << (digits - 1)) - negative
    } else {
        (negative << digits) - negative
    }
}

/// The number that is `wrapped` modulo 2^32, among the 2^32 numbers from `least` on.
pub(super) fn unwrap(wrapped: u32, least: i64) -> i64 {
    least + i64::from(wrapped.wrapping_sub(least as u32))
}
