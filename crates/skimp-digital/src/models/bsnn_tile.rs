//! A tile of resistive cells for binary spiking networks: 27 x 32 binary weights, 5 x 32 bias cells, sense amplifiers as neurons.
//!
//! Currents of cells whose rows carry a spike add up along a column; a sense amplifier compares them with a reference and is the
//! neuron. No DAC, no ADC. A layer of more than 27 inputs takes several row tiles, whose partial sums `combine` joins:
//!
//! - `current`: all of them flow into one sense amplifier. Ideal as a sum; the source does not say how a bus carries it.
//! - `majority`: each row tile decides by its share of the threshold, most votes win. Networks have to be trained for it.
//! - `adder`: each row tile has a multi-level sense amplifier (a flash converter of `levels_bits`), and numbers are added. Its
//!   thresholds follow sums of independent terms, or (`levels_from`) the network's own on the tuning images: of the `layer`, of
//!   each row `tile`, or of each column (`sense`).
//!
//! Fidelity: rows, cells, senses and tiles without a spike are counted from real operands; reads of a layer take one cycle for
//! each window (each bit of a wider input), all tiles side by side. `latency` is the layers one after another; as a pipeline the
//! network gives an answer each cycle of its longest layer.
//!
//! - Cells (`outputs`): `single` has a cell for a weight and a reference column for each tile, an LRS and an HRS cell a row, half
//!   of their current; `differential` has pairs of columns, 16 outputs a tile.
//! - Activations of 0 and 1 drive rows as they are. Those of ±1 do by `Σ w a = 2 Σ w x − Σ w`: the second sum is part of the
//!   threshold, and everything that is not ideal counts twice. Codes of several bits, as the first layer has them, are read bit by
//!   bit (`wide_input = "bit-serial"`, added up before anything is sensed), or their upper half is 1 (`"binarized"`, another
//!   network unless it was trained so).
//! - Thresholds (`bias`): five rows of ±1 reach −5 to 5 (a pair of HRS cells is 0). `every-tile` takes the rows of all row tiles of
//!   a layer together, `one-tile` those of one, `ideal` any threshold. What lies outside is clipped and found as
//!   `thresholds_outside`; behind inputs of several bits no threshold is clipped.
//! - The last layer has no neuron: its sums are compared as they are (the largest wins), with noise and offsets.
//! - `thresholds_from = "chip"` estimates batch normalization again on the chip: each layer is read with the inputs that it has in
//!   the exact network on tuning images (256, if there are as many), and the threshold of each neuron moves with mean and
//!   deviation of its sums; the last layer's sums get the exact ones' mean and deviation. A moved threshold is clipped as any
//!   other. Not beside votes or a binarized input.
//! - Padding adds nothing. For signs that is no state of a row: a threshold that knows the border is assumed.
//!
//! Chips (`chip`, `--chips`) differ in programmed cells and in the offsets of sense amplifiers, which stay; reads add noise. The
//! order is: program, stuck cells, then at each read noise, sum, offset.
//!
//! # Energy
//!
//! Worked out from the settings, nothing is fitted to a result: each conducting cell takes `V² G t`, each sense amplifier the power
//! of its fit. Drivers, joining of partial sums, buffers, multiplexers and leakage have no source and cost 0: each stands in the
//! table as an omission. `bsnn-tile-calibrated` has its cell fitted to the published energy, so that this energy is no finding.
//!
//! # Published
//!
//! The lecture's 784-512-256-10 (535,040 weights, 32 nm): 519.6 mW for 2.1 ns are 1.09 nJ, 970 TOPS/W, at two operations a
//! weight. It takes 642 tiles of 32 outputs, 1,274 of 16.

use serde::Deserialize;
use skimp_analog::Synapse;
use skimp_sim::{
    Accelerator, Configured, Facts, LayerEffect, LayerResult, LayerTrace, LayerWorkload, Needs, NonIdeality, Scope,
    Scopes, SimError,
};
use toml::Table;

use super::config::{positive, read, taken};
use super::crossbar::{
    BiasReach, CELL_KEYS, ChipEffect, ChipSearch, Combine, Fabric, LevelRule, LevelsFrom, Placing, Prices,
    ThresholdsFrom, WideInput, ZEROES, count, non_idealities,
};
use super::entry::Entry;

const PRESET: &str = include_str!("../../../../configs/accelerators/bsnn-tile.toml");
const CALIBRATED: &str = include_str!("../../../../configs/accelerators/bsnn-tile-calibrated.toml");

/// The registered model.
///
/// # Source
/// Tile, sizes and figures: lecture of the Seoul National University group of K. Choi, slides of 25 May 2019, unpublished then.
/// Cells of +1/0 neurons: X. Sun et al., "Fully Parallel RRAM Synaptic Array for Implementing Binary Neural Network with (+1, −1)
/// Weights and (+1, 0) Neurons", ASP-DAC 2018.
/// Differs: how row tiles combine, what a reference is and how the input enters is not published; each is a setting.
pub(super) static BSNN_TILE: Entry = Entry {
    name: "bsnn-tile",
    summary: "tiles of 27 x 32 resistive binary weights with sense amplifiers as neurons, no DAC and no ADC; energy predicted",
    source: "lecture of K. Choi's group, Seoul National University, 2019; X. Sun et al., ASP-DAC 2018",
    preset: PRESET,
    build: |resolved| {
        build("bsnn-tile", resolved, "Prediction from cells and sense amplifiers; nothing is fitted to a result.")
    },
};

/// The same with a cell that was fitted to the published energy.
///
/// # Source
/// As [`BSNN_TILE`].
/// Differs: `lrs_ohm` and `read_ns` give the published energy of 1.09 nJ at half of the inputs active; that energy is an input here.
pub(super) static BSNN_TILE_CALIBRATED: Entry = Entry {
    name: "bsnn-tile-calibrated",
    summary: "bsnn-tile with a cell fitted to the published 1.09 nJ: its energy is no prediction",
    source: "lecture of K. Choi's group, Seoul National University, 2019; X. Sun et al., ASP-DAC 2018",
    preset: CALIBRATED,
    build: |resolved| {
        build("bsnn-tile-calibrated", resolved, "Calibrated: the cell was fitted to the published energy, 1.09 nJ.")
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Outputs {
    Single,
    Differential,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum CombineWord {
    Current,
    Majority,
    Adder,
}

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
    outputs: Outputs,
    bias_rows: u32,
    bias: BiasReach,
    wide_input: WideInput,
    combine: CombineWord,
    levels: Placing,
    levels_bits: u32,
    wide_levels_bits: u32,
    levels_spread: f64,
    levels_from: LevelsFrom,
    thresholds_from: ThresholdsFrom,
    event_driven: bool,
    sense_offset: f64,
    read_ns: f64,
    seed: i64,
    chip: i64,
}

fn build(name: &'static str, resolved: Table, summary: &str) -> Result<Configured, SimError> {
    let (cell, rest) = taken::<super::crossbar::CellSettings>(&resolved, &CELL_KEYS)?;
    let cell = cell.cell()?;
    let config: Config = read(rest)?;
    positive("clock_mhz", config.clock_mhz)?;
    if config.combine != CombineWord::Adder && config.levels_from != LevelsFrom::Independent {
        let reason = "only combine = \"adder\" reads partial sums by levels".to_owned();
        return Err(SimError::SettingValue { key: "levels_from".into(), reason });
    }
    if config.thresholds_from == ThresholdsFrom::Chip {
        let other = match (config.combine, config.wide_input) {
            (CombineWord::Majority, _) => {
                Some("combine = \"majority\": votes have no mean that a threshold could follow")
            }
            (_, WideInput::Binarized) => Some("wide_input = \"binarized\": its exact sums are not the network's"),
            _ => None,
        };
        if let Some(found) = other {
            let reason = format!("expected \"network\" beside {found}");
            return Err(SimError::SettingValue { key: "thresholds_from".into(), reason });
        }
    }
    let (synapse, columns) = match config.outputs {
        Outputs::Single => (Synapse::Single, config.columns_per_tile),
        Outputs::Differential => (Synapse::Differential, config.columns_per_tile / 2),
    };
    let rule = LevelRule {
        bits: config.levels_bits,
        wide_bits: config.wide_levels_bits,
        placing: config.levels,
        spread: config.levels_spread,
        from: config.levels_from,
    };
    let fabric = Fabric {
        name,
        synapse,
        cell,
        rows: config.inputs_per_tile as usize,
        columns: columns.max(1) as usize,
        bias_rows: config.bias_rows as usize,
        bias: config.bias,
        wide_input: config.wide_input,
        combine: match config.combine {
            CombineWord::Current => Combine::Current,
            CombineWord::Majority => Combine::Majority,
            CombineWord::Adder => Combine::Adder(rule),
        },
        columns_per_sense: 1,
        offset: config.sense_offset,
        seed: config.seed.unsigned_abs(),
        chip: config.chip.unsigned_abs(),
        own: None,
        corrections: None,
    };
    let prices = Prices {
        design: name,
        cell,
        read_ns: config.read_ns,
        technology_nm: config.technology_nm,
        // Half of the inputs carry a spike, half of the weights are +1, and half of the bias cells conduct.
        conducting: 0.25 * f64::from(config.inputs_per_tile) + 0.5 * f64::from(config.bias_rows),
        is_multi_level: config.combine == CombineWord::Adder,
        summary: summary.to_owned(),
    };
    let costs = prices.table(&config.costs)?;
    let per_tile = f64::from(config.inputs_per_tile) * fabric.columns as f64;
    let facts = Facts {
        peak_gmacs: f64::from(config.tiles) * per_tile * config.clock_mhz * 1e-3,
        not_counted: Scopes::of(&[Scope::Network, Scope::Buffers, Scope::Static, Scope::OffChip]),
        energy_scope: "cells that conduct and sense amplifiers, once a read; drivers, joining of partial sums, buffers and leakage \
                       are counted and priced at 0; weights stay in the cells, inputs come from outside",
        needs: Needs::Values,
        exploits: vec!["inputs without a spike"],
        remarks: vec![summary.to_owned(), ZEROES.to_owned()],
        own_costs_only: true,
        non_idealities: of_fabric(&fabric),
        ..Facts::new(name, resolved, config.clock_mhz, costs)
    };
    let (tiles, event_driven) = (u64::from(config.tiles), config.event_driven);
    let finish = move |facts: Facts, fabric: Fabric| -> Box<dyn Accelerator> {
        let effect = (!ChipEffect::is_ideal(&fabric)).then(|| ChipEffect::new(&fabric));
        Box::new(Tiles { facts, effect, tiles, event_driven, fabric })
    };
    let thresholds = config.thresholds_from;
    if config.levels_from != LevelsFrom::Independent || thresholds == ThresholdsFrom::Chip {
        let search = ChipSearch { facts, fabric, tiles, thresholds, finish: Box::new(finish) };
        return Ok(Configured::NeedsSearch(Box::new(search)));
    }
    Ok(Configured::Ready(finish(facts, fabric)))
}

/// What is not ideal, each with the settings without it.
fn of_fabric(fabric: &Fabric) -> Vec<NonIdeality> {
    let mut all = non_idealities(&fabric.cell);
    let mut add = |is_there: bool, name, key: &str, value: toml::Value| {
        if is_there {
            all.push(NonIdeality { name, without: Table::from_iter([(key.to_owned(), value)]) });
        }
    };
    add(fabric.offset > 0.0, "offsets of sense amplifiers", "sense_offset", 0.0.into());
    add(fabric.bias != BiasReach::Ideal, "reach of bias rows", "bias", "ideal".into());
    add(fabric.combine != Combine::Current, "combination of row tiles", "combine", "current".into());
    add(fabric.wide_input == WideInput::Binarized, "binarized input", "wide_input", "bit-serial".into());
    all
}

#[derive(Debug)]
struct Tiles {
    facts: Facts,
    fabric: Fabric,
    tiles: u64,
    event_driven: bool,
    effect: Option<ChipEffect>,
}

impl Accelerator for Tiles {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn check_network(&self, layers: &[LayerWorkload]) -> Result<(), SimError> {
        self.fabric.check(layers, self.tiles)
    }

    fn simulate_layer(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        count(&self.fabric, layer, trace, self.event_driven)
    }

    fn effect(&self) -> Option<&dyn LayerEffect> {
        self.effect.as_ref().map(|effect| effect as &dyn LayerEffect)
    }
}
