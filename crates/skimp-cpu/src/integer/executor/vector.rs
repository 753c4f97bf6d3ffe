//! Vectors of f32 or f64 for exact sums of integers.
#![allow(unsafe_code, reason = "vector instructions, chosen after run-time detection")]

/// A floating-point element that holds integers exactly up to [`LIMIT`](Element::LIMIT).
pub(super) trait Element: Copy + Default + Send + Sync + std::fmt::Debug {
    /// Sums of integers are exact while no partial sum of magnitudes exceeds this.
    const LIMIT: f64;

    fn from_code(code: i32) -> Self;
    fn to_f64(self) -> f64;
}

impl Element for f32 {
    const LIMIT: f64 = (1_u32 << 24) as f64;

    #[inline(always)]
    fn from_code(code: i32) -> Self {
        code as f32
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Element for f64 {
    const LIMIT: f64 = (1_u64 << 53) as f64;

    #[inline(always)]
    fn from_code(code: i32) -> Self {
        f64::from(code)
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
}

/// A vector register of elements.
///
/// # Safety
/// `load` and `store` touch exactly `LEN` elements. The processor must have the instructions of the implementing type.
pub(super) unsafe trait Vector<E>: Copy {
    /// Elements in a vector.
    const LEN: usize;

    /// Loads `LEN` elements.
    ///
    /// # Safety
    /// `from` is readable for `LEN` elements.
    unsafe fn load(from: *const E) -> Self;

    /// Stores `LEN` elements.
    ///
    /// # Safety
    /// `to` is writable for `LEN` elements.
    unsafe fn store(self, to: *mut E);

    /// All elements equal.
    fn splat(x: E) -> Self;

    /// `self + a · b`. Exact on integers below the limit, fused or not.
    fn add_product(self, a: Self, b: Self) -> Self;
}

macro_rules! portable {
    ($element:ty, $len:literal) => {
        // SAFETY: `load` and `store` copy an array of `LEN` elements; no special instructions are used.
        unsafe impl Vector<$element> for [$element; $len] {
            const LEN: usize = $len;

            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: the caller vouches for `LEN` readable elements.
                unsafe { from.cast::<Self>().read_unaligned() }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                // SAFETY: the caller vouches for `LEN` writable elements.
                unsafe { to.cast::<Self>().write_unaligned(self) }
            }

            #[inline(always)]
            fn splat(x: $element) -> Self {
                [x; $len]
            }

            #[inline(always)]
            fn add_product(mut self, a: Self, b: Self) -> Self {
                for i in 0..$len {
                    self[i] += a[i] * b[i];
                }
                self
            }
        }
    };
}

portable!(f32, 8);
portable!(f64, 4);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m256d, __m512, __m512d, _mm256_fmadd_pd, _mm256_fmadd_ps, _mm256_loadu_pd, _mm256_loadu_ps,
        _mm256_set1_pd, _mm256_set1_ps, _mm256_storeu_pd, _mm256_storeu_ps, _mm512_fmadd_pd, _mm512_fmadd_ps,
        _mm512_loadu_pd, _mm512_loadu_ps, _mm512_set1_pd, _mm512_set1_ps, _mm512_storeu_pd, _mm512_storeu_ps,
    };

    use super::Vector;

    macro_rules! intrinsic {
        ($vector:ty, $element:ty, $len:literal, $load:ident, $store:ident, $splat:ident, $fma:ident) => {
            // SAFETY: the unaligned load and store touch `LEN` elements; `dispatch` checks for the instructions.
            unsafe impl Vector<$element> for $vector {
                const LEN: usize = $len;

                #[inline(always)]
                unsafe fn load(from: *const $element) -> Self {
                    // SAFETY: the caller vouches for `LEN` readable elements.
                    unsafe { $load(from) }
                }

                #[inline(always)]
                unsafe fn store(self, to: *mut $element) {
                    // SAFETY: the caller vouches for `LEN` writable elements.
                    unsafe { $store(to, self) }
                }

                #[inline(always)]
                fn splat(x: $element) -> Self {
                    // SAFETY: `dispatch` has checked for the instructions.
                    unsafe { $splat(x) }
                }

                #[inline(always)]
                fn add_product(self, a: Self, b: Self) -> Self {
                    // SAFETY: `dispatch` has checked for the instructions.
                    unsafe { $fma(a, b, self) }
                }
            }
        };
    }

    intrinsic!(__m512, f32, 16, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_fmadd_ps);
    intrinsic!(__m512d, f64, 8, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_set1_pd, _mm512_fmadd_pd);
    intrinsic!(__m256, f32, 8, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_fmadd_ps);
    intrinsic!(__m256d, f64, 4, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_set1_pd, _mm256_fmadd_pd);
}
