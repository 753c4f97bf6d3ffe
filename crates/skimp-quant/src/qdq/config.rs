//! Settings of networks in QDQ form, as flags and programs give them.

use serde::{Deserialize, Serialize};
use skimp_graph::integer::{CodeType, Requantization};

use crate::{QuantError, RangeMethod, WeightScales};

/// Where the zero point lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Fixed. Weights: 0, codes `−127 ..= 127`. Activations: the least code for values that were never negative, the middle
    /// (128, or 0 for int8) for others, whose scale is then the greatest magnitude over 127.
    Symmetric,
    /// Wherever the range wants it: `scale = (max − min) / 255`, with 0 inside the range, so that it has a code.
    Asymmetric,
}

impl std::fmt::Display for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Symmetric => "symmetric",
            Self::Asymmetric => "asymmetric",
        })
    }
}

/// What the network puts out where its last operator works on codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputForm {
    /// Codes, dequantized: 256 different numbers.
    #[default]
    Codes,
    /// The accumulators of a last layer, scaled: nothing is lost to rounding.
    Accumulators,
}

/// Settings of [`quantize_qdq`](crate::quantize_qdq), and how many images set the ranges: the flags of `skimp quantize`.
/// Unknown keys are errors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QdqConfig {
    /// Width of weight codes, 2 to 8; they are stored as int8.
    pub weight_bits: u32,
    /// Width of activation codes: 8.
    pub activation_bits: u32,
    /// How many scales the weights of a layer have.
    pub weight_scales: WeightScales,
    /// Where the zero points of weights lie.
    pub weight_scheme: Scheme,
    /// Where the zero points of activations lie.
    pub activation_scheme: Scheme,
    /// How activation codes are stored: `uint8` or `int8`.
    #[serde(with = "code_type")]
    pub activation_type: CodeType,
    /// Ranges of activations.
    pub calibration: RangeMethod,
    /// Images that set the ranges, for whoever calibrates.
    pub calibration_images: usize,
    /// How accumulators become codes: `float`, `gemmlowp`, `single` or `exact`.
    #[serde(with = "requantization")]
    pub requantization: Requantization,
    /// What the network puts out.
    pub output_form: OutputForm,
}

impl Default for QdqConfig {
    /// 8-bit weights, symmetric, a scale per output channel; uint8 activations, asymmetric, least to greatest element
    /// of 128 images; float requantization.
    fn default() -> Self {
        Self {
            weight_bits: 8,
            activation_bits: 8,
            weight_scales: WeightScales::PerChannel,
            weight_scheme: Scheme::Symmetric,
            activation_scheme: Scheme::Asymmetric,
            activation_type: CodeType::U8,
            calibration: RangeMethod::default(),
            calibration_images: 128,
            requantization: Requantization::default(),
            output_form: OutputForm::default(),
        }
    }
}

impl QdqConfig {
    /// ONNX's name of the activations' type, as in configurations.
    #[must_use]
    pub fn activation_type_name(&self) -> &'static str {
        code_type::word(self.activation_type)
    }

    /// Checks what the types leave open.
    ///
    /// # Errors
    /// [`QuantError::InvalidConfig`] naming the setting.
    pub fn check(&self) -> Result<(), QuantError> {
        let invalid = |setting, expected, found| QuantError::InvalidConfig { setting, expected, found };
        if !(2..=8).contains(&self.weight_bits) {
            return Err(invalid("weight_bits", "2 to 8", self.weight_bits.to_string()));
        }
        if self.activation_bits != 8 {
            let expected = "8 (`skimp eval --engine integer` and `skimp simulate` take 2 to 16)";
            return Err(invalid("activation_bits", expected, self.activation_bits.to_string()));
        }
        if !matches!(self.activation_type, CodeType::U8 | CodeType::I8) {
            return Err(invalid("activation_type", "uint8 or int8", code_type::word(self.activation_type).to_owned()));
        }
        self.calibration.check_affine()
    }
}

/// Types of codes by ONNX's names.
mod code_type {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use skimp_graph::integer::CodeType;

    const ALL: [CodeType; 4] = [CodeType::U8, CodeType::I8, CodeType::U16, CodeType::I16];

    pub(super) fn word(code_type: CodeType) -> &'static str {
        match code_type {
            CodeType::U8 => "uint8",
            CodeType::I8 => "int8",
            CodeType::U16 => "uint16",
            CodeType::I16 => "int16",
        }
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
    pub(super) fn serialize<S: Serializer>(code_type: &CodeType, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(word(*code_type))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CodeType, D::Error> {
        let found = String::deserialize(deserializer)?;
        let named = ALL.into_iter().find(|&code_type| word(code_type) == found);
        named.ok_or_else(|| D::Error::unknown_variant(&found, &["uint8", "int8"]))
    }
}

/// Ways from accumulators to codes by their names.
mod requantization {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use skimp_graph::integer::Requantization;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
    pub(super) fn serialize<S: Serializer>(way: &Requantization, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(way.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Requantization, D::Error> {
        let found = String::deserialize(deserializer)?;
        Requantization::parse(&found)
            .ok_or_else(|| D::Error::unknown_variant(&found, &["float", "gemmlowp", "single", "exact"]))
    }
}
