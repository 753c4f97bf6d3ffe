//! Pooling of blocked images, 16 channels at a time.
//!
//! The loops are over lanes in plain code, compiled once for every processor and once more for AVX-512.

#![allow(unsafe_code, reason = "calls of the code compiled for AVX-512")]

use std::ops::Range;

use super::{Isa, LANES, Planes};
use rayon::prelude::*;

/// A two-dimensional pooling window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolShape {
    pub(crate) kernel: [usize; 2],
    pub(crate) strides: [usize; 2],
    pub(crate) dilations: [usize; 2],
    /// Padding before the first row and column.
    pub(crate) pads: [usize; 2],
    /// Padding after the last row and column.
    pub(crate) pads_end: [usize; 2],
}

/// What is made of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PoolKind {
    /// Maximum of the elements inside.
    Max,
    /// Mean of the elements inside; padding counts where `include_pad`.
    Average {
        /// Whether padding counts in the divisor.
        include_pad: bool,
    },
}

impl PoolShape {
    /// Taps inside the image for an output position, as tap indices.
    fn inside(&self, axis: usize, position: usize, extent: usize) -> Range<usize> {
        let start = position * self.strides[axis];
        let first = self.pads[axis].saturating_sub(start).div_ceil(self.dilations[axis]);
        let end = (extent + self.pads[axis]).saturating_sub(start).div_ceil(self.dilations[axis]);
        first..end.min(self.kernel[axis]).max(first)
    }

    /// Number of taps inside the image or its padding.
    fn within_padding(&self, axis: usize, position: usize, extent: usize) -> usize {
        let reach = extent + self.pads[axis] + self.pads_end[axis];
        reach.saturating_sub(position * self.strides[axis]).div_ceil(self.dilations[axis]).min(self.kernel[axis])
    }
}

/// Pools one image; clears the halo of `out`.
pub(crate) fn pool(
    shape: &PoolShape,
    kind: PoolKind,
    (x, x_planes): (&[f32], &Planes),
    (out, out_planes): (&mut [f32], &Planes),
    parallel: bool,
) {
    out_planes.clear_halo(out);
    let isa = Isa::detect();
    let block = |(block, out): (usize, &mut [f32])| match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `detect` found the processor feature.
        Isa::Avx512 => unsafe { pool_block_avx512(shape, kind, (x, x_planes), block, (out, out_planes)) },
        _ => pool_block(shape, kind, (x, x_planes), block, (out, out_planes)),
    };
    let blocks = out[..out_planes.len()].chunks_exact_mut(out_planes.plane()).enumerate();
    if parallel {
        blocks.collect::<Vec<_>>().into_par_iter().for_each(block);
    } else {
        blocks.for_each(block);
    }
}

/// The larger one; NaN wins.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn pool_block_avx512(
    shape: &PoolShape,
    kind: PoolKind,
    x: (&[f32], &Planes),
    block: usize,
    out: (&mut [f32], &Planes),
) {
    pool_block(shape, kind, x, block, out);
}

/// Pools one channel block; `out` is its plane.
#[inline(always)]
fn pool_block(
    shape: &PoolShape,
    kind: PoolKind,
    x: (&[f32], &Planes),
    block: usize,
    (out, out_planes): (&mut [f32], &Planes),
) {
    for row in 0..out_planes.height {
        let start = out_planes.at(0, row, 0);
        let out = &mut out[start..start + out_planes.width * LANES];
        for (column, y) in out.chunks_exact_mut(LANES).enumerate() {
            window(shape, kind, x, [block, row, column], y);
        }
    }
}

#[inline(always)]
fn window(shape: &PoolShape, kind: PoolKind, x: (&[f32], &Planes), at: [usize; 3], out: &mut [f32]) {
    let (x, planes) = x;
    let [block, row, column] = at;
    let rows = shape.inside(0, row, planes.height);
    let columns = shape.inside(1, column, planes.width);
    let n_inside = rows.len() * columns.len();
    let mut result = [if kind == PoolKind::Max { f32::NEG_INFINITY } else { 0.0 }; LANES];
    for r in rows {
        let x_row = row * shape.strides[0] + r * shape.dilations[0] - shape.pads[0];
        for s in columns.clone() {
            let x_column = column * shape.strides[1] + s * shape.dilations[1] - shape.pads[1];
            let start = planes.at(block, x_row, x_column);
            let pixel = &x[start..start + LANES];
            match kind {
                PoolKind::Max => {
                    for (y, &x) in result.iter_mut().zip(pixel) {
                        *y = larger(*y, x);
                    }
                }
                PoolKind::Average { .. } => {
                    for (y, &x) in result.iter_mut().zip(pixel) {
                        *y += x;
                    }
                }
            }
        }
    }
    if let PoolKind::Average { include_pad } = kind {
        let divisor = if include_pad {
            shape.within_padding(0, row, planes.height) * shape.within_padding(1, column, planes.width)
        } else {
            n_inside
        };
        for y in &mut result {
            *y = if divisor == 0 { 0.0 } else { *y / divisor as f32 };
        }
    }
    out.copy_from_slice(&result);
}

/// Mean or maximum over all pixels of each channel, into plain order padded to 16.
pub(crate) fn global(kind: PoolKind, x: &[f32], planes: &Planes, out: &mut [f32]) {
    for (block, out) in out[..planes.n_blocks() * LANES].chunks_exact_mut(LANES).enumerate() {
        let mut result = [if kind == PoolKind::Max { f32::NEG_INFINITY } else { 0.0 }; LANES];
        for row in 0..planes.height {
            let start = planes.at(block, row, 0);
            for pixel in x[start..start + planes.width * LANES].chunks_exact(LANES) {
                for (y, &x) in result.iter_mut().zip(pixel) {
                    *y = match kind {
                        PoolKind::Max => larger(*y, x),
                        PoolKind::Average { .. } => *y + x,
                    };
                }
            }
        }
        if kind != PoolKind::Max {
            for y in &mut result {
                *y /= (planes.height * planes.width) as f32;
            }
        }
        out.copy_from_slice(&result);
    }
}
