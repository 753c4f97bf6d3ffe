//! Settings of accelerators and of the layers that they run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::simulate::shapes::ShapeLayerConfig;

/// Which kinds of layer are simulated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LayersConfig {
    /// Whether convolutions are.
    pub convolutions: bool,
    /// Whether dense layers are.
    pub dense: bool,
    /// Dense layers that the network lacks and a published figure covers, simulated on random codes; in no total.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_shape: Vec<ShapeLayerConfig>,
}

impl Default for LayersConfig {
    fn default() -> Self {
        Self { convolutions: true, dense: true, by_shape: Vec::new() }
    }
}

/// One accelerator of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceleratorConfig {
    /// Registered name.
    pub model: String,
    /// Name in the report; the model's name where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// A file of settings to use instead of those of the model's own preset, relative to the study's file. A resolved
    /// configuration has its content in `set`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<PathBuf>,
    /// Settings that differ from the preset, as dotted keys. `costs` may be a file, relative to the study's; a resolved
    /// configuration has its text here.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub set: toml::Table,
    /// The file from which some of these settings came, for messages; no part of a resolved configuration.
    #[serde(skip)]
    pub origin: Option<PresetOrigin>,
}

impl AcceleratorConfig {
    /// Name in the report.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.model)
    }
}

/// The file of a preset, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresetOrigin {
    /// The file.
    pub path: PathBuf,
    /// The network of a record; `None` for a file of settings.
    pub network: Option<String>,
    /// Settings that are as in the file.
    pub keys: Vec<String>,
}
