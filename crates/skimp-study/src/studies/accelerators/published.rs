//! Published figures beside what designs do, and when one of ours may stand there.

use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};
use skimp_report::SimulationRecord;
use skimp_report::records::{AcceleratorRecord, Comparison, LayerRecord, Provenance, PublishedFigure};

use super::AcceleratorsPlan;
use crate::studies::published::PublishedConfig;

/// Which of our figures stands beside a published one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OwnFigure {
    /// Mean over the layers of the reduction in cycles, first comparison.
    MeanLayerRuntimeReduction,
    /// Mean over the layers of the reduction in energy, first comparison.
    MeanLayerEnergyReduction,
    /// Cycles of the study's baseline over those of `design`, whole network.
    CyclesGain,
    /// Energy of the study's baseline over that of `design`, whole network.
    EnergyGain,
    /// None: the published figure stands alone, and the remark says why.
    None,
}

impl OwnFigure {
    /// The one that a figure names; the cause if there is none of that name.
    pub(super) fn of(figure: &PublishedConfig) -> Result<Self, String> {
        let named: Result<Self, serde::de::value::Error> = Self::deserialize(figure.ours.as_str().into_deserializer());
        named.map_err(|error| format!("ours: {error}"))
    }
}

/// The figure beside what a simulation found, if that covers the same layers.
pub(super) fn beside(
    plan: &AcceleratorsPlan,
    figure: &PublishedConfig,
    simulation: &SimulationRecord,
) -> PublishedFigure {
    let by_shape = match layers_alike(figure, simulation) {
        Layers::Same { by_shape } => by_shape,
        Layers::Other { n_layers } => {
            let mut alone = figure.clone();
            alone.add_remark(&format!(
                "it covers {} layers; the {n_layers} simulated here are others, so nothing of ours stands beside it",
                figure.layer_macs.len()
            ));
            return alone.beside(None, Provenance::Simulated);
        }
    };
    figure.beside(own(plan, figure, simulation, by_shape), Provenance::Simulated)
}

/// Whether the simulated layers are those of the figure, alone or with the layers by shape behind them.
fn layers_alike(figure: &PublishedConfig, simulation: &SimulationRecord) -> Layers {
    let macs = |layers: &[LayerRecord]| layers.iter().map(|layer| layer.macs).collect::<Vec<u64>>();
    let Some(first) = simulation.accelerators.first() else { return Layers::Same { by_shape: false } };
    let traced = macs(&first.layers);
    let all = [traced.clone(), macs(&first.shape_layers)].concat();
    if figure.layer_macs.is_empty() || figure.layer_macs == traced {
        Layers::Same { by_shape: false }
    } else if figure.layer_macs == all {
        Layers::Same { by_shape: true }
    } else {
        Layers::Other { n_layers: traced.len() }
    }
}

fn own(
    plan: &AcceleratorsPlan,
    figure: &PublishedConfig,
    simulation: &SimulationRecord,
    by_shape: bool,
) -> Option<String> {
    let reduction = |percent: f64| format!("{:+.2} %", -percent);
    let find = |label: Option<&str>| {
        let record = simulation.accelerator(label?)?;
        Some(if by_shape { with_shape_layers(record) } else { record.clone() })
    };
    let headline = || {
        let pair = plan.comparisons.first()?;
        let (baseline, variant) = (find(Some(&pair.baseline))?, find(Some(&pair.variant))?);
        Some(Comparison::between(&baseline, &variant, plan.allowed_loss_points))
    };
    let gain = |of: fn(&AcceleratorRecord) -> f64| {
        let (base, own) = (of(&find(plan.baseline.as_deref())?), of(&find(figure.design.as_deref())?));
        (own > 0.0).then(|| format!("{:.2}x", base / own))
    };
    // Why a gain of the figure's design means nothing.
    let obstacle = |energy: bool| {
        let (design, base) = (find(figure.design.as_deref())?, find(plan.baseline.as_deref())?);
        let differs = design.energy_differs(&base).filter(|_| energy);
        differs.map(|reason| format!("none: {reason}")).or_else(|| design.void(plan.allowed_loss_points))
    };
    match OwnFigure::of(figure).ok()? {
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
        OwnFigure::None => None,
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
