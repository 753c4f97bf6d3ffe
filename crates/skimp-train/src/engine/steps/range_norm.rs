//! What range batch normalization does differently: the spread of a channel, and the gradient through it.
//!
//! The same function as [`crate::reference`] with [`crate::policy::BatchNormKind::Range`], which cites its source.

use std::f64::consts::PI;

use rayon::prelude::*;

use crate::engine::kernels::per_image;
use crate::policy::RangeConstant;

/// Least and greatest element (the first of each) of every chunk of every channel; made on first need.
#[derive(Debug, Default)]
pub(super) struct Extremes {
    /// `[chunk][channel]`: value and pixel of the least and of the greatest element.
    found: Vec<[Extreme; 2]>,
    /// What the sum of a channel's ranges is multiplied by.
    factor: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Extreme {
    value: f32,
    pixel: u32,
}

impl Extremes {
    /// Finds the extremes of `x`, `[pixels][channels]`.
    pub(super) fn find(&mut self, x: &[f32], channels: usize, n_chunks: usize, constant: RangeConstant) {
        let n = x.len() / channels.max(1);
        let n_chunks = n_chunks.min(n / 2).max(1);
        let spread = (2.0 * (n.max(2) as f64 / n_chunks as f64).ln()).sqrt();
        let factor = match constant {
            RangeConstant::Code => 0.5 * 0.35 * (1.0 + (PI * 4.0_f64.ln()).sqrt()) / spread,
            RangeConstant::Paper => 1.0 / spread,
        };
        self.factor = factor / n_chunks as f64;
        self.found.resize(n_chunks * channels, [Extreme::default(); 2]);
        self.found.par_chunks_mut(channels.max(1)).enumerate().for_each(|(chunk, found)| {
            let pixels = chunk * n / n_chunks..(chunk + 1) * n / n_chunks;
            for (offset, row) in x[pixels.start * channels..pixels.end * channels].chunks_exact(channels).enumerate() {
                // 2^32 pixels would be 16 GiB for each channel of each tensor.
                let pixel = (pixels.start + offset) as u32;
                for ([low, high], &value) in found.iter_mut().zip(row) {
                    if offset == 0 || value < low.value {
                        *low = Extreme { value, pixel };
                    }
                    if offset == 0 || value > high.value {
                        *high = Extreme { value, pixel };
                    }
                }
            }
        });
    }

    /// The deviation of a channel, epsilon included.
    pub(super) fn deviation(&self, channel: usize, channels: usize, epsilon: f32) -> f64 {
        let ranges = self.found.iter().skip(channel).step_by(channels.max(1));
        let sum: f64 = ranges.map(|[low, high]| f64::from(high.value) - f64::from(low.value)).sum();
        self.factor * sum + f64::from(epsilon)
    }

    /// Turns the gradient of the standard batch norm into that of the range: takes its way through the standard
    /// deviation out, and sends it to the extremes.
    ///
    /// `slopes` are the channels' `scale / deviation` and `Σ e · h`, with `e` the error and `h` the normalized value.
    pub(super) fn correct(&self, dx: &mut [f32], x: &[f32], slopes: &[Slope]) {
        let channels = slopes.len();
        let n = (x.len() / channels.max(1)) as f32;
        per_image(dx, channels, |pixel, dx| {
            let x = &x[pixel * channels..][..channels];
            for ((dx, &x), slope) in dx.iter_mut().zip(x).zip(slopes) {
                *dx += slope.gain * (slope.product * slope.inverse / n) * (x - slope.mean);
            }
        });
        for found in self.found.chunks_exact(channels.max(1)) {
            for (channel, ([low, high], slope)) in found.iter().zip(slopes).enumerate() {
                let part = (self.factor * f64::from(slope.product) * f64::from(slope.gain)) as f32;
                dx[high.pixel as usize * channels + channel] -= part;
                dx[low.pixel as usize * channels + channel] += part;
            }
        }
    }
}

/// Constants of a channel for [`Extremes::correct`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slope {
    pub(super) mean: f32,
    pub(super) inverse: f32,
    /// `scale · inverse`.
    pub(super) gain: f32,
    /// Gradient of the scale.
    pub(super) product: f32,
}
