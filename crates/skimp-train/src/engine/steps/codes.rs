//! Activations in codes of few bits, with a step that is learned or measured.

use rayon::prelude::*;

use crate::TrainError;
use crate::engine::kernels::{zip1, zip2};
use crate::engine::step::{Keeps, Place, Run, Step};
use crate::quantizer::{ActivationCodes, ActivationStep};

/// The step of [`ActivationCodes`].
#[derive(Debug)]
pub(crate) struct Codes {
    codes: ActivationCodes,
    /// The parameter of one number.
    param: usize,
}

/// Elements of one partial sum. Does not depend on the number of threads.
const PIECE: usize = 1 << 14;

impl Codes {
    pub(crate) fn new(codes: ActivationCodes, param: usize) -> Self {
        Self { codes, param }
    }

    /// Sets or moves the range by the batch.
    fn measure(&self, place: &Place, run: &mut Run<'_>) {
        let x = run.value(place.inputs[0].id);
        let value = run.params[self.param].values()[0];
        let new = match self.codes.step {
            ActivationStep::Learned if value <= 0.0 => {
                let magnitude = |x: f32| if self.codes.is_signed { x.abs() } else { x.max(0.0) };
                let sum = pieces(x, |x| x.iter().map(|&x| f64::from(magnitude(x))).sum::<f64>());
                let mean = sum.iter().sum::<f64>() / x.len().max(1) as f64;
                2.0 * mean / f64::from(self.codes.ends()[1]).sqrt()
            }
            ActivationStep::Range { momentum } => {
                let signed = self.codes.is_signed;
                let max = pieces(x, |x| x.iter().fold(0.0_f32, |max, &x| max.max(if signed { x.abs() } else { x })));
                let max = f64::from(max.into_iter().fold(0.0, f32::max));
                let momentum = f64::from(momentum);
                if value <= 0.0 { max } else { (1.0 - momentum) * f64::from(value) + momentum * max }
            }
            ActivationStep::Learned | ActivationStep::Pact { .. } => return,
        };
        run.params[self.param].values_mut()[0] = (new as f32).max(f32::MIN_POSITIVE);
    }

    /// The present step between two codes; `None` where no batch has set one.
    fn step(&self, run: &Run<'_>) -> Option<f32> {
        let value = run.params[self.param].values()[0];
        (value > 0.0).then(|| self.codes.step_of(value))
    }
}

fn pieces<T: Send>(x: &[f32], f: impl Fn(&[f32]) -> T + Send + Sync) -> Vec<T> {
    x.par_chunks(PIECE).map(f).collect()
}

impl Step for Codes {
    fn keeps(&self) -> Keeps {
        Keeps { inputs: true, outputs: false }
    }

    fn forward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        if run.is_training() {
            self.measure(place, run);
        }
        let [low, high] = self.codes.ends();
        let step = self.step(run);
        run.produce(place.outputs[0], |y, run| {
            zip1(y, run.value(place.inputs[0].id), |y, x| {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = match step {
                        Some(step) => (x / step).round_ties_even().clamp(low, high) * step,
                        None if low < 0.0 => x,
                        None => x.max(0.0),
                    };
                }
            });
        });
        Ok(())
    }

    fn backward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        let [low, high] = self.codes.ends();
        let step = self.step(run).unwrap_or(f32::MIN_POSITIVE);
        let (x_id, y_id) = (place.inputs[0].id, place.outputs[0]);
        let kind = self.codes.step;
        if run.params[self.param].is_trainable() {
            let (x, dy) = (run.value(x_id), run.grad(y_id));
            let parts: Vec<f64> = x
                .par_chunks(PIECE)
                .zip(dy.par_chunks(PIECE))
                .map(|(x, dy)| {
                    let part = |x: f32| {
                        let ratio = x / step;
                        match kind {
                            ActivationStep::Learned if ratio >= low && ratio <= high => ratio.round_ties_even() - ratio,
                            ActivationStep::Learned => ratio.clamp(low, high),
                            ActivationStep::Pact { .. } if ratio > high => 1.0,
                            ActivationStep::Pact { .. } | ActivationStep::Range { .. } => 0.0,
                        }
                    };
                    x.iter().zip(dy).map(|(&x, &dy)| f64::from(part(x) * dy)).sum()
                })
                .collect();
            let per_image = (x.len() / run.batch.max(1)) as f64;
            let factor = match kind {
                ActivationStep::Learned => 1.0 / (per_image * f64::from(high)).sqrt(),
                ActivationStep::Pact { .. } | ActivationStep::Range { .. } => 1.0,
            };
            let sum = (parts.iter().sum::<f64>() * factor) as f32;
            run.param_grad(self.param, |grad, _| grad.fill(sum));
        }
        run.contribute(&place.inputs[0], |dx, run| {
            zip2(dx, run.grad(y_id), run.value(x_id), |dx, dy, x| {
                for ((dx, &dy), &x) in dx.iter_mut().zip(dy).zip(x) {
                    let ratio = x / step;
                    *dx = if ratio >= low && ratio <= high { dy } else { 0.0 };
                }
            });
        });
        Ok(())
    }
}
