//! Selective computation of gradients: the backward pass of a layer, without the gradients that a ReLU discards.
//!
//! For each layer of the network the model runs the backward convolution that gives the gradient of the layer's input
//! activation: a product of output gradients and flipped weights, `r · s · (k / groups)` deep at stride 1. Where the
//! forward activation is 0, the ReLU in front of the layer multiplies that gradient by 0: it need not be computed.
//! The mask is known before the pass, and the result is unchanged bit by bit.
//!
//! # Where the mask holds
//!
//! - The layer's input is non-negative by its encoding (it comes through a ReLU) and is not the network's input. Else
//!   every gradient is computed. The first layer's are counted dense too, although training does not need them.
//! - Residual joins: a ReLU behind the join discards both branches' gradients, so the mask of the joined activation
//!   holds for each reader. A join without ReLU has a signed sum: dense.
//! - Batch normalization between convolution and ReLU: the mask applies to its output gradient; its own backward pass
//!   is dense and not part of a convolution.
//! - Max pooling between ReLU and layer: the mask is that of the layer's own input. A pooled 0 is a window of zeros,
//!   whatever the winner; which of several values won matters for the pooling's backward pass only.
//! - A code of 0 counts as an activation of 0: so does the integer network.
//!
//! # Cycles
//!
//! Window-level: 16 output lanes take gradients of one position, 16 input lanes their products: per position
//! `ceil(n / output_lanes) · ceil(taps · (k / groups) / input_lanes)` cycles, `n` the channels of a group (dense) or the
//! non-zero ones (selective). `taps` are the kernel positions whose stride meets the position, all at stride 1; output
//! gradients outside the map are zeros that take time. Groups run one after another. With `gather` the lanes fill
//! across positions with as many taps. Cycles are at least the non-zero ratio where the output lanes divide the
//! channels. Off-chip memory does not stall the unit.
//!
//! # Off-chip memory
//!
//! The gradient of the input is written as its non-zero positions and one bit per activation. Weights, output
//! gradients (at full size: their zeros belong to the layer above) and the mask are read alike in both.
//!
//! # Source
//! G. Lee, H. Park, N. Kim, J. Yu, S. Jo, K. Choi, "Acceleration of DNN Backward Propagation by Selective Computation of
//! Gradients", DAC 2019; S. Lee et al., US 12,205,012 B2.
//! Differs: lanes, clock and costs are assumptions; published bars have no legible numbers.

use rayon::prelude::*;
use serde::Deserialize;
use skimp_sim::{
    Accelerator, Activity, Configured, EXECUTED_MACS, Facts, IDLE_SLOTS, LayerResult, LayerTrace, LayerWorkload, Needs,
    OperationCount, SKIPPED_MACS, Scope, Scopes, SimError, Statistic, WindowAxis,
};
use toml::Table;

use super::config::{positive, typed};
use super::entry::Entry;
use crate::costs;

const NAME: &str = "selective-gradients";
const PRESET: &str = include_str!("../../../../configs/accelerators/selective-gradients.toml");

/// The registered model; the module describes it.
pub static SELECTIVE_GRADIENTS: Entry = Entry {
    name: NAME,
    summary: "backward pass: skips input gradients that a ReLU discards (window-level, input gradients only)",
    source: "G. Lee, H. Park, N. Kim, J. Yu, S. Jo, K. Choi, Acceleration of DNN Backward Propagation by Selective \
     Computation of Gradients, DAC 2019",
    preset: PRESET,
    build,
};

fn build(resolved: Table) -> Result<Configured, SimError> {
    let config: Config = typed(&resolved)?;
    for (key, value) in
        [("output_lanes", config.output_lanes), ("input_lanes", config.input_lanes), ("word_bytes", config.word_bytes)]
    {
        positive(key, f64::from(value))?;
    }
    positive("clock_mhz", config.clock_mhz)?;
    let costs = costs::named_or_written(&config.costs)?;
    let lanes = f64::from(config.output_lanes) * f64::from(config.input_lanes);
    let facts = Facts {
        peak_gmacs: lanes * config.clock_mhz * 1e-3,
        // The source gives cycles and off-chip traffic only.
        not_counted: Scopes::of(&[Scope::Registers, Scope::Buffers, Scope::OnChip, Scope::Network, Scope::Static]),
        energy_scope: "multiply-accumulates and off-chip memory of the input-gradient pass at generic 45 nm costs; none are \
                       published",
        needs: if config.selective { Needs::Values } else { Needs::Shape },
        exploits: if config.selective { vec!["gradients that a ReLU discards"] } else { Vec::new() },
        ..Facts::new(NAME, resolved, config.clock_mhz, costs)
    };
    Ok(Unit { facts, config }.into())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "schema")]
    _schema: u32,
    selective: bool,
    gather: bool,
    costs: String,
    clock_mhz: f64,
    output_lanes: u32,
    input_lanes: u32,
    word_bytes: u32,
}

#[derive(Debug)]
struct Unit {
    facts: Facts,
    config: Config,
}

static COMPUTE: Statistic =
    Statistic::new("compute", "cycles", "Backward convolution of the input gradient.").working();
static BACKWARD: Statistic =
    Statistic::new("backward_macs", "macs", "Multiplications of the dense backward convolution, padding included.");
static DENSE_CYCLES: Statistic = Statistic::new("dense_cycles", "cycles", "Cycles of the dense backward convolution.");
static GRADIENTS: Statistic = Statistic::new("gradients", "values", "Gradients of the input activation.");
static COMPUTED: Statistic =
    Statistic::new("gradients_computed", "values", "Gradients that are computed; over `gradients` the non-zero ratio.");
static DRAM_GRADIENT: Statistic =
    Statistic::new("dram_gradient_bytes", "bytes", "Input gradients written, with their bit vector where selective.");
static DRAM_GRADIENT_DENSE: Statistic =
    Statistic::new("dram_gradient_dense_bytes", "bytes", "Input gradients written by the dense backward pass.");
static DRAM_READ: Statistic =
    Statistic::new("dram_read_bytes", "bytes", "Weights, output gradients and the forward pass's bit vector read.");

/// Cycles and work of a backward convolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Work {
    cycles: u64,
    macs: u64,
    gradients: u64,
}

/// Positions along one axis by how many kernel taps reach them: taps of each input row or column.
fn taps(layer: &LayerWorkload, axis: usize) -> Vec<u64> {
    let WindowAxis { input, kernel, stride, dilation, pad_begin: pad, .. } = layer.shape.axes()[axis];
    let reaches = |at: usize, tap: usize| (at + pad) % stride == tap * dilation % stride;
    let mut of_phase = vec![0; stride.min(input)];
    for (phase, count) in of_phase.iter_mut().enumerate() {
        *count = (0..kernel).filter(|&tap| reaches(phase, tap)).count() as u64;
    }
    (0..input).map(|at| of_phase[at % stride]).collect()
}

impl Unit {
    fn lanes(&self) -> u64 {
        u64::from(self.config.output_lanes) * u64::from(self.config.input_lanes)
    }

    /// Work of a position's `gradients` in one group with so many taps.
    fn work(&self, layer: &LayerWorkload, gradients: u64, taps: u64) -> Work {
        let depth = taps * layer.shape.filters_per_group() as u64;
        let steps = depth.div_ceil(u64::from(self.config.input_lanes));
        let cycles = gradients.div_ceil(u64::from(self.config.output_lanes)) * steps;
        Work { cycles, macs: gradients * depth, gradients }
    }

    fn dense(&self, layer: &LayerWorkload) -> Work {
        // Few distinct tap counts: count the positions of each.
        let mut positions: Vec<(u64, u64)> = Vec::new();
        let columns = histogram(taps(layer, 1).into_iter().map(|taps| (taps, 1)));
        for (row_taps, rows) in histogram(taps(layer, 0).into_iter().map(|taps| (taps, 1))) {
            positions.extend(columns.iter().map(|&(taps, columns)| (row_taps * taps, rows * columns)));
        }
        let channels = layer.shape.channels_per_group() as u64;
        let mut group = Work::default();
        for (taps, count) in histogram(positions) {
            group.add(match self.config.gather {
                true => self.work(layer, channels * count, taps),
                false => self.work(layer, channels, taps).times(count),
            });
        }
        group.times(layer.shape.groups() as u64)
    }

    fn selective(&self, layer: &LayerWorkload, activation: &[i32]) -> Work {
        let (rows, columns) = (taps(layer, 0), taps(layer, 1));
        let positions = layer.shape.h() * layer.shape.w();
        let groups = activation.par_chunks_exact(layer.shape.channels_per_group() * positions);
        let works: Vec<Work> = groups
            .map(|group| {
                let mut non_zero = vec![0u32; positions];
                for plane in group.chunks_exact(positions) {
                    for (count, &code) in non_zero.iter_mut().zip(plane) {
                        *count += u32::from(code != 0);
                    }
                }
                self.group(layer, &non_zero, &rows, &columns)
            })
            .collect();
        works.into_iter().fold(Work::default(), |mut sum, work| {
            sum.add(work);
            sum
        })
    }

    fn group(&self, layer: &LayerWorkload, non_zero: &[u32], rows: &[u64], columns: &[u64]) -> Work {
        let positions = non_zero.chunks_exact(layer.shape.w()).zip(rows).flat_map(|(counts, &row_taps)| {
            counts.iter().zip(columns).map(move |(&count, &taps)| (row_taps * taps, u64::from(count)))
        });
        let mut sum = Work::default();
        if self.config.gather {
            for (taps, count) in histogram(positions) {
                sum.add(self.work(layer, count, taps));
            }
        } else {
            for (taps, count) in positions {
                sum.add(self.work(layer, count, taps));
            }
        }
        sum
    }

    fn result(&self, layer: &LayerWorkload, dense: Work, done: Work, masked: bool) -> LayerResult {
        let images = layer.shape.n() as u64;
        let word = u64::from(self.config.word_bytes);
        let bits = images * (layer.shape.input_count() as u64).div_ceil(8);
        let written = done.gradients * word + if masked { bits } else { 0 };
        let outputs = images * layer.shape.output_count() as u64;
        let read = (layer.shape.weight_count() as u64 + outputs) * word + bits;
        let mut result = LayerResult::new(layer);
        result.cycles.add(&COMPUTE, done.cycles);
        for (statistic, count) in [
            (&BACKWARD, dense.macs),
            (&EXECUTED_MACS, done.macs),
            (&SKIPPED_MACS, dense.macs - done.macs),
            (&IDLE_SLOTS, done.cycles * self.lanes() - done.macs),
            (&DENSE_CYCLES, dense.cycles),
            (&GRADIENTS, dense.gradients),
            (&COMPUTED, done.gradients),
            (&DRAM_GRADIENT, written),
            (&DRAM_GRADIENT_DENSE, dense.gradients * word),
            (&DRAM_READ, read),
        ] {
            result.events.add(statistic, count);
        }
        result.activity = vec![
            Activity::events("mac", Scope::Mac, "mac.operation", done.macs),
            Activity::events("dram", Scope::OffChip, "dram.byte", read + written),
        ];
        let bits = self.config.word_bytes.saturating_mul(8);
        result.operations =
            vec![OperationCount::multiply_add("mac", bits, done.macs), OperationCount::off_chip(8 * (read + written))];
        result
    }
}

impl Work {
    fn add(&mut self, other: Work) {
        self.cycles += other.cycles;
        self.macs += other.macs;
        self.gradients += other.gradients;
    }

    fn times(self, count: u64) -> Work {
        Work { cycles: count * self.cycles, macs: count * self.macs, gradients: count * self.gradients }
    }
}

/// Sums of the second entries by the first, in order of appearance.
fn histogram(values: impl IntoIterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut counts: Vec<(u64, u64)> = Vec::new();
    for (value, count) in values {
        match counts.iter_mut().find(|(known, _)| *known == value) {
            Some((_, total)) => *total += count,
            None => counts.push((value, count)),
        }
    }
    counts
}

impl Accelerator for Unit {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn simulate_layer(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        layer.check()?;
        let images = layer.shape.n() as u64;
        let dense = self.dense(layer).times(images);
        let obstacle = if !self.config.selective {
            Some("switched off: every gradient is computed")
        } else if layer.first {
            Some("the network's input comes through no ReLU: every gradient is computed")
        } else if layer.activation_signed {
            Some("the layer's input may be negative, so no ReLU gives it: every gradient is computed")
        } else {
            None
        };
        if let Some(obstacle) = obstacle {
            let mut result = self.result(layer, dense, dense, false);
            result.note(obstacle);
            return Ok(result);
        }
        let missing = || SimError::TraceRequired { layer: layer.name.clone(), accelerator: NAME, trace: "activation" };
        let activation = trace.ok_or_else(missing)?.activation()?;
        Ok(self.result(layer, dense, self.selective(layer, &activation).times(images), true))
    }
}
