//! SCNN: compressed weights times compressed activations, all with all.
//!
//! Fidelity: quick rule. The input map is cut into equal tiles, one per processing element (8 x 8). For each input
//! channel an element multiplies every non-zero activation of its tile by every non-zero weight of the channel in the
//! current group of output channels, 4 activations by 4 weights per cycle: `ceil(nnz(a) / 4) · ceil(nnz(w) / 4)`
//! cycles, 0 if either is 0. Elements meet at the end of each group of output channels. Products that fall outside the
//! output map take their slots like the others.
//!
//! Beyond the published rule: with stride s only activations and weights of the same remainder modulo s meet, each
//! remainder by itself; a filter meets the channels of its group only. In layers with a single window (dense layers) one
//! tile would hold everything, so groups of output channels are dealt to the elements in turn instead. Operand supply
//! costs no cycles.
//!
//! # Effects as switches
//! - `halo = "output"`: tiles are cut from the input, partial sums beyond a tile's own outputs go to the neighbors at the
//!   end of a group, beside the next one. `"input"`: tiles are cut from the output and hold the inputs around it, too;
//!   what falls outside an element's own outputs is multiplied and dropped.
//! - `bank_conflicts = "none"`: any number of products reach a bank of accumulators in a cycle. `"queued"`: one does, and
//!   queues never fill: a channel takes as long as its fullest bank. `"immediate"`: one does, without queues: each vector of
//!   products takes as long as its fullest bank. The design has queues of a depth that no source at hand gives, so it lies
//!   between these two. An accumulator's bank is its address, filter by filter and row by row, modulo `accumulator_banks`.
//!
//! Speed over a dense array of 1024 multipliers, on a layer of 28 x 28 with 128 channels and filters, a third of the weights
//! and 45 % of the activations not 0, at random; the published networks' densities are not at hand:
//!
//! | | speed |
//! |---|---|
//! | published, pruned networks | 2.7 |
//! | default | 3.80 |
//! | `bank_conflicts = "queued"` | 3.80 |
//! | `bank_conflicts = "immediate"` | 2.03 |
//! | `halo = "input"` | 1.90 |
//! | `halo = "input"`, `bank_conflicts = "immediate"` | 0.87 |

mod banks;

use std::ops::Range;

use rayon::prelude::*;
use serde::Deserialize;
use skimp_sim::{
    Configured, EXECUTED_MACS, Facts, IDLE_SLOTS, LayerResult, LayerTrace, LayerWorkload, Needs, OperationCount,
    SKIPPED_MACS, SimError, Statistic,
};
use toml::Table;

use self::banks::{Accumulators, Conflicts, Operand};
use super::config::{extents, read};
use super::entry::Entry;
use super::quick::{self, QuickMachine, QuickRule};
use super::windows::{paired_sum, tap_sums};

const NAME: &str = "scnn";
const PRESET: &str = include_str!("../../../../../configs/accelerators/scnn.toml");

/// The registered model.
///
/// # Source
/// A. Parashar et al., "SCNN: An Accelerator for Compressed-sparse Convolutional Neural Networks", ISCA 2017, arXiv
/// 1708.04485: dataflow, elements, multipliers.
/// Differs: no loading of weights; the output channels of a group and the addresses of accumulators are assumed; conflicts
/// between banks only on demand.
pub(super) static SCNN: Entry = Entry {
    name: NAME,
    summary: "multiplies non-zero weights by non-zero activations, all with all, on 8 x 8 map tiles (quick rule)",
    source: "A. Parashar et al., SCNN: An Accelerator for Compressed-sparse Convolutional Neural Networks, ISCA 2017",
    preset: PRESET,
    build,
};

fn build(resolved: Table) -> Result<Configured, SimError> {
    let (facts, settings) = quick::settings(NAME, resolved)?;
    let config: Config = read(settings)?;
    extents(&[
        ("pe_rows", config.pe_rows),
        ("pe_columns", config.pe_columns),
        ("weights_per_cycle", config.weights_per_cycle),
        ("activations_per_cycle", config.activations_per_cycle),
        ("output_channels_per_group", config.output_channels_per_group),
        ("accumulator_banks", config.accumulator_banks),
    ])?;
    let rule = Rule { config };
    let dense_macs_per_cycle = rule.multipliers() as f64;
    let facts = Facts {
        energy_scope: "operations priced by a generic table: 16-bit multiply-accumulates, buffers of 8 KiB, an \
                       accumulator for each product; off-chip memory: each input, weight and output of a layer once, \
                       uncompressed; the crossbar is not included",
        needs: Needs::Values,
        exploits: vec!["zero activations", "zero weights"],
        ..facts
    };
    Ok(QuickMachine::new(facts, dense_macs_per_cycle, rule).into())
}

/// Capacity as which the buffers of an element are priced (assumed).
const BUFFER_BYTES: u64 = 8 << 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    pe_rows: u32,
    pe_columns: u32,
    weights_per_cycle: u32,
    activations_per_cycle: u32,
    output_channels_per_group: u32,
    halo: Halo,
    bank_conflicts: Conflicts,
    accumulator_banks: u32,
}

/// What crosses the borders of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Halo {
    /// Partial sums.
    Output,
    /// Copies of activations.
    Input,
}

static OUTSIDE: Statistic =
    Statistic::new("products_outside", "macs", "Products that took a slot and fell outside the output map.");
static BUSY: Statistic =
    Statistic::new("pe_cycles", "cycles", "Cycles in which a processing element multiplied, summed over the elements.");

static CONFLICTS: Statistic =
    Statistic::new("bank_conflict_cycles", "cycles", "Part of pe_cycles: waits for banks of accumulators.");

#[derive(Debug)]
struct Rule {
    config: Config,
}

/// Cycles, cycles of busy elements and those of them that multiply, and products, outside ones included.
#[derive(Clone, Copy, Default)]
struct Run {
    cycles: u64,
    busy: u64,
    vectors: u64,
    products: u64,
}

impl Run {
    fn plus(self, other: Run) -> Run {
        Run {
            cycles: self.cycles + other.cycles,
            busy: self.busy + other.busy,
            vectors: self.vectors + other.vectors,
            products: self.products + other.products,
        }
    }
}

/// Non-zero values of one operand by list; lists are `[channel, phase, element]` for activations and `[channel, phase]`
/// for weights. Places are kept only where conflicts are counted.
struct Lists {
    counts: Vec<u32>,
    places: Vec<Vec<Operand>>,
}

impl Lists {
    fn new(lists: usize, with_places: bool) -> Self {
        Lists { counts: vec![0; lists], places: vec![Vec::new(); if with_places { lists } else { 0 }] }
    }

    fn push(&mut self, list: usize, operand: Operand) {
        self.counts[list] += 1;
        if let Some(places) = self.places.get_mut(list) {
            places.push(operand);
        }
    }
}

impl Rule {
    fn elements(&self) -> usize {
        self.config.pe_rows as usize * self.config.pe_columns as usize
    }

    fn multipliers(&self) -> u64 {
        self.elements() as u64 * self.per_element()
    }

    fn per_element(&self) -> u64 {
        u64::from(self.config.weights_per_cycle) * u64::from(self.config.activations_per_cycle)
    }

    fn with_places(&self) -> bool {
        self.config.bank_conflicts != Conflicts::None
    }

    /// The elements along an axis that hold each input position.
    fn holders(&self, layer: &LayerWorkload, axis: usize) -> Vec<Range<usize>> {
        let (extent, kernel, outputs, elements) = match axis {
            0 => (layer.shape.h(), layer.shape.r(), layer.shape.p(), self.config.pe_rows as usize),
            _ => (layer.shape.w(), layer.shape.s(), layer.shape.q(), self.config.pe_columns as usize),
        };
        if layer.shape.p() * layer.shape.q() == 1 {
            return vec![0..1; extent];
        }
        if self.config.halo == Halo::Output {
            let share = extent.div_ceil(elements);
            return (0..extent).map(|at| at / share..at / share + 1).collect();
        }
        let (share, stride) = (outputs.div_ceil(elements), layer.shape.strides()[axis]);
        let reach = (kernel - 1) * layer.shape.dilations()[axis];
        let of_position = |at: usize| {
            let position = at + layer.shape.pads_begin()[axis];
            let first = position.saturating_sub(reach).div_ceil(stride);
            let last = (position / stride).min(outputs - 1);
            if first > last { 0..0 } else { first / share..last / share + 1 }
        };
        (0..extent).map(of_position).collect()
    }

    /// Rows and columns of outputs that an element has accumulators for, halo included.
    fn held_outputs(&self, layer: &LayerWorkload) -> [usize; 2] {
        let elements = [self.config.pe_rows as usize, self.config.pe_columns as usize];
        let (inputs, kernel, outputs) = (
            [layer.shape.h(), layer.shape.w()],
            [layer.shape.r(), layer.shape.s()],
            [layer.shape.p(), layer.shape.q()],
        );
        [0, 1].map(|axis| match self.config.halo {
            _ if outputs == [1, 1] => 1,
            Halo::Input => outputs[axis].div_ceil(elements[axis]),
            Halo::Output => {
                let reach = (kernel[axis] - 1) * layer.shape.dilations()[axis];
                (inputs[axis].div_ceil(elements[axis]) - 1 + reach) / layer.shape.strides()[axis] + 1
            }
        })
    }

    /// Non-zero activations by channel, remainder and element.
    fn tiles(&self, layer: &LayerWorkload, activation: &[i32], elements: usize) -> Vec<Lists> {
        let [sy, sx] = layer.shape.strides();
        let (rows, columns) = (self.holders(layer, 0), self.holders(layer, 1));
        let of_channel = |plane: &[i32]| {
            let mut lists = Lists::new(sy * sx * elements, self.with_places());
            for (y, row) in plane.chunks(layer.shape.w()).enumerate() {
                for (x, _) in row.iter().enumerate().filter(|&(_, &code)| code != 0) {
                    let [y_padded, x_padded] = [y + layer.shape.pads_begin()[0], x + layer.shape.pads_begin()[1]];
                    let phase = y_padded % sy * sx + x_padded % sx;
                    let operand = Operand { filter: 0, y: y_padded as u32, x: x_padded as u32 };
                    for element_row in rows[y].clone() {
                        for element_column in columns[x].clone() {
                            let element = element_row * self.config.pe_columns as usize + element_column;
                            lists.push(phase * elements + element, operand);
                        }
                    }
                }
            }
            lists
        };
        activation.par_chunks(layer.shape.h() * layer.shape.w()).map(of_channel).collect()
    }

    /// Non-zero weights of some filters of one group by channel (of the group) and remainder.
    fn weights(&self, layer: &LayerWorkload, filters: &[i32]) -> Lists {
        let [sy, sx] = layer.shape.strides();
        let taps = layer.shape.r() * layer.shape.s();
        let mut lists = Lists::new(layer.shape.channels_per_group() * sy * sx, self.with_places());
        for (filter, codes) in filters.chunks(layer.shape.inputs_per_output()).enumerate() {
            for (channel, codes) in codes.chunks(taps).enumerate() {
                for (tap, _) in codes.iter().enumerate().filter(|&(_, &code)| code != 0) {
                    let [y, x] = [
                        tap / layer.shape.s() * layer.shape.dilations()[0],
                        tap % layer.shape.s() * layer.shape.dilations()[1],
                    ];
                    let operand = Operand { filter: filter as u32, y: y as u32, x: x as u32 };
                    lists.push((channel * sy + y % sy) * sx + x % sx, operand);
                }
            }
        }
        lists
    }

    /// One group of output channels on all elements.
    fn output_group(&self, layer: &LayerWorkload, tiles: &[Lists], filters: &[i32], elements: usize) -> Run {
        let weights = self.weights(layer, filters);
        let accumulators = Accumulators::new(layer, self.held_outputs(layer), self.config.accumulator_banks);
        let [across_weights, across_activations] =
            [self.config.weights_per_cycle as usize, self.config.activations_per_cycle as usize];
        let phases = layer.shape.strides()[0] * layer.shape.strides()[1];
        let mut cycles = vec![0u64; elements];
        let mut run = Run::default();
        for (list, &count) in weights.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (tile, phase) = (&tiles[list / phases], list % phases);
            let vectors = u64::from(count).div_ceil(across_weights as u64);
            for (element, cycles) in cycles.iter_mut().enumerate() {
                let held = phase * elements + element;
                let activations = u64::from(tile.counts[held]);
                let ideal = activations.div_ceil(across_activations as u64) * vectors;
                run.vectors += ideal;
                run.products += activations * u64::from(count);
                *cycles += match self.config.bank_conflicts {
                    Conflicts::None => ideal,
                    Conflicts::Queued => accumulators.fullest(&weights.places[list], &tile.places[held]).max(ideal),
                    Conflicts::Immediate => {
                        let weights = weights.places[list].chunks(across_weights);
                        let vectors = weights.flat_map(|weights| {
                            tile.places[held].chunks(across_activations).map(move |held| (weights, held))
                        });
                        vectors.map(|(weights, held)| accumulators.fullest(weights, held).max(1)).sum()
                    }
                };
            }
        }
        run.cycles = cycles.iter().copied().max().unwrap_or(0);
        run.busy = cycles.iter().sum();
        run
    }

    fn run_all(&self, layer: &LayerWorkload, activation: &[i32], weights: &[i32]) -> Run {
        let single_window = layer.shape.p() * layer.shape.q() == 1;
        let elements = if single_window { 1 } else { self.elements() };
        let tiles = self.tiles(layer, activation, elements);
        let group_weights = layer.shape.filters_per_group() * layer.shape.inputs_per_output();
        let per_output_group = self.config.output_channels_per_group as usize * layer.shape.inputs_per_output();
        let groups: Vec<(&[Lists], &[i32])> = tiles
            .chunks(layer.shape.channels_per_group())
            .zip(weights.chunks(group_weights))
            .flat_map(|(tiles, filters)| filters.chunks(per_output_group).map(move |filters| (tiles, filters)))
            .collect();
        let of_output_group = |(tiles, filters): (&[Lists], &[i32])| self.output_group(layer, tiles, filters, elements);
        if !single_window {
            return groups.into_par_iter().map(of_output_group).reduce(Run::default, Run::plus);
        }
        let runs: Vec<Run> = groups.into_par_iter().map(of_output_group).collect();
        let mut dealt = vec![0u64; self.elements()];
        for (idx, run) in runs.iter().enumerate() {
            dealt[idx % self.elements()] += run.cycles;
        }
        let total = runs.into_iter().fold(Run::default(), Run::plus);
        Run { cycles: dealt.into_iter().max().unwrap_or(0), ..total }
    }
}

impl QuickRule for Rule {
    fn idle(&self) -> (u64, &'static str) {
        (
            self.multipliers(),
            "multipliers without a pair of values: small groups of them, and elements that wait for the slowest",
        )
    }

    fn run(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        let weights = quick::weights(layer, NAME)?;
        let (layer, activation) = quick::operands(layer, trace, NAME)?;
        let layer = &*layer;
        let run = self.run_all(layer, &activation, weights);
        let non_zero = tap_sums(layer, &activation, |code| u8::from(code != 0));
        let executed = paired_sum(layer, &non_zero, weights, |code| u8::from(code != 0));
        // One vector of each operand per cycle of an element.
        let activation_words = quick::words64(
            run.vectors.saturating_mul(u64::from(self.config.activations_per_cycle)),
            layer.activation_bits,
        );
        let weight_words =
            quick::words64(run.vectors.saturating_mul(u64::from(self.config.weights_per_cycle)), layer.weight_bits);

        let mut result = LayerResult::new(layer);
        // A layer of zeros still starts.
        let cycles = run.cycles.max(1);
        result.cycles.add(&quick::COMPUTE, cycles);
        result.events.add(&EXECUTED_MACS, executed);
        result.events.add(&SKIPPED_MACS, result.macs - executed);
        result.events.add(&OUTSIDE, run.products - executed);
        result.events.add(&IDLE_SLOTS, cycles.saturating_mul(self.multipliers()) - run.products);
        result.events.add(&BUSY, run.busy);
        result.events.add(&CONFLICTS, run.busy - run.vectors);
        result.events.add(&quick::ACTIVATION_READS, activation_words);
        result.events.add(&quick::WEIGHT_READS, weight_words);
        let activations = self.config.activations_per_cycle.saturating_mul(layer.activation_bits);
        let filters = self.config.weights_per_cycle.saturating_mul(layer.weight_bits);
        result.operations = vec![
            OperationCount::multiply_add("multipliers", 16, run.products),
            OperationCount::buffer("activation_buffers", BUFFER_BYTES, activations, run.busy),
            OperationCount::buffer("weight_buffers", BUFFER_BYTES, filters, run.busy),
            OperationCount::accumulators(run.products),
            OperationCount::off_chip(layer.compulsory_bits()),
        ];
        if layer.shape.p() * layer.shape.q() == 1 {
            result.note("a single window: groups of output channels are dealt to the elements in turn");
        }
        Ok(result)
    }
}
