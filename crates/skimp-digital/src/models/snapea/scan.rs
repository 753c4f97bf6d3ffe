//! Multiply-accumulates of every output, by running each kernel over blocks of windows at once.

use rayon::prelude::*;
use skimp_sim::LayerWorkload;

use super::order::{KernelOrder, Prediction};

/// Windows that one block holds, junk between rows included.
const BLOCK: usize = 512;

/// Activations of one image, padded, with strides taken apart so that the windows of any tap are contiguous.
#[derive(Debug)]
pub(super) struct Field {
    codes: Vec<u32>,
    pitch: usize,
    plane: usize,
    p: usize,
    q: usize,
}

impl Field {
    pub(super) fn new(layer: &LayerWorkload, activation: &[i32]) -> Self {
        let [sy, sx] = layer.shape.strides();
        let reach =
            |kernel: usize, axis: usize| (kernel - 1) * layer.shape.dilations()[axis] / layer.shape.strides()[axis] + 1;
        let (rows, pitch) = (layer.shape.p() + reach(layer.shape.r(), 0), layer.shape.q() + reach(layer.shape.s(), 1));
        let plane = rows * pitch;
        let mut codes = vec![0; layer.shape.c() * sy * sx * plane + BLOCK];
        codes[..layer.shape.c() * sy * sx * plane].par_chunks_mut((sy * sx * plane).max(1)).enumerate().for_each(
            |(c, field)| {
                for y in 0..layer.shape.h() {
                    let padded = y + layer.shape.pads_begin()[0];
                    let (phase, row) = (padded % sy, padded / sy);
                    if row >= rows {
                        break;
                    }
                    for x in 0..layer.shape.w() {
                        let padded = x + layer.shape.pads_begin()[1];
                        let column = padded / sx;
                        if column < pitch {
                            let code = activation[(c * layer.shape.h() + y) * layer.shape.w() + x];
                            field[(phase * sx + padded % sx) * plane + row * pitch + column] = code.unsigned_abs();
                        }
                    }
                }
            },
        );
        Field { codes, pitch, plane, p: layer.shape.p(), q: layer.shape.q() }
    }

    /// Sum of the activations of each channel.
    pub(super) fn channel_sums(&self, layer: &LayerWorkload) -> Vec<u64> {
        let per_channel = layer.shape.strides()[0] * layer.shape.strides()[1] * self.plane;
        let sum = |codes: &[u32]| codes.iter().map(|&code| u64::from(code)).sum();
        self.codes[..layer.shape.c() * per_channel].chunks_exact(per_channel).map(sum).collect()
    }

    /// Where the inputs of weight `idx` of a filter of `group` begin.
    fn offset(&self, layer: &LayerWorkload, group: usize, idx: usize) -> usize {
        let [sy, sx] = layer.shape.strides();
        let (c, tap) = (idx / (layer.shape.r() * layer.shape.s()), idx % (layer.shape.r() * layer.shape.s()));
        let (y, x) =
            (tap / layer.shape.s() * layer.shape.dilations()[0], tap % layer.shape.s() * layer.shape.dilations()[1]);
        let channel = group * layer.shape.channels_per_group() + c;
        ((channel * sy + y % sy) * sx + x % sx) * self.plane + y / sy * self.pitch + x / sx
    }
}

/// One kernel, ready to run.
#[derive(Debug)]
struct Steps {
    /// Where the inputs begin, and the weight.
    steps: Vec<(usize, i32)>,
    n_speculation: usize,
    n_positive: usize,
    threshold: Option<i64>,
}

impl Steps {
    fn new(field: &Field, layer: &LayerWorkload, filter: usize, order: &KernelOrder, threshold: Option<i64>) -> Self {
        let depth = layer.shape.inputs_per_output();
        let weights = layer.weights.as_deref().unwrap_or_default();
        let group = filter / layer.shape.filters_per_group();
        let in_order = order.speculation.iter().chain(&order.positive).chain(&order.negative);
        let step = |&idx: &usize| (field.offset(layer, group, idx), weights[filter * depth + idx]);
        Steps {
            steps: in_order.map(step).collect(),
            n_speculation: order.speculation.len(),
            n_positive: order.positive.len(),
            threshold,
        }
    }
}

/// What the windows of one filter took.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Executed multiply-accumulates of each output, and whether it was predicted negative.
    pub(super) counts: Vec<(u32, bool)>,
    /// Sum of each output over all its weights, whatever was executed; empty where it is not at hand.
    pub(super) sums: Vec<i64>,
}

impl Scan {
    /// Outputs that differ from the exact sums, or stopped although theirs is not negative; `weights` are those in use.
    pub(super) fn n_different(&self, exact: &[i64], weights: usize) -> u64 {
        let stopped = |&(macs, predicted): &(u32, bool)| !predicted && (macs as usize) < weights;
        let wrong_stops = self.counts.iter().zip(exact).filter(|&(count, &sum)| stopped(count) && sum >= 0).count();
        let wrong_sums = self.sums.iter().zip(exact).filter(|(sum, exact)| sum != exact).count();
        (wrong_stops + wrong_sums) as u64
    }
}

/// The multiply-accumulates of filter `filter`.
pub(super) fn scan_filter(
    field: &Field,
    layer: &LayerWorkload,
    filter: usize,
    (order, prediction): (&KernelOrder, Option<Prediction>),
    starts: &[i64],
) -> Scan {
    let kernel = Steps::new(field, layer, filter, order, prediction.map(|prediction| prediction.threshold));
    let mut counts = vec![(0, false); field.p * field.q];
    let mut sums = vec![0; field.p * field.q];
    let rows = (BLOCK / field.pitch).clamp(1, field.p);
    let mut block = Block::default();
    for first in (0..field.p).step_by(rows) {
        let here = rows.min(field.p - first);
        let mut column = 0;
        while column < field.q {
            // Whole rows where they fit, else pieces of one row.
            let width = if here * field.pitch <= BLOCK { field.q } else { BLOCK.min(field.q - column) };
            let len = (here - 1) * field.pitch + width;
            let at = |row: usize, x: usize| (first + row) * field.q + column + x;
            block.start(len, |sums| {
                for row in 0..here {
                    for x in 0..width {
                        sums[row * field.pitch + x] = starts[at(row, x)];
                    }
                }
            });
            block.run(&kernel, &field.codes[first * field.pitch + column..]);
            for row in 0..here {
                for x in 0..width {
                    counts[at(row, x)] = block.outcome(&kernel, row * field.pitch + x);
                    sums[at(row, x)] = block.sums[row * field.pitch + x];
                }
            }
            column += width;
        }
    }
    Scan { counts, sums }
}

/// Partial sums of neighboring windows.
#[derive(Debug, Default)]
struct Block {
    sums: Vec<i64>,
    /// Sign checks that found a negative sum.
    stops: Vec<u64>,
    predicted: Vec<bool>,
}

impl Block {
    fn start(&mut self, len: usize, fill: impl FnOnce(&mut [i64])) {
        self.sums.clear();
        self.sums.resize(len, 0);
        fill(&mut self.sums);
        self.stops.clear();
        self.stops.resize(len, 0);
        self.predicted.clear();
        self.predicted.resize(len, false);
    }

    fn run(&mut self, kernel: &Steps, codes: &[u32]) {
        let len = self.sums.len();
        let checked = kernel.n_speculation + kernel.n_positive;
        for (done, &(offset, weight)) in kernel.steps[..checked].iter().enumerate() {
            if done == kernel.n_speculation {
                self.predict(kernel);
            }
            add(&mut self.sums, &codes[offset..offset + len], weight);
        }
        if checked == kernel.n_speculation {
            self.predict(kernel);
        }
        for &(offset, weight) in &kernel.steps[checked..] {
            subtract_and_check(&mut self.sums, &mut self.stops, &codes[offset..offset + len], weight.unsigned_abs());
        }
    }

    fn predict(&mut self, kernel: &Steps) {
        if let Some(threshold) = kernel.threshold {
            self.predicted.iter_mut().zip(&self.sums).for_each(|(predicted, &sum)| *predicted = sum <= threshold);
        }
    }

    fn outcome(&self, kernel: &Steps, position: usize) -> (u32, bool) {
        if self.predicted[position] {
            return (kernel.n_speculation as u32, true);
        }
        // A negative sum stays negative: the first one is followed by such only.
        let in_vain = self.stops[position].saturating_sub(1);
        (kernel.steps.len() as u32 - in_vain as u32, false)
    }
}

fn add(sums: &mut [i64], codes: &[u32], weight: i32) {
    let magnitude = u64::from(weight.unsigned_abs());
    if weight > 0 {
        sums.iter_mut().zip(codes).for_each(|(sum, &code)| *sum += (u64::from(code) * magnitude) as i64);
    } else {
        sums.iter_mut().zip(codes).for_each(|(sum, &code)| *sum -= (u64::from(code) * magnitude) as i64);
    }
}

fn subtract_and_check(sums: &mut [i64], stops: &mut [u64], codes: &[u32], magnitude: u32) {
    for ((sum, stops), &code) in sums.iter_mut().zip(stops).zip(codes) {
        *sum -= (u64::from(code) * u64::from(magnitude)) as i64;
        *stops += (*sum as u64) >> 63;
    }
}

/// Multiply-accumulates of each output if the negative part ran by the size of each window's products: the fewest of any
/// order.
pub(super) fn scan_oracle(
    field: &Field,
    layer: &LayerWorkload,
    filter: usize,
    order: &KernelOrder,
    starts: &[i64],
) -> Scan {
    let kernel = Steps::new(field, layer, filter, order, None);
    let mut products = Vec::new();
    let of_window = |(window, &start): (usize, &i64)| {
        let at = window / field.q * field.pitch + window % field.q;
        let product = |&(offset, weight): &(usize, i32)| i64::from(field.codes[offset + at]) * i64::from(weight);
        let mut sum = start + kernel.steps[..kernel.n_positive].iter().map(product).sum::<i64>();
        products.clear();
        products.extend(kernel.steps[kernel.n_positive..].iter().map(product).filter(|&product| product < 0));
        if sum + products.iter().sum::<i64>() >= 0 {
            return (kernel.steps.len() as u32, false);
        }
        products.sort_unstable();
        let falls = |&product: &i64| {
            sum += product;
            sum < 0
        };
        // A sum that is negative from the start is found so by the first check.
        let checked = products.iter().position(falls).map_or(1, |position| position as u32 + 1);
        ((kernel.n_positive as u32 + checked).min(kernel.steps.len() as u32), false)
    };
    Scan { counts: starts.iter().enumerate().map(of_window).collect(), sums: Vec::new() }
}

/// Adds the products of filter `filter`'s weights `speculation` to `sums`, `[p, q]`; `activation` is `[c, h, w]`.
pub(super) fn speculate(
    layer: &LayerWorkload,
    activation: &[i32],
    filter: usize,
    speculation: &[usize],
    sums: &mut [i64],
) {
    let (depth, taps) = (layer.shape.inputs_per_output(), layer.shape.r() * layer.shape.s());
    let weights = layer.weights.as_deref().unwrap_or_default();
    let first_channel = filter / layer.shape.filters_per_group() * layer.shape.channels_per_group();
    for &idx in speculation {
        let (channel, tap) = (first_channel + idx / taps, idx % taps);
        let weight = i64::from(weights[filter * depth + idx]);
        let (rows, cols) = (layer.shape.rows(), layer.shape.cols());
        let (row_tap, column_tap) = (tap / cols.kernel, tap % cols.kernel);
        let columns = cols.windows(column_tap);
        for row in rows.windows(row_tap) {
            let y = rows.input_idx(row, row_tap);
            let line = &activation[(channel * rows.input + y) * cols.input..][..cols.input];
            let first = columns.start * cols.stride + column_tap * cols.dilation;
            let codes = line[first.saturating_sub(cols.pad_begin).min(cols.input)..].iter();
            let sums = sums[row * cols.output..][columns.clone()].iter_mut();
            sums.zip(codes.step_by(cols.stride)).for_each(|(sum, &code)| *sum += i64::from(code) * weight);
        }
    }
}
