//! Noise of cells in the sums of a dense layer: what training with noise computes, one cell after the other.

use skimp_analog::Synapse;
use skimp_numerics::rng::Key;

use crate::TrainError;
use crate::noise::{Coefficients, Draw, Drive, LayerNoise};

/// What the cells add to the sums of a dense layer called `layer` for the image and the step of `key`: `signs` are its weights,
/// `[inputs][outputs]` of ±1, `x` its inputs. The key's stream does not matter.
///
/// # Errors
/// As [`LayerNoise::chip`].
pub fn deviations(of: &LayerNoise, layer: &str, signs: &[f32], x: &[f32], key: Key) -> Result<Vec<f64>, TrainError> {
    let columns = signs.len() / x.len().max(1);
    let (synapse, cell) = (of.noise.synapse, of.noise.cell);
    let (is_xnor, are_signs) = (synapse == Synapse::Xnor, of.drive == Drive::Signs);
    let mut draws = LayerNoise::draws(LayerNoise::stream(layer), key);
    // What counts as one weight where rows know 0 and 1 only.
    let gain = match (is_xnor, are_signs) {
        (true, false) => 0.5,
        (false, true) => 2.0,
        (true, true) | (false, false) => 1.0,
    };
    let active = |x: f32| if are_signs { if x > 0.0 { 1.0 } else { 0.0 } } else { f64::from(x) };
    let mut sums = vec![0.0; columns];
    if of.noise.draw == Draw::Step {
        let crossbar = of.crossbar(layer, signs, columns, key)?;
        for (output, sum) in sums.iter_mut().enumerate() {
            for (row, &x) in x.iter().enumerate() {
                *sum += gain * active(x) * f64::from(crossbar.active()[row * columns + output]);
            }
            // What a pair of cells adds with −1; read twice, it is subtracted again.
            let idle = crossbar.inactive().chunks_exact(columns).map(|tile| f64::from(tile[output]));
            *sum += if are_signs { gain * idle.sum::<f64>() } else { 0.0 };
        }
        sums.iter_mut().zip(of.offsets(layer, key)).for_each(|(sum, offset)| *sum += f64::from(offset));
        let driven = match (is_xnor, are_signs) {
            (true, true) => x.len() as f64,
            (true, false) => 2.0 * x.iter().map(|&x| active(x).powi(2)).sum::<f64>(),
            (false, _) => x.iter().map(|&x| active(x).powi(2)).sum(),
        };
        let read = synapse.read_noise(&cell, driven);
        let deviation = gain * read.own.hypot(read.shared);
        if deviation > 0.0 {
            sums.iter_mut().for_each(|sum| *sum += deviation * draws.normal());
        }
        return Ok(sums);
    }
    let Coefficients { offset_deviation, .. } = of.coefficients();
    for (output, sum) in sums.iter_mut().enumerate() {
        let (mut mean, mut variance) = (0.0, offset_deviation * offset_deviation);
        for (row, &x) in x.iter().enumerate() {
            let [on, off] = synapse.moments(&cell, signs[row * columns + output] > 0.0);
            let power = active(x).powi(2);
            mean += gain * active(x) * on.mean;
            variance += gain * gain * power * on.variance;
            match (is_xnor, are_signs) {
                (true, true) => {
                    mean += (1.0 - active(x)) * off.mean;
                    variance += (1.0 - active(x)) * off.variance;
                }
                (true, false) => {
                    mean -= gain * active(x) * off.mean;
                    variance += gain * gain * power * off.variance;
                }
                (false, _) => {}
            }
            let driven = match (is_xnor, are_signs) {
                (true, true) => 1.0,
                (true, false) => 2.0 * power,
                (false, _) => power,
            };
            let read = synapse.read_noise(&cell, driven);
            variance += gain * gain * (read.own * read.own + read.shared * read.shared);
        }
        *sum = mean;
        if variance > 0.0 {
            *sum += variance.sqrt() * draws.normal();
        }
    }
    Ok(sums)
}
