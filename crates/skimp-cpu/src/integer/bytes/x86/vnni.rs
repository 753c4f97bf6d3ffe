//! Convolution with `vpdpbusd`: 64 products of bytes in one instruction.

use std::arch::x86_64::*;
use std::ops::Range;

use crate::integer::bytes::conv::{Conv, Images};
use crate::integer::bytes::finish::Finish;
use crate::integer::bytes::layout::{GROUP, LANES};

/// Weight bytes of a block behind one group of channels.
const STEP: usize = LANES * GROUP;

/// All channels of some output pixels.
///
/// # Safety
/// The machine has AVX-512 F, BW, DQ, VL and VNNI; input, output and other operand are whole images of the layer's
/// layouts; `pixels` is not empty and within the output.
pub(super) unsafe fn pixels(conv: &Conv, finish: &Finish, images: Images<'_>, output: *mut u8, pixels: Range<usize>) {
    let mut block = 0;
    while block < conv.n_blocks() {
        let left = conv.n_blocks() - block;
        // SAFETY: `block` and the blocks after it exist; the rest is the caller's promise.
        unsafe {
            if pixels.len() < 4 {
                block += match left {
                    1 => tiles::<1, 1>(conv, finish, images, output, pixels.clone(), block),
                    2 | 3 => tiles::<2, 1>(conv, finish, images, output, pixels.clone(), block),
                    _ => tiles::<4, 1>(conv, finish, images, output, pixels.clone(), block),
                };
                continue;
            }
            block += match left {
                1 => tiles::<1, 16>(conv, finish, images, output, pixels.clone(), block),
                2 => tiles::<2, 10>(conv, finish, images, output, pixels.clone(), block),
                3 => tiles::<3, 8>(conv, finish, images, output, pixels.clone(), block),
                _ => tiles::<4, 6>(conv, finish, images, output, pixels.clone(), block),
            };
        }
    }
}

/// `B` blocks of channels of all pixels, `Q` pixels at a time; the last tile may begin inside the one before. Returns B.
///
/// # Safety
/// As [`pixels`], and blocks `block .. block + B` exist.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn tiles<const B: usize, const Q: usize>(
    conv: &Conv,
    finish: &Finish,
    images: Images<'_>,
    output: *mut u8,
    pixels: Range<usize>,
    block: usize,
) -> usize {
    let mut first = pixels.start;
    while first < pixels.end {
        // A tile that would reach beyond the end repeats the last pixel.
        let mut windows = [0; Q];
        for (q, window) in windows.iter_mut().enumerate() {
            *window = conv.window((first + q).min(pixels.end - 1));
        }
        // SAFETY: the windows are those of output pixels.
        let sums = unsafe { accumulate::<B, Q>(conv, images.input.as_ptr(), &windows, block) };
        for q in 0..Q.min(pixels.end - first) {
            let to = conv.ends.output.pixel(first + q) + block * LANES;
            let other = match (images.other, conv.ends.other) {
                (Some(bytes), Some(layout)) => &bytes[layout.pixel(first + q) + block * LANES..],
                _ => &[],
            };
            for b in 0..B {
                let channel = (block + b) * LANES;
                // SAFETY: `other` is empty or holds the pixel's blocks.
                let bytes = unsafe { finish_block(finish, channel, sums[b][q], other, b * LANES) };
                // SAFETY: the pixel's blocks lie within the output; an image ends in room for a whole block, and where a
                // pixel is shorter than a block, stores go in the order of pixels, so that the next one overwrites.
                unsafe {
                    if conv.ends.output.pitch >= LANES {
                        _mm_storeu_si128(output.add(to + b * LANES).cast(), bytes);
                    } else {
                        output.add(to).cast::<i32>().write_unaligned(_mm_cvtsi128_si32(bytes));
                    }
                }
            }
        }
        first += Q;
    }
    B
}

/// The accumulators of a tile.
///
/// # Safety
/// As [`tiles`]; `windows` are positions of windows in the image at `x`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn accumulate<const B: usize, const Q: usize>(
    conv: &Conv,
    x: *const u8,
    windows: &[usize; Q],
    block: usize,
) -> [[__m512i; Q]; B] {
    let mut sums = [[_mm512_setzero_si512(); Q]; B];
    for b in 0..B {
        // SAFETY: `init` has whole blocks.
        let init = unsafe { _mm512_loadu_si512(conv.init.as_ptr().add((block + b) * LANES).cast()) };
        sums[b] = [init; Q];
    }
    let block_bytes = conv.block_bytes();
    // SAFETY: the block exists.
    let mut weight = unsafe { conv.weight.as_ptr().add(block * block_bytes) };
    let n_quads = conv.n_groups / 4;
    for &tap in &conv.taps {
        // SAFETY: the tap of a window lies within the image or its halo.
        let x = unsafe { x.add(tap) };
        if n_quads == 0 {
            for group in 0..conv.n_groups {
                // SAFETY: `weight` runs over the block; a window's tap has `n_groups` groups.
                unsafe { step::<B, Q, 1>(&mut sums, x.add(group * GROUP), windows, weight, block_bytes) };
                // SAFETY: at most one past the block's end.
                weight = unsafe { weight.add(STEP) };
            }
            continue;
        }
        for quad in 0..n_quads {
            // SAFETY: as above, four groups at once.
            unsafe { step::<B, Q, 4>(&mut sums, x.add(quad * 4 * GROUP), windows, weight, block_bytes) };
            // SAFETY: as above.
            weight = unsafe { weight.add(4 * STEP) };
        }
    }
    sums
}

/// Adds the products of `J` groups of channels.
///
/// # Safety
/// `J` groups lie at every window of `x`, and their weights, for `B` blocks, at `weight`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn step<const B: usize, const Q: usize, const J: usize>(
    sums: &mut [[__m512i; Q]; B],
    x: *const u8,
    windows: &[usize; Q],
    weight: *const i8,
    block_bytes: usize,
) {
    // SAFETY: the caller's promise.
    let load = |b: usize, j: usize| unsafe { _mm512_loadu_si512(weight.add(b * block_bytes + j * STEP).cast()) };
    if B <= 2 {
        // Few blocks: their weights stay in registers while the pixels pass.
        let mut w = [[_mm512_setzero_si512(); J]; B];
        for b in 0..B {
            for j in 0..J {
                w[b][j] = load(b, j);
            }
        }
        for q in 0..Q {
            // SAFETY: the caller's promise.
            let at = unsafe { x.add(windows[q]) };
            for j in 0..J {
                // SAFETY: as above.
                let bytes = _mm512_set1_epi32(unsafe { at.add(j * GROUP).cast::<i32>().read_unaligned() });
                for b in 0..B {
                    sums[b][q] = _mm512_dpbusd_epi32(sums[b][q], bytes, w[b][j]);
                }
            }
        }
    } else {
        for j in 0..J {
            let mut w = [_mm512_setzero_si512(); B];
            for b in 0..B {
                w[b] = load(b, j);
            }
            for q in 0..Q {
                // SAFETY: the caller's promise.
                let at = unsafe { x.add(windows[q] + j * GROUP) };
                // SAFETY: as above.
                let bytes = _mm512_set1_epi32(unsafe { at.cast::<i32>().read_unaligned() });
                for b in 0..B {
                    sums[b][q] = _mm512_dpbusd_epi32(sums[b][q], bytes, w[b]);
                }
            }
        }
    }
}

/// The bytes of one block of one pixel.
///
/// # Safety
/// The machine has the features; `other` is empty or holds 16 bytes at `at`, or ends before.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn finish_block(finish: &Finish, channel: usize, sums: __m512i, other: &[u8], at: usize) -> __m128i {
    let mut bytes = [0_u8; LANES];
    let others = match other.get(at..at + LANES) {
        // SAFETY: 16 bytes lie there.
        Some(block) => unsafe { _mm_loadu_si128(block.as_ptr().cast()) },
        None => {
            for (byte, &other) in bytes.iter_mut().zip(other.iter().skip(at)) {
                *byte = other;
            }
            // SAFETY: `bytes` has 16 bytes.
            unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
        }
    };
    // SAFETY: the features are there; `channel` begins a block.
    unsafe { super::finish_lanes(finish, channel, sums, others) }
}
