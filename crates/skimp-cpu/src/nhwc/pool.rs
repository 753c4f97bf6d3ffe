//! Pools and their gradients.

#![allow(unsafe_code, reason = "shares the dispatch of the vector instructions")]

use rayon::prelude::*;

use super::arith::{self, Arith, Arithmetic, Task};
use super::shape::ShapeError;
use super::workspace::Workspace;

/// Windows over a batch of channels-last images.
///
/// # Shapes
/// Inputs `[n][h][w][c]`, outputs `[n][p][q][c]`. Rows and columns beyond the image are padding, of any amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolShape {
    /// Images.
    pub n: usize,
    /// Input rows.
    pub h: usize,
    /// Input columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Output rows.
    pub p: usize,
    /// Output columns.
    pub q: usize,
    /// Window rows.
    pub kh: usize,
    /// Window columns.
    pub kw: usize,
    /// Rows and columns from one window to the next.
    pub strides: [usize; 2],
    /// Rows and columns from one position in a window to the next.
    pub dilations: [usize; 2],
    /// Padding above and left of the image.
    pub pads_begin: [usize; 2],
}

/// What an average divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Divisor {
    /// All positions of the window.
    Window,
    /// Positions within the image.
    Inside,
    /// Positions within the image and its padding, which ends so many rows and columns after the image.
    Padded {
        /// Padding below and right of the image.
        pads_end: [usize; 2],
    },
}

impl PoolShape {
    /// Checks that the kernels can compute this shape.
    ///
    /// # Errors
    /// A [`ShapeError`] if an extent is 0 or a window sees padding only.
    pub fn check(&self) -> Result<(), ShapeError> {
        let positive = [
            ("the height", self.h),
            ("the width", self.w),
            ("the number of channels", self.c),
            ("the output height", self.p),
            ("the output width", self.q),
            ("a window extent", self.kh.min(self.kw)),
            ("a stride", self.strides[0].min(self.strides[1])),
            ("a dilation", self.dilations[0].min(self.dilations[1])),
        ];
        if let Some(&(what, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(ShapeError::Zero { what });
        }
        for axis in 0..2 {
            let n_windows = [self.p, self.q][axis];
            if let Some(window) = (0..n_windows).find(|&window| self.inside(axis, window).is_empty()) {
                return Err(ShapeError::EmptyWindow { window });
            }
        }
        Ok(())
    }

    /// As [`check`](Self::check), for maxima, whose positions have to fit a byte.
    ///
    /// # Errors
    /// A [`ShapeError`] as for any pool, or if the window has more than 256 positions.
    pub fn check_max(&self) -> Result<(), ShapeError> {
        if self.kh * self.kw > 256 {
            return Err(ShapeError::Positions { positions: self.kh * self.kw });
        }
        self.check()
    }

    /// Positions of a window on an axis that lie within the image.
    fn inside(&self, axis: usize, window: usize) -> std::ops::Range<usize> {
        let (extent, kernel) = ([self.h, self.w][axis], [self.kh, self.kw][axis]);
        let (start, pad, dilation) = (window * self.strides[axis], self.pads_begin[axis], self.dilations[axis]);
        let first = pad.saturating_sub(start).div_ceil(dilation);
        let last = (extent + pad).saturating_sub(start).div_ceil(dilation).min(kernel);
        first.min(last)..last
    }

    /// The row or column that a position of a window reads; the position must be inside.
    fn at(&self, axis: usize, window: usize, position: usize) -> usize {
        window * self.strides[axis] + position * self.dilations[axis] - self.pads_begin[axis]
    }

    /// Calls `visit(output pixel, position in the window, input pixel)` for every position inside the image, windows and
    /// positions ascending; pixels count within an image.
    #[inline(always)]
    fn visit(&self, mut visit: impl FnMut(usize, usize, usize)) {
        for row in 0..self.p {
            for column in 0..self.q {
                for r in self.inside(0, row) {
                    for s in self.inside(1, column) {
                        let from = self.at(0, row, r) * self.w + self.at(1, column, s);
                        visit(row * self.q + column, r * self.kw + s, from);
                    }
                }
            }
        }
    }

    /// What a window's sum is divided by.
    fn divisor(&self, divisor: Divisor, row: usize, column: usize) -> f32 {
        let count = |axis: usize, window: usize| match divisor {
            Divisor::Window => [self.kh, self.kw][axis],
            Divisor::Inside => self.inside(axis, window).len(),
            Divisor::Padded { pads_end } => {
                let padded = [self.h, self.w][axis] + self.pads_begin[axis] + pads_end[axis];
                let kernel = [self.kh, self.kw][axis];
                padded.saturating_sub(window * self.strides[axis]).div_ceil(self.dilations[axis]).min(kernel)
            }
        };
        (count(0, row) * count(1, column)) as f32
    }

    fn x_image(&self) -> usize {
        self.h * self.w * self.c
    }

    fn y_image(&self) -> usize {
        self.p * self.q * self.c
    }
}

/// Maxima, and where in its window each one lies.
///
/// # Shapes
/// As in [`PoolShape`]; `winners` like `y`, row · `kw` + column within the window. The first of equal values wins; NaN
/// wins over numbers.
///
/// # Panics
/// If a slice does not have the length that a checked `shape` gives it.
pub fn max_pool_forward(shape: &PoolShape, x: &[f32], y: &mut [f32], winners: &mut [u8], workspace: &mut Workspace) {
    let (x_image, y_image) = (shape.x_image(), shape.y_image());
    assert!(x.len() == shape.n * x_image && y.len() == shape.n * y_image, "tensors of the shape");
    assert_eq!(winners.len(), y.len(), "one winner per output");
    let isa = workspace.isa;
    y.par_chunks_mut(y_image)
        .zip(winners.par_chunks_mut(y_image))
        .zip(x.par_chunks(x_image))
        .for_each(|((y, winners), x)| arith::run(isa, Arithmetic::F32, MaxForward { shape, x, y, winners }));
}

struct MaxForward<'a> {
    shape: &'a PoolShape,
    x: &'a [f32],
    y: &'a mut [f32],
    winners: &'a mut [u8],
}

impl Task for MaxForward<'_> {
    #[inline(always)]
    unsafe fn run<A: Arith>(self, _: A) {
        let c = self.shape.c;
        let mut last = usize::MAX;
        self.shape.visit(|to, position, from| {
            let x = &self.x[from * c..][..c];
            let (y, winners) = (&mut self.y[to * c..][..c], &mut self.winners[to * c..][..c]);
            let position = position as u8;
            if to != last {
                last = to;
                y.copy_from_slice(x);
                winners.fill(position);
                return;
            }
            for ((y, winner), &x) in y.iter_mut().zip(winners).zip(x) {
                let wins = (x > *y) | (x.is_nan() & !y.is_nan());
                *y = if wins { x } else { *y };
                *winner = if wins { position } else { *winner };
            }
        });
    }
}

/// Input gradient of maxima: every error goes to the winner of its window, windows in order.
///
/// # Panics
/// If a slice does not have the length that a checked `shape` gives it.
pub fn max_pool_backward(shape: &PoolShape, dy: &[f32], winners: &[u8], dx: &mut [f32], workspace: &mut Workspace) {
    let (x_image, y_image) = (shape.x_image(), shape.y_image());
    assert!(dx.len() == shape.n * x_image && dy.len() == shape.n * y_image, "tensors of the shape");
    assert_eq!(winners.len(), dy.len(), "one winner per output");
    let isa = workspace.isa;
    dx.par_chunks_mut(x_image)
        .zip(dy.par_chunks(y_image))
        .zip(winners.par_chunks(y_image))
        .for_each(|((dx, dy), winners)| arith::run(isa, Arithmetic::F32, MaxBackward { shape, dx, dy, winners }));
}

struct MaxBackward<'a> {
    shape: &'a PoolShape,
    dx: &'a mut [f32],
    dy: &'a [f32],
    winners: &'a [u8],
}

impl Task for MaxBackward<'_> {
    #[inline(always)]
    unsafe fn run<A: Arith>(self, _: A) {
        let c = self.shape.c;
        self.dx.fill(0.0);
        self.shape.visit(|from, position, to| {
            let dx = &mut self.dx[to * c..][..c];
            let (dy, winners) = (&self.dy[from * c..][..c], &self.winners[from * c..][..c]);
            let position = position as u8;
            for ((dx, &dy), &winner) in dx.iter_mut().zip(dy).zip(winners) {
                *dx += if winner == position { dy } else { 0.0 };
            }
        });
    }
}

/// Averages: f32 sums in the order of the positions, divided.
///
/// # Panics
/// If a slice does not have the length that a checked `shape` gives it.
pub fn average_pool_forward(shape: &PoolShape, divisor: Divisor, x: &[f32], y: &mut [f32], workspace: &mut Workspace) {
    let (x_image, y_image) = (shape.x_image(), shape.y_image());
    assert!(x.len() == shape.n * x_image && y.len() == shape.n * y_image, "tensors of the shape");
    let isa = workspace.isa;
    y.par_chunks_mut(y_image)
        .zip(x.par_chunks(x_image))
        .for_each(|(y, x)| arith::run(isa, Arithmetic::F32, AverageForward { shape, divisor, x, y }));
}

struct AverageForward<'a> {
    shape: &'a PoolShape,
    divisor: Divisor,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Task for AverageForward<'_> {
    #[inline(always)]
    unsafe fn run<A: Arith>(self, _: A) {
        let (c, q) = (self.shape.c, self.shape.q);
        self.y.fill(0.0);
        self.shape.visit(|to, _, from| {
            let y = &mut self.y[to * c..][..c];
            y.iter_mut().zip(&self.x[from * c..][..c]).for_each(|(y, &x)| *y += x);
        });
        for (pixel, y) in self.y.chunks_exact_mut(c).enumerate() {
            let divisor = self.shape.divisor(self.divisor, pixel / q, pixel % q);
            y.iter_mut().for_each(|y| *y /= divisor);
        }
    }
}

/// Input gradient of averages: every error, divided, goes to all positions of its window, windows in order.
///
/// # Panics
/// If a slice does not have the length that a checked `shape` gives it.
pub fn average_pool_backward(
    shape: &PoolShape,
    divisor: Divisor,
    dy: &[f32],
    dx: &mut [f32],
    workspace: &mut Workspace,
) {
    let (x_image, y_image) = (shape.x_image(), shape.y_image());
    assert!(dx.len() == shape.n * x_image && dy.len() == shape.n * y_image, "tensors of the shape");
    let isa = workspace.isa;
    dx.par_chunks_mut(x_image)
        .zip(dy.par_chunks(y_image))
        .for_each(|(dx, dy)| arith::run(isa, Arithmetic::F32, AverageBackward { shape, divisor, dx, dy }));
}

struct AverageBackward<'a> {
    shape: &'a PoolShape,
    divisor: Divisor,
    dx: &'a mut [f32],
    dy: &'a [f32],
}

impl Task for AverageBackward<'_> {
    #[inline(always)]
    unsafe fn run<A: Arith>(self, _: A) {
        let (c, q) = (self.shape.c, self.shape.q);
        self.dx.fill(0.0);
        self.shape.visit(|from, _, to| {
            let divisor = self.shape.divisor(self.divisor, from / q, from % q);
            let dx = &mut self.dx[to * c..][..c];
            dx.iter_mut().zip(&self.dy[from * c..][..c]).for_each(|(dx, &dy)| *dx += dy / divisor);
        });
    }
}
