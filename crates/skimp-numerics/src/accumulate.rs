//! Sums in few bits, in chunks: the definition that fast kernels are compared with.

use crate::FloatCast;

/// `a · b + c` in f32, rounded to odd: where the result is not exact, of its two neighbors the one with an odd mantissa.
/// Rounded again to a format of at most 22 significant bits, in any mode, it is what the exact result would be; rounded to
/// nearest first, a sum just beside a tie would become the tie.
///
/// The product must be an f32 number: operands of at most 12 significant bits, nothing below the normal numbers.
///
/// # Source
/// Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums: proved algorithms using rounding to odd", IEEE
/// Transactions on Computers 57(4), 2008; the error of the sum is Knuth's TwoSum.
#[inline]
pub fn fma_to_odd(a: f32, b: f32, c: f32) -> f32 {
    let product = a * b;
    let near = product + c;
    let back = near - product;
    let error = (product - (near - back)) + (c - back);
    let bits = near.to_bits();
    if bits & 1 == 1 || error.is_nan() || error.abs() <= 0.0 {
        return near;
    }
    // An even number off the exact result: its neighbor on the other side of that is odd.
    f32::from_bits(if (error > 0.0) == (near > 0.0) { bits + 1 } else { bits - 1 })
}

/// A sum whose every addition is rounded to a format: terms are summed in chunks of consecutive ones, and the sums of the
/// chunks are summed in order.
///
/// # Rounding
/// `sum = round(sum + term)`, from zero, in ascending order, within a chunk and across chunks; zeros are positive. The
/// addition is made in f32 and its result rounded again, which equals one rounding for terms and formats of at most 10
/// mantissa bits (with the hidden one, `24 ≥ 2 · 11 + 2`: Figueroa, "When is double rounding innocuous?", SIGNUM
/// Newsletter 30(3), 1995). A product is exact, and its addition is rounded once, too: see [`fma_to_odd`].
///
/// # Source
/// Wang et al., "Training Deep Neural Networks with 8-bit Floating Point Numbers", NeurIPS 2018, section 2.3.
/// Differs: the order within a chunk, which the paper leaves open, is ascending.
///
/// # Examples
/// ```
/// use skimp_numerics::{ChunkedSum, FloatCast, formats::FP16_169};
///
/// let ones = vec![1.0; 4096];
/// assert_eq!(ChunkedSum::new(FloatCast::new(FP16_169), 64).sum(&ones), 4096.0);
/// assert_eq!(ChunkedSum::new(FloatCast::new(FP16_169), usize::MAX).sum(&ones), 1024.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChunkedSum {
    cast: FloatCast,
    chunk: usize,
}

impl ChunkedSum {
    /// Sums in chunks of `chunk` terms; 0 and [`usize::MAX`] mean one chunk.
    pub fn new(cast: FloatCast, chunk: usize) -> Self {
        Self { cast, chunk: if chunk == 0 { usize::MAX } else { chunk } }
    }

    /// The sum of the values.
    pub fn sum(&self, values: &[f32]) -> f32 {
        self.total(values.chunks(self.chunk.min(values.len().max(1))), |value| *value)
    }

    /// The sum of the products of two slices; of different lengths, of their common part.
    pub fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        let n = a.len().min(b.len());
        let chunk = self.chunk.min(n.max(1));
        let mut total = 0.0;
        for (a, b) in a[..n].chunks(chunk).zip(b[..n].chunks(chunk)) {
            let mut partial = 0.0;
            for (a, b) in a.iter().zip(b) {
                partial = self.round(fma_to_odd(*a, *b, partial));
            }
            total = self.round(total + partial);
        }
        total
    }

    fn total<'a, T: 'a>(&self, chunks: impl Iterator<Item = &'a [T]>, term: impl Fn(&T) -> f32) -> f32 {
        chunks.fold(0.0, |total, chunk| {
            let partial = chunk.iter().fold(0.0, |partial, value| self.round(partial + term(value)));
            self.round(total + partial)
        })
    }

    fn round(&self, sum: f32) -> f32 {
        self.cast.round(sum) + 0.0
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "results are compared exactly")]
mod tests {
    use super::*;
    use crate::formats::{BF16, FP8_E4M3, FP8_E5M2, FP16, FP16_169, TF32};
    use crate::rng::uniform_f64;
    use crate::{FloatFormat, RandomBits, Rounding};

    fn stall(format: FloatFormat, rounding: Rounding) -> f32 {
        let cast = FloatCast::new(format).with_rounding(rounding);
        ChunkedSum::new(cast, 0).sum(&vec![1.0; 10_000])
    }

    #[test]
    fn sums_of_ones_stall() {
        let cases = [
            (FP8_E5M2, 8.0, 16.0),
            (FP8_E4M3, 16.0, 32.0),
            (BF16, 256.0, 512.0),
            (FP16_169, 1024.0, 2048.0),
            (FP16, 2048.0, 4096.0),
        ];
        for (format, even, away) in cases {
            assert_eq!(stall(format, Rounding::NearestEven), even, "{format:?}");
            assert_eq!(stall(format, Rounding::NearestAway), away, "{format:?}");
        }
    }

    #[test]
    fn chunks_multiply_the_reach() {
        let cases = [
            (FP16_169, 8, [4096.0, 8192.0, 8192.0]),
            (FP16_169, 32, [4096.0, 32768.0, 32768.0]),
            (FP16_169, 64, [4096.0, 65536.0, 65536.0]),
            (FP16_169, 128, [4096.0, 65536.0, 131_072.0]),
            (FP16_169, 256, [4096.0, 65536.0, 131_072.0]),
            // The significand of fp16 with the exponents of f32, and fp16 itself, which ends at 65504.
            (TF32, 64, [4096.0, 65536.0, 131_072.0]),
            (FP16, 64, [4096.0, 65504.0, 65504.0]),
            (BF16, 64, [4096.0, 16384.0, 16384.0]),
        ];
        for (format, chunk, expected) in cases {
            let cast = FloatCast::new(format).with_overflow(crate::Overflow::Saturate);
            let got = [4096, 65_536, 131_072].map(|n| ChunkedSum::new(cast, chunk).sum(&vec![1.0; n]));
            assert_eq!(got, expected, "{format:?} in chunks of {chunk}");
        }
    }

    #[test]
    fn random_terms_stall_at_4096_without_chunks() {
        let cast = FloatCast::new(FP16_169);
        let root3 = 3.0_f64.sqrt();
        let mut terms: Vec<f32> =
            (0..65_536).map(|i| (1.0 - root3 + 2.0 * root3 * uniform_f64(1, 2, i)) as f32).collect();
        cast.round_slice(&mut terms, RandomBits::default());
        for n in [16_384, 65_536] {
            let terms = &terms[..n];
            let truth: f64 = terms.iter().map(|&v| f64::from(v)).sum();
            assert_eq!(ChunkedSum::new(cast, 0).sum(terms), 4096.0);
            let chunked = f64::from(ChunkedSum::new(cast, 64).sum(terms));
            assert!((chunked / truth - 1.0).abs() < 0.004, "{n}: {chunked} instead of {truth}");
        }
    }

    #[test]
    fn updates_stagnate_to_nearest_and_move_on_average_when_stochastic() {
        // w = 1, a thousand times w += d; nearest exactly, stochastic within three of the published deviations of the
        // mean of 50 runs.
        let cases = [
            (FP16_169, 1e-4_f32, 1.0, 1.1, 0.012),
            (FP16_169, 9e-4, 1.0, 1.9, 0.029),
            (FP16_169, 1e-3, 2.0, 2.0, 0.029),
            (FP16_169, 2e-3, 3.906_25, 3.0, 0.047),
            (BF16, 1e-4, 1.0, 1.1, 0.03),
            (BF16, 9e-4, 1.0, 1.9, 0.06),
            (BF16, 1e-3, 1.0, 2.0, 0.06),
            (BF16, 2e-3, 1.0, 3.0, 0.1),
            (FP16, 9e-4, 1.976_562_5, 1.9, 0.0074),
        ];
        for (format, d, nearest, exact, sigma) in cases {
            let even = FloatCast::new(format);
            assert_eq!((0..1000).fold(1.0, |w, _| even.round(w + d)), nearest, "{format:?} {d}");
            let stochastic = even.with_rounding(Rounding::STOCHASTIC);
            let runs = 50;
            let mean = (0..runs)
                .map(|run| {
                    let random = RandomBits::new(11, run);
                    f64::from((0..1000).fold(1.0, |w, i| stochastic.round_with(w + d, random.draw(16, i))))
                })
                .sum::<f64>()
                / runs as f64;
            assert!((mean - exact).abs() < 3.0 * sigma / (runs as f64).sqrt() + 2e-3, "{format:?} {d}: {mean}");
        }
    }

    /// Operands of 10 bits, whose product has 20, against sums in f64, which are exact for these exponents.
    #[test]
    fn products_of_wide_operands_are_rounded_once() {
        let cast = FloatCast::new(FP16_169);
        let operand = |stream: u64, i: u64| {
            let bits = crate::rng::random_u64(3, stream, i);
            let significand = 512 + (bits % 512) as i32;
            let sign = if bits >> 32 & 1 == 1 { -1.0 } else { 1.0 };
            (sign * f64::from(significand) * 2.0_f64.powi((bits >> 40) as i32 % 12 - 15)) as f32
        };
        let once = |x: f64| {
            let quantum = 2.0_f64.powi((x.abs().log2().floor() as i32).max(-30) - 9);
            (x / quantum).round_ties_even() * quantum
        };
        let mut n_twice = 0;
        for i in 0..2_000_000 {
            let (a, b, c) = (operand(1, i), operand(2, i), operand(4, i));
            let exact = f64::from(a) * f64::from(b) + f64::from(c);
            let found = cast.round(fma_to_odd(a, b, c));
            assert_eq!(f64::from(found), once(exact), "{a} · {b} + {c}");
            n_twice += u32::from(cast.round(a.mul_add(b, c)) != found);
        }
        assert!(n_twice > 0, "the cases hold some that rounding twice gets wrong");
        // 1 + 2^−10 + 2^−34: just above the tie between 1 and 1 + 2^−9.
        let (a, b) = (2.0_f32.powi(-17) * (1.0 + 2.0_f32.powi(-9)), 2.0_f32.powi(-17));
        assert_eq!(cast.round(fma_to_odd(1.0, 1.0, 0.0) + 0.0), 1.0);
        assert_eq!(cast.round(fma_to_odd(a, b, 1.0 + 2.0_f32.powi(-10))), 1.0 + 2.0_f32.powi(-9));
        assert_eq!(cast.round(a.mul_add(b, 1.0 + 2.0_f32.powi(-10))), 1.0);
        assert!(fma_to_odd(f32::INFINITY, 0.0, 1.0).is_nan() && fma_to_odd(f32::INFINITY, 1.0, 1.0).is_infinite());
    }

    #[test]
    fn dot_products_round_products_and_sums() {
        let sum = ChunkedSum::new(FloatCast::new(FP16_169), 2);
        // 3 · 341 = 1023; + 2 = 1025 is a tie between 1024 and 1026: even is 1024.
        assert_eq!(sum.dot(&[3.0, 1.0, 1.0], &[341.0, 2.0, 0.0]), 1024.0);
        assert_eq!(sum.dot(&[3.0, 1.0, 3.0], &[341.0, 0.0, 1.0]), 1026.0);
        assert_eq!(sum.dot(&[], &[]), 0.0);
        // 1.001953125² = 1.003910064697...
        let next = 1.0 + 1.0 / 512.0;
        assert_eq!(sum.dot(&[next], &[next]), 1.0 + 2.0 / 512.0);
        // The product is exact: it breaks the tie at 1 + 1/1024, which its rounded value would not.
        let small = 1.0 / 1024.0 + 2.0_f32.powi(-17);
        assert_eq!(sum.dot(&[1.0, small], &[1.0, 1.0]), 1.0 + 1.0 / 512.0);
        assert_eq!(sum.dot(&[-1e-30], &[1e-9]).to_bits(), 0, "zeros are positive");
    }
}
