//! Bits per layer: how much each layer's widths matter, what they bring, and plans of widths from the mildest to the boldest.
//!
//! How much a width matters is measured: the mean square by which the answers to search images change where one layer's
//! weights, or the activations that it reads, alone have [`MEASURED_BITS`] bits; a bit less makes it four times as much, and
//! what several layers do adds up. What a width brings is simulated: each layer's part of the objective where all have that
//! width. A plan takes bits away one layer after another, each time where the objective falls most for what it does.

use std::collections::BTreeMap;

use skimp_graph::Tensor;
use skimp_study::{
    AcceleratorConfig, Calibrated, LayerWidths, LayersConfig, Monitor, QuantizationConfig, Quantized, StudyError,
    WeightScales,
};

use super::config::Aim;
use super::levers::{BITS, Plan};
use super::sets::Sets;
use super::{OptimizeConfig, levers::START_BITS};

/// Width at which sensitivities are measured.
const MEASURED_BITS: u32 = 4;

/// Search images on which they are, at most.
const MEASURED_IMAGES: usize = 64;

/// Plans do what so many bits in all layers would do: from the first to the last, by half a bit.
const LIKE_BITS: [f64; 12] = [9.0, 8.0, 7.5, 7.0, 6.5, 6.0, 5.5, 5.0, 4.5, 4.0, 3.5, 3.0];

/// A gain that is none.
const NOTHING: f64 = 1e-3;

/// Something whose width is chosen: weights of a layer, or a value that layers read.
struct Unit {
    of_weights: bool,
    /// Indices of its layers.
    layers: Vec<usize>,
    /// What it does to the answers at [`MEASURED_BITS`].
    noise: f64,
    /// Its width, an index into [`widths`].
    at: usize,
}

/// The widths, the start's first.
fn widths() -> Vec<u32> {
    std::iter::once(START_BITS).chain(BITS).collect()
}

/// What a unit of sensitivity `noise` does at `bits`.
fn noise_at(noise: f64, bits: f64) -> f64 {
    noise * 4_f64.powf(f64::from(MEASURED_BITS) - bits)
}

/// The layers of a network on which plans are made.
pub(super) struct Ground<'a> {
    pub(super) config: &'a OptimizeConfig,
    pub(super) sets: &'a Sets,
    pub(super) calibrated: &'a Calibrated,
    pub(super) quantization: QuantizationConfig,
    pub(super) accelerator: Option<&'a AcceleratorConfig>,
}

impl Ground<'_> {
    /// The plans, mildest first; the reason where there are none.
    pub(super) fn plans(&self, monitor: &dyn Monitor) -> Result<Result<Vec<Plan>, String>, StudyError> {
        // A scale per channel is what low widths end up with.
        let uniform = QuantizationConfig { weight_scales: WeightScales::PerChannel, ..self.quantization };
        let base = self.calibrated.quantize(&uniform, monitor)?;
        let names: Vec<String> = base.layers().iter().map(|layer| layer.name.clone()).collect();
        if names.len() < 2 {
            return Ok(Err("the network has one layer".to_owned()));
        }
        let Some((costs, shares)) = self.costs(&base, &uniform, monitor)? else {
            return Ok(Err(format!("{} gains nothing from fewer bits", self.config.aim)));
        };
        let mut units = units(&base);
        self.measure(&mut units, &names, &base, &uniform, monitor)?;
        Ok(Ok(plans(&mut units, &names, &costs, &shares)))
    }

    /// What every layer costs, and the share of it that is left where its weights or activations have fewer bits; `None`
    /// where nothing falls.
    fn costs(
        &self,
        base: &Quantized,
        uniform: &QuantizationConfig,
        monitor: &dyn Monitor,
    ) -> Result<Option<(Vec<f64>, Shares)>, StudyError> {
        let costs = self.layer_costs(base, monitor)?;
        let mut shares = [Vec::new(), Vec::new()];
        let mut falls = false;
        for (shares, of_weights) in shares.iter_mut().zip([true, false]) {
            for bits in widths() {
                let narrow = match of_weights {
                    true => QuantizationConfig { weight_bits: bits, ..*uniform },
                    false => QuantizationConfig { activation_bits: bits, ..*uniform },
                };
                let own =
                    match self.calibrated.quantize(&narrow, monitor).and_then(|own| self.layer_costs(&own, monitor)) {
                        Ok(own) => own,
                        Err(StudyError::Interrupted) => return Err(StudyError::Interrupted),
                        // A width that the design does not take brings nothing.
                        Err(_) => costs.clone(),
                    };
                falls |= own.iter().sum::<f64>() < costs.iter().sum::<f64>() * (1.0 - NOTHING);
                let share = |(own, cost): (&f64, &f64)| if *cost > 0.0 { own / cost } else { 1.0 };
                shares.push(own.iter().zip(&costs).map(share).collect());
            }
        }
        Ok(falls.then_some((costs, shares)))
    }

    /// Each layer's part of the objective.
    fn layer_costs(&self, quantized: &Quantized, monitor: &dyn Monitor) -> Result<Vec<f64>, StudyError> {
        let Some(accelerator) = self.accelerator else {
            let bits =
                |layer: &skimp_graph::integer::MacLayer| layer.weight.len() as f64 * f64::from(layer.weight_bits);
            return Ok(quantized.graph().layers().map(|(_, layer)| bits(layer) / 8.0).collect());
        };
        let design = self.config.designs.configure(accelerator)?;
        // Of images on which no design judges itself.
        let traced = quantized.trace(&self.sets.calibration, 1, &LayersConfig::default(), monitor)?;
        let priced = traced.simulate(std::slice::from_ref(&design), monitor)?.price(&self.config.costs)?;
        let found: BTreeMap<&str, f64> = priced.record.accelerators[0]
            .layers
            .iter()
            .map(|layer| {
                let energy = matches!(self.config.aim, Aim::Energy(_));
                (layer.name.as_str(), if energy { layer.energy_nj.total } else { layer.cycles.total as f64 })
            })
            .collect();
        Ok(quantized.layers().iter().map(|layer| found.get(layer.name.as_str()).copied().unwrap_or(0.0)).collect())
    }

    /// Measures what each unit does to the answers.
    fn measure(
        &self,
        units: &mut [Unit],
        names: &[String],
        base: &Quantized,
        uniform: &QuantizationConfig,
        monitor: &dyn Monitor,
    ) -> Result<(), StudyError> {
        let (images, _) = self.sets.search.tensors(0..self.sets.n_search.min(MEASURED_IMAGES))?;
        let answers = base.run(std::slice::from_ref(&images))?;
        for unit in units {
            if monitor.interrupted() {
                return Err(StudyError::Interrupted);
            }
            let mut narrow = LayerWidths::default();
            let of = if unit.of_weights { &mut narrow.weight_bits } else { &mut narrow.activation_bits };
            of.extend(unit.layers.iter().map(|&layer| (names[layer].clone(), MEASURED_BITS)));
            let own = self.calibrated.quantize_with(uniform, &narrow, monitor)?.run(std::slice::from_ref(&images))?;
            unit.noise = mean_square(&answers, &own);
        }
        Ok(())
    }
}

/// Of weights and of activations, by width and layer.
type Shares = [Vec<Vec<f64>>; 2];

/// Weights of every layer, and every value that layers read: those of one encoding are one.
fn units(base: &Quantized) -> Vec<Unit> {
    let layers = base.layers();
    let unit = |of_weights, layers| Unit { of_weights, layers, noise: 0.0, at: 0 };
    let mut units: Vec<Unit> = (0..layers.len()).map(|layer| unit(true, vec![layer])).collect();
    for (idx, layer) in layers.iter().enumerate() {
        let same = |other: &&mut Unit| !other.of_weights && layers[other.layers[0]].input == layer.input;
        match units.iter_mut().find(same) {
            Some(known) => known.layers.push(idx),
            None => units.push(unit(false, vec![idx])),
        }
    }
    units
}

/// The mean square of a difference of answers.
fn mean_square(expected: &[Tensor], found: &[Tensor]) -> f64 {
    let pairs = expected.iter().zip(found).filter_map(|(expected, found)| Some((expected.as_f32()?, found.as_f32()?)));
    let squares = pairs.flat_map(|(expected, found)| {
        expected.iter().zip(found).map(|(expected, found)| f64::from(expected - found).powi(2))
    });
    let (sum, n) = squares.fold((0.0, 0_u64), |(sum, n), square| (sum + square, n + 1));
    sum / (n as f64).max(1.0)
}

/// What all layers cost at the widths of `units`: shares of weights and activations multiply.
fn total(units: &[Unit], costs: &[f64], shares: &Shares) -> f64 {
    let mut left = costs.to_vec();
    for unit in units {
        let by_layer = &shares[usize::from(!unit.of_weights)][unit.at];
        unit.layers.iter().for_each(|&layer| left[layer] *= by_layer[layer]);
    }
    left.iter().sum()
}

/// Takes bits away, and keeps the last state within each amount of noise.
fn plans(units: &mut [Unit], names: &[String], costs: &[f64], shares: &Shares) -> Vec<Plan> {
    let bits = widths();
    let whole: f64 = units.iter().map(|unit| unit.noise).sum();
    let noise_of = |unit: &Unit, at: usize| if at == 0 { 0.0 } else { noise_at(unit.noise, f64::from(bits[at])) };
    let mut noise = 0.0;
    let mut plans: Vec<Plan> = Vec::new();
    let mut now = total(units, costs, shares);
    for like in LIKE_BITS {
        let most = noise_at(whole, like);
        loop {
            let mut best: Option<(f64, usize, usize, f64, f64)> = None;
            for idx in 0..units.len() {
                let before = units[idx].at;
                for at in before + 1..bits.len() {
                    let more = noise_of(&units[idx], at) - noise_of(&units[idx], before);
                    if noise + more > most {
                        break;
                    }
                    units[idx].at = at;
                    let own = total(units, costs, shares);
                    let worth = (now - own) / more.max(f64::MIN_POSITIVE);
                    if own < now && best.is_none_or(|(best, ..)| worth > best) {
                        best = Some((worth, idx, at, own, more));
                    }
                }
                units[idx].at = before;
            }
            let Some((_, idx, at, own, more)) = best else { break };
            units[idx].at = at;
            noise += more;
            now = own;
        }
        let plan = plan(units, names, &bits, like);
        if plans.last().map_or(!plan.widths.is_empty(), |last| last.widths != plan.widths) {
            plans.push(plan);
        }
    }
    plans
}

fn plan(units: &[Unit], names: &[String], bits: &[u32], like: f64) -> Plan {
    let mut widths = LayerWidths::default();
    for unit in units {
        let of = if unit.of_weights { &mut widths.weight_bits } else { &mut widths.activation_bits };
        of.extend(unit.layers.iter().map(|&layer| (names[layer].clone(), bits[unit.at])));
    }
    let extremes = |all: &BTreeMap<String, u32>| match (all.values().min(), all.values().max()) {
        (Some(low), Some(high)) if low < high => format!("{low} to {high}"),
        (Some(low), _) => low.to_string(),
        _ => START_BITS.to_string(),
    };
    let (weights, activations) = (extremes(&widths.weight_bits), extremes(&widths.activation_bits));
    let greatest = |all: &BTreeMap<String, u32>| all.values().max().copied().unwrap_or(START_BITS);
    let (weight_bits, activation_bits) = (greatest(&widths.weight_bits), greatest(&widths.activation_bits));
    // All at the start's width is no plan.
    if widths.weight_bits.values().chain(widths.activation_bits.values()).all(|&own| own == START_BITS) {
        widths = LayerWidths::default();
    }
    let name = format!("like {like}: weights {weights}, activations {activations}");
    Plan { name, widths, weight_bits, activation_bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two layers of equal cost, the second a hundred times as sensitive; activations bring nothing.
    #[test]
    fn bits_go_where_they_matter_least() {
        let names = ["a".to_owned(), "b".to_owned()];
        let unit = |of_weights, layer, noise| Unit { of_weights, layers: vec![layer], noise, at: 0 };
        let mut units = [unit(true, 0, 1.0), unit(true, 1, 100.0), unit(false, 0, 1.0), unit(false, 1, 1.0)];
        let by_bits = |bits: u32| vec![f64::from(bits) / f64::from(START_BITS); 2];
        let shares = [widths().into_iter().map(by_bits).collect(), vec![vec![1.0; 2]; widths().len()]];
        let plans = plans(&mut units, &names, &[1.0, 1.0], &shares);
        assert!(plans.len() > 6, "{plans:?}");
        for plan in &plans {
            let [a, b] = ["a", "b"].map(|name| plan.widths.weight_bits[name]);
            assert!(a < b || a == BITS[BITS.len() - 1], "{plan:?}");
            assert_eq!((plan.weight_bits, plan.activation_bits), (b, START_BITS), "{plan:?}");
        }
        let mean = |plan: &Plan| plan.widths.weight_bits.values().sum::<u32>();
        assert!(plans.windows(2).all(|pair| mean(&pair[0]) > mean(&pair[1])), "{plans:?}");
    }
}
