//! Depthwise convolution: one filter per channel, 16 channels to a vector.

#![allow(unsafe_code, reason = "vector kernels over pointers whose bounds are checked once per image")]
#![allow(clippy::needless_range_loop, reason = "constant bounds, which unroll into registers")]

use super::conv::ConvShape;
#[cfg(target_arch = "x86_64")]
use super::lanes::Lanes;
#[cfg(target_arch = "x86_64")]
use super::lanes::x86::{Avx2, Avx512};
use super::program::{Epilogue, NO_REGISTERS, finish};
use super::{Bounds, Isa, LANES, Planes, multiply_add};
use rayon::prelude::*;

/// Weights of a depthwise convolution, `[channel block][tap][16]`.
#[derive(Debug)]
pub(crate) struct PackedDepthwise {
    isa: Isa,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

/// What one output row is made of.
struct Row<'a> {
    /// From the first tap of the first pixel on.
    x: &'a [f32],
    /// Elements from one output pixel's input to the next one's.
    step: usize,
    taps: &'a [usize],
    weights: &'a [f32],
    bias: &'a [f32],
    bounds: Bounds,
}

impl PackedDepthwise {
    /// Whether this is a depthwise convolution with one filter per channel.
    pub(crate) fn supports(shape: &ConvShape) -> bool {
        shape.groups == shape.in_channels && shape.groups == shape.out_channels && shape.groups > 1
    }

    /// Packs `[k][1][r][s]` weights.
    pub(crate) fn new(isa: Isa, shape: &ConvShape, weight: &[f32], bias: &[f32]) -> Self {
        let n_blocks = shape.out_channels.div_ceil(LANES);
        let n_taps = shape.kernel[0] * shape.kernel[1];
        let mut packed = Self { isa, weights: vec![0.0; n_blocks * n_taps * LANES], bias: bias.to_vec() };
        packed.bias.resize(n_blocks * LANES, 0.0);
        for k in 0..shape.out_channels {
            for tap in 0..n_taps {
                packed.weights[(k / LANES * n_taps + tap) * LANES + k % LANES] = weight[k * n_taps + tap];
            }
        }
        packed
    }

    /// Convolves one blocked image; the sums run over the taps in order.
    pub(crate) fn run(
        &self,
        shape: &ConvShape,
        (bounds, epilogue): (Bounds, Epilogue<'_>),
        (x, x_planes): (&[f32], &Planes),
        (out, out_planes): (&mut [f32], &Planes),
        parallel: bool,
    ) {
        let needed = shape.halo(x_planes.height, x_planes.width);
        assert!(x_planes.halo.union(needed) == x_planes.halo, "the input has the halo that the convolution reads");
        assert!(x_planes.block == LANES && out_planes.block == LANES, "blocked images");
        out_planes.clear_halo(out);
        let taps: Vec<usize> = (0..shape.kernel[0])
            .flat_map(|r| {
                let row = r * shape.dilations[0] * x_planes.pitch();
                (0..shape.kernel[1]).map(move |s| row + s * shape.dilations[1] * LANES)
            })
            .collect();
        let block = |(block, out): (usize, &mut [f32])| {
            let mut registers = NO_REGISTERS;
            for row in 0..shape.output[0] {
                let start = block * x_planes.plane()
                    + (row * shape.strides[0] + x_planes.halo.top - shape.pads[0]) * x_planes.pitch()
                    + (x_planes.halo.left - shape.pads[1]) * LANES;
                let y = out_planes.at(0, row, 0);
                let y = &mut out[y..y + shape.output[1] * LANES];
                self.row(
                    &Row {
                        x: &x[start..x_planes.len()],
                        step: shape.strides[1] * LANES,
                        taps: &taps,
                        weights: &self.weights[block * taps.len() * LANES..][..taps.len() * LANES],
                        bias: &self.bias[block * LANES..][..LANES],
                        bounds,
                    },
                    y,
                );
                finish(epilogue, self.isa, &mut registers, [block, row], y);
            }
        };
        let blocks = out[..out_planes.len()].chunks_exact_mut(out_planes.plane()).enumerate();
        if parallel {
            blocks.collect::<Vec<_>>().into_par_iter().for_each(block);
        } else {
            blocks.for_each(block);
        }
    }

    fn row(&self, row: &Row<'_>, out: &mut [f32]) {
        let last = (out.len() / LANES - 1) * row.step + row.taps.last().copied().unwrap_or(0) + LANES;
        assert!(row.x.len() >= last && row.weights.len() == row.taps.len() * LANES, "every tap lies in the image");
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the processor feature; taps ascend, so the assertion covers all of them.
            Isa::Avx512 => unsafe { avx512(row, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the processor features; taps ascend, so the assertion covers all of them.
            Isa::Avx2 => unsafe { avx2(row, out) },
            Isa::Portable => portable(row, out),
        }
    }
}

/// # Safety
/// Needs AVX-512 F, and every tap of every pixel inside `row.x`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(row: &Row<'_>, out: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe { compute_row::<Avx512, 8>(row, out) }
}

/// # Safety
/// Needs AVX2 and FMA, and every tap of every pixel inside `row.x`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(row: &Row<'_>, out: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe { compute_row::<Avx2, 4>(row, out) }
}

/// # Safety
/// Needs the processor features of `V`, and every tap of every pixel inside `row.x`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn compute_row<V: Lanes, const T: usize>(row: &Row<'_>, out: &mut [f32]) {
    let width = out.len() / LANES;
    let mut column = 0;
    // SAFETY: the caller's contract; `column + T <= width`.
    unsafe {
        while column + T <= width {
            pixels::<V, T>(row, column, out);
            column += T;
        }
        while column < width {
            pixels::<V, 1>(row, column, out);
            column += 1;
        }
    }
}

/// # Safety
/// As [`compute_row`], for the `T` pixels from `column` on.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn pixels<V: Lanes, const T: usize>(row: &Row<'_>, column: usize, out: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe {
        let x = row.x.as_ptr().add(column * row.step);
        let mut sums = [V::load(row.bias.as_ptr()); T];
        for (i, &tap) in row.taps.iter().enumerate() {
            let w = V::load(row.weights.as_ptr().add(i * LANES));
            for t in 0..T {
                sums[t] = sums[t].fused(w, V::load(x.add(tap + t * row.step)));
            }
        }
        let (low, high) = (V::splat(row.bounds.low), V::splat(row.bounds.high));
        for t in 0..T {
            sums[t].clamp(low, high).store(out.as_mut_ptr().add((column + t) * LANES));
        }
    }
}

/// The safe twin.
fn portable(row: &Row<'_>, out: &mut [f32]) {
    for (column, y) in out.chunks_exact_mut(LANES).enumerate() {
        y.copy_from_slice(row.bias);
        for (&tap, weights) in row.taps.iter().zip(row.weights.chunks_exact(LANES)) {
            let x = &row.x[tap + column * row.step..][..LANES];
            for ((y, &x), &w) in y.iter_mut().zip(x).zip(weights) {
                *y = multiply_add(w, x, *y);
            }
        }
        for y in y {
            *y = row.bounds.apply(*y);
        }
    }
}
