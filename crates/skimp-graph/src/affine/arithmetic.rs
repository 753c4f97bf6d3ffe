//! Sums and means of codes.

use skimp_numerics::{Requantization, Requantizer};

use super::AffineEncoding;

/// Bits that the operands of an integer sum are shifted left by, so that both can be scaled down by their multipliers.
const ADD_SHIFT: u32 = 20;

/// How two codes are added.
///
/// # Rounding
/// - [`AddRule::Integer`] (gemmlowp and single): each operand minus its zero point is shifted left by 20 bits and scaled
///   to twice the greater input scale; the sum is scaled to the output. Three roundings, each as the mode says.
/// - [`AddRule::Float`]: the operands become f32 (one product each), are added, divided by the output scale, and rounded
///   half to even: ONNX's `DequantizeLinear`, `Add`, `QuantizeLinear`.
///
/// # Source
/// Integer: the `ADD` operator of TensorFlow Lite, `kernels/internal/reference/add.h` and `kernels/add.cc`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AddRule {
    /// In integers.
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
        operands: [AffineEncoding; 2],
        /// Encoding of the result.
        output: AffineEncoding,
    },
}

impl AddRule {
    /// The rule for these encodings, or what stands against it.
    pub fn new(
        rounding: Requantization,
        operands: [AffineEncoding; 2],
        output: AffineEncoding,
    ) -> Result<Self, String> {
        if rounding == Requantization::Float {
            return Ok(Self::Float { operands, output });
        }
        let scales = operands.map(|operand| f64::from(operand.scale));
        let twice = 2.0 * scales[0].max(scales[1]);
        let requantizer = |factor: f64| {
            Requantizer::new(rounding, factor).ok_or_else(|| format!("a scaling by {factor:e} is out of range"))
        };
        Ok(Self::Integer {
            zero_points: operands.map(|operand| operand.zero_point),
            operands: [requantizer(scales[0] / twice)?, requantizer(scales[1] / twice)?],
            sum: requantizer(twice / (f64::from(1_u32 << ADD_SHIFT) * f64::from(output.scale)))?,
            zero_point: output.zero_point,
        })
    }

    /// The sum of two codes, not yet saturated.
    pub fn apply(&self, a: i32, b: i32) -> i32 {
        match self {
            Self::Integer { zero_points, operands, sum, zero_point } => {
                let scaled = |i: usize, code: i32| operands[i].apply((code - zero_points[i]) << ADD_SHIFT);
                sum.apply(scaled(0, a) + scaled(1, b)).saturating_add(*zero_point)
            }
            Self::Float { operands: [of_a, of_b], output } => {
                let quotient = (of_a.dequantize(a) + of_b.dequantize(b)) / output.scale;
                (quotient.round_ties_even() as i32).saturating_add(output.zero_point)
            }
        }
    }
}

/// How a sum of codes becomes a mean.
///
/// # Rounding
/// One requantization by `scale(input) / (scale(output) · count)`: the factor is computed in f64 for the integer modes
/// and in f32, in this order, for [`Requantization::Float`].
///
/// # Source
/// Float: onnxruntime's `QLinearGlobalAveragePool`. Integer: the `MEAN` operator of TensorFlow Lite, whose multiplier
/// takes in the count.
/// Differs: TensorFlow Lite's `AVERAGE_POOL_2D` wants equal scales and divides integers, halves away from zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanRule {
    /// How it rounds.
    pub rounding: Requantization,
    /// Encoding of the input.
    pub input: AffineEncoding,
    /// Encoding of the output.
    pub output: AffineEncoding,
}

impl MeanRule {
    /// The factor for `count` codes, or `None` where it is out of range.
    pub fn requantizer(&self, count: usize) -> Option<Requantizer> {
        let (from, to) = (self.input.scale, self.output.scale);
        match self.rounding {
            Requantization::Float => Requantizer::new(Requantization::Float, f64::from(from / (to * count as f32))),
            rounding => Requantizer::new(rounding, f64::from(from) / (f64::from(to) * count as f64)),
        }
    }

    /// The mean behind `sum`, the sum of all codes minus the input's zero point, not yet saturated.
    pub fn apply(&self, requantizer: Requantizer, sum: i32) -> i32 {
        requantizer.apply(sum).saturating_add(self.output.zero_point)
    }
}
