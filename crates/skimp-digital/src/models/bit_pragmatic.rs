//! Bit-Pragmatic: activations as lists of powers of two, one term per lane and cycle.
//!
//! Fidelity: quick rule. DaDianNao's organization with as many *columns* as terms of an activation, each working on a
//! window of its own: a *step* gives every column the brick of 16 activations that its window has at one kernel tap,
//! and 256 filters their weights. A column needs `max(1, greatest number of terms among the 16 activations)` cycles.
//! Columns wait for each other at every step; with `slack_registers = r` a set of weights is kept until the last
//! column has taken it up, and a column runs ahead by at most `r` sets. They meet at the end of each group of windows.
//!
//! Beyond the published rule: bricks and bundles as in DaDianNao; windows are grouped in row-major order; padding is a
//! brick of zeros and takes one cycle. A layer with a single window (dense layers) deals its steps to the columns in
//! turn, one per cycle at most (as the simulator isakedo/DNNsim does on demand). Signed activations count the terms of
//! their magnitude; the sign steers the addition. Weights, their supply and off-chip memory cost no cycles.

use std::ops::Range;

use rayon::prelude::*;
use serde::Deserialize;
use skimp_sim::{
    Configured, EXECUTED_MACS, Facts, IDLE_SLOTS, LayerResult, LayerTrace, LayerWorkload, Needs, Operation,
    SKIPPED_MACS, SimError,
};
use toml::Table;

use super::bricks::{Bundle, Node, NodeWork, outputs};
use super::config::{extents, read};
use super::entry::Entry;
use super::quick::{self, QuickMachine, QuickRule};
use super::windows::{Encoding, PixelMap, multiplexed, tap_sums};

const NAME: &str = "bit-pragmatic";
const PRESET: &str = include_str!("../../../../configs/accelerators/bit-pragmatic.toml");

/// Width of activations at which the dense peak rate equals DaDianNao's.
const PEAK_BITS: u32 = 16;

/// Most registers of slack that a setting may ask for.
const MAX_SLACK: usize = 1024;

/// The registered model.
///
/// # Source
/// J. Albericio et al., "Bit-Pragmatic Deep Neural Network Computing", MICRO 2017, arXiv 1610.06920: terms of
/// activations, synchronization of columns.
/// Differs: the shifters' limited reach (two-stage shifting) is not modeled; every term takes one cycle.
pub(super) static BIT_PRAGMATIC: Entry = Entry {
    name: NAME,
    summary: "skips zero bits of activations, 16 windows in step with each other (quick rule)",
    source: "J. Albericio et al., Bit-Pragmatic Deep Neural Network Computing, MICRO 2017",
    preset: PRESET,
    build,
};

fn build(resolved: Table) -> Result<Configured, SimError> {
    let (facts, settings) = quick::settings(NAME, resolved)?;
    let (node, settings) = Node::of_settings(settings)?;
    let config: Config = read(settings)?;
    extents(&[("windows_in_parallel", config.windows_in_parallel)])?;
    if config.slack_registers > MAX_SLACK {
        let reason = format!("expected at most {MAX_SLACK}, found {}", config.slack_registers);
        return Err(SimError::SettingValue { key: "slack_registers".into(), reason });
    }
    let rule = Rule { config, node };
    let dense_macs_per_cycle = rule.lanes() as f64 / f64::from(rule.config.encoding.most_terms(PEAK_BITS));
    let facts = Facts {
        energy_scope: "operations priced by a generic table: 32-bit additions of terms, memories of 1 MiB read in \
                       whole lines, accumulators; off-chip memory: each input, weight and output of a layer once",
        needs: Needs::Values,
        exploits: vec!["zero bits of activations"],
        ..facts
    };
    Ok(QuickMachine::new(facts, dense_macs_per_cycle, rule).into())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    windows_in_parallel: u32,
    encoding: Encoding,
    slack_registers: usize,
}

#[derive(Debug)]
struct Rule {
    config: Config,
    node: Node,
}

/// Cycles and steps of one image.
#[derive(Clone, Copy, Default)]
struct Run {
    cycles: u64,
    /// Sets of weights taken from memory.
    weight_sets: u64,
    /// Bricks of activations given to columns.
    bricks: u64,
}

impl Rule {
    fn columns(&self) -> usize {
        self.config.windows_in_parallel as usize
    }

    /// Terms per cycle.
    fn lanes(&self) -> u64 {
        self.node.multipliers() * u64::from(self.config.windows_in_parallel)
    }

    fn run_bundle(&self, layer: &LayerWorkload, bundle: &Bundle, activation: &[i32]) -> Run {
        let encoding = self.config.encoding;
        let map = PixelMap::greatest(layer, &bundle.channels, self.node.brick, activation, |code| {
            encoding.terms(code).max(1)
        });
        let windows = layer.shape.p() * layer.shape.q();
        let steps = layer.shape.r() * layer.shape.s() * map.lanes;
        let cycles: u64 = if windows == 1 {
            let costs = self.column_costs(layer, &map, 0);
            multiplexed(costs.iter().map(|&cost| u64::from(cost)), self.columns())
        } else {
            let first_windows: Vec<usize> = (0..windows).step_by(self.columns()).collect();
            let of_group = |&first: &usize| {
                let group = first..(first + self.columns()).min(windows);
                match self.config.slack_registers {
                    0 => in_step(layer, &map, &group),
                    registers => {
                        let costs: Vec<_> = group.map(|window| self.column_costs(layer, &map, window)).collect();
                        with_slack(&costs, registers)
                    }
                }
            };
            first_windows.par_iter().map(of_group).sum()
        };
        let passes = bundle.passes;
        let groups_of_windows = windows.div_ceil(self.columns()) as u64;
        Run {
            cycles: cycles * passes,
            weight_sets: steps as u64 * groups_of_windows * passes,
            bricks: (steps * windows) as u64 * passes,
        }
    }

    /// Cycles of each step of one window by itself.
    fn column_costs(&self, layer: &LayerWorkload, map: &PixelMap, window: usize) -> Vec<u8> {
        let mut costs = vec![1u8; layer.shape.r() * layer.shape.s() * map.lanes];
        for (tap, costs) in costs.chunks_mut(map.lanes).enumerate() {
            map.raise(layer, window..window + 1, [tap / layer.shape.s(), tap % layer.shape.s()], costs);
        }
        costs
    }
}

/// Cycles of a group of windows whose columns wait for each other at every step.
fn in_step(layer: &LayerWorkload, map: &PixelMap, group: &Range<usize>) -> u64 {
    let mut greatest = vec![1u8; map.lanes];
    let mut cycles = 0;
    for tap in 0..layer.shape.r() * layer.shape.s() {
        greatest.fill(1);
        map.raise(layer, group.clone(), [tap / layer.shape.s(), tap % layer.shape.s()], &mut greatest);
        cycles += greatest.iter().map(|&cost| u64::from(cost)).sum::<u64>();
    }
    cycles
}

/// Cycles of a group of windows: a column starts a step when it is done with the one before, and when all columns have
/// started the step `registers` before.
fn with_slack(columns: &[Vec<u8>], registers: usize) -> u64 {
    let steps = columns.first().map_or(0, Vec::len);
    let mut free = vec![0u64; columns.len()];
    let mut all_started = Vec::with_capacity(steps);
    for step in 0..steps {
        let earliest = step.checked_sub(registers).map_or(0, |before| all_started[before]);
        let mut latest = 0;
        for (free, costs) in free.iter_mut().zip(columns) {
            let start = earliest.max(*free);
            latest = latest.max(start);
            *free = start + u64::from(costs[step]);
        }
        all_started.push(latest);
    }
    free.into_iter().max().unwrap_or(0)
}

impl QuickRule for Rule {
    fn idle(&self) -> (u64, &'static str) {
        (self.lanes(), "lanes wait for the most terms of their step, or have no filter, window or channel")
    }

    fn run(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        let (layer, activation) = quick::operands(layer, trace, NAME)?;
        let layer = &*layer;
        let mut run = Run::default();
        for bundle in self.node.bundles(layer) {
            let part = self.run_bundle(layer, &bundle, &activation);
            run.cycles += part.cycles;
            run.weight_sets += part.weight_sets;
            run.bricks += part.bricks;
        }
        let encoding = self.config.encoding;
        let filters = layer.shape.filters_per_group() as u64;
        let terms = filters * tap_sums(layer, &activation, |code| encoding.terms(code)).iter().sum::<u64>();
        let executed = filters * tap_sums(layer, &activation, |code| u8::from(code != 0)).iter().sum::<u64>();
        let brick = self.node.brick as u64;
        let activation_words = quick::words64(run.bricks * brick, layer.activation_bits);
        let weight_words = quick::words64(run.weight_sets * brick * self.node.filters, layer.weight_bits);

        let mut result = LayerResult::new(layer);
        result.cycles.add(&quick::COMPUTE, run.cycles);
        result.events.add(&EXECUTED_MACS, executed);
        result.events.add(&SKIPPED_MACS, result.macs - executed);
        result.events.add(&quick::TERMS, terms);
        result.events.add(&IDLE_SLOTS, run.cycles.saturating_mul(self.lanes()) - terms);
        result.events.add(&quick::ACTIVATION_READS, activation_words);
        result.events.add(&quick::WEIGHT_READS, weight_words);
        let node = &self.node;
        result.operations = NodeWork {
            activations: (run.bricks + node.bricks_of(outputs(layer)), node.brick_bits()),
            weights: (run.weight_sets * node.tiles(), node.weight_line_bits()),
            // A term is shifted to its place: its sum is as wide as a product's.
            arithmetic: (Operation::Add { bits: 32 }, terms),
            accumulations: run.cycles * node.filters * u64::from(self.config.windows_in_parallel),
            off_chip_bits: layer.compulsory_bits(),
        }
        .operations();
        if layer.shape.p() * layer.shape.q() == 1 {
            result.note("a single window: steps are dealt to the columns in turn");
        }
        Ok(result)
    }
}
