//! Published figures of a study.

use serde::{Deserialize, Serialize};

use skimp_report::records::{Provenance, PublishedFigure};

/// Which of our figures stands beside a published one: none, and the remark says why.
pub const NO_FIGURE: &str = "none";

/// A published figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedConfig {
    /// What was measured.
    pub quantity: String,
    /// The published figure, as printed.
    pub value: String,
    /// Authors, venue, year, place.
    pub source: String,
    /// Our figure for it: one that the kind of study has, or [`NO_FIGURE`].
    pub ours: String,
    /// Label of what it is about: an accelerator, a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design: Option<String>,
    /// Multiply-accumulates of each layer that the published figure covers, in order, one image. Ours stands beside it
    /// only where the simulated layers, and after them those by shape, have just these; empty: the study vouches that
    /// its own network has the same layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layer_macs: Vec<u64>,
    /// How the two differ.
    #[serde(default)]
    pub remark: String,
}

impl PublishedConfig {
    /// The figure with `ours` beside it.
    pub fn beside(&self, ours: Option<String>, provenance: Provenance) -> PublishedFigure {
        PublishedFigure {
            quantity: self.quantity.clone(),
            published: self.value.clone(),
            ours,
            provenance,
            source: self.source.clone(),
            remark: (!self.remark.is_empty()).then(|| self.remark.clone()),
        }
    }

    /// Without a figure of ours, because the study's own network was replaced by another one: nobody vouches for it.
    pub(crate) fn disown(&mut self) {
        if self.layer_macs.is_empty() && self.ours != NO_FIGURE {
            self.ours = NO_FIGURE.to_owned();
            self.add_remark("the study's file compares it on another network than the one given");
        }
    }

    pub(crate) fn add_remark(&mut self, text: &str) {
        if !self.remark.is_empty() {
            self.remark.push_str("; ");
        }
        self.remark.push_str(text);
    }
}
