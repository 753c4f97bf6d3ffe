//! Widths of single layers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{QuantError, QuantizationConfig};

/// Layers whose codes have other widths than the rest, by name, 2 to 16 bits: of their weights, and of the activations that
/// they read. Unknown keys are errors.
///
/// A value that several layers read has the greatest width that one of them asks for; one that no layer reads, that of the
/// network. A residual input takes the width that its other readers give it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LayerWidths {
    /// Of weights.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weight_bits: BTreeMap<String, u32>,
    /// Of the activations that a layer multiplies.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub activation_bits: BTreeMap<String, u32>,
}

impl LayerWidths {
    /// Whether no layer stands out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weight_bits.is_empty() && self.activation_bits.is_empty()
    }

    /// The settings of the layer called `name`.
    pub(crate) fn config(&self, config: &QuantizationConfig, name: &str) -> QuantizationConfig {
        let own = |all: &BTreeMap<String, u32>, other| all.get(name).copied().unwrap_or(other);
        QuantizationConfig {
            weight_bits: own(&self.weight_bits, config.weight_bits),
            activation_bits: own(&self.activation_bits, config.activation_bits),
            ..*config
        }
    }

    /// Refuses widths out of range.
    ///
    /// # Errors
    /// [`QuantError::InvalidConfig`] naming width and layer.
    pub fn check_range(&self) -> Result<(), QuantError> {
        for (setting, all) in [("weight_bits", &self.weight_bits), ("activation_bits", &self.activation_bits)] {
            if let Some((name, bits)) = all.iter().find(|(_, bits)| !(2..=16).contains(*bits)) {
                let found = format!("{bits} for \"{name}\"");
                return Err(QuantError::InvalidConfig { setting, expected: "2 to 16", found });
            }
        }
        Ok(())
    }

    /// Refuses names that are none of `layers`, and widths out of range.
    pub(crate) fn check<'n>(&self, layers: impl Iterator<Item = &'n str>) -> Result<(), QuantError> {
        if self.is_empty() {
            return Ok(());
        }
        let layers: BTreeSet<&str> = layers.collect();
        let mut names = self.weight_bits.keys().chain(self.activation_bits.keys());
        if let Some(name) = names.find(|name| !layers.contains(name.as_str())) {
            let known = layers.iter().copied().collect::<Vec<_>>().join(", ");
            return Err(QuantError::UnknownLayer { name: name.clone(), known });
        }
        self.check_range()
    }
}
