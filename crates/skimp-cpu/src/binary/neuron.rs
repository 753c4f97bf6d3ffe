//! One time step of spiking neurons, to bits.

use rayon::prelude::*;
use skimp_graph::binary::BitNeuron;
use skimp_graph::ops::{Reset, ResetTime};
use skimp_graph::{Tensor, ops};

use super::kernel::{Isa, integrate};
use super::planes::{EIGHT, Planes};

/// A neuron without current that resets in the step of its spike: what the kernel computes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    pub(super) leak: f32,
    pub(super) gain: f32,
    pub(super) reset: PlainReset,
    pub(super) is_strict: bool,
}

/// What a spike does to the potential.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PlainReset {
    None,
    Subtract,
    To(f32),
}

/// One step by the kernel: bits and potentials. `None` where the neuron, its parameters or the extents are of another kind, for
/// which the operator's reference stands in.
pub(super) fn step(isa: Isa, neuron: &BitNeuron, inputs: &[&Tensor]) -> Option<(Planes, Tensor)> {
    let ops::Neuron { current_leak, rest, reset_time, first_spike, returns_state, .. } = neuron.neuron;
    let is_plain = current_leak.to_bits() == 0 && rest.to_bits() == 0 && first_spike.is_none() && returns_state;
    let &[x, v] = inputs else { return None };
    let (n, channels, extents, is_flat) = match *x.shape() {
        [n, c] => (n, c, [1, 1], true),
        [n, c, h, w] => (n, c, [h, w], false),
        _ => return None,
    };
    if !is_plain || reset_time != ResetTime::SameStep || v.shape() != x.shape() {
        return None;
    }
    let thresholds = per_channel(neuron.threshold.as_ref(), neuron.neuron.threshold, channels, x.shape().len())?;
    let leaks = per_channel(neuron.leak.as_ref(), neuron.neuron.leak, channels, x.shape().len())?;
    let reset = match neuron.neuron.reset {
        Reset::None => PlainReset::None,
        Reset::Subtract => PlainReset::Subtract,
        Reset::Zero | Reset::Clear => PlainReset::To(neuron.neuron.reset_value),
    };
    let (x, v) = (x.as_f32()?, v.as_f32()?);
    let mut planes = Planes { is_flat, ..Planes::new(n, channels, extents) };
    let (area, depth) = (planes.area(), planes.depth());
    let mut next = vec![0.0; x.len()];
    if area > 0 && channels > 0 {
        let images = planes.bytes.par_chunks_exact_mut(depth * area).zip(next.par_chunks_exact_mut(channels * area));
        images.enumerate().for_each(|(image, (bytes, next))| {
            let groups = bytes.par_chunks_exact_mut(area).zip(next.par_chunks_mut(EIGHT * area));
            groups.with_min_len((1 << 13) / (EIGHT * area) + 1).enumerate().for_each(|(plane, (bytes, next))| {
                for (j, next) in next.chunks_exact_mut(area).enumerate() {
                    let channel = plane * EIGHT + j;
                    let first = (image * channels + channel) * area;
                    let plain = Plain {
                        leak: leaks[channel],
                        gain: neuron.neuron.gain,
                        reset,
                        is_strict: neuron.neuron.is_strict,
                    };
                    let (x, v) = (&x[first..first + area], &v[first..first + area]);
                    integrate(isa, plain, thresholds[channel], x, v, next, bytes, j);
                }
            });
        });
    }
    let shape = planes.shape();
    Some((planes, Tensor::from_f32(shape, next)))
}

/// A parameter as one number for each channel.
fn per_channel(given: Option<&Tensor>, value: f32, channels: usize, rank: usize) -> Option<Vec<f32>> {
    let Some(given) = given else { return Some(vec![value; channels]) };
    let data = given.as_f32()?;
    if let [value] = data {
        return Some(vec![*value; channels]);
    }
    // Channels are the second axis; extents are counted from the last one, as they broadcast.
    let axis = (given.shape().len() + 1).checked_sub(rank)?;
    let others = given.shape().iter().enumerate().filter(|(idx, _)| *idx != axis);
    let fits = given.shape().get(axis) == Some(&channels) && others.into_iter().all(|(_, &extent)| extent == 1);
    fits.then(|| data.to_vec())
}
