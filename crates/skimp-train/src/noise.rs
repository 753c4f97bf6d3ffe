//! Noise-aware training: a forward pass on cells that deviate, so that what is learned bears it.
//!
//! The sums of layers of weights ±1 (times a scale of their filter) are those of resistive cells, as designs of crossbars have
//! them; parameters learn straight through. Validation and the network that is written are without noise.

use skimp_analog::{Cell, Chip, Crossbar, DEVICES, Moments, Synapse, Tiling};
use skimp_numerics::rng::{Draws, Key, random_u64, stream};
use toml::{Table, Value};

use crate::TrainError;
use crate::policy::Switch;
use crate::spec::{Spec, SpecError};

/// When cells are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// For each image of each step: one normal number for a sum, with the mean and the variance that all cells behind it have
    /// together. For one window of an image that is the distribution of a chip of its own up to the shape of its tails; windows
    /// of a convolution are independent, where those of a chip read the same cells.
    Image,
    /// A chip for each step, cell by cell, for all of its images; reads are drawn for each sum.
    Step,
}

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceNoise {
    /// The cell.
    pub cell: Cell,
    /// How cells hold a weight.
    pub synapse: Synapse,
    /// When cells are drawn.
    pub draw: Draw,
    /// Rows of a tile: whose full column is the unit of [`sense_offset`](Self::sense_offset).
    pub rows: usize,
    /// Standard deviation of a sense amplifier's offset, over what the full column of a tile sums to.
    pub sense_offset: f64,
}

/// Columns of a tile, whose outputs share a reference.
const COLUMNS: usize = 32;

/// Settings of a cell that a noise takes, beside `on_off_ratio`.
const CELL: [&str; 8] =
    ["lrs_ohm", "hrs_ohm", "read_volts", "lrs_spread", "hrs_spread", "read_noise", "stuck_at_lrs", "stuck_at_hrs"];

/// The settings of [`DeviceNoise::parse`] that are not a cell's.
pub const SWITCHES: [Switch; 4] = [
    Switch { name: "synapse", default: "single", summary: "cells of a weight: single, differential or xnor" },
    Switch {
        name: "draw",
        default: "image",
        summary: "image: sums of each image as of a chip of its own; step: one chip, cell by cell, for all images of a step",
    },
    Switch { name: "rows", default: "27", summary: "inputs of a tile" },
    Switch {
        name: "sense_offset",
        default: "0",
        summary: "standard deviation of a sense amplifier's offset, over what the full column of a tile sums to",
    },
];

impl DeviceNoise {
    /// A noise written `DEVICE` or `DEVICE:setting=value,setting=value`.
    ///
    /// # Errors
    /// [`TrainError::Spec`] for an unknown device or setting, or a bad value; [`TrainError::Analog`] for a cell that cannot be.
    pub fn parse(text: &str) -> Result<Self, TrainError> {
        let mut spec = Spec::parse("device", text)?;
        let names: Vec<&'static str> = DEVICES.iter().map(|device| device.name).collect();
        let name = spec.find(&names, |name| name)?;
        let mut settings = Table::new();
        for key in CELL.into_iter().chain(["on_off_ratio"]) {
            if let Some(number) = spec.read(key, None, "a number", |text| text.parse().ok().map(Some))? {
                settings.insert(key.to_owned(), Value::Float(number));
            }
        }
        let synapse = spec.read("synapse", Synapse::Single, "single, differential or xnor", |text| match text {
            "single" => Some(Synapse::Single),
            "differential" => Some(Synapse::Differential),
            "xnor" => Some(Synapse::Xnor),
            _ => None,
        })?;
        let draw = spec.read("draw", Draw::Image, "image or step", |text| match text {
            "image" => Some(Draw::Image),
            "step" => Some(Draw::Step),
            _ => None,
        })?;
        let rows = spec.read("rows", 27, "a number from 1 to 65536", |text| {
            text.parse().ok().filter(|rows| (1..=1 << 16).contains(rows))
        })?;
        let sense_offset = spec.number("sense_offset", 0.0, 0.0..=1.0)?;
        spec.finish()?;
        let cell = skimp_analog::find(name)?.cell(&settings)?;
        if cell.on_off_ratio() <= 1.0 {
            let expected = "a high resistance above the low one";
            return Err(SpecError::InvalidValue {
                kind: "device",
                name: name.to_owned(),
                key: "on_off_ratio".to_owned(),
                value: cell.on_off_ratio().to_string(),
                expected: expected.to_owned(),
            }
            .into());
        }
        Ok(Self { cell, synapse, draw, rows, sense_offset })
    }
}

/// How the inputs of a layer reach its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drive {
    /// As numbers: 0 and 1, or several bits one after the other.
    Values {
        /// Whether they are the images, whose sense amplifiers see sums of many bits: no offset is drawn there.
        are_images: bool,
    },
    /// Signs. [`Synapse::Xnor`] drives one row of a pair; the others the rows of +1 only, and count twice.
    Signs,
}

/// The noise of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNoise {
    /// What is drawn.
    pub noise: DeviceNoise,
    /// How its inputs reach its rows.
    pub drive: Drive,
}

/// What is added to a layer's sums: `Σ x d + b`, and a normal number of the variance `Σ p v + c`, where the power `p` is `x²` of
/// values and `x` of signs. One number for each weight of either sign (negative, positive), and for each output.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coefficients {
    /// `d`.
    pub weight: [f64; 2],
    /// What each weight adds to `b`.
    pub bias: [f64; 2],
    /// `v`.
    pub weight_variance: [f64; 2],
    /// What each weight adds to `c`.
    pub bias_variance: [f64; 2],
    /// What an output adds to `c` (per image), or to `b` as the deviation of a normal number (per step).
    pub offset_deviation: f64,
}

impl LayerNoise {
    /// What a weight's two states, driven by +1 (or active) and by −1 (or inactive), add to a sum, as the slope over the input and
    /// as a constant.
    fn split(&self, active: f64, inactive: f64) -> [f64; 2] {
        match self.drive {
            Drive::Signs => [0.5 * (active - inactive), 0.5 * (active + inactive)],
            Drive::Values { .. } => [active, 0.0],
        }
    }

    /// What one weight's cells count, over what they count with inputs of 0 and 1.
    fn gain(&self) -> f64 {
        match (self.noise.synapse, self.drive) {
            (Synapse::Xnor, Drive::Signs) => 1.0,
            (Synapse::Xnor, Drive::Values { .. }) => 0.5,
            (Synapse::Single | Synapse::Differential, Drive::Signs) => 2.0,
            (Synapse::Single | Synapse::Differential, Drive::Values { .. }) => 1.0,
        }
    }

    /// What weights add on average and by variance: all of it with [`Draw::Image`], else that of reads.
    pub fn coefficients(&self) -> Coefficients {
        let DeviceNoise { cell, synapse, draw, rows, sense_offset } = self.noise;
        let gain = self.gain();
        let mut found = Coefficients::default();
        let is_xnor = synapse == Synapse::Xnor;
        if draw == Draw::Image {
            for (idx, is_positive) in [false, true].into_iter().enumerate() {
                let [active, inactive] = synapse.moments(&cell, is_positive);
                // Pairs that are read twice: the second read is subtracted.
                let (active, inactive) = match self.drive {
                    Drive::Values { .. } if is_xnor => {
                        let mean = active.mean - inactive.mean;
                        (Moments { mean, variance: active.variance + inactive.variance }, Moments::default())
                    }
                    _ => (active, inactive),
                };
                let square = gain * gain;
                [found.weight[idx], found.bias[idx]] = self.split(gain * active.mean, gain * inactive.mean);
                [found.weight_variance[idx], found.bias_variance[idx]] =
                    self.split(square * active.variance, square * inactive.variance);
            }
        }
        let of_read = synapse.read_noise(&cell, 1.0);
        let of_read = gain * gain * (of_read.own * of_read.own + of_read.shared * of_read.shared);
        let [slope, constant] = match self.drive {
            // One row of every pair is driven.
            Drive::Signs if is_xnor => [0.0, of_read],
            Drive::Signs => self.split(of_read, 0.0),
            Drive::Values { .. } => [if is_xnor { 2.0 * of_read } else { of_read }, 0.0],
        };
        found.weight_variance.iter_mut().for_each(|v| *v += slope);
        found.bias_variance.iter_mut().for_each(|v| *v += constant);
        if self.drive != (Drive::Values { are_images: true }) {
            let step = if synapse == Synapse::Differential { 1.0 } else { 2.0 };
            found.offset_deviation = gain * sense_offset * rows as f64 * step;
        }
        found
    }

    /// The layer's chip of a step: `signs` are `[inputs, outputs]`, and so are the deviations of weights, which come with those of
    /// the outputs.
    ///
    /// # Errors
    /// [`TrainError::Analog`] for a layer without weights.
    pub fn chip(
        &self,
        layer: &str,
        signs: &[f32],
        columns: usize,
        key: Key,
    ) -> Result<(Vec<f32>, Vec<f32>), TrainError> {
        let rows = signs.len() / columns.max(1);
        let crossbar = self.crossbar(layer, signs, columns, key)?;
        let gain = self.gain() as f32;
        let mut weights: Vec<f32> = crossbar.active().iter().map(|off| gain * off).collect();
        let mut outputs = vec![0.0_f32; columns];
        if self.drive == Drive::Signs {
            // Of what +1 adds beside −1 one half follows the input, the other one is always there.
            weights.iter_mut().for_each(|off| *off *= 0.5);
            for row in 0..rows {
                let row = &weights[row * columns..(row + 1) * columns];
                outputs.iter_mut().zip(row).for_each(|(sum, off)| *sum += off);
            }
            for idle in crossbar.inactive().chunks_exact(columns) {
                outputs.iter_mut().zip(idle).for_each(|(sum, off)| *sum += gain * off);
            }
        }
        for (output, offset) in outputs.iter_mut().zip(self.offsets(layer, key)) {
            *output += offset;
        }
        Ok((weights, outputs))
    }

    /// The cells of the chip of a step.
    pub(crate) fn crossbar(
        &self,
        layer: &str,
        signs: &[f32],
        columns: usize,
        key: Key,
    ) -> Result<Crossbar, TrainError> {
        let rows = signs.len() / columns.max(1);
        let tiling = Tiling::new([rows, columns], [self.noise.rows, COLUMNS])?;
        let weights: Vec<i32> =
            (0..columns).flat_map(|k| (0..rows).map(move |row| signs[row * columns + k] as i32)).collect();
        // Chips of their own, whatever the seed of a design's chips is.
        let chip = Chip { seed: random_u64(key.seed, stream("noise/chips"), 0), number: key.step };
        let first_tile = stream(layer) & !0xFF_FFFF;
        Ok(Crossbar::new(&weights, tiling, (self.noise.synapse, self.noise.cell), (chip, first_tile))?)
    }

    /// The offsets of a step's sense amplifiers, without end.
    pub(crate) fn offsets(&self, layer: &str, key: Key) -> impl Iterator<Item = f32> + use<> {
        let deviation = self.coefficients().offset_deviation;
        let mut draws = Key { stream: stream(&format!("noise/offset/{layer}")), image: 0, ..key }.draws();
        std::iter::repeat_with(move || if deviation > 0.0 { (deviation * draws.normal()) as f32 } else { 0.0 })
    }

    /// The numbers of an image's sums.
    pub(crate) fn draws(layer_stream: u64, key: Key) -> Draws {
        Key { stream: layer_stream, ..key }.draws()
    }

    /// The stream of a layer's sums.
    pub(crate) fn stream(layer: &str) -> u64 {
        stream(&format!("noise/sums/{layer}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noises_are_devices_with_settings() {
        let noise =
            DeviceNoise::parse("neurosim:lrs_spread=0.3,synapse=xnor,draw=step,sense_offset=0.05,rows=128").unwrap();
        assert_eq!((noise.synapse, noise.draw, noise.rows), (Synapse::Xnor, Draw::Step, 128));
        assert!((noise.cell.lrs_spread - 0.3).abs() < 1e-12 && (noise.cell.lrs_ohm - 6e3).abs() < 1e-9);
        let text = |text: &str| DeviceNoise::parse(text).unwrap_err().to_string();
        assert!(text("neurosin").contains("did you mean \"neurosim\""), "{}", text("neurosin"));
        assert!(text("neurosim:lrs_spred=1").contains("did you mean \"lrs_spread\""));
        assert!(text("neurosim:lrs_spread=-1").contains("a number from 0 to 2"));
        assert!(text("neurosim:synapse=triple").contains("single, differential or xnor"));
        assert!(text("neurosim:on_off_ratio=1").contains("above the low one"));
        assert!(text("neurosim:rows=0").contains("from 1 to 65536"));
    }

    #[test]
    fn the_documentation_lists_every_setting() {
        let text = include_str!("../../../docs/quantizers.md");
        for switch in SWITCHES {
            let row = format!("| `{}` | {} | {} |", switch.name, switch.default, switch.summary);
            assert!(text.contains(&row), "docs/quantizers.md lacks {row}");
        }
    }
}
