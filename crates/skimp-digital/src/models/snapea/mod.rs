//! SnaPEA: weights reordered by sign, stopped at the first negative partial sum, or predicted to end there.
//!
//! Each kernel multiplies its positive weights first, so the partial sum rises, then its negative ones, so it falls;
//! after every negative weight its sign is checked. The first negative sum decides a ReLU's 0 (activations are not
//! negative). Weights of 0 are dropped. In predictive mode a few *speculation weights* come first, and a sum that is at
//! most the kernel's threshold after them is taken for negative: an approximation.
//!
//! Window-level model, counted from real operands. A PE has four lanes that take one window each and share the stream of
//! weights and indices, so it takes as long as its slowest lane; a finished lane is gated.
//!
//! # Assumptions
//! - Eight PEs share a kernel (fewer where it has no windows for them; the others then take further kernels); groups of
//!   four consecutive windows go to them in turn. They wait for each other before the next kernel, unless
//!   `kernel_barrier = false`; columns of them take kernels in turn, unless `kernel_assignment = "dynamic"`.
//! - What keeps the exact mode from its bound can be switched off one by one: those two, `lane_barrier`, `index_bits`,
//!   and the order of the negative part (`contribution` and `oracle` are bounds).
//! - The baseline (`mode = "dense"`) is the same array and mapping without order, checks and indices, zeros included.
//! - Loading data takes no time of its own. Thresholds predict a negative at "at most"; ties take the lower index.
//! - Layers in which early negative detection is not exact run all their weights, in order.
//! - Energy: one 16-bit multiply-accumulate per executed weight, one read of an input per lane, one of a weight and an
//!   index per PE, one comparison per check and one write per output, from 8 KiB memories. Gated lanes take none.
//!   Off-chip memory: each input, weight, index and output of a layer once.
//! - The parameter search is the paper's three passes on labeled images (see `search.rs` for what it adds);
//!   `kernel_criterion = "none"` leaves the first pass's measurement of accuracy out.

mod array;
mod order;
mod scan;
mod search;
mod squash;

use std::sync::Arc;

use rayon::prelude::*;
use serde::Deserialize;
use skimp_sim::{
    Accelerator, Configured, EXECUTED_MACS, Facts, IDLE_SLOTS, LayerEffect, LayerResult, LayerTrace, LayerWorkload,
    LossEvent, Needs, OperationCount, SKIPPED_MACS, Searchable, SimError, Statistic, Tuner,
};
use toml::Table;

use self::array::{Array, ArrayCounts, Assignment};
use self::order::{KernelOrder, NegativeOrder};
use self::scan::{Field, scan_filter, scan_oracle};
use self::search::{KernelCriterion, SearchConfig, search};
use self::squash::{LayerPredictions, Squash};
use super::config::{positive, typed};
use super::early_stop;
use super::entry::Entry;
use crate::costs;

const NAME: &str = "snapea";
const PRESET: &str = include_str!("../../../../../configs/accelerators/snapea.toml");

/// Width of operands in the energies.
const OPERAND_BITS: u32 = 16;

/// Capacity as which the memories of an element are priced (assumed).
const MEMORY_BYTES: u64 = 8 << 10;

/// The registered model.
///
/// # Source
/// V. Akhlaghi, A. Yazdanbakhsh, K. Samadi, R. K. Gupta, H. Esmaeilzadeh, "SnaPEA: Predictive Early Activation for
/// Reducing Computation in Deep Convolutional Neural Networks", ISCA 2018.
/// Differs: see the module's assumptions; energies are generic.
pub(super) static SNAPEA: Entry = Entry {
    name: NAME,
    summary: "positive weights first, stops at the first negative sum; predicts negatives from a few weights",
    source: "V. Akhlaghi et al., SnaPEA: Predictive Early Activation for Reducing Computation in Deep Convolutional Neural \
     Networks, ISCA 2018",
    preset: PRESET,
    build,
};

fn build(resolved: Table) -> Result<Configured, SimError> {
    let config: Config = typed(&resolved)?;
    config.check()?;
    let costs = costs::named_or_written(&config.costs)?;
    let given = config.kernel_predictions.iter().map(|text| LayerPredictions::parse(text));
    let given = given.collect::<Result<Vec<_>, _>>()?;
    let predictions = (config.mode == Mode::Predictive && !given.is_empty()).then(|| Arc::new(Squash(given)));
    let array = config.array();
    let gated = "lanes wait for the slowest window of their element";
    let idle = "elements without a window or kernel, or waiting for others at the end of a kernel or of the layer";
    let remark = match config.mode {
        Mode::Dense => "runs every weight",
        Mode::Exact => "stops sums early: positive weights first, then at the first negative partial sum",
        Mode::Predictive => "stops sums that a few weights make likely to end negative",
    };
    let facts = Facts {
        peak_gmacs: (array.pes * array.lanes) as f64 * config.clock_mhz * 1e-3,
        energy_scope: "operations priced by a generic table: multiply-accumulates, comparisons, memories of 8 KiB of the \
                       elements, accumulators; off-chip memory: each input, weight, index and output of a layer once",
        loss_events: vec![LossEvent { event: GATED.name, ..LossEvent::idle(gated) }, LossEvent::idle(idle)],
        needs: if config.mode == Mode::Dense { Needs::Shape } else { Needs::Values },
        exploits: if config.mode == Mode::Dense { Vec::new() } else { vec!["sums that end negative", "zero weights"] },
        remarks: vec![remark.to_owned()],
        ..Facts::new(NAME, resolved, config.clock_mhz, costs)
    };
    let searched = config.mode == Mode::Predictive && predictions.is_none();
    let machine = Machine { facts, config, predictions };
    Ok(if searched { Configured::NeedsSearch(Box::new(PredictionSearch(machine))) } else { machine.into() })
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Dense,
    Exact,
    Predictive,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "schema")]
    _schema: u32,
    mode: Mode,
    negative_order: String,
    kernel_barrier: bool,
    lane_barrier: bool,
    kernel_assignment: Assignment,
    costs: String,
    clock_mhz: f64,
    #[serde(rename = "technology_nm")]
    _technology_nm: u32,
    pe_rows: u32,
    pe_columns: u32,
    lanes_per_pe: u32,
    pes_per_kernel: u32,
    index_bits: u32,
    kernel_predictions: Vec<String>,
    max_accuracy_loss_percent: f64,
    kernel_criterion: String,
    speculation_weights: Vec<usize>,
    squashed_share_percent: Vec<f64>,
}

impl Config {
    fn check(&self) -> Result<(), SimError> {
        positive("clock_mhz", self.clock_mhz)?;
        for (key, value) in [
            ("pe_rows", self.pe_rows),
            ("pe_columns", self.pe_columns),
            ("lanes_per_pe", self.lanes_per_pe),
            ("pes_per_kernel", self.pes_per_kernel),
        ] {
            positive(key, f64::from(value))?;
        }
        let refuse = |key: &str, reason: &str| Err(SimError::SettingValue { key: key.into(), reason: reason.into() });
        if !(0.0..=100.0).contains(&self.max_accuracy_loss_percent) {
            return refuse("max_accuracy_loss_percent", "expected 0 to 100");
        }
        if self.speculation_weights.contains(&0) {
            return refuse("speculation_weights", "expected numbers above 0");
        }
        let shares = &self.squashed_share_percent;
        if shares.iter().any(|share| !(0.0..=100.0).contains(share)) || shares.windows(2).any(|pair| pair[0] < pair[1])
        {
            return refuse("squashed_share_percent", "expected shares of 0 to 100, the greatest first");
        }
        self.kernel_criterion()?;
        let order = self.negative_order()?;
        if self.mode == Mode::Predictive && matches!(order, NegativeOrder::Oracle | NegativeOrder::Contribution) {
            return refuse("negative_order", "a bound of the exact mode: predictions need \"magnitude\" or \"index\"");
        }
        Ok(())
    }

    fn kernel_criterion(&self) -> Result<KernelCriterion, SimError> {
        match self.kernel_criterion.as_str() {
            "accuracy" => Ok(KernelCriterion::Accuracy),
            "none" => Ok(KernelCriterion::None),
            other => Err(SimError::SettingValue {
                key: "kernel_criterion".into(),
                reason: format!("expected \"accuracy\" or \"none\", found {other:?}"),
            }),
        }
    }

    fn negative_order(&self) -> Result<NegativeOrder, SimError> {
        match self.negative_order.as_str() {
            "magnitude" => Ok(NegativeOrder::Magnitude),
            "index" => Ok(NegativeOrder::Index),
            "contribution" => Ok(NegativeOrder::Contribution),
            "oracle" => Ok(NegativeOrder::Oracle),
            other => Err(SimError::SettingValue {
                key: "negative_order".into(),
                reason: format!("expected \"magnitude\", \"index\", \"contribution\" or \"oracle\", found {other:?}"),
            }),
        }
    }

    fn array(&self) -> Array {
        Array {
            pes: self.pe_rows as usize * self.pe_columns as usize,
            pes_per_kernel: (self.pes_per_kernel as usize).min(self.pe_rows as usize * self.pe_columns as usize),
            lanes: self.lanes_per_pe as usize,
            kernel_barrier: self.kernel_barrier,
            lane_barrier: self.lane_barrier,
            assignment: self.kernel_assignment,
        }
    }
}

#[derive(Clone, Debug)]
struct Machine {
    facts: Facts,
    config: Config,
    /// Given, or found by a search, in predictive mode.
    predictions: Option<Arc<Squash>>,
}

static COMPUTE: Statistic = Statistic::new("compute", "cycles", "Cycles of the slowest processing element.").working();
static GATED: Statistic = Statistic::new("gated_slots", "slots", "Cycles of lanes that waited for their PE's slowest.");
static WEIGHT_READS: Statistic = Statistic::new("weight_reads", "weights", "Weights read by a PE for all its lanes.");
static INDEX_READS: Statistic = Statistic::new("index_reads", "indices", "Entries of the index buffer read by a PE.");
static SIGN_CHECKS: Statistic = Statistic::new("sign_checks", "checks", "Sums compared with 0 or a threshold.");
static PREDICTED: Statistic = Statistic::new("predicted_outputs", "outputs", "Outputs predicted to be negative.");
static WRONG: Statistic = Statistic::new("squashed_outputs", "outputs", "Positive outputs predicted to be negative.");

/// Sums over the kernels of a layer beyond those of the array.
#[derive(Clone, Copy, Debug, Default)]
struct Checks {
    signs: u64,
    predicted: u64,
    squashed: u64,
    /// Outputs that contradict the exact sums.
    different: u64,
}

impl Machine {
    /// Every output takes as many multiply-accumulates as its kernel has weights in use.
    fn uniform(&self, layer: &LayerWorkload, per_kernel: impl Fn(usize) -> u32 + Sync) -> ArrayCounts {
        let (array, windows) = (self.config.array(), layer.shape.p() * layer.shape.q());
        let of_kernel = |filter: usize| array.kernel(std::iter::repeat_n(per_kernel(filter), windows), windows);
        let kernels: Vec<_> = (0..layer.shape.k()).into_par_iter().map(of_kernel).collect();
        array.layer(&kernels, windows)
    }

    fn early(&self, layer: &LayerWorkload, trace: &LayerTrace) -> Result<(ArrayCounts, Checks), SimError> {
        let (array, windows, depth) =
            (self.config.array(), layer.shape.p() * layer.shape.q(), layer.shape.inputs_per_output());
        let (layer, activation) = layer.with_padding(trace.activation()?);
        let layer = &*layer;
        let field = Field::new(layer, &activation);
        let (starts, sums) = (trace.start_values()?, trace.output_sums()?);
        let weights = layer.weights.as_deref().unwrap_or_default();
        let negative = self.config.negative_order()?;
        let sums_of = if negative == NegativeOrder::Contribution { field.channel_sums(layer) } else { Vec::new() };
        let predictions = self.predictions.as_deref().and_then(|squash| squash.of(layer));
        let of_kernel = |filter: usize| {
            let prediction = predictions.and_then(|known| known.kernels.get(filter).copied().flatten());
            let n_speculation = prediction.map_or(0, |prediction| prediction.n_speculation);
            let own = &weights[filter * depth..(filter + 1) * depth];
            let mut order = KernelOrder::new(own, n_speculation, negative);
            let here = filter * windows..(filter + 1) * windows;
            let scan = match negative {
                NegativeOrder::Oracle => scan_oracle(&field, layer, filter, &order, &starts[here.clone()]),
                NegativeOrder::Contribution => {
                    let first = filter / layer.shape.filters_per_group() * layer.shape.channels_per_group();
                    let means: Vec<u64> =
                        (0..depth).map(|idx| sums_of[first + idx / (layer.shape.r() * layer.shape.s())]).collect();
                    order.by_contribution(own, &means);
                    scan_filter(&field, layer, filter, (&order, prediction), &starts[here.clone()])
                }
                _ => scan_filter(&field, layer, filter, (&order, prediction), &starts[here.clone()]),
            };
            let used = order.speculation.len() + order.positive.len() + order.negative.len();
            let mut checks = Checks { different: scan.n_different(&sums[here.clone()], used), ..Checks::default() };
            let unchecked = (order.speculation.len() + order.positive.len()) as u32;
            for (&(macs, predicted), &sum) in scan.counts.iter().zip(&sums[here]) {
                checks.signs += u64::from(prediction.is_some()) + u64::from(macs.saturating_sub(unchecked));
                checks.predicted += u64::from(predicted);
                checks.squashed += u64::from(predicted && sum > 0);
            }
            (array.kernel(scan.counts.iter().map(|count| count.0), windows), checks)
        };
        let kernels: Vec<_> = (0..layer.shape.k()).into_par_iter().map(of_kernel).collect();
        let mut checks = Checks::default();
        for (_, of_kernel) in &kernels {
            checks.signs += of_kernel.signs;
            checks.predicted += of_kernel.predicted;
            checks.squashed += of_kernel.squashed;
            checks.different += of_kernel.different;
        }
        if checks.different > 0 {
            let (layer, n_different) = (layer.name.clone(), checks.different);
            return Err(SimError::NotExact { layer, what: "weights in the order of SnaPEA", n_different });
        }
        let kernels: Vec<_> = kernels.into_iter().map(|(kernel, _)| kernel).collect();
        Ok((array.layer(&kernels, windows), checks))
    }

    fn result(&self, layer: &LayerWorkload, counts: &ArrayCounts, checks: Checks) -> LayerResult {
        let array = self.config.array();
        let slots = counts.cycles * (array.pes * array.lanes) as u64;
        let mut result = LayerResult::new(layer);
        let indices = if self.config.mode == Mode::Dense { 0 } else { counts.weight_reads };
        result.cycles.add(&COMPUTE, counts.cycles);
        for (statistic, count) in [
            (&EXECUTED_MACS, counts.executed),
            (&SKIPPED_MACS, result.macs - counts.executed),
            (&GATED, counts.gated),
            (&IDLE_SLOTS, slots - counts.executed - counts.gated),
            (&WEIGHT_READS, counts.weight_reads),
            (&INDEX_READS, indices),
            (&SIGN_CHECKS, checks.signs),
            (&PREDICTED, checks.predicted),
            (&WRONG, checks.squashed),
        ] {
            result.events.add(statistic, count);
        }
        let memory = |component, bits, count| OperationCount::buffer(component, MEMORY_BYTES, bits, count);
        let outputs = (layer.shape.n() * layer.shape.output_count()) as u64;
        // The index buffers hold an entry for each weight.
        let indices_stored =
            if indices > 0 { layer.shape.weight_count() as u64 * u64::from(self.config.index_bits) } else { 0 };
        result.operations = vec![
            OperationCount::multiply_add("mac", OPERAND_BITS, counts.executed),
            OperationCount::add("check", OPERAND_BITS, checks.signs),
            memory("input", OPERAND_BITS, counts.executed),
            memory("weight", OPERAND_BITS, counts.weight_reads),
            memory("index", self.config.index_bits, indices),
            memory("output", OPERAND_BITS, outputs),
            OperationCount::accumulators(counts.executed),
            OperationCount::off_chip(layer.compulsory_bits() + indices_stored),
        ];
        result.mapping = vec![("pes_per_kernel", array.sharers(layer.shape.p() * layer.shape.q()) as u64)];
        if let Some(known) = self.predictions.as_deref().and_then(|squash| squash.of(layer)) {
            let predicting = known.kernels.iter().flatten().count();
            result.note(format!("{predicting} of {} kernels predict", layer.shape.k()));
        }
        result
    }
}

impl Accelerator for Machine {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn check_network(&self, layers: &[LayerWorkload]) -> Result<(), SimError> {
        self.predictions.as_deref().map_or(Ok(()), |squash| squash.check_network(layers))
    }

    fn simulate_layer(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        layer.check()?;
        if layer.shape.n() != 1 {
            let what = format!("{} images at once; run them one after another", layer.shape.n());
            return Err(SimError::Unsupported { layer: layer.name.clone(), accelerator: NAME, what });
        }
        let depth = layer.shape.inputs_per_output();
        if self.config.mode == Mode::Dense {
            return Ok(self.result(layer, &self.uniform(layer, |_| depth as u32), Checks::default()));
        }
        let missing = || SimError::WeightsRequired { layer: layer.name.clone(), accelerator: NAME };
        let weights = layer.weights.as_deref().ok_or_else(missing)?;
        if !layer.negatives.are_unseen() {
            let used = |filter: usize| {
                weights[filter * depth..(filter + 1) * depth].iter().filter(|&&weight| weight != 0).count() as u32
            };
            let mut result = self.result(layer, &self.uniform(layer, used), Checks::default());
            result.findings.push(early_stop::off(layer.negatives.to_string()));
            return Ok(result);
        }
        let trace = trace.ok_or_else(|| SimError::TraceRequired {
            layer: layer.name.clone(),
            accelerator: NAME,
            trace: "activation, bias and output_sums",
        })?;
        let (counts, checks) = self.early(layer, trace)?;
        let mut result = self.result(layer, &counts, checks);
        result.findings.push(early_stop::at_work());
        Ok(result)
    }

    fn effect(&self) -> Option<&dyn LayerEffect> {
        self.predictions.as_deref().map(|squash| squash as &dyn LayerEffect)
    }
}

/// SnaPEA before its kernels' predictions are known.
#[derive(Debug)]
struct PredictionSearch(Machine);

impl Searchable for PredictionSearch {
    fn facts(&self) -> &Facts {
        &self.0.facts
    }

    fn searches(&self) -> &'static str {
        "predictions of kernels"
    }

    fn search(&self, tuner: &dyn Tuner) -> Result<Box<dyn Accelerator>, SimError> {
        let Machine { facts, config, .. } = &self.0;
        let search_config = SearchConfig {
            max_accuracy_loss: config.max_accuracy_loss_percent / 100.0,
            kernel_criterion: config.kernel_criterion()?,
            speculation_weights: config.speculation_weights.clone(),
            squashed_shares: config.squashed_share_percent.iter().map(|percent| percent / 100.0).collect(),
            negative_order: config.negative_order()?,
        };
        let found = search(tuner, &search_config)?;
        let mut facts = facts.clone();
        let written: Vec<toml::Value> = found.iter().map(|layer| layer.to_string().into()).collect();
        facts.config.insert("kernel_predictions".into(), written.into());
        Ok(Box::new(Machine { facts, config: config.clone(), predictions: Some(Arc::new(Squash(found))) }))
    }
}
