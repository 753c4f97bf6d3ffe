//! ZeNA: skips a multiplication if the weight or the activation is zero.
//!
//! Every tensor has a vector of one bit per element that says whether it is zero. A processing element ANDs the vectors
//! of its kernel and its activations and walks the bits that are set, one multiply-accumulate per cycle:
//!
//! `work(kernel, window) = max(1, popcount(nzW[kernel] & nzA[window]))`
//!
//! The elements of a group hold different kernels and share the activations of a window; the group goes on when its
//! slowest element is done. Groups work on different windows, a run of neighbors each, and meet at the end of a set of
//! kernels. With zero-aware allocation the sets are cut from the kernels in the order of their non-zero weights, so that
//! the kernels of a group take about the same time.
//!
//! Fidelity: window level, exact for both barriers; buffers never stall.
//!
//! Assumptions. A19: size and grouping of the array, its clock and the least cycles of a window are parameters. An
//! activation tile is one window. A layer with fewer windows than groups (a dense layer has one) gives the groups that
//! are left the next sets of kernels, which then meet at the end of a round. Groups of a convolution run one after
//! another, so a depthwise layer keeps one element per group busy.

use std::borrow::Cow;

use rayon::prelude::*;
use serde::Deserialize;
use skimp_sim::{
    Accelerator, Configured, EXECUTED_MACS, Facts, IDLE_SLOTS, LayerResult, LayerTrace, LayerWorkload, LossEvent,
    Needs, OperationCount, SKIPPED_MACS, SimError, Statistic,
};
use toml::Table;

use super::bricks::{outputs, tap_position};
use super::config::{positive, typed};
use super::entry::Entry;
use crate::costs;

const NAME: &str = "zena";
const PRESET: &str = include_str!("../../../../configs/accelerators/zena.toml");

/// Widest operand of a multiplier.
const VALUE_BITS: u32 = 16;

/// The registered model.
///
/// # Source
/// D. Kim, J. Ahn, S. Yoo, "ZeNA: Zero-Aware Neural Network Accelerator", IEEE Design & Test 35(1), 2018, and "A novel
/// zero weight/activation-aware hardware architecture of convolutional neural network", DATE 2017.
/// Differs: array size, grouping and clock are assumed; energy is priced by a generic table; buffers are ideal.
pub static ZENA: Entry = Entry {
    name: NAME,
    summary: "skips zero weights and zero activations by their bit vectors; window-level model of an assumed array",
    source: "D. Kim, J. Ahn, S. Yoo, ZeNA: Zero-Aware Neural Network Accelerator, IEEE Design & Test 35(1), 2018",
    preset: PRESET,
    build,
};

fn build(resolved: Table) -> Result<Configured, SimError> {
    let config: Config = typed(&resolved)?;
    positive("clock_mhz", config.clock_mhz)?;
    positive("pes_per_group", f64::from(config.pes_per_group))?;
    positive("pes", f64::from(config.pes))?;
    if !config.pes.is_multiple_of(config.pes_per_group) || config.pes > 1 << 20 {
        let reason = format!("expected a multiple of pes_per_group up to 1048576, found {}", config.pes);
        return Err(SimError::SettingValue { key: "pes".into(), reason });
    }
    if config.least_cycles > 1 << 10 {
        let reason = format!("expected at most 1024, found {}", config.least_cycles);
        return Err(SimError::SettingValue { key: "least_cycles".into(), reason });
    }
    let costs = costs::named_or_written(&config.costs)?;
    let waits = "elements wait for the slowest one of their group";
    let waits = LossEvent { event: GROUP_WAIT.name, part_of: Some(IDLE_SLOTS.name), ..LossEvent::idle(waits) };
    let mut exploits = Vec::new();
    exploits.extend(config.skip.activations().then_some("zero activations"));
    exploits.extend(config.skip.weights().then_some("zero weights"));
    let facts = Facts {
        peak_gmacs: f64::from(config.pes) * config.clock_mhz * 1e-3,
        energy_scope: "operations priced by a generic table: activations from 32 KiB buffers, weights and zero vectors of \
                       kernels from 8 KiB, 16-bit multiply-accumulates, accumulators; off-chip memory: each input, weight \
                       and output of a layer once, with the vectors",
        loss_events: vec![waits, LossEvent::idle("kernels or windows that do not fill the groups")],
        needs: match (config.skip.activations(), config.skip.weights()) {
            (true, _) => Needs::Values,
            (false, true) => Needs::Weights,
            (false, false) => Needs::Shape,
        },
        exploits,
        ..Facts::new(NAME, resolved, config.clock_mhz, costs)
    };
    Ok(Array { facts, config }.into())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Skip {
    Both,
    Activations,
    Weights,
    None,
}

impl Skip {
    fn activations(self) -> bool {
        matches!(self, Skip::Both | Skip::Activations)
    }

    fn weights(self) -> bool {
        matches!(self, Skip::Both | Skip::Weights)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Allocation {
    ZeroAware,
    Naive,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "schema")]
    _schema: u32,
    costs: String,
    clock_mhz: f64,
    pes: u32,
    pes_per_group: u32,
    skip: Skip,
    kernel_allocation: Allocation,
    least_cycles: u32,
}

#[derive(Debug)]
struct Array {
    facts: Facts,
    config: Config,
}

static COMPUTE: Statistic =
    Statistic::new("compute", "cycles", "Cycles until the slowest group of each set of kernels is done.").working();
static GROUP_WAIT: Statistic = Statistic::new(
    "group_wait",
    "cycles",
    "Part of idle_slots: waits for the slowest element of a group, at its window.",
);
static ACTIVATION_VALUES: Statistic = Statistic::new(
    "activation_values",
    "values",
    "Activations brought to a group, once per window and set of kernels.",
);
static VECTOR_BITS: Statistic =
    Statistic::new("vector_bits", "bits", "Bits of zero vectors read for kernels and windows.");

/// Zero vectors: one bit per element, a whole number of words per kernel tap.
struct Vectors {
    words: Vec<u64>,
    words_per_tap: usize,
}

/// What the elements did; adds over windows.
#[derive(Clone, Debug, Default)]
struct Work {
    /// Cycles of each set of kernels.
    sets: Vec<u64>,
    executed: u64,
    group_wait: u64,
    activation_values: u64,
}

/// One group of a convolution.
struct Part<'a> {
    layer: &'a LayerWorkload,
    /// Zero vectors of activations, `[h · w, groups]`, and the group's place in them.
    activations: Option<&'a Vectors>,
    group: usize,
    /// Zero vectors of the group's kernels in the order of allocation.
    kernels: Vec<&'a [u64]>,
    /// Non-zero weights of the same kernels, or all.
    weights: Vec<u64>,
    words: usize,
}

impl Array {
    fn check(&self, layer: &LayerWorkload) -> Result<(), SimError> {
        let unsupported = |what: String| SimError::Unsupported { layer: layer.name.clone(), accelerator: NAME, what };
        layer.check()?;
        if layer.shape.n() != 1 {
            return Err(unsupported(format!("{} images at once; run them one after another", layer.shape.n())));
        }
        let bits = layer.activation_bits.max(layer.weight_bits);
        if bits > VALUE_BITS {
            return Err(unsupported(format!("operands of {bits} bits; multipliers take {VALUE_BITS}")));
        }
        Ok(())
    }

    /// Cycles of one group of a convolution, and the sums of its work.
    fn part(&self, part: &Part<'_>) -> (u64, Work) {
        let windows = part.layer.shape.p() * part.layer.shape.q();
        let per_group = self.config.pes_per_group as usize;
        let groups = (self.config.pes / self.config.pes_per_group) as usize;
        let spatial = groups.min(windows);
        let by_group: Vec<Work> = (0..spatial)
            .into_par_iter()
            .map(|group| {
                let run = group * windows / spatial..(group + 1) * windows / spatial;
                part.run(run, per_group, self.config.skip, u64::from(self.config.least_cycles))
            })
            .collect();
        let mut total = Work { sets: vec![0; part.weights.len().div_ceil(per_group)], ..Work::default() };
        for work in &by_group {
            total.executed += work.executed;
            total.group_wait += work.group_wait;
            total.activation_values += work.activation_values;
            for (slowest, cycles) in total.sets.iter_mut().zip(&work.sets) {
                *slowest = (*slowest).max(*cycles);
            }
        }
        let at_once = (groups / spatial).max(1);
        let cycles = total.sets.chunks(at_once).map(|sets| sets.iter().copied().max().unwrap_or(0)).sum();
        (cycles, total)
    }
}

impl Part<'_> {
    /// A run of windows through all sets of kernels.
    fn run(&self, windows: std::ops::Range<usize>, per_group: usize, skip: Skip, least: u64) -> Work {
        let inputs = self.layer.shape.inputs_per_output() as u64;
        let sets = self.weights.len().div_ceil(per_group);
        let mut work = Work { sets: vec![0; sets], ..Work::default() };
        let mut bits = vec![0u64; self.words];
        for window in windows {
            let mut present = inputs;
            if let Some(activations) = self.activations {
                self.gather(activations, window, &mut bits);
                present = bits.iter().map(|word| u64::from(word.count_ones())).sum();
            }
            work.activation_values += present * sets as u64;
            for (set, cycles) in work.sets.iter_mut().enumerate() {
                let kernels = set * per_group..((set + 1) * per_group).min(self.weights.len());
                let (mut slowest, mut sum) = (least, 0);
                for kernel in kernels.clone() {
                    let pairs = match skip {
                        Skip::Both => common(self.kernels[kernel], &bits),
                        Skip::Activations => present,
                        Skip::Weights => self.weights[kernel],
                        Skip::None => inputs,
                    };
                    slowest = slowest.max(pairs);
                    sum += pairs;
                }
                *cycles += slowest;
                work.executed += sum;
                work.group_wait += slowest * kernels.len() as u64 - sum;
            }
        }
        work
    }

    /// The zero vector of a window; padding is zero, unless it is part of the input.
    fn gather(&self, activations: &Vectors, window: usize, bits: &mut [u64]) {
        let layer = self.layer;
        let (row, column) = (window / layer.shape.q(), window % layer.shape.q());
        for (tap, words) in bits.chunks_exact_mut(activations.words_per_tap).enumerate() {
            let y = tap_position(layer, 0, row, tap / layer.shape.s());
            let x = tap_position(layer, 1, column, tap % layer.shape.s());
            match (y, x) {
                (Some(y), Some(x)) => {
                    let start = ((y * layer.shape.w() + x) * layer.shape.groups() + self.group) * words.len();
                    words.copy_from_slice(&activations.words[start..start + words.len()]);
                }
                _ => words.fill(0),
            }
        }
    }
}

/// Elements that are non-zero in both.
fn common(a: &[u64], b: &[u64]) -> u64 {
    a.iter().zip(b).map(|(a, b)| u64::from((a & b).count_ones())).sum()
}

/// Zero vectors of activations `[c, h, w]`, laid out `[h · w, groups, words]`.
fn activation_vectors(layer: &LayerWorkload, codes: &[i32]) -> Vectors {
    let channels = layer.shape.channels_per_group();
    let words_per_tap = channels.div_ceil(64);
    let plane = layer.shape.h() * layer.shape.w();
    let stride = layer.shape.groups() * words_per_tap;
    let mut words = vec![0u64; plane * stride];
    for (channel, codes) in codes.chunks_exact(plane).enumerate() {
        let word = channel / channels * words_per_tap + channel % channels / 64;
        let bit = channel % channels % 64;
        for (slots, &code) in words.chunks_exact_mut(stride).zip(codes) {
            slots[word] |= u64::from(code != 0) << bit;
        }
    }
    Vectors { words, words_per_tap }
}

/// Zero vectors of weights `[k, c / groups, r, s]`, laid out `[k, r · s, words]`.
fn weight_vectors(layer: &LayerWorkload, weights: &[i32]) -> Vectors {
    let words_per_tap = layer.shape.channels_per_group().div_ceil(64);
    let taps = layer.shape.r() * layer.shape.s();
    let mut words = vec![0u64; layer.shape.k() * taps * words_per_tap];
    for (kernel, weights) in
        words.chunks_exact_mut(taps * words_per_tap).zip(weights.chunks_exact(layer.shape.inputs_per_output()))
    {
        for (channel, weights) in weights.chunks_exact(taps).enumerate() {
            for (tap, &weight) in weights.iter().enumerate() {
                kernel[tap * words_per_tap + channel / 64] |= u64::from(weight != 0) << (channel % 64);
            }
        }
    }
    Vectors { words, words_per_tap }
}

impl Accelerator for Array {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn simulate_layer(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        self.check(layer)?;
        let skip = self.config.skip;
        let mut padded = Cow::Borrowed(layer);
        let activations = if skip.activations() {
            let missing =
                || SimError::TraceRequired { layer: layer.name.clone(), accelerator: NAME, trace: "activation" };
            let seen = trace.ok_or_else(missing)?.activation()?;
            if seen.len() != layer.shape.input_count() {
                let reason =
                    format!("the trace holds {} activations, expected {}", seen.len(), layer.shape.input_count());
                return Err(SimError::InvalidLayer { layer: layer.name.clone(), reason });
            }
            let codes;
            (padded, codes) = layer.with_padding(seen);
            Some(activation_vectors(&padded, &codes))
        } else {
            None
        };
        let kernels = match (&layer.weights, skip.weights()) {
            (_, false) => None,
            (Some(weights), true) => Some(weight_vectors(layer, weights)),
            (None, true) => {
                return Err(SimError::WeightsRequired { layer: layer.name.clone(), accelerator: NAME });
            }
        };
        Ok(self.run(&padded, activations.as_ref(), kernels.as_ref()))
    }
}

impl Array {
    fn run(&self, layer: &LayerWorkload, activations: Option<&Vectors>, kernels: Option<&Vectors>) -> LayerResult {
        let mut result = LayerResult::new(layer);
        let (filters, inputs) = (layer.shape.filters_per_group(), layer.shape.inputs_per_output() as u64);
        let words = layer.shape.r() * layer.shape.s() * layer.shape.channels_per_group().div_ceil(64);
        let (mut cycles, mut total, mut n_sets) = (0, Work::default(), 0);
        for group in 0..layer.shape.groups() {
            let mut order: Vec<(u64, &[u64])> = match kernels {
                Some(kernels) => kernels.words[group * filters * words..(group + 1) * filters * words]
                    .chunks_exact(words)
                    .map(|kernel| (kernel.iter().map(|word| u64::from(word.count_ones())).sum(), kernel))
                    .collect(),
                None => vec![(inputs, &[][..]); filters],
            };
            if self.config.kernel_allocation == Allocation::ZeroAware {
                order.sort_by_key(|&(weights, _)| weights);
            }
            let (weights, kernels) = order.into_iter().unzip();
            let part = Part { layer, activations, group, kernels, weights, words };
            let (part_cycles, work) = self.part(&part);
            cycles += part_cycles;
            n_sets += work.sets.len() as u64;
            total.executed += work.executed;
            total.group_wait += work.group_wait;
            total.activation_values += work.activation_values;
        }
        let windows = (layer.shape.p() * layer.shape.q()) as u64;
        let activation_bits = if activations.is_some() { windows * n_sets * inputs } else { 0 };
        let weight_bits = if kernels.is_some() { windows * layer.shape.k() as u64 * inputs } else { 0 };
        result.cycles.add(&COMPUTE, cycles);
        for (statistic, count) in [
            (&EXECUTED_MACS, total.executed),
            (&SKIPPED_MACS, result.macs - total.executed),
            (&IDLE_SLOTS, cycles * u64::from(self.config.pes) - total.executed),
            (&GROUP_WAIT, total.group_wait),
            (&ACTIVATION_VALUES, total.activation_values),
            (&VECTOR_BITS, activation_bits + weight_bits),
        ] {
            result.events.add(statistic, count);
        }
        let value_bits = u64::from(VALUE_BITS);
        let buffer = (total.activation_values + outputs(layer)) * value_bits + activation_bits;
        let local = total.executed * value_bits + weight_bits;
        // A bit for each value whose zeros are skipped.
        let of = |values: usize, skips: bool| if skips { values as u64 } else { 0 };
        let vectors = of(layer.shape.input_count() + layer.shape.output_count(), self.config.skip.activations())
            + of(layer.shape.weight_count(), self.config.skip.weights());
        result.operations = vec![
            OperationCount::buffer("activation_buffers", 32 << 10, 64, buffer.div_ceil(64)),
            OperationCount::buffer("weight_buffers", 8 << 10, 64, local.div_ceil(64)),
            OperationCount::multiply_add("multipliers", 16, total.executed),
            OperationCount::accumulators(total.executed),
            OperationCount::off_chip(layer.compulsory_bits() + vectors),
        ];
        result.mapping =
            vec![("kernel_sets", n_sets), ("pe_groups", u64::from(self.config.pes / self.config.pes_per_group))];
        if windows < u64::from(self.config.pes / self.config.pes_per_group) {
            result.note("fewer windows than groups: groups that are left take the next sets of kernels");
        }
        if filters < self.config.pes_per_group as usize {
            result.note(format!("{filters} kernels leave processing elements of each group idle"));
        }
        result
    }
}
