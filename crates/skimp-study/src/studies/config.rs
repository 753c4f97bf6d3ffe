//! What a user may ask for: study files (TOML) and the settings that commands share.
//!
//! Defaults live here and nowhere else, so the resolved configuration of a run is complete.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use skimp_report::SimulationRecord;

use crate::error::StudyError;
use crate::inputs::config::{DataConfig, NetworkConfig};
use crate::simulate::config::{AcceleratorConfig, LayersConfig};
use crate::simulate::designs::Designs;
use crate::simulate::pricing::CostsConfig;
use crate::stages::config::QuantizationConfig;
use crate::studies::precision::PrecisionConfig;
use crate::studies::published::{OwnFigure, PublishedConfig};

/// Version of the study file's format.
pub const STUDY_SCHEMA: u32 = 1;

/// A study: a network, data, a quantization, accelerators. Read from TOML; unknown keys are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyConfig {
    /// Format version, [`STUDY_SCHEMA`].
    pub schema: u32,
    /// Name of the study (kebab-case).
    pub name: String,
    /// Heading of the report. `{network}` and `{data}` stand for the names of those that ran.
    pub title: String,
    /// One line for `skimp list studies`.
    pub summary: String,
    /// What the variant of the first comparison adds, as the subject of the report's first sentence; left out: the
    /// variant's label.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Label of the accelerator against which all others are set, layer by layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Which cost table prices the energies: `auto`, `common`, `paper` or a table's name.
    #[serde(default, skip_serializing_if = "CostsConfig::is_auto")]
    pub costs: CostsConfig,
    /// Points of top-1 accuracy that an approximate design may lose before what it saves is void.
    #[serde(default = "StudyConfig::default_allowed_loss_points")]
    pub allowed_loss_points: f64,
    /// The network.
    pub network: NetworkConfig,
    /// Images and how they reach the network.
    pub data: DataConfig,
    /// Widths and calibration.
    #[serde(default)]
    pub quantization: QuantizationConfig,
    /// Which layers are simulated.
    #[serde(default)]
    pub layers: LayersConfig,
    /// The models that names of accelerators stand for; no part of the file.
    #[serde(skip)]
    pub designs: Designs,
    /// Accelerators, in the order of the report. A study has accelerators or a training.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accelerators: Vec<AcceleratorConfig>,
    /// The network trained under several precision policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<PrecisionConfig>,
    /// Pairs to compare.
    #[serde(default)]
    pub comparisons: Vec<ComparisonConfig>,
    /// Published figures to set beside ours.
    #[serde(default)]
    pub published: Vec<PublishedConfig>,
}

/// Two accelerators to compare, by label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparisonConfig {
    /// What is compared against.
    pub baseline: String,
    /// What is judged.
    pub variant: String,
}

impl StudyConfig {
    /// The heading, of a network and data of these names.
    pub(crate) fn title_of(&self, network: &str, data: &str) -> String {
        self.title.replace("{network}", network).replace("{data}", data)
    }

    fn default_allowed_loss_points() -> f64 {
        SimulationRecord::default_allowed_loss_points()
    }

    /// Reads a study from TOML.
    ///
    /// # Errors
    /// [`StudyError::InvalidStudy`] naming `origin`, the key and the cause.
    pub fn parse(text: &str, origin: &str) -> Result<Self, StudyError> {
        let invalid = |cause: String| StudyError::InvalidStudy { path: PathBuf::from(origin), cause };
        let config: Self = toml::from_str(text).map_err(|error| invalid(error.to_string().trim_end().to_owned()))?;
        if config.schema != STUDY_SCHEMA {
            return Err(invalid(format!("schema is {}, expected {STUDY_SCHEMA}", config.schema)));
        }
        if !config.allowed_loss_points.is_finite() || config.allowed_loss_points < 0.0 {
            let found = config.allowed_loss_points;
            return Err(invalid(format!("allowed_loss_points is {found}, expected a number of points of at least 0")));
        }
        match &config.training {
            None if config.accelerators.is_empty() => {
                return Err(invalid("there is no [[accelerators]] entry, expected at least one".to_owned()));
            }
            Some(_) if !config.accelerators.is_empty() => {
                return Err(invalid("[training] and [[accelerators]] exclude each other".to_owned()));
            }
            Some(training) => training.check().map_err(invalid)?,
            None => {}
        }
        let mut labels: Vec<&str> = config.accelerators.iter().map(AcceleratorConfig::label).collect();
        for comparison in &config.comparisons {
            for label in [&comparison.baseline, &comparison.variant] {
                if !labels.contains(&label.as_str()) {
                    return Err(invalid(format!(
                        "comparison names \"{label}\", expected one of: {}",
                        labels.join(", ")
                    )));
                }
            }
        }
        for figure in &config.published {
            if let Some(training) = &config.training {
                training.check_published(figure).map_err(invalid)?;
                continue;
            }
            if figure.ours == OwnFigure::AccuracyDifference {
                let quantity = &figure.quantity;
                return Err(invalid(format!("published \"{quantity}\": accuracy-difference needs [training]")));
            }
            let gain = matches!(figure.ours, OwnFigure::CyclesGain | OwnFigure::EnergyGain);
            let known = figure.design.as_ref().is_some_and(|design| labels.contains(&design.as_str()));
            if gain && !(known && config.baseline.is_some()) {
                return Err(invalid(format!(
                    "published \"{}\": a gain needs a baseline and a design, one of: {}",
                    figure.quantity,
                    labels.join(", ")
                )));
            }
        }
        if let Some(baseline) = config.baseline.as_ref().filter(|baseline| !labels.contains(&baseline.as_str())) {
            return Err(invalid(format!("baseline is \"{baseline}\", expected one of: {}", labels.join(", "))));
        }
        labels.sort_unstable();
        if let Some(pair) = labels.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(invalid(format!("two accelerators are labeled \"{}\"", pair[0])));
        }
        Ok(config)
    }

    /// The study as TOML: what [`parse`](Self::parse) reads back.
    ///
    /// # Errors
    /// [`StudyError::InvalidStudy`] if the configuration cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, StudyError> {
        toml::to_string(self)
            .map_err(|error| StudyError::InvalidStudy { path: PathBuf::from(&self.name), cause: error.to_string() })
    }
}
