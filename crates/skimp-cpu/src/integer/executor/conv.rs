//! Convolution of one image as exact floating-point sums.
//!
//! The image is copied into planes by phase: with strides (2, 2), the padded image becomes four planes of every second
//! row and column, so that one tap of all windows lies in one plane at consecutive addresses. Windows are numbered
//! along the plane's rows, including the few positions between two output rows, which are computed and thrown away.
//! A block of output channels times two vectors of windows stays in registers over all taps of some channels.
#![allow(unsafe_code, reason = "vector kernels")]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m256d, __m512, __m512d};

use rayon::prelude::*;
use skimp_graph::shape::{LayerShape, WindowAxis};

use super::vector::{Element, Vector};
use crate::kernels::{Isa, affords_padding};

/// Output channels that one kernel call computes.
pub(super) const BLOCK: usize = 8;

/// Weights and extents of the planes, for one layer on one input shape.
#[derive(Clone, Debug)]
pub(super) struct PlaneLayout {
    /// Phases that some tap reads: row phase, column phase.
    phases: Vec<(usize, usize)>,
    /// Rows and columns of one phase plane.
    rows: usize,
    cols: usize,
    /// Offset of each tap (row by row) from the window's position, within a channel.
    offsets: Vec<usize>,
    /// Window positions that are computed, those between rows included.
    n_positions: usize,
    /// Taken off every code, so that padding is 0.
    zero_point: i32,
}

impl PlaneLayout {
    pub(super) fn new(shape: &LayerShape, zero_point: i32) -> Self {
        let (rows, cols) = (shape.rows(), shape.cols());
        let plane_rows = rows.output.saturating_sub(1) + (rows.kernel - 1) * rows.dilation / rows.stride + 1;
        let plane_cols = cols.output.saturating_sub(1) + (cols.kernel - 1) * cols.dilation / cols.stride + 1;
        let mut phases = Vec::new();
        let mut offsets = Vec::new();
        for r in 0..rows.kernel {
            for s in 0..cols.kernel {
                let (y, x) = (r * rows.dilation, s * cols.dilation);
                let phase = (y % rows.stride, x % cols.stride);
                let idx = phases.iter().position(|&known| known == phase).unwrap_or_else(|| {
                    phases.push(phase);
                    phases.len() - 1
                });
                offsets.push((idx * plane_rows + y / rows.stride) * plane_cols + x / cols.stride);
            }
        }
        let n_positions = match (rows.output, cols.output) {
            (0, _) | (_, 0) => 0,
            (p, q) => (p - 1) * plane_cols + q,
        };
        Self { phases, rows: plane_rows, cols: plane_cols, offsets, n_positions, zero_point }
    }

    /// Whether planes of this shape, padding included, are small enough to be stored.
    pub(super) fn is_affordable(shape: &LayerShape) -> bool {
        let padded = |axis: WindowAxis| {
            let reach = (axis.kernel - 1).checked_mul(axis.dilation)?;
            axis.output.saturating_sub(1).checked_mul(axis.stride)?.checked_add(reach)?.checked_add(1)
        };
        let extents = [shape.rows(), shape.cols()];
        affords_padding(extents.map(padded), extents.map(|axis| axis.input), extents.map(|axis| axis.output))
    }

    /// Elements between two channels.
    pub(super) fn channel_len(&self) -> usize {
        self.phases.len() * self.rows * self.cols
    }
}

/// Copies channels of an image (`[c, h, w]` codes) into planes, with zeros for padding.
#[inline(always)]
fn fill_planes<E: Element>(layout: &PlaneLayout, shape: &LayerShape, image: &[i32], planes: &mut [E]) {
    let (height, width) = (shape.rows().input, shape.cols().input);
    let channel_len = layout.channel_len();
    for c in 0..shape.c() {
        let source = &image[c * height * width..(c + 1) * height * width];
        let channel = &mut planes[c * channel_len..(c + 1) * channel_len];
        for (phase, plane) in layout.phases.iter().zip(channel.chunks_exact_mut(layout.rows * layout.cols)) {
            for (i, row) in plane.chunks_exact_mut(layout.cols).enumerate() {
                let y = (i * shape.rows().stride + phase.0).wrapping_sub(shape.rows().pad_begin);
                if y >= height {
                    row.fill(E::default());
                    continue;
                }
                let line = &source[y * width..(y + 1) * width];
                let (stride, pad, phase) = (shape.cols().stride, shape.cols().pad_begin, phase.1);
                // Columns j with pad ≤ j · stride + phase < pad + width lie on the image.
                let first = pad.saturating_sub(phase).div_ceil(stride).min(layout.cols);
                let end = (pad + width).saturating_sub(phase).div_ceil(stride).clamp(first, layout.cols);
                row[..first].fill(E::default());
                row[end..].fill(E::default());
                if first == end {
                    continue;
                }
                let start = first * stride + phase - pad;
                if stride == 1 {
                    let codes = &line[start..start + end - first];
                    row[first..end]
                        .iter_mut()
                        .zip(codes)
                        .for_each(|(to, &code)| *to = E::from_code(code - layout.zero_point));
                } else {
                    let codes = line[start..].iter().step_by(stride);
                    row[first..end]
                        .iter_mut()
                        .zip(codes)
                        .for_each(|(to, &code)| *to = E::from_code(code - layout.zero_point));
                }
            }
        }
    }
}

/// What one kernel call reads.
struct Tile<'a, E> {
    /// Planes from the first channel of the group on.
    planes: &'a [E],
    channel_len: usize,
    offsets: &'a [usize],
    /// `[channel][tap][BLOCK]`.
    weights: &'a [E],
    /// Channels to sum over, within the group.
    channels: std::ops::Range<usize>,
}

/// Adds the products of some channels to `sums` (`[BLOCK][stride]`), for `N · V::LEN` windows from `position` on.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
unsafe fn kernel<E: Element, V: Vector<E>, const N: usize, const K: usize>(
    tile: &Tile<'_, E>,
    position: usize,
    sums: &mut [E],
    stride: usize,
) {
    let span = N * V::LEN;
    let n_taps = tile.offsets.len();
    let last_offset = tile.offsets.iter().copied().max().unwrap_or(0);
    let reach = (tile.channels.end.max(1) - 1) * tile.channel_len + last_offset + position + span;
    assert!(reach <= tile.planes.len(), "planes end with room for a whole tile");
    assert!(tile.channels.end * n_taps * K <= tile.weights.len(), "weights are packed for every channel");
    assert!((K - 1) * stride + span <= sums.len(), "sums end with room for a whole tile");
    let mut acc = [[V::splat(E::default()); N]; K];
    // SAFETY: the three assertions above bound every address that is read or written below.
    unsafe {
        for (k, row) in acc.iter_mut().enumerate() {
            for (v, a) in row.iter_mut().enumerate() {
                *a = V::load(sums.as_ptr().add(k * stride + v * V::LEN));
            }
        }
        for c in tile.channels.clone() {
            let base = tile.planes.as_ptr().add(c * tile.channel_len + position);
            let mut weight = tile.weights.as_ptr().add(c * n_taps * K);
            for &offset in tile.offsets {
                let mut x = [V::splat(E::default()); N];
                for (v, x) in x.iter_mut().enumerate() {
                    *x = V::load(base.add(offset + v * V::LEN));
                }
                for (k, row) in acc.iter_mut().enumerate() {
                    let w = V::splat(*weight.add(k));
                    for (a, &x) in row.iter_mut().zip(&x) {
                        *a = a.add_product(x, w);
                    }
                }
                weight = weight.add(K);
            }
        }
        for (k, row) in acc.iter().enumerate() {
            for (v, a) in row.iter().enumerate() {
                a.store(sums.as_mut_ptr().add(k * stride + v * V::LEN));
            }
        }
    }
}

/// Most windows that one kernel call computes, over all instruction sets.
pub(super) const MAX_SPAN: usize = 32;

/// Weights of one layer in the order that the kernel reads, and where sums must be taken out to stay exact.
#[derive(Clone, Debug)]
pub(super) struct PackedWeights<E> {
    /// `[group][block][channel][tap][block width]`.
    data: Vec<E>,
    /// Output channels of a group, and how many a block has.
    group_outputs: usize,
    block: usize,
    /// Channels of a group, and taps.
    depth: (usize, usize),
    /// Channel ranges whose sums are exact.
    pub(super) chunks: Vec<std::ops::Range<usize>>,
}

impl<E: Element> PackedWeights<E> {
    /// Packs weights `[k, c / groups, r · s]` whose sums are exact over the channels of each of `chunks`.
    pub(super) fn new(
        weight: &[i32],
        (k, channels, taps): (usize, usize, usize),
        groups: usize,
        chunks: Vec<std::ops::Range<usize>>,
    ) -> Self {
        let group_outputs = k / groups;
        let block = if group_outputs >= BLOCK { BLOCK } else { 1 };
        let n_blocks = group_outputs.div_ceil(block);
        let mut data = vec![E::default(); groups * n_blocks * channels * taps * block];
        for (k_idx, filter) in weight.chunks(channels * taps).enumerate() {
            let (group, within) = (k_idx / group_outputs, k_idx % group_outputs);
            let start = (group * n_blocks + within / block) * channels * taps * block + within % block;
            for (i, &w) in filter.iter().enumerate() {
                data[start + i * block] = E::from_code(w);
            }
        }
        Self { data, group_outputs, block, depth: (channels, taps), chunks }
    }
}

/// Splits the channels so that no sum over a range can exceed the element's limit, and a block's weights over a range
/// stay in the first-level cache's reach. Weights are `[k, c / groups, r · s]`; `greatest` is the greatest magnitude of an
/// activation.
pub(super) fn exact_chunks<E: Element>(
    weight: &[i32],
    channels: usize,
    taps: usize,
    greatest: f64,
) -> Vec<std::ops::Range<usize>> {
    let magnitude = |c: usize| {
        let of_filter =
            |filter: &[i32]| filter[c * taps..(c + 1) * taps].iter().map(|w| f64::from(w.abs())).sum::<f64>();
        weight.chunks(channels * taps).map(of_filter).collect::<Vec<f64>>()
    };
    let mut chunks = Vec::new();
    let mut sums = vec![0.0; weight.len() / (channels * taps).max(1)];
    let mut start = 0;
    for c in 0..channels {
        let next = magnitude(c);
        if c > start && sums.iter().zip(&next).any(|(sum, m)| (sum + m) * greatest > E::LIMIT) {
            chunks.push(start..c);
            start = c;
            sums.fill(0.0);
        }
        sums.iter_mut().zip(&next).for_each(|(sum, m)| *sum += m);
    }
    chunks.push(start..channels);
    chunks
}

/// Reused memory of one thread.
#[derive(Debug, Default)]
pub(super) struct Scratch<E> {
    planes: Vec<E>,
    sums: Vec<E>,
}

/// Channels whose weights, for one block, a kernel call goes through before the next windows follow: 64 kB.
fn cached_channels<E>(taps: usize, block: usize) -> usize {
    (65_536 / (taps * block * size_of::<E>()).max(1)).max(1)
}

/// One block of output channels.
pub(super) struct Block<'a, E> {
    weights: &'a PackedWeights<E>,
    layout: &'a PlaneLayout,
    /// Planes from the first channel of the block's group on.
    planes: &'a [E],
    /// Index of the block over all groups.
    idx: usize,
    /// Output rows and columns.
    extents: (usize, usize),
    isa: Isa,
}

/// Sums of one block, written to `output` (`[channels of the block][p][q]`).
///
/// # Safety
/// The processor has the instructions of `V`, and `N · V::LEN` ≤ [`MAX_SPAN`].
#[inline(always)]
unsafe fn block_sums<E: Element, V: Vector<E>, const N: usize>(
    block: &Block<'_, E>,
    sums: &mut Vec<E>,
    output: &mut [f64],
) {
    let (weights, layout) = (block.weights, block.layout);
    let (channels, taps) = weights.depth;
    let span = N * V::LEN;
    let stride = layout.n_positions.next_multiple_of(span);
    sums.clear();
    sums.resize(weights.block * stride, E::default());
    let block_len = channels * taps * weights.block;
    let step = cached_channels::<E>(taps, weights.block);
    let (p, q) = block.extents;
    for chunk in &weights.chunks {
        if chunk.start > 0 {
            sums.fill(E::default());
        }
        for start in chunk.clone().step_by(step) {
            let tile = Tile {
                planes: block.planes,
                channel_len: layout.channel_len(),
                offsets: &layout.offsets,
                weights: &weights.data[block.idx * block_len..(block.idx + 1) * block_len],
                channels: start..(start + step).min(chunk.end),
            };
            for position in (0..layout.n_positions).step_by(span) {
                // SAFETY: the caller vouches for the instructions.
                unsafe {
                    match weights.block {
                        BLOCK => kernel::<E, V, N, BLOCK>(&tile, position, &mut sums[position..], stride),
                        _ => kernel::<E, V, N, 1>(&tile, position, &mut sums[position..], stride),
                    }
                }
            }
        }
        for (row_idx, row) in output.chunks_exact_mut(q).enumerate() {
            let from = row_idx / p * stride + row_idx % p * layout.cols;
            let row = row.iter_mut().zip(&sums[from..from + q]);
            if chunk.start == 0 {
                row.for_each(|(to, sum)| *to = sum.to_f64());
            } else {
                row.for_each(|(to, sum)| *to += sum.to_f64());
            }
        }
    }
}

/// Products of one image above which blocks go to several threads.
const PARALLEL_MACS: u64 = 1 << 26;

/// Sums of all products of one image, exactly, into `output` (`[k, p, q]`).
pub(super) fn convolve<E: Kernels>(
    isa: Isa,
    weights: &PackedWeights<E>,
    layout: &PlaneLayout,
    shape: &LayerShape,
    image: &[i32],
    scratch: &mut Scratch<E>,
    output: &mut [f64],
) {
    let extents = (shape.rows().output, shape.cols().output);
    let plane = extents.0 * extents.1;
    if plane == 0 || output.is_empty() {
        return;
    }
    let channel_len = layout.channel_len();
    // Every element of the planes is written, so what an earlier image left there does not matter; the end is only
    // read by windows that are thrown away.
    scratch.planes.resize(shape.c() * channel_len + MAX_SPAN, E::default());
    E::fill_planes(layout, shape, image, &mut scratch.planes);
    let n_blocks = weights.group_outputs.div_ceil(weights.block);
    let group_channels = shape.c() / shape.groups();
    let planes = &scratch.planes;
    let blocks = output.chunks_mut(weights.group_outputs * plane).enumerate().flat_map(|(group, outputs)| {
        let parts = outputs.chunks_mut(weights.block * plane).enumerate();
        parts.map(move |(i, output)| {
            let planes = &planes[group * group_channels * channel_len..];
            (Block { weights, layout, planes, idx: group * n_blocks + i, extents, isa }, output)
        })
    });
    let one_image = shape.with_images(1);
    if one_image.dense_macs() < PARALLEL_MACS {
        blocks.for_each(|(block, output)| E::block_sums(&block, &mut scratch.sums, output));
    } else {
        let blocks: Vec<_> = blocks.collect();
        blocks.into_par_iter().for_each_init(Vec::new, |sums, (block, output)| E::block_sums(&block, sums, output));
    }
}

/// The vector code of an element, with the best instructions there are.
pub(super) trait Kernels: Element {
    /// See the function of this name.
    fn fill_planes(layout: &PlaneLayout, shape: &LayerShape, image: &[i32], planes: &mut [Self]);

    /// See the function of this name.
    fn block_sums(block: &Block<'_, Self>, sums: &mut Vec<Self>, output: &mut [f64]);
}

macro_rules! kernels {
    ($element:ty, $avx512:ty, $avx2:ty, $portable:ty) => {
        impl Kernels for $element {
            fn fill_planes(layout: &PlaneLayout, shape: &LayerShape, image: &[i32], planes: &mut [Self]) {
                #[cfg(target_arch = "x86_64")]
                if std::arch::is_x86_feature_detected!("avx2") {
                    #[target_feature(enable = "avx2")]
                    fn avx2(layout: &PlaneLayout, shape: &LayerShape, image: &[i32], planes: &mut [$element]) {
                        fill_planes(layout, shape, image, planes);
                    }
                    // SAFETY: detected above.
                    return unsafe { avx2(layout, shape, image, planes) };
                }
                fill_planes(layout, shape, image, planes);
            }

            fn block_sums(block: &Block<'_, Self>, sums: &mut Vec<Self>, output: &mut [f64]) {
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx512f")]
                fn avx512(block: &Block<'_, $element>, sums: &mut Vec<$element>, output: &mut [f64]) {
                    // SAFETY: this function's features are those of the vector.
                    unsafe { block_sums::<$element, $avx512, 2>(block, sums, output) }
                }
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,fma")]
                fn avx2(block: &Block<'_, $element>, sums: &mut Vec<$element>, output: &mut [f64]) {
                    // SAFETY: this function's features are those of the vector.
                    unsafe { block_sums::<$element, $avx2, 1>(block, sums, output) }
                }
                match block.isa {
                    // SAFETY: an `Isa` is only made where its instructions were detected.
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => unsafe { avx512(block, sums, output) },
                    // SAFETY: as above.
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => unsafe { avx2(block, sums, output) },
                    // SAFETY: the portable vector needs no special instructions.
                    Isa::Portable => unsafe { block_sums::<$element, $portable, 1>(block, sums, output) },
                }
            }
        }
    };
}

kernels!(f32, __m512, __m256, [f32; 8]);
kernels!(f64, __m512d, __m256d, [f64; 4]);

#[cfg(test)]
mod tests {
    use skimp_graph::shape::{LayerShape, Padding, WindowAxis};
    use skimp_numerics::rng::{Draws, stream};

    use super::{Kernels, PackedWeights, PlaneLayout, Scratch, convolve, exact_chunks};
    use crate::kernels::Isa;

    fn axis(draws: &mut Draws) -> WindowAxis {
        let (kernel, stride, dilation) = (draws.between(1, 4), draws.between(1, 3), draws.between(1, 2));
        let span = (kernel - 1) * dilation + 1;
        let (pad_begin, pad_end) = (draws.between(0, 2), draws.between(0, 2));
        let input = draws.between(span, span + 19);
        let padding = Padding::Explicit { begin: pad_begin, end: pad_end };
        WindowAxis::new(input, kernel, stride, dilation, padding).unwrap()
    }

    fn naive(shape: &LayerShape, weight: &[i32], image: &[i32]) -> Vec<f64> {
        let (channels, outputs) = (shape.c() / shape.groups(), shape.k() / shape.groups());
        let (rows, cols) = (shape.rows(), shape.cols());
        let mut sums = Vec::new();
        for k in 0..shape.k() {
            for p in 0..rows.output {
                for q in 0..cols.output {
                    let mut sum = 0_i64;
                    for c in 0..channels {
                        for r in rows.taps(p) {
                            for s in cols.taps(q) {
                                let channel = k / outputs * channels + c;
                                let at =
                                    (channel * rows.input + rows.input_idx(p, r)) * cols.input + cols.input_idx(q, s);
                                let w = weight[((k * channels + c) * rows.kernel + r) * cols.kernel + s];
                                sum += i64::from(image[at]) * i64::from(w);
                            }
                        }
                    }
                    sums.push(sum as f64);
                }
            }
        }
        sums
    }

    /// All instruction sets, on random layers, with activations and weights of `bits`.
    fn check<E: Kernels>(bits: u32) {
        let mut draws = Draws::new(11, stream("cpu/integer/executor/conv"));
        let mut scratch = Scratch::default();
        let limit = 1_usize << bits;
        for case in 0..60 {
            let groups = draws.between(1, 3);
            let (c, k) = (groups * draws.between(1, 20), groups * draws.between(1, 20));
            let axes = [axis(&mut draws), axis(&mut draws)];
            let shape = LayerShape::from_axes(1, [c, k], groups, axes).unwrap();
            let taps = shape.rows().kernel * shape.cols().kernel;
            let weight: Vec<i32> = (0..k * c / groups * taps)
                .map(|_| draws.between(0, limit - 2) as i32 - (limit / 2 - 1) as i32)
                .collect();
            let image: Vec<i32> =
                (0..c * shape.rows().input * shape.cols().input).map(|_| draws.below(limit) as i32).collect();
            let expected = naive(&shape, &weight, &image);
            let chunks = exact_chunks::<E>(&weight, c / groups, taps, (limit - 1) as f64);
            let packed = PackedWeights::<E>::new(&weight, (k, c / groups, taps), groups, chunks);
            let layout = PlaneLayout::new(&shape, 0);
            for isa in Isa::available() {
                let mut sums = vec![f64::NAN; expected.len()];
                convolve(isa, &packed, &layout, &shape, &image, &mut scratch, &mut sums);
                let equal = sums.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(equal, "case {case}, {isa:?}, {bits} bits: {shape:?}");
            }
        }
    }

    #[test]
    fn every_instruction_set_sums_exactly() {
        check::<f64>(16);
        check::<f32>(8);
        check::<f32>(10);
    }
}
