//! What designs of resistive cells share: cells as settings, inputs as what drives rows, counts of a read, a chip's effect.

mod cells;
mod chip;
mod chip_thresholds;
mod counts;
mod inputs;
mod own_levels;
mod prices;

use std::sync::Arc;

use skimp_analog::{Cell, Synapse, Tiling};
use skimp_sim::{LayerWorkload, SimError};

pub(super) use cells::{CELL_KEYS, CellSettings, non_idealities};
pub(super) use chip::ChipEffect;
pub(super) use chip_thresholds::{Corrections, ThresholdsFrom};
pub(super) use counts::count;
pub(super) use inputs::{Inputs, windows};
pub(super) use own_levels::{ChipSearch, LevelsFrom, OwnSums};
pub(super) use prices::{Prices, ZEROES};

/// How partial sums of row tiles become one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Combine {
    /// Currents of all row tiles flow into one sense amplifier.
    Current,
    /// A sense amplifier in each row tile decides by its share of the threshold; most votes win.
    Majority,
    /// A multi-level sense amplifier or converter in each row tile, its levels added as numbers.
    Adder(LevelRule),
}

/// The levels of a converter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LevelRule {
    /// Its bits.
    pub(super) bits: u32,
    /// Its bits in layers whose inputs have several.
    pub(super) wide_bits: u32,
    /// Where its thresholds are.
    pub(super) placing: Placing,
    /// How much wider sums are taken to be than those of independent terms.
    pub(super) spread: f64,
    /// Whose sums place the thresholds.
    pub(super) from: LevelsFrom,
}

impl LevelRule {
    /// Its bits for these inputs.
    pub(super) fn bits_of(self, inputs: Inputs) -> u32 {
        if matches!(inputs, Inputs::Words(_)) { self.wide_bits } else { self.bits }
    }
}

/// Where thresholds of levels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Placing {
    /// At equal steps over all that a tile may sum to.
    Linear,
    /// Between equally frequent sums.
    Quantile,
    /// Where the mean squared error is least.
    LloydMax,
}

/// What bias rows reach of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum BiasReach {
    /// Any threshold: something else than rows of cells holds it.
    Ideal,
    /// What the rows of one tile reach.
    OneTile,
    /// What the rows of all row tiles reach together.
    EveryTile,
}

/// What a first layer makes of inputs of several bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WideInput {
    /// Bit after bit, each read counting twice the last.
    BitSerial,
    /// Their upper half is 1.
    Binarized,
}

/// Cells, tiles and rules of a design whose weights are ±1.
#[derive(Clone, Debug)]
pub(super) struct Fabric {
    pub(super) name: &'static str,
    pub(super) synapse: Synapse,
    pub(super) cell: Cell,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) bias_rows: usize,
    pub(super) bias: BiasReach,
    pub(super) wide_input: WideInput,
    pub(super) combine: Combine,
    /// Columns that share what senses them.
    pub(super) columns_per_sense: usize,
    /// Standard deviation of an offset, over what a tile's full column sums to.
    pub(super) offset: f64,
    pub(super) seed: u64,
    pub(super) chip: u64,
    /// The network's partial sums, where its levels are placed by them.
    pub(super) own: Option<Arc<OwnSums>>,
    /// What the chip's sums are beside the exact ones, where its thresholds follow them.
    pub(super) corrections: Option<Arc<Corrections>>,
}

impl Fabric {
    /// The tiles of a layer.
    pub(super) fn tiling(&self, layer: &LayerWorkload) -> Result<Tiling, SimError> {
        if layer.shape.groups() != 1 {
            let what = format!("{} groups of channels: its rows reach every column", layer.shape.groups());
            return Err(SimError::Unsupported { layer: layer.name.clone(), accelerator: self.name, what });
        }
        let extents = [layer.shape.inputs_per_output(), layer.shape.k()];
        Tiling::new(extents, [self.rows, self.columns]).map_err(|error| SimError::Unsupported {
            layer: layer.name.clone(),
            accelerator: self.name,
            what: error.to_string(),
        })
    }

    /// Refuses networks that the tiles cannot hold: layers whose weights are not ±1 (times a scale of their channel), and
    /// networks of more tiles than `tiles`.
    pub(super) fn check(&self, layers: &[LayerWorkload], tiles: u64) -> Result<(), SimError> {
        let mut needed = 0;
        for layer in layers {
            self.magnitudes(layer)?;
            needed += self.tiling(layer)?.tiles() as u64;
        }
        if needed > tiles {
            let reason = format!("the network takes {needed} tiles, expected at least as many, found {tiles}");
            return Err(SimError::SettingValue { key: "tiles".into(), reason });
        }
        Ok(())
    }

    /// The one magnitude that the weights of each output channel have; all 1 where there are no weights.
    pub(super) fn magnitudes(&self, layer: &LayerWorkload) -> Result<Vec<i64>, SimError> {
        let Some(weights) = &layer.weights else { return Ok(vec![1; layer.shape.k()]) };
        let of = |(k, channel): (usize, &[i32])| {
            let first = channel.first().map_or(1, |w| w.unsigned_abs());
            match channel.iter().find(|w| w.unsigned_abs() != first || **w == 0) {
                None => Ok(i64::from(first)),
                Some(other) => Err(SimError::Unsupported {
                    layer: layer.name.clone(),
                    accelerator: self.name,
                    what: format!(
                        "weights that are not binary: channel {k} has the codes {} and {other}, expected one magnitude a \
                         channel and no 0 (skimp train --quantizer bnn makes such networks)",
                        channel.first().copied().unwrap_or_default()
                    ),
                }),
            }
        };
        weights.chunks_exact(layer.shape.inputs_per_output().max(1)).enumerate().map(of).collect()
    }

    /// Weights of a layer, positive for +1.
    pub(super) fn weights<'l>(&self, layer: &'l LayerWorkload) -> Result<&'l [i32], SimError> {
        let missing = || SimError::WeightsRequired { layer: layer.name.clone(), accelerator: self.name };
        layer.weights.as_deref().ok_or_else(missing)
    }

    /// What an active input of signs counts beside an inactive one, over what it would count as 0 or 1: rows that only a 1 drives
    /// count signs by `Σ w a = 2 Σ w x − Σ w`.
    pub(super) fn gain(&self, inputs: Inputs) -> f64 {
        match (self.synapse, inputs.are_signs()) {
            (Synapse::Xnor, true) | (Synapse::Single | Synapse::Differential, false) => 1.0,
            (Synapse::Single | Synapse::Differential, true) => 2.0,
            // Both rows of a pair one after the other, the second read subtracted.
            (Synapse::Xnor, false) => 0.5,
        }
    }
}
