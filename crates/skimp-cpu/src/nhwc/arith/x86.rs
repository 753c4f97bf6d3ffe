//! AVX-512 and AVX2.

#![allow(unsafe_code, reason = "vector instructions")]

use std::arch::x86_64::{
    __m256, __m512, __m512bh, __m512i, __mmask16, _CMP_GE_OQ, _CMP_GT_OQ, _CMP_LT_OQ, _CMP_UNORD_Q, _mm256_add_ps,
    _mm256_broadcast_ss, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm512_abs_ps,
    _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512, _mm512_castpd_ps, _mm512_castps_pd, _mm512_castps_si512,
    _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_mask_add_epi32, _mm512_mask_mov_ps, _mm512_mask_or_epi32, _mm512_mask_storeu_ps, _mm512_mask_sub_epi32,
    _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_or_si512, _mm512_permutex2var_epi16,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_shuffle_f32x4, _mm512_srli_epi32, _mm512_storeu_ps,
    _mm512_sub_ps, _mm512_testn_epi32_mask, _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd,
    _mm512_unpacklo_ps,
};

use super::{Arith, LANES, Rounding};

/// f32 sums in 512-bit registers; needs AVX-512 F.
#[derive(Clone, Copy, Debug)]
pub(in crate::nhwc) struct Avx512F32;

/// bfloat16 pairs in 512-bit registers; needs AVX-512 F, BW and BF16.
#[derive(Clone, Copy, Debug)]
pub(in crate::nhwc) struct Avx512Bf16;

/// Chunked sums in 512-bit registers, of wide products or not; needs AVX-512 F.
#[derive(Clone, Copy, Debug)]
pub(in crate::nhwc) struct Avx512Chunked<const WIDE: bool>(pub(in crate::nhwc) Rounding);

/// f32 sums in pairs of 256-bit registers; needs AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(in crate::nhwc) struct Avx2F32;

fn mask(n: usize) -> __mmask16 {
    ((1_u32 << n) - 1) as __mmask16
}

// SAFETY (all blocks of this file): the trait's contract gives the processor features and valid pointers.
macro_rules! memory512 {
    () => {
        type V = __m512;
        const WIDE: bool = true;

        #[inline(always)]
        unsafe fn zero() -> __m512 {
            // SAFETY: see the trait.
            unsafe { _mm512_setzero_ps() }
        }

        #[inline(always)]
        unsafe fn splat(from: *const f32) -> __m512 {
            // SAFETY: see the trait.
            unsafe { _mm512_set1_ps(*from) }
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            // SAFETY: see the trait.
            unsafe { _mm512_loadu_ps(from) }
        }

        #[inline(always)]
        unsafe fn load_partial(from: *const f32, n: usize) -> __m512 {
            // SAFETY: see the trait.
            unsafe { _mm512_maskz_loadu_ps(mask(n), from) }
        }

        #[inline(always)]
        unsafe fn store(to: *mut f32, v: __m512) {
            // SAFETY: see the trait.
            unsafe { _mm512_storeu_ps(to, v) }
        }

        #[inline(always)]
        unsafe fn store_partial(to: *mut f32, v: __m512, n: usize) {
            // SAFETY: see the trait.
            unsafe { _mm512_mask_storeu_ps(to, mask(n), v) }
        }

        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            // SAFETY: see the trait.
            unsafe { _mm512_add_ps(a, b) }
        }

        #[inline(always)]
        unsafe fn transpose(rows: &mut [__m512; LANES]) {
            // SAFETY: see the trait.
            unsafe { transpose512(rows) }
        }
    };
}

/// Exchanges rows and columns: within 128-bit quarters first, then the quarters.
///
/// # Safety
/// Needs AVX-512 F.
#[inline(always)]
unsafe fn transpose512(rows: &mut [__m512; LANES]) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut quarters = *rows;
        for i in 0..4 {
            let (a, b, c, d) = (rows[4 * i], rows[4 * i + 1], rows[4 * i + 2], rows[4 * i + 3]);
            let (ab, cd) = (_mm512_castps_pd(_mm512_unpacklo_ps(a, b)), _mm512_castps_pd(_mm512_unpacklo_ps(c, d)));
            quarters[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
            quarters[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
            let (ab, cd) = (_mm512_castps_pd(_mm512_unpackhi_ps(a, b)), _mm512_castps_pd(_mm512_unpackhi_ps(c, d)));
            quarters[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
            quarters[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
        }
        for j in 0..4 {
            let (a, b, c, d) = (quarters[j], quarters[4 + j], quarters[8 + j], quarters[12 + j]);
            let (even, odd) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xDD>(a, b));
            let (even_cd, odd_cd) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xDD>(c, d));
            rows[j] = _mm512_shuffle_f32x4::<0x88>(even, even_cd);
            rows[4 + j] = _mm512_shuffle_f32x4::<0x88>(odd, odd_cd);
            rows[8 + j] = _mm512_shuffle_f32x4::<0xDD>(even, even_cd);
            rows[12 + j] = _mm512_shuffle_f32x4::<0xDD>(odd, odd_cd);
        }
    }
}

/// Words that have a bfloat16 in their high halves: [`bf16`](super::bf16) of each lane; the low halves mean nothing.
///
/// (`vcvtneps2bf16` is no such function: it takes subnormals as zeros, also those that round up to a normal number.)
///
/// # Safety
/// Needs AVX-512 F.
#[inline(always)]
unsafe fn rounded512(x: __m512) -> __m512i {
    // SAFETY: the caller's contract.
    unsafe {
        let bits = _mm512_castps_si512(x);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
        let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
        _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x40_0000))
    }
}

/// Indices of the high halves of 32 words.
const HIGH_HALVES: [u16; 32] = {
    let mut halves = [0; 32];
    let mut i = 0;
    while i < 32 {
        halves[i] = 2 * i as u16 + 1;
        i += 1;
    }
    halves
};

impl Arith for Avx512F32 {
    memory512!();
    const PAIRS: bool = false;
    const CHUNKED: bool = false;

    #[inline(always)]
    unsafe fn step(self, sum: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the trait.
        unsafe { _mm512_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    unsafe fn fold(self, total: __m512, _: __m512) -> __m512 {
        total
    }

    fn chunk(self) -> usize {
        usize::MAX
    }
}

impl Arith for Avx512Bf16 {
    memory512!();
    const PAIRS: bool = true;
    const CHUNKED: bool = false;

    #[inline(always)]
    unsafe fn step(self, sum: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the trait; both types are 512 bits without invariants.
        unsafe {
            let (a, b) = (std::mem::transmute::<__m512, __m512bh>(a), std::mem::transmute::<__m512, __m512bh>(b));
            _mm512_dpbf16_ps(sum, a, b)
        }
    }

    #[inline(always)]
    unsafe fn pair_lanes(even: __m512, odd: __m512) -> __m512 {
        // SAFETY: see the trait.
        unsafe {
            let low = _mm512_srli_epi32::<16>(rounded512(even));
            let high = _mm512_and_si512(rounded512(odd), _mm512_set1_epi32(-1 << 16));
            _mm512_castsi512_ps(_mm512_or_si512(low, high))
        }
    }

    #[inline(always)]
    unsafe fn pair_neighbors(low: __m512, high: __m512) -> __m512 {
        // SAFETY: see the trait; the indices are 512 bits.
        unsafe {
            let halves = _mm512_loadu_si512(HIGH_HALVES.as_ptr().cast());
            _mm512_castsi512_ps(_mm512_permutex2var_epi16(rounded512(low), halves, rounded512(high)))
        }
    }

    #[inline(always)]
    unsafe fn fold(self, total: __m512, _: __m512) -> __m512 {
        total
    }

    fn chunk(self) -> usize {
        usize::MAX
    }
}

/// [`skimp_numerics::fma_to_odd`] of each lane.
///
/// # Safety
/// Needs AVX-512 F.
#[inline(always)]
unsafe fn fma_to_odd(a: __m512, b: __m512, c: __m512) -> __m512 {
    // SAFETY: the caller's contract.
    unsafe {
        let product = _mm512_mul_ps(a, b);
        let near = _mm512_add_ps(product, c);
        let back = _mm512_sub_ps(near, product);
        let error = _mm512_add_ps(_mm512_sub_ps(product, _mm512_sub_ps(near, back)), _mm512_sub_ps(c, back));
        let (zero, one, bits) = (_mm512_setzero_ps(), _mm512_set1_epi32(1), _mm512_castps_si512(near));
        let is_even = _mm512_testn_epi32_mask(bits, one);
        let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(error, zero);
        let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(error, zero);
        let is_positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(near, zero);
        let outward = is_even & ((above & is_positive) | (below & !is_positive));
        let inward = is_even & ((above & !is_positive) | (below & is_positive));
        let bits = _mm512_mask_add_epi32(bits, outward, bits, one);
        _mm512_castsi512_ps(_mm512_mask_sub_epi32(bits, inward, bits, one))
    }
}

impl<const WIDE: bool> Avx512Chunked<WIDE> {
    /// # Safety
    /// Needs AVX-512 F.
    #[inline(always)]
    unsafe fn round(self, x: __m512) -> __m512 {
        // SAFETY: the caller's contract.
        unsafe {
            let largest = _mm512_set1_ps(self.0.largest);
            let lowest = _mm512_set1_ps(-self.0.largest);
            // The second operand wins where one is NaN, so NaN passes through.
            let x = if self.0.saturate { _mm512_max_ps(lowest, _mm512_min_ps(largest, x)) } else { x };
            let exponent = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7F80_0000));
            let power = _mm512_max_ps(_mm512_castsi512_ps(exponent), _mm512_set1_ps(self.0.normal));
            let shift = _mm512_mul_ps(power, _mm512_set1_ps(self.0.magic));
            let rounded = _mm512_sub_ps(_mm512_add_ps(x, shift), shift);
            if self.0.saturate {
                return rounded;
            }
            let past = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(_mm512_abs_ps(x), _mm512_set1_ps(self.0.limit));
            let sign = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(i32::MIN));
            let infinity = _mm512_or_si512(sign, _mm512_set1_epi32(0x7F80_0000));
            _mm512_mask_mov_ps(rounded, past, _mm512_castsi512_ps(infinity))
        }
    }
}

impl<const WIDE: bool> Arith for Avx512Chunked<WIDE> {
    memory512!();
    const PAIRS: bool = false;
    const CHUNKED: bool = true;

    #[inline(always)]
    unsafe fn step(self, sum: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the trait.
        unsafe {
            let sum = if WIDE { fma_to_odd(a, b, sum) } else { _mm512_fmadd_ps(a, b, sum) };
            self.round(sum)
        }
    }

    #[inline(always)]
    unsafe fn fold(self, total: __m512, sum: __m512) -> __m512 {
        // SAFETY: see the trait.
        unsafe { self.round(_mm512_add_ps(total, sum)) }
    }

    fn chunk(self) -> usize {
        self.0.chunk
    }
}

impl Arith for Avx2F32 {
    type V = [__m256; 2];
    const PAIRS: bool = false;
    const CHUNKED: bool = false;
    const WIDE: bool = false;

    #[inline(always)]
    unsafe fn zero() -> Self::V {
        // SAFETY: see the trait.
        unsafe { [_mm256_setzero_ps(); 2] }
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self::V {
        // SAFETY: see the trait.
        unsafe { [_mm256_broadcast_ss(&*from); 2] }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: see the trait.
        unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] }
    }

    #[inline(always)]
    unsafe fn load_partial(from: *const f32, n: usize) -> Self::V {
        let mut lanes = [0.0_f32; LANES];
        // SAFETY: see the trait.
        unsafe {
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), n);
            Self::load(lanes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::V) {
        // SAFETY: see the trait.
        unsafe {
            _mm256_storeu_ps(to, v[0]);
            _mm256_storeu_ps(to.add(8), v[1]);
        }
    }

    #[inline(always)]
    unsafe fn store_partial(to: *mut f32, v: Self::V, n: usize) {
        let mut lanes = [0.0_f32; LANES];
        // SAFETY: see the trait.
        unsafe {
            Self::store(lanes.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, n);
        }
    }

    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: see the trait.
        unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
    }

    #[inline(always)]
    unsafe fn step(self, sum: Self::V, a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: see the trait.
        unsafe { [_mm256_fmadd_ps(a[0], b[0], sum[0]), _mm256_fmadd_ps(a[1], b[1], sum[1])] }
    }

    #[inline(always)]
    unsafe fn fold(self, total: Self::V, _: Self::V) -> Self::V {
        total
    }

    fn chunk(self) -> usize {
        usize::MAX
    }
}
