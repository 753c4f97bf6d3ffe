//! x86-64 twins of the portable dot products.
#![allow(unsafe_code, reason = "vector instructions and raw row pointers")]

use std::arch::x86_64::*;

use super::dots::Lane;

/// `vpdpwssd` adds two products to each 32-bit lane, modulo 2^32.
///
/// # Safety
/// The machine has AVX-512 F, BW and VNNI, and every row has `n` lanes.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn avx512_vnni<const F: usize, const P: usize>(
    weights: [&[Lane]; F],
    activations: [&[Lane]; P],
    shift: u32,
    n: usize,
) -> [[u32; P]; F] {
    let count = _mm_cvtsi32_si128(shift as i32);
    let mut acc = [[_mm512_setzero_si512(); P]; F];
    let weights = weights.map(<[Lane]>::as_ptr);
    let activations = activations.map(<[Lane]>::as_ptr);
    for i in 0..n {
        let mut w = [_mm512_setzero_si512(); F];
        for f in 0..F {
            // SAFETY: `i < n` lanes of each row; a lane is 64 bytes, 64-aligned.
            let raw = unsafe { _mm512_load_si512(weights[f].add(i).cast()) };
            w[f] = _mm512_sra_epi16(raw, count);
        }
        for p in 0..P {
            // SAFETY: as above.
            let a = unsafe { _mm512_load_si512(activations[p].add(i).cast()) };
            for f in 0..F {
                acc[f][p] = _mm512_dpwssd_epi32(acc[f][p], w[f], a);
            }
        }
    }
    let mut out = [[0; P]; F];
    for (first, block) in (0..F * P).step_by(16).map(|first| {
        let mut block = [_mm512_setzero_si512(); 16];
        for (j, slot) in block.iter_mut().enumerate().take(F * P - first) {
            *slot = acc[(first + j) / P][(first + j) % P];
        }
        (first, block)
    }) {
        let sums = horizontal_sums(block);
        for (j, &sum) in sums.iter().enumerate().take(F * P - first) {
            out[(first + j) / P][(first + j) % P] = sum;
        }
    }
    out
}

/// One row of weights, shifted differently for each row of activations.
///
/// # Safety
/// The machine has AVX-512 F, BW and VNNI, every row has `n` lanes, and P is at most 16.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn avx512_vnni_each<const P: usize>(
    weights: &[Lane],
    activations: [&[Lane]; P],
    shifts: [u32; P],
    n: usize,
) -> [u32; P] {
    const { assert!(P <= 16, "one accumulator per lane of the horizontal sum") };
    let mut counts = [_mm_setzero_si128(); P];
    for p in 0..P {
        counts[p] = _mm_cvtsi32_si128(shifts[p] as i32);
    }
    let mut acc = [_mm512_setzero_si512(); 16];
    let weights = weights.as_ptr();
    let activations = activations.map(<[Lane]>::as_ptr);
    for i in 0..n {
        // SAFETY: `i < n` lanes of each row; a lane is 64 bytes, 64-aligned.
        let w = unsafe { _mm512_load_si512(weights.add(i).cast()) };
        for p in 0..P {
            // SAFETY: as above.
            let a = unsafe { _mm512_load_si512(activations[p].add(i).cast()) };
            acc[p] = _mm512_dpwssd_epi32(acc[p], _mm512_sra_epi16(w, counts[p]), a);
        }
    }
    let sums = horizontal_sums(acc);
    let mut out = [0; P];
    out.copy_from_slice(&sums[..P]);
    out
}

/// Lane j of the result is the sum of the lanes of `x[j]`: a transposition that adds as it goes.
#[target_feature(enable = "avx512f")]
#[inline]
fn horizontal_sums(x: [__m512i; 16]) -> [u32; 16] {
    let mut pairs = [_mm512_setzero_si512(); 8];
    for j in 0..8 {
        let (a, b) = (x[2 * j], x[2 * j + 1]);
        pairs[j] = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    }
    let mut quads = [_mm512_setzero_si512(); 4];
    for j in 0..4 {
        let (a, b) = (pairs[2 * j], pairs[2 * j + 1]);
        quads[j] = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    }
    let mut halves = [_mm512_setzero_si512(); 2];
    for j in 0..2 {
        halves[j] = fold_quarters(quads[2 * j], quads[2 * j + 1]);
    }
    let mut sums = [0_u32; 16];
    // SAFETY: `sums` has 64 bytes; the store is unaligned.
    unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), fold_quarters(halves[0], halves[1])) };
    sums
}

/// 128-bit quarters a0 + a1, a2 + a3, b0 + b1, b2 + b3.
#[target_feature(enable = "avx512f")]
#[inline]
fn fold_quarters(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi32(_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xDD>(a, b))
}

/// `vpmaddwd` and `vpaddd`, one filter at a time to stay within 16 registers.
///
/// # Safety
/// The machine has AVX2, and every row has `n` lanes.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn avx2<const F: usize, const P: usize>(
    weights: [&[Lane]; F],
    activations: [&[Lane]; P],
    shift: u32,
    n: usize,
) -> [[u32; P]; F] {
    let count = _mm_cvtsi32_si128(shift as i32);
    let mut out = [[0; P]; F];
    for f in 0..F {
        let mut acc = [_mm256_setzero_si256(); P];
        for half in 0..2 * n {
            // SAFETY: row `f` has `n` lanes of two 32-byte halves.
            let raw = unsafe { _mm256_load_si256(weights[f].as_ptr().cast::<__m256i>().add(half)) };
            let w = _mm256_sra_epi16(raw, count);
            for p in 0..P {
                // SAFETY: as above.
                let a = unsafe { _mm256_load_si256(activations[p].as_ptr().cast::<__m256i>().add(half)) };
                // Only −2^15 · −2^15 twice wraps, to −2^31, which is right modulo 2^32.
                acc[p] = _mm256_add_epi32(acc[p], _mm256_madd_epi16(w, a));
            }
        }
        for p in 0..P {
            let mut lanes = [0_u32; 8];
            // SAFETY: `lanes` has 32 bytes; the store is unaligned.
            unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), acc[p]) };
            out[f][p] = lanes.iter().fold(0, |sum: u32, &lane| sum.wrapping_add(lane));
        }
    }
    out
}
