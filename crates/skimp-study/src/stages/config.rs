//! Settings of the integer network.

use serde::{Deserialize, Serialize};

use crate::inputs::config::SplitConfig;

/// Widths and calibration of the integer network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuantizationConfig {
    /// Width of the weights, 2 to 16.
    pub weight_bits: u32,
    /// Width of the activations, 2 to 16.
    pub activation_bits: u32,
    /// How many scales the weights have.
    pub weight_scales: WeightScales,
    /// `min-max` (`max` is the same), or `percentile:P` with P in percent.
    pub calibration: String,
    /// Images that set the activation scales.
    pub calibration_images: usize,
    /// Part of the data set that they come from, the first ones of it. `None`: the run's own part, except where accuracy
    /// alone is measured (`skimp eval`): the training split, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration_split: Option<SplitConfig>,
    /// How a signed network input is fed to the first layer.
    pub first_layer: FirstLayer,
}

impl Default for QuantizationConfig {
    fn default() -> Self {
        Self {
            weight_bits: 16,
            activation_bits: 16,
            weight_scales: WeightScales::PerLayer,
            calibration: "min-max".to_owned(),
            calibration_images: 16,
            calibration_split: None,
            first_layer: FirstLayer::Signed,
        }
    }
}

/// How many scales the weights of a layer have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightScales {
    /// One for the layer.
    #[default]
    PerLayer,
    /// One for each output channel.
    PerChannel,
}

/// How a signed network input is fed to the first layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstLayer {
    /// As signed codes: early negative detection is off in the first layer.
    #[default]
    Signed,
    /// Shifted to be non-negative, with a corrected bias: exact, and early negative detection works.
    Offset,
}
