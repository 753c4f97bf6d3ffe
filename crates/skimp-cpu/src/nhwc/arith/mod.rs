//! How the kernels multiply and add, for each instruction set.

#![allow(unsafe_code, reason = "vector instructions")]

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::kernels::Isa;

pub(super) use self::portable::{PortableBf16, PortableChunked, PortableF32};
#[cfg(target_arch = "x86_64")]
pub(super) use self::x86::{Avx2F32, Avx512Bf16, Avx512Chunked, Avx512F32};

/// How the sums of a matrix product or convolution are formed.
///
/// Each kernel documents the order of the terms; for [`Chunked`](Self::Chunked), `chunk` counts terms in that order,
/// padding included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// `sum ← fma(a, b, sum)` in f32, one rounding per term.
    F32,
    /// Operands rounded to bfloat16 (nearest even), pairs of terms as the instruction `vdpbf16ps` adds them.
    ///
    /// For a pair of terms `(a0, b0)`, `(a1, b1)` with subnormal inputs taken as zero (of their sign):
    /// `sum ← flush(fma(a1, b1, sum))`, then `sum ← flush(fma(a0, b0, sum))`, where `flush` replaces a subnormal result
    /// by zero of its sign. The odd term comes first. Pairs are adjacent channels of one tap (an odd number of channels
    /// is filled with a zero); for weight gradients, the same pixel of images `2i` and `2i + 1`.
    ///
    /// # Source
    /// Intel, "Intel 64 and IA-32 Architectures Software Developer's Manual", volume 2, `VDPBF16PS`.
    Bf16,
    /// Terms added in a narrow floating-point format, chunk by chunk.
    Chunked(ChunkedSum),
}

/// Accumulation in a narrow format: sums of `chunk` terms, then the sum of those sums, rounded after every addition.
///
/// `round` is rounding to nearest even to the format of the first three fields, subnormals included, zeros positive. For each term `sum ← round(fma(a, b, sum))`, where `fma` rounds once to f32: where the product has at
/// most `mantissa_bits + 1` significant bits that is the correctly rounded sum, as 24 bits are at least twice those of
/// the format and two more. With `wide_products` it is for products of up to 24 bits: the f32 sum is rounded to odd
/// ([`skimp_numerics::fma_to_odd`]). After `chunk` terms, and at the end, `total ← round(total + sum)` and `sum ← 0`; the total
/// starts at `round(bias)`, or at zero.
///
/// # Source
/// N. Wang et al., "Training Deep Neural Networks with 8-bit Floating Point Numbers", NeurIPS 2018, section 3.1
/// (format 1-6-9, chunks of 64).
/// Differs: order of the terms, subnormals and overflow, which the paper leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkedSum {
    /// Bits of the mantissa without the hidden one, 1 to 11.
    pub mantissa_bits: u32,
    /// Exponent of the smallest normal value, at least -100.
    pub min_exponent: i32,
    /// Exponent of the largest finite value, at most 100.
    pub max_exponent: i32,
    /// What becomes of results past the largest finite value.
    pub overflow: Overflow,
    /// Terms in a chunk.
    pub chunk: usize,
    /// Products may have more than `mantissa_bits + 1` significant bits: each addition is still rounded once. Slower.
    pub wide_products: bool,
}

/// What becomes of results past the largest finite value of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// The largest finite value of their sign; also infinities.
    Saturate,
    /// Infinity, where rounding to nearest reaches it.
    Infinity,
}

impl ChunkedSum {
    /// Wang's accumulation: 1-6-9, chunks of 64, saturating.
    pub const FP16_169: Self = Self {
        mantissa_bits: 9,
        min_exponent: -30,
        max_exponent: 31,
        overflow: Overflow::Saturate,
        chunk: 64,
        wide_products: false,
    };

    /// Rounds an f32 to the format.
    pub fn round(&self, x: f32) -> f32 {
        Rounding::new(self).round(x)
    }
}

/// Constants of rounding to a format.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounding {
    /// Smallest normal value.
    normal: f32,
    /// What a power of two is multiplied with, so that adding the product rounds at the format's last place.
    magic: f32,
    /// Largest finite value.
    largest: f32,
    /// Results from here on are infinite (unless they saturate).
    limit: f32,
    saturate: bool,
    chunk: usize,
}

impl Rounding {
    pub(super) fn new(sum: &ChunkedSum) -> Self {
        assert!(
            (1..=11).contains(&sum.mantissa_bits)
                && -100 <= sum.min_exponent
                && sum.min_exponent <= sum.max_exponent
                && sum.max_exponent <= 100
                && sum.chunk > 0,
            "a format well within f32, and chunks of terms"
        );
        let power = |exponent: i32| f32::from_bits(((127 + exponent) as u32) << 23);
        let ulp = power(-(sum.mantissa_bits as i32));
        let top = power(sum.max_exponent);
        Self {
            normal: power(sum.min_exponent),
            magic: 1.5 * power(23 - sum.mantissa_bits as i32),
            largest: top * (2.0 - ulp),
            limit: top * (2.0 - ulp / 2.0),
            saturate: sum.overflow == Overflow::Saturate,
            chunk: sum.chunk,
        }
    }

    /// Adding `magic · 2^e` moves the format's last place of a number with exponent `e` to that of the f32 sum.
    #[inline(always)]
    pub(super) fn round(&self, x: f32) -> f32 {
        let x = if self.saturate {
            let x = if x > self.largest { self.largest } else { x };
            if x < -self.largest { -self.largest } else { x }
        } else {
            x
        };
        let power = f32::from_bits(x.to_bits() & 0x7F80_0000);
        let shift = if power > self.normal { power } else { self.normal } * self.magic;
        let rounded = (x + shift) - shift;
        if !self.saturate && x.abs() >= self.limit { f32::INFINITY.copysign(x) } else { rounded }
    }
}

/// Lanes of a vector.
pub(super) const LANES: usize = 16;

/// Multiplying and adding 16 sums at a time.
///
/// Operands are words of 32 bits: an f32, or a pair of bfloat16 (the even term in the low half).
///
/// # Safety
/// Every method needs the processor features of the implementing type. `load` and `store` need 16 readable or writable
/// words at the pointer (any alignment), `splat` one, the partial ones `n <= 16`.
pub(super) trait Arith: Copy + Send + Sync {
    /// Sixteen words.
    type V: Copy;
    /// Whether words are pairs of bfloat16.
    const PAIRS: bool;
    /// Whether sums are formed in chunks.
    const CHUNKED: bool;
    /// Whether there are registers for tiles of 16 vectors and more.
    const WIDE: bool;
    /// Whether tiles have several rows at all; plain code does not gain from them.
    const TILED: bool = true;

    unsafe fn zero() -> Self::V;
    unsafe fn splat(from: *const f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn load_partial(from: *const f32, n: usize) -> Self::V;
    unsafe fn store(to: *mut f32, v: Self::V);
    unsafe fn store_partial(to: *mut f32, v: Self::V, n: usize);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// Adds a term, or a pair of terms, to the sums.
    unsafe fn step(self, sum: Self::V, a: Self::V, b: Self::V) -> Self::V;
    /// Adds the sums of a chunk to the totals.
    unsafe fn fold(self, total: Self::V, sum: Self::V) -> Self::V;
    /// Terms in a chunk.
    fn chunk(self) -> usize;

    /// Words of two vectors of f32, each lane a pair of the same lane of both.
    #[inline(always)]
    unsafe fn pair_lanes(even: Self::V, odd: Self::V) -> Self::V {
        let [mut a, mut b] = [[0.0_f32; LANES]; 2];
        // SAFETY: the trait's contract; the arrays have 16 words.
        unsafe {
            Self::store(a.as_mut_ptr(), even);
            Self::store(b.as_mut_ptr(), odd);
            a.iter_mut().zip(b).for_each(|(even, odd)| *even = pair(*even, odd));
            Self::load(a.as_ptr())
        }
    }

    /// Words of 32 f32, the first half in `low`, each a pair of neighbors.
    #[inline(always)]
    unsafe fn pair_neighbors(low: Self::V, high: Self::V) -> Self::V {
        let mut from = [0.0_f32; 2 * LANES];
        let mut to = [0.0_f32; LANES];
        // SAFETY: the trait's contract; the arrays have 32 and 16 words.
        unsafe {
            Self::store(from.as_mut_ptr(), low);
            Self::store(from.as_mut_ptr().add(LANES), high);
            to.iter_mut().zip(from.chunks_exact(2)).for_each(|(to, from)| *to = pair(from[0], from[1]));
            Self::load(to.as_ptr())
        }
    }

    /// Exchanges rows and columns of words.
    #[inline(always)]
    unsafe fn transpose(rows: &mut [Self::V; LANES]) {
        let mut words = [[0.0_f32; LANES]; LANES];
        // SAFETY: the trait's contract; the arrays have 16 words.
        unsafe {
            for (i, row) in rows.iter().enumerate() {
                let mut from = [0.0_f32; LANES];
                Self::store(from.as_mut_ptr(), *row);
                words.iter_mut().zip(from).for_each(|(words, word)| words[i] = word);
            }
            rows.iter_mut().zip(&words).for_each(|(row, words)| *row = Self::load(words.as_ptr()));
        }
    }
}

/// An f32 as bfloat16, to nearest even; NaN becomes a quiet NaN.
#[inline(always)]
pub(super) fn bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
    if x.is_nan() { bits >> 16 | 0x40 } else { rounded }
}

/// Two terms as a word.
#[inline(always)]
pub(super) fn pair(even: f32, odd: f32) -> f32 {
    f32::from_bits(bf16(even) | bf16(odd) << 16)
}

/// Work that any arithmetic can do.
pub(super) trait Task {
    /// Does the work.
    ///
    /// # Safety
    /// The processor features of `A`.
    unsafe fn run<A: Arith>(self, arith: A);
}

/// Does the work with the best code that `isa` and the processor have for this arithmetic.
pub(super) fn run<T: Task>(isa: Isa, arithmetic: Arithmetic, task: T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: `Isa` comes from detection, and bfloat16 is detected here.
    unsafe {
        match (isa, arithmetic) {
            (Isa::Avx512, Arithmetic::F32) => return avx512(task, Avx512F32),
            (Isa::Avx512, Arithmetic::Bf16) if has_bf16() => return avx512_bf16(task),
            (Isa::Avx512, Arithmetic::Bf16) => return avx512(task, PortableBf16),
            (Isa::Avx512, Arithmetic::Chunked(sum)) if sum.wide_products => {
                return avx512(task, Avx512Chunked::<true>(Rounding::new(&sum)));
            }
            (Isa::Avx512, Arithmetic::Chunked(sum)) => {
                return avx512(task, Avx512Chunked::<false>(Rounding::new(&sum)));
            }
            (Isa::Avx2, Arithmetic::F32) => return avx2(task, Avx2F32),
            (Isa::Avx2, Arithmetic::Bf16) => return avx2(task, PortableBf16),
            (Isa::Avx2, Arithmetic::Chunked(sum)) if sum.wide_products => {
                return avx2(task, PortableChunked::<true>(Rounding::new(&sum)));
            }
            (Isa::Avx2, Arithmetic::Chunked(sum)) => {
                return avx2(task, PortableChunked::<false>(Rounding::new(&sum)));
            }
            (Isa::Portable, _) => {}
        }
    }
    let _ = isa;
    // SAFETY: portable code needs no features.
    unsafe {
        match arithmetic {
            Arithmetic::F32 => task.run(PortableF32),
            Arithmetic::Bf16 => task.run(PortableBf16),
            Arithmetic::Chunked(sum) if sum.wide_products => task.run(PortableChunked::<true>(Rounding::new(&sum))),
            Arithmetic::Chunked(sum) => task.run(PortableChunked::<false>(Rounding::new(&sum))),
        }
    }
}

/// Whether tiles have two vectors of lanes.
pub(super) fn is_wide(isa: Isa, arithmetic: Arithmetic) -> bool {
    #[cfg(target_arch = "x86_64")]
    return isa == Isa::Avx512 && (arithmetic != Arithmetic::Bf16 || has_bf16());
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (isa, arithmetic);
        false
    }
}

#[cfg(target_arch = "x86_64")]
fn has_bf16() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16") && std::arch::is_x86_feature_detected!("avx512bw")
}

/// # Safety
/// Needs AVX-512 F, and `arith` no more.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<T: Task, A: Arith>(task: T, arith: A) {
    // SAFETY: the caller's contract.
    unsafe { task.run(arith) }
}

/// # Safety
/// Needs AVX-512 F, BW and BF16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn avx512_bf16<T: Task>(task: T) {
    // SAFETY: the caller's contract.
    unsafe { task.run(Avx512Bf16) }
}

/// # Safety
/// Needs AVX2 and FMA, and `arith` no more.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<T: Task, A: Arith>(task: T, arith: A) {
    // SAFETY: the caller's contract.
    unsafe { task.run(arith) }
}
