//! Quantizers of weights and activations: naive formulas in double precision, the specification of
//! [`WeightForm`] and [`ActivationCodes`](crate::quantizer::ActivationCodes).

use crate::quantizer::{ActivationStep, SignGradient, SignScale, WeightForm, WeightStep, max_code};

/// What a quantizer makes of numbers, and of the gradient of what it makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// What stands for the numbers.
    pub values: Vec<f64>,
    /// Their gradient.
    pub gradient: Vec<f64>,
    /// The gradient of the learned step or range; 0 where none is learned.
    pub step_gradient: f64,
}

/// One output channel `w` of a weight. `step` is the learned step, `dy` the gradient of what stands for the weight.
pub fn weight(form: &WeightForm, w: &[f64], step: f64, dy: &[f64]) -> Quantized {
    let n_weights = w.len() as f64;
    let mean = w.iter().map(|w| w.abs()).sum::<f64>() / n_weights;
    match *form {
        WeightForm::Sign { scale, gradient } => {
            let scale = match scale {
                SignScale::One => 1.0,
                SignScale::MeanAbs => mean,
            };
            let slope = |w: f64| match gradient {
                SignGradient::Straight => 1.0,
                SignGradient::Scaled { inputs } => {
                    let inside = if w.abs() < 1.0 { scale } else { 0.0 };
                    (inside + 1.0 / n_weights) * (1.0 - 1.0 / inputs as f64) * n_weights
                }
            };
            Quantized {
                values: w.iter().map(|&w| if w >= 0.0 { scale } else { -scale }).collect(),
                gradient: w.iter().zip(dy).map(|(&w, dy)| dy * slope(w)).collect(),
                step_gradient: 0.0,
            }
        }
        WeightForm::Codes { bits, step: kind } => {
            let n = f64::from(max_code(bits));
            let greatest = w.iter().fold(0.0_f64, |max, w| max.max(w.abs()));
            let (s, learns) = match kind {
                WeightStep::Learned => (step, true),
                WeightStep::MaxAbs => (f64::from((greatest / n) as f32), false),
            };
            let mut found = Quantized { values: Vec::new(), gradient: Vec::new(), step_gradient: 0.0 };
            for (w, dy) in w.iter().zip(dy) {
                let ratio = w / s;
                found.values.push(ratio.round_ties_even().clamp(-n, n) * s);
                let is_inside = !learns || ratio.abs() <= n;
                found.gradient.push(if is_inside { *dy } else { 0.0 });
                let part = if is_inside { ratio.round_ties_even() - ratio } else { n.copysign(ratio) };
                found.step_gradient += if learns { dy * part } else { 0.0 };
            }
            found.step_gradient /= (n_weights * n).sqrt();
            found
        }
    }
}

/// Activations `x`, `per_image` of them in an image, in codes from `low` to `high` times `s`, where `s` is `value` or, for
/// [`ActivationStep::Range`] and [`ActivationStep::Pact`], `value / high`.
pub fn activation(
    step: ActivationStep,
    [low, high]: [f64; 2],
    value: f64,
    per_image: usize,
    x: &[f64],
    dy: &[f64],
) -> Quantized {
    let s = match step {
        ActivationStep::Learned => value,
        ActivationStep::Pact { .. } | ActivationStep::Range { .. } => value / high,
    };
    let mut found = Quantized { values: Vec::new(), gradient: Vec::new(), step_gradient: 0.0 };
    for (x, dy) in x.iter().zip(dy) {
        let ratio = x / s;
        found.values.push(ratio.round_ties_even().clamp(low, high) * s);
        let is_inside = ratio >= low && ratio <= high;
        found.gradient.push(if is_inside { *dy } else { 0.0 });
        found.step_gradient += match step {
            ActivationStep::Learned if is_inside => dy * (ratio.round_ties_even() - ratio),
            ActivationStep::Learned => dy * ratio.clamp(low, high),
            ActivationStep::Pact { .. } if ratio > high => *dy,
            ActivationStep::Pact { .. } | ActivationStep::Range { .. } => 0.0,
        };
    }
    if step == ActivationStep::Learned {
        found.step_gradient /= (per_image as f64 * high).sqrt();
    }
    found
}
