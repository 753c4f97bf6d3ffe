//! Integers with a scale and a zero point, and uniform grids over a range.

use crate::{CastCounts, RandomBits, Rounding};

/// Integer codes with `real = (code − zero_point) · scale`.
///
/// # Source
/// Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
/// 2018, section 2.1. Symmetric signed codes leave out the most negative one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    low: i32,
    high: i32,
    scale: f32,
    zero_point: i32,
}

impl Affine {
    /// Symmetric codes `±(2^(bits−1) − 1)` over `[−largest, largest]`; zero and non-finite ranges get scale 1.
    ///
    /// `bits` is clamped to 2 to 16.
    pub fn symmetric(bits: u32, largest: f32) -> Self {
        let high = (1 << (bits.clamp(2, 16) - 1)) - 1;
        Self { low: -high, high, scale: usable(largest.abs() / high as f32), zero_point: 0 }
    }

    /// Signed codes `−2^(bits−1) ..= 2^(bits−1) − 1` over `[low, high]`, nudged so that it holds zero and zero has a code.
    ///
    /// `bits` is clamped to 2 to 16.
    pub fn asymmetric(bits: u32, low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let levels = 1 << bits.clamp(2, 16);
        let (min_code, max_code) = (-levels / 2, levels / 2 - 1);
        let scale = usable((high - low) / (levels - 1) as f32);
        let zero_point = (min_code as f32 - low / scale).round_ties_even() as i32;
        Self { low: min_code, high: max_code, scale, zero_point: zero_point.clamp(min_code, max_code) }
    }

    /// The scale.
    pub const fn scale(&self) -> f32 {
        self.scale
    }

    /// The code of zero.
    pub const fn zero_point(&self) -> i32 {
        self.zero_point
    }

    /// Smallest and largest code.
    pub const fn codes(&self) -> (i32, i32) {
        (self.low, self.high)
    }

    /// The code nearest to `value / scale + zero_point` (ties to even), saturating. NaN becomes the zero point.
    pub fn encode(&self, value: f32) -> i32 {
        if value.is_nan() {
            return self.zero_point;
        }
        let code = f64::from((value / self.scale).round_ties_even()) + f64::from(self.zero_point);
        code.clamp(f64::from(self.low), f64::from(self.high)) as i32
    }

    /// The number that a code means.
    pub fn decode(&self, code: i32) -> f32 {
        (code - self.zero_point) as f32 * self.scale
    }
}

fn usable(scale: f32) -> f32 {
    if scale > 0.0 && scale.is_finite() { scale } else { 1.0 }
}

/// Packs 4-bit two's complement codes two to a byte, the even index in the low nibble. A last odd code gets a zero beside
/// it; only the low four bits of a code count.
pub fn pack_int4(codes: &[i8]) -> Vec<u8> {
    let nibble = |code: &i8| *code as u8 & 0x0F;
    codes.chunks(2).map(|pair| nibble(&pair[0]) | pair.get(1).map_or(0, nibble) << 4).collect()
}

/// The codes of [`pack_int4`]; the first `n` of them.
pub fn unpack_int4(bytes: &[u8], n: usize) -> Vec<i8> {
    let signed = |nibble: u8| (nibble << 4) as i8 >> 4;
    bytes.iter().flat_map(|byte| [signed(byte & 0x0F), signed(byte >> 4)]).take(n).collect()
}

/// Equidistant numbers over a range: `low + i · step` for `i` from 0 to `levels`.
///
/// Unlike [`Affine`], zero need not be on the grid.
///
/// # Source
/// Banner et al., "Scalable Methods for 8-bit Training of Neural Networks", NeurIPS 2018, and the authors' code: the step
/// is `(high − low) / (2^bits − 1)`, at least 1e-8.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeGrid {
    low: f32,
    step: f32,
    levels: f32,
}

impl RangeGrid {
    /// A grid of `2^bits` numbers over `[low, high]`; `bits` is clamped to 2 to 16.
    pub fn new(bits: u32, low: f32, high: f32) -> Self {
        let levels = ((1_u32 << bits.clamp(2, 16)) - 1) as f32;
        let step = (high - low) / levels;
        Self { low, step: if step > 1e-8 { step } else { 1e-8 }, levels }
    }

    /// The same grid, shifted by less than half a step so that zero is on it, where the range holds zero.
    #[must_use]
    pub fn with_zero(self) -> Self {
        let zero = (-self.low / self.step).round_ties_even();
        let holds_zero = zero >= 0.0 && zero <= self.levels;
        Self { low: if holds_zero { -zero * self.step } else { self.low }, ..self }
    }

    /// The distance of neighbors.
    pub const fn step(&self) -> f32 {
        self.step
    }

    /// Rounds every value in place, saturating.
    ///
    /// # Rounding
    /// Of `(value − low) / step`, computed in f32; away from zero means up. NaN stays NaN.
    ///
    /// # Determinism
    /// Stochastic rounding of value `i` uses draw `i` of `random`; other modes use none.
    pub fn round_slice(&self, values: &mut [f32], rounding: Rounding, random: RandomBits) -> CastCounts {
        const CHUNK: usize = 512;
        let bits = rounding.random_bits();
        let unit = crate::float::power_of_two(-(bits as i32));
        let mut draws = [0_u32; CHUNK];
        let mut counts = CastCounts::default();
        for (i, chunk) in values.chunks_mut(CHUNK).enumerate() {
            let draws = &mut draws[..chunk.len()];
            if bits > 0 {
                random.skip((i * CHUNK) as u64).fill(bits, draws);
            }
            counts.add(match rounding {
                Rounding::NearestEven => self.run(chunk, draws, |_, near, _, _| near),
                Rounding::NearestAway => {
                    self.run(chunk, draws, |t, near, _, _| if t - near >= 0.5 { near + 1.0 } else { near })
                }
                Rounding::TowardZero => self.run(chunk, draws, |_, _, lower, _| lower),
                Rounding::Stochastic { .. } => self.run(chunk, draws, |t, _, lower, random| {
                    if t - lower >= 1.0 - (random as i32) as f32 * unit { lower + 1.0 } else { lower }
                }),
            });
        }
        counts
    }

    #[inline(always)]
    fn run(&self, values: &mut [f32], draws: &[u32], pick: impl Fn(f32, f32, f32, u32) -> f32) -> CastCounts {
        const MAGIC: f32 = (1_u32 << 23) as f32;
        let (mut overflow, mut underflow) = (0_u32, 0_u32);
        for (value, &random) in values.iter_mut().zip(draws.iter()) {
            let t = (*value - self.low) / self.step;
            let inside = if t > 0.0 { t } else { 0.0 };
            let inside = if inside < self.levels { inside } else { self.levels };
            let near = (inside + MAGIC) - MAGIC;
            let lower = if near > inside { near - 1.0 } else { near };
            let picked = pick(inside, near, lower, random);
            let result = picked * self.step + self.low;
            overflow += u32::from((t > self.levels + 0.5) | (t < -0.5));
            underflow += u32::from((result == 0.0) & (*value != 0.0));
            *value = if value.is_nan() { *value } else { result };
        }
        CastCounts {
            total: values.len() as u64,
            overflow: u64::from(overflow),
            underflow: u64::from(underflow),
            flushed: 0,
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "results are compared exactly")]
mod tests {
    use super::*;

    #[test]
    fn int4_group_vector() {
        let grid = Affine::symmetric(4, -0.875);
        assert_eq!(grid.scale(), 0.125);
        let codes = [-0.875, 0.125, 0.4375, 0.86].map(|v| grid.encode(v) as i8);
        assert_eq!(codes, [-7, 1, 4, 7]);
        assert_eq!(pack_int4(&codes), [0x19, 0x74]);
        assert_eq!(unpack_int4(&pack_int4(&codes), 4), codes);
        assert_eq!(unpack_int4(&pack_int4(&[-8, 3, -1]), 3), [-8, 3, -1]);
    }

    #[test]
    fn int8_codes() {
        let symmetric = Affine::symmetric(8, 12.7);
        assert_eq!(symmetric.codes(), (-127, 127));
        assert_eq!([-20.0, -12.7, 0.0, 0.04, 12.7, 1e9].map(|v| symmetric.encode(v)), [-127, -127, 0, 0, 127, 127]);
        let affine = Affine::asymmetric(8, -1.0, 1.55);
        assert_eq!(affine.zero_point(), -28);
        assert_eq!(affine.decode(affine.encode(0.0)), 0.0);
        assert_eq!([-1.0, 1.55, -9.0, f32::NAN].map(|v| affine.encode(v)), [-128, 127, -128, -28]);
        for code in -128..=127 {
            assert_eq!(affine.encode(affine.decode(code)), code);
        }
        // A range without zero is widened to it; an empty one is usable.
        assert_eq!(Affine::asymmetric(8, 2.0, 4.0).zero_point(), -128);
        assert_eq!(Affine::symmetric(8, 0.0).encode(0.0), 0);
    }

    #[test]
    fn range_grid_rounds_and_saturates() {
        let grid = RangeGrid::new(2, -1.0, 2.0);
        let mut values = [-3.0, -1.0, -0.4, 0.5, 1.5, 1.6, 9.0, f32::NAN];
        let counts = grid.round_slice(&mut values, Rounding::NearestEven, RandomBits::default());
        assert_eq!(values[..7], [-1.0, -1.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
        assert!(values[7].is_nan());
        assert_eq!((counts.overflow, counts.underflow), (2, 1));
        let mut ties = [-0.5, 0.5, 1.5];
        grid.round_slice(&mut ties, Rounding::NearestAway, RandomBits::default());
        assert_eq!(ties, [0.0, 1.0, 2.0]);
        let mut off = [0.0];
        RangeGrid::new(2, -0.4, 2.6).with_zero().round_slice(&mut off, Rounding::NearestEven, RandomBits::default());
        assert_eq!(off, [0.0]);
        let mut constant = [0.25; 4];
        RangeGrid::new(8, 0.25, 0.25).round_slice(&mut constant, Rounding::NearestEven, RandomBits::default());
        assert_eq!(constant, [0.25; 4]);
    }

    #[test]
    fn range_grid_is_unbiased_when_stochastic() {
        let mut values = vec![0.3_f32; 100_000];
        RangeGrid::new(2, 0.0, 3.0).round_slice(&mut values, Rounding::STOCHASTIC, RandomBits::new(5, 6));
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 1e5;
        // sigma of one draw sqrt(0.21), of the mean 0.00145; five of it.
        assert!((mean - 0.3).abs() < 0.0073, "{mean}");
    }
}
