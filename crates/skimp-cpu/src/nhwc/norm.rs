//! Batch normalization for training, fused with a residual addition and ReLU.
//!
//! Channels are few in places, so the kernels see the tensor as rows of at least 128 elements: `g = ceil(128 / c)`
//! pixels to a row, with the channels' constants repeated.

#![allow(unsafe_code, reason = "shares the dispatch of the vector instructions")]

use std::ops::Range;

use rayon::prelude::*;

use super::arith::{self, Arith, Arithmetic, Task};
use super::workspace::{ThreadScratch, Workspace, grown};
use crate::kernels::Isa;

/// Elements that a row has at least.
const ROW: usize = 128;

/// Rows whose f32 sums are added before they go into f64 sums.
const BLOCK_ROWS: usize = 16;

/// Rows that are summed by one unit.
const RANGE_ROWS: usize = 64;

/// What follows the normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rectifier {
    /// Nothing.
    Identity,
    /// `max(x, 0)`; its gradient passes where the output is positive.
    Relu,
}

/// Constants of a batch normalization, one for each channel.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a> {
    /// Mean of the batch (or the running mean).
    pub mean: &'a [f32],
    /// `1 / sqrt(variance + epsilon)`.
    pub inverse_deviation: &'a [f32],
    /// Multiplied with the normalized value.
    pub scale: &'a [f32],
    /// Added to the product.
    pub shift: &'a [f32],
}

/// Pixels to a row.
fn row_pixels(c: usize) -> usize {
    ROW.div_ceil(c)
}

/// Repeats the channels' constants over a row.
fn repeat(to: &mut [f32], c: usize, value: impl Fn(usize) -> f32) {
    to[..c].iter_mut().enumerate().for_each(|(channel, to)| *to = value(channel));
    repeat_first(to, c);
}

/// Mean and (biased) variance of each channel.
///
/// # Shapes
/// `x`: `[pixels][c]`; `mean`, `variance`: `[c]`.
///
/// # Rounding
/// Differences `d` to the first pixel are summed, with their squares, in f32 over blocks of `16 · g` pixels
/// (`g = ceil(128 / c)`, pixel `i` into the partial sum `i mod g`), and the partial sums in f64 in order. The mean is
/// `pivot + Σd / m`, the variance `Σd² / m − (Σd / m)²`, at least 0. Nothing depends on the number of threads.
///
/// # Panics
/// If `x` is empty, or the lengths do not agree.
pub fn batch_statistics(x: &[f32], mean: &mut [f32], variance: &mut [f32], workspace: &mut Workspace) {
    let c = mean.len();
    assert!(!x.is_empty() && x.len().is_multiple_of(c) && variance.len() == c, "whole pixels");
    let row = row_pixels(c) * c;
    let Workspace { isa, packed, sums, scratch, .. } = workspace;
    let pivot = grown(packed, row);
    repeat(pivot, c, |channel| x[channel]);
    let ranges = reduce(*isa, &Moments { x, pivot }, c, x.len(), sums, scratch);
    let m = (x.len() / c) as f64;
    for channel in 0..c {
        let (sum, squares) = total(ranges, c, channel);
        let shift = sum / m;
        mean[channel] = (f64::from(x[channel]) + shift) as f32;
        variance[channel] = (squares / m - shift * shift).max(0.0) as f32;
    }
}

/// The sums over all ranges of a channel.
pub(super) fn total(ranges: &[f64], c: usize, channel: usize) -> (f64, f64) {
    ranges
        .chunks_exact(2 * c)
        .fold((0.0, 0.0), |(first, second), range| (first + range[channel], second + range[c + channel]))
}

/// Two quantities that are summed for every channel.
pub(super) trait Terms: Sync {
    /// Adds the terms of the elements of one row, or of its beginning, to two rows of sums.
    fn add(&self, row: Range<usize>, first: &mut [f32], second: &mut [f32]);
}

/// Differences to the pivot, and their squares.
struct Moments<'a> {
    x: &'a [f32],
    pivot: &'a [f32],
}

impl Terms for Moments<'_> {
    #[inline(always)]
    fn add(&self, row: Range<usize>, sums: &mut [f32], squares: &mut [f32]) {
        for (((sum, square), &x), &pivot) in sums.iter_mut().zip(squares).zip(&self.x[row]).zip(self.pivot) {
            let d = x - pivot;
            *sum += d;
            *square += d * d;
        }
    }
}

/// Sums two quantities of every channel over ranges of rows: for each range, `c` and `c` sums.
pub(super) fn reduce<'a>(
    isa: Isa,
    terms: &impl Terms,
    c: usize,
    len: usize,
    sums: &'a mut Vec<f64>,
    scratch: &mut ThreadScratch,
) -> &'a [f64] {
    let row = row_pixels(c) * c;
    let range = row * RANGE_ROWS;
    let n_sums = len.div_ceil(range) * 2 * c;
    if sums.len() < n_sums {
        sums.resize(n_sums, 0.0);
    }
    scratch.prepare();
    let scratch = &*scratch;
    sums[..n_sums].par_chunks_exact_mut(2 * c).enumerate().for_each(|(idx, sums)| {
        let elements = idx * range..((idx + 1) * range).min(len);
        arith::run(isa, Arithmetic::F32, RangeSums { terms, c, elements, sums, scratch });
    });
    &sums[..n_sums]
}

/// The sums of one range.
struct RangeSums<'a, T> {
    terms: &'a T,
    c: usize,
    elements: Range<usize>,
    sums: &'a mut [f64],
    scratch: &'a ThreadScratch,
}

impl<T: Terms> Task for RangeSums<'_, T> {
    #[inline(always)]
    unsafe fn run<A: Arith>(self, _: A) {
        let row = row_pixels(self.c) * self.c;
        let mut scratch = self.scratch.get();
        let (first, second) = grown(&mut scratch, 2 * row).split_at_mut(row);
        let (firsts, seconds) = self.sums.split_at_mut(self.c);
        firsts.fill(0.0);
        seconds.fill(0.0);
        for block in self.elements.clone().step_by(row * BLOCK_ROWS) {
            let end = (block + row * BLOCK_ROWS).min(self.elements.end);
            first.fill(0.0);
            second.fill(0.0);
            for start in (block..end).step_by(row) {
                self.terms.add(start..(start + row).min(end), first, second);
            }
            for (sums, partial) in [(&mut *firsts, &*first), (&mut *seconds, &*second)] {
                for partial in partial.chunks_exact(self.c) {
                    sums.iter_mut().zip(partial).for_each(|(sum, &x)| *sum += f64::from(x));
                }
            }
        }
    }
}

/// Normalizes, adds a residual, and applies an activation.
///
/// `y = activation((x − mean) · (inverse_deviation · scale) + shift (+ residual))`, each operation rounded to f32.
///
/// # Shapes
/// `x`, `residual`, `y`: `[pixels][c]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn batch_norm_forward(
    norm: &BatchNorm<'_>,
    x: &[f32],
    residual: Option<&[f32]>,
    activation: Rectifier,
    y: &mut [f32],
    workspace: &mut Workspace,
) {
    let c = norm.check(x.len());
    assert!(y.len() == x.len() && residual.is_none_or(|r| r.len() == x.len()), "tensors of one shape");
    let row = row_pixels(c) * c;
    let Workspace { isa, packed, .. } = workspace;
    let constants = grown(packed, 3 * row);
    let (mean, rest) = constants.split_at_mut(row);
    let (factor, shift) = rest.split_at_mut(row);
    repeat(mean, c, |channel| norm.mean[channel]);
    repeat(factor, c, |channel| norm.inverse_deviation[channel] * norm.scale[channel]);
    repeat(shift, c, |channel| norm.shift[channel]);
    let (mean, factor, shift, isa) = (&*mean, &*factor, &*shift, *isa);
    let range = row * RANGE_ROWS;
    y.par_chunks_mut(range).enumerate().for_each(|(idx, y)| {
        let at = idx * range..idx * range + y.len();
        let residual = residual.map(|residual| &residual[at.clone()]);
        arith::run(isa, Arithmetic::F32, Normalize { x: &x[at], residual, mean, factor, shift, activation, y });
    });
}

impl BatchNorm<'_> {
    /// The number of channels.
    fn check(&self, len: usize) -> usize {
        let c = self.mean.len();
        let lens = [self.inverse_deviation.len(), self.scale.len(), self.shift.len()];
        assert!(lens == [c; 3] && c > 0 && len.is_multiple_of(c), "one constant per channel, and whole pixels");
        c
    }
}

struct Normalize<'a> {
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    mean: &'a [f32],
    factor: &'a [f32],
    shift: &'a [f32],
    activation: Rectifier,
    y: &'a mut [f32],
}

impl Task for Normalize<'_> {
    #[inline(always)]
    unsafe fn run<A: Arith>(self, _: A) {
        let row = self.mean.len();
        // NaN passes any floor.
        let floor = if self.activation == Rectifier::Relu { 0.0 } else { f32::NEG_INFINITY };
        let constants = || self.mean.iter().zip(self.factor).zip(self.shift);
        for (idx, (y, x)) in self.y.chunks_mut(row).zip(self.x.chunks(row)).enumerate() {
            match self.residual {
                Some(residual) => {
                    let residual = &residual[idx * row..][..x.len()];
                    for ((y, (&x, &r)), ((&mean, &factor), &shift)) in
                        y.iter_mut().zip(x.iter().zip(residual)).zip(constants())
                    {
                        let v = (x - mean) * factor + shift + r;
                        *y = if floor > v { floor } else { v };
                    }
                }
                None => {
                    for ((y, &x), ((&mean, &factor), &shift)) in y.iter_mut().zip(x).zip(constants()) {
                        let v = (x - mean) * factor + shift;
                        *y = if floor > v { floor } else { v };
                    }
                }
            }
        }
    }
}

/// Gradients of a batch normalization over the statistics of its own batch.
///
/// With `dz = dy` where the activation passes (for [`Rectifier::Relu`]: where `y > 0`), else 0, and
/// `x̂ = (x − mean) · inverse_deviation`: `dshift = Σ dz`, `dscale = Σ dz · x̂`, `residual_grad = dz`, and
/// `dx = scale · inverse_deviation · (dz − dshift / m − x̂ · dscale / m)` over the `m` pixels.
///
/// # Shapes
/// `x`, `y`, `dy`, `dx`, `residual_grad`: `[pixels][c]`; `dscale`, `dshift`: `[c]`. `y` is only read for ReLU.
///
/// # Rounding
/// Sums are formed like those of [`batch_statistics`]; `dx` is `f · (dz − a − (x − mean) · b)` with f32 constants
/// `f`, `a`, `b`. Nothing depends on the number of threads.
///
/// # Source
/// S. Ioffe, C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
/// Shift", ICML 2015, section 3.
///
/// # Panics
/// If the lengths do not agree.
pub fn batch_norm_backward(
    norm: &BatchNorm<'_>,
    tensors: &NormTensors<'_>,
    activation: Rectifier,
    grads: NormGrads<'_>,
    workspace: &mut Workspace,
) {
    let NormTensors { x, y, dy } = *tensors;
    let NormGrads { dx, residual_grad, dscale, dshift } = grads;
    let c = norm.check(x.len());
    let is_relu = activation == Rectifier::Relu;
    assert!(dy.len() == x.len() && dx.len() == x.len() && (!is_relu || y.len() == x.len()), "tensors of one shape");
    assert!(residual_grad.as_ref().is_none_or(|r| r.len() == x.len()), "tensors of one shape");
    assert!(dscale.len() == c && dshift.len() == c, "one gradient per channel");
    let m = (x.len() / c) as f64;
    let row = row_pixels(c) * c;
    let Workspace { isa, packed, sums, scratch, .. } = workspace;
    let constants = grown(packed, 4 * row);
    let (mean, rest) = constants.split_at_mut(row);
    let (factor, rest) = rest.split_at_mut(row);
    let (offset, slope) = rest.split_at_mut(row);
    repeat(mean, c, |channel| norm.mean[channel]);
    let ranges = if is_relu {
        reduce(*isa, &Errors::<true> { x, y, dy, mean }, c, x.len(), sums, scratch)
    } else {
        reduce(*isa, &Errors::<false> { x, y, dy, mean }, c, x.len(), sums, scratch)
    };
    for channel in 0..c {
        let (sum, product) = total(ranges, c, channel);
        let inverse = f64::from(norm.inverse_deviation[channel]);
        dshift[channel] = sum as f32;
        dscale[channel] = (product * inverse) as f32;
        offset[channel] = (sum / m) as f32;
        slope[channel] = (product * inverse * inverse / m) as f32;
    }
    repeat_first(offset, c);
    repeat_first(slope, c);
    repeat(factor, c, |channel| norm.inverse_deviation[channel] * norm.scale[channel]);
    let constants = Constants { mean, factor, offset, slope };
    let isa = *isa;
    let range = row * RANGE_ROWS;
    let run = |idx: usize, dx: &mut [f32], dz: Option<&mut [f32]>| {
        let at = idx * range..idx * range + dx.len();
        let y = if is_relu { Some(&y[at.clone()]) } else { None };
        arith::run(isa, Arithmetic::F32, InputGrad { x: &x[at.clone()], y, dy: &dy[at], constants, dx, dz });
    };
    match residual_grad {
        Some(dz) => dx
            .par_chunks_mut(range)
            .zip(dz.par_chunks_mut(range))
            .enumerate()
            .for_each(|(idx, (dx, dz))| run(idx, dx, Some(dz))),
        None => dx.par_chunks_mut(range).enumerate().for_each(|(idx, dx)| run(idx, dx, None)),
    }
}

/// What [`batch_norm_backward`] reads.
#[derive(Clone, Copy, Debug)]
pub struct NormTensors<'a> {
    /// The input of the normalization.
    pub x: &'a [f32],
    /// The output of the activation; only read for ReLU.
    pub y: &'a [f32],
    /// The gradient of the output.
    pub dy: &'a [f32],
}

/// What [`batch_norm_backward`] fills.
#[derive(Debug)]
pub struct NormGrads<'a> {
    /// The gradient of the input.
    pub dx: &'a mut [f32],
    /// The gradient of the residual, where one was added.
    pub residual_grad: Option<&'a mut [f32]>,
    /// The gradient of the scale.
    pub dscale: &'a mut [f32],
    /// The gradient of the shift.
    pub dshift: &'a mut [f32],
}

/// Repeats the first `c` elements.
fn repeat_first(to: &mut [f32], c: usize) {
    for at in (c..to.len()).step_by(c) {
        to.copy_within(..c, at);
    }
}

/// Errors behind the activation, and their products with the centered inputs.
struct Errors<'a, const RELU: bool> {
    x: &'a [f32],
    y: &'a [f32],
    dy: &'a [f32],
    mean: &'a [f32],
}

impl<const RELU: bool> Terms for Errors<'_, RELU> {
    #[inline(always)]
    fn add(&self, row: Range<usize>, sums: &mut [f32], products: &mut [f32]) {
        let y = if RELU { &self.y[row.clone()] } else { &self.dy[row.clone()] };
        let inputs = self.x[row.clone()].iter().zip(&self.dy[row]).zip(y).zip(self.mean);
        for ((sum, product), (((&x, &dy), &y), &mean)) in sums.iter_mut().zip(products).zip(inputs) {
            let dz = if !RELU || y > 0.0 { dy } else { 0.0 };
            *sum += dz;
            *product += dz * (x - mean);
        }
    }
}

#[derive(Clone, Copy)]
struct Constants<'a> {
    mean: &'a [f32],
    factor: &'a [f32],
    offset: &'a [f32],
    slope: &'a [f32],
}

struct InputGrad<'a> {
    x: &'a [f32],
    y: Option<&'a [f32]>,
    dy: &'a [f32],
    constants: Constants<'a>,
    dx: &'a mut [f32],
    dz: Option<&'a mut [f32]>,
}

impl Task for InputGrad<'_> {
    #[inline(always)]
    unsafe fn run<A: Arith>(self, _: A) {
        let Constants { mean, factor, offset, slope } = self.constants;
        let row = mean.len();
        let mut dz_rows = self.dz.map(|dz| dz.chunks_mut(row));
        for (idx, (dx, x)) in self.dx.chunks_mut(row).zip(self.x.chunks(row)).enumerate() {
            let at = idx * row..idx * row + x.len();
            let dy = &self.dy[at.clone()];
            let constants = mean.iter().zip(factor).zip(offset.iter().zip(slope));
            let gradient = |x: f32, dz: f32, ((&mean, &factor), (&offset, &slope)): ((&f32, &f32), (&f32, &f32))| {
                factor * (dz - offset - (x - mean) * slope)
            };
            match (self.y, dz_rows.as_mut().and_then(Iterator::next)) {
                (Some(y), Some(dz)) => {
                    let inputs = x.iter().zip(dy).zip(&y[at]).zip(dz);
                    for ((dx, (((&x, &dy), &y), dz)), constants) in dx.iter_mut().zip(inputs).zip(constants) {
                        *dz = if y > 0.0 { dy } else { 0.0 };
                        *dx = gradient(x, *dz, constants);
                    }
                }
                (Some(y), None) => {
                    for ((dx, ((&x, &dy), &y)), constants) in
                        dx.iter_mut().zip(x.iter().zip(dy).zip(&y[at])).zip(constants)
                    {
                        *dx = gradient(x, if y > 0.0 { dy } else { 0.0 }, constants);
                    }
                }
                (None, dz) => {
                    for ((dx, (&x, &dy)), constants) in dx.iter_mut().zip(x.iter().zip(dy)).zip(constants) {
                        *dx = gradient(x, dy, constants);
                    }
                    if let Some(dz) = dz {
                        dz.copy_from_slice(dy);
                    }
                }
            }
        }
    }
}
