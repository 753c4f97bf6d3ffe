//! Accelerators set against each other: the section `comparison` of a study.

use serde::{Deserialize, Serialize};

use super::{EffectAccuracy, FindingKind, FindingRecord, Provenance, SectionRecord, SimulationRecord, StudyRecord};

/// The accelerators of a simulation set against each other, and their peak figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ComparisonRecord {
    /// Label of the accelerator against which all others are set, layer by layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Pairs of accelerator variants. The first is the headline of the report.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
    /// Peak figures of accelerators side by side, published ones among them.
    #[serde(default)]
    pub accelerator_figures: Vec<AcceleratorFigures>,
}

impl SectionRecord for ComparisonRecord {
    const NAME: &'static str = "comparison";
    const SCHEMA: &'static str = "skimp.comparison/1";
}

impl StudyRecord {
    /// What the accelerators did.
    pub fn simulation(&self) -> Option<&SimulationRecord> {
        self.sections.get()
    }

    /// Label of the accelerator against which all others are set, layer by layer.
    pub fn baseline(&self) -> Option<&str> {
        self.sections.get::<ComparisonRecord>()?.baseline.as_deref()
    }

    /// Pairs of accelerator variants. The first is the headline of the report.
    pub fn comparisons(&self) -> &[Comparison] {
        self.sections.get::<ComparisonRecord>().map_or(&[], |record| &record.comparisons)
    }

    /// Peak figures of accelerators side by side.
    pub fn accelerator_figures(&self) -> &[AcceleratorFigures] {
        self.sections.get::<ComparisonRecord>().map_or(&[], |record| &record.accelerator_figures)
    }

    /// The outputs of the headline's variant beside the exact network's, where its design compares them: what other designs
    /// compared says nothing of it. Without a headline, those of the first design that does.
    pub fn agreement(&self) -> Option<&FindingRecord> {
        let designs = self.simulation().into_iter().flat_map(|simulation| &simulation.accelerators);
        let concerns = |label: &str| self.comparisons().first().is_none_or(|headline| headline.variant == label);
        designs
            .filter(|design| concerns(&design.label))
            .flat_map(|design| &design.findings)
            .find(|finding| finding.kind == FindingKind::Agreement && finding.of > Some(0))
    }
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
