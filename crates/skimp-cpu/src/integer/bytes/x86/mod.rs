//! x86-64 twins of the portable kernels.
#![allow(unsafe_code, reason = "vector instructions and raw pointers")]
#![allow(clippy::needless_range_loop, reason = "register tiles are indexed")]

mod avx2;
pub(super) mod depthwise;
pub(super) mod finish;
pub(super) mod quantize;
mod vnni;

use std::arch::x86_64::*;
use std::ops::Range;

use super::Isa;
use super::conv::{Conv, Images};
use super::finish::Finish;
use super::layout::LANES;

/// A pointer that several threads write disjoint pixels through.
#[derive(Clone, Copy)]
struct Output(*mut u8);

// SAFETY: every thread writes the pixels of its own range only, and a pixel's bytes are its own.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

impl Output {
    fn get(self) -> *mut u8 {
        self.0
    }
}

/// Runs a layer on one image in `n_parts` parts, on as many threads as there are.
pub(super) fn run(conv: &Conv, finish: &Finish, images: Images<'_>, output: &mut [u8], isa: Isa, n_parts: usize) {
    let n_pixels = conv.ends.output.n_pixels();
    assert!(images.input.len() >= conv.ends.input.n_bytes(), "the input is a whole image");
    assert!(output.len() >= conv.ends.output.n_bytes(), "the output is a whole image");
    let other_fits = match (conv.ends.other, images.other) {
        (Some(layout), Some(bytes)) => bytes.len() >= layout.n_bytes() && layout.n_pixels() == n_pixels,
        (None, None) => true,
        _ => false,
    };
    assert!(other_fits, "the other operand is a whole image");
    let output = Output(output.as_mut_ptr());
    let part = |i: usize| i * n_pixels / n_parts..(i + 1) * n_pixels / n_parts;
    if n_parts == 1 {
        pixels(conv, finish, images, output, isa, part(0));
    } else {
        rayon::scope(|scope| {
            for i in 0..n_parts {
                scope.spawn(move |_| pixels(conv, finish, images, output, isa, part(i)));
            }
        });
    }
}

fn pixels(conv: &Conv, finish: &Finish, images: Images<'_>, output: Output, isa: Isa, pixels: Range<usize>) {
    if pixels.is_empty() {
        return;
    }
    match isa {
        // SAFETY: an `Isa` exists only where it was detected; `run` checked the images.
        Isa::Avx512Vnni => unsafe { vnni::pixels(conv, finish, images, output.get(), pixels) },
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::pixels(conv, finish, images, output.get(), pixels) },
        Isa::Portable => {}
    }
}

/// The bytes of one block of channels, by vectors where they can.
///
/// # Safety
/// The machine has AVX-512 F, BW, DQ and VL; 16 channels follow `channel`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn finish_lanes(finish: &Finish, channel: usize, sums: __m512i, others: __m128i) -> __m128i {
    if let Some(vector) = &finish.vector {
        // SAFETY: the caller's promise.
        return unsafe { vector.block(channel, sums, others) };
    }
    let (mut lanes, mut bytes) = ([0_i32; LANES], [0_u8; LANES]);
    // SAFETY: both arrays have the length of the vectors.
    unsafe {
        _mm512_storeu_si512(lanes.as_mut_ptr().cast(), sums);
        _mm_storeu_si128(bytes.as_mut_ptr().cast(), others);
    }
    let done = finish.block(channel, &lanes, &bytes);
    // SAFETY: `done` has 16 bytes.
    unsafe { _mm_loadu_si128(done.as_ptr().cast()) }
}
