//! Floating-point formats of at most 32 bits: what their codes mean.
//!
//! [`FloatFormat`] describes a format, [`FloatCast`] converts to it. The container is always f32: every number of every
//! format is an f32 number.

mod cast;
mod kernel;
#[cfg(test)]
#[allow(clippy::float_cmp, reason = "results are compared exactly")]
mod tests;

pub use cast::FloatCast;

use crate::Overflow;

/// Which codes are not finite numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Specials {
    /// The highest exponent holds infinity (mantissa zero) and NaN, as in IEEE 754.
    Ieee,
    /// No infinity; NaN is the code of all ones below the sign ("FN").
    NanAtTop,
    /// No infinity and no negative zero; the code of negative zero is NaN ("FNUZ").
    NanAtNegativeZero,
    /// Every code is a finite number.
    None,
}

/// What a code with exponent zero means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ZeroExponent {
    /// Zero and the subnormal numbers `M · 2^(1 − bias − m)`.
    Subnormal,
    /// Normal numbers `(1 + M / 2^m) · 2^(−bias)`, except that mantissa zero means zero.
    Normal,
}

/// Why a floating-point format is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// The number of exponent bits is not 2 to 8.
    ExponentBits(u32),
    /// The number of mantissa bits is not 1 to 23.
    MantissaBits(u32),
    /// With this bias the format holds numbers that f32 does not hold, or has 8 exponent bits and is not laid out as f32.
    Bias(i32),
}

impl std::fmt::Display for FormatError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ExponentBits(bits) => write!(f, "{bits} exponent bits, expected 2 to 8"),
            Self::MantissaBits(bits) => write!(f, "{bits} mantissa bits, expected 1 to 23"),
            Self::Bias(bias) => {
                write!(f, "bias {bias}: expected exponents from -126 to 127, and the layout of f32 at 8 exponent bits")
            }
        }
    }
}

impl std::error::Error for FormatError {}

/// A floating-point format with one sign bit.
///
/// A code is `sign · 2^(e+m) + E · 2^m + M`. With `E > 0` it means `±(1 + M / 2^m) · 2^(E − bias)`; `E = 0` is told by
/// [`ZeroExponent`], codes that are no numbers by [`Specials`].
///
/// # Examples
/// ```
/// use skimp_numerics::formats::FP8_E4M3;
///
/// assert_eq!(FP8_E4M3.max_finite(), 448.0);
/// assert_eq!(FP8_E4M3.decode(0x2B), 0.34375);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FloatFormat {
    exponent_bits: u32,
    mantissa_bits: u32,
    bias: i32,
    specials: Specials,
    zero_exponent: ZeroExponent,
    overflow: Overflow,
}

impl FloatFormat {
    /// A format with subnormal numbers that saturates unless told otherwise.
    ///
    /// # Errors
    /// [`FormatError`] if a number of the format would not be an f32 number.
    pub const fn new(
        exponent_bits: u32,
        mantissa_bits: u32,
        bias: i32,
        specials: Specials,
    ) -> Result<Self, FormatError> {
        if exponent_bits < 2 || exponent_bits > 8 {
            return Err(FormatError::ExponentBits(exponent_bits));
        }
        if mantissa_bits < 1 || mantissa_bits > 23 {
            return Err(FormatError::MantissaBits(mantissa_bits));
        }
        let top = (1 << exponent_bits) - 1;
        let fits = if exponent_bits == 8 {
            bias == 127 && matches!(specials, Specials::Ieee)
        } else {
            // Intermediate results of a conversion reach 2^(top − bias + 24), the smallest step is 2^(−bias − m).
            bias > -100 && bias < 200 && top - bias < 100 && -bias - (mantissa_bits as i32) > -126
        };
        if !fits {
            return Err(FormatError::Bias(bias));
        }
        Ok(Self {
            exponent_bits,
            mantissa_bits,
            bias,
            specials,
            zero_exponent: ZeroExponent::Subnormal,
            overflow: Overflow::Saturate,
        })
    }

    /// A format of the tables of this crate; a wrong one does not compile.
    pub(crate) const fn table(
        exponent_bits: u32,
        mantissa_bits: u32,
        bias: i32,
        specials: Specials,
        overflow: Overflow,
    ) -> Self {
        match Self::new(exponent_bits, mantissa_bits, bias, specials) {
            Ok(format) => Self { overflow, ..format },
            Err(_) => panic!("a format that fits f32"),
        }
    }

    /// The same format with another meaning of exponent zero. Formats of 8 exponent bits keep theirs.
    #[must_use]
    pub const fn with_zero_exponent(self, zero_exponent: ZeroExponent) -> Self {
        if self.exponent_bits == 8 { self } else { Self { zero_exponent, ..self } }
    }

    /// Bits of a code, with the sign.
    pub const fn bits(&self) -> u32 {
        1 + self.exponent_bits + self.mantissa_bits
    }

    /// Exponent bits.
    pub const fn exponent_bits(&self) -> u32 {
        self.exponent_bits
    }

    /// Stored mantissa bits.
    pub const fn mantissa_bits(&self) -> u32 {
        self.mantissa_bits
    }

    /// Exponent bias.
    pub const fn bias(&self) -> i32 {
        self.bias
    }

    /// Which codes are not finite numbers.
    pub const fn specials(&self) -> Specials {
        self.specials
    }

    /// What exponent zero means.
    pub const fn zero_exponent(&self) -> ZeroExponent {
        self.zero_exponent
    }

    /// What a conforming conversion does above the largest finite number.
    pub const fn overflow(&self) -> Overflow {
        self.overflow
    }

    /// The exponent of the smallest normal number's power of two.
    pub const fn min_exponent(&self) -> i32 {
        match self.zero_exponent {
            ZeroExponent::Subnormal => 1 - self.bias,
            ZeroExponent::Normal => -self.bias,
        }
    }

    /// The exponent of the largest finite number.
    pub const fn max_exponent(&self) -> i32 {
        let top = (1 << self.exponent_bits) - 1;
        match self.specials {
            Specials::Ieee => top - 1 - self.bias,
            _ => top - self.bias,
        }
    }

    /// The largest finite number.
    pub fn max_finite(&self) -> f32 {
        let below_two = match self.specials {
            Specials::NanAtTop => 2,
            _ => 1,
        };
        let significand = (2_u32 << self.mantissa_bits) - below_two;
        significand as f32 * power_of_two(self.max_exponent() - self.mantissa_bits as i32)
    }

    /// The smallest positive normal number.
    pub fn min_normal(&self) -> f32 {
        match self.zero_exponent {
            ZeroExponent::Subnormal => power_of_two(self.min_exponent()),
            ZeroExponent::Normal => self.min_positive(),
        }
    }

    /// The smallest positive subnormal number, where the format has any.
    pub fn min_subnormal(&self) -> Option<f32> {
        (self.zero_exponent == ZeroExponent::Subnormal).then(|| self.min_positive())
    }

    /// The smallest positive number.
    pub fn min_positive(&self) -> f32 {
        let step = power_of_two(self.min_exponent() - self.mantissa_bits as i32);
        match self.zero_exponent {
            ZeroExponent::Subnormal => step,
            ZeroExponent::Normal => power_of_two(self.min_exponent()) + step,
        }
    }

    /// The number that a code means. Bits above the format's are ignored.
    ///
    /// NaN comes as the quiet NaN of f32 without a payload.
    pub fn decode(&self, code: u32) -> f32 {
        let m = self.mantissa_bits;
        let magnitude_bits = self.exponent_bits + m;
        let negative = code >> magnitude_bits & 1 == 1;
        let magnitude = code & ((1 << magnitude_bits) - 1);
        let (exponent, mantissa) = (magnitude >> m, magnitude & ((1 << m) - 1));
        let top = (1 << self.exponent_bits) - 1;
        let value = match self.specials {
            Specials::Ieee if exponent == top && mantissa == 0 => f32::INFINITY,
            Specials::Ieee if exponent == top => f32::NAN,
            Specials::NanAtTop if magnitude == (1 << magnitude_bits) - 1 => f32::NAN,
            Specials::NanAtNegativeZero if negative && magnitude == 0 => f32::NAN,
            _ if exponent == 0 && (mantissa == 0 || self.zero_exponent == ZeroExponent::Subnormal) => {
                mantissa as f32 * power_of_two(1 - self.bias - m as i32)
            }
            _ => ((1 << m) + mantissa) as f32 * power_of_two(exponent as i32 - self.bias - m as i32),
        };
        if negative { -value } else { value }
    }

    /// The code of a number that the format holds.
    pub(crate) fn code_of(&self, value: f32) -> u32 {
        let m = self.mantissa_bits;
        let sign = (value.is_sign_negative() as u32) << (self.exponent_bits + m);
        let magnitude = value.abs();
        let top = ((1_u32 << self.exponent_bits) - 1) << m;
        if value.is_nan() {
            return match self.specials {
                Specials::Ieee => sign | top | 1 << (m - 1),
                Specials::NanAtTop => sign | top | ((1 << m) - 1),
                Specials::NanAtNegativeZero | Specials::None => 1 << (self.exponent_bits + m),
            };
        }
        if magnitude.is_infinite() {
            // Only formats with an infinity hold it.
            return sign | top;
        }
        if magnitude == 0.0 {
            return sign;
        }
        if magnitude < power_of_two(self.min_exponent()) {
            // In steps of the smallest subnormal number; through f64, since the step may be below f32's own range.
            let step = f64::from(magnitude) / f64::from(self.min_positive());
            return sign | step as u32;
        }
        let bits = magnitude.to_bits();
        let exponent = (bits >> 23) as i32 - 127 + self.bias;
        sign | (exponent as u32) << m | (bits & 0x7F_FFFF) >> (23 - m)
    }
}

/// `2^exponent`, for exponents from −149 to 127.
pub(crate) const fn power_of_two(exponent: i32) -> f32 {
    if exponent >= -126 {
        f32::from_bits(((exponent + 127) as u32) << 23)
    } else {
        f32::from_bits(1 << (exponent + 149))
    }
}
