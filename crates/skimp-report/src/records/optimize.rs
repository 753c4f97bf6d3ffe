//! What an optimization under a bound found, and what proves it: `skimp.optimize/2`.

use serde::{Deserialize, Serialize};

use super::{InputDigest, from_json};
use crate::ReportError;

/// The schema of [`OptimizeRecord`].
pub const OPTIMIZE_SCHEMA: &str = "skimp.optimize/2";

/// An optimization. Accuracies are fractions, losses are points of top-1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OptimizeRecord {
    /// Always [`OPTIMIZE_SCHEMA`].
    pub schema: String,
    /// Version of the program.
    pub skimp_version: String,
    /// The command that was given; empty where a program called.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// The network before.
    pub model: InputDigest,
    /// The data set.
    pub data: String,
    /// Sets of images, disjoint.
    pub sets: Vec<SetRecord>,
    /// What was made small.
    pub objective: String,
    /// Its unit.
    pub unit: String,
    /// Points of top-1 that may be lost.
    pub max_loss: f64,
    /// Who proposed points.
    pub strategy: String,
    /// Seed of sets and draws.
    pub seed: u64,
    /// What the search was given.
    pub budget: SearchBudget,
    /// Whether the user stopped it; the final set has not been looked at then.
    pub interrupted: bool,
    /// Wall-clock time.
    pub seconds: f64,
    /// Where it went.
    pub spent: SpentRecord,
    /// Accuracy of the float network on the search images.
    pub search_top1: f64,
    /// The levers and their rungs, the start's first.
    pub levers: Vec<LeverRecord>,
    /// Levers that there are not, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<NoLeverRecord>,
    /// Points in the order in which they were tried.
    pub path: Vec<TriedRecord>,
    /// The result: a value of each lever, in their order.
    pub values: Vec<String>,
    /// Points that led there: each was better than all before.
    pub improvements: usize,
    /// Widths of the result's layers, where they differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub widths: Vec<WidthRecord>,
    /// What each lever that was turned contributes.
    pub contributions: Vec<ContributionRecord>,
    /// The judgement on the final images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<JudgementRecord>,
    /// Files written, relative to the folder.
    pub files: Vec<String>,
    /// What to know.
    pub notes: Vec<String>,
}

/// When a search ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SearchBudget {
    /// Wall-clock time of the whole run, judging included.
    Minutes(f64),
    /// Points of the search; the same result on any machine and any number of threads.
    Steps(usize),
}

impl Default for SearchBudget {
    fn default() -> Self {
        Self::Steps(0)
    }
}

/// One set of images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRecord {
    /// What it is for: `calibration`, `search`, `training` or `final`.
    pub name: String,
    /// Part of the data set.
    pub split: String,
    /// Images.
    pub images: usize,
    /// SHA-256 of their places in the split, in order, as 64-bit numbers, the low byte first.
    pub sha256: String,
    /// Their places in the split, in order; in the file of sets alone.
    #[serde(skip)]
    pub indices: Vec<usize>,
}

/// Seconds by what they went into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SpentRecord {
    /// Pruning, recasting and training.
    pub reducing: f64,
    /// Calibrating and quantizing.
    pub quantizing: f64,
    /// Answers on the search images.
    pub judging: f64,
    /// Traces and simulations, or measured latencies.
    pub simulating: f64,
    /// How much each layer's widths matter.
    pub sensitivity: f64,
    /// The final images.
    pub last: f64,
}

/// A lever.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeverRecord {
    /// Name.
    pub name: String,
    /// Its values, the start's first.
    pub values: Vec<String>,
}

/// A lever that there is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoLeverRecord {
    /// Name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// Widths of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WidthRecord {
    /// The layer.
    pub layer: String,
    /// Of its weights.
    pub weight_bits: u32,
    /// Of the activations that it reads.
    pub activation_bits: u32,
}

/// A point that was tried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TriedRecord {
    /// `start`, `alone`, `predicted`, `neighbor`, `drawn`, or `without` for a point without one lever of the best.
    pub why: String,
    /// Levers that were turned, and their values.
    pub turned: Vec<(String, String)>,
    /// `best` where it was better than all before, `kept` within the bound, `lossy` beyond it, `no gain` where its objective
    /// was not less than the best's, `failed`.
    pub status: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The objective on the search images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<f64>,
    /// Points lost on the search images; none where it was not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// The standard error of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_error: Option<f64>,
    /// Search images that it was judged on: judging ends where it is clear.
    #[serde(default)]
    pub images: u64,
}

/// What a lever contributes to the result: the same without it, on the search images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContributionRecord {
    /// The lever.
    pub lever: String,
    /// Its value.
    pub value: String,
    /// The objective without it; none where there was no time left or it cannot run.
    pub objective_without: Option<f64>,
    /// How many times larger that is.
    pub times: Option<f64>,
    /// Points lost without it.
    pub loss_without: Option<f64>,
}

/// A network on the final images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FinalRecord {
    /// Images that it gets right.
    pub correct: u64,
    /// Their share.
    pub top1: f64,
    /// Wilson's 95 % interval of that.
    pub top1_interval: [f64; 2],
    /// The objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<f64>,
}

/// The judgement on the final images, which nothing else has looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JudgementRecord {
    /// Images.
    pub images: u64,
    /// The float network that was given.
    pub float: FinalRecord,
    /// The start: 16 bits, the design's preset.
    pub start: FinalRecord,
    /// The result.
    pub result: FinalRecord,
    /// Points of top-1 that the result loses against the float network.
    pub loss: f64,
    /// Its 95 % interval.
    pub loss_interval: [f64; 2],
    /// How that was worked out.
    pub interval_method: String,
    /// `proven`: the interval lies within the bound; `not proven`: the bound lies inside it; `broken`: it lies beyond.
    pub verdict: String,
    /// How many times smaller the objective is than at the start.
    pub gain: f64,
}

impl OptimizeRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// [`ReportError::Schema`] for another schema, [`ReportError::Json`] naming what does not fit.
    pub fn from_json(text: &str) -> Result<Self, ReportError> {
        from_json(text, OPTIMIZE_SCHEMA, &[], |_| ())
    }

    /// Whether the result is anything but the start.
    #[must_use]
    pub fn is_turned(&self) -> bool {
        self.levers.iter().zip(&self.values).any(|(lever, value)| lever.values.first() != Some(value))
    }

    /// Points of a status.
    #[must_use]
    pub fn n_with(&self, status: &str) -> usize {
        self.path.iter().filter(|own| own.status == status).count()
    }
}
