//! Elementwise passes, bias gradients, and the order of channels.

#![allow(unsafe_code, reason = "shares the dispatch of the vector instructions")]

use rayon::prelude::*;

use super::arith::{self, Arith, Arithmetic, Task};
use super::norm::{Terms, reduce, total};
use super::workspace::Workspace;
use crate::kernels::Isa;

/// Elements of one unit of work.
const CHUNK: usize = 16 << 10;

/// One element from two.
trait Function: Copy + Sync {
    fn apply(self, a: f32, b: f32) -> f32;
}

/// Fills `y` from two tensors.
struct Zip<'a, F> {
    function: F,
    a: &'a [f32],
    b: &'a [f32],
    y: &'a mut [f32],
}

impl<F: Function> Task for Zip<'_, F> {
    #[inline(always)]
    unsafe fn run<A: Arith>(self, _: A) {
        for (y, (&a, &b)) in self.y.iter_mut().zip(self.a.iter().zip(self.b)) {
            *y = self.function.apply(a, b);
        }
    }
}

fn zip(isa: Isa, function: impl Function, a: &[f32], b: &[f32], y: &mut [f32]) {
    assert!(a.len() == y.len() && b.len() == y.len(), "tensors of one shape");
    y.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK)).for_each(|((y, a), b)| {
        arith::run(isa, Arithmetic::F32, Zip { function, a, b, y });
    });
}

#[derive(Clone, Copy)]
struct Relu;

impl Function for Relu {
    #[inline(always)]
    fn apply(self, a: f32, _: f32) -> f32 {
        if 0.0 > a { 0.0 } else { a }
    }
}

/// `y = max(x, 0)`; NaN stays NaN.
///
/// # Panics
/// If the lengths do not agree.
pub fn relu_forward(x: &[f32], y: &mut [f32], workspace: &mut Workspace) {
    zip(workspace.isa, Relu, x, x, y);
}

#[derive(Clone, Copy)]
struct ReluGrad;

impl Function for ReluGrad {
    #[inline(always)]
    fn apply(self, y: f32, dy: f32) -> f32 {
        if y > 0.0 { dy } else { 0.0 }
    }
}

/// `dx = dy` where the output is positive, else 0.
///
/// # Panics
/// If the lengths do not agree.
pub fn relu_backward(y: &[f32], dy: &[f32], dx: &mut [f32], workspace: &mut Workspace) {
    zip(workspace.isa, ReluGrad, y, dy, dx);
}

#[derive(Clone, Copy)]
struct Add;

impl Function for Add {
    #[inline(always)]
    fn apply(self, a: f32, b: f32) -> f32 {
        a + b
    }
}

#[derive(Clone, Copy)]
struct AddRelu;

impl Function for AddRelu {
    #[inline(always)]
    fn apply(self, a: f32, b: f32) -> f32 {
        Relu.apply(a + b, 0.0)
    }
}

/// `y = a + b`, or `max(a + b, 0)`.
///
/// # Panics
/// If the lengths do not agree.
pub fn add(a: &[f32], b: &[f32], activation: super::Rectifier, y: &mut [f32], workspace: &mut Workspace) {
    match activation {
        super::Rectifier::Identity => zip(workspace.isa, Add, a, b, y),
        super::Rectifier::Relu => zip(workspace.isa, AddRelu, a, b, y),
    }
}

struct Accumulate<'a> {
    sum: &'a mut [f32],
    x: &'a [f32],
}

impl Task for Accumulate<'_> {
    #[inline(always)]
    unsafe fn run<A: Arith>(self, _: A) {
        self.sum.iter_mut().zip(self.x).for_each(|(sum, &x)| *sum += x);
    }
}

/// `sum += x`, for errors that meet.
///
/// # Panics
/// If the lengths do not agree.
pub fn accumulate(sum: &mut [f32], x: &[f32], workspace: &mut Workspace) {
    assert_eq!(sum.len(), x.len(), "tensors of one shape");
    let isa = workspace.isa;
    sum.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(sum, x)| {
        arith::run(isa, Arithmetic::F32, Accumulate { sum, x });
    });
}

/// Sums of the errors.
struct Errors<'a> {
    dy: &'a [f32],
}

impl Terms for Errors<'_> {
    #[inline(always)]
    fn add(&self, row: std::ops::Range<usize>, sums: &mut [f32], _: &mut [f32]) {
        sums.iter_mut().zip(&self.dy[row]).for_each(|(sum, &dy)| *sum += dy);
    }
}

/// Gradient of a bias: the sum of the errors of each channel, in the order of [`batch_statistics`].
///
/// # Shapes
/// `dy`: `[pixels][k]`; `db`: `[k]`.
///
/// # Panics
/// If the lengths do not agree.
///
/// [`batch_statistics`]: super::batch_statistics
pub fn bias_grad(dy: &[f32], db: &mut [f32], workspace: &mut Workspace) {
    let k = db.len();
    assert!(k > 0 && dy.len().is_multiple_of(k), "whole pixels");
    let Workspace { isa, sums, scratch, .. } = workspace;
    let ranges = reduce(*isa, &Errors { dy }, k, dy.len(), sums, scratch);
    db.iter_mut().enumerate().for_each(|(channel, db)| *db = total(ranges, k, channel).0 as f32);
}

/// Copies images `[n][c][pixels]` into `[n][pixels][c]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn nchw_to_nhwc(x: &[f32], c: usize, pixels: usize, y: &mut [f32]) {
    transpose(x, [c, pixels], y);
}

/// Copies images `[n][pixels][c]` into `[n][c][pixels]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn nhwc_to_nchw(x: &[f32], c: usize, pixels: usize, y: &mut [f32]) {
    transpose(x, [pixels, c], y);
}

/// Copies matrices `[n][rows][columns]` into `[n][columns][rows]`, in blocks that fit a cache.
fn transpose(x: &[f32], [rows, columns]: [usize; 2], y: &mut [f32]) {
    const BLOCK: usize = 16;
    let len = rows * columns;
    assert!(x.len() == y.len() && (len == 0 || x.len().is_multiple_of(len)), "whole images of one shape");
    if len == 0 {
        return;
    }
    y.par_chunks_exact_mut(len).zip(x.par_chunks_exact(len)).for_each(|(y, x)| {
        for first_row in (0..rows).step_by(BLOCK) {
            for first in (0..columns).step_by(BLOCK) {
                for column in first..columns.min(first + BLOCK) {
                    let to = &mut y[column * rows + first_row..][..BLOCK.min(rows - first_row)];
                    let from = x[first_row * columns + column..].iter().step_by(columns);
                    to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
                }
            }
        }
    });
}
