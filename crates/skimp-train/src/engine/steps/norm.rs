//! Batch normalization, with the addition and the ReLU behind it where the network has them.

use crate::TrainError;
use crate::engine::kernels::{ColumnSums, per_image};
use crate::engine::step::{GradMode, Keeps, Place, Run, Step};

/// `y = relu(scale · (x − mean) / sqrt(variance + epsilon) + shift + residual)`, the last two parts optional.
///
/// Inputs: x, and the residual if there is one. In training, mean and (biased) variance are those of the batch; the
/// running ones move towards them, the variance unbiased. Sums are taken per slice of the batch, and the slices' sums
/// added in order.
#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) scale: usize,
    pub(crate) shift: usize,
    pub(crate) mean_buffer: usize,
    pub(crate) variance_buffer: usize,
    pub(crate) epsilon: f32,
    pub(crate) momentum: f32,
    pub(crate) relu: bool,
    pub(crate) mean: Vec<f32>,
    pub(crate) inverse: Vec<f32>,
    /// Two sums per channel.
    pub(crate) sums: ColumnSums,
    /// Per channel, three coefficients.
    pub(crate) coefficients: Vec<[f32; 3]>,
}

impl Norm {
    pub(crate) fn new(
        [scale, shift]: [usize; 2],
        [mean_buffer, variance_buffer]: [usize; 2],
        (epsilon, momentum): (f32, f32),
        relu: bool,
        channels: usize,
    ) -> Self {
        Self {
            scale,
            shift,
            mean_buffer,
            variance_buffer,
            epsilon,
            momentum,
            relu,
            mean: vec![0.0; channels],
            inverse: vec![0.0; channels],
            sums: ColumnSums::new(2 * channels),
            coefficients: vec![[0.0; 3]; channels],
        }
    }

    fn channels(&self) -> usize {
        self.coefficients.len()
    }

    /// Finds the batch's statistics and moves the running ones.
    fn measure(&mut self, x: &[f32], epsilon: f32, running: [&mut [f32]; 2]) {
        let channels = self.channels();
        let n_rows = x.len() / channels.max(1);
        let sums = self.sums.reduce(n_rows, |rows, partial| {
            for row in x[rows.start * channels..rows.end * channels].chunks_exact(channels) {
                for (sum, &x) in partial.iter_mut().zip(row) {
                    *sum += f64::from(x);
                }
            }
        });
        let n = n_rows as f64;
        for (mean, &sum) in self.mean.iter_mut().zip(sums) {
            *mean = (sum / n) as f32;
        }
        let mean = &self.mean;
        let sums = self.sums.reduce(n_rows, |rows, partial| {
            for row in x[rows.start * channels..rows.end * channels].chunks_exact(channels) {
                for ((sum, &x), &mean) in partial.iter_mut().zip(row).zip(mean) {
                    let difference = f64::from(x) - f64::from(mean);
                    *sum += difference * difference;
                }
            }
        });
        let momentum = f64::from(self.momentum);
        let [running_mean, running_variance] = running;
        let unbiased = if n > 1.0 { n / (n - 1.0) } else { 1.0 };
        let average = |running: f32, new: f64| ((1.0 - momentum) * f64::from(running) + momentum * new) as f32;
        for c in 0..channels {
            let variance = sums[c] / n;
            self.inverse[c] = (1.0 / (variance + f64::from(epsilon)).sqrt()) as f32;
            running_mean[c] = average(running_mean[c], f64::from(self.mean[c]));
            running_variance[c] = average(running_variance[c], variance * unbiased);
        }
    }
}

impl Step for Norm {
    fn keeps(&self) -> Keeps {
        Keeps { inputs: true, outputs: self.relu }
    }

    fn forward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        let (x_id, channels) = (place.inputs[0].id, self.channels());
        if run.is_training() {
            let mut mean = std::mem::take(&mut run.buffers[self.mean_buffer].values);
            let mut variance = std::mem::take(&mut run.buffers[self.variance_buffer].values);
            self.measure(run.value(x_id), self.epsilon, [&mut mean, &mut variance]);
            run.buffers[self.mean_buffer].values = mean;
            run.buffers[self.variance_buffer].values = variance;
        } else {
            self.mean.copy_from_slice(&run.buffers[self.mean_buffer].values);
            for (inverse, &variance) in self.inverse.iter_mut().zip(&run.buffers[self.variance_buffer].values) {
                *inverse = (1.0 / (f64::from(variance) + f64::from(self.epsilon)).sqrt()) as f32;
            }
        }
        let (scale, shift) = (run.params[self.scale].values(), run.params[self.shift].values());
        for c in 0..channels {
            let factor = scale[c] * self.inverse[c];
            self.coefficients[c] = [factor, shift[c] - self.mean[c] * factor, 0.0];
        }
        let (relu, coefficients) = (self.relu, &self.coefficients);
        run.produce(place.outputs[0], |y, run| {
            let x = run.value(x_id);
            let residual = place.inputs.get(1).map(|port| run.value(port.id));
            per_image(y, channels, |row, y| {
                let at = row * channels;
                for (((y, &x), &[factor, addend, _]), c) in y.iter_mut().zip(&x[at..]).zip(coefficients).zip(0..) {
                    let sum = x * factor + addend + residual.map_or(0.0, |residual| residual[at + c]);
                    *y = if relu && sum <= 0.0 { 0.0 } else { sum };
                }
            });
        });
        Ok(())
    }

    fn backward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        let (x_id, y_id, channels, relu) = (place.inputs[0].id, place.outputs[0], self.channels(), self.relu);
        let Self { mean, inverse, sums, coefficients, .. } = self;
        let (x, dy) = (run.value(x_id), run.grad(y_id));
        // Without a ReLU the output need not live on.
        let y = if relu { run.value(y_id) } else { dy };
        let error = |i: usize| if relu && y[i] <= 0.0 { 0.0 } else { dy[i] };
        let n_rows = x.len() / channels.max(1);
        let sums = sums.reduce(n_rows, |rows, partial| {
            let (shift, scale) = partial.split_at_mut(channels);
            for row in rows {
                for c in 0..channels {
                    let i = row * channels + c;
                    let error = f64::from(error(i));
                    shift[c] += error;
                    scale[c] += error * f64::from((x[i] - mean[c]) * inverse[c]);
                }
            }
        });
        let (shift_sums, scale_sums) = sums.split_at(channels);
        for (idx, sums) in [(self.shift, shift_sums), (self.scale, scale_sums)] {
            run.param_grad(idx, |grad, _| grad.iter_mut().zip(sums).for_each(|(grad, &sum)| *grad = sum as f32));
        }
        // dx = factor · (error − mean of errors − x̂ · mean of (errors · x̂)), with x̂ = (x − mean) · inverse.
        let n = n_rows as f64;
        let scale = run.params[self.scale].values();
        for c in 0..channels {
            let factor = f64::from(scale[c]) * f64::from(inverse[c]);
            let slope = -factor * scale_sums[c] / n * f64::from(inverse[c]);
            let offset = -factor * shift_sums[c] / n - slope * f64::from(mean[c]);
            coefficients[c] = [factor as f32, slope as f32, offset as f32];
        }
        run.contribute(&place.inputs[0], |dx, run| {
            let (x, dy) = (run.value(x_id), run.grad(y_id));
            let y = if relu { run.value(y_id) } else { dy };
            per_image(dx, channels, |row, dx| {
                for (c, (dx, &[factor, slope, offset])) in dx.iter_mut().zip(&*coefficients).enumerate() {
                    let i = row * channels + c;
                    let error = if relu && y[i] <= 0.0 { 0.0 } else { dy[i] };
                    *dx = error * factor + (x[i] * slope + offset);
                }
            });
        });
        if let Some(port) = place.inputs.get(1) {
            debug_assert!(port.grad != GradMode::None || !run.wants(port), "modes are consistent");
            run.contribute(port, |dx, run| {
                let dy = run.grad(y_id);
                let y = if relu { run.value(y_id) } else { dy };
                per_image(dx, channels, |row, dx| {
                    for (c, dx) in dx.iter_mut().enumerate() {
                        let i = row * channels + c;
                        *dx = if relu && y[i] <= 0.0 { 0.0 } else { dy[i] };
                    }
                });
            });
        }
        Ok(())
    }
}
