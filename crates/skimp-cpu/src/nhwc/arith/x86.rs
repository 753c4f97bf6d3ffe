//! AVX-512 and AVX2.

#![allow(unsafe_code, reason = "vector instructions")]

use std::arch::x86_64::{
    __m256, __m512, __m512bh, __mmask16, _CMP_GE_OQ, _mm256_add_ps, _mm256_broadcast_ss, _mm256_fmadd_ps,
    _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm512_abs_ps, _mm512_add_ps, _mm512_and_si512,
    _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_mask_mov_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps,
    _mm512_or_si512, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_sub_ps,
};

use super::{Arith, LANES, Rounding};

/// f32 sums in 512-bit registers; needs AVX-512 F.
#[derive(Clone, Copy, Debug)]
pub(in crate::nhwc) struct Avx512F32;

/// bfloat16 pairs in 512-bit registers; needs AVX-512 F and BF16.
#[derive(Clone, Copy, Debug)]
pub(in crate::nhwc) struct Avx512Bf16;

/// Chunked sums in 512-bit registers; needs AVX-512 F.
#[derive(Clone, Copy, Debug)]
pub(in crate::nhwc) struct Avx512Chunked(pub(in crate::nhwc) Rounding);

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
    };
}

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
    unsafe fn fold(self, total: __m512, _: __m512) -> __m512 {
        total
    }

    fn chunk(self) -> usize {
        usize::MAX
    }
}

impl Avx512Chunked {
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

impl Arith for Avx512Chunked {
    memory512!();
    const PAIRS: bool = false;
    const CHUNKED: bool = true;

    #[inline(always)]
    unsafe fn step(self, sum: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the trait.
        unsafe { self.round(_mm512_fmadd_ps(a, b, sum)) }
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
