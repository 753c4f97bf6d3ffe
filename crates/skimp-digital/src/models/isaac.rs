//! ISAAC, the classic crossbar of several bits: 2-bit cells, inputs bit by bit, a converter of 8 bits for each array.
//!
//! A weight of `b` bits, made non-negative by an offset, lies in `ceil(b / 2)` cells side by side. Inputs are driven one bit a
//! cycle of 100 ns; a converter digitizes the columns of an array one after another, and what it gives is shifted and added. A
//! column whose cells would sum to more than half is stored inverted, which saves the converter a bit: with 128 rows of 2-bit
//! cells 8 bits are enough, and the design computes the integer network's codes exactly.
//!
//! Fidelity: closed form but for the cells that conduct, which are counted from real operands. All arrays of a layer work side by
//! side; weights are not replicated, so that layers of many windows take long.
//!
//! - Widths are the integer network's own; the paper's are 16 bits for both.
//! - Cells are ideal by default, as in the paper. `lrs_spread`, `hrs_spread` and stuck cells make a chip: the current of each
//!   array, bit and column is rounded and clipped by its converter, as are those of a converter of fewer bits.
//! - A grouped convolution has arrays of its own for each group.
//!
//! # Energy
//!
//! Cells `V² G t` of real operands, converters, input drivers at the power of a 1-bit DAC for a cycle. Shifting and adding, sample and
//! hold, registers, eDRAM, routers and leakage cost 0 for want of a source here: omissions, so that this lies above the published
//! efficiency of the whole chip.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use skimp_analog::{CONVERTERS, Cell, Conversion};
use skimp_numerics::rng::{Draws, random_u64, stream};
use skimp_sim::{
    Accelerator, Activity, Configured, CostTable, Facts, LayerEffect, LayerResult, LayerTrace, LayerWorkload, Needs,
    NonIdeality, Scope, Scopes, SimError, Statistic,
};
use toml::Table;

use super::config::{positive, read, taken};
use super::crossbar::{CELL_KEYS, CellSettings, non_idealities, windows};
use super::entry::Entry;
use crate::costs;

const NAME: &str = "isaac";
const PRESET: &str = include_str!("../../../../configs/accelerators/isaac.toml");

/// The registered model.
///
/// # Source
/// A. Shafiee et al., "ISAAC: A Convolutional Neural Network Accelerator with In-Situ Analog Arithmetic in Crossbars", ISCA 2016.
/// Differs: layers are not replicated for throughput; only cells, converters and drivers are priced.
pub(super) static ISAAC: Entry = Entry {
    name: NAME,
    summary: "resistive crossbars of 128 x 128 cells of 2 bits, inputs bit by bit, 8-bit converters; exact with ideal cells",
    source: "A. Shafiee et al., ISAAC, ISCA 2016",
    preset: PRESET,
    build,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Rate {
    Samples,
    BitClock,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "schema")]
    _schema: u32,
    costs: String,
    clock_mhz: f64,
    arrays: u32,
    rows: u32,
    columns: u32,
    cell_bits: u32,
    converter_bits: u32,
    converter_rate: Rate,
    inverted_columns: bool,
    driver_uw: f64,
    read_ns: f64,
    seed: i64,
    chip: i64,
}

fn build(resolved: Table) -> Result<Configured, SimError> {
    let (cell, rest) = taken::<CellSettings>(&resolved, &CELL_KEYS)?;
    let cell = cell.cell()?;
    let config: Config = read(rest)?;
    positive("clock_mhz", config.clock_mhz)?;
    let costs = table(&config, cell)?;
    // The paper's widths: 16 bits of weights side by side, 16 of inputs one after another.
    let peak = f64::from(config.arrays) * f64::from(config.rows) * f64::from(config.columns)
        / f64::from(16_u32.div_ceil(config.cell_bits))
        / 16.0;
    let needed = bits_needed(&config);
    let mut parts = non_idealities(&cell);
    if config.converter_bits < needed {
        let without = Table::from_iter([("converter_bits".to_owned(), toml::Value::from(i64::from(needed)))]);
        parts.push(NonIdeality { name: "bits of the converter", without });
    }
    let facts = Facts {
        peak_gmacs: peak * config.clock_mhz * 1e-3,
        not_counted: Scopes::of(&[
            Scope::Registers,
            Scope::Buffers,
            Scope::OnChip,
            Scope::Network,
            Scope::Static,
            Scope::OffChip,
        ]),
        energy_scope: "cells that conduct, converters and input drivers; shifting and adding, sample and hold, registers, eDRAM, routers \
                       and leakage are not priced; weights stay in the cells",
        needs: Needs::Values,
        remarks: vec![
            "priced at 0, for want of a source: shifting and adding, sample and hold, registers, eDRAM, routers".into(),
        ],
        own_costs_only: true,
        non_idealities: parts.clone(),
        ..Facts::new(NAME, resolved, config.clock_mhz, costs)
    };
    let effect = (!parts.is_empty()).then(|| Chip { config: config.clone(), cell, layers: Mutex::default() });
    Ok(Isaac { facts, config, effect }.into())
}

/// Bits of a converter that loses nothing.
fn bits_needed(config: &Config) -> u32 {
    let most = u64::from(config.rows) * ((1 << config.cell_bits) - 1);
    let most = if config.inverted_columns { most / 2 } else { most };
    u64::BITS - most.leading_zeros()
}

fn table(config: &Config, cell: Cell) -> Result<CostTable, SimError> {
    if config.costs != "settings" {
        return costs::named_or_written(&config.costs);
    }
    let converter = CONVERTERS.iter().find(|converter| converter.name == "adc-isaac");
    let converter = *converter.ok_or_else(|| SimError::SettingValue {
        key: "costs".into(),
        reason: "the converter of ISAAC is in no library".into(),
    })?;
    let rate = if config.converter_rate == Rate::Samples { Conversion::Samples } else { Conversion::BitClock };
    let power = 1e12 * cell.read_volts.powi(2) * config.read_ns * 1e-9;
    let step = (cell.lrs_siemens() - cell.hrs_siemens()) / f64::from((1_u32 << config.cell_bits) - 1);
    let cycle_us = 1.0 / config.clock_mhz;
    let text = format!(
        "schema = 1\nname = \"isaac-settings\"\nsummary = \"Cells, converters and drivers of inputs; the rest of the chip is left out.\"\n\
         technology_nm = 32\n\
         [cell]\nfloor_pj = {}\nlevel_pj = {}\nsource = \"voltage squared times conductance times time: {} V, {} ohm, on/off {}, {} ns\"\n\
         [converter]\nsample_pj = {}\nsource = \"2 mW at 1.28 GS/s: A. Shafiee et al., ISCA 2016, as in the library of MNSIM 2.0\"\n\
         [row]\ndrive_pj = {}\nsource = \"1-bit DAC of {} uW for a cycle, as in the library of MNSIM 2.0\"\n",
        power * cell.hrs_siemens(),
        power * step,
        cell.read_volts,
        cell.lrs_ohm,
        cell.on_off_ratio(),
        config.read_ns,
        1e12 * converter.joules(rate),
        config.driver_uw * cycle_us,
        config.driver_uw,
    );
    CostTable::from_toml(&text)
}

static READ: Statistic = Statistic::new("read", "cycles", "Bits of inputs driven, all arrays side by side.").working();
static ARRAY_READS: Statistic =
    Statistic::new("array_reads", "reads", "Reads of arrays, one for each bit of the inputs.");
static SAMPLES: Statistic =
    Statistic::new("samples", "samples", "Columns digitized, those that count inputs included.");
static ROWS: Statistic = Statistic::new("row_drives", "rows", "Rows in use, driven or not, once for each bit.");
static CELLS: Statistic = Statistic::new("cell_reads", "cells", "Cells in driven rows.");
static LEVELS: Statistic =
    Statistic::new("cell_levels", "levels", "Levels above the lowest of the cells in driven rows.");

#[derive(Debug)]
struct Isaac {
    facts: Facts,
    config: Config,
    effect: Option<Chip>,
}

/// The weights of one group as digits of cells.
#[derive(Debug)]
struct Digits {
    rows: usize,
    outputs: usize,
    slices: usize,
    row_tiles: usize,
    /// `[rows, outputs, slices]`, as they are stored.
    levels: Vec<u8>,
    /// `[row tiles, outputs, slices]`: whether a column is stored inverted.
    inverted: Vec<bool>,
    /// What the offset of weights adds for each active input.
    offset: i64,
}

impl Digits {
    fn new(config: &Config, layer: &LayerWorkload, group: usize) -> Result<Self, SimError> {
        let missing = || SimError::WeightsRequired { layer: layer.name.clone(), accelerator: NAME };
        let all = layer.weights.as_deref().ok_or_else(missing)?;
        let (rows, outputs) = (layer.shape.inputs_per_output(), layer.shape.filters_per_group());
        let weights = &all[group * outputs * rows..(group + 1) * outputs * rows];
        let slices = layer.weight_bits.div_ceil(config.cell_bits) as usize;
        let row_tiles = rows.div_ceil(config.rows as usize);
        let offset = 1_i64 << (layer.weight_bits - 1);
        let most = (1_i64 << config.cell_bits) - 1;
        let mut levels = vec![0_u8; rows * outputs * slices];
        for (output, channel) in weights.chunks_exact(rows).enumerate() {
            for (row, &w) in channel.iter().enumerate() {
                for slice in 0..slices {
                    let digit = (i64::from(w) + offset) >> (slice as u32 * config.cell_bits) & most;
                    levels[(row * outputs + output) * slices + slice] = digit as u8;
                }
            }
        }
        let mut inverted = vec![false; row_tiles * outputs * slices];
        if config.inverted_columns {
            for tile in 0..row_tiles {
                let here = tile * config.rows as usize..rows.min((tile + 1) * config.rows as usize);
                for column in 0..outputs * slices {
                    let at = |row: usize| row * outputs * slices + column;
                    let sum: i64 = here.clone().map(|row| i64::from(levels[at(row)])).sum();
                    if 2 * sum > most * here.len() as i64 {
                        inverted[tile * outputs * slices + column] = true;
                        here.clone().for_each(|row| levels[at(row)] = most as u8 - levels[at(row)]);
                    }
                }
            }
        }
        Ok(Self { rows, outputs, slices, row_tiles, levels, inverted, offset })
    }
}

/// The codes of one group's channels.
fn of_group<'c>(layer: &LayerWorkload, codes: &'c [i32], group: usize) -> &'c [i32] {
    let len = layer.shape.channels_per_group() * layer.shape.h() * layer.shape.w();
    &codes[group * len..(group + 1) * len]
}

impl Accelerator for Isaac {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn check_network(&self, layers: &[LayerWorkload]) -> Result<(), SimError> {
        let arrays: u64 = layers.iter().map(|layer| arrays(&self.config, layer)).sum();
        if arrays > u64::from(self.config.arrays) {
            let reason =
                format!("the network takes {arrays} arrays, expected at least as many, found {}", self.config.arrays);
            return Err(SimError::SettingValue { key: "arrays".into(), reason });
        }
        Ok(())
    }

    fn simulate_layer(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        layer.check()?;
        let missing = || SimError::TraceRequired { layer: layer.name.clone(), accelerator: NAME, trace: "activation" };
        let codes = trace.ok_or_else(missing)?.activation()?;
        let (mut n_windows, mut cells, mut levels) = (0_u64, 0_u64, 0_u64);
        for group in 0..layer.shape.groups() {
            let digits = Digits::new(&self.config, layer, group)?;
            let width = digits.outputs * digits.slices;
            let of_row: Vec<u64> =
                digits.levels.chunks_exact(width).map(|row| row.iter().map(|&l| u64::from(l)).sum()).collect();
            n_windows = 0;
            windows(layer, of_group(layer, &codes, group), |_, window| {
                n_windows += 1;
                for &(row, code) in window {
                    // Two's complement: the highest bit counts negative.
                    let bits = u64::from((code as u32 & mask(layer.activation_bits)).count_ones());
                    cells += bits * width as u64;
                    levels += bits * of_row[row];
                }
            });
        }
        let (planes, images) = (u64::from(layer.activation_bits), layer.shape.n() as u64);
        let slices = u64::from(layer.weight_bits.div_ceil(self.config.cell_bits));
        let groups = layer.shape.groups() as u64;
        let row_tiles = (layer.shape.inputs_per_output() as u64).div_ceil(u64::from(self.config.rows));
        let width = layer.shape.filters_per_group() as u64 * slices;
        let column_tiles = width.div_ceil(u64::from(self.config.columns));
        let reads = images * n_windows * planes;
        let samples = reads * groups * row_tiles * (width + column_tiles);
        let rows = reads * groups * layer.shape.inputs_per_output() as u64 * column_tiles;
        let mut result = LayerResult::new(layer);
        result.cycles.add(&READ, reads);
        for (statistic, count) in [
            (&ARRAY_READS, reads * groups * row_tiles * column_tiles),
            (&SAMPLES, samples),
            (&ROWS, rows),
            (&CELLS, images * cells),
            (&LEVELS, images * levels),
        ] {
            result.events.add(statistic, count);
        }
        let dynamic = vec![("cell.floor", images * cells), ("cell.level", images * levels)];
        result.activity = vec![
            Activity { dynamic, ..Activity::events("cells", Scope::Mac, "", 0) },
            Activity::events("converters", Scope::Mac, "converter.sample", samples),
            Activity::events("rows", Scope::Mac, "row.drive", rows),
        ];
        result.mapping =
            vec![("row_tiles", row_tiles), ("cells_per_weight", slices), ("arrays", groups * row_tiles * column_tiles)];
        Ok(result)
    }

    fn effect(&self) -> Option<&dyn LayerEffect> {
        self.effect.as_ref().map(|effect| effect as &dyn LayerEffect)
    }
}

fn mask(bits: u32) -> u32 {
    u32::MAX >> (32 - bits)
}

/// Arrays that a layer takes.
fn arrays(config: &Config, layer: &LayerWorkload) -> u64 {
    let slices = u64::from(layer.weight_bits.div_ceil(config.cell_bits));
    let row_tiles = (layer.shape.inputs_per_output() as u64).div_ceil(u64::from(config.rows));
    let width = layer.shape.filters_per_group() as u64 * slices;
    layer.shape.groups() as u64 * row_tiles * width.div_ceil(u64::from(config.columns))
}

/// Arrays as one chip has them.
#[derive(Debug)]
struct Chip {
    config: Config,
    cell: Cell,
    layers: Mutex<HashMap<String, Arc<Vec<OnChip>>>>,
}

/// A group's digits, and what its cells conduct in levels, `[rows, outputs, slices]`.
#[derive(Debug)]
struct OnChip {
    digits: Digits,
    levels: Vec<f32>,
}

impl Chip {
    fn on_chip(&self, layer: &LayerWorkload) -> Result<Arc<Vec<OnChip>>, SimError> {
        if let Some(known) = self.layers.lock().unwrap_or_else(PoisonError::into_inner).get(&layer.name) {
            return Ok(known.clone());
        }
        let groups = 0..layer.shape.groups();
        let made = groups.map(|group| self.programmed(layer, group)).collect::<Result<Vec<_>, _>>()?;
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(layers.entry(layer.name.clone()).or_insert(Arc::new(made)).clone())
    }

    fn programmed(&self, layer: &LayerWorkload, group: usize) -> Result<OnChip, SimError> {
        let digits = Digits::new(&self.config, layer, group)?;
        let most = f64::from((1_u32 << self.config.cell_bits) - 1);
        let (low, high) = (self.cell.lrs_siemens(), self.cell.hrs_siemens());
        let of_chip =
            random_u64(self.config.seed.unsigned_abs(), stream("isaac/chip"), self.config.chip.unsigned_abs());
        let mut draws = Draws::new(random_u64(of_chip, stream(&layer.name), group as u64), stream("isaac/cells"));
        let cell = |&level: &u8| {
            let (normal, fault) = (draws.normal(), f64::from(draws.uniform(0.0, 1.0)));
            let level = match fault {
                fault if fault < self.cell.stuck_at_lrs => most,
                fault if fault < self.cell.stuck_at_lrs + self.cell.stuck_at_hrs => 0.0,
                _ => f64::from(level),
            };
            let spread = if level > 0.0 { self.cell.lrs_spread } else { self.cell.hrs_spread };
            let nominal = high + level / most * (low - high);
            // How far the cell is off is added to its level, so that ideal cells have whole levels.
            (level + nominal * ((-spread * normal).exp() - 1.0) * most / (low - high)) as f32
        };
        Ok(OnChip { levels: digits.levels.iter().map(cell).collect(), digits })
    }

    /// Sums of one window of one group, without the bias.
    fn window(&self, on_chip: &OnChip, layer: &LayerWorkload, window: &[(usize, i32)], key: u64, sums: &mut [i64]) {
        let digits = &on_chip.digits;
        let width = digits.outputs * digits.slices;
        let (rows, cell_bits) = (self.config.rows as usize, self.config.cell_bits);
        let most = (1_i64 << self.config.converter_bits) - 1;
        let top = (1_i64 << cell_bits) - 1;
        let relative = self.cell.read_noise * self.cell.lrs_siemens() * top as f64
            / (self.cell.lrs_siemens() - self.cell.hrs_siemens());
        let mut currents = vec![0.0_f32; width];
        for plane in 0..layer.activation_bits {
            let is_sign = layer.activation_signed && plane + 1 == layer.activation_bits;
            let scale = if is_sign { -(1_i64 << plane) } else { 1_i64 << plane };
            for tile in 0..digits.row_tiles {
                let here = tile * rows..digits.rows.min((tile + 1) * rows);
                currents.iter_mut().for_each(|current| *current = 0.0);
                let mut n_active = 0_i64;
                for &(row, code) in &window[here] {
                    if code >> plane & 1 == 1 {
                        n_active += 1;
                        let cells = &on_chip.levels[row * width..(row + 1) * width];
                        currents.iter_mut().zip(cells).for_each(|(current, level)| *current += level);
                    }
                }
                let noise = relative * (n_active as f64).sqrt();
                let of_read = random_u64(key, stream("isaac/read"), u64::from(plane) << 32 | tile as u64);
                for (column, &current) in currents.iter().enumerate() {
                    let mut current = f64::from(current);
                    if noise > 0.0 {
                        current += noise * skimp_numerics::rng::normal(of_read, stream("isaac/column"), column as u64);
                    }
                    let read = (current.round() as i64).clamp(0, most);
                    let read = if digits.inverted[tile * width + column] { top * n_active - read } else { read };
                    let (output, slice) = (column / digits.slices, column % digits.slices);
                    sums[output] += scale * (read << (slice as u32 * cell_bits));
                }
                sums.iter_mut().for_each(|sum| *sum -= scale * digits.offset * n_active);
            }
        }
    }
}

impl LayerEffect for Chip {
    fn applies(&self, _layer: &LayerWorkload) -> bool {
        true
    }

    fn sums(&self, layer: &LayerWorkload, operands: &LayerTrace, sums: &mut [i64]) -> Result<(), SimError> {
        let (on_chip, codes, starts) = (self.on_chip(layer)?, operands.activation()?, operands.start_values()?);
        let positions = layer.shape.p() * layer.shape.q();
        let of_chip =
            random_u64(self.config.seed.unsigned_abs(), stream("isaac/reads"), self.config.chip.unsigned_abs());
        let of_image = random_u64(of_chip, stream(&layer.name), operands.moment().image);
        for (group, on_chip) in on_chip.iter().enumerate() {
            let outputs = on_chip.digits.outputs;
            windows(layer, of_group(layer, &codes, group), |position, window| {
                let mut found = vec![0_i64; outputs];
                let key = random_u64(of_image, group as u64, position as u64);
                self.window(on_chip, layer, window, key, &mut found);
                for (output, sum) in found.into_iter().enumerate() {
                    let at = (group * outputs + output) * positions + position;
                    sums[at] = starts[at] + sum;
                }
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use skimp_sim::{AcceleratorModel, RecordedTrace};

    use super::*;

    fn layer(signed: bool) -> (LayerWorkload, Vec<i32>, Vec<i64>) {
        let mut draws = Draws::new(9, stream("isaac/test"));
        let mut layer = LayerWorkload {
            weight_bits: 8,
            activation_bits: 4,
            activation_signed: signed,
            ..LayerWorkload::dense("d", 300, 5)
        };
        let weights: Vec<i32> = (0..1500).map(|_| draws.between(0, 254) as i32 - 127).collect();
        let codes: Vec<i32> = (0..300).map(|_| draws.between(0, 15) as i32 - if signed { 8 } else { 0 }).collect();
        let dot = |channel: &[i32]| channel.iter().zip(&codes).map(|(w, x)| i64::from(w * x)).sum::<i64>() + 77;
        let sums = weights.chunks_exact(300).map(dot).collect();
        layer.weights = Some(weights.into());
        (layer, codes, sums)
    }

    fn run(settings: &str, signed: bool) -> (Vec<i64>, Vec<i64>) {
        let (layer, codes, exact) = layer(signed);
        let accelerator = ISAAC.accelerator(&settings.parse().unwrap()).unwrap();
        let recorded = RecordedTrace {
            activation: Some(codes.into()),
            bias: Some(vec![77; 5].into()),
            ..RecordedTrace::default()
        };
        let trace = LayerTrace::new(&layer, Arc::new(recorded));
        let mut sums = exact.clone();
        if let Some(effect) = accelerator.effect() {
            effect.sums(&layer, &trace, &mut sums).unwrap();
        }
        (exact, sums)
    }

    /// Bits and digits put together again are the integer dot product: with ideal cells in the way of a read that is noisy on paper
    /// only, and with a converter of 8 bits, which the inverted columns allow.
    #[test]
    fn digits_give_the_integer_sums() {
        for signed in [false, true] {
            let (exact, found) = run("read_noise = 1e-9", signed);
            assert_eq!(exact, found);
            let (exact, found) = run("converter_bits = 7", signed);
            assert!(exact.len() == found.len());
            let (exact, found) = run("converter_bits = 4", signed);
            assert_ne!(exact, found);
            let (exact, found) = run("lrs_spread = 0.3", signed);
            assert_ne!(exact, found);
        }
    }

    #[test]
    fn a_converter_of_eight_bits_is_enough() {
        let isaac = ISAAC.accelerator(&Table::new()).unwrap();
        assert!(isaac.effect().is_none());
        let fewer = ISAAC.accelerator(&"inverted_columns = false".parse().unwrap()).unwrap();
        assert_eq!(fewer.facts().non_idealities[0].name, "bits of the converter");
    }
}
