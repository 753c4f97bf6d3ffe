//! Normalizations.

use super::Call;
use super::linear::pairs;
use super::number::{Float, for_float};
use super::strided::around_axis;
use crate::shape::normalized_axis;
use crate::{Data, GraphError};

/// `(x − mean) / sqrt(variance + epsilon) · scale + bias` per channel, in f64.
pub(super) fn batch_norm(call: &Call<'_>, epsilon: f32) -> Result<Data, GraphError> {
    fn typed<T: Float>(call: &Call<'_>, x: &[T], epsilon: f32) -> Result<Vec<T>, GraphError> {
        let parameter = |idx: usize, c: usize| call.elements::<T>(idx)[c].to_f64();
        let (n_batch, n_channels, inner) = around_axis(call.input(0).shape(), 1);
        let mut y = call.allocate_output()?;
        for plane in 0..n_batch * n_channels {
            let c = plane % n_channels;
            let deviation = (parameter(4, c) + f64::from(epsilon)).sqrt();
            let (scale, bias, mean) = (parameter(1, c), parameter(2, c), parameter(3, c));
            let plane = &x[plane * inner..][..inner];
            y.extend(plane.iter().map(|x| T::from_f64((x.to_f64() - mean) / deviation * scale + bias)));
        }
        Ok(y)
    }
    for_float!(call.input(0).data(), x => Ok(typed(call, x, epsilon)?.into()), Err(call.unsupported_type()))
}

/// `exp(x − max) / Σ exp(x − max)` along an axis, in f64.
pub(super) fn softmax(call: &Call<'_>, axis: i64) -> Result<Data, GraphError> {
    fn typed<T: Float>(call: &Call<'_>, x: &[T], axis: usize) -> Result<Vec<T>, GraphError> {
        let (outer, extent, inner) = around_axis(call.input(0).shape(), axis);
        let mut y = call.allocate_output()?;
        y.resize(x.len(), T::ZERO);
        for (block, lane) in pairs(outer, inner) {
            let at = |i: usize| (block * extent + i) * inner + lane;
            let most = (0..extent).fold(f64::NEG_INFINITY, |most, i| most.max(x[at(i)].to_f64()));
            let exponential = |i: usize| (x[at(i)].to_f64() - most).exp();
            let sum: f64 = (0..extent).map(exponential).sum();
            for i in 0..extent {
                y[at(i)] = T::from_f64(exponential(i) / sum);
            }
        }
        Ok(y)
    }
    let axis = normalized_axis(axis, call.input(0).shape().len()).map_err(|cause| call.invalid(cause))?;
    for_float!(call.input(0).data(), x => Ok(typed(call, x, axis)?.into()), Err(call.unsupported_type()))
}

/// `x / (bias + alpha / size · Σ x²)^beta` over the channels `c − ⌊(size − 1) / 2⌋ ..= c + ⌈(size − 1) / 2⌉`, in f64.
pub(super) fn lrn(call: &Call<'_>, size: usize, factors: [f32; 3]) -> Result<Data, GraphError> {
    fn typed<T: Float>(call: &Call<'_>, x: &[T], size: usize, factors: [f32; 3]) -> Result<Vec<T>, GraphError> {
        let [alpha, beta, bias] = factors.map(f64::from);
        let (n_batch, n_channels, inner) = around_axis(call.input(0).shape(), 1);
        let mut y = call.allocate_output()?;
        for plane in 0..n_batch * n_channels {
            let (n, c) = (plane / n_channels, plane % n_channels);
            let channels = c.saturating_sub((size - 1) / 2)..c.saturating_add(size / 2 + 1).min(n_channels);
            for i in 0..inner {
                let at = |c: usize| x[(n * n_channels + c) * inner + i].to_f64();
                let squares: f64 = channels.clone().map(|c| at(c) * at(c)).sum();
                y.push(T::from_f64(at(c) / (bias + alpha / size as f64 * squares).powf(beta)));
            }
        }
        Ok(y)
    }
    for_float!(call.input(0).data(), x => Ok(typed(call, x, size, factors)?.into()), Err(call.unsupported_type()))
}
