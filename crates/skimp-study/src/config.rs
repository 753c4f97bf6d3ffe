//! What a user may ask for: study files (TOML) and the settings that commands share.
//!
//! Defaults live here and nowhere else, so the resolved configuration of a run is complete.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use skimp_report::SimulationRecord;

use crate::{CostsConfig, Designs, OwnFigure, PrecisionConfig, PublishedConfig, ShapeLayerConfig, StudyError};

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

/// Where the network comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// An embedded network's name or the path of an ONNX file; empty where the command line has to give it.
    #[serde(default)]
    pub model: String,
    /// Input height and width, where the network leaves them open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_size: Option<[usize; 2]>,
}

/// Which part of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum SplitConfig {
    Train,
    #[default]
    Test,
}

/// Images and how they reach the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// `NAME[:DIR]`; empty where the command line has to give it.
    #[serde(default)]
    pub set: String,
    /// Part of the set.
    #[serde(default)]
    pub split: SplitConfig,
    /// Preprocessing: a name, or `key=value,…`. `None`: what the network names, else the
    /// data set's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<String>,
    /// Take images at random, keyed by this seed, instead of the first ones of the split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Images whose operand values drive the simulators.
    #[serde(default = "DataConfig::default_images")]
    pub images: usize,
    /// Images on which accuracy is measured; 0 measures none.
    #[serde(default)]
    pub accuracy_images: usize,
    /// Images on which searches of parameters look at accuracy; never those of `accuracy_images`.
    #[serde(default = "DataConfig::default_tuning_images")]
    pub tuning_images: usize,
    /// Where the images of a search come from: the first ones of another part of the set; `None`: those that follow
    /// the `accuracy_images`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning_split: Option<SplitConfig>,
    /// What counts as a right answer of an approximate accelerator.
    #[serde(default)]
    pub judge_by: JudgeBy,
    /// Name of the network's output that holds the answers; `None`: the one with a number for each class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_name: Option<String>,
}

/// What counts as a right answer of an approximate accelerator, while it is judged or tuned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgeBy {
    /// The images' labels.
    #[default]
    Labels,
    /// The exact integer network's own answers: for images whose labels the network does not know.
    Answers,
}

impl JudgeBy {
    /// `labels` or `answers`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            JudgeBy::Labels => "labels",
            JudgeBy::Answers => "answers",
        }
    }
}

impl DataConfig {
    fn default_images() -> usize {
        1
    }

    fn default_tuning_images() -> usize {
        100
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            set: String::new(),
            split: SplitConfig::Test,
            preprocess: None,
            seed: None,
            images: 1,
            accuracy_images: 0,
            tuning_images: Self::default_tuning_images(),
            tuning_split: None,
            judge_by: JudgeBy::Labels,
            output_name: None,
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

impl AcceleratorConfig {
    /// Name in the report.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.model)
    }
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
