//! From accumulators to codes of few bits, in the ways that inference engines do it.

use crate::FixedMultiplier;

/// How an accumulator times a real factor becomes an integer.
///
/// They differ by at most one, on ties and next to them, so a network states which one it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Requantization {
    /// Two integer steps, [`doubling_high_mul`] and [`rounding_shift_right`]: gemmlowp and TensorFlow Lite.
    Gemmlowp,
    /// One integer step with a 64-bit product, halves up: TensorFlow Lite's single-rounding build.
    Single,
    /// An f32 product, halves to even: ONNX's `QLinearConv` as onnxruntime computes it.
    #[default]
    Float,
    /// One integer step with a 128-bit product, halves up, for accumulators of any width: [`FixedMultiplier`].
    Exact,
}

impl Requantization {
    /// Every way, in the order of their names in help texts.
    pub const ALL: [Self; 4] = [Self::Float, Self::Gemmlowp, Self::Single, Self::Exact];

    /// Name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gemmlowp => "gemmlowp",
            Self::Single => "single",
            Self::Float => "float",
            Self::Exact => "exact",
        }
    }

    /// The way of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rounding| rounding.name() == name)
    }
}

/// `a · b / 2^31` in 32 bits, the only overflow (both `−2^31`) saturated.
///
/// # Rounding
/// The nearest integer, halves towards +∞: a nudge is added to the 64-bit product, which is then divided by `2^31`
/// towards zero.
///
/// # Source
/// `SaturatingRoundingDoublingHighMul` of gemmlowp, `fixedpoint/fixedpoint.h`; Jacob et al., "Quantization and Training
/// of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018, section 2.2.
pub fn doubling_high_mul(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    let product = i64::from(a) * i64::from(b);
    let nudge = if product >= 0 { 1_i64 << 30 } else { 1 - (1_i64 << 30) };
    ((product + nudge) / (1_i64 << 31)) as i32
}

/// `x / 2^exponent`, for an exponent up to 31.
///
/// # Rounding
/// The nearest integer, halves away from zero.
///
/// # Panics
/// If `exponent` exceeds 31.
///
/// # Source
/// `RoundingDivideByPOT` of gemmlowp, `fixedpoint/fixedpoint.h`.
pub fn rounding_shift_right(x: i32, exponent: u32) -> i32 {
    assert!(exponent <= 31, "a shift of a 32-bit integer is at most 31");
    let mask = ((1_u64 << exponent) - 1) as i32;
    let remainder = x & mask;
    let threshold = ((mask as u32) >> 1) as i32 + i32::from(x < 0);
    (x >> exponent) + i32::from(remainder > threshold)
}

/// A positive real factor as `mantissa · 2^−31 · 2^−right_shift` with `2^30 ≤ mantissa < 2^31`, or zero.
///
/// # Rounding
/// The mantissa is the nearest one, halves away from zero. A factor below `2^−32` becomes zero, as in TensorFlow Lite;
/// the right shift of all others is `−30 ..= 31`.
///
/// # Source
/// Jacob et al., CVPR 2018, section 2.2; `QuantizeMultiplier` of TensorFlow Lite, `kernels/internal/quantization_util.cc`.
/// Differs: a factor of `2^30` or more is refused, not saturated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiplier {
    mantissa: i32,
    right_shift: i32,
}

impl Multiplier {
    /// The multiplier nearest to `factor`, or `None` if it is negative, not finite, or `2^30` or more.
    pub fn from_f64(factor: f64) -> Option<Self> {
        if !(factor >= 0.0 && factor < f64::from(1_u32 << 30)) {
            return None;
        }
        if factor < 2_f64.powi(-32) {
            return Some(Self { mantissa: 0, right_shift: 0 });
        }
        // The exponent e with factor = f · 2^e and 1/2 ≤ f < 1; factor is a normal number.
        let exponent = ((factor.to_bits() >> 52) & 0x7FF) as i32 - 1022;
        let mantissa = (factor * 2_f64.powi(31 - exponent)).round() as i64;
        let (mantissa, exponent) = if mantissa == 1 << 31 { (1 << 30, exponent + 1) } else { (mantissa, exponent) };
        if exponent < -31 {
            return Some(Self { mantissa: 0, right_shift: 0 });
        }
        Some(Self { mantissa: mantissa as i32, right_shift: -exponent })
    }

    /// Mantissa: 0 or `2^30 ..= 2^31 − 1`.
    pub fn mantissa(self) -> i32 {
        self.mantissa
    }

    /// Right shift; negative for factors of 1 and more.
    pub fn right_shift(self) -> i32 {
        self.right_shift
    }

    /// `x` times the factor with two roundings; a left shift, where there is one, comes first and saturates.
    pub fn apply_gemmlowp(self, x: i32) -> i32 {
        let left = (-self.right_shift).max(0);
        let shifted = (i64::from(x) << left).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        rounding_shift_right(doubling_high_mul(shifted, self.mantissa), self.right_shift.max(0) as u32)
    }

    /// `floor(x · factor + 1/2)` from the exact 64-bit product, saturated to 32 bits.
    pub fn apply_single(self, x: i32) -> i32 {
        let product = i64::from(x) * i64::from(self.mantissa);
        // The product is below 2^62 and half a unit at most 2^61.
        let shift = 31 + self.right_shift;
        let rounded = (product + (1_i64 << (shift - 1))) >> shift;
        rounded.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
    }
}

/// A factor together with the way it is applied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Requantizer {
    /// As [`Requantization::Gemmlowp`].
    Gemmlowp(Multiplier),
    /// As [`Requantization::Single`].
    Single(Multiplier),
    /// As [`Requantization::Float`].
    Float(f32),
    /// As [`Requantization::Exact`].
    Exact(FixedMultiplier),
}

impl Requantizer {
    /// The factor `factor`, or `None` where a fixed-point multiplier cannot hold it, or it is negative or not finite.
    ///
    /// # Rounding
    /// [`Requantization::Float`] rounds the factor to f32; [`Requantization::Exact`] takes factors below 2^−90 for 0.
    pub fn new(rounding: Requantization, factor: f64) -> Option<Self> {
        let valid = factor >= 0.0 && factor.is_finite();
        match rounding {
            Requantization::Gemmlowp => Multiplier::from_f64(factor).map(Self::Gemmlowp),
            Requantization::Single => Multiplier::from_f64(factor).map(Self::Single),
            Requantization::Float => valid.then_some(Self::Float(factor as f32)),
            Requantization::Exact => {
                let factor = if factor < 2_f64.powi(-90) { 0.0 } else { factor };
                valid.then(|| FixedMultiplier::from_f64(factor).map(Self::Exact)).flatten()
            }
        }
    }

    /// The accumulator times the factor, before any zero point.
    ///
    /// # Rounding
    /// [`Requantization::Float`] takes the accumulator to f32, multiplies in f32, rounds half to even and saturates at 32
    /// bits. The modes of 32-bit engines saturate the accumulator first; networks keep it within 32 bits.
    pub fn apply(self, accumulator: i64) -> i64 {
        let narrow = || accumulator.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        match self {
            Self::Gemmlowp(multiplier) => i64::from(multiplier.apply_gemmlowp(narrow())),
            Self::Single(multiplier) => i64::from(multiplier.apply_single(narrow())),
            Self::Float(factor) => i64::from((narrow() as f32 * factor).round_ties_even() as i32),
            Self::Exact(multiplier) => multiplier.apply(accumulator),
        }
    }

    /// Whether accumulators have to fit 32 bits.
    pub fn is_narrow(self) -> bool {
        !matches!(self, Self::Exact(_))
    }
}

#[cfg(test)]
mod tests {
    use super::{Multiplier, Requantization, Requantizer, doubling_high_mul, rounding_shift_right};

    #[test]
    fn doubling_high_mul_rounds_halves_up() {
        let (min, max, half) = (i32::MIN, i32::MAX, 1 << 30);
        let cases = [
            (max, max, 2_147_483_646),
            (min, min, 2_147_483_647),
            (3, half, 2),
            (-3, half, -1),
            (1, half, 1),
            (-1, half, 0),
            (1000, 0x6666_6666, 800),
        ];
        for (a, b, expected) in cases {
            assert_eq!(doubling_high_mul(a, b), expected, "{a}, {b}");
        }
    }

    #[test]
    fn rounding_shift_right_rounds_halves_away_from_zero() {
        let cases = [
            (5, 1, 3),
            (-5, 1, -3),
            (6, 2, 2),
            (-6, 2, -2),
            (10, 2, 3),
            (-10, 2, -3),
            (1, 1, 1),
            (-1, 1, -1),
            (7, 0, 7),
            (i32::MIN, 31, -1),
            (i32::MAX, 31, 1),
        ];
        for (x, exponent, expected) in cases {
            assert_eq!(rounding_shift_right(x, exponent), expected, "{x}, {exponent}");
        }
    }

    #[test]
    fn multipliers_are_normalized() {
        let cases = [
            (0.5, 0x4000_0000, 0),
            (0.1, 0x6666_6666, 3),
            (1.0 / 3.0, 0x5555_5555, 1),
            (0.007_247_427_341_846, 1_992_157_658, 7),
            (0.999_999_999_9, 0x4000_0000, -1),
            (0.0, 0, 0),
            (1e-12, 0, 0),
            (1.0, 0x4000_0000, -1),
        ];
        for (factor, mantissa, right_shift) in cases {
            let multiplier = Multiplier::from_f64(factor).unwrap();
            assert_eq!((multiplier.mantissa(), multiplier.right_shift()), (mantissa, right_shift), "{factor}");
        }
        for factor in [-0.5, f64::NAN, f64::INFINITY, 1_073_741_824.0] {
            assert_eq!(Multiplier::from_f64(factor), None, "{factor}");
        }
    }

    #[test]
    fn requantizes_to_uint8() {
        let multiplier = Multiplier::from_f64(0.007_247_427_341_846).unwrap();
        let cases = [(0, 3), (1, 3), (69, 4), (-69, 2), (12_345, 92), (17_623, 131), (1_000_000, 255)];
        for (accumulator, expected) in cases {
            for rounding in Requantization::ALL {
                let requantizer = Requantizer::new(rounding, 0.007_247_427_341_846).unwrap();
                let code = (requantizer.apply(i64::from(accumulator)) + 3).clamp(0, 255);
                assert_eq!(code, i64::from(expected), "{rounding:?} {accumulator}");
            }
            assert_eq!((multiplier.apply_gemmlowp(accumulator) + 3).clamp(0, 255), expected);
        }
    }

    #[test]
    fn the_ways_differ_on_ties() {
        let by = |rounding, x: i64| Requantizer::new(rounding, 0.5).unwrap().apply(x);
        let ties = [-5, -3, -1, 1, 3, 5];
        // gemmlowp rounds −2.5 up in its first step and has nothing left to round in its second one.
        assert_eq!(ties.map(|x| by(Requantization::Gemmlowp, x)), [-2, -1, 0, 1, 2, 3]);
        assert_eq!(ties.map(|x| by(Requantization::Single, x)), [-2, -1, 0, 1, 2, 3]);
        assert_eq!(ties.map(|x| by(Requantization::Exact, x)), [-2, -1, 0, 1, 2, 3]);
        assert_eq!(ties.map(|x| by(Requantization::Float, x)), [-2, -2, 0, 0, 2, 2]);
        // A factor of 1/4 leaves the tie to the second step, away from zero.
        let quarter = |rounding, x: i64| Requantizer::new(rounding, 0.25).unwrap().apply(x);
        assert_eq!([-6, -2, 2, 6].map(|x| quarter(Requantization::Gemmlowp, x)), [-2, -1, 1, 2]);
        assert_eq!([-6, -2, 2, 6].map(|x| quarter(Requantization::Single, x)), [-1, 0, 1, 2]);
        assert_eq!([-6, -2, 2, 6].map(|x| quarter(Requantization::Float, x)), [-2, 0, 0, 2]);
    }

    #[test]
    fn one_rounding_is_the_nearest_integer() {
        for factor in [0.3, 0.017, 1.7, 3e-6, 40.0, 4e-10] {
            let multiplier = Multiplier::from_f64(factor).unwrap();
            let exact = f64::from(multiplier.mantissa()) * 2_f64.powi(-31 - multiplier.right_shift());
            for x in [0, 1, -1, 77, -1234, 99_999, -16_777_217, 20_000_000] {
                let expected = (f64::from(x) * exact + 0.5).floor() as i32;
                assert_eq!(multiplier.apply_single(x), expected, "{factor} {x}");
                assert!((multiplier.apply_gemmlowp(x) - expected).abs() <= 1, "{factor} {x}");
            }
        }
        let huge = Multiplier::from_f64(1e9).unwrap();
        assert_eq!([huge.apply_single(9), huge.apply_single(-9)], [i32::MAX, i32::MIN]);
        // The left shift saturates, and then comes a mantissa of 1e9 / 2^30.
        assert_eq!([huge.apply_gemmlowp(9), huge.apply_gemmlowp(-9)], [1_999_999_999, -2_000_000_000]);
    }

    #[test]
    fn only_exact_takes_wide_accumulators() {
        let of = |rounding| Requantizer::new(rounding, 2_f64.powi(-20)).unwrap();
        assert_eq!(of(Requantization::Exact).apply(5 << 40), 5 << 20);
        for rounding in Requantization::ALL {
            assert_eq!(of(rounding).is_narrow(), rounding != Requantization::Exact);
        }
        assert_eq!(Requantizer::new(Requantization::Exact, f64::NAN), None);
    }

    #[test]
    fn names_are_read_back() {
        for rounding in Requantization::ALL {
            assert_eq!(Requantization::parse(rounding.name()), Some(rounding));
        }
        assert_eq!(Requantization::parse("nearest"), None);
    }
}
