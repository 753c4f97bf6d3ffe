//! Settings of quantization, as files, flags and programs give them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use skimp_data::Split;

use crate::QuantError;

/// How many scales the weights of a layer have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightScales {
    /// One for the layer.
    #[default]
    PerLayer,
    /// One for each output channel.
    PerChannel,
}

impl fmt::Display for WeightScales {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PerLayer => "per-layer",
            Self::PerChannel => "per-channel",
        })
    }
}

/// How the range of an activation follows from calibration images.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RangeMethod {
    /// The least and the greatest element seen: nothing saturates on the calibration images.
    #[default]
    MinMax,
    /// To within 2^−9 of their values, in percent. Of a symmetric range: the least magnitude that this share of all
    /// elements (zeros included) does not exceed, in `(0, 100]`. Of a range with a zero point: between the quantiles
    /// `100 − P` and `P`, in `(50, 100]`.
    Percentile(f64),
    /// The part of the range, out of 80 parts evenly spaced from 0.21 to 1, with the least mean square of the
    /// quantization error. Of ranges with a zero point only.
    Mse,
    /// The range with the least Kullback-Leibler divergence between the elements before and after quantization. Of ranges
    /// with a zero point only.
    ///
    /// # Source
    /// S. Migacz, "8-bit Inference with TensorRT", GTC 2017: 2,048 bins, 128 levels (256 for values that are nowhere
    /// negative), outliers counted in the last bin.
    /// Differs: every eighth threshold is tried; the bin of 0 takes the count of the next one,
    /// since the zeros of a ReLU would hide all else; elements come from bins 2^−9 of their value wide.
    Entropy,
}

impl RangeMethod {
    /// The error for a percentile outside `(least, 100]`.
    fn check_percentile(self, least: f64, expected: &'static str) -> Result<(), QuantError> {
        match self {
            Self::Percentile(p) if !(p > least && p <= 100.0) => {
                Err(QuantError::InvalidConfig { setting: "calibration", expected, found: self.to_string() })
            }
            Self::MinMax | Self::Percentile(_) | Self::Mse | Self::Entropy => Ok(()),
        }
    }

    /// Checks a range with a zero point.
    pub(crate) fn check_affine(self) -> Result<(), QuantError> {
        self.check_percentile(50.0, "a percentile above 50 and at most 100")
    }

    /// Checks a symmetric range.
    pub(crate) fn check_symmetric(self) -> Result<(), QuantError> {
        if matches!(self, Self::Mse | Self::Entropy) {
            let expected = "min-max or percentile:P (mse and entropy are of `skimp quantize`)";
            return Err(QuantError::InvalidConfig { setting: "calibration", expected, found: self.to_string() });
        }
        self.check_percentile(0.0, "a percentile above 0 and at most 100")
    }
}

impl FromStr for RangeMethod {
    type Err = QuantError;

    /// Reads `min-max` (`max` is the same), `percentile:P`, `mse` or `entropy`.
    fn from_str(text: &str) -> Result<Self, QuantError> {
        let percent = text.strip_prefix("percentile:").map(str::parse);
        match (text, percent) {
            ("min-max" | "max", _) => Ok(Self::MinMax),
            ("mse", _) => Ok(Self::Mse),
            ("entropy", _) => Ok(Self::Entropy),
            (_, Some(Ok(percent))) if percent > 0.0 && percent <= 100.0 => Ok(Self::Percentile(percent)),
            _ => Err(QuantError::InvalidConfig {
                setting: "calibration",
                expected: "min-max, percentile:P, mse or entropy, with P above 0 and at most 100",
                found: text.to_owned(),
            }),
        }
    }
}

impl TryFrom<String> for RangeMethod {
    type Error = QuantError;

    fn try_from(text: String) -> Result<Self, QuantError> {
        text.parse()
    }
}

impl From<RangeMethod> for String {
    fn from(method: RangeMethod) -> Self {
        method.to_string()
    }
}

impl fmt::Display for RangeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinMax => f.write_str("min-max"),
            Self::Percentile(percent) => write!(f, "percentile:{percent}"),
            Self::Mse => f.write_str("mse"),
            Self::Entropy => f.write_str("entropy"),
        }
    }
}

/// What happens to a layer that reads the network's input where the input is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstLayer {
    /// Signed operands. Partial sums may rise: no design may stop them early.
    #[default]
    Signed,
    /// Non-negative operands: the greatest code is added to every activation, and its sum with the weights is taken off
    /// the bias. Same accumulators; operands are not negative.
    Offset,
}

/// Settings of [`quantize`](crate::quantize), and which images set the ranges: `[quantization]` of a study file, and the
/// flags of the same names. Unknown keys are errors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuantizationConfig {
    /// Width of weight codes, 2 to 16.
    pub weight_bits: u32,
    /// Width of activation codes, 2 to 16.
    pub activation_bits: u32,
    /// How many scales the weights of a layer have.
    pub weight_scales: WeightScales,
    /// Ranges of activations: [`MinMax`](RangeMethod::MinMax) or [`Percentile`](RangeMethod::Percentile).
    pub calibration: RangeMethod,
    /// Images that set the ranges, for whoever calibrates.
    pub calibration_images: usize,
    /// Part of the data set that they come from, the first ones of it. `None`: the run's own part, except where accuracy
    /// alone is measured (`skimp eval`): the training split, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration_split: Option<Split>,
    /// Treatment of a signed network input.
    pub first_layer: FirstLayer,
}

impl Default for QuantizationConfig {
    /// 16 bits throughout, a weight scale for each layer, the greatest magnitude of 16 images, signed first layer.
    fn default() -> Self {
        Self {
            weight_bits: 16,
            activation_bits: 16,
            weight_scales: WeightScales::default(),
            calibration: RangeMethod::default(),
            calibration_images: 16,
            calibration_split: None,
            first_layer: FirstLayer::default(),
        }
    }
}

impl QuantizationConfig {
    /// Checks what the types leave open.
    ///
    /// # Errors
    /// [`QuantError::InvalidConfig`] naming the setting.
    pub fn check(&self) -> Result<(), QuantError> {
        for (setting, bits) in [("weight_bits", self.weight_bits), ("activation_bits", self.activation_bits)] {
            if !(2..=16).contains(&bits) {
                return Err(QuantError::InvalidConfig { setting, expected: "2 to 16", found: bits.to_string() });
            }
        }
        self.calibration.check_symmetric()
    }
}
