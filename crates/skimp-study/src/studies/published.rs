//! Published figures of a study, and when one of ours may stand beside them.

use serde::{Deserialize, Serialize};

use skimp_report::records::{AcceleratorRecord, Comparison, LayerRecord, Provenance, PublishedFigure};

use crate::simulate::priced::Priced;
use crate::studies::config::StudyConfig;

/// Which of our figures stands beside a published one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnFigure {
    /// Mean over the layers of the reduction in cycles, first comparison.
    MeanLayerRuntimeReduction,
    /// Mean over the layers of the reduction in energy, first comparison.
    MeanLayerEnergyReduction,
    /// Cycles of the study's baseline over those of `design`, whole network.
    CyclesGain,
    /// Energy of the study's baseline over that of `design`, whole network.
    EnergyGain,
    /// Top-1 of the policy `design` less that of the study's baseline, of a study of training.
    AccuracyDifference,
    /// None: the published figure stands alone, and the remark says why.
    None,
}

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
    /// Our figure for it.
    pub ours: OwnFigure,
    /// Label of the accelerator or policy that it is about.
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
    pub(crate) fn beside(&self, ours: Option<String>, provenance: Provenance) -> PublishedFigure {
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
        if self.layer_macs.is_empty() && self.ours != OwnFigure::None {
            self.ours = OwnFigure::None;
            self.add_remark("the study's file compares it on another network than the one given");
        }
    }

    fn add_remark(&mut self, text: &str) {
        if !self.remark.is_empty() {
            self.remark.push_str("; ");
        }
        self.remark.push_str(text);
    }

    /// The figure beside what a simulation found, if that covers the same layers.
    pub(crate) fn beside_simulation(&self, config: &StudyConfig, simulation: &Priced) -> PublishedFigure {
        let by_shape = match self.layers_alike(simulation) {
            Layers::Same { by_shape } => by_shape,
            Layers::Other { n_layers } => {
                let mut alone = self.clone();
                alone.add_remark(&format!(
                    "it covers {} layers; the {n_layers} simulated here are others, so nothing of ours stands beside it",
                    self.layer_macs.len()
                ));
                return alone.beside(None, Provenance::Simulated);
            }
        };
        self.beside(self.own(config, simulation, by_shape), Provenance::Simulated)
    }

    /// Whether the simulated layers are those of the figure, alone or with the layers by shape behind them.
    fn layers_alike(&self, simulation: &Priced) -> Layers {
        let macs = |layers: &[LayerRecord]| layers.iter().map(|layer| layer.macs).collect::<Vec<u64>>();
        let Some(first) = simulation.record.accelerators.first() else { return Layers::Same { by_shape: false } };
        let traced = macs(&first.layers);
        let all = [traced.clone(), macs(&first.shape_layers)].concat();
        if self.layer_macs.is_empty() || self.layer_macs == traced {
            Layers::Same { by_shape: false }
        } else if self.layer_macs == all {
            Layers::Same { by_shape: true }
        } else {
            Layers::Other { n_layers: traced.len() }
        }
    }

    fn own(&self, config: &StudyConfig, simulation: &Priced, by_shape: bool) -> Option<String> {
        let reduction = |percent: f64| format!("{:+.2} %", -percent);
        let find = |label: Option<&str>| {
            let record = simulation.record.accelerator(label?)?;
            Some(if by_shape { with_shape_layers(record) } else { record.clone() })
        };
        let headline = || {
            let pair = config.comparisons.first()?;
            let (baseline, variant) = (find(Some(&pair.baseline))?, find(Some(&pair.variant))?);
            Some(Comparison::between(&baseline, &variant, config.allowed_loss_points))
        };
        let gain = |of: fn(&AcceleratorRecord) -> f64| {
            let (base, own) = (of(&find(config.baseline.as_deref())?), of(&find(self.design.as_deref())?));
            (own > 0.0).then(|| format!("{:.2}x", base / own))
        };
        // Why a gain of the figure's design means nothing.
        let obstacle = |energy: bool| {
            let (design, base) = (find(self.design.as_deref())?, find(config.baseline.as_deref())?);
            let differs = design.energy_differs(&base).filter(|_| energy);
            differs.map(|reason| format!("none: {reason}")).or_else(|| design.void(config.allowed_loss_points))
        };
        match self.ours {
            OwnFigure::MeanLayerRuntimeReduction => headline().map(|comparison| {
                let percent = comparison.mean_layer_runtime_reduction_percent;
                comparison.void.unwrap_or_else(|| reduction(percent))
            }),
            OwnFigure::MeanLayerEnergyReduction => headline().and_then(|comparison| {
                let percent = comparison.mean_layer_energy_reduction_percent;
                match (comparison.energy_differs, comparison.void) {
                    (Some(reason), _) => Some(format!("none: {reason}")),
                    (None, void) => void.or_else(|| percent.map(reduction)),
                }
            }),
            OwnFigure::CyclesGain => obstacle(false).or_else(|| gain(|accelerator| accelerator.total.cycles as f64)),
            OwnFigure::EnergyGain => obstacle(true).or_else(|| gain(|accelerator| accelerator.total.energy_mj)),
            OwnFigure::AccuracyDifference | OwnFigure::None => None,
        }
    }
}

/// How the simulated layers stand to those of a published figure.
enum Layers {
    /// The same, with the layers by shape or without.
    Same { by_shape: bool },
    /// Others.
    Other { n_layers: usize },
}

/// The record with the layers by shape behind the traced ones. Its totals stay those of the traced ones.
fn with_shape_layers(record: &AcceleratorRecord) -> AcceleratorRecord {
    let layers = record.layers.iter().chain(&record.shape_layers).cloned().collect();
    AcceleratorRecord { layers, ..record.clone() }
}
