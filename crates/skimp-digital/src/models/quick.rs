//! What the models of one quick rule share: a shell around the rule, and checks of their operands.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use skimp_sim::{Accelerator, Facts, LayerResult, LayerTrace, LayerWorkload, LossEvent, SimError, Statistic};
use toml::Table;

use super::config::{positive, taken};
use crate::costs;

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

/// The facts that the settings of every quick rule give, and its other settings.
pub(super) fn settings(name: &'static str, resolved: Table) -> Result<(Facts, Table), SimError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Every {
        #[serde(rename = "schema")]
        _schema: u32,
        costs: String,
        clock_mhz: f64,
    }
    let (Every { costs, clock_mhz, .. }, own) = taken(&resolved, &["schema", "costs", "clock_mhz"])?;
    positive("clock_mhz", clock_mhz)?;
    Ok((Facts::new(name, resolved, clock_mhz, costs::named_or_written(&costs)?), own))
}

/// An accelerator of one quick rule.
#[derive(Debug)]
pub(super) struct QuickMachine<R> {
    facts: Facts,
    rule: R,
}

impl<R: QuickRule> QuickMachine<R> {
    /// A machine of `dense_macs_per_cycle` multiplications per cycle with operands of the widest kind.
    pub(super) fn new(facts: Facts, dense_macs_per_cycle: f64, rule: R) -> Self {
        let (lanes, text) = rule.idle();
        let facts = Facts {
            peak_gmacs: dense_macs_per_cycle * facts.clock_mhz * 1e-3,
            loss_events: vec![LossEvent { slots: dense_macs_per_cycle / lanes as f64, ..LossEvent::idle(text) }],
            ..facts
        };
        Self { facts, rule }
    }
}

/// No rows in the comparison table: a quick rule gives neither area nor power of a chip.
impl<R: QuickRule> Accelerator for QuickMachine<R> {
    fn facts(&self) -> &Facts {
        &self.facts
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
