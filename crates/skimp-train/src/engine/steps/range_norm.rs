//! Range batch normalization (see [`crate::policy::BatchNormKind::Range`]) on the reference.

use skimp_cpu::nhwc::{Activation, nchw_to_nhwc, nhwc_to_nchw};
use skimp_graph::Op;

use super::norm::Norm;
use crate::TrainError;
use crate::engine::step::{Place, Run};
use crate::reference::{self, BatchNorm, Call, Forward, Training, View};

/// The operator's inputs in the graph's order.
struct Inputs {
    shape: Vec<usize>,
    channels: Vec<usize>,
    tensors: [Vec<f32>; 5],
}

impl Inputs {
    fn new(norm: &Norm, place: &Place, run: &Run<'_>) -> Self {
        let id = place.inputs[0].id;
        let spec = run.tensors.spec(id);
        let x = planar(run.value(id), spec.channels(), spec.pixels());
        let param = |idx: usize| run.params[idx].values().to_vec();
        let buffer = |idx: usize| run.buffers[idx].values.clone();
        let tensors = [x, param(norm.scale), param(norm.shift), buffer(norm.mean_buffer), buffer(norm.variance_buffer)];
        let shape = std::iter::once(run.batch).chain(spec.dims.iter().copied()).collect();
        Self { shape, channels: vec![spec.channels()], tensors }
    }

    fn views(&self) -> [Option<View<'_, f32>>; 5] {
        let [x, scale, shift, mean, variance] = &self.tensors;
        let view = |data, shape| Some(View { shape, data });
        let (shape, channels) = (self.shape.as_slice(), self.channels.as_slice());
        [view(x, shape), view(scale, channels), view(shift, channels), view(mean, channels), view(variance, channels)]
    }
}

fn planar(interleaved: &[f32], channels: usize, pixels: usize) -> Vec<f32> {
    let mut planar = vec![0.0; interleaved.len()];
    nhwc_to_nchw(interleaved, channels, pixels, &mut planar);
    planar
}

fn training(run: &Run<'_>) -> Training {
    Training { batch_norm: BatchNorm::Batch(run.policy.batch_norm()), ..Training::default() }
}

pub(super) fn forward(norm: &Norm, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
    let inputs = Inputs::new(norm, place, run);
    let (op, training, views) = (Op::BatchNormalization { epsilon: norm.epsilon }, training(run), inputs.views());
    let call = Call { op: &op, node: &place.site.name, training: &training, inputs: &views };
    let Forward { outputs, moments, .. } = reference::forward(&call)?;
    if let Some(moments) = moments {
        for c in 0..inputs.channels[0] {
            let running = [norm.mean_buffer, norm.variance_buffer];
            let before = running.map(|buffer| f64::from(run.buffers[buffer].values[c]));
            for (buffer, after) in running.into_iter().zip(moments.running(c, f64::from(norm.momentum), before)) {
                run.buffers[buffer].values[c] = after as f32;
            }
        }
    }
    run.produce(place.outputs[0], |y, run| {
        let spec = run.tensors.spec(place.outputs[0]);
        if let Some(z) = outputs.first() {
            nchw_to_nhwc(z, spec.channels(), spec.pixels(), y);
        }
        if let Some(port) = place.inputs.get(1) {
            y.iter_mut().zip(run.value(port.id)).for_each(|(y, residual)| *y += residual);
        }
        if norm.activation == Activation::Relu {
            y.iter_mut().for_each(|y| *y = if 0.0 > *y { 0.0 } else { *y });
        }
    });
    Ok(())
}

pub(super) fn backward(norm: &Norm, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
    let inputs = Inputs::new(norm, place, run);
    let (op, training, views) = (Op::BatchNormalization { epsilon: norm.epsilon }, training(run), inputs.views());
    let call = Call { op: &op, node: &place.site.name, training: &training, inputs: &views };
    let y_id = place.outputs[0];
    let spec = run.tensors.spec(y_id);
    let (channels, pixels) = (spec.channels(), spec.pixels());
    let mut error = run.grad(y_id).to_vec();
    if norm.activation == Activation::Relu {
        error.iter_mut().zip(run.value(y_id)).for_each(|(error, &y)| *error = if y > 0.0 { *error } else { 0.0 });
    }
    if let Some(port) = place.inputs.get(1) {
        run.contribute(port, |dx, _| dx.copy_from_slice(&error));
    }
    let gradients = reference::backward(&call, &[Some(&planar(&error, channels, pixels))])?;
    if let Some(Some(gradient)) = gradients.first() {
        run.contribute(&place.inputs[0], |dx, _| nchw_to_nhwc(gradient, channels, pixels, dx));
    }
    for (idx, gradient) in [norm.scale, norm.shift].into_iter().zip(gradients.iter().skip(1)) {
        if let Some(gradient) = gradient {
            run.param_grad(idx, |grad, _| grad.copy_from_slice(gradient));
        }
    }
    Ok(())
}
