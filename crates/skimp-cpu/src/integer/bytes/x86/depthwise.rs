//! Depthwise convolution, 16 channels at a time.

use std::arch::x86_64::*;

use crate::integer::bytes::conv::Images;
use crate::integer::bytes::depthwise::Depthwise;
use crate::integer::bytes::layout::LANES;

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
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn pixels(layer: &Depthwise, images: Images<'_>, output: *mut u8) {
    let padded = layer.init.len();
    for pixel in 0..layer.ends.output.n_pixels() {
        let (from, to) = (layer.window(pixel), layer.ends.output.pixel(pixel));
        for first in (0..padded).step_by(LANES) {
            // SAFETY: `init` has whole blocks.
            let mut sums = unsafe { _mm512_loadu_si512(layer.init.as_ptr().add(first).cast()) };
            for (i, tap) in layer.taps.iter().enumerate() {
                // SAFETY: the block of a window's tap lies in the image, and `weight` has whole blocks per tap.
                let (x, w) = unsafe {
                    (
                        _mm_loadu_si128(images.input.as_ptr().add(from + tap + first).cast()),
                        _mm256_loadu_si256(layer.weight.as_ptr().add(i * padded + first).cast()),
                    )
                };
                let product = _mm512_mullo_epi32(_mm512_cvtepu8_epi32(x), _mm512_cvtepi16_epi32(w));
                sums = _mm512_add_epi32(sums, product);
            }
            let other = match (images.other, layer.ends.other) {
                // SAFETY: the pixel's blocks lie in the other operand's image.
                (Some(bytes), Some(layout)) => unsafe {
                    _mm_loadu_si128(bytes.as_ptr().add(layout.pixel(pixel) + first).cast())
                },
                _ => _mm_setzero_si128(),
            };
            // SAFETY: the features are there; blocks of channels are whole.
            let bytes = unsafe { super::finish_lanes(&layer.finish, first, sums, other) };
            // SAFETY: the pixel's blocks lie within the output.
            unsafe { _mm_storeu_si128(output.add(to + first).cast(), bytes) };
        }
    }
}
