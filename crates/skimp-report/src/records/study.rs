//! What a study found, with everything needed to repeat it: `skimp.study/3`.

use serde::{Deserialize, Serialize};

use super::{
    Coverage, EffectAccuracy, FindingKind, FindingRecord, PrecisionRecord, SimulationRecord, TrainingRecord, Verdict,
};
use crate::ReportError;

/// The schema of [`StudyRecord`].
pub const STUDY_SCHEMA: &str = "skimp.study/3";

/// Schemas of older versions that can still be read: /1 had other names for rates, and no coverage; /2 had fields for early
/// negative detection, and no findings.
const OLDER_SCHEMAS: &[&str] = &["skimp.study/1", "skimp.study/2"];

/// One study: question, inputs, results and where each number comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyRecord {
    /// Always [`STUDY_SCHEMA`].
    pub schema: String,
    /// Version of the program that made the record.
    pub skimp_version: String,
    /// Short name of the study, such as `cifar10-resnet20`.
    pub name: String,
    /// One line for the top of the report.
    pub title: String,
    /// What the variant of the first of [`Self::comparisons`] adds, as the subject of the summary sentence: `Early
    /// negative detection`. Empty: the variant's label.
    pub subject: String,
    /// Name of the network.
    pub model_name: String,
    /// Name of the data set.
    pub data_name: String,
    /// Images that the simulation ran. Accuracies carry their own count.
    pub n_images: u64,
    /// The seed of every random stream.
    pub seed: u64,
    /// Accuracy before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<AccuracyRecord>,
    /// One entry per layer with multiply-accumulates, in execution order.
    #[serde(default)]
    pub layers: Vec<LayerStatistics>,
    /// What the accelerators did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulation: Option<SimulationRecord>,
    /// How the network was trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingRecord>,
    /// What one network became under several precision policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<PrecisionRecord>,
    /// Label of the accelerator against which all others are set, layer by layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Pairs of accelerator variants. The first is the headline of the report.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
    /// Peak figures of accelerators side by side, published ones among them.
    #[serde(default)]
    pub accelerator_figures: Vec<AcceleratorFigures>,
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
            name: String::new(),
            title: String::new(),
            subject: String::new(),
            model_name: String::new(),
            data_name: String::new(),
            n_images: 0,
            seed: 0,
            accuracy: None,
            layers: Vec::new(),
            simulation: None,
            training: None,
            precision: None,
            baseline: None,
            comparisons: Vec::new(),
            accelerator_figures: Vec::new(),
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

    /// The outputs of the headline's variant beside the exact network's, where its design compares them: what other designs
    /// compared says nothing of it. Without a headline, those of the first design that does.
    pub fn agreement(&self) -> Option<&FindingRecord> {
        let designs = self.simulation.iter().flat_map(|simulation| &simulation.accelerators);
        let concerns = |label: &str| self.comparisons.first().is_none_or(|headline| headline.variant == label);
        designs
            .filter(|design| concerns(&design.label))
            .flat_map(|design| &design.findings)
            .find(|finding| finding.kind == FindingKind::Agreement && finding.of > Some(0))
    }

    /// The network's name, marked where its weights are random initial ones.
    pub fn network_words(&self) -> String {
        let untrained = self.simulation.as_ref().is_some_and(|simulation| simulation.model.untrained);
        format!("{}{}", self.model_name, if untrained { " (untrained)" } else { "" })
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

/// Shape, work and sparsity of one layer.
///
/// # Units
/// Densities are fractions of non-zero elements in `[0, 1]`, over all images of the study. `macs` and shapes are of
/// one image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerStatistics {
    /// Name of the layer in the network.
    pub name: String,
    /// Operator, such as `Conv`.
    pub operator: String,
    /// `[n, c, h, w]` of a convolution's input, `[n, c]` of a fully connected layer's.
    pub input_shape: Vec<u64>,
    /// `[k, c / groups, r, s]` or `[k, c]`.
    pub weight_shape: Vec<u64>,
    /// `[n, k, p, q]` or `[n, k]`.
    pub output_shape: Vec<u64>,
    /// Dense multiply-accumulates of one image.
    pub macs: u64,
    /// Number of weights, without biases.
    pub weights: u64,
    /// Share of input activations that are not zero.
    pub activation_density: f64,
    /// Share of integer weights that are not zero.
    pub weight_density: f64,
    /// Share of one bits in the magnitudes of the input activations' codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_bit_density: Option<f64>,
    /// Share of one bits in the magnitudes of the weights' codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_bit_density: Option<f64>,
    /// Share of outputs that are not zero after ReLU; `None` where no ReLU follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_density: Option<f64>,
    /// Whether nobody sees that a sum of the layer is negative, and if not, why: a ReLU makes it 0 for every reader, and
    /// operands are not negative.
    pub negative_sums_unseen: Verdict,
}

/// A variant against its baseline.
///
/// # Units
/// Reductions are percentages of the baseline: `100 · (1 − variant / baseline)`. Negative ones are increases.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Label of the baseline among the simulation's accelerators.
    pub baseline: String,
    /// Label of the variant among the simulation's accelerators.
    pub variant: String,
    /// Unweighted mean of the layers' runtime reductions, in percent.
    pub mean_layer_runtime_reduction_percent: f64,
    /// Unweighted mean of the layers' energy reductions, in percent; `None` where the energies do not compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_layer_energy_reduction_percent: Option<f64>,
    /// Runtime reduction of the whole run, in percent.
    pub total_runtime_reduction_percent: f64,
    /// Energy reduction of the whole run, in percent; `None` where the energies do not compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_energy_reduction_percent: Option<f64>,
    /// Layers that the means cover.
    pub n_layers: u64,
    /// Whether the two are priced by different cost tables.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub costs_differ: bool,
    /// Why the energies of the two do not compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_differs: Option<String>,
    /// Accuracy under the variant, where it is approximate and was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<EffectAccuracy>,
    /// Why what the variant saves counts for nothing: it loses too much accuracy, or nobody measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
}

impl Comparison {
    /// Compares two accelerators layer by layer (matched by name) and in total.
    ///
    /// Layers that only one of them has, or that cost the baseline nothing, do not enter the means. A reduction of
    /// something that costs the baseline nothing is 0. A variant that loses more than `allowed_loss_points` of top-1
    /// accuracy saves nothing.
    pub fn between(
        baseline: &super::AcceleratorRecord,
        variant: &super::AcceleratorRecord,
        allowed_loss_points: f64,
    ) -> Self {
        let pairs: Vec<_> = baseline
            .layers
            .iter()
            .filter(|layer| layer.cycles.total > 0)
            .filter_map(|layer| Some((layer, variant.layers.iter().find(|other| other.name == layer.name)?)))
            .collect();
        let mean =
            |values: Vec<f64>| if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 };
        let runtime = pairs.iter().map(|(a, b)| reduction_percent(a.cycles.total as f64, b.cycles.total as f64));
        let energy = pairs.iter().map(|(a, b)| reduction_percent(a.energy_nj.total, b.energy_nj.total));
        let energy_differs = variant.energy_differs(baseline);
        let comparable = |percent: f64| energy_differs.is_none().then_some(percent);
        let energy = comparable(mean(energy.collect()));
        let total_energy = comparable(reduction_percent(baseline.total.energy_mj, variant.total.energy_mj));
        Self {
            baseline: baseline.label.clone(),
            variant: variant.label.clone(),
            mean_layer_runtime_reduction_percent: mean(runtime.collect()),
            mean_layer_energy_reduction_percent: energy,
            total_runtime_reduction_percent: reduction_percent(baseline.total.latency_ms, variant.total.latency_ms),
            total_energy_reduction_percent: total_energy,
            n_layers: pairs.len() as u64,
            costs_differ: baseline.costs != variant.costs,
            energy_differs,
            accuracy: variant.accuracy.clone(),
            void: variant.void(allowed_loss_points),
        }
    }
}

/// `100 · (1 − variant / baseline)`, or 0 for a baseline of zero.
fn reduction_percent(baseline: f64, variant: f64) -> f64 {
    if baseline > 0.0 { 100.0 * (1.0 - variant / baseline) } else { 0.0 }
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

/// Peak figures of one accelerator, as rows of a comparison table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AcceleratorFigures {
    /// Name, such as `Eyeriss`.
    pub name: String,
    /// Where the row comes from.
    pub provenance: Provenance,
    /// Citation or name of the model and its preset.
    pub source: String,
    /// Width of the operands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision_bits: Option<u32>,
    /// Technology node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub technology_nm: Option<f64>,
    /// Clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_mhz: Option<f64>,
    /// Peak throughput in 10^9 multiply-accumulates per second.
    #[serde(default, rename = "peak_gmacs_per_s", alias = "peak_gmacs", skip_serializing_if = "Option::is_none")]
    pub peak_gmacs: Option<f64>,
    /// Area of the core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area_mm2: Option<f64>,
    /// Power of the core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_mw: Option<f64>,
    /// Peak throughput per area.
    #[serde(default, rename = "gmacs_per_s_per_mm2", alias = "gmacs_per_mm2", skip_serializing_if = "Option::is_none")]
    pub gmacs_per_mm2: Option<f64>,
    /// Peak throughput per power.
    #[serde(default, rename = "gmacs_per_s_per_w", alias = "gmacs_per_w", skip_serializing_if = "Option::is_none")]
    pub gmacs_per_w: Option<f64>,
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
