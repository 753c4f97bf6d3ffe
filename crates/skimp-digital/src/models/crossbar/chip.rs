//! What one chip makes of a layer's sums.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use skimp_analog::{Chip, Crossbar, Levels, Synapse, Tiling, add_rows};
use skimp_numerics::rng::{normal, random_u64, stream};
use skimp_sim::{LayerEffect, LayerTrace, LayerWorkload, Nonlinearity, SimError};

use super::chip_thresholds::Correction;
use super::counts::{Channels, Constants};
use super::inputs::windows;
use super::{Combine, Fabric, Inputs, LevelRule, Placing, WideInput};

/// Sums as the tiles of a chip give them.
#[derive(Debug)]
pub(in crate::models) struct ChipEffect {
    fabric: Fabric,
    layers: Mutex<HashMap<String, Arc<OnChip>>>,
}

/// A layer as it came out on the chip.
#[derive(Debug)]
pub(super) struct OnChip {
    crossbar: Crossbar,
    channels: Channels,
    /// Of each row tile and output: what its sense amplifier is off by, in units of a weight.
    offsets: Vec<f32>,
    /// Of each row tile and what senses its columns: levels with their offsets.
    levels: Vec<Levels>,
    /// Sums of the weights of each row tile and output.
    weights: Vec<f32>,
    /// ±1, row after row, where partial sums are wanted: sums of them are whole, so that f32 has them exactly.
    signs: Vec<f32>,
}

impl ChipEffect {
    pub(in crate::models) fn new(fabric: &Fabric) -> Self {
        Self { fabric: fabric.clone(), layers: Mutex::default() }
    }

    /// Whether the chip may change anything.
    pub(in crate::models) fn is_ideal(fabric: &Fabric) -> bool {
        let cell = fabric.cell;
        cell.ideal() == cell
            && fabric.offset == 0.0
            && fabric.combine == Combine::Current
            && fabric.bias == super::BiasReach::Ideal
            && fabric.wide_input == WideInput::BitSerial
    }

    fn on_chip(&self, layer: &LayerWorkload, inputs: Inputs) -> Result<Arc<OnChip>, SimError> {
        let known = |layers: &HashMap<String, Arc<OnChip>>| layers.get(&layer.name).cloned();
        if let Some(found) = known(&self.layers.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(found);
        }
        let made = Arc::new(OnChip::new(&self.fabric, layer, inputs)?);
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(layers.entry(layer.name.clone()).or_insert(made).clone())
    }
}

impl LayerEffect for ChipEffect {
    fn applies(&self, _layer: &LayerWorkload) -> bool {
        true
    }

    fn activations(&self, layer: &LayerWorkload, codes: &mut [i32]) {
        if self.fabric.wide_input == WideInput::Binarized && layer.first {
            Inputs::binarize(layer, codes);
        }
    }

    fn sums(&self, layer: &LayerWorkload, operands: &LayerTrace, sums: &mut [i64]) -> Result<(), SimError> {
        let codes = operands.activation()?;
        let inputs = Inputs::of(layer, &codes, self.fabric.wide_input);
        let chip = self.on_chip(layer, inputs)?;
        let read = chip.read(&self.fabric, layer, (inputs, operands.bias()?));
        let positions = layer.shape.p() * layer.shape.q();
        let image = operands.moment().image.wrapping_mul(1 << 16).wrapping_add(operands.moment().step);
        let starts = match self.fabric.combine {
            Combine::Current => None,
            Combine::Majority | Combine::Adder(_) => Some(operands.start_values()?),
        };
        let mut scratch = Scratch::default();
        windows(layer, &codes, |position, window| {
            let number = random_u64(image, stream("analog/window"), position as u64);
            scratch.take(inputs, window);
            let at = |k: usize| k * positions + position;
            match (&self.fabric.combine, &starts) {
                (Combine::Current, _) | (_, None) => read.whole(&mut scratch, number, at, sums),
                (Combine::Majority, Some(starts)) => read.votes(&mut scratch, number, (|k| at(k), starts), sums),
                (Combine::Adder(_), Some(starts)) => read.added(&mut scratch, number, (|k| at(k), starts), sums),
            }
        });
        Ok(())
    }
}

/// What a read works in.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    active: Vec<(usize, f32)>,
    sums: Vec<f32>,
    ideal: Vec<f32>,
    totals: Vec<f64>,
}

impl Scratch {
    pub(super) fn take(&mut self, inputs: Inputs, window: &[(usize, i32)]) {
        self.active.clear();
        self.active.extend(window.iter().filter_map(|&(row, code)| Some((row, inputs.active(code)?))));
    }

    fn clear(&mut self, k: usize) {
        self.sums.clear();
        self.sums.resize(k, 0.0);
    }
}

/// A layer of an image on a chip.
pub(super) struct Read<'a> {
    fabric: &'a Fabric,
    layer: &'a LayerWorkload,
    chip: &'a OnChip,
    constants: Constants<'a>,
    inputs: Inputs,
    bias: Arc<[i64]>,
    corrections: Option<&'a [Correction]>,
}

impl Read<'_> {
    fn tiling(&self) -> Tiling {
        self.chip.crossbar.tiling()
    }

    /// What rows add to the squares of a read's noise, of `active` ones among `rows` of them.
    fn power(&self, active: &[(usize, f32)], rows: usize) -> f64 {
        match (self.fabric.synapse, self.inputs) {
            (Synapse::Xnor, Inputs::Signs(_)) => rows as f64,
            // Two reads that are subtracted.
            (Synapse::Xnor, _) => 2.0 * self.inputs.power(active),
            (Synapse::Single | Synapse::Differential, _) => self.inputs.power(active),
        }
    }

    /// Sums of one sense amplifier for all row tiles.
    fn whole(&self, scratch: &mut Scratch, number: u64, at: impl Fn(usize) -> usize, sums: &mut [i64]) {
        let Self { chip, constants, fabric, inputs, .. } = self;
        let k = self.tiling().outputs();
        scratch.clear(k);
        self.deviations(&scratch.active, None, &mut scratch.sums);
        let noise = chip.crossbar.noise(self.power(&scratch.active, self.tiling().inputs()));
        let gain = fabric.gain(*inputs);
        let decides = self.layer.nonlinearity == Nonlinearity::Sign;
        let clips = decides && !matches!(inputs, Inputs::Words(_));
        for output in 0..k {
            let unit = constants.unit(output);
            let sum = &mut sums[at(output)];
            let shift = if decides { self.shift(output) } else { 0 };
            *sum += shift;
            let mut off =
                gain * f64::from(scratch.sums[output]) + inputs.span() * f64::from(chip.offsets[output]) * gain;
            if clips {
                off += constants.clipped(output, self.bias[output] + shift);
            }
            let margin = if decides { (*sum as f64 / unit + off).abs() / gain } else { 0.0 };
            off += gain * chip.crossbar.read(noise, number, 0, output, margin);
            *sum += (off * unit).round() as i64;
            if !decides {
                *sum = self.value(output, *sum);
            }
            // A difference of 0 is a fire, and the sign of 0 is none.
            if decides && *sum == 0 {
                *sum = 1;
            }
        }
    }

    /// Deviations of all row tiles, or of one; of a pair that is read twice half of what signs would see.
    fn deviations(&self, active: &[(usize, f32)], row_tile: Option<usize>, sums: &mut [f32]) {
        let crossbar = &self.chip.crossbar;
        match (self.fabric.synapse, self.inputs.are_signs(), row_tile) {
            (Synapse::Xnor, false, _) => crossbar.add_rows(active, sums),
            (_, _, None) => crossbar.deviations(active, sums),
            (_, _, Some(tile)) => crossbar.deviations_of_tile(tile, active, sums),
        }
    }

    /// The sums of each row tile, ideal and with what they are off by and their noise, in units of a weight as rows count it.
    fn partial(&self, scratch: &mut Scratch, number: u64, mut work: impl FnMut(usize, &[f64])) {
        let tiling = self.tiling();
        let (n, k) = (tiling.inputs(), tiling.outputs());
        let gain = self.fabric.gain(self.inputs);
        let signs = self.inputs.are_signs();
        let mut rest = scratch.active.as_slice();
        for row_tile in 0..tiling.row_tiles() {
            let first = row_tile * tiling.rows();
            let end = n.min(first + tiling.rows());
            let (here, behind) = rest.split_at(rest.partition_point(|&(row, _)| row < end));
            rest = behind;
            scratch.sums.clear();
            scratch.sums.resize(k, 0.0);
            self.deviations(here, Some(row_tile), &mut scratch.sums);
            let noise = self.chip.crossbar.noise(self.power(here, end - first));
            scratch.totals.clear();
            scratch.ideal.clear();
            scratch.ideal.resize(k, 0.0);
            add_rows(&self.chip.signs, here, &mut scratch.ideal);
            for output in 0..k {
                let mut ideal = f64::from(scratch.ideal[output]);
                // Rows that only a 1 drives count half of what signs do, less half of their weights.
                if signs && self.fabric.synapse == Synapse::Xnor {
                    ideal = 2.0 * ideal - f64::from(self.chip.weights[row_tile * k + output]);
                }
                let scale = if self.fabric.synapse == Synapse::Xnor { gain } else { 1.0 };
                let off = scale * f64::from(scratch.sums[output]);
                let read = scale * self.chip.crossbar.read(noise, number, row_tile, output, 0.0);
                scratch.totals.push(ideal + off + read);
            }
            work(row_tile, &scratch.totals);
        }
    }

    /// A partial sum as signs of inputs would have it.
    fn of_signs(&self, row_tile: usize, output: usize, partial: f64) -> f64 {
        if self.inputs.are_signs() && self.fabric.synapse != Synapse::Xnor {
            return 2.0 * partial - f64::from(self.chip.weights[row_tile * self.tiling().outputs() + output]);
        }
        partial
    }

    /// A vote of each row tile, which has its share of the threshold.
    fn votes(
        &self,
        scratch: &mut Scratch,
        number: u64,
        (at, starts): (impl Fn(usize) -> usize, &[i64]),
        sums: &mut [i64],
    ) {
        let (k, tiles) = (self.tiling().outputs(), self.tiling().row_tiles());
        let mut votes = vec![0_i64; k];
        self.partial(scratch, number, |row_tile, partial| {
            for (output, (vote, &partial)) in votes.iter_mut().zip(partial).enumerate() {
                let offset = f64::from(self.chip.offsets[row_tile * k + output]);
                let share = starts[at(output)] as f64 / self.constants.unit(output) / tiles as f64;
                let gain = self.fabric.gain(self.inputs).max(1.0);
                let sum = self.of_signs(row_tile, output, partial) + gain * self.inputs.span() * offset + share;
                *vote += i64::from(sum >= 0.0);
            }
        });
        for (output, vote) in votes.into_iter().enumerate() {
            // Half of the votes are enough.
            let doubled = 2 * vote - tiles as i64;
            let of_sum = (doubled as f64 + 0.5) * self.constants.unit(output);
            sums[at(output)] = if of_sum > 0.0 { (of_sum as i64).max(1) } else { (of_sum.floor() as i64).min(-1) };
        }
    }

    /// Levels of each row tile, added; inputs of several bits bit by bit.
    fn added(
        &self,
        scratch: &mut Scratch,
        number: u64,
        (at, starts): (impl Fn(usize) -> usize, &[i64]),
        sums: &mut [i64],
    ) {
        let k = self.tiling().outputs();
        let per_sense = self.fabric.columns_per_sense;
        let groups = k.div_ceil(per_sense);
        let mut totals = vec![0.0_f64; k];
        self.planes(scratch, number, |plane_scale, row_tile, partial| {
            for (output, (total, &partial)) in totals.iter_mut().zip(partial).enumerate() {
                let levels = &self.chip.levels[row_tile * groups + output / per_sense];
                *total += plane_scale * self.of_signs(row_tile, output, levels.quantize(partial).round());
            }
        });
        for (output, total) in totals.into_iter().enumerate() {
            let sum = starts[at(output)] + (total * self.constants.unit(output)).round() as i64;
            let decides = self.layer.nonlinearity == Nonlinearity::Sign;
            let sum = if decides { sum + self.shift(output) } else { self.value(output, sum) };
            sums[at(output)] = if decides && sum == 0 { 1 } else { sum };
        }
    }

    /// By how much the threshold of an output follows the chip.
    fn shift(&self, output: usize) -> i64 {
        self.corrections.and_then(|all| all.get(output)).map_or(0, |correction| correction.shift())
    }

    /// A sum as the exact network would have it.
    fn value(&self, output: usize, sum: i64) -> i64 {
        self.corrections.and_then(|all| all.get(output)).map_or(sum, |correction| correction.value(sum))
    }

    /// The sums of each row tile, bit by bit where inputs have several: what a bit counts, the row tile, and its sums.
    pub(super) fn planes(&self, scratch: &mut Scratch, number: u64, mut work: impl FnMut(f64, usize, &[f64])) {
        let all = std::mem::take(&mut scratch.active);
        for plane in 0..self.inputs.planes() {
            let plane_scale = f64::from(plane).exp2();
            match self.inputs {
                Inputs::Words(_) => {
                    let bit =
                        |&(row, x): &(usize, f32)| ((x.abs() as u64) >> plane & 1 == 1).then_some((row, x.signum()));
                    scratch.active.clear();
                    scratch.active.extend(all.iter().filter_map(bit));
                }
                Inputs::Spikes(_) | Inputs::Signs(_) => scratch.active.clone_from(&all),
            }
            let number = random_u64(number, stream("analog/plane"), u64::from(plane));
            self.partial(scratch, number, |row_tile, partial| work(plane_scale, row_tile, partial));
        }
        scratch.active = all;
    }
}

impl OnChip {
    /// An image of it: what its inputs are, and its bias.
    pub(super) fn read<'a>(
        &'a self,
        fabric: &'a Fabric,
        layer: &'a LayerWorkload,
        (inputs, bias): (Inputs, Arc<[i64]>),
    ) -> Read<'a> {
        let constants = Constants::of(fabric, &self.channels, self.crossbar.tiling().row_tiles(), inputs);
        let corrections = fabric.corrections.as_ref().and_then(|all| all.of(&layer.name));
        Read { fabric, layer, chip: self, constants, inputs, bias, corrections }
    }

    pub(super) fn new(fabric: &Fabric, layer: &LayerWorkload, inputs: Inputs) -> Result<Self, SimError> {
        let (tiling, weights) = (fabric.tiling(layer)?, fabric.weights(layer)?);
        let refused = |error: skimp_analog::AnalogError| SimError::Unsupported {
            layer: layer.name.clone(),
            accelerator: fabric.name,
            what: error.to_string(),
        };
        let chip = Chip { seed: fabric.seed, number: fabric.chip };
        // Tiles have numbers of their own on the chip, whatever other layers there are.
        let first_tile = stream(&layer.name) & !0xFF_FFFF;
        let crossbar =
            Crossbar::new(weights, tiling, (fabric.synapse, fabric.cell), (chip, first_tile)).map_err(refused)?;
        let (n, k, row_tiles) = (tiling.inputs(), tiling.outputs(), tiling.row_tiles());
        // A step between neighbours is what one cell adds: two weights' difference where one cell holds a weight.
        let step = if fabric.synapse == Synapse::Differential { 1.0 } else { 2.0 };
        let deviation = fabric.offset * tiling.rows() as f64 * step;
        let of_chip = random_u64(chip.seed, stream("analog/sense"), chip.number);
        let of_layer = random_u64(of_chip, stream("analog/sense/layer"), first_tile);
        let offset = |number: usize| deviation * normal(of_layer, stream("analog/sense/offset"), number as u64);
        let offsets = match fabric.combine {
            Combine::Current => (0..k).map(|idx| offset(idx) as f32).collect(),
            Combine::Majority => (0..row_tiles * k).map(|idx| offset(idx) as f32).collect(),
            Combine::Adder(_) => Vec::new(),
        };
        let mut sums = vec![0.0; if fabric.combine == Combine::Current { 0 } else { row_tiles * k }];
        let mut levels = Vec::new();
        let mut signs = Vec::new();
        if fabric.combine != Combine::Current {
            signs.resize(n * k, 0.0);
            for (output, channel) in weights.chunks_exact(n).enumerate() {
                for (row, w) in channel.iter().enumerate() {
                    sums[row / tiling.rows() * k + output] += w.signum() as f32;
                    signs[row * k + output] = w.signum() as f32;
                }
            }
        }
        if let Combine::Adder(rule) = fabric.combine {
            let groups = k.div_ceil(fabric.columns_per_sense);
            for row_tile in 0..row_tiles {
                let rows = tiling.rows().min(n - row_tile * tiling.rows());
                let signs = fabric.synapse == Synapse::Xnor && inputs.are_signs();
                let bits = rule.bits_of(inputs);
                let independent = placed(rule, bits, signs, rows).map_err(refused)?;
                for group in 0..groups {
                    let own = fabric.own.as_ref().filter(|_| !is_enough(bits, signs, rows));
                    let own = own.and_then(|own| own.levels(&layer.name, (rule, bits), (row_tile, group, groups)));
                    let of_tile = own.transpose().map_err(refused)?.unwrap_or_else(|| independent.clone());
                    let first = (row_tile * groups + group) << rule.bits_of(inputs);
                    let thresholds = of_tile.thresholds().len();
                    levels.push(of_tile.with_offsets((0..thresholds).map(|idx| offset(first + idx))));
                }
            }
        }
        Ok(Self { channels: Channels::of(fabric, layer)?, crossbar, offsets, levels, weights: sums, signs })
    }
}

/// Whether so many bits have a level for every sum of `rows` synapses.
fn is_enough(bits: u32, signs: bool, rows: usize) -> bool {
    1 << bits >= (2 * rows + 1).next_power_of_two() || signs && 1 << bits > rows
}

/// Levels of the sums of `rows` synapses: of signs, if pairs of cells count matches, else of weights of which half are active.
/// Enough levels for every sum have one for each.
fn placed(rule: LevelRule, bits: u32, signs: bool, rows: usize) -> Result<Levels, skimp_analog::AnalogError> {
    let samples = || sums_of(signs, rows).into_iter().map(|sum| sum * rule.spread).collect::<Vec<_>>();
    let whole = (2 * rows + 1).next_power_of_two();
    match rule.placing {
        _ if 1 << bits >= whole => {
            let low = -(rows as f64) - 0.5;
            Levels::linear(low, low + whole as f64, whole.trailing_zeros())
        }
        // Sums of signs are all odd or all even.
        _ if signs && 1 << bits > rows => {
            let whole = (rows + 1).next_power_of_two();
            let low = -(rows as f64) - 1.0;
            Levels::linear(low, low + 2.0 * whole as f64, whole.trailing_zeros())
        }
        Placing::Linear => Levels::linear(-(rows as f64) - 0.5, rows as f64 + 0.5, bits),
        Placing::Quantile => Levels::quantiles(&samples(), bits),
        Placing::LloydMax => Levels::lloyd_max(&samples(), bits),
    }
}

/// Sums at 4,096 equal steps of their distribution: independent terms of ±1, or of ±1 and 0 one half of the time.
fn sums_of(signs: bool, rows: usize) -> Vec<f64> {
    const SAMPLES: usize = 4096;
    // Either is a sum of steps of ±1: as many as rows, or twice as many of half the size.
    let (steps, scale) = if signs { (rows, 1.0) } else { (2 * rows, 0.5) };
    let mut share = vec![1.0_f64];
    for _ in 0..steps {
        let mut next = vec![0.0; share.len() + 1];
        for (idx, p) in share.iter().enumerate() {
            next[idx] += 0.5 * p;
            next[idx + 1] += 0.5 * p;
        }
        share = next;
    }
    let mut samples = Vec::with_capacity(SAMPLES);
    let mut below = 0.0;
    for (idx, p) in share.into_iter().enumerate() {
        below += p;
        let n = ((below * SAMPLES as f64).round() as usize).min(SAMPLES);
        samples.resize(n.max(samples.len()), scale * (2.0 * idx as f64 - steps as f64));
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_have_the_spread_of_their_terms() {
        let deviation = |samples: &[f64]| (samples.iter().map(|s| s * s).sum::<f64>() / samples.len() as f64).sqrt();
        let signs = sums_of(true, 128);
        assert_eq!(signs.len(), 4096);
        assert!((deviation(&signs) / 128_f64.sqrt() - 1.0).abs() < 0.01);
        assert!((deviation(&sums_of(false, 27)) / 13.5_f64.sqrt() - 1.0).abs() < 0.01);
        assert!(signs.windows(2).all(|pair| pair[0] <= pair[1]));
    }
}
