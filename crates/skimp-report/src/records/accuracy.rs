//! What arithmetics and designs do to a network's answers: the section `accuracy` of a study.

use serde::{Deserialize, Serialize};

use super::{Coverage, SectionRecord, StudyRecord};

impl SectionRecord for AccuracyRecord {
    const NAME: &'static str = "accuracy";
    const SCHEMA: &'static str = "skimp.accuracy/1";
}

impl StudyRecord {
    /// Accuracy before and after, where it was measured.
    pub fn accuracy(&self) -> Option<&AccuracyRecord> {
        self.sections.get()
    }
}

/// Accuracies of one network in several arithmetics, on the same images each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AccuracyRecord {
    /// 32-bit floating point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fp32: Option<Accuracy>,
    /// Quantized to integers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integer: Option<Accuracy>,
    /// Quantized to integers, on the variant of the first comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<VariantAccuracy>,
    /// The part of the network's work that ran in integers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_integers: Option<Coverage>,
}

/// Accuracy of the integer network on one design.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct VariantAccuracy {
    /// Label of the design in the simulation.
    pub label: String,
    /// How it is known: measured with the design's effect, or implied by outputs that were compared.
    pub basis: String,
    /// The accuracy.
    #[serde(flatten)]
    pub accuracy: Accuracy,
}

/// Share of images that were classified correctly.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Fraction of images whose label is the first guess.
    pub top1: f64,
    /// Fraction of images whose label is among the first five guesses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top5: Option<f64>,
    /// Images that were classified.
    pub n_images: u64,
}
