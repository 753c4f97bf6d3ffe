//! ComPEND: bit-serial weights in inverted two's complement, stopped by early negative detection (END).
//!
//! The runtime of a layer is the sum of phases that do not overlap: weights from off-chip memory to STT-RAM
//! (`mem_stt`) and on to the weight buffers block by block (`stt_wb`), weights straight to the weight buffers (dense
//! layers, `mem_wb`), activations to their buffer (`mem_ab`) and to the registers (`ab_pu`), processing (`run_pu`), and
//! one cycle of start-up. Off-chip energy is not part of the published breakdown and is not priced here.
//!
//! Fidelity: slot level with the end planes of real operands, else closed form.
//!
//! # Mapping of any layer
//!
//! Published for 3 x 3 kernels and powers of two; the rules below give the published numbers there.
//!
//! - A *leaf unit* takes 32 inputs: a slice of 32 channels at one kernel tap. An output needs `L = r · s ·
//!   ceil(channels / 32)` leaves; channels are padded to slices in memory, too (as recorded for the first layer).
//!   `min(16, floor(144 / L))` *divisions* work on different filters at the same window, never more than filters.
//! - Filters come in *blocks* that fill the weight buffers, the last one with what is left; a block's filters are
//!   dealt to the divisions in contiguous runs whose lengths differ by at most one.
//! - Groups of fewer than 32 channels are *bundled*, `floor(32 / channels)` of them into one slice, with zero weights
//!   where a filter does not reach: depthwise layers run 32 channels per bundle. Bundles run one after another.
//! - Weights beyond the STT-RAM's capacity split the filters into *parts* that each walk the map anew.
//! - A map that does not fit the activation buffer is walked in passes of as many output rows as the buffered input
//!   rows serve; where not even the rows of one window fit, the map is cut into strips of columns.
//! - A step of the window loads the new columns only (`stride / dilation` of them if that is whole, else all).
//! - More than 144 leaves (4,608 inputs) take several *passes* over the inputs of each window, with partial sums kept
//!   between them. The end planes of outputs are defined over all inputs at once and do not hold for a pass, so such
//!   layers run without END.
//! - Dense layers stream weights past the STT-RAM and keep the input vector in the registers (or reload it for each
//!   block if it takes several passes).
//! - A weight of B bits takes B planes; activations are stored in whole bytes, and a register write brings 32 of them.

mod config;
mod ends;
pub mod literal;
mod mapping;
mod run;
pub mod slots;
mod statistics;
mod timeline;

use std::sync::Arc;

use skimp_sim::{
    Accelerator, Activity, ComparisonRow, Configured, CostTable, Derived, Facts, LayerEffect, LayerResult, LayerTrace,
    LayerWorkload, Loss, Needs, OperationCount, Provenance, Scope, Scopes, Searchable, SimError, TimelineSpan, Tuner,
    losses,
};
use toml::Table;

use crate::models::entry::Entry;

pub(super) use config::Config;
pub use ends::{EndPlanes, PREDICTED, key};
use mapping::{Layout, lay_out};
use run::{RunCounts, run_all_planes, run_with_ends};
use statistics as stat;

use super::early_stop;
use super::search::{Floor, raise_all};
use crate::costs;

const NAME: &str = "compend";
const PRESET: &str = include_str!("../../../../../configs/accelerators/compend.toml");

/// Weight width of the published peak rate.
const PUBLISHED_BITS: u32 = 16;

/// The registered model.
///
/// # Source
/// D. Lee, S. Kang, K. Choi, "ComPEND: Computation Pruning through Early Negative Detection for ReLU in a Deep Neural
/// Network Accelerator", ICS 2018. Cycle rules validated against the recorded runs of iamjinholee/endasim, commit
/// fbb1102 (2020).
/// Differs: block, division and row counts that do not divide are counted exactly instead of truncated.
pub static COMPEND: Entry = Entry {
    name: NAME,
    summary: "bit-serial weights, most significant plane first; stops an output at its first negative partial sum",
    source: "D. Lee, S. Kang, K. Choi, ComPEND: Computation Pruning through Early Negative Detection for ReLU in a Deep \
     Neural Network Accelerator, ICS 2018",
    preset: PRESET,
    build,
};

fn build(resolved: Table) -> Result<Configured, SimError> {
    let config = Config::from_table(&resolved)?;
    Machine::new(NAME, resolved, config, StopRule::Proven).map(Configured::from)
}

/// When an output stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum StopRule {
    /// At the first plane after which the sum cannot become positive again.
    Proven,
    /// Where the planes left are expected to take this share of what they can take.
    Predicted(f64),
}

/// Area of leaf units, buffers, network and controller; the published total lies above it by wiring and what else the
/// recorded configuration does not list.
fn area(config: &Config, costs: &CostTable) -> Result<f64, SimError> {
    let leaves = config.hardware().leaf_pus as f64;
    Ok(leaves * costs.area_mm2("pu.area")?
        + f64::from(config.wb_banks) * costs.area_mm2("wb.area")?
        + f64::from(config.ab_banks) * costs.area_mm2("ab.area")?
        + costs.area_mm2("stt_banks.area")?
        + costs.area_mm2("net.area")?
        + costs.area_mm2("ctrl.area")?)
}

/// The array with one rule of stopping; ComPreEND shares it.
#[derive(Debug)]
pub(super) struct Machine {
    facts: Facts,
    config: Config,
    rule: StopRule,
    effect: Option<PredictedStop>,
}

/// Makes an accelerator from a configuration and a share.
pub(super) type ConfigureShare = fn(&Table, f64) -> Result<Box<dyn Accelerator>, SimError>;

/// A machine before its share of a predicted stop is known.
#[derive(Debug)]
pub(super) struct ShareSearch {
    /// The machine with any share.
    pub(super) machine: Machine,
    /// Share of the images of the search whose answers may turn wrong.
    pub(super) max_accuracy_loss: f64,
    /// Makes the accelerator from its configuration and the share found.
    pub(super) configure: ConfigureShare,
}

impl Searchable for ShareSearch {
    fn facts(&self) -> &Facts {
        &self.machine.facts
    }

    fn searches(&self) -> &'static str {
        "the predictive share"
    }

    fn search(&self, tuner: &dyn Tuner) -> Result<Box<dyn Accelerator>, SimError> {
        let floor = Floor::new(tuner, self.max_accuracy_loss)?;
        let share = |level: u32| f64::from(level) / f64::from(SHARE_STEPS);
        let mut level = [0];
        raise_all(&mut level, &[SHARE_STEPS], |level| {
            let effect = PredictedStop { share: share(level[0]), hardware: self.machine.config.hardware() };
            floor.holds(tuner, &effect)
        })?;
        (self.configure)(&self.machine.facts.config, share(level[0]))
    }
}

/// Losses below this share of the cycles are not worth a word.
const LEAST_SHARE: f64 = 0.005;

/// Steps of a search for the share: hundredths.
const SHARE_STEPS: u32 = 100;

/// What predicted stops do to values: a positive output that was stopped becomes -1, which a ReLU makes 0.
#[derive(Debug)]
struct PredictedStop {
    share: f64,
    hardware: config::Hardware,
}

impl LayerEffect for PredictedStop {
    fn applies(&self, layer: &LayerWorkload) -> bool {
        let one_pass = |layout: Layout| layout.parts.iter().all(|part| part.leaves.len() == 1);
        layer.negatives.are_unseen() && lay_out(layer, &self.hardware).is_ok_and(one_pass)
    }

    fn sums(&self, layer: &LayerWorkload, operands: &LayerTrace, sums: &mut [i64]) -> Result<(), SimError> {
        let ends = ends::predicted(layer, operands, self.share)?;
        for (sum, &plane) in sums.iter_mut().zip(ends.planes()) {
            if u32::from(plane) < layer.weight_bits {
                *sum = (*sum).min(-1);
            }
        }
        Ok(())
    }
}

/// Whether a layer runs with END, or why not.
enum Detection<'t> {
    On(&'t LayerTrace),
    Off(String),
}

impl Machine {
    pub(super) fn new(
        name: &'static str,
        resolved: Table,
        config: Config,
        rule: StopRule,
    ) -> Result<Machine, SimError> {
        let costs = costs::named_or_written(&config.costs)?;
        let effect = match rule {
            StopRule::Predicted(share) if config.end => Some(PredictedStop { share, hardware: config.hardware() }),
            StopRule::Predicted(_) | StopRule::Proven => None,
        };
        let hardware = config.hardware();
        let lanes = (hardware.leaf_pus * hardware.inputs_per_pu) as f64;
        let remark = match rule {
            _ if !config.end => "runs every weight plane".to_owned(),
            StopRule::Proven => {
                format!("stops sums early: inverted two's complement, test {}", config.end_test)
            }
            StopRule::Predicted(share) => {
                format!("stops sums expected to end negative: planes left taken for {share} of what they can take")
            }
        };
        let facts = Facts {
            area_mm2: area(&config, &costs)?,
            peak_gmacs: lanes / f64::from(PUBLISHED_BITS) * config.clock_mhz * 1e-3,
            dram_gb_per_s: Some(config.dram_gb_per_s()),
            energy_scope: "on-chip controller, network, STT-RAM, activation and weight buffers, processing units; off-chip \
                           memory is not included",
            loss_events: Vec::new(),
            needs: if config.end { Needs::Values } else { Needs::Shape },
            exploits: if config.end { vec!["sums that end negative"] } else { Vec::new() },
            remarks: vec![remark],
            ..Facts::new(name, resolved, config.clock_mhz, costs)
        };
        Ok(Machine { facts, config, rule, effect })
    }

    fn detection<'t>(
        &self,
        layer: &LayerWorkload,
        layout: &Layout,
        trace: Option<&'t LayerTrace>,
    ) -> Result<Detection<'t>, SimError> {
        if !self.config.end {
            return Ok(Detection::Off("switched off".to_owned()));
        }
        if !layer.negatives.are_unseen() {
            return Ok(Detection::Off(layer.negatives.to_string()));
        }
        let passes = layout.parts.iter().map(|part| part.leaves.len()).max().unwrap_or(1);
        if passes > 1 {
            let inputs = layer.shape.inputs_per_output();
            return Ok(Detection::Off(format!("{inputs} inputs per output take {passes} passes")));
        }
        let Some(trace) = trace else {
            check_weight_codes(layer)?;
            let (layer, accelerator) = (layer.name.clone(), self.facts.name);
            return Err(SimError::TraceRequired { layer, accelerator, trace: "activation" });
        };
        // Once for all settings.
        trace.derived(CODES_FIT, || check_weight_codes(layer).map(|()| CodesFit))?;
        Ok(Detection::On(trace))
    }

    fn end_planes(&self, layer: &LayerWorkload, trace: &LayerTrace) -> Result<Arc<EndPlanes>, SimError> {
        match self.rule {
            StopRule::Proven => ends::proven(layer, trace, self.config.test()?),
            StopRule::Predicted(share) => ends::predicted(layer, trace, share),
        }
    }

    fn counts(&self, layer: &LayerWorkload, layout: &Layout, run: &RunCounts) -> LayerResult {
        let mut result = LayerResult::new(layer);
        let lines = |lines: u64, cycles: f64| (lines as f64 * cycles).round() as u64;
        let weight_cycles = self.config.weight_line_cycles();
        let activation_cycles = self.config.activation_line_cycles;
        let written = if self.config.model_writeback { self.output_lines(layer) } else { 0 };
        result.cycles.add(&stat::MEM_STT, lines(layout.stt_writes, weight_cycles));
        result.cycles.add(&stat::STT_WB, layout.stt_wb_cycles);
        result.cycles.add(&stat::MEM_WB, lines(layout.wb_direct, weight_cycles));
        result.cycles.add(&stat::MEM_AB, lines(layout.ab_writes, activation_cycles));
        result.cycles.add(&stat::AB_PU, layout.ab_pu_cycles);
        result.cycles.add(&stat::RUN_PU, run.slots.cycles);
        result.cycles.add(&stat::START_UP, 1);
        if self.config.model_writeback {
            result.cycles.add(&stat::WRITE_BACK, lines(written, activation_cycles));
        }
        let divisions = layout.parts.iter().map(|part| part.divisions).max().unwrap_or(1) as u64;
        let roots = if self.config.faithful_root_count { run.root_planes_by_division } else { run.slots.root_planes };
        let wb_writes = layout.stt_reads + layout.wb_direct;
        let wb = run.wb_accesses + wb_writes;
        let pu = run.leaf_accesses + roots + run.slots.top_active + layout.register_writes;
        let ab = layout.ab_writes + layout.ab_reads;
        let events = [
            (&stat::DRAM_WEIGHT_LINES, layout.stt_writes + layout.wb_direct),
            (&stat::DRAM_ACTIVATION_LINES, layout.ab_writes),
            (&stat::DRAM_OUTPUT_LINES, written),
            (&stat::STT_WRITES, layout.stt_writes),
            (&stat::STT_READS, layout.stt_reads),
            (&stat::AB_ACCESSES, ab),
            (&stat::WB_ACCESSES, wb),
            (&stat::NET_TRAVERSALS, run.slots.net_active),
            (&stat::PU_ACCESSES, pu),
            (&stat::CTRL_DECISIONS, run.slots.decisions),
            (&stat::PLANES_DENSE, run.planes_dense),
            (&stat::PLANES_USEFUL, run.planes_useful),
            (&stat::PLANES_ISSUED, run.slots.issued),
            (&stat::PLANES_SKIPPED, run.planes_dense - run.slots.issued),
        ];
        for (statistic, count) in events {
            result.events.add(statistic, count);
        }
        let time = result.total_cycles();
        let units = self.config.hardware().leaf_pus as u64 + divisions + 1;
        let activity = |component, scope, dynamic, key, instances: u64| Activity {
            component,
            scope,
            includes: Scopes::NONE,
            dynamic,
            leakage: vec![(key, instances * time)],
        };
        let stt = vec![("stt.read", layout.stt_reads), ("stt.write", layout.stt_writes)];
        result.activity = vec![
            activity("ctrl", Scope::Network, vec![("ctrl.access", run.slots.decisions)], "ctrl.static", divisions),
            activity("net", Scope::Network, vec![("net.access", run.slots.net_active)], "net.static", 1),
            activity("stt", Scope::OnChip, stt, "stt.static", u64::from(self.config.stt_banks)),
            activity("ab", Scope::Buffers, vec![("ab.access", ab)], "ab.static", u64::from(self.config.ab_banks)),
            activity("wb", Scope::Buffers, vec![("wb.access", wb)], "wb.static", u64::from(self.config.wb_banks)),
            // A register write costs what a plane sum does.
            Activity {
                includes: Scopes::of(&[Scope::Registers]),
                ..activity("pu", Scope::Mac, vec![("pu.access", pu)], "pu.static", units)
            },
        ];
        result.operations = self.operations(layer, layout, run, [ab, wb]);
        describe(&mut result, layout, divisions);
        result
    }

    /// A unit adds up to 32 activations; roots and top add its sums, which are wider. Outputs leave the chip once, whether
    /// or not their time is modeled.
    fn operations(
        &self,
        layer: &LayerWorkload,
        layout: &Layout,
        run: &RunCounts,
        [ab, wb]: [u64; 2],
    ) -> Vec<OperationCount> {
        let hw = self.config.hardware();
        let line = hw.line_bits as u32;
        let sums = run.slots.root_planes + run.slots.top_active;
        let inputs = hw.inputs_per_pu as u64;
        let registers = (hw.inputs_per_pu as u64 * u64::from(layer.activation_bits)).div_ceil(8);
        let off_chip = layout.stt_writes + layout.wb_direct + layout.ab_writes + self.output_lines(layer);
        vec![
            OperationCount::add("pu", layer.activation_bits, run.leaf_accesses * inputs),
            OperationCount::add("roots", 32, sums * inputs),
            OperationCount::registers(
                "pu_registers",
                registers,
                8 * registers as u32,
                run.leaf_accesses + layout.register_writes,
            ),
            OperationCount::accumulators(run.slots.decisions),
            OperationCount::on_chip(
                "stt",
                u64::from(self.config.stt_bank_bytes),
                line,
                layout.stt_reads + layout.stt_writes,
            ),
            OperationCount::buffer("ab", u64::from(self.config.ab_bank_bytes), line, ab),
            OperationCount::buffer("wb", u64::from(self.config.wb_bank_bytes), line, wb),
            OperationCount::off_chip(off_chip * hw.line_bits),
        ]
    }

    fn output_lines(&self, layer: &LayerWorkload) -> u64 {
        let hw = self.config.hardware();
        let channels = layer.shape.k().next_multiple_of(hw.inputs_per_pu) as u64;
        let bits = u64::from(layer.activation_bits.div_ceil(8)) * 8;
        ((layer.shape.p() * layer.shape.q()) as u64 * channels * bits).div_ceil(hw.line_bits)
    }
}

/// Key of [`CodesFit`] in a trace.
const CODES_FIT: &str = "weight_codes_fit";

/// That the weight codes of a layer have an inverted two's complement.
#[derive(Debug)]
struct CodesFit;

impl Derived for CodesFit {}

/// Refuses weight codes that inverted two's complement cannot hold: `-(2^(B-1) - 1) ..= 2^(B-1)` is its range.
fn check_weight_codes(layer: &LayerWorkload) -> Result<(), SimError> {
    let half = 1i64 << (layer.weight_bits - 1);
    let outside = |code: &&i32| i64::from(**code) <= -half || i64::from(**code) > half;
    match layer.weights.as_deref().and_then(|weights| weights.iter().find(outside)) {
        None => Ok(()),
        Some(code) => Err(SimError::InvalidLayer {
            layer: layer.name.clone(),
            reason: format!("weight code {code} has no inverted two's complement of {} bits", layer.weight_bits),
        }),
    }
}

fn describe(result: &mut LayerResult, layout: &Layout, divisions: u64) {
    let blocks = layout.parts.iter().map(|part| part.blocks().count() as u64).sum();
    let leaves = layout.parts.iter().map(|part| part.leaves.iter().sum()).max().unwrap_or(0);
    let passes = layout.parts.iter().map(|part| part.leaves.len() as u64).max().unwrap_or(0);
    result.mapping = vec![
        ("leaf_pus", leaves),
        ("divisions", divisions),
        ("pu_passes", passes),
        ("filter_blocks", blocks),
        ("activation_passes", layout.activation_passes),
        ("column_strips", layout.column_strips),
        ("group_bundles", layout.bundles),
        ("stt_parts", layout.parts.len() as u64),
    ];
    if layout.bundles > 1 {
        result.note(format!("groups run as {} bundles, one after another", layout.bundles));
    }
    if layout.parts.len() as u64 > layout.bundles {
        result.note("weights exceed the STT-RAM: the map is walked once per part of the filters");
    }
    if layout.column_strips > 1 {
        result.note(format!("the map is walked in {} strips of columns", layout.column_strips));
    }
    if passes > 1 {
        result.note(format!("inputs exceed the array: {passes} passes with partial sums kept"));
    }
}

impl Accelerator for Machine {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn comparison_rows(&self) -> Result<Vec<ComparisonRow>, SimError> {
        if self.facts.name != NAME {
            // Neither area nor power of ComPreEND is in the data at hand.
            return Ok(Vec::new());
        }
        // The layer whose weights fill the STT-RAM exactly; its power comes nearest to the published one.
        let layer = LayerWorkload::conv("VGG-16 C9", 512, 28, 28, 512, 3)?;
        let layout = lay_out(&layer, &self.config.hardware())?;
        let run = run_all_planes(&layout, layer.weight_bits as u8, u64::from(self.config.pus_per_row));
        let result = self.counts(&layer, &layout, &run);
        let modeled_power_mw =
            self.facts.price(&result)?.total_nj() / (result.total_cycles() as f64 / self.config.clock_mhz);
        let row = |provenance, area_mm2, power_mw, note: &str| ComparisonRow {
            design: "ComPEND".into(),
            provenance,
            precision_bits: PUBLISHED_BITS,
            technology_nm: f64::from(self.config.technology_nm),
            clock_mhz: self.config.clock_mhz,
            throughput_gmacs: self.facts.peak_gmacs,
            area_mm2,
            power_mw,
            note: note.to_owned(),
        };
        Ok(vec![
            row(
                Provenance::Published,
                self.config.published_area_mm2,
                self.config.published_power_mw,
                "2019 lecture on efficient neural processing",
            ),
            row(
                Provenance::Modeled,
                self.facts.area_mm2,
                modeled_power_mw,
                "sum of the listed components; mean power of VGG-16's C9 with all planes",
            ),
        ])
    }

    fn effect(&self) -> Option<&dyn LayerEffect> {
        self.effect.as_ref().map(|effect| effect as &dyn LayerEffect)
    }

    /// The processing units' own losses, from planes, beside the phases of memory.
    fn why(&self, result: &LayerResult) -> Vec<Loss> {
        let mut all = losses(result, &[], 1.0);
        let divisions = result.mapping.iter().find(|entry| entry.0 == "divisions").map_or(0, |entry| entry.1);
        let total = (result.total_cycles() * divisions) as f64;
        let slots = (result.cycles.get(stat::RUN_PU.name).unwrap_or(0) * divisions) as f64;
        let planes = |name: &str| result.events.get(name).unwrap_or(0) as f64;
        let (issued, useful) = (planes(stat::PLANES_ISSUED.name), planes(stat::PLANES_USEFUL.name));
        for (counter, lost, text) in [
            (
                stat::RUN_PU.name,
                slots - issued,
                "divisions wait for the longest output of a window, or for the pipeline",
            ),
            (stat::PLANES_ISSUED.name, issued - useful, "planes issued before the end of their output was known"),
        ] {
            if total > 0.0 && lost / total >= LEAST_SHARE {
                let share = lost / total;
                all.push(Loss { counter, share, text: format!("{:.1} % of the cycles: {text}", 100.0 * share) });
            }
        }
        all.sort_by(|a, b| b.share.total_cmp(&a.share));
        all
    }

    fn simulate_layer(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        let unsupported =
            |what: String| SimError::Unsupported { layer: layer.name.clone(), accelerator: self.facts.name, what };
        layer.check()?;
        if layer.shape.n() != 1 {
            return Err(unsupported(format!("{} images at once; run them one after another", layer.shape.n())));
        }
        if layer.activation_bits > PUBLISHED_BITS {
            return Err(unsupported(format!("activations of {} bits; registers hold 16", layer.activation_bits)));
        }
        let layout = lay_out(layer, &self.config.hardware())?;
        let planes = layer.weight_bits as u8;
        let pus_per_row = u64::from(self.config.pus_per_row);
        match self.detection(layer, &layout, trace)? {
            Detection::Off(reason) => {
                let mut result = self.counts(layer, &layout, &run_all_planes(&layout, planes, pus_per_row));
                result.findings.push(early_stop::off(reason));
                Ok(result)
            }
            Detection::On(trace) => {
                let ends = self.end_planes(layer, trace)?;
                let run = run_with_ends(&layout, &ends, planes, pus_per_row);
                let mut result = self.counts(layer, &layout, &run);
                result.findings.push(early_stop::at_work());
                result.findings.extend(ends.findings(layer, matches!(self.rule, StopRule::Predicted(_))));
                Ok(result)
            }
        }
    }

    /// The phases, and below them the slots of the first windows.
    fn timeline(
        &self,
        layer: &LayerWorkload,
        trace: Option<&LayerTrace>,
        result: &LayerResult,
    ) -> Result<Vec<TimelineSpan>, SimError> {
        let mut spans = TimelineSpan::phases(result);
        let layout = lay_out(layer, &self.config.hardware())?;
        let running = spans.iter().find(|span| span.track == stat::RUN_PU.name).map(|span| span.start_cycle);
        let (Some(start_cycle), Some(part)) = (running, layout.parts.first()) else { return Ok(spans) };
        let planes = layer.weight_bits as u8;
        let ends = match self.detection(layer, &layout, trace)? {
            Detection::Off(_) => None,
            Detection::On(trace) => Some(self.end_planes(layer, trace)?),
        };
        // Padding filters lie beyond the last channel and take all planes.
        let end = |filter: usize, window: usize| match &ends {
            Some(ends) => ends.planes().get(filter * part.windows as usize + window).copied().unwrap_or(planes),
            None => planes,
        };
        spans.extend(timeline::slot_spans(part, planes, start_cycle, end));
        Ok(spans)
    }
}
