//! Depthwise convolution, 16 channels at a time.

use std::arch::x86_64::*;

use crate::integer::bytes::conv::Images;
use crate::integer::bytes::depthwise::Depthwise;
use crate::integer::bytes::layout::{LANES, Walk};

/// Runs a layer whose pixels are whole blocks, on one image. The caller has detected AVX-512 with VNNI.
pub(in crate::integer::bytes) fn run(layer: &Depthwise, images: Images<'_>, output: &mut [u8]) {
    let ends = layer.ends;
    assert!(images.input.len() >= ends.input.n_bytes() && ends.input.pitch >= LANES, "the input is a whole image");
    assert!(output.len() >= ends.output.n_bytes() && ends.output.pitch >= LANES, "the output is a whole image");
    if let (Some(layout), Some(bytes)) = (ends.other, images.other) {
        assert!(bytes.len() >= layout.n_bytes() && layout.pitch >= LANES, "the other operand is a whole image");
    }
    // SAFETY: the caller detected the features; the images are whole.
    unsafe { pixels(layer, images, output.as_mut_ptr()) };
}

/// # Safety
/// The machine has the features; input, output and other operand are whole images with pixels of whole blocks.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn pixels(layer: &Depthwise, images: Images<'_>, output: *mut u8) {
    let padded = layer.init.len();
    let x = images.input.as_ptr();
    let plain = layer.finish.vector.as_ref().and_then(|vector| vector.plain());
    for (row, col) in Walk::new(&layer.ends.output, 0).take(layer.ends.output.n_pixels()) {
        let (from, to) = (layer.window_at(row, col), layer.ends.output.at(row, col));
        for first in (0..padded).step_by(LANES) {
            // SAFETY: `init` has whole blocks.
            let mut sums = unsafe { _mm512_loadu_si512(layer.init.as_ptr().add(first).cast()) };
            for (i, [a, b]) in layer.pairs.iter().enumerate() {
                // SAFETY: the blocks of a window's taps lie in the image, and `pair_weight` has whole blocks per pair.
                let (a, b, weights) = unsafe {
                    (
                        _mm_loadu_si128(x.add(from + a + first).cast()),
                        _mm_loadu_si128(x.add(from + b + first).cast()),
                        _mm512_loadu_si512(layer.pair_weight.as_ptr().add(2 * (i * padded + first)).cast()),
                    )
                };
                // Both bytes of a channel side by side, widened to 16 bits.
                let bytes = _mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b));
                sums = _mm512_dpwssd_epi32(sums, _mm512_cvtepu8_epi16(bytes), weights);
            }
            let other = match (images.other, layer.ends.other) {
                // SAFETY: the pixel's blocks lie in the other operand's image.
                (Some(bytes), Some(layout)) => unsafe {
                    _mm_loadu_si128(bytes.as_ptr().add(layout.at(row, col) + first).cast())
                },
                _ => _mm_setzero_si128(),
            };
            let bytes = match &plain {
                // SAFETY: factors are padded to whole blocks.
                Some(plain) => plain.block(unsafe { plain.factors(first) }, sums, other),
                // SAFETY: the features are there; blocks of channels are whole.
                None => unsafe { super::finish_lanes(&layer.finish, first, sums, other) },
            };
            // SAFETY: the pixel's blocks lie within the output.
            unsafe { _mm_storeu_si128(output.add(to + first).cast(), bytes) };
        }
    }
}
