//! How a number that a format cannot hold becomes one that it can.

use crate::rng::random_u64;

/// The rounding mode of a conversion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To the nearest number, ties to the even code.
    #[default]
    NearestEven,
    /// To the nearest number, ties away from zero.
    NearestAway,
    /// To the next number toward zero.
    TowardZero,
    /// Away from zero with a probability equal to the discarded fraction of a unit in the last place.
    ///
    /// With `bits` random bits the fraction is truncated to a multiple of `2^−bits`: a uniform integer of that many bits
    /// is added below the kept bits and the sum is truncated. Values above the largest finite number saturate.
    Stochastic {
        /// Random bits per value, 1 to [`MAX_RANDOM_BITS`].
        bits: u32,
    },
}

/// The most random bits of a stochastic rounding.
pub const MAX_RANDOM_BITS: u32 = 24;

impl Rounding {
    /// Stochastic rounding with 16 random bits, as linear-feedback shift registers of that width give.
    pub const STOCHASTIC: Self = Self::Stochastic { bits: 16 };

    /// The name in options: `nearest-even`, `nearest-away`, `toward-zero` or `stochastic`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NearestEven => "nearest-even",
            Self::NearestAway => "nearest-away",
            Self::TowardZero => "toward-zero",
            Self::Stochastic { .. } => "stochastic",
        }
    }

    /// The random bits that a conversion uses; 0 where it is deterministic.
    pub(crate) const fn random_bits(self) -> u32 {
        match self {
            Self::Stochastic { bits } => {
                if bits < 1 {
                    1
                } else if bits > MAX_RANDOM_BITS {
                    MAX_RANDOM_BITS
                } else {
                    bits
                }
            }
            _ => 0,
        }
    }
}

/// What a finite number above the largest finite one becomes under rounding to nearest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// The largest finite number; infinities too.
    #[default]
    Saturate,
    /// Infinity, or NaN where the format has no infinity, or the largest finite number where it has neither.
    Special,
}

/// What a result in the subnormal range becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Subnormals {
    /// It stays.
    #[default]
    Keep,
    /// Zero of the same sign. Decided after rounding.
    Flush,
}

/// The random numbers of one stochastic conversion: element `i` of a slice draws number `offset + i` of the stream.
///
/// # Determinism
/// A draw is fixed by `(seed, stream, offset + i)`. Up to 16 bits, four consecutive draws share one 64-bit random number
/// (lane 0 is its lowest 16 bits; the highest bits of a lane are used), above that two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RandomBits {
    seed: u64,
    stream: u64,
    offset: u64,
}

impl RandomBits {
    /// Draws of a stream, from number 0 on.
    pub const fn new(seed: u64, stream: u64) -> Self {
        Self { seed, stream, offset: 0 }
    }

    /// The same draws, `n` further on.
    #[must_use]
    pub const fn skip(self, n: u64) -> Self {
        Self { offset: self.offset.wrapping_add(n), ..self }
    }

    /// Draw number `index`: a uniform integer of `bits` bits.
    pub const fn draw(self, bits: u32, index: u64) -> u32 {
        let position = self.offset.wrapping_add(index);
        if bits <= 16 {
            let word = random_u64(self.seed, self.stream, position >> 2);
            (word >> (16 * (position & 3)) & 0xFFFF) as u32 >> (16 - bits)
        } else {
            let word = random_u64(self.seed, self.stream, position >> 1);
            (word >> (32 * (position & 1))) as u32 >> (32 - bits)
        }
    }

    /// Fills `out` with the first draws.
    pub(crate) fn fill(self, bits: u32, out: &mut [u32]) {
        let lanes = if bits <= 16 { 4 } else { 2 };
        let head = ((lanes - self.offset % lanes) % lanes).min(out.len() as u64) as usize;
        for (i, value) in out[..head].iter_mut().enumerate() {
            *value = self.draw(bits, i as u64);
        }
        let first = self.offset.wrapping_add(head as u64);
        let body = &mut out[head..];
        if lanes == 4 {
            for (i, four) in body.chunks_mut(4).enumerate() {
                let word = random_u64(self.seed, self.stream, (first >> 2).wrapping_add(i as u64));
                for (lane, value) in four.iter_mut().enumerate() {
                    *value = ((word >> (16 * lane)) as u32 & 0xFFFF) >> (16 - bits);
                }
            }
        } else {
            for (i, two) in body.chunks_mut(2).enumerate() {
                let word = random_u64(self.seed, self.stream, (first >> 1).wrapping_add(i as u64));
                for (lane, value) in two.iter_mut().enumerate() {
                    *value = (word >> (32 * lane)) as u32 >> (32 - bits);
                }
            }
        }
    }
}

/// What a conversion of many values did to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CastCounts {
    /// Values converted.
    pub total: u64,
    /// Values (finite or infinite) whose magnitude, rounded, was above the largest finite number.
    pub overflow: u64,
    /// Non-zero values that rounded to zero.
    pub underflow: u64,
    /// Values that rounded to a subnormal number and were flushed to zero.
    pub flushed: u64,
}

impl CastCounts {
    /// Adds other counts.
    pub fn add(&mut self, other: Self) {
        self.total += other.total;
        self.overflow += other.overflow;
        self.underflow += other.underflow;
        self.flushed += other.flushed;
    }

    /// Both counts together.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        self.add(other);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filled_draws_are_single_draws() {
        for bits in [1, 7, 16, 17, 24] {
            for offset in [0, 1, 2, 3, 5] {
                let random = RandomBits::new(7, 9).skip(offset);
                let mut draws = [0; 23];
                random.fill(bits, &mut draws);
                for (i, &draw) in draws.iter().enumerate() {
                    assert_eq!(draw, RandomBits::new(7, 9).draw(bits, offset + i as u64), "{bits} {offset} {i}");
                    assert!(draw < 1 << bits);
                }
            }
        }
    }

    #[test]
    fn draws_are_uniform() {
        // 16,384 draws over 16 bins: 1,024 each, sigma 31; five sigma.
        let mut bins = [0_i64; 16];
        for i in 0..16_384 {
            bins[RandomBits::new(3, 4).draw(4, i) as usize] += 1;
        }
        assert!(bins.iter().all(|n| (n - 1024).abs() < 155), "{bins:?}");
    }
}
