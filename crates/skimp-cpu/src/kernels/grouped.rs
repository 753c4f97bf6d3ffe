//! Convolution in groups of 2, 4 or 8 channels: as many filters as channels in a group, whole groups to a vector.
//!
//! An output reads channels of its own group only, which lie in the same block of 16: the block of a pixel is loaded once
//! for each tap, and one permutation for each channel of a group brings that channel to all lanes of its group.
//!
//! # Determinism
//! Every output is one chain `bias, then tap, channel` in this order, then bounds, whatever the tile.

#![allow(unsafe_code, reason = "vector kernels over pointers whose bounds are checked once per row")]
#![allow(clippy::needless_range_loop, reason = "constant bounds, which unroll into registers")]

use super::conv::ConvShape;
#[cfg(target_arch = "x86_64")]
use super::lanes::Lanes;
#[cfg(target_arch = "x86_64")]
use super::lanes::x86::{Avx2, Avx512};
use super::program::{Epilogue, NO_REGISTERS, finish};
use super::{Bounds, Isa, LANES, Planes, multiply_add};
use rayon::prelude::*;

/// Weights, `[channel block][tap][channel of the group][16]`.
#[derive(Debug)]
pub(crate) struct PackedGrouped {
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

impl PackedGrouped {
    /// Whether this is a convolution in groups of 2, 4 or 8 channels and as many filters.
    pub(crate) fn supports(shape: &ConvShape) -> bool {
        shape.in_channels == shape.out_channels && matches!(shape.in_channels / shape.groups, 2 | 4 | 8)
    }

    /// Packs `[k][c / groups][r][s]` weights.
    pub(crate) fn new(isa: Isa, shape: &ConvShape, weight: &[f32], bias: &[f32]) -> Self {
        let n_blocks = shape.out_channels.div_ceil(LANES);
        let n_taps = shape.kernel[0] * shape.kernel[1];
        let width = shape.in_channels / shape.groups;
        let mut packed = Self { isa, weights: vec![0.0; n_blocks * n_taps * width * LANES], bias: bias.to_vec() };
        packed.bias.resize(n_blocks * LANES, 0.0);
        for k in 0..shape.out_channels {
            for (tap, c) in (0..n_taps).flat_map(|tap| (0..width).map(move |c| (tap, c))) {
                let to = ((k / LANES * n_taps + tap) * width + c) * LANES + k % LANES;
                packed.weights[to] = weight[(k * width + c) * n_taps + tap];
            }
        }
        packed
    }

    /// Convolves one blocked image.
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
        let width = shape.in_channels / shape.groups;
        let len = taps.len() * width * LANES;
        let block = |(block, out): (usize, &mut [f32])| {
            let mut registers = NO_REGISTERS;
            for row in 0..shape.output[0] {
                let start = block * x_planes.plane()
                    + (row * shape.strides[0] + x_planes.halo.top - shape.pads[0]) * x_planes.pitch()
                    + (x_planes.halo.left - shape.pads[1]) * LANES;
                let y = out_planes.at(0, row, 0);
                let y = &mut out[y..y + shape.output[1] * LANES];
                let row_of = Row {
                    x: &x[start..x_planes.len()],
                    step: shape.strides[1] * LANES,
                    taps: &taps,
                    weights: &self.weights[block * len..][..len],
                    bias: &self.bias[block * LANES..][..LANES],
                    bounds,
                };
                self.row(&row_of, width, y);
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

    fn row(&self, row: &Row<'_>, width: usize, out: &mut [f32]) {
        let last = (out.len() / LANES - 1) * row.step + row.taps.last().copied().unwrap_or(0) + LANES;
        let n_weights = row.taps.len() * width * LANES;
        assert!(row.x.len() >= last && row.weights.len() == n_weights, "every tap lies in the image");
        match (self.isa, width) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the processor features; taps ascend, so the assertion covers all of them.
            (Isa::Avx512, 2) => unsafe { avx512::<2>(row, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the processor features; taps ascend, so the assertion covers all of them.
            (Isa::Avx512, 4) => unsafe { avx512::<4>(row, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the processor features; taps ascend, so the assertion covers all of them.
            (Isa::Avx512, _) => unsafe { avx512::<8>(row, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the processor features; taps ascend, so the assertion covers all of them.
            (Isa::Avx2, 2) => unsafe { avx2::<2>(row, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the processor features; taps ascend, so the assertion covers all of them.
            (Isa::Avx2, 4) => unsafe { avx2::<4>(row, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the processor features; taps ascend, so the assertion covers all of them.
            (Isa::Avx2, _) => unsafe { avx2::<8>(row, out) },
            (Isa::Portable, _) => portable(row, width, out),
        }
    }
}

/// # Safety
/// Needs AVX-512 F, and every tap of every pixel inside `row.x`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const G: usize>(row: &Row<'_>, out: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe { compute_row::<Avx512, G, 8>(row, out) }
}

/// # Safety
/// Needs AVX2 and FMA, and every tap of every pixel inside `row.x`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const G: usize>(row: &Row<'_>, out: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe { compute_row::<Avx2, G, 2>(row, out) }
}

/// # Safety
/// Needs the processor features of `V`, and every tap of every pixel inside `row.x`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn compute_row<V: Lanes, const G: usize, const T: usize>(row: &Row<'_>, out: &mut [f32]) {
    let width = out.len() / LANES;
    let mut column = 0;
    // SAFETY: the caller's contract; `column + T <= width`.
    unsafe {
        while column + T <= width {
            pixels::<V, G, T>(row, column, out);
            column += T;
        }
        while column < width {
            pixels::<V, G, 1>(row, column, out);
            column += 1;
        }
    }
}

/// # Safety
/// As [`compute_row`], for the `T` pixels from `column` on.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn pixels<V: Lanes, const G: usize, const T: usize>(row: &Row<'_>, column: usize, out: &mut [f32]) {
    // SAFETY: the caller's contract; `spread` gives indices of lanes.
    unsafe {
        let x = row.x.as_ptr().add(column * row.step);
        let mut sums = [V::load(row.bias.as_ptr()); T];
        let mut weights = row.weights.as_ptr();
        for &tap in row.taps {
            let mut pixels = [V::splat(0.0); T];
            for t in 0..T {
                pixels[t] = V::load(x.add(tap + t * row.step));
            }
            for c in 0..G {
                let (w, order) = (V::load(weights), const { spread::<G>() }[c]);
                for t in 0..T {
                    sums[t] = sums[t].fused(w, pixels[t].permuted(&order));
                }
                weights = weights.add(LANES);
            }
        }
        let (low, high) = (V::splat(row.bounds.low), V::splat(row.bounds.high));
        for t in 0..T {
            sums[t].clamp(low, high).store(out.as_mut_ptr().add((column + t) * LANES));
        }
    }
}

/// For channel `c` of a group, the lane that each lane takes it from.
#[cfg(target_arch = "x86_64")]
const fn spread<const G: usize>() -> [[i32; LANES]; G] {
    let mut all = [[0; LANES]; G];
    let mut i = 0;
    while i < G * LANES {
        all[i / LANES][i % LANES] = (i % LANES / G * G + i / LANES) as i32;
        i += 1;
    }
    all
}

/// The safe twin.
fn portable(row: &Row<'_>, width: usize, out: &mut [f32]) {
    for (column, y) in out.chunks_exact_mut(LANES).enumerate() {
        y.copy_from_slice(row.bias);
        for (&tap, weights) in row.taps.iter().zip(row.weights.chunks_exact(width * LANES)) {
            let x = &row.x[tap + column * row.step..][..LANES];
            for (c, weights) in weights.chunks_exact(LANES).enumerate() {
                for (lane, (y, &w)) in y.iter_mut().zip(weights).enumerate() {
                    *y = multiply_add(w, x[lane / width * width + c], *y);
                }
            }
        }
        for y in y {
            *y = row.bounds.apply(*y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::noise;
    use super::*;

    /// In f64, straight from the definition.
    fn naive(shape: &ConvShape, x: &[f32], [height, width]: [usize; 2], weight: &[f32], bias: &[f32]) -> Vec<f64> {
        let group = shape.in_channels / shape.groups;
        let [p, q] = shape.output;
        let mut out = Vec::new();
        for (k, row, column) in
            (0..shape.out_channels).flat_map(|k| (0..p).flat_map(move |r| (0..q).map(move |c| (k, r, c))))
        {
            let mut sum = f64::from(bias[k]);
            for (c, r, s) in (0..group)
                .flat_map(|c| (0..shape.kernel[0]).flat_map(move |r| (0..shape.kernel[1]).map(move |s| (c, r, s))))
            {
                let y = (row * shape.strides[0] + r * shape.dilations[0]).wrapping_sub(shape.pads[0]);
                let z = (column * shape.strides[1] + s * shape.dilations[1]).wrapping_sub(shape.pads[1]);
                if y < height && z < width {
                    let w = weight[((k * group + c) * shape.kernel[0] + r) * shape.kernel[1] + s];
                    sum += f64::from(w) * f64::from(x[((k / group * group + c) * height + y) * width + z]);
                }
            }
            out.push(sum);
        }
        out
    }

    #[test]
    fn every_kernel_matches_the_definition() {
        for (group, groups) in [(2, 1), (2, 11), (4, 4), (4, 9), (8, 2), (8, 7)] {
            for (stride, dilation, extent) in [(1, 1, [5, 19]), (2, 1, [9, 23]), (1, 2, [6, 9])] {
                let channels = group * groups;
                let output = extent.map(|n| (n + 2 * dilation - 2 * dilation - 1) / stride + 1);
                let shape = ConvShape {
                    in_channels: channels,
                    out_channels: channels,
                    groups,
                    kernel: [3; 2],
                    strides: [stride; 2],
                    dilations: [dilation; 2],
                    pads: [dilation; 2],
                    output,
                };
                assert!(PackedGrouped::supports(&shape));
                let (weight, bias) = (noise(channels * group * 9, 1), noise(channels, 2));
                let x = noise(channels * extent[0] * extent[1], 3);
                let plain = Planes::plain(channels, extent[0], extent[1]);
                let halo = shape.halo(extent[0], extent[1]);
                let blocked = Planes { halo, ..Planes::blocked(channels, extent[0], extent[1]) };
                let mut image = vec![f32::NAN; blocked.len()];
                super::super::layout::convert(&x, &plain, &mut image, &blocked);
                let right = naive(&shape, &x, extent, &weight, &bias);
                let to = Planes::blocked(channels, output[0], output[1]);
                for isa in Isa::available() {
                    let packed = PackedGrouped::new(isa, &shape, &weight, &bias);
                    let run = |parallel| {
                        let mut out = vec![f32::NAN; to.len()];
                        packed.run(&shape, (Bounds::NONE, None), (&image, &blocked), (&mut out, &to), parallel);
                        out
                    };
                    let out = run(false);
                    assert_eq!(out, run(true));
                    for (i, right) in right.iter().enumerate() {
                        let (k, pixel) = (i / (output[0] * output[1]), i % (output[0] * output[1]));
                        let y = out[to.at(k / LANES, pixel / output[1], pixel % output[1]) + k % LANES];
                        assert!((f64::from(y) - right).abs() < 1e-5, "{isa:?}, {shape:?}");
                    }
                }
            }
        }
    }
}
