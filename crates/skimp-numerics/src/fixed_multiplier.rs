//! Scaling of integers by a real factor, in integers only.

/// A positive real factor as `mantissa · 2^−shift` with a 31-bit mantissa (`2^30 ≤ mantissa < 2^31`), or zero.
///
/// # Rounding
/// [`apply`](FixedMultiplier::apply) rounds half up: `floor(x · mantissa / 2^shift + 1/2)`, exactly, in 128 bits, and
/// saturates at the limits of `i64`.
///
/// # Source
/// The fixed-point multiplier of Jacob et al., "Quantization and Training of Neural Networks for Efficient
/// Integer-Arithmetic-Only Inference", CVPR 2018, section 2.2.
/// Differs: the product is exact and rounded once; there is no intermediate 32-bit rounding doubling high multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedMultiplier {
    mantissa: u32,
    shift: i32,
}

impl FixedMultiplier {
    /// The multiplier nearest to `factor` (ties to even), or `None` if it is negative, not finite, or beyond 2^±96.
    pub fn from_f64(factor: f64) -> Option<Self> {
        const LIMIT: f64 = (1_u128 << 96) as f64;
        if factor == 0.0 {
            return Some(Self { mantissa: 0, shift: 0 });
        }
        if !(factor > 1.0 / LIMIT && factor < LIMIT) {
            return None;
        }
        let exponent = factor.log2().floor() as i32;
        let mut shift = 30 - exponent;
        let mut mantissa = (factor * 2_f64.powi(shift)).round_ties_even();
        // log2 may be off by one at powers of two, and rounding may reach 2^31.
        if mantissa < (1_u64 << 30) as f64 {
            shift += 1;
            mantissa = (factor * 2_f64.powi(shift)).round_ties_even();
        }
        if mantissa >= (1_u64 << 31) as f64 {
            shift -= 1;
            mantissa = (factor * 2_f64.powi(shift)).round_ties_even();
        }
        Some(Self { mantissa: mantissa as u32, shift })
    }

    /// Mantissa, 0 or `2^30 ..= 2^31 − 1`.
    pub fn mantissa(self) -> u32 {
        self.mantissa
    }

    /// Right shift, may be negative.
    pub fn shift(self) -> i32 {
        self.shift
    }

    /// The factor that the multiplier stands for, exactly.
    pub fn to_f64(self) -> f64 {
        f64::from(self.mantissa) * 2_f64.powi(-self.shift)
    }

    /// `x` times the factor, rounded half up, saturated to `i64`.
    pub fn apply(self, x: i64) -> i64 {
        let product = i128::from(x) * i128::from(self.mantissa);
        let scaled = match self.shift {
            0 => product,
            shift @ 1..=126 => (product + (1_i128 << (shift - 1))) >> shift,
            shift if shift > 126 => 0,
            shift => {
                let left = shift.unsigned_abs();
                if product != 0 && left >= product.unsigned_abs().leading_zeros() {
                    if product < 0 { i128::MIN } else { i128::MAX }
                } else {
                    product << left.min(127)
                }
            }
        };
        scaled.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::FixedMultiplier;

    #[test]
    fn rounds_half_up_and_saturates() {
        #[derive(Debug)]
        struct Case {
            factor: f64,
            x: i64,
            expected: i64,
        }
        let cases = [
            Case { factor: 0.5, x: 3, expected: 2 },
            Case { factor: 0.5, x: -3, expected: -1 },
            Case { factor: 0.25, x: -1, expected: 0 },
            Case { factor: 1.0, x: i64::MAX, expected: i64::MAX },
            Case { factor: 1.0, x: i64::MIN, expected: i64::MIN },
            Case { factor: 4.0, x: i64::MAX, expected: i64::MAX },
            Case { factor: 1e20, x: -7, expected: i64::MIN },
            Case { factor: 0.0, x: 12, expected: 0 },
            Case { factor: 1e-20, x: i64::MAX, expected: 0 },
            Case { factor: 3.0, x: 5, expected: 15 },
        ];
        for case in cases {
            let got = FixedMultiplier::from_f64(case.factor).unwrap().apply(case.x);
            assert_eq!(got, case.expected, "{case:?}");
        }
    }

    #[test]
    fn mantissa_is_normalized() {
        for factor in [1.0, 0.999_999_999_999, 2.0, 1.0 / 3.0, 1e-9, 123_456.789, 0.5 - 1e-16] {
            let multiplier = FixedMultiplier::from_f64(factor).unwrap();
            assert!((1 << 30..1_u32 << 31).contains(&multiplier.mantissa()), "{factor}: {multiplier:?}");
            assert!((multiplier.to_f64() / factor - 1.0).abs() < 2_f64.powi(-31), "{factor}: {multiplier:?}");
        }
        for factor in [-1.0, f64::NAN, f64::INFINITY, 1e-40, 1e40] {
            assert_eq!(FixedMultiplier::from_f64(factor), None, "{factor}");
        }
    }
}
