//! Plain code for any processor; also the definition of what the vector instructions compute.

#![allow(unsafe_code, reason = "shares the trait of the vector instructions")]

use skimp_numerics::fma_to_odd;

use super::{Arith, LANES, Rounding};

/// [`Arithmetic::F32`](super::Arithmetic::F32).
#[derive(Clone, Copy, Debug)]
pub(in crate::nhwc) struct PortableF32;

/// [`Arithmetic::Bf16`](super::Arithmetic::Bf16).
#[derive(Clone, Copy, Debug)]
pub(in crate::nhwc) struct PortableBf16;

/// [`Arithmetic::Chunked`](super::Arithmetic::Chunked), of wide products or not.
#[derive(Clone, Copy, Debug)]
pub(in crate::nhwc) struct PortableChunked<const WIDE: bool>(pub(in crate::nhwc) Rounding);

/// Zero of the same sign for subnormals.
#[inline(always)]
pub(in crate::nhwc) fn flush(x: f32) -> f32 {
    if x.is_subnormal() { 0.0_f32.copysign(x) } else { x }
}

/// Adds a pair of terms as `vdpbf16ps` does.
#[inline(always)]
pub(in crate::nhwc) fn step_pair(sum: f32, a: f32, b: f32) -> f32 {
    let term = |word: f32, odd: bool| {
        let bits = if odd { word.to_bits() & 0xFFFF_0000 } else { word.to_bits() << 16 };
        flush(f32::from_bits(bits))
    };
    let sum = flush(term(a, true).mul_add(term(b, true), flush(sum)));
    flush(term(a, false).mul_add(term(b, false), sum))
}

/// Sixteen lanes.
#[inline(always)]
fn lanes(f: impl Fn(usize) -> f32) -> [f32; LANES] {
    let mut v = [0.0; LANES];
    for (i, lane) in v.iter_mut().enumerate() {
        *lane = f(i);
    }
    v
}

macro_rules! memory {
    () => {
        type V = [f32; LANES];
        const WIDE: bool = false;
        const TILED: bool = false;

        #[inline(always)]
        unsafe fn zero() -> Self::V {
            [0.0; LANES]
        }

        #[inline(always)]
        unsafe fn splat(from: *const f32) -> Self::V {
            // SAFETY: the trait's contract.
            [unsafe { from.read() }; LANES]
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::V {
            // SAFETY: the trait's contract.
            unsafe { from.cast::<[f32; LANES]>().read_unaligned() }
        }

        #[inline(always)]
        unsafe fn load_partial(from: *const f32, n: usize) -> Self::V {
            let mut v = [0.0; LANES];
            // SAFETY: the trait's contract.
            v[..n].copy_from_slice(unsafe { std::slice::from_raw_parts(from, n) });
            v
        }

        #[inline(always)]
        unsafe fn store(to: *mut f32, v: Self::V) {
            // SAFETY: the trait's contract.
            unsafe { to.cast::<[f32; LANES]>().write_unaligned(v) }
        }

        #[inline(always)]
        unsafe fn store_partial(to: *mut f32, v: Self::V, n: usize) {
            // SAFETY: the trait's contract.
            unsafe { std::slice::from_raw_parts_mut(to, n) }.copy_from_slice(&v[..n]);
        }

        #[inline(always)]
        unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
            lanes(|i| a[i] + b[i])
        }
    };
}

impl Arith for PortableF32 {
    memory!();
    const PAIRS: bool = false;
    const CHUNKED: bool = false;

    #[inline(always)]
    unsafe fn step(self, sum: Self::V, a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| a[i].mul_add(b[i], sum[i]))
    }

    #[inline(always)]
    unsafe fn fold(self, total: Self::V, _: Self::V) -> Self::V {
        total
    }

    fn chunk(self) -> usize {
        usize::MAX
    }
}

impl Arith for PortableBf16 {
    memory!();
    const PAIRS: bool = true;
    const CHUNKED: bool = false;

    #[inline(always)]
    unsafe fn step(self, sum: Self::V, a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| step_pair(sum[i], a[i], b[i]))
    }

    #[inline(always)]
    unsafe fn fold(self, total: Self::V, _: Self::V) -> Self::V {
        total
    }

    fn chunk(self) -> usize {
        usize::MAX
    }
}

impl<const WIDE: bool> Arith for PortableChunked<WIDE> {
    memory!();
    const PAIRS: bool = false;
    const CHUNKED: bool = true;

    #[inline(always)]
    unsafe fn step(self, sum: Self::V, a: Self::V, b: Self::V) -> Self::V {
        if WIDE {
            return lanes(|i| self.0.round(fma_to_odd(a[i], b[i], sum[i])));
        }
        lanes(|i| self.0.round(a[i].mul_add(b[i], sum[i])))
    }

    #[inline(always)]
    unsafe fn fold(self, total: Self::V, sum: Self::V) -> Self::V {
        lanes(|i| self.0.round(total[i] + sum[i]))
    }

    fn chunk(self) -> usize {
        self.0.chunk
    }
}
