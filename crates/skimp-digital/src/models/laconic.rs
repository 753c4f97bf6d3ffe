//! Laconic: both operands as lists of powers of two, one product of terms per lane and cycle.
//!
//! Fidelity: quick rule. A tile is a grid of windows by filters; each of its processing elements multiplies 16
//! activations by 16 weights. A step gives a row of elements the weights of its filter at one brick, and a column the
//! activations of its window, and takes `max(1, greatest terms(a) · terms(w))` cycles over all lanes of the tile. Tiles
//! work on different filters, each at its own pace, and meet at the end of each group of windows.
//!
//! Beyond the published rule: bricks and bundles as in DaDianNao (a filter has zero weights where it does not reach);
//! windows are grouped in row-major order; padding is zeros. A layer with a single window (dense layers) deals its
//! steps to the columns in turn, one per cycle at most. Terms are those of magnitudes; signs steer the additions.
//! Operand supply and off-chip memory cost no cycles.

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
use super::windows::{Encoding, PixelMap, filters_of, multiplexed, paired_sum, tap_sums};

const NAME: &str = "laconic";
const PRESET: &str = include_str!("../../../../configs/accelerators/laconic.toml");

/// Width of both codes at which the dense peak rate is stated.
const PEAK_BITS: u32 = 16;

/// The registered model.
///
/// # Source
/// S. Sharify et al., "Laconic Deep Learning Inference Acceleration", ISCA 2019; earlier as arXiv 1805.04513. Extents of
/// tiles and the treatment of single windows as in the simulator isakedo/DNNsim (`examples/Laconic/README.md`).
/// Differs: the adder tree behind the histograms never stalls the lanes.
pub(super) static LACONIC: Entry = Entry {
    name: NAME,
    summary: "skips zero bits of activations and weights, product by product of terms (quick rule)",
    source: "S. Sharify et al., Laconic Deep Learning Inference Acceleration, ISCA 2019",
    preset: PRESET,
    build,
};

fn build(resolved: Table) -> Result<Configured, SimError> {
    let (facts, settings) = quick::settings(NAME, resolved)?;
    let (node, settings) = Node::of_settings(settings)?;
    let config: Config = read(settings)?;
    extents(&[("windows_in_parallel", config.windows_in_parallel)])?;
    let rule = Rule { config, node };
    let encoding = rule.config.encoding;
    // A weight's magnitude has one bit less than its code.
    let most_products = encoding.most_terms(PEAK_BITS) * encoding.most_terms(PEAK_BITS - 1);
    let dense_macs_per_cycle = rule.lanes() as f64 / f64::from(most_products);
    let facts = Facts {
        energy_scope: "operations priced by a generic table: products of terms as 8-bit additions, memories of 1 MiB \
                       read by the brick, accumulators; off-chip memory: each input, weight and output of a layer once",
        needs: Needs::Values,
        exploits: vec!["zero bits of activations", "zero bits of weights"],
        ..facts
    };
    Ok(QuickMachine::new(facts, dense_macs_per_cycle, rule).into())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    windows_in_parallel: u32,
    encoding: Encoding,
}

#[derive(Debug)]
struct Rule {
    config: Config,
    node: Node,
}

/// The greatest terms of a tile's filters at each tap and channel of a bundle, `[r, s, channel]`.
type TileTerms = Vec<u8>;

impl Rule {
    fn columns(&self) -> usize {
        self.config.windows_in_parallel as usize
    }

    /// Products of terms per cycle.
    fn lanes(&self) -> u64 {
        self.node.multipliers() * u64::from(self.config.windows_in_parallel)
    }

    /// The filters of a bundle, tile by tile.
    fn tile_terms(&self, layer: &LayerWorkload, bundle: &Bundle, weights: &[i32]) -> Vec<TileTerms> {
        let filters: Vec<usize> = filters_of(layer, &bundle.channels).collect();
        let of_tile = |filters: &[usize]| filters_terms(layer, bundle, filters, weights, self.config.encoding);
        filters.par_chunks(self.node.tile_filters as usize).map(of_tile).collect()
    }

    fn bundle_cycles(&self, layer: &LayerWorkload, bundle: &Bundle, activation: &[i32], weights: &[i32]) -> u64 {
        let encoding = self.config.encoding;
        let map = PixelMap::greatest(layer, &bundle.channels, 1, activation, |code| encoding.terms(code));
        let tiles = self.tile_terms(layer, bundle, weights);
        let windows = layer.shape.p() * layer.shape.q();
        let first_windows: Vec<usize> = (0..windows).step_by(self.columns()).collect();
        let of_group = |&first: &usize| {
            let group = first..(first + self.columns()).min(windows);
            let inputs = group_terms(layer, &map, &group);
            // Tiles in flight meet when the slowest is done.
            let meet = |tiles: &[TileTerms]| {
                tiles.iter().map(|tile| self.tile_cycles(&inputs, tile, map.lanes, windows == 1)).max()
            };
            tiles.chunks(self.node.tiles() as usize).filter_map(meet).sum::<u64>()
        };
        first_windows.par_iter().map(of_group).sum()
    }

    fn tile_cycles(&self, inputs: &[u8], tile: &[u8], channels: usize, single_window: bool) -> u64 {
        let bricks = inputs
            .chunks(channels)
            .zip(tile.chunks(channels))
            .flat_map(|(inputs, weights)| inputs.chunks(self.node.brick).zip(weights.chunks(self.node.brick)));
        let steps = bricks.map(|(inputs, weights)| {
            let greatest = inputs.iter().zip(weights).map(|(&a, &w)| u16::from(a) * u16::from(w)).max();
            u64::from(greatest.unwrap_or(0).max(1))
        });
        if single_window { multiplexed(steps, self.columns()) } else { steps.sum() }
    }
}

fn filters_terms(
    layer: &LayerWorkload,
    bundle: &Bundle,
    filters: &[usize],
    weights: &[i32],
    encoding: Encoding,
) -> TileTerms {
    let (taps, lanes) = (layer.shape.r() * layer.shape.s(), bundle.channels.len());
    let mut terms = vec![0u8; taps * lanes];
    for &filter in filters {
        let group = filter / layer.shape.filters_per_group();
        let first = group * layer.shape.channels_per_group() - bundle.channels.start;
        let codes = &weights[filter * layer.shape.inputs_per_output()..][..layer.shape.inputs_per_output()];
        for (channel, codes) in codes.chunks(taps).enumerate() {
            for (tap, &code) in codes.iter().enumerate() {
                let slot = &mut terms[tap * lanes + first + channel];
                *slot = (*slot).max(encoding.terms(code));
            }
        }
    }
    terms
}

/// The greatest terms over a group of windows at each tap and channel.
fn group_terms(layer: &LayerWorkload, map: &PixelMap, group: &Range<usize>) -> Vec<u8> {
    let mut terms = vec![0u8; layer.shape.r() * layer.shape.s() * map.lanes];
    for (tap, terms) in terms.chunks_mut(map.lanes).enumerate() {
        map.raise(layer, group.clone(), [tap / layer.shape.s(), tap % layer.shape.s()], terms);
    }
    terms
}

impl QuickRule for Rule {
    fn idle(&self) -> (u64, &'static str) {
        (self.lanes(), "lanes wait for the most products of terms of their step, or have no filter, window or channel")
    }

    fn run(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        let weights = quick::weights(layer, NAME)?;
        let (layer, activation) = quick::operands(layer, trace, NAME)?;
        let layer = &*layer;
        let windows = layer.shape.p() * layer.shape.q();
        let (mut cycles, mut brick_steps, mut filter_steps) = (0, 0, 0);
        for bundle in self.node.bundles(layer) {
            cycles += self.bundle_cycles(layer, &bundle, &activation, weights);
            let steps = (layer.shape.r() * layer.shape.s() * bundle.bricks) as u64;
            let filters = filters_of(layer, &bundle.channels).len() as u64;
            brick_steps += steps * windows as u64 * bundle.passes;
            filter_steps += steps * windows.div_ceil(self.columns()) as u64 * filters;
        }
        let encoding = self.config.encoding;
        let of_terms = tap_sums(layer, &activation, |code| encoding.terms(code));
        let terms = paired_sum(layer, &of_terms, weights, |code| encoding.terms(code));
        let non_zero = tap_sums(layer, &activation, |code| u8::from(code != 0));
        let executed = paired_sum(layer, &non_zero, weights, |code| u8::from(code != 0));
        let brick = self.node.brick as u64;
        let activation_words = quick::words64(brick_steps * brick, layer.activation_bits);
        let weight_words = quick::words64(filter_steps * brick, layer.weight_bits);

        let mut result = LayerResult::new(layer);
        result.cycles.add(&quick::COMPUTE, cycles);
        result.events.add(&EXECUTED_MACS, executed);
        result.events.add(&SKIPPED_MACS, result.macs - executed);
        result.events.add(&quick::TERMS, terms);
        result.events.add(&IDLE_SLOTS, cycles.saturating_mul(self.lanes()) - terms);
        result.events.add(&quick::ACTIVATION_READS, activation_words);
        result.events.add(&quick::WEIGHT_READS, weight_words);
        let node = &self.node;
        result.operations = NodeWork {
            activations: (brick_steps + node.bricks_of(outputs(layer)), node.brick_bits()),
            // A filter's brick for each row of elements.
            weights: (filter_steps, node.brick_bits()),
            arithmetic: (Operation::Add { bits: 8 }, terms),
            accumulations: cycles.saturating_mul(self.lanes() / brick),
            off_chip_bits: layer.compulsory_bits(),
        }
        .operations();
        if windows == 1 {
            result.note("a single window: steps are dealt to the columns in turn");
        }
        Ok(result)
    }
}
