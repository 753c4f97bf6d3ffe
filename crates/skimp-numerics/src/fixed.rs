//! Fixed-point formats: integers times a power of two.

use crate::float::power_of_two;
use crate::{CastCounts, RandomBits, Rounding};

/// Signed two's complement integers of a width, times `2^(−fraction_bits)`.
///
/// With a fixed `fraction_bits` this is static fixed point; dynamic fixed point and Flexpoint change it while a network
/// trains, one for each group of values.
///
/// # Source
/// Courbariaux, Bengio and David, "Training deep neural networks with low precision multiplications", ICLR workshop 2015,
/// section 4. Köster et al., "Flexpoint", NeurIPS 2017, section 3 (16-bit integers, a shared 5-bit exponent).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FixedFormat {
    bits: u32,
    fraction_bits: i32,
    symmetric: bool,
}

/// Why a fixed-point format is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FixedError {
    /// The width is not 2 to 22 bits.
    Bits(u32),
    /// The number of fraction bits is not −100 to 100.
    FractionBits(i32),
}

impl std::fmt::Display for FixedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bits(bits) => write!(f, "fixed point of {bits} bits, expected 2 to 22"),
            Self::FractionBits(bits) => write!(f, "fixed point with {bits} fraction bits, expected -100 to 100"),
        }
    }
}

impl std::error::Error for FixedError {}

impl FixedFormat {
    /// A format whose codes are `−2^(bits−1) ..= 2^(bits−1) − 1`.
    ///
    /// # Errors
    /// [`FixedError`] if the width is not 2 to 22 bits or `fraction_bits` not −100 to 100.
    pub const fn new(bits: u32, fraction_bits: i32) -> Result<Self, FixedError> {
        if bits < 2 || bits > 22 {
            return Err(FixedError::Bits(bits));
        }
        if fraction_bits < -100 || fraction_bits > 100 {
            return Err(FixedError::FractionBits(fraction_bits));
        }
        Ok(Self { bits, fraction_bits, symmetric: false })
    }

    /// The same without the most negative code.
    #[must_use]
    pub const fn symmetric(self) -> Self {
        Self { symmetric: true, ..self }
    }

    /// The same with the radix point elsewhere; clamped to −100 to 100 fraction bits.
    #[must_use]
    pub const fn with_fraction_bits(self, fraction_bits: i32) -> Self {
        let clamped = if fraction_bits < -100 {
            -100
        } else if fraction_bits > 100 {
            100
        } else {
            fraction_bits
        };
        Self { fraction_bits: clamped, ..self }
    }

    /// Width with the sign.
    pub const fn bits(&self) -> u32 {
        self.bits
    }

    /// Bits behind the radix point; negative where the last bit weighs more than one.
    pub const fn fraction_bits(&self) -> i32 {
        self.fraction_bits
    }

    /// The largest code.
    pub const fn max_code(&self) -> i32 {
        (1 << (self.bits - 1)) - 1
    }

    /// The smallest code.
    pub const fn min_code(&self) -> i32 {
        -self.max_code() - !self.symmetric as i32
    }

    /// The distance of neighboring numbers.
    pub const fn step(&self) -> f32 {
        power_of_two(-self.fraction_bits)
    }

    /// The number that a code means.
    pub fn decode(&self, code: i32) -> f32 {
        code as f32 * self.step()
    }
}

/// What a conversion to fixed point did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedCounts {
    /// As for every format.
    pub cast: CastCounts,
    /// Values that would overflow with one more fraction bit, which halves the range (rounding to nearest even).
    pub half_overflow: u64,
}

impl FixedCounts {
    /// Adds other counts.
    pub fn add(&mut self, other: Self) {
        self.cast.add(other.cast);
        self.half_overflow += other.half_overflow;
    }
}

/// A conversion of f32 numbers to fixed point; saturating.
///
/// # Rounding
/// Once, from the exact f32 input; overflow is decided on the rounded integer. NaN stays NaN in the f32 container and
/// encodes as 0.
///
/// # Examples
/// ```
/// use skimp_numerics::{FixedCast, FixedFormat, Rounding};
///
/// let cast = FixedCast::new(FixedFormat::new(10, 7)?, Rounding::NearestEven);
/// assert_eq!(cast.encode(0.11), 14);
/// assert_eq!(cast.round(4.01), 3.9921875);
/// # Ok::<(), skimp_numerics::FixedError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixedCast {
    format: FixedFormat,
    rounding: Rounding,
}

impl FixedCast {
    /// A conversion.
    pub const fn new(format: FixedFormat, rounding: Rounding) -> Self {
        Self { format, rounding }
    }

    /// The format.
    pub const fn format(&self) -> &FixedFormat {
        &self.format
    }

    /// The rounding mode.
    pub const fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// The number of the format that `value` becomes; stochastic rounding with its random integer zero, which truncates.
    pub fn round(&self, value: f32) -> f32 {
        let mut one = [value];
        self.apply(&mut one, &[0]);
        one[0]
    }

    /// The code that `value` becomes.
    pub fn encode(&self, value: f32) -> i32 {
        let rounded = self.round(value);
        if rounded.is_nan() { 0 } else { (rounded * power_of_two(self.format.fraction_bits)) as i32 }
    }

    /// Rounds every value in place.
    ///
    /// # Determinism
    /// Stochastic rounding of value `i` uses draw `i` of `random`; other modes use none.
    pub fn round_slice(&self, values: &mut [f32], random: RandomBits) -> FixedCounts {
        const CHUNK: usize = 512;
        let bits = self.rounding.random_bits();
        let mut draws = [0_u32; CHUNK];
        let mut counts = FixedCounts::default();
        for (i, chunk) in values.chunks_mut(CHUNK).enumerate() {
            if bits > 0 {
                random.skip((i * CHUNK) as u64).fill(bits, &mut draws[..chunk.len()]);
            }
            counts.add(self.apply(chunk, &draws));
        }
        counts
    }

    fn apply(&self, values: &mut [f32], draws: &[u32]) -> FixedCounts {
        let step = self.format.step();
        match self.rounding {
            Rounding::NearestEven => self.run(values, draws, |_, near, _, _| near),
            Rounding::NearestAway => self
                .run(values, draws, |x, near, _, _| if (x - near) + (x - near) >= step { near + step } else { near }),
            Rounding::TowardZero => self.run(values, draws, |_, _, lower, _| lower),
            Rounding::Stochastic { .. } => {
                let unit = power_of_two(-(self.rounding.random_bits() as i32));
                self.run(values, draws, |x, _, lower, random| {
                    if x - lower >= (1.0 - (random as i32) as f32 * unit) * step { lower + step } else { lower }
                })
            }
        }
    }

    /// `pick` chooses among the neighbors: it is given the magnitude, its nearest even, the one below, the random integer.
    #[inline(always)]
    fn run(&self, values: &mut [f32], draws: &[u32], pick: impl Fn(f32, f32, f32, u32) -> f32) -> FixedCounts {
        let step = self.format.step();
        // The last bit of `magnitude + magic` weighs one step (half a step), so that the addition rounds to nearest even.
        let (magic, half_magic) = (step * power_of_two(23), step * power_of_two(22));
        let clamp = step * power_of_two(self.format.bits as i32);
        let max = self.format.decode(self.format.max_code());
        let max_negative = -self.format.decode(self.format.min_code());
        let (mut overflow, mut half, mut underflow) = (0_u32, 0_u32, 0_u32);
        for (value, &random) in values.iter_mut().zip(draws) {
            let bits = value.to_bits();
            let negative = bits >> 31 == 1;
            let magnitude = f32::from_bits(bits & 0x7FFF_FFFF);
            let x = if magnitude < clamp { magnitude } else { clamp };
            let near = (x + magic) - magic;
            let finer = (x + half_magic) - half_magic;
            let lower = if near > x { near - step } else { near };
            let rounded = pick(x, near, lower, random);
            let limit = if negative { max_negative } else { max };
            let is_nan = magnitude.is_nan();
            let over = rounded > limit;
            let kept = if over { limit } else { rounded };
            let signed = f32::from_bits(kept.to_bits() | if kept == 0.0 { 0 } else { bits & 0x8000_0000 });
            overflow += u32::from(over & !is_nan);
            half += u32::from((finer + finer > limit) & !is_nan);
            underflow += u32::from((rounded == 0.0) & (magnitude > 0.0));
            *value = if is_nan { *value } else { signed };
        }
        let cast = CastCounts {
            total: values.len() as u64,
            overflow: u64::from(overflow),
            underflow: u64::from(underflow),
            flushed: 0,
        };
        FixedCounts { cast, half_overflow: u64::from(half) }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "results are compared exactly")]
mod tests {
    use super::*;

    fn cast(bits: u32, fraction_bits: i32, rounding: Rounding) -> FixedCast {
        FixedCast::new(FixedFormat::new(bits, fraction_bits).expect("a format"), rounding)
    }

    #[test]
    fn dynamic_fixed_point_vectors() {
        let cast = cast(10, 7, Rounding::NearestEven);
        let mut values = [0.11, -3.99, 4.01, 0.5];
        assert_eq!(values.map(|v| cast.encode(v)), [14, -511, 511, 64]);
        let counts = cast.round_slice(&mut values, RandomBits::default());
        assert_eq!(values, [0.109_375, -3.992_187_5, 3.992_187_5, 0.5]);
        assert_eq!((counts.cast.overflow, counts.cast.total), (1, 4));
        let mut values = [0.3, -1.2, 1.9, 0.7];
        let counts = cast.round_slice(&mut values, RandomBits::default());
        assert_eq!(values, [0.296_875, -1.203_125, 1.898_437_5, 0.703_125]);
        assert_eq!((counts.cast.overflow, counts.half_overflow), (0, 0));
    }

    #[test]
    fn every_code_of_sixteen_bits_is_itself_and_its_neighborhood_rounds_right() {
        for fraction_bits in [-3, 0, 15] {
            let format = FixedFormat::new(16, fraction_bits).expect("a format");
            let step = f64::from(format.step());
            for code in format.min_code()..=format.max_code() {
                for rounding in [Rounding::NearestEven, Rounding::NearestAway] {
                    let cast = FixedCast::new(format, rounding);
                    let value = format.decode(code);
                    assert_eq!(cast.encode(value), code);
                    for quarter in [-0.25, 0.25] {
                        let near = ((f64::from(code) + quarter) * step) as f32;
                        assert_eq!(cast.encode(near), code, "{code} {quarter}");
                    }
                    let middle = ((f64::from(code) + 0.5) * step) as f32;
                    let away = if code >= 0 { code + 1 } else { code };
                    let even = if code % 2 == 0 { code } else { code + 1 };
                    let expected = if rounding == Rounding::NearestEven { even } else { away };
                    assert_eq!(cast.encode(middle), expected.min(format.max_code()), "{code} {rounding:?}");
                    let truncated = FixedCast::new(format, Rounding::TowardZero).encode(middle);
                    assert_eq!(truncated, if code >= 0 { code } else { code + 1 });
                }
            }
        }
    }

    #[test]
    fn extremes() {
        let cast = cast(8, 0, Rounding::NearestEven);
        let mut values = [f32::INFINITY, f32::NEG_INFINITY, 127.5, -128.4, -128.5, -128.6, 1e-30, 63.6, f32::NAN];
        let counts = cast.round_slice(&mut values, RandomBits::default());
        assert_eq!(values[..8], [127.0, -128.0, 127.0, -128.0, -128.0, -128.0, 0.0, 64.0]);
        assert!(values[8].is_nan());
        // 63.6 would be code 127 with one more bit, 63.75 is 127.5.
        assert_eq!((counts.cast.overflow, counts.cast.underflow, counts.half_overflow), (4, 1, 6));
        assert_eq!(
            FixedCast::new(FixedFormat::new(8, 0).expect("ok").symmetric(), Rounding::NearestEven).encode(-200.0),
            -127
        );
        assert_eq!(FixedFormat::new(23, 0), Err(FixedError::Bits(23)));
        assert_eq!(FixedFormat::new(8, 101), Err(FixedError::FractionBits(101)));
    }

    #[test]
    fn stochastic_rounding_is_unbiased() {
        let cast = cast(16, 4, Rounding::STOCHASTIC);
        for (x, fraction) in [(1.3_f32, 0.8), (-0.01, 0.16), (100.03, 0.48)] {
            let n = 100_000;
            let mut values = vec![x; n];
            cast.round_slice(&mut values, RandomBits::new(1, 2));
            let lower = (x.abs() * 16.0).floor() / 16.0;
            assert!(values.iter().all(|v| v.abs() == lower || v.abs() == lower + 0.0625));
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
            // Five sigma, and the truncation of the fraction to 16 bits.
            let sigma = (fraction * (1.0 - fraction) / n as f64).sqrt() * 0.0625;
            assert!((mean - f64::from(x)).abs() < 5.0 * sigma + 0.0625 / 65_536.0, "{x}: {mean}");
        }
    }
}
