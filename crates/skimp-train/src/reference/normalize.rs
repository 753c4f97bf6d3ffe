//! Normalizations.

use std::f64::consts::PI;

use skimp_graph::GraphError;
use skimp_graph::shape::normalized_axis;

use super::Exact;
use super::settings::BatchNorm;
use crate::policy::{BatchNormKind, RangeConstant};

/// Statistics of the channels of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Mean of each channel.
    pub mean: Vec<f64>,
    /// Variance of each channel, so that the normalization divides by `sqrt(variance + epsilon)`.
    ///
    /// Biased (divided by [`count`](Self::count)) with [`BatchNormKind::Standard`]; with [`BatchNormKind::Range`] the square of the
    /// scaled range with epsilon, less epsilon, which may be slightly negative.
    pub variance: Vec<f64>,
    /// Elements per channel.
    pub count: usize,
    /// Whether the variance is a mean of squares, which running averages take unbiased.
    is_mean_of_squares: bool,
}

impl Moments {
    /// The running mean and variance of a channel after this batch:
    /// `(1 − momentum) · running + momentum · batch`, with the batch variance times `count / (count − 1)` where it is a
    /// mean of squares over more than one element, and not below 0.
    ///
    /// # Source
    /// Ioffe and Szegedy, ICML 2015, algorithm 2 (the unbiased variance); the running average as PyTorch defines it.
    /// Differs, for the range: Banner et al. average scaled ranges; here their squares are averaged, so that an exported
    /// network is a plain `BatchNormalization`.
    pub fn running(&self, channel: usize, momentum: f64, [mean, variance]: [f64; 2]) -> [f64; 2] {
        let unbiased = if self.is_mean_of_squares && self.count > 1 {
            self.variance[channel] * self.count as f64 / (self.count - 1) as f64
        } else {
            self.variance[channel].max(0.0)
        };
        let average = |running: f64, batch: f64| (1.0 - momentum) * running + momentum * batch;
        [average(mean, self.mean[channel]), average(variance, unbiased)]
    }
}

/// Indices of a channel's elements in memory order.
fn channel(call: &Exact<'_>, c: usize) -> impl Iterator<Item = usize> + Clone {
    let [n_batch, n_channels, inner] = call.planes();
    (0..n_batch).flat_map(move |n| (0..inner).map(move |i| (n * n_channels + c) * inner + i))
}

/// Statistics of the batch.
pub(super) fn moments(call: &Exact<'_>, kind: BatchNormKind, epsilon: f32) -> Moments {
    let [n_batch, n_channels, inner] = call.planes();
    let count = n_batch * inner;
    let x = call.x();
    let mean = |c: usize| channel(call, c).map(|idx| x[idx]).sum::<f64>() / count as f64;
    let mean: Vec<f64> = (0..n_channels).map(mean).collect();
    let epsilon = f64::from(epsilon);
    let variance = |c: usize| match kind {
        BatchNormKind::Standard => {
            channel(call, c).map(|idx| (x[idx] - mean[c]) * (x[idx] - mean[c])).sum::<f64>() / count as f64
        }
        BatchNormKind::Range { n_chunks, constant } => {
            let (extremes, factor) = ranges(call, c, n_chunks, constant);
            let deviation = factor * extremes.iter().map(|[low, high]| x[*high] - x[*low]).sum::<f64>() + epsilon;
            deviation * deviation - epsilon
        }
    };
    let variance = (0..n_channels).map(variance).collect();
    Moments { mean, variance, count, is_mean_of_squares: kind == BatchNormKind::Standard }
}

/// The least and the greatest element (the first of each) of every chunk of a channel, and what the sum of their
/// distances is multiplied by.
fn ranges(call: &Exact<'_>, c: usize, n_chunks: usize, constant: RangeConstant) -> (Vec<[usize; 2]>, f64) {
    let indices: Vec<usize> = channel(call, c).collect();
    let n = indices.len();
    let n_chunks = n_chunks.min(n / 2).max(1);
    let spread = (2.0 * (n.max(2) as f64 / n_chunks as f64).ln()).sqrt();
    let factor = match constant {
        RangeConstant::Code => 0.5 * 0.35 * (1.0 + (PI * 4.0_f64.ln()).sqrt()) / spread,
        RangeConstant::Paper => 1.0 / spread,
    };
    let x = call.x();
    let extremes = |chunk: usize| {
        let chunk = &indices[chunk * n / n_chunks..(chunk + 1) * n / n_chunks];
        let first = |better: fn(f64, f64) -> bool| {
            chunk.iter().copied().reduce(|best, idx| if better(x[idx], x[best]) { idx } else { best }).unwrap_or(0)
        };
        [first(|a, b| a < b), first(|a, b| a > b)]
    };
    let chunks = if n == 0 { 0 } else { n_chunks };
    ((0..chunks).map(extremes).collect(), factor / n_chunks as f64)
}

/// `(x − mean) / sqrt(variance + epsilon) · scale + bias`.
pub(super) fn batch_norm(call: &Exact<'_>, moments: &Moments, epsilon: f32) -> Vec<f64> {
    let [n_batch, n_channels, inner] = call.planes();
    let (scale, bias) = (call.input(1), call.input(2));
    let mut y = Vec::with_capacity(call.x().len());
    for plane in 0..n_batch * n_channels {
        let c = plane % n_channels;
        let deviation = (moments.variance[c] + f64::from(epsilon)).sqrt();
        let plane = &call.x()[plane * inner..][..inner];
        y.extend(plane.iter().map(|x| (x - moments.mean[c]) / deviation * scale[c] + bias[c]));
    }
    y
}

/// Gradients of x, scale and bias. With `h = (x − mean) / deviation` and `e` the error:
///
/// - bias: `Σ e`; scale: `Σ e · h`;
/// - x, frozen: `e · scale / deviation`;
/// - x, batch: `(e − mean(e) − h · mean(e · h)) · scale / deviation`;
/// - x, range: `(e − mean(e)) · scale / deviation`, and the extreme elements of each chunk get minus (the greatest) and
///   plus (the least) `factor · Σ (e · h) · scale / deviation`.
pub(super) fn batch_norm_gradients(call: &Exact<'_>, epsilon: f32) -> Vec<Option<Vec<f64>>> {
    let [_, n_channels, _] = call.planes();
    let kind = call.training.batch_norm;
    let moments = match kind {
        BatchNorm::Frozen => Moments {
            mean: call.input(3).to_vec(),
            variance: call.input(4).to_vec(),
            count: 0,
            is_mean_of_squares: true,
        },
        BatchNorm::Batch(kind) => moments(call, kind, epsilon),
    };
    let (x, error) = (call.x(), call.error());
    let mut by_x = vec![0.0; x.len()];
    let (mut by_scale, mut by_bias) = (vec![0.0; n_channels], vec![0.0; n_channels]);
    for c in 0..n_channels {
        let deviation = (moments.variance[c] + f64::from(epsilon)).sqrt();
        let normalized = |idx: usize| (x[idx] - moments.mean[c]) / deviation;
        for idx in channel(call, c) {
            by_bias[c] += error[idx];
            by_scale[c] += error[idx] * normalized(idx);
        }
        let gain = call.input(1)[c] / deviation;
        let count = moments.count as f64;
        for idx in channel(call, c) {
            let through_moments = match kind {
                BatchNorm::Frozen => 0.0,
                BatchNorm::Batch(BatchNormKind::Standard) => (by_bias[c] + normalized(idx) * by_scale[c]) / count,
                BatchNorm::Batch(BatchNormKind::Range { .. }) => by_bias[c] / count,
            };
            by_x[idx] = (error[idx] - through_moments) * gain;
        }
        if let BatchNorm::Batch(BatchNormKind::Range { n_chunks, constant }) = kind {
            let (extremes, factor) = ranges(call, c, n_chunks, constant);
            for [low, high] in extremes {
                by_x[high] -= factor * by_scale[c] * gain;
                by_x[low] += factor * by_scale[c] * gain;
            }
        }
    }
    vec![Some(by_x), Some(by_scale), Some(by_bias), None, None]
}

/// With `y = softmax(x)`: `y · (e − Σ e · y)`.
pub(super) fn softmax_gradient(call: &Exact<'_>, axis: i64) -> Result<Vec<f64>, GraphError> {
    let shape = call.shape(0);
    let axis = normalized_axis(axis, shape.len()).map_err(|cause| call.invalid(cause))?;
    let (x, error) = (call.x(), call.error());
    let (extent, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let mut gradient = vec![0.0; x.len()];
    let n_lanes = x.len() / extent.max(1);
    for lane in 0..n_lanes {
        let at = |i: usize| (lane / inner * extent + i) * inner + lane % inner;
        let most = (0..extent).fold(f64::NEG_INFINITY, |most, i| most.max(x[at(i)]));
        let sum: f64 = (0..extent).map(|i| (x[at(i)] - most).exp()).sum();
        let y = |i: usize| (x[at(i)] - most).exp() / sum;
        let mean: f64 = (0..extent).map(|i| error[at(i)] * y(i)).sum();
        for i in 0..extent {
            gradient[at(i)] = y(i) * (error[at(i)] - mean);
        }
    }
    Ok(gradient)
}

/// With `s = bias + alpha / size · Σ x²` over the window of each channel and `y = x / s^beta`:
/// `e · s^−beta − 2 · alpha · beta / size · x · Σ e · x · s^(−beta − 1)`, the sum over the channels whose window holds
/// this one.
pub(super) fn lrn_gradient(call: &Exact<'_>, size: usize, factors: [f32; 3]) -> Vec<f64> {
    let [alpha, beta, bias] = factors.map(f64::from);
    let [n_batch, n_channels, inner] = call.planes();
    let (x, error) = (call.x(), call.error());
    let window = |c: usize| c.saturating_sub((size - 1) / 2)..c.saturating_add(size / 2 + 1).min(n_channels);
    let mut gradient = vec![0.0; x.len()];
    for lane in 0..n_batch * inner {
        let at = |c: usize| (lane / inner * n_channels + c) * inner + lane % inner;
        let sums: Vec<f64> = (0..n_channels)
            .map(|c| bias + alpha / size as f64 * window(c).map(|c| x[at(c)] * x[at(c)]).sum::<f64>())
            .collect();
        for c in 0..n_channels {
            gradient[at(c)] += error[at(c)] * sums[c].powf(-beta);
            let shared = 2.0 * alpha * beta / size as f64 * error[at(c)] * x[at(c)] * sums[c].powf(-beta - 1.0);
            for other in window(c) {
                gradient[at(other)] -= shared * x[at(other)];
            }
        }
    }
    gradient
}
