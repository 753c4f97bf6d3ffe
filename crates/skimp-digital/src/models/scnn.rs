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
//! tile would hold everything, so groups of output channels are dealt to the elements in turn instead. Conflicts in the
//! banks of accumulators (32 banks for 16 products) are not modeled: stalls would come on top. Halo exchange and
//! operand supply cost no cycles.

use rayon::prelude::*;
use serde::Deserialize;
use skimp_sim::{Accelerator, Activity, CostTable, LayerResult, LayerTrace, LayerWorkload, SimError, Statistic};
use toml::Table;

use super::config::{extents, positive, typed};
use super::entry::Entry;
use super::quick::{self, QuickMachine, QuickRule};
use super::windows::{paired_sum, tap_sums};

const NAME: &str = "scnn";
const PRESET: &str = include_str!("../../../../configs/accelerators/scnn.toml");

/// The registered model.
///
/// # Source
/// A. Parashar et al., "SCNN: An Accelerator for Compressed-sparse Convolutional Neural Networks", ISCA 2017, arXiv
/// 1708.04485: dataflow, elements, multipliers.
/// Differs: no conflicts between accumulator banks, no loading of weights; the output channels of a group are assumed.
pub(super) static SCNN: Entry = Entry {
    name: NAME,
    summary: "multiplies non-zero weights by non-zero activations, all with all, on 8 x 8 map tiles (quick rule)",
    source: "A. Parashar et al., SCNN: An Accelerator for Compressed-sparse Convolutional Neural Networks, ISCA 2017",
    preset: PRESET,
    build,
};

fn build(resolved: Table) -> Result<Box<dyn Accelerator>, SimError> {
    let config: Config = typed(&resolved)?;
    positive("clock_mhz", config.clock_mhz)?;
    extents(&[
        ("pe_rows", config.pe_rows),
        ("pe_columns", config.pe_columns),
        ("weights_per_cycle", config.weights_per_cycle),
        ("activations_per_cycle", config.activations_per_cycle),
        ("output_channels_per_group", config.output_channels_per_group),
    ])?;
    let costs = CostTable::embedded(&config.costs)?;
    let rule = Rule { config };
    Ok(Box::new(QuickMachine {
        name: NAME,
        resolved,
        clock_mhz: rule.config.clock_mhz,
        costs,
        area_mm2: 0.0,
        dense_macs_per_cycle: rule.multipliers() as f64,
        energy_scope: "16-bit multiplications with their addition and reads of operands from on-chip memory at \
                       generic 45 nm figures; accumulator banks, crossbar and off-chip memory are not included",
        rule,
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "schema")]
    _schema: u32,
    costs: String,
    clock_mhz: f64,
    pe_rows: u32,
    pe_columns: u32,
    weights_per_cycle: u32,
    activations_per_cycle: u32,
    output_channels_per_group: u32,
}

static OUTSIDE: Statistic = Statistic {
    name: "products_outside",
    unit: "macs",
    description: "Products that took a slot and fell outside the output map.",
};
static BUSY: Statistic = Statistic {
    name: "pe_cycles",
    unit: "cycles",
    description: "Cycles in which a processing element multiplied, summed over the elements.",
};

#[derive(Debug)]
struct Rule {
    config: Config,
}

/// Cycles, cycles of busy elements, and products, outside ones included.
#[derive(Clone, Copy, Default)]
struct Run {
    cycles: u64,
    busy: u64,
    products: u64,
}

impl Run {
    fn plus(self, other: Run) -> Run {
        Run {
            cycles: self.cycles + other.cycles,
            busy: self.busy + other.busy,
            products: self.products + other.products,
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

    /// Non-zero activations by channel, remainder and element, `[c, phase, element]`.
    fn tiles(&self, layer: &LayerWorkload, activation: &[i32], single_window: bool) -> Vec<u32> {
        let elements = if single_window { 1 } else { self.elements() };
        let [rows, columns] = if single_window {
            [layer.h, layer.w]
        } else {
            [layer.h.div_ceil(self.config.pe_rows as usize), layer.w.div_ceil(self.config.pe_columns as usize)]
        };
        let [sy, sx] = layer.strides;
        let mut counts = vec![0u32; layer.c * sy * sx * elements];
        let of_channel = |(counts, plane): (&mut [u32], &[i32])| {
            for (y, row) in plane.chunks(layer.w).enumerate() {
                let phase = (y + layer.pads_begin[0]) % sy * sx;
                let first_element = y / rows * self.config.pe_columns as usize;
                for (x, _) in row.iter().enumerate().filter(|&(_, &code)| code != 0) {
                    let phase = phase + (x + layer.pads_begin[1]) % sx;
                    counts[phase * elements + if single_window { 0 } else { first_element + x / columns }] += 1;
                }
            }
        };
        counts.par_chunks_mut(sy * sx * elements).zip(activation.par_chunks(layer.h * layer.w)).for_each(of_channel);
        counts
    }

    /// Non-zero weights of some filters of one group by channel (of the group) and remainder.
    fn weights(layer: &LayerWorkload, filters: &[i32]) -> Vec<u32> {
        let [sy, sx] = layer.strides;
        let taps = layer.r * layer.s;
        let mut counts = vec![0u32; layer.channels_per_group() * sy * sx];
        for filter in filters.chunks(layer.inputs_per_output()) {
            for (channel, codes) in filter.chunks(taps).enumerate() {
                for (tap, _) in codes.iter().enumerate().filter(|&(_, &code)| code != 0) {
                    let y = tap / layer.s * layer.dilations[0] % sy;
                    let x = tap % layer.s * layer.dilations[1] % sx;
                    counts[(channel * sy + y) * sx + x] += 1;
                }
            }
        }
        counts
    }

    /// Cycles of each element on one group of output channels, and the products.
    fn element_cycles(&self, tiles: &[u32], weights: &[u32], elements: usize) -> (Vec<u64>, u64) {
        let mut cycles = vec![0u64; elements];
        let mut products = 0;
        for (tile, &weights) in tiles.chunks(elements).zip(weights).filter(|(_, weights)| **weights > 0) {
            let vectors = u64::from(weights.div_ceil(self.config.weights_per_cycle));
            for (cycles, &count) in cycles.iter_mut().zip(tile) {
                *cycles += u64::from(count.div_ceil(self.config.activations_per_cycle)) * vectors;
                products += u64::from(count) * u64::from(weights);
            }
        }
        (cycles, products)
    }

    fn run_all(&self, layer: &LayerWorkload, activation: &[i32], weights: &[i32]) -> Run {
        let single_window = layer.p * layer.q == 1;
        let elements = if single_window { 1 } else { self.elements() };
        let tiles = self.tiles(layer, activation, single_window);
        let phases = layer.strides[0] * layer.strides[1];
        let group_tiles = layer.channels_per_group() * phases * elements;
        let group_weights = layer.filters_per_group() * layer.inputs_per_output();
        let per_output_group = self.config.output_channels_per_group as usize * layer.inputs_per_output();
        let of_output_group = |(tiles, filters): (&[u32], &[i32])| {
            let (cycles, products) = self.element_cycles(tiles, &Self::weights(layer, filters), elements);
            let longest = cycles.iter().copied().max().unwrap_or(0);
            Run { cycles: longest, busy: cycles.iter().sum(), products }
        };
        let groups: Vec<(&[u32], &[i32])> = tiles
            .chunks(group_tiles)
            .zip(weights.chunks(group_weights))
            .flat_map(|(tiles, filters)| filters.chunks(per_output_group).map(move |filters| (tiles, filters)))
            .collect();
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
        let activation = quick::activation(layer, trace, NAME)?;
        let run = self.run_all(layer, &activation, weights);
        let non_zero = tap_sums(layer, &activation, |code| u8::from(code != 0));
        let executed = paired_sum(layer, &non_zero, weights, |code| u8::from(code != 0));
        // One vector of each operand per cycle of an element.
        let activation_words = quick::words64(
            run.busy.saturating_mul(u64::from(self.config.activations_per_cycle)),
            layer.activation_bits,
        );
        let weight_words =
            quick::words64(run.busy.saturating_mul(u64::from(self.config.weights_per_cycle)), layer.weight_bits);

        let mut result = LayerResult::new(layer);
        // A layer of zeros still starts.
        let cycles = run.cycles.max(1);
        result.cycles.add(&quick::COMPUTE, cycles);
        result.events.add(&quick::EXECUTED, executed);
        result.events.add(&quick::SKIPPED, result.macs - executed);
        result.events.add(&OUTSIDE, run.products - executed);
        result.events.add(&quick::IDLE, cycles.saturating_mul(self.multipliers()) - run.products);
        result.events.add(&BUSY, run.busy);
        result.events.add(&quick::ACTIVATION_READS, activation_words);
        result.events.add(&quick::WEIGHT_READS, weight_words);
        result.activity = vec![
            Activity { component: "multipliers", dynamic: vec![("mac16.op", run.products)], leakage: vec![] },
            Activity {
                component: "buffers",
                dynamic: vec![("sram_8kib.word64", activation_words + weight_words)],
                leakage: vec![],
            },
        ];
        if layer.p * layer.q == 1 {
            result.note("a single window: groups of output channels are dealt to the elements in turn");
        }
        Ok(result)
    }
}
