//! What the models of one quick rule share: a shell around the rule, and checks of their operands.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use skimp_sim::{
    Accelerator, ComparisonRow, CostTable, LayerResult, LayerTrace, LayerWorkload, LossEvent, SimError, Statistic,
};
use toml::Table;

use super::config::{positive, typed_parts};

/// The remark that labels every result of a quick rule.
pub(super) const FIDELITY: &str = "fidelity: quick rule, cycles from operand statistics under ideal operand supply";

pub(super) static COMPUTE: Statistic =
    Statistic::new("compute", "cycles", "Cycles in which the array works or waits in lock step.").working();
pub(super) static TERMS: Statistic =
    Statistic::new("terms", "terms", "Signed powers of two (or products of two) that were added up.");
pub(super) static ACTIVATION_READS: Statistic =
    Statistic::new("activation_reads", "words", "Words of 64 bits of activations read from on-chip memory.");
pub(super) static WEIGHT_READS: Statistic =
    Statistic::new("weight_reads", "words", "Words of 64 bits of weights read from on-chip memory.");

/// A rule that turns one layer into cycles and events.
pub(super) trait QuickRule: fmt::Debug + Send + Sync {
    /// Runs a checked layer of one or more images (`n` scales what does not depend on values).
    fn run(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError>;

    /// Lanes that [`IDLE_SLOTS`](skimp_sim::IDLE_SLOTS) counts in a cycle, and what idles them.
    fn idle(&self) -> (u64, &'static str);
}

/// What the settings of every quick rule say.
#[derive(Debug)]
pub(super) struct Common {
    clock_mhz: f64,
    pub(super) costs: CostTable,
}

/// The settings that every quick rule has, and those of one.
pub(super) fn settings<T: DeserializeOwned>(resolved: &Table) -> Result<(Common, T), SimError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Every {
        #[serde(rename = "schema")]
        _schema: u32,
        costs: String,
        clock_mhz: f64,
    }
    let (Every { costs, clock_mhz, .. }, own) = typed_parts(resolved, &["schema", "costs", "clock_mhz"])?;
    positive("clock_mhz", clock_mhz)?;
    Ok((Common { clock_mhz, costs: CostTable::of_setting(&costs)? }, own))
}

/// An accelerator of one quick rule.
#[derive(Debug)]
pub(super) struct QuickMachine<R> {
    pub(super) name: &'static str,
    pub(super) resolved: Table,
    pub(super) common: Common,
    /// 0 where none is published.
    pub(super) area_mm2: f64,
    /// Dense multiplications per cycle with operands of the widest kind.
    pub(super) dense_macs_per_cycle: f64,
    pub(super) energy_scope: &'static str,
    pub(super) rule: R,
}

impl<R: QuickRule> Accelerator for QuickMachine<R> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn config(&self) -> &Table {
        &self.resolved
    }

    fn clock_mhz(&self) -> f64 {
        self.common.clock_mhz
    }

    fn area_mm2(&self) -> f64 {
        self.area_mm2
    }

    fn peak_gmacs(&self) -> f64 {
        self.dense_macs_per_cycle * self.common.clock_mhz * 1e-3
    }

    fn costs(&self) -> &CostTable {
        &self.common.costs
    }

    fn energy_scope(&self) -> &'static str {
        self.energy_scope
    }

    /// None: a quick rule gives neither area nor power of a chip.
    fn comparison_rows(&self) -> Result<Vec<ComparisonRow>, SimError> {
        Ok(Vec::new())
    }

    fn loss_events(&self) -> Vec<LossEvent> {
        let (lanes, text) = self.rule.idle();
        vec![LossEvent { slots: self.dense_macs_per_cycle / lanes as f64, ..LossEvent::idle(text) }]
    }

    fn simulate_layer(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        layer.check()?;
        let mut result = self.rule.run(layer, trace)?;
        result.note(FIDELITY);
        Ok(result)
    }
}

/// The weight codes, or the error that names what is missing.
pub(super) fn weights<'l>(layer: &'l LayerWorkload, accelerator: &'static str) -> Result<&'l [i32], SimError> {
    let missing = || SimError::WeightsRequired { layer: layer.name.clone(), accelerator };
    layer.weights.as_deref().ok_or_else(missing)
}

/// The layer and its activation codes of one image as values see them ([`LayerWorkload::with_padding`]), or the error
/// that names what is missing.
pub(super) fn operands<'l>(
    layer: &'l LayerWorkload,
    trace: Option<&LayerTrace>,
    accelerator: &'static str,
) -> Result<(Cow<'l, LayerWorkload>, Arc<[i32]>), SimError> {
    if layer.shape.n() != 1 {
        let what = format!("{} images at once: activations differ between images", layer.shape.n());
        return Err(SimError::Unsupported { layer: layer.name.clone(), accelerator, what });
    }
    let missing = || SimError::TraceRequired { layer: layer.name.clone(), accelerator, trace: "activation" };
    Ok(layer.with_padding(trace.ok_or_else(missing)?.activation()?))
}

/// Words of 64 bits that hold `values` codes of `bits` each.
pub(super) fn words64(values: u64, bits: u32) -> u64 {
    values.saturating_mul(u64::from(bits)).div_ceil(64)
}
