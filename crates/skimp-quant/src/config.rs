//! Settings of quantization.

use crate::QuantError;

/// How many weight scales a layer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WeightGranularity {
    /// One for the layer.
    PerLayer,
    /// One for each output channel.
    #[default]
    PerChannel,
}

/// Which calibrated magnitude the greatest code of an activation stands for.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum RangeMethod {
    /// The greatest magnitude seen: nothing saturates on the calibration images.
    #[default]
    Max,
    /// The least magnitude that this percentage of all elements seen (zeros included) does not exceed, to within
    /// 2^−9 of its value; in `(0, 100]`.
    Percentile(f64),
}

/// What happens to a layer that reads the network's input where the input is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FirstLayer {
    /// Signed operands. Partial sums may rise: no design may stop them early.
    #[default]
    Signed,
    /// Non-negative operands: the greatest code is added to every activation, and its sum with the weights is taken off
    /// the bias. Same accumulators; operands are not negative.
    Offset,
}

/// Settings of [`quantize`](crate::quantize).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizeConfig {
    /// Width of weight codes, 2 to 16.
    pub weight_bits: u32,
    /// Width of activation codes, 2 to 16.
    pub activation_bits: u32,
    /// How many weight scales a layer has.
    pub weight_granularity: WeightGranularity,
    /// Range of activations.
    pub range: RangeMethod,
    /// Treatment of a signed network input.
    pub first_layer: FirstLayer,
}

impl Default for QuantizeConfig {
    /// 16 bits throughout, a weight scale per output channel, the greatest magnitude seen, signed first layer.
    fn default() -> Self {
        Self {
            weight_bits: 16,
            activation_bits: 16,
            weight_granularity: WeightGranularity::default(),
            range: RangeMethod::default(),
            first_layer: FirstLayer::default(),
        }
    }
}

impl QuantizeConfig {
    pub(crate) fn check(&self) -> Result<(), QuantError> {
        for (setting, bits) in [("weight_bits", self.weight_bits), ("activation_bits", self.activation_bits)] {
            if !(2..=16).contains(&bits) {
                return Err(QuantError::InvalidConfig { setting, expected: "2 to 16", found: bits.to_string() });
            }
        }
        match self.range {
            RangeMethod::Percentile(p) if !(p > 0.0 && p <= 100.0) => Err(QuantError::InvalidConfig {
                setting: "percentile",
                expected: "a number above 0 and at most 100",
                found: p.to_string(),
            }),
            RangeMethod::Percentile(_) | RangeMethod::Max => Ok(()),
        }
    }
}
