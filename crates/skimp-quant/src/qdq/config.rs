//! Settings of quantization to 8-bit codes with zero points.

use skimp_graph::integer::{CodeType, Requantization};

use crate::{QuantError, WeightGranularity};

/// Where the zero point lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Fixed. Weights: 0, codes `−127 ..= 127`. Activations: the least code for values that were never negative, the middle
    /// (128, or 0 for int8) for others, whose scale is then the greatest magnitude over 127.
    Symmetric,
    /// Wherever the range wants it: `scale = (max − min) / 255`, with 0 inside the range, so that it has a code.
    Asymmetric,
}

impl Scheme {
    /// Both, in the order of help texts.
    pub const ALL: [Self; 2] = [Self::Symmetric, Self::Asymmetric];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Symmetric => "symmetric",
            Self::Asymmetric => "asymmetric",
        }
    }
}

/// How the range of an activation follows from calibration images.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum AffineRange {
    /// The least and the greatest element seen.
    #[default]
    MinMax,
    /// Between the quantiles `100 − P` and `P` percent of all elements, to within 2^−9 of their values; P in `(50, 100]`.
    Percentile(f64),
    /// The part of the range, out of 80 parts evenly spaced from 0.21 to 1, with the least mean square of the
    /// quantization error.
    Mse,
    /// The range with the least Kullback-Leibler divergence between the elements before and after quantization.
    ///
    /// # Source
    /// S. Migacz, "8-bit Inference with TensorRT", GTC 2017: 2,048 bins, 128 levels (256 for values that are nowhere
    /// negative), outliers counted in the last bin.
    /// Differs: every eighth threshold is tried; the bin of 0 takes the count of the next one,
    /// since the zeros of a ReLU would hide all else; elements come from bins 2^−9 of their value wide.
    Entropy,
}

impl AffineRange {
    /// Reads `min-max`, `percentile:P`, `mse` or `entropy`.
    ///
    /// # Errors
    /// A message with the valid names.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "min-max" || text == "max" => Ok(Self::MinMax),
            None if text == "mse" => Ok(Self::Mse),
            None if text == "entropy" => Ok(Self::Entropy),
            Some(("percentile", percent)) => match percent.parse::<f64>() {
                Ok(p) if p > 50.0 && p <= 100.0 => Ok(Self::Percentile(p)),
                _ => Err(format!("percentile \"{percent}\", expected a number above 50 and at most 100")),
            },
            _ => Err(format!("calibration \"{text}\", expected min-max, percentile:P, mse or entropy")),
        }
    }
}

impl std::fmt::Display for AffineRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MinMax => f.write_str("min-max"),
            Self::Percentile(percent) => write!(f, "percentile:{percent}"),
            Self::Mse => f.write_str("mse"),
            Self::Entropy => f.write_str("entropy"),
        }
    }
}

/// What the network puts out where its last operator works on codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OutputForm {
    /// Codes, dequantized: 256 different numbers.
    #[default]
    Codes,
    /// The accumulators of a last layer, scaled: nothing is lost to rounding.
    Accumulators,
}

/// Settings of [`quantize_qdq`](crate::quantize_qdq).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QdqConfig {
    /// Width of weight codes, 2 to 8; they are stored as int8.
    pub weight_bits: u32,
    /// How many weight scales a layer has.
    pub weight_granularity: WeightGranularity,
    /// Where the zero points of weights lie.
    pub weight_scheme: Scheme,
    /// How activation codes are stored.
    pub activation_type: CodeType,
    /// Where the zero points of activations lie.
    pub activation_scheme: Scheme,
    /// Ranges of activations.
    pub range: AffineRange,
    /// How accumulators become codes.
    pub requantization: Requantization,
    /// What the network puts out.
    pub output: OutputForm,
}

impl Default for QdqConfig {
    /// 8-bit weights, symmetric, a scale per output channel; uint8 activations, asymmetric, least to greatest element
    /// seen; float requantization.
    fn default() -> Self {
        Self {
            weight_bits: 8,
            weight_granularity: WeightGranularity::PerChannel,
            weight_scheme: Scheme::Symmetric,
            activation_type: CodeType::U8,
            activation_scheme: Scheme::Asymmetric,
            range: AffineRange::default(),
            requantization: Requantization::default(),
            output: OutputForm::default(),
        }
    }
}

impl QdqConfig {
    pub(crate) fn check(&self) -> Result<(), QuantError> {
        if !(2..=8).contains(&self.weight_bits) {
            let found = self.weight_bits.to_string();
            return Err(QuantError::InvalidConfig { setting: "weight_bits", expected: "2 to 8", found });
        }
        if !matches!(self.activation_type, CodeType::U8 | CodeType::I8) {
            let found = self.activation_type.dtype().to_string();
            return Err(QuantError::InvalidConfig { setting: "activation_type", expected: "u8 or i8", found });
        }
        match self.range {
            AffineRange::Percentile(p) if !(p > 50.0 && p <= 100.0) => Err(QuantError::InvalidConfig {
                setting: "percentile",
                expected: "a number above 50 and at most 100",
                found: p.to_string(),
            }),
            AffineRange::MinMax | AffineRange::Percentile(_) | AffineRange::Mse | AffineRange::Entropy => Ok(()),
        }
    }
}
