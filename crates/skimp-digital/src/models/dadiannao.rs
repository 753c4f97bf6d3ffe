//! DaDianNao, the dense baseline of the zero-skipping designs.
//!
//! One brick of 16 channel-contiguous activations at one position is broadcast to all tiles per cycle; 16 tiles of 16
//! filters take it, so 256 filters are in flight. Weights come from local eDRAM at full rate: no stalls.
//!
//! Fidelity: closed form.
//!
//! Beyond the published rule: groups run one after another; groups of fewer than 16 channels are bundled,
//! `floor(16 / channels)` of them into one brick, with zero weights where a filter does not reach. The published data
//! give no breakdown of energy by event, so energy is chip power times runtime and nothing else, unless `costs` names a
//! generic table, as comparisons do: then bricks, weights, outputs and multiplications are priced one by one, as for the
//! designs that are built on this node. Compare times in cycles: clocks and nodes differ.

use serde::Deserialize;
use skimp_sim::{
    Accelerator, Activity, ComparisonRow, Configured, EXECUTED_MACS, Facts, IDLE_SLOTS, LayerKind, LayerResult,
    LayerTrace, LayerWorkload, Priced, Provenance, SimError,
};
use toml::Table;

use super::bricks::{self, BRICK_READS, COMPUTE, NodeWork, WEIGHT_READS};
use super::config::{positive, typed};
use super::entry::Entry;
use crate::costs;

const NAME: &str = "dadiannao";
/// The table of the published chip: its area and power whatever prices the events.
const CHIP_TABLE: &str = "dadiannao-28nm";
const PRESET: &str = include_str!("../../../../configs/accelerators/dadiannao.toml");

/// The registered model.
///
/// # Source
/// Y. Chen et al., "DaDianNao: A Machine-Learning Supercomputer", MICRO 2014; cycle model as in J. Albericio et al.,
/// "Cnvlutin", ISCA 2016, and P. Judd et al., "Stripes", MICRO 2016.
pub static DADIANNAO: Entry = Entry {
    name: NAME,
    summary: "dense node of 16 tiles with 16 x 16 multipliers, weights in on-chip eDRAM; skips nothing",
    source: "Y. Chen et al., DaDianNao: A Machine-Learning Supercomputer, MICRO 2014",
    preset: PRESET,
    build,
};

fn build(resolved: Table) -> Result<Configured, SimError> {
    let config: Config = typed(&resolved)?;
    let node = bricks::Node::new(config.tiles, config.filters_per_tile, config.inputs_per_brick)?;
    positive("clock_mhz", config.clock_mhz)?;
    let costs = costs::named_or_written(&config.costs)?;
    let by_event = costs.prices == Priced::Operations;
    let chip = costs::named_or_written(CHIP_TABLE)?;
    let area_mm2 = chip.area_mm2("chip.area")?;
    let power_mw = chip.power_mw("chip.power")?;
    let energy_scope = if by_event {
        "operations priced by a generic table: activation and weight memories of 1 MiB read in whole lines, 16-bit \
         multiply-accumulates, accumulators; off-chip memory: each input, weight and output of a layer once"
    } else {
        "published chip power times runtime; no breakdown by event is published, off-chip memory is not included"
    };
    let peak_gmacs = node.multipliers() as f64 * config.clock_mhz * 1e-3;
    let facts = Facts::new(NAME, resolved, config.clock_mhz, costs);
    Ok(Chip { facts: Facts { area_mm2, peak_gmacs, energy_scope, ..facts }, config, node, power_mw }.into())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "schema")]
    _schema: u32,
    costs: String,
    clock_mhz: f64,
    technology_nm: u32,
    published_throughput_gmacs: f64,
    tiles: u32,
    filters_per_tile: u32,
    inputs_per_brick: u32,
}

#[derive(Debug)]
struct Chip {
    facts: Facts,
    config: Config,
    node: bricks::Node,
    power_mw: f64,
}

impl Accelerator for Chip {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn comparison_rows(&self) -> Result<Vec<ComparisonRow>, SimError> {
        let row = |provenance, throughput_gmacs, note: &str| ComparisonRow {
            design: "DaDianNao".into(),
            provenance,
            precision_bits: 16,
            technology_nm: f64::from(self.config.technology_nm),
            clock_mhz: self.config.clock_mhz,
            throughput_gmacs,
            area_mm2: self.facts.area_mm2,
            power_mw: self.power_mw,
            note: note.to_owned(),
        };
        Ok(vec![
            row(Provenance::Published, self.config.published_throughput_gmacs, DADIANNAO.source),
            row(
                Provenance::Modeled,
                self.facts.peak_gmacs,
                "4096 multipliers of the cycle model; the published rate counts 288 per tile; area and power as published",
            ),
        ])
    }

    fn is_same_for_all_images(&self) -> bool {
        true
    }

    fn simulate_layer(&self, layer: &LayerWorkload, _trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        layer.check()?;
        let cycles = layer.shape.n() as u64 * self.node.dense_cycles(layer);
        let slots = cycles * self.node.multipliers();
        let mut result = LayerResult::new(layer);
        result.cycles.add(&COMPUTE, cycles);
        result.events.add(&BRICK_READS, cycles);
        result.events.add(&WEIGHT_READS, slots);
        result.events.add(&EXECUTED_MACS, result.macs);
        result.events.add(&IDLE_SLOTS, slots - result.macs);
        result.activity = vec![Activity::chip(cycles)];
        result.operations = NodeWork::dense(&self.node, layer, cycles, result.macs).operations();
        if layer.kind == LayerKind::Conv && layer.shape.groups() > 1 {
            result.note("groups run one after another; groups narrower than a brick share one");
        }
        Ok(result)
    }
}
