//! Sums and means of codes.

use skimp_numerics::{Requantization, Requantizer};

use super::Encoding;

/// Bits that the operands of an integer sum are shifted left by, so that both can be scaled down by their multipliers.
const ADD_SHIFT: u32 = 20;

/// How two codes are added.
///
/// # Rounding
/// - [`AddRule::Exact`]: `floor((a · m_a + b · m_b) / 2^shift + 1/2)`, exactly, of operands without their zero points.
/// - [`AddRule::Integer`] (gemmlowp and single): each operand minus its zero point is shifted left by 20 bits and scaled
///   to twice the greater input scale; the sum is scaled to the output. Three roundings, each as the mode says.
/// - [`AddRule::Float`]: the operands become f32 (one product each), are added, divided by the output scale, and rounded
///   half to even: ONNX's `DequantizeLinear`, `Add`, `QuantizeLinear`.
///
/// # Source
/// Integer: the `ADD` operator of TensorFlow Lite, `kernels/internal/reference/add.h` and `kernels/add.cc`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AddRule {
    /// In integers, rounded once.
    Exact {
        /// Zero points of the operands.
        zero_points: [i32; 2],
        /// Integer factors of the operands.
        factors: [i64; 2],
        /// Common right shift.
        shift: u32,
        /// Zero point of the result.
        zero_point: i32,
    },
    /// In 32-bit integers.
    Integer {
        /// Zero points of the operands.
        zero_points: [i32; 2],
        /// Scaling of the operands.
        operands: [Requantizer; 2],
        /// Scaling of the sum.
        sum: Requantizer,
        /// Zero point of the result.
        zero_point: i32,
    },
    /// In f32.
    Float {
        /// Encodings of the operands.
        operands: [Encoding; 2],
        /// Encoding of the result.
        output: Encoding,
    },
}

impl AddRule {
    /// The rule for these encodings, or what stands against it.
    pub fn new(rounding: Requantization, operands: [Encoding; 2], output: Encoding) -> Result<Self, String> {
        match rounding {
            Requantization::Float => return Ok(Self::Float { operands, output }),
            Requantization::Exact => return Ok(Self::exact(operands, [1.0, 1.0], output)),
            Requantization::Gemmlowp | Requantization::Single => {}
        }
        if operands.iter().any(|operand| operand.bits > 8) {
            return Err(format!("a sum of codes of more than 8 bits in {} rounding", rounding.name()));
        }
        let scales = operands.map(|operand| operand.scale);
        let twice = 2.0 * scales[0].max(scales[1]);
        let requantizer = |factor: f64| {
            Requantizer::new(rounding, factor).ok_or_else(|| format!("a scaling by {factor:e} is out of range"))
        };
        Ok(Self::Integer {
            zero_points: operands.map(|operand| operand.zero_point),
            operands: [requantizer(scales[0] / twice)?, requantizer(scales[1] / twice)?],
            sum: requantizer(twice / (f64::from(1_u32 << ADD_SHIFT) * output.scale))?,
            zero_point: output.zero_point,
        })
    }

    /// The exact rule for a sum of the operands with `signs` (1, or −1 for a subtraction): factors with 30 significant bits
    /// for the larger one.
    pub fn exact(operands: [Encoding; 2], signs: [f64; 2], output: Encoding) -> Self {
        let real = [0, 1].map(|i| signs[i] * (operands[i].scale / output.scale));
        let exponent = real[0].abs().max(real[1].abs()).log2().floor();
        let shift = (29.0 - exponent).clamp(0.0, 90.0);
        Self::Exact {
            zero_points: operands.map(|operand| operand.zero_point),
            factors: real.map(|x| (x * shift.exp2()).round_ties_even() as i64),
            shift: shift as u32,
            zero_point: output.zero_point,
        }
    }

    /// The sum of two codes, not yet saturated.
    pub fn apply(&self, a: i32, b: i32) -> i64 {
        match self {
            Self::Exact { zero_points, factors, shift, zero_point } => {
                let half = if *shift == 0 { 0 } else { 1_i128 << (shift - 1) };
                let product = |i: usize, code: i32| i128::from(code - zero_points[i]) * i128::from(factors[i]);
                let rounded = (product(0, a) + product(1, b) + half) >> shift;
                (rounded.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64).saturating_add((*zero_point).into())
            }
            Self::Integer { zero_points, operands, sum, zero_point } => {
                let scaled = |i: usize, code: i32| operands[i].apply(i64::from(code - zero_points[i]) << ADD_SHIFT);
                sum.apply(scaled(0, a) + scaled(1, b)) + i64::from(*zero_point)
            }
            Self::Float { operands: [of_a, of_b], output } => {
                let quotient = (of_a.dequantize(a) + of_b.dequantize(b)) / output.scale as f32;
                i64::from(quotient.round_ties_even() as i32) + i64::from(output.zero_point)
            }
        }
    }
}

/// The factor that turns a sum of products of codes of two encodings into a code of `to`; `None` where it is out of range.
///
/// # Rounding
/// `scale(a) · scale(b) / scale(to)`, computed in this order, in f64 for the integer modes and in f32 for
/// [`Requantization::Float`], as onnxruntime's `QLinearMatMul` does.
pub fn product_requantizer(rounding: Requantization, from: [&Encoding; 2], to: &Encoding) -> Option<Requantizer> {
    let [a, b] = from.map(|encoding| encoding.scale);
    Requantizer::new(
        rounding,
        match rounding {
            Requantization::Float => f64::from(a as f32 * b as f32 / to.scale as f32),
            Requantization::Gemmlowp | Requantization::Single | Requantization::Exact => a * b / to.scale,
        },
    )
}

/// The factor that turns the sum of `count` codes of `from` into their mean as a code of `to`; `None` where it is out of
/// range.
///
/// # Rounding
/// `scale(from) / (scale(to) · count)`, computed in f64 for the integer modes and in f32, in this order, for
/// [`Requantization::Float`].
///
/// # Source
/// Float: onnxruntime's `QLinearGlobalAveragePool`. Integer: the `MEAN` operator of TensorFlow Lite, whose multiplier takes in
/// the count.
/// Differs: TensorFlow Lite's `AVERAGE_POOL_2D` wants equal scales and divides integers, halves away from zero.
pub fn mean_requantizer(rounding: Requantization, from: &Encoding, to: &Encoding, count: usize) -> Option<Requantizer> {
    match rounding {
        Requantization::Float => {
            let factor = from.scale as f32 / (to.scale as f32 * count as f32);
            Requantizer::new(rounding, f64::from(factor))
        }
        Requantization::Gemmlowp | Requantization::Single | Requantization::Exact => {
            Requantizer::new(rounding, from.scale / (to.scale * count as f64))
        }
    }
}
