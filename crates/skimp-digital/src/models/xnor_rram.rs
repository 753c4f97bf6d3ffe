//! XNOR-RRAM: binary weights in pairs of cells, signs as inputs, sub-arrays of 128 x 128 synapses, sense amplifiers of few levels.
//!
//! A weight of +1 is an LRS cell over an HRS cell, −1 the other way round; an input of +1 drives the upper row, −1 the lower one,
//! so that a column's current counts matches. Sub-arrays give partial sums through multi-level sense amplifiers
//! (`levels_bits`, a flash converter that `columns_per_sense` columns share), and numbers are added.
//!
//! Fidelity: rows, cells and senses are counted from real operands. All sub-arrays of a layer read side by side, their columns
//! one after another through the shared converter; a window takes `columns_per_sense` cycles (times the bits of a wider input).
//!
//! - Thresholds of the levels follow the sums of independent signs (`quantile`, `lloyd-max`), or stand at equal steps (`linear`);
//!   a level stands for the mean of what it holds, rounded. Sums of a trained network are wider than those: `levels_spread` says
//!   by how much, or `levels_from` takes the network's own partial sums on the tuning images: of the `layer`, of each row `tile`,
//!   or of each converter (`sense`). Offsets are drawn once for each comparator of a chip.
//! - Inputs of several bits, as the first layer has them, are read bit by bit, each bit twice: upper rows, then lower ones, the second
//!   read subtracted. So are inputs of 0 and 1.
//! - `thresholds_from = "chip"` estimates batch normalization again on the chip: each layer is read with the inputs that it has in
//!   the exact network on tuning images (256, if there are as many), and the threshold of each neuron moves with mean and
//!   deviation of its sums; the last layer's sums get the exact ones' mean and deviation.
//! - Thresholds of neurons are numbers beside the array: nothing clips them. The last layer's sums are compared as numbers.
//!
//! # Energy
//!
//! Worked out from the settings, nothing is fitted to a result; what has no source costs 0 and stands in the table as an omission.
//! Every cell of a driven row conducts while all comparators of its column sense, the other columns' cells only then: no half
//! selected cells are counted.
//!
//! # Published
//!
//! 141.18 TOPS/W projected at 65 nm, which is 232 pJ for a read of 128 x 128; 24 TOPS/W measured at 90 nm (683 pJ for 128 x 64).

use serde::Deserialize;
use skimp_analog::Synapse;
use skimp_sim::{
    Accelerator, Configured, Facts, LayerEffect, LayerResult, LayerTrace, LayerWorkload, Needs, NonIdeality, Scope,
    Scopes, SimError,
};
use toml::Table;

use super::config::{positive, read, taken};
use super::crossbar::{
    BiasReach, CELL_KEYS, CellSettings, ChipEffect, ChipSearch, Combine, Fabric, LevelRule, LevelsFrom, Placing,
    Prices, ThresholdsFrom, WideInput, ZEROES, count, non_idealities,
};
use super::entry::Entry;

const NAME: &str = "xnor-rram";
const PRESET: &str = include_str!("../../../../configs/accelerators/xnor-rram.toml");
const SUMMARY: &str = "Prediction from cells and sense amplifiers; nothing is fitted to a result.";

/// The registered model.
///
/// # Source
/// X. Sun, S. Yin, X. Peng, R. Liu, J. Seo and S. Yu, "XNOR-RRAM: A Scalable and Parallel Resistive Synaptic Architecture for Binary
/// Neural Networks", DATE 2018.
/// Differs: the cell, the columns that share a converter and the time of a read are not in our notes of the source; each is a
/// setting with a source of its own.
pub(super) static XNOR_RRAM: Entry = Entry {
    name: NAME,
    summary: "sub-arrays of 128 x 128 XNOR synapses of two resistive cells, partial sums through sense amplifiers of few levels",
    source: "X. Sun, S. Yin, X. Peng, R. Liu, J. Seo, S. Yu, XNOR-RRAM, DATE 2018",
    preset: PRESET,
    build,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "schema")]
    _schema: u32,
    costs: String,
    clock_mhz: f64,
    technology_nm: u32,
    tiles: u32,
    inputs_per_tile: u32,
    columns_per_tile: u32,
    columns_per_sense: u32,
    levels: Placing,
    levels_bits: u32,
    wide_levels_bits: u32,
    levels_spread: f64,
    levels_from: LevelsFrom,
    thresholds_from: ThresholdsFrom,
    sense_offset: f64,
    read_ns: f64,
    seed: i64,
    chip: i64,
}

fn build(resolved: Table) -> Result<Configured, SimError> {
    let (cell, rest) = taken::<CellSettings>(&resolved, &CELL_KEYS)?;
    let cell = cell.cell()?;
    let config: Config = read(rest)?;
    positive("clock_mhz", config.clock_mhz)?;
    let fabric = Fabric {
        name: NAME,
        synapse: Synapse::Xnor,
        cell,
        rows: config.inputs_per_tile as usize,
        columns: config.columns_per_tile as usize,
        bias_rows: 0,
        bias: BiasReach::Ideal,
        wide_input: WideInput::BitSerial,
        combine: Combine::Adder(LevelRule {
            bits: config.levels_bits,
            wide_bits: config.wide_levels_bits,
            placing: config.levels,
            spread: config.levels_spread,
            from: config.levels_from,
        }),
        columns_per_sense: config.columns_per_sense as usize,
        offset: config.sense_offset,
        seed: config.seed.unsigned_abs(),
        chip: config.chip.unsigned_abs(),
        own: None,
        corrections: None,
    };
    let prices = Prices {
        design: NAME,
        cell,
        read_ns: config.read_ns,
        technology_nm: config.technology_nm,
        // Half of the synapses match.
        conducting: 0.5 * f64::from(config.inputs_per_tile),
        is_multi_level: true,
        summary: SUMMARY.to_owned(),
    };
    let costs = prices.table(&config.costs)?;
    let synapses = f64::from(config.tiles) * f64::from(config.inputs_per_tile) * f64::from(config.columns_per_tile);
    let mut parts = non_idealities(&cell);
    if config.sense_offset > 0.0 {
        let without = Table::from_iter([("sense_offset".to_owned(), 0.0.into())]);
        parts.push(NonIdeality { name: "offsets of sense amplifiers", without });
    }
    let enough = 32 - config.inputs_per_tile.leading_zeros();
    if config.levels_bits < enough && enough <= 8 {
        let settings = [("levels_bits", toml::Value::from(8)), ("wide_levels_bits", 8.into())];
        let without = settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        parts.push(NonIdeality { name: "levels of partial sums", without });
    }
    let facts = Facts {
        peak_gmacs: synapses / f64::from(config.columns_per_sense) * config.clock_mhz * 1e-3,
        not_counted: Scopes::of(&[Scope::Network, Scope::Buffers, Scope::Static, Scope::OffChip]),
        energy_scope: "cells that conduct and comparators of multi-level sense amplifiers, once a read; drivers, adders, buffers and \
                       leakage are counted and priced at 0; weights stay in the cells, inputs come from outside",
        needs: Needs::Values,
        exploits: Vec::new(),
        remarks: vec![SUMMARY.to_owned(), ZEROES.to_owned()],
        own_costs_only: true,
        non_idealities: parts,
        ..Facts::new(NAME, resolved, config.clock_mhz, costs)
    };
    let tiles = u64::from(config.tiles);
    let finish = move |facts: Facts, fabric: Fabric| -> Box<dyn Accelerator> {
        let effect = ChipEffect::new(&fabric);
        Box::new(Arrays { facts, fabric, tiles, effect })
    };
    let thresholds = config.thresholds_from;
    if config.levels_from != LevelsFrom::Independent || thresholds == ThresholdsFrom::Chip {
        let search = ChipSearch { facts, fabric, tiles, thresholds, finish: Box::new(finish) };
        return Ok(Configured::NeedsSearch(Box::new(search)));
    }
    Ok(Configured::Ready(finish(facts, fabric)))
}

#[derive(Debug)]
struct Arrays {
    facts: Facts,
    fabric: Fabric,
    tiles: u64,
    effect: ChipEffect,
}

impl Accelerator for Arrays {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn check_network(&self, layers: &[LayerWorkload]) -> Result<(), SimError> {
        self.fabric.check(layers, self.tiles)
    }

    fn simulate_layer(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        count(&self.fabric, layer, trace, false)
    }

    fn effect(&self) -> Option<&dyn LayerEffect> {
        Some(&self.effect)
    }
}
