//! What a study found, with everything needed to repeat it: `skimp.study/4`.

use serde::{Deserialize, Serialize};

use super::{SectionRecord, Sections};
use crate::ReportError;

/// The schema of [`StudyRecord`].
pub const STUDY_SCHEMA: &str = "skimp.study/4";

/// Schemas of older versions that can still be read: /1 had other names for rates, and no coverage; /2 had fields for early
/// negative detection, and no findings; /3 had a field for each section of every kind of study.
const OLDER_SCHEMAS: &[&str] = &["skimp.study/1", "skimp.study/2", "skimp.study/3"];

/// [`StudyRecord::kind`] of a training run.
pub const TRAINING_RUN: &str = "train";

/// One study: question, inputs, results and where each number comes from. What was found stands in [`Self::sections`],
/// which the kind of study brings; all else is the same for every kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyRecord {
    /// Always [`STUDY_SCHEMA`].
    pub schema: String,
    /// Version of the program that made the record.
    pub skimp_version: String,
    /// The kind of study, or [`TRAINING_RUN`].
    pub kind: String,
    /// Short name of the study, such as `cifar10-resnet20`.
    pub name: String,
    /// One line for the top of the report.
    pub title: String,
    /// What is asked about, as the subject of the summary sentence: `Early negative detection`. Empty: what the kind of
    /// study says instead.
    pub subject: String,
    /// Name of the network.
    pub model_name: String,
    /// Whether the network's weights are random initial ones, so that accuracies and densities mean nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untrained: bool,
    /// Name of the data set.
    pub data_name: String,
    /// Images whose operand values were simulated; 0 for none. Accuracies carry their own count.
    pub n_images: u64,
    /// The seed of every random stream.
    pub seed: u64,
    /// What was found.
    #[serde(default)]
    pub sections: Sections,
    /// Published figures beside ours.
    #[serde(default)]
    pub published: Vec<PublishedFigure>,
    /// What was assumed, and on whose authority.
    #[serde(default)]
    pub assumptions: Vec<Assumption>,
    /// The resolved configuration as TOML. With the inputs of [`Self::inputs`] it repeats the study.
    pub config_toml: String,
    /// The files that were read.
    #[serde(default)]
    pub inputs: Vec<InputDigest>,
    /// How long the steps took. The only part that differs between two runs of the same study.
    #[serde(default)]
    pub timings: Vec<Timing>,
}

impl Default for StudyRecord {
    fn default() -> Self {
        Self {
            schema: STUDY_SCHEMA.to_owned(),
            skimp_version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: String::new(),
            name: String::new(),
            title: String::new(),
            subject: String::new(),
            model_name: String::new(),
            untrained: false,
            data_name: String::new(),
            n_images: 0,
            seed: 0,
            sections: Sections::default(),
            published: Vec::new(),
            assumptions: Vec::new(),
            config_toml: String::new(),
            inputs: Vec::new(),
            timings: Vec::new(),
        }
    }
}

impl StudyRecord {
    /// The record as pretty JSON with a trailing newline.
    ///
    /// # Errors
    /// [`ReportError::Encode`] if the record cannot be expressed in JSON.
    pub fn to_json(&self) -> Result<String, ReportError> {
        super::to_json(self, "a study record")
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// [`ReportError::Schema`] for another or no schema, [`ReportError::Json`] for anything else that is wrong.
    pub fn from_json(text: &str) -> Result<Self, ReportError> {
        super::from_json(text, STUDY_SCHEMA, OLDER_SCHEMAS, super::upgrade::study)
    }

    /// The section of that type, if the study has one.
    pub fn section<T: SectionRecord>(&self) -> Option<&T> {
        self.sections.get()
    }

    /// The network's name, marked where its weights are random initial ones.
    pub fn network_words(&self) -> String {
        format!("{}{}", self.model_name, if self.untrained { " (untrained)" } else { "" })
    }
}

/// Where a figure comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provenance {
    /// Stated in a publication.
    Published,
    /// Measured in this run: accuracies, densities, what designs find in a network's values.
    Measured,
    /// Computed by a simulator in this run: cycles, energy, area.
    #[default]
    Simulated,
}

/// A published figure and what we found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PublishedFigure {
    /// What it is, with the conditions that matter.
    pub quantity: String,
    /// The published value with its unit.
    pub published: String,
    /// Our value with its unit; `None` where we have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ours: Option<String>,
    /// Where our value comes from.
    pub provenance: Provenance,
    /// Citation of the published value.
    pub source: String,
    /// Why the two differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// Something that was assumed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assumption {
    /// What is assumed.
    pub text: String,
    /// Citation, or why it is a fair choice.
    pub source: String,
}

/// A file that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDigest {
    /// The path as the user gave it, or the name of what is embedded.
    pub path: String,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Size; `None` where it is not one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// How long a step took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// The step.
    pub step: String,
    /// Wall-clock time.
    pub seconds: f64,
}
