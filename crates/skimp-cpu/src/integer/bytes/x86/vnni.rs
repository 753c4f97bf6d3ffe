//! Convolution with `vpdpbusd`: 64 products of bytes in one instruction.

use std::arch::x86_64::*;
use std::ops::Range;

use crate::integer::bytes::conv::{Conv, Ends, Images};
use crate::integer::bytes::finish::Finish;
use crate::integer::bytes::layout::{GROUP, LANES, Walk};

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
                1 => whole_and_rest::<1, 16, 8>(conv, finish, images, output, pixels.clone(), block),
                2 => whole_and_rest::<2, 10, 5>(conv, finish, images, output, pixels.clone(), block),
                3 => whole_and_rest::<3, 8, 4>(conv, finish, images, output, pixels.clone(), block),
                _ => whole_and_rest::<4, 6, 2>(conv, finish, images, output, pixels.clone(), block),
            };
        }
    }
}

/// [`tiles`] of `Q` pixels, and what is left over in one of `R` pixels where that is enough.
///
/// # Safety
/// As [`tiles`].
#[inline]
unsafe fn whole_and_rest<const B: usize, const Q: usize, const R: usize>(
    conv: &Conv,
    finish: &Finish,
    images: Images<'_>,
    output: *mut u8,
    pixels: Range<usize>,
    block: usize,
) -> usize {
    let n_rest = pixels.len() % Q;
    let split = if n_rest <= R { pixels.end - n_rest } else { pixels.end };
    // SAFETY: both parts lie within the caller's pixels.
    unsafe {
        tiles::<B, Q>(conv, finish, images, output, pixels.start..split, block);
        tiles::<B, R>(conv, finish, images, output, split..pixels.end, block)
    }
}

/// `B` blocks of channels of all pixels, `Q` pixels at a time; the last tile may reach beyond the end. Returns B.
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
    let plain = finish.vector.as_ref().and_then(|vector| vector.plain());
    let mut walk = Walk::new(&conv.ends.output, pixels.start);
    for first in pixels.clone().step_by(Q) {
        let n = Q.min(pixels.end - first);
        let (mut windows, mut to, mut others) = ([0; Q], [0; Q], [0; Q]);
        for (q, (row, col)) in walk.by_ref().take(n).enumerate() {
            windows[q] = conv.window_at(row, col);
            to[q] = conv.ends.output.at(row, col) + block * LANES;
            others[q] = conv.ends.other.map_or(0, |other| other.at(row, col) + block * LANES);
        }
        // A tile that would reach beyond the end repeats the last pixel.
        let last = windows[n - 1];
        windows[n..].fill(last);
        // SAFETY: the windows are those of output pixels.
        let sums = unsafe { accumulate::<B, Q>(conv, images.input.as_ptr(), &windows, block) };
        if let Some(plain) = &plain {
            let mut factors = [_mm512_setzero_ps(); B];
            for b in 0..B {
                // SAFETY: factors are padded to whole blocks.
                factors[b] = unsafe { plain.factors((block + b) * LANES) };
            }
            for q in 0..n {
                let other = other_of(images, &conv.ends, others[q]);
                for b in 0..B {
                    let bytes = plain.block(factors[b], sums[b][q], block_of(other, b * LANES));
                    // SAFETY: the pixel's blocks lie within the output.
                    unsafe { store(conv, output.add(to[q] + b * LANES), bytes) };
                }
            }
            continue;
        }
        for q in 0..n {
            let other = other_of(images, &conv.ends, others[q]);
            for b in 0..B {
                let channel = (block + b) * LANES;
                // SAFETY: the features are there; `channel` begins a block.
                let bytes = unsafe { super::finish_lanes(finish, channel, sums[b][q], block_of(other, b * LANES)) };
                // SAFETY: the pixel's blocks lie within the output.
                unsafe { store(conv, output.add(to[q] + b * LANES), bytes) };
            }
        }
    }
    B
}

/// Writes a block of bytes of a pixel.
///
/// # Safety
/// The machine has AVX-512; `to` is the place of a pixel's block within the output. An image ends in room for a whole block, and
/// where a pixel is shorter than a block, stores go in the order of pixels, so that the next one overwrites.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store(conv: &Conv, to: *mut u8, bytes: __m128i) {
    // SAFETY: the caller's promise.
    unsafe {
        if conv.ends.output.pitch >= LANES {
            _mm_storeu_si128(to.cast(), bytes);
        } else {
            to.cast::<i32>().write_unaligned(_mm_cvtsi128_si32(bytes));
        }
    }
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

/// The other operand's bytes from a pixel's block on; none where there is no other operand.
#[inline]
fn other_of<'i>(images: Images<'i>, ends: &Ends, at: usize) -> &'i [u8] {
    match images.other {
        Some(bytes) if ends.other.is_some() => &bytes[at..],
        _ => &[],
    }
}

/// A block of bytes; zeros behind the end.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn block_of(bytes: &[u8], at: usize) -> __m128i {
    let mut block = [0_u8; LANES];
    let from = match bytes.get(at..at + LANES) {
        Some(whole) => whole,
        None => {
            block.iter_mut().zip(bytes.iter().skip(at)).for_each(|(to, &from)| *to = from);
            &block
        }
    };
    // SAFETY: 16 bytes lie there.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}
