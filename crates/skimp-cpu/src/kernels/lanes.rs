//! Vectors of 16 lanes.

#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, unused_variables, reason = "vector kernels exist for x86-64")
)]
#![allow(unsafe_code, reason = "vector instructions")]

use super::{Bounds, LANES, multiply_add};

/// Sixteen f32 lanes in registers.
///
/// # Safety
/// Every method needs the processor features of the implementing type. `load` and `store` need 16 readable or
/// writable elements at the pointer (any alignment).
pub(crate) trait Lanes: Copy {
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// `self + a · b`, rounded once.
    unsafe fn fused(self, a: Self, b: Self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    /// Clamps to `[low, high]`; NaN stays NaN.
    unsafe fn clamp(self, low: Self, high: Self) -> Self;
    /// Lane `order[i]` in lane i, of the same eight lanes.
    unsafe fn permuted(self, order: &[i32; 16]) -> Self;
}

/// Sixteen elements of plain code, for processors without vectors of their own here.
#[derive(Clone, Copy)]
pub(crate) struct Plain([f32; LANES]);

impl Plain {
    #[inline(always)]
    fn map(self, f: impl Fn(usize, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| f(lane, self.0[lane])))
    }
}

// SAFETY (all blocks): the trait's contract gives valid pointers.
impl Lanes for Plain {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; LANES])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(from.cast::<[f32; LANES]>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see the trait.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn fused(self, a: Self, b: Self) -> Self {
        self.map(|lane, x| multiply_add(a.0[lane], b.0[lane], x))
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.map(|lane, x| x + other.0[lane])
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.map(|lane, x| x - other.0[lane])
    }

    #[inline(always)]
    unsafe fn clamp(self, low: Self, high: Self) -> Self {
        self.map(|lane, x| Bounds { low: low.0[lane], high: high.0[lane] }.apply(x))
    }

    #[inline(always)]
    unsafe fn permuted(self, order: &[i32; 16]) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane / 8 * 8 + (order[lane] & 7) as usize]))
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_max_ps,
        _mm256_min_ps, _mm256_permutevar8x32_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_ps,
        _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_max_ps, _mm512_min_ps, _mm512_permutexvar_ps,
        _mm512_set1_ps, _mm512_storeu_ps, _mm512_sub_ps,
    };

    use super::Lanes;

    /// One 512-bit register; needs AVX-512 F.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(__m512);

    // SAFETY (all blocks): the trait's contract gives the processor feature and valid pointers.
    impl Lanes for Avx512 {
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm512_set1_ps(x)) }
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm512_loadu_ps(from)) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: see the trait.
            unsafe { _mm512_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        unsafe fn fused(self, a: Self, b: Self) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm512_fmadd_ps(a.0, b.0, self.0)) }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm512_add_ps(self.0, other.0)) }
        }

        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm512_sub_ps(self.0, other.0)) }
        }

        #[inline(always)]
        unsafe fn clamp(self, low: Self, high: Self) -> Self {
            // SAFETY: see the trait. The second operand wins where one is NaN, so NaN passes through.
            unsafe { Self(_mm512_min_ps(high.0, _mm512_max_ps(low.0, self.0))) }
        }

        #[inline(always)]
        unsafe fn permuted(self, order: &[i32; 16]) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm512_permutexvar_ps(_mm512_loadu_si512(order.as_ptr().cast()), self.0)) }
        }
    }

    /// Two 256-bit registers; needs AVX2 and FMA.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256, __m256);

    impl Lanes for Avx2 {
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: see the trait.
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }

        #[inline(always)]
        unsafe fn fused(self, a: Self, b: Self) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm256_fmadd_ps(a.0, b.0, self.0), _mm256_fmadd_ps(a.1, b.1, self.1)) }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
        }

        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
        }

        #[inline(always)]
        unsafe fn clamp(self, low: Self, high: Self) -> Self {
            // SAFETY: see the trait. The second operand wins where one is NaN, so NaN passes through.
            unsafe {
                Self(
                    _mm256_min_ps(high.0, _mm256_max_ps(low.0, self.0)),
                    _mm256_min_ps(high.1, _mm256_max_ps(low.1, self.1)),
                )
            }
        }

        #[inline(always)]
        unsafe fn permuted(self, order: &[i32; 16]) -> Self {
            // SAFETY: see the trait. Only the low three bits of an index count.
            unsafe {
                Self(
                    _mm256_permutevar8x32_ps(self.0, _mm256_loadu_si256(order.as_ptr().cast())),
                    _mm256_permutevar8x32_ps(self.1, _mm256_loadu_si256(order.as_ptr().add(8).cast())),
                )
            }
        }
    }
}
