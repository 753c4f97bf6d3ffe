//! Convolution with `vpmaddwd`: bytes widened to 16 bits, since sums of two products of bytes do not fit 16 bits.

use std::arch::x86_64::*;
use std::ops::Range;

use crate::integer::bytes::conv::{Conv, Images};
use crate::integer::bytes::finish::Finish;
use crate::integer::bytes::layout::{GROUP, LANES};

/// Pixels that pass while weights stay in registers.
const TILE: usize = 4;

/// All channels of some output pixels.
///
/// # Safety
/// The machine has AVX2; input, output and other operand are whole images of the layer's layouts; `pixels` is within the
/// output.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn pixels(conv: &Conv, finish: &Finish, images: Images<'_>, output: *mut u8, pixels: Range<usize>) {
    for block in 0..conv.n_blocks() {
        let mut first = pixels.start;
        while first < pixels.end {
            let mut windows = [0; TILE];
            for (q, window) in windows.iter_mut().enumerate() {
                *window = conv.window((first + q).min(pixels.end - 1));
            }
            // SAFETY: the windows are those of output pixels, and the block exists.
            let sums = unsafe { accumulate(conv, images.input.as_ptr(), &windows, block) };
            for (q, sums) in sums.iter().enumerate().take(pixels.end - first) {
                let mut other = [0; LANES];
                if let (Some(bytes), Some(layout)) = (images.other, conv.ends.other) {
                    let own = &bytes[layout.pixel(first + q) + block * LANES..];
                    other.iter_mut().zip(own).for_each(|(to, from)| *to = *from);
                }
                let bytes = finish.block(block * LANES, sums, &other);
                let n = LANES.min(conv.ends.output.pitch - block * LANES);
                let to = conv.ends.output.pixel(first + q) + block * LANES;
                // SAFETY: the pixel's block lies within the output.
                unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), output.add(to), n) };
            }
            first += TILE;
        }
    }
}

/// The accumulators of a block at some windows.
///
/// # Safety
/// As [`pixels`]; `windows` are positions of windows in the image at `x`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn accumulate(conv: &Conv, x: *const u8, windows: &[usize; TILE], block: usize) -> [[i32; LANES]; TILE] {
    // Lanes 0-1, 2-3, ... of four channels: every lane's sum is that of two neighbors.
    let mut sums = [[_mm256_setzero_si256(); 4]; TILE];
    // SAFETY: the block exists.
    let mut weight = unsafe { conv.weight.as_ptr().add(block * conv.block_bytes()) };
    for &tap in &conv.taps {
        for group in 0..conv.n_groups {
            let mut w = [_mm256_setzero_si256(); 4];
            for (i, w) in w.iter_mut().enumerate() {
                // SAFETY: 64 weight bytes belong to a group.
                *w = _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(weight.add(16 * i).cast()) });
            }
            // SAFETY: at most one past the block's end.
            weight = unsafe { weight.add(LANES * GROUP) };
            for q in 0..TILE {
                // SAFETY: the tap of a window has `n_groups` groups of four bytes.
                let bytes = unsafe { x.add(windows[q] + tap + group * GROUP).cast::<i32>().read_unaligned() };
                let bytes = _mm256_cvtepu8_epi16(_mm_set1_epi32(bytes));
                for i in 0..4 {
                    sums[q][i] = _mm256_add_epi32(sums[q][i], _mm256_madd_epi16(bytes, w[i]));
                }
            }
        }
    }
    let mut lanes = [[0; LANES]; TILE];
    for q in 0..TILE {
        for i in 0..4 {
            let mut halves = [0_i32; 8];
            // SAFETY: `halves` has 32 bytes.
            unsafe { _mm256_storeu_si256(halves.as_mut_ptr().cast(), sums[q][i]) };
            for lane in 0..4 {
                let k = 4 * i + lane;
                let sum = halves[2 * lane].wrapping_add(halves[2 * lane + 1]);
                lanes[q][k] = sum.wrapping_add(conv.init[block * LANES + k]);
            }
        }
    }
    lanes
}
