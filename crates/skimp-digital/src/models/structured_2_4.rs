//! 2:4 structured sparsity: two of four weights along the input channels are kept, at twice the rate.
//!
//! Fidelity: quick rule. The dense organization is DaDianNao's (the sparse tensor core's own is not modeled). If in
//! every filter, at every kernel tap, each run of four input channels holds at most two non-zero weights, the layer
//! takes half the dense cycles, rounded up; else all of them. Weights of a layer that satisfies the pattern are stored
//! as two codes and two 2-bit indices per four channels.
//!
//! Beyond the published rule: a last run of fewer than four channels is filled with zeros; layers with fewer than four
//! channels per group run dense; groups and bundles as in DaDianNao. Zeros of activations are not used.

use rayon::prelude::*;
use serde::Deserialize;
use skimp_sim::{
    Configured, EXECUTED_MACS, Facts, IDLE_SLOTS, LayerResult, LayerTrace, LayerWorkload, Needs, SKIPPED_MACS,
    SimError, Statistic,
};
use toml::Table;

use super::bricks::{Node, NodeWork, VALUE_BITS};
use super::config::read;
use super::entry::Entry;
use super::quick::{self, QuickMachine, QuickRule};

const NAME: &str = "structured-2-4";
const PRESET: &str = include_str!("../../../../configs/accelerators/structured-2-4.toml");

/// Channels of a run, and how many of them are kept.
const RUN: usize = 4;
const KEPT: usize = 2;

/// Bits that name one of four channels.
const INDEX_BITS: u32 = 2;

/// The registered model.
///
/// # Source
/// A. Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021, arXiv 2104.08378: pattern, rate, storage.
/// Differs: the dense organization and its clock are DaDianNao's, so that the gain stands beside the other designs'.
pub(super) static STRUCTURED_2_4: Entry = Entry {
    name: NAME,
    summary: "half the cycles where each four weights along the channels hold two zeros (quick rule)",
    source: "A. Mishra et al., Accelerating Sparse Deep Neural Networks, arXiv 2104.08378, 2021",
    preset: PRESET,
    build,
};

fn build(resolved: Table) -> Result<Configured, SimError> {
    let (facts, settings) = quick::settings(NAME, resolved)?;
    let (node, settings) = Node::of_settings(settings)?;
    let Config {} = read(settings)?;
    let rule = Rule { node };
    let dense_macs_per_cycle = rule.node.multipliers() as f64;
    let facts = Facts {
        energy_scope: "operations priced by a generic table, as DaDianNao's: memories of 1 MiB read in whole lines, \
                       indices included, 16-bit multiply-accumulates, accumulators; off-chip memory: each input, stored \
                       weight and output of a layer once",
        needs: Needs::Weights,
        exploits: vec!["two zeros in each four weights"],
        ..facts
    };
    Ok(QuickMachine::new(facts, dense_macs_per_cycle, rule).into())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {}

static DENSE_BITS: Statistic =
    Statistic::new("weight_bits_dense", "bits", "Storage of all weights, runs of four filled up.");
static STORED_BITS: Statistic =
    Statistic::new("weight_bits_stored", "bits", "Storage of the kept weights and their indices.");

#[derive(Debug)]
struct Rule {
    node: Node,
}

/// Whether each run of four input channels of each filter and tap holds at most two non-zero weights.
fn satisfies_pattern(layer: &LayerWorkload, weights: &[i32]) -> bool {
    let taps = layer.shape.r() * layer.shape.s();
    weights.par_chunks(layer.shape.inputs_per_output()).all(|filter| {
        filter.chunks(RUN * taps).all(|run| {
            (0..taps).all(|tap| run.iter().skip(tap).step_by(taps).filter(|&&code| code != 0).count() <= KEPT)
        })
    })
}

impl QuickRule for Rule {
    fn idle(&self) -> (u64, &'static str) {
        (self.node.multipliers(), "filters, channels or bricks that do not fill the array")
    }

    fn run(&self, layer: &LayerWorkload, _trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        let weights = quick::weights(layer, NAME)?;
        let channels = layer.shape.channels_per_group();
        let sparse = channels >= RUN && satisfies_pattern(layer, weights);
        let images = layer.shape.n() as u64;
        let dense = self.node.dense_cycles(layer);
        let cycles = images * if sparse { dense.div_ceil(2) } else { dense };

        let runs = (layer.shape.k() * layer.shape.r() * layer.shape.s()) as u64 * channels.div_ceil(RUN) as u64;
        let dense_bits = runs * RUN as u64 * u64::from(layer.weight_bits);
        let sparse_bits = runs * KEPT as u64 * u64::from(layer.weight_bits + INDEX_BITS);
        let stored_bits = if sparse { sparse_bits } else { dense_bits };
        let kept_channels = channels / RUN * KEPT + (channels % RUN).min(KEPT);

        let mut result = LayerResult::new(layer);
        let executed = if sparse { result.macs / channels as u64 * kept_channels as u64 } else { result.macs };
        // Every window reads every stored weight once.
        let windows = images * (layer.shape.p() * layer.shape.q()) as u64;
        let weight_words = windows.saturating_mul(stored_bits).div_ceil(64);
        let bricks = images * dense;
        let activation_words = quick::words64(bricks * self.node.brick as u64, layer.activation_bits);
        result.cycles.add(&quick::COMPUTE, cycles);
        result.events.add(&EXECUTED_MACS, executed);
        result.events.add(&SKIPPED_MACS, result.macs - executed);
        result.events.add(&IDLE_SLOTS, cycles.saturating_mul(self.node.multipliers()).saturating_sub(executed));
        result.events.add(&quick::ACTIVATION_READS, activation_words);
        result.events.add(&quick::WEIGHT_READS, weight_words);
        result.events.add(&DENSE_BITS, images * dense_bits);
        result.events.add(&STORED_BITS, images * stored_bits);
        let mut work = NodeWork::dense(&self.node, layer, images * dense, executed);
        if sparse {
            // Half the lines, with the index of each weight that was kept.
            let line = self.node.weight_line_bits();
            work.weights = (cycles * self.node.tiles(), line + line / VALUE_BITS * u64::from(INDEX_BITS));
            work.accumulations = cycles * self.node.filters;
            let weight_bits = layer.shape.weight_count() as u64 * u64::from(layer.weight_bits);
            work.off_chip_bits = work.off_chip_bits - weight_bits + sparse_bits;
        }
        result.operations = work.operations();
        result.note(if sparse {
            "the weights satisfy the 2:4 pattern"
        } else if channels < RUN {
            "runs dense: fewer than four input channels per group"
        } else {
            "runs dense: the weights do not satisfy the 2:4 pattern"
        });
        Ok(result)
    }
}
