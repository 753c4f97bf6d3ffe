//! x86-64 twins of the portable counts.
#![allow(unsafe_code, reason = "vector instructions and raw pointers")]

use std::arch::x86_64::*;

use super::kernel::{BLOCK, Eight, Limits, Sums, Windows, Words};
use super::neuron::{Plain, PlainReset};

/// Counts in one register for each window, of eight filters.
macro_rules! accumulate {
    ($windows:ident, $bases:ident, $weights:ident, $n:ident, $op:ident) => {{
        let mut acc = [_mm512_setzero_si512(); $n];
        let mut weight = $weights.as_ptr();
        for &stretch in $windows.stretches {
            let mut rows = [std::ptr::null::<u64>(); $n];
            for p in 0..$n {
                // SAFETY: the caller has checked that every window lies in the words.
                rows[p] = unsafe { $windows.words.as_ptr().add($bases[p] + stretch) };
            }
            for i in 0..$windows.len {
                // SAFETY: the weights have as many entries as the stretches have words; an entry is 64 bytes, 64-aligned.
                let w = unsafe { _mm512_load_si512(weight.cast()) };
                // SAFETY: at most one past the end, as above.
                weight = unsafe { weight.add(1) };
                for p in 0..$n {
                    // SAFETY: `i` is below the length of a stretch.
                    let a = _mm512_set1_epi64(unsafe { rows[p].add(i).read() }.cast_signed());
                    acc[p] = _mm512_add_epi64(acc[p], _mm512_popcnt_epi64($op(a, w)));
                }
            }
        }
        acc
    }};
}

/// # Safety
/// The machine has AVX-512 F and VPOPCNTDQ, the windows lie in the words, and the weights are as long as a window.
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
pub(super) unsafe fn avx512<const P: usize>(windows: &Windows<'_>, bases: [usize; P], weights: &[Words]) -> [Eight; P] {
    let acc = if windows.is_spikes {
        accumulate!(windows, bases, weights, P, _mm512_and_si512)
    } else {
        accumulate!(windows, bases, weights, P, _mm512_xor_si512)
    };
    let mut counts = [Eight::ZERO; P];
    for p in 0..P {
        // SAFETY: an entry is 64 bytes, 64-aligned.
        unsafe { _mm512_store_si512((&raw mut counts[p]).cast(), acc[p]) };
    }
    counts
}

/// # Safety
/// As [`avx512`], and every offset index is that of an entry.
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
pub(super) unsafe fn avx512_fires<const P: usize>(
    windows: &Windows<'_>,
    bases: [usize; P],
    weights: &[Words],
    limits: &Limits<'_>,
    offset_idx: [usize; P],
    shifts: [i64; P],
) -> [u8; P] {
    let acc = if windows.is_spikes {
        accumulate!(windows, bases, weights, P, _mm512_and_si512)
    } else {
        accumulate!(windows, bases, weights, P, _mm512_xor_si512)
    };
    // SAFETY: an entry is 64 bytes, 64-aligned.
    let limit = unsafe { _mm512_load_si512((&raw const *limits.limit).cast()) };
    let mut bytes = [0; P];
    for p in 0..P {
        // SAFETY: the caller has checked the index; an entry is 64 bytes, 64-aligned.
        let offset = unsafe { _mm512_load_si512(limits.offsets.as_ptr().add(offset_idx[p]).cast()) };
        let shift = _mm512_set1_epi64(shifts[p]);
        let value = _mm512_sub_epi64(_mm512_sub_epi64(_mm512_add_epi64(acc[p], acc[p]), offset), shift);
        bytes[p] = _mm512_cmple_epi64_mask(value, limit) ^ limits.flip;
    }
    bytes
}

/// Counts of bytes are added up before they are widened, at most this many.
const BYTE_ROUNDS: usize = 31;

/// # Safety
/// The machine has AVX2, the windows lie in the words, and the weights are as long as a window.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn avx2<const P: usize>(windows: &Windows<'_>, bases: [usize; P], weights: &[Words]) -> [Eight; P] {
    let nibbles = _mm256_setr_epi8(
        0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
    );
    let low = _mm256_set1_epi8(0x0f);
    let zero = _mm256_setzero_si256();
    let mut counts = [Eight::ZERO; P];
    for p in 0..P {
        let mut wide = [zero; 2];
        let mut weight = weights.as_ptr();
        for &stretch in windows.stretches {
            // SAFETY: the caller has checked that every window lies in the words.
            let row = unsafe { windows.words.as_ptr().add(bases[p] + stretch) };
            let mut i = 0;
            while i < windows.len {
                let n = BYTE_ROUNDS.min(windows.len - i);
                let mut narrow = [zero; 2];
                for j in i..i + n {
                    // SAFETY: `j` is below the length of a stretch.
                    let a = _mm256_set1_epi64x(unsafe { row.add(j).read() }.cast_signed());
                    for (half, narrow) in narrow.iter_mut().enumerate() {
                        // SAFETY: the weights have as many entries as the stretches have words; an entry is two halves.
                        let w = unsafe { _mm256_load_si256(weight.cast::<__m256i>().add(half)) };
                        let bits = if windows.is_spikes { _mm256_and_si256(a, w) } else { _mm256_xor_si256(a, w) };
                        let lows = _mm256_shuffle_epi8(nibbles, _mm256_and_si256(bits, low));
                        let highs = _mm256_shuffle_epi8(nibbles, _mm256_and_si256(_mm256_srli_epi16::<4>(bits), low));
                        *narrow = _mm256_add_epi8(*narrow, _mm256_add_epi8(lows, highs));
                    }
                    // SAFETY: at most one past the end, as above.
                    weight = unsafe { weight.add(1) };
                }
                for half in 0..2 {
                    wide[half] = _mm256_add_epi64(wide[half], _mm256_sad_epu8(narrow[half], zero));
                }
                i += n;
            }
        }
        for (half, wide) in wide.iter().enumerate() {
            // SAFETY: an entry is two halves, 64-aligned.
            unsafe { _mm256_store_si256((&raw mut counts[p]).cast::<__m256i>().add(half), *wide) };
        }
    }
    counts
}

/// For each of up to eight rows of numbers, a bit in each byte where the number is above `threshold`, or at it with `is_at_above`.
///
/// # Safety
/// The machine has AVX-512 F, BW and VL, and every row is as long as `bytes`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn avx512_above(rows: &[&[f32]], threshold: f32, is_at_above: bool, bytes: &mut [u8]) {
    const LANES: usize = 16;
    let limit = _mm512_set1_ps(threshold);
    let n = bytes.len();
    let mut at = 0;
    while at < n {
        let n_left = (n - at).min(LANES);
        let used = if n_left == LANES { u16::MAX } else { (1 << n_left) - 1 };
        let mut sums = _mm_setzero_si128();
        for (j, row) in rows.iter().enumerate() {
            // SAFETY: lanes that are not `used` are not read.
            let x = unsafe { _mm512_maskz_loadu_ps(used, row.as_ptr().add(at)) };
            let above = if is_at_above {
                _mm512_mask_cmp_ps_mask::<_CMP_GE_OQ>(used, x, limit)
            } else {
                _mm512_mask_cmp_ps_mask::<_CMP_GT_OQ>(used, x, limit)
            };
            sums = _mm_or_si128(sums, _mm_maskz_set1_epi8(above, (1_u8 << j).cast_signed()));
        }
        // SAFETY: lanes that are not `used` are not written.
        unsafe { _mm_mask_storeu_epi8(bytes.as_mut_ptr().add(at).cast(), used, sums) };
        at += n_left;
    }
}

/// Registers of a block.
const REGISTERS: usize = BLOCK / 16;

/// # Safety
/// The machine has AVX-512 F, and every channel has a row.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn avx512_add_rows(rows: &[Sums], channels: &[u32], sums: &mut Sums) {
    let mut even = [_mm512_setzero_ps(); REGISTERS];
    let mut odd = [_mm512_setzero_ps(); REGISTERS];
    let out = sums.0.as_mut_ptr();
    for (i, even) in even.iter_mut().enumerate() {
        // SAFETY: a block has as many numbers as its registers, 64-aligned.
        *even = unsafe { _mm512_load_ps(out.add(16 * i)) };
    }
    let (pairs, rest) = channels.as_chunks::<2>();
    let row = |channel: u32| {
        // SAFETY: the caller knows that every channel has a row.
        unsafe { rows.as_ptr().add(channel as usize).cast::<f32>() }
    };
    for &[a, b] in pairs {
        let (a, b) = (row(a), row(b));
        for i in 0..REGISTERS {
            // SAFETY: a row is a block, 64-aligned.
            even[i] = _mm512_add_ps(even[i], unsafe { _mm512_load_ps(a.add(16 * i)) });
            // SAFETY: as above.
            odd[i] = _mm512_add_ps(odd[i], unsafe { _mm512_load_ps(b.add(16 * i)) });
        }
    }
    for &channel in rest {
        let a = row(channel);
        for (i, even) in even.iter_mut().enumerate() {
            // SAFETY: as above.
            *even = _mm512_add_ps(*even, unsafe { _mm512_load_ps(a.add(16 * i)) });
        }
    }
    for i in 0..REGISTERS {
        // SAFETY: as above.
        unsafe { _mm512_store_ps(out.add(16 * i), _mm512_add_ps(even[i], odd[i])) };
    }
}

/// # Safety
/// The machine has AVX-512 F, BW and VL, and the slices have one length.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn avx512_integrate(
    neuron: Plain,
    threshold: f32,
    x: &[f32],
    v: &[f32],
    next: &mut [f32],
    bytes: &mut [u8],
    j: usize,
) {
    const LANES: usize = 16;
    let (leak, gain, limit) = (_mm512_set1_ps(neuron.leak), _mm512_set1_ps(neuron.gain), _mm512_set1_ps(threshold));
    let bit = (1_u8 << j).cast_signed();
    let n = x.len();
    let mut at = 0;
    while at < n {
        let n_left = (n - at).min(LANES);
        let used = if n_left == LANES { u16::MAX } else { (1 << n_left) - 1 };
        // SAFETY: lanes that are not `used` are not read.
        let (x, v) = unsafe {
            (_mm512_maskz_loadu_ps(used, x.as_ptr().add(at)), _mm512_maskz_loadu_ps(used, v.as_ptr().add(at)))
        };
        let u = _mm512_add_ps(_mm512_mul_ps(leak, v), _mm512_mul_ps(gain, x));
        let fires = if neuron.is_strict {
            _mm512_mask_cmp_ps_mask::<_CMP_GT_OQ>(used, u, limit)
        } else {
            _mm512_mask_cmp_ps_mask::<_CMP_GE_OQ>(used, u, limit)
        };
        let behind = match neuron.reset {
            PlainReset::None => u,
            PlainReset::Subtract => _mm512_mask_sub_ps(u, fires, u, limit),
            PlainReset::To(value) => _mm512_mask_mov_ps(u, fires, _mm512_set1_ps(value)),
        };
        // SAFETY: lanes that are not `used` are neither read nor written.
        unsafe {
            _mm512_mask_storeu_ps(next.as_mut_ptr().add(at), used, behind);
            let target = bytes.as_mut_ptr().add(at).cast::<i8>();
            let before = _mm_maskz_loadu_epi8(used, target);
            _mm_mask_storeu_epi8(target, used, _mm_or_si128(before, _mm_maskz_set1_epi8(fires, bit)));
        }
        at += n_left;
    }
}
