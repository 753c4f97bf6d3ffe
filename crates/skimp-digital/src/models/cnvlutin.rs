//! Cnvlutin: zero activations are dropped; each of DaDianNao's 16 activation lanes runs ahead on its own bricks.
//!
//! Activations are stored in the zero-free neuron array format (ZFNAf): the non-zero values of a brick of 16 channels
//! are packed to its front, each with its offset; the brick keeps its place ([`encode`], [`decode`]). Bricks of a window,
//! channels fastest, then columns, then rows, are dealt to lanes: lane `j` gets bricks `j`, `j + 16`, .. A lane takes one
//! value per cycle and spends `empty_brick_cycles` on a brick without values; all lanes finish a window before any starts
//! the next ([`window`]). A window costs its slowest lane, once per 256 filters.
//!
//! Fidelity: window level, exact for the barrier. The first convolution and dense layers run as on DaDianNao, as
//! published. Storing offsets and encoding outputs is off the critical path and counts as traffic only.
//!
//! Assumptions. A9: an empty brick costs one cycle, or none by `empty_brick_cycles = 0`. A10: the barrier is per window.
//! Bricks that lie in the padding are empty bricks. Groups are cut into bricks of their own, narrow ones bundled as on
//! DaDianNao. Where a window's bricks are no multiple of 16 the design can be slower than DaDianNao, up to 16 cycles for
//! one brick: that loss is real under this lane assignment.
//!
//! Dynamic pruning takes codes of magnitude below a power of two for zero. It changes answers. With
//! `search_thresholds` the exponents are raised, first all alike by bisection, then layer by layer, most work first,
//! while the accuracy holds (the published search is not described in the data at hand).

use std::sync::Arc;

use rayon::prelude::*;
use serde::Deserialize;
use skimp_sim::{
    Accelerator, AcceleratorModel, Configured, EXECUTED_MACS, Facts, IDLE_SLOTS, LayerEffect, LayerKind, LayerResult,
    LayerTrace, LayerWorkload, LossEvent, Needs, Operation, SKIPPED_MACS, Searchable, SimError, Statistic, Tuner,
};
use toml::Table;

use super::bricks::{BRICK_READS, Bundle, COMPUTE, Node, NodeWork, VALUE_BITS, WEIGHT_READS, outputs, tap_position};
use super::config::{check_names, layer_list, layer_values, positive, typed};
use super::entry::Entry;
use super::kept::Kept;
use super::search::{Floor, by_work, check_loss, raise_all, raise_each};
use crate::costs;

const NAME: &str = "cnvlutin";
const PRESET: &str = include_str!("../../../../configs/accelerators/cnvlutin.toml");

/// The registered model.
///
/// # Source
/// J. Albericio, P. Judd, T. Hetherington, T. Aamodt, N. Enright Jerger, A. Moshovos, "Cnvlutin: Ineffectual-Neuron-Free
/// Deep Neural Network Computing", ISCA 2016.
/// Differs: the cost of an empty brick and of bricks in the padding is a parameter; energy is priced by a generic table.
pub static CNVLUTIN: Entry = Entry {
    name: NAME,
    summary: "DaDianNao with decoupled activation lanes that skip zero activations; window-level model",
    source: "J. Albericio et al., Cnvlutin: Ineffectual-Neuron-Free Deep Neural Network Computing, ISCA 2016",
    preset: PRESET,
    build,
};

fn build(resolved: Table) -> Result<Configured, SimError> {
    let config: Config = typed(&resolved)?;
    let search = config.search_thresholds;
    let machine = Machine::new(resolved, config)?;
    Ok(if search { Configured::NeedsSearch(Box::new(ThresholdSearch(machine))) } else { machine.into() })
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "schema")]
    _schema: u32,
    costs: String,
    clock_mhz: f64,
    dadiannao_area_mm2: f64,
    area_overhead: f64,
    tiles: u32,
    filters_per_tile: u32,
    inputs_per_brick: u32,
    value_bits: u32,
    offset_bits: u32,
    empty_brick_cycles: u32,
    threshold: u32,
    layer_thresholds: Vec<String>,
    search_thresholds: bool,
    max_accuracy_loss: f64,
}

#[derive(Clone, Debug)]
struct Machine {
    facts: Facts,
    node: Node,
    thresholds: Thresholds,
    config: Config,
}

/// Thresholds by layer.
#[derive(Clone, Debug)]
struct Thresholds {
    uniform: u32,
    by_layer: Vec<(String, u32)>,
}

impl Thresholds {
    fn of(&self, layer: &str) -> u32 {
        self.by_layer.iter().find(|(name, _)| name == layer).map_or(self.uniform, |&(_, threshold)| threshold)
    }
}

/// Whether a layer's input is encoded: convolutions, but for the one that reads the network's input.
fn is_encoded(layer: &LayerWorkload) -> bool {
    layer.kind == LayerKind::Conv && !layer.first
}

impl LayerEffect for Thresholds {
    fn applies(&self, layer: &LayerWorkload) -> bool {
        is_encoded(layer) && self.of(&layer.name) > 1
    }

    fn activations(&self, layer: &LayerWorkload, codes: &mut [i32]) {
        let threshold = self.of(&layer.name);
        codes.iter_mut().filter(|code| code.unsigned_abs() < threshold).for_each(|code| *code = 0);
    }
}

static OFFSETS_STORED: Statistic = Statistic::new(
    "offset_bits_stored",
    "bits",
    "Offsets stored beside the input's values, in bricks of their full size.",
);
static VALUES_STORED: Statistic = Statistic::new(
    "value_bits_stored",
    "bits",
    "Input values stored, in bricks of their full size; nothing is compressed.",
);
static EMPTY: Statistic = Statistic::new("empty_bricks", "bricks", "Bricks without a value that a lane went through.");
static BARRIER: Statistic = Statistic::new(
    "barrier_lane_cycles",
    "cycles",
    "Cycles of single lanes spent waiting for the slowest lane of a window.",
);

/// The values of a brick that are not zero, each with its offset, padded with (0, 0) to the brick's size.
#[must_use]
pub fn encode(brick: &[i32]) -> Vec<(i32, u8)> {
    let mut encoded: Vec<(i32, u8)> =
        brick.iter().zip(0u8..).filter(|&(&value, _)| value != 0).map(|(&value, offset)| (value, offset)).collect();
    encoded.resize(brick.len().min(1 << 8), (0, 0));
    encoded
}

/// The brick that [`encode`] packed.
#[must_use]
pub fn decode(encoded: &[(i32, u8)]) -> Vec<i32> {
    let mut brick = vec![0; encoded.len()];
    for &(value, offset) in encoded.iter().filter(|(value, _)| *value != 0) {
        if let Some(slot) = brick.get_mut(usize::from(offset)) {
            *slot = value;
        }
    }
    brick
}

/// What the lanes did; adds over windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneCounts {
    /// Cycles: the slowest lane of each window.
    pub cycles: u64,
    /// Values taken, over all lanes.
    pub values: u64,
    /// Bricks without a value.
    pub empty_bricks: u64,
    /// Cycles in which lanes waited for the slowest.
    pub waiting: u64,
}

impl LaneCounts {
    fn plus(self, other: LaneCounts) -> LaneCounts {
        LaneCounts {
            cycles: self.cycles + other.cycles,
            values: self.values + other.values,
            empty_bricks: self.empty_bricks + other.empty_bricks,
            waiting: self.waiting + other.waiting,
        }
    }
}

/// One window, one group of filters: `bricks` are the numbers of non-zero values of its bricks in their order. Uses
/// `lanes` for the work of each lane.
pub fn window(bricks: impl Iterator<Item = u8>, empty_brick_cycles: u64, lanes: &mut [u64]) -> LaneCounts {
    lanes.fill(0);
    let mut counts = LaneCounts::default();
    let mut lane = 0;
    for values in bricks {
        let values = u64::from(values);
        counts.values += values;
        counts.empty_bricks += u64::from(values == 0);
        if let Some(work) = lanes.get_mut(lane) {
            *work += if values == 0 { empty_brick_cycles } else { values };
        }
        lane += 1;
        if lane >= lanes.len() {
            lane = 0;
        }
    }
    counts.cycles = lanes.iter().copied().max().unwrap_or(0);
    counts.waiting = lanes.iter().map(|work| counts.cycles - work).sum();
    counts
}

/// Key of what lanes did in a trace.
const LANES: &str = "cnvlutin_lanes";

/// What it depends on beside the values: channels of the bundle, inputs of a brick, the threshold, cycles of an empty brick.
type LaneKey = (std::ops::Range<usize>, usize, u32, u32);

impl Machine {
    fn new(resolved: Table, config: Config) -> Result<Machine, SimError> {
        let invalid = |key: &str, reason: String| Err(SimError::SettingValue { key: key.into(), reason });
        let node = Node::new(config.tiles, config.filters_per_tile, config.inputs_per_brick)?;
        positive("clock_mhz", config.clock_mhz)?;
        positive("dadiannao_area_mm2", config.dadiannao_area_mm2)?;
        positive("area_overhead", config.area_overhead)?;
        check_loss("max_accuracy_loss", config.max_accuracy_loss)?;
        if node.brick > 255 {
            return invalid("inputs_per_brick", format!("expected at most 255, found {}", node.brick));
        }
        if !(1..=32).contains(&config.value_bits) {
            return invalid("value_bits", format!("expected 1 to 32, found {}", config.value_bits));
        }
        if config.offset_bits > 8 || 1 << config.offset_bits < node.brick {
            return invalid(
                "offset_bits",
                format!("expected enough for {} offsets and at most 8, found {}", node.brick, config.offset_bits),
            );
        }
        if config.empty_brick_cycles > 1 {
            return invalid("empty_brick_cycles", format!("expected 0 or 1, found {}", config.empty_brick_cycles));
        }
        let power = |key: &str, value: u32| match value.is_power_of_two() {
            true => Ok(value),
            false => {
                let reason = format!("expected a power of two (1 drops zeros only), found {value}");
                Err(SimError::SettingValue { key: key.into(), reason })
            }
        };
        let by_layer = layer_values("layer_thresholds", &config.layer_thresholds)?
            .into_iter()
            .map(|(layer, value)| Ok((layer, power("layer_thresholds", value)?)))
            .collect::<Result<_, SimError>>()?;
        let thresholds = Thresholds { uniform: power("threshold", config.threshold)?, by_layer };
        let costs = costs::named_or_written(&config.costs)?;
        let waits = "lanes wait for the slowest lane of a window";
        let waits = LossEvent { event: BARRIER.name, part_of: Some(IDLE_SLOTS.name), ..LossEvent::idle(waits) };
        let facts = Facts {
            area_mm2: config.dadiannao_area_mm2 * (1.0 + config.area_overhead),
            peak_gmacs: node.multipliers() as f64 * config.clock_mhz * 1e-3,
            energy_scope: "operations priced by a generic table: activation and weight memories of 1 MiB read in whole \
                           lines, 16-bit multiply-accumulates, accumulators; off-chip memory: each input, weight and \
                           output of a layer once, with offsets",
            loss_events: vec![
                LossEvent { slots: node.filters as f64, ..waits },
                LossEvent::idle("empty bricks, and extents that do not fill lanes and filters"),
            ],
            needs: Needs::Values,
            exploits: vec!["zero activations"],
            ..Facts::new(NAME, resolved, config.clock_mhz, costs)
        };
        Ok(Machine { facts, node, thresholds, config })
    }

    /// The work of one bundle: non-zero values of every brick, then every window.
    fn bundle(&self, layer: &LayerWorkload, codes: &[i32], bundle: &Bundle, threshold: u32) -> LaneCounts {
        let plane = layer.shape.h() * layer.shape.w();
        let depth = bundle.bricks;
        let mut counts = vec![0u8; depth * plane];
        counts.par_chunks_mut(plane).enumerate().for_each(|(brick, counts)| {
            let first = bundle.channels.start + brick * self.node.brick;
            let last = (first + self.node.brick).min(bundle.channels.end);
            for channel in codes[first * plane..last * plane].chunks_exact(plane) {
                for (count, code) in counts.iter_mut().zip(channel) {
                    *count += u8::from(code.unsigned_abs() >= threshold);
                }
            }
        });
        // Bricks of one position side by side, so that a window reads runs.
        let mut by_position = vec![0u8; depth * plane];
        for (brick, counts) in counts.chunks_exact(plane).enumerate() {
            for (position, &count) in counts.iter().enumerate() {
                by_position[position * depth + brick] = count;
            }
        }
        let padding = vec![0u8; depth];
        let empty = u64::from(self.config.empty_brick_cycles);
        (0..layer.shape.p())
            .into_par_iter()
            .map(|row| {
                let mut lanes = vec![0u64; self.node.brick];
                let mut total = LaneCounts::default();
                for column in 0..layer.shape.q() {
                    let bricks = (0..layer.shape.r() * layer.shape.s()).flat_map(|tap| {
                        let y = tap_position(layer, 0, row, tap / layer.shape.s());
                        let x = tap_position(layer, 1, column, tap % layer.shape.s());
                        let run = match (y, x) {
                            (Some(y), Some(x)) => {
                                let position = (y * layer.shape.w() + x) * depth;
                                &by_position[position..position + depth]
                            }
                            _ => padding.as_slice(),
                        };
                        run.iter().copied()
                    });
                    total = total.plus(window(bricks, empty, &mut lanes));
                }
                total
            })
            .reduce(LaneCounts::default, LaneCounts::plus)
    }

    fn dense(&self, layer: &LayerWorkload) -> LayerResult {
        let mut result = LayerResult::new(layer);
        let cycles = layer.shape.n() as u64 * self.node.dense_cycles(layer);
        let slots = cycles * self.node.multipliers();
        result.cycles.add(&COMPUTE, cycles);
        for (statistic, count) in [
            (&BRICK_READS, cycles),
            (&WEIGHT_READS, slots),
            (&EXECUTED_MACS, result.macs),
            (&SKIPPED_MACS, 0),
            (&IDLE_SLOTS, slots - result.macs),
        ] {
            result.events.add(statistic, count);
        }
        let mut work = NodeWork::dense(&self.node, layer, cycles, result.macs);
        // Outputs are stored with their offsets.
        let offset_bits = outputs(layer) * u64::from(self.config.offset_bits);
        work.activations.0 += offset_bits.div_ceil(self.node.brick_bits());
        work.off_chip_bits += offset_bits;
        result.operations = work.operations();
        result
    }

    fn sparse(&self, layer: &LayerWorkload, trace: &LayerTrace, codes: Arc<[i32]>) -> Result<LayerResult, SimError> {
        let kept = trace.derived(LANES, || Ok(Kept::<LaneKey, LaneCounts>::default()))?;
        let mut padded = None;
        let mut result = LayerResult::new(layer);
        let threshold = self.thresholds.of(&layer.name);
        let taps = (layer.shape.p() * layer.shape.q() * layer.shape.r() * layer.shape.s()) as u64;
        let filters = layer.shape.filters_per_group() as u64;
        let (mut lanes, mut bricks, mut entries, mut executed) = (LaneCounts::default(), 0, 0, 0);
        for bundle in self.node.bundles(layer) {
            let key = (bundle.channels.clone(), self.node.brick, threshold, self.config.empty_brick_cycles);
            let counts = kept.get(key, || {
                let (padded, codes) = padded.get_or_insert_with(|| layer.with_padding(codes.clone()));
                self.bundle(padded, codes, &bundle, threshold)
            });
            bricks += taps * bundle.bricks as u64 * bundle.passes;
            entries += counts.values * bundle.passes;
            executed += counts.values * filters;
            lanes.cycles += counts.cycles * bundle.passes;
            lanes.empty_bricks += counts.empty_bricks * bundle.passes;
            lanes.waiting += counts.waiting * bundle.passes;
        }
        let slots = lanes.cycles * self.node.multipliers();
        let stored = (self.node.bundles(layer).map(|bundle| bundle.bricks * self.node.brick).sum::<usize>()
            * layer.shape.h()
            * layer.shape.w()) as u64;
        result.cycles.add(&COMPUTE, lanes.cycles);
        for (statistic, count) in [
            (&BRICK_READS, bricks),
            (&WEIGHT_READS, entries * self.node.filters),
            (&EXECUTED_MACS, executed),
            (&SKIPPED_MACS, result.macs - executed),
            (&IDLE_SLOTS, slots - executed),
            (&EMPTY, lanes.empty_bricks),
            (&BARRIER, lanes.waiting),
            (&VALUES_STORED, stored * u64::from(self.config.value_bits)),
            (&OFFSETS_STORED, stored * u64::from(self.config.offset_bits)),
        ] {
            result.events.add(statistic, count);
        }
        let stored_bits = u64::from(self.config.value_bits + self.config.offset_bits);
        let offset_bits = u64::from(self.config.offset_bits);
        result.operations = NodeWork {
            activations: (bricks + self.node.bricks_of(outputs(layer)), self.node.brick as u64 * stored_bits),
            // Lanes read their own part of a tile's weights; a bit costs what it does on DaDianNao.
            weights: (self.node.bricks_of(entries * self.node.tiles()), self.node.weight_line_bits()),
            arithmetic: (Operation::MultiplyAdd { bits: VALUE_BITS as u32 }, executed),
            accumulations: lanes.cycles * self.node.filters,
            off_chip_bits: layer.compulsory_bits()
                + layer.shape.n() as u64
                    * (layer.shape.input_count() + layer.shape.output_count()) as u64
                    * offset_bits,
        }
        .operations();
        result.mapping.push(("threshold", u64::from(threshold)));
        let window_bricks =
            self.node.bundles(layer).next().map_or(0, |bundle| bundle.bricks * layer.shape.r() * layer.shape.s());
        result.mapping.push(("bricks_per_window", window_bricks as u64));
        if !window_bricks.is_multiple_of(self.node.brick) {
            result.note(format!("{window_bricks} bricks a window on {} lanes: some lanes idle", self.node.brick));
        }
        if threshold > 1 {
            result.note(format!("activation codes of magnitude below {threshold} count as zero: answers may change"));
        }
        Ok(result)
    }
}

impl Accelerator for Machine {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn check_network(&self, layers: &[LayerWorkload]) -> Result<(), SimError> {
        let names = self.thresholds.by_layer.iter().map(|(layer, _)| layer.as_str());
        check_names("layer_thresholds", names, layers)
    }

    fn simulate_layer(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        let unsupported = |what: String| SimError::Unsupported { layer: layer.name.clone(), accelerator: NAME, what };
        layer.check()?;
        if layer.activation_bits > self.config.value_bits {
            let (bits, most) = (layer.activation_bits, self.config.value_bits);
            return Err(unsupported(format!("activations of {bits} bits; ZFNAf stores {most}")));
        }
        if !is_encoded(layer) {
            let mut result = self.dense(layer);
            result.note(match layer.kind {
                LayerKind::Dense => "dense layers run as on DaDianNao",
                LayerKind::Conv => "the first layer's input is not encoded: runs as on DaDianNao",
            });
            return Ok(result);
        }
        if layer.shape.n() != 1 {
            return Err(unsupported(format!("{} images at once; run them one after another", layer.shape.n())));
        }
        let missing = || SimError::TraceRequired { layer: layer.name.clone(), accelerator: NAME, trace: "activation" };
        let trace = trace.ok_or_else(missing)?;
        let codes = trace.activation()?;
        if codes.len() != layer.shape.input_count() {
            let reason = format!("the trace holds {} activations, expected {}", codes.len(), layer.shape.input_count());
            return Err(SimError::InvalidLayer { layer: layer.name.clone(), reason });
        }
        self.sparse(layer, trace, codes)
    }

    fn effect(&self) -> Option<&dyn LayerEffect> {
        let changes = self.thresholds.uniform > 1 || self.thresholds.by_layer.iter().any(|&(_, value)| value > 1);
        changes.then_some(&self.thresholds)
    }
}

/// Cnvlutin before its thresholds are known.
#[derive(Debug)]
struct ThresholdSearch(Machine);

impl Searchable for ThresholdSearch {
    fn facts(&self) -> &Facts {
        &self.0.facts
    }

    fn searches(&self) -> &'static str {
        "thresholds"
    }

    fn search(&self, tuner: &dyn Tuner) -> Result<Box<dyn Accelerator>, SimError> {
        let encoded: Vec<usize> = (0..tuner.layers().len()).filter(|&idx| is_encoded(&tuner.layers()[idx])).collect();
        let layers: Vec<&LayerWorkload> = encoded.iter().map(|&idx| &tuner.layers()[idx]).collect();
        let limits = encoded
            .iter()
            .map(|&idx| {
                // At the limit the largest codes that were seen are left.
                let mut largest = 1;
                for trace in tuner.traces(idx) {
                    largest = trace.activation()?.iter().map(|code| code.unsigned_abs()).fold(largest, u32::max);
                }
                Ok(largest.ilog2())
            })
            .collect::<Result<Vec<u32>, SimError>>()?;
        let thresholds = |levels: &[u32]| Thresholds {
            uniform: 1,
            by_layer: layers.iter().zip(levels).map(|(layer, &level)| (layer.name.clone(), 1 << level)).collect(),
        };
        let floor = Floor::new(tuner, self.0.config.max_accuracy_loss)?;
        let holds = |levels: &[u32]| floor.holds(tuner, &thresholds(levels));
        let mut levels = vec![0; layers.len()];
        raise_all(&mut levels, &limits, holds)?;
        raise_each(&mut levels, &limits, &by_work(&layers), holds)?;
        let mut resolved = self.0.facts.config.clone();
        resolved.insert("search_thresholds".into(), false.into());
        resolved.insert("threshold".into(), 1.into());
        resolved.insert("layer_thresholds".into(), layer_list(&thresholds(&levels).by_layer));
        CNVLUTIN.accelerator(&resolved)
    }
}
