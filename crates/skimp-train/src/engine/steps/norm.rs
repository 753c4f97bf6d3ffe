//! Batch normalization, with the addition and the ReLU behind it where the network has them.

use skimp_cpu::nhwc::{
    AlignedVec, BatchNorm, NormGrads, NormTensors, Rectifier, batch_norm_backward, batch_norm_forward, batch_statistics,
};

use super::range_norm::{Extremes, Slope};
use crate::TrainError;
use crate::engine::step::{GradMode, Keeps, Place, Run, Step};
use crate::policy::{BatchNormKind, RangeConstant};

/// `y = relu(scale · (x − mean) / sqrt(variance + epsilon) + shift + residual)`, the last two parts optional.
///
/// Inputs: x, and the residual if there is one. In training, mean and (biased) variance are those of the batch; the
/// running ones move towards them, the variance unbiased. With a policy's range batch norm, the square of the scaled
/// range stands for the variance.
#[derive(Debug)]
pub(crate) struct Norm {
    pub(super) scale: usize,
    pub(super) shift: usize,
    pub(super) mean_buffer: usize,
    pub(super) variance_buffer: usize,
    pub(super) epsilon: f32,
    pub(super) momentum: f32,
    pub(super) activation: Rectifier,
    mean: Vec<f32>,
    variance: Vec<f32>,
    inverse: Vec<f32>,
    scale_grad: Vec<f32>,
    shift_grad: Vec<f32>,
    extremes: Extremes,
    slopes: Vec<Slope>,
    /// Room for an input's gradient that is added to others, made on first need.
    spare: AlignedVec,
}

impl Norm {
    pub(crate) fn new(
        [scale, shift]: [usize; 2],
        [mean_buffer, variance_buffer]: [usize; 2],
        (epsilon, momentum): (f32, f32),
        relu: bool,
        channels: usize,
    ) -> Self {
        let zeros = || vec![0.0; channels];
        Self {
            scale,
            shift,
            mean_buffer,
            variance_buffer,
            epsilon,
            momentum,
            activation: if relu { Rectifier::Relu } else { Rectifier::Identity },
            mean: zeros(),
            variance: zeros(),
            inverse: zeros(),
            scale_grad: zeros(),
            shift_grad: zeros(),
            extremes: Extremes::default(),
            slopes: vec![Slope::default(); channels],
            spare: AlignedVec::default(),
        }
    }

    /// Finds the batch's statistics and moves the running ones; or takes the running ones.
    fn measure(&mut self, place: &Place, run: &mut Run<'_>) {
        let (is_training, range) = (run.is_training(), range(run));
        let Run { batch, buffers, tensors, workspace, .. } = run;
        let x = tensors.value(place.inputs[0].id, *batch);
        if is_training {
            batch_statistics(x, &mut self.mean, &mut self.variance, workspace);
            let n = x.len() as f64 / self.mean.len().max(1) as f64;
            let unbiased = if n > 1.0 && range.is_none() { n / (n - 1.0) } else { 1.0 };
            if let Some((n_chunks, constant)) = range {
                self.extremes.find(x, self.mean.len(), n_chunks, constant);
                for (channel, variance) in self.variance.iter_mut().enumerate() {
                    let deviation = self.extremes.deviation(channel, self.mean.len(), self.epsilon);
                    self.inverse[channel] = (1.0 / deviation) as f32;
                    *variance = (deviation * deviation - f64::from(self.epsilon)).max(0.0) as f32;
                }
            }
            let momentum = f64::from(self.momentum);
            let mut average = |buffer: usize, news: &[f32], factor: f64| {
                for (running, &new) in buffers[buffer].values.iter_mut().zip(news) {
                    *running = ((1.0 - momentum) * f64::from(*running) + momentum * factor * f64::from(new)) as f32;
                }
            };
            average(self.mean_buffer, &self.mean, 1.0);
            average(self.variance_buffer, &self.variance, unbiased);
        } else {
            self.mean.copy_from_slice(&buffers[self.mean_buffer].values);
            self.variance.copy_from_slice(&buffers[self.variance_buffer].values);
        }
        if range.is_some() {
            return;
        }
        for (inverse, &variance) in self.inverse.iter_mut().zip(&self.variance) {
            *inverse = (1.0 / (f64::from(variance) + f64::from(self.epsilon)).sqrt()) as f32;
        }
    }
}

/// Chunks and constant of the policy's range batch norm, if this pass has one.
fn range(run: &Run<'_>) -> Option<(usize, RangeConstant)> {
    match run.policy.batch_norm() {
        BatchNormKind::Range { n_chunks, constant } if run.is_training() => Some((n_chunks, constant)),
        BatchNormKind::Range { .. } | BatchNormKind::Standard => None,
    }
}

impl Step for Norm {
    fn keeps(&self) -> Keeps {
        Keeps { inputs: true, outputs: self.activation == Rectifier::Relu }
    }

    fn forward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        if run.is_training() && run.matrix(place.inputs[0].id).0 <= 1 {
            let cause = "a batch of 1 image has no more".to_owned();
            return Err(TrainError::OneValue { layer: place.site.name.clone(), cause });
        }
        self.measure(place, run);
        run.produce(place.outputs[0], |y, run| {
            let Run { batch, params, tensors, workspace, .. } = run;
            let norm = BatchNorm {
                mean: &self.mean,
                inverse_deviation: &self.inverse,
                scale: params[self.scale].values(),
                shift: params[self.shift].values(),
            };
            let residual = place.inputs.get(1).map(|port| tensors.value(port.id, *batch));
            let x = tensors.value(place.inputs[0].id, *batch);
            batch_norm_forward(&norm, x, residual, self.activation, y, workspace);
        });
        Ok(())
    }

    fn backward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        let range = range(run);
        let (x_port, residual_port) = (place.inputs[0], place.inputs.get(1).copied());
        let (x_id, y_id) = (x_port.id, place.outputs[0]);
        let len = run.value(x_id).len();
        // The kernel fills both gradients at once. The one of x goes through spare memory where it is added to others
        // or where nobody wants it; the residual's goes through the scratch memory where it is added.
        let direct = run.wants(&x_port) && x_port.grad == GradMode::Write;
        if !direct {
            self.spare.grow(len);
        }
        let mut spare = std::mem::take(&mut self.spare);
        let mut dx_memory = if direct { run.tensors.take_grad(x_id) } else { AlignedVec::default() };
        let residual_port = residual_port.filter(|port| run.wants(port));
        let mut residual_memory = match residual_port {
            Some(port) if port.grad == GradMode::Write => run.tensors.take_grad(port.id),
            Some(_) => std::mem::take(&mut run.tensors.scratch),
            None => AlignedVec::default(),
        };
        let Run { batch, params, tensors, workspace, .. } = &mut *run;
        let norm = BatchNorm {
            mean: &self.mean,
            inverse_deviation: &self.inverse,
            scale: params[self.scale].values(),
            shift: params[self.shift].values(),
        };
        let (x, dy) = (tensors.value(x_id, *batch), tensors.grad(y_id, *batch));
        // Without a ReLU the output need not live on.
        let y = if self.activation == Rectifier::Relu { tensors.value(y_id, *batch) } else { &[] };
        let grads = NormGrads {
            dx: if direct { &mut dx_memory[..len] } else { &mut spare[..len] },
            residual_grad: residual_port.map(|_| &mut residual_memory[..len]),
            dscale: &mut self.scale_grad,
            dshift: &mut self.shift_grad,
        };
        batch_norm_backward(&norm, &NormTensors { x, y, dy }, self.activation, grads, workspace);
        if range.is_some() {
            for (channel, slope) in self.slopes.iter_mut().enumerate() {
                let (mean, inverse, product) = (self.mean[channel], self.inverse[channel], self.scale_grad[channel]);
                *slope = Slope { mean, inverse, gain: norm.scale[channel] * inverse, product };
            }
            let dx = if direct { &mut dx_memory[..len] } else { &mut spare[..len] };
            self.extremes.correct(dx, x, &self.slopes);
        }
        // First x, then the residual: both may be the same tensor.
        if direct {
            run.tensors.put_grad(x_id, dx_memory);
        } else if run.wants(&x_port) {
            run.add_to_grad(x_id, &spare[..len]);
        }
        self.spare = spare;
        match residual_port {
            Some(port) if port.grad == GradMode::Write => run.tensors.put_grad(port.id, residual_memory),
            Some(port) => {
                run.add_to_grad(port.id, &residual_memory[..len]);
                run.tensors.scratch = residual_memory;
            }
            None => {}
        }
        run.param_grad(self.scale, |grad, _| grad.copy_from_slice(&self.scale_grad));
        run.param_grad(self.shift, |grad, _| grad.copy_from_slice(&self.shift_grad));
        Ok(())
    }
}
