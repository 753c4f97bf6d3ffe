//! Means, maxima and copies of bytes.

use skimp_graph::affine::{MeanRule, Requantizer, mean_count};
use skimp_graph::shape::WindowAxis;

use super::layout::Layout;

/// A mean over windows.
#[derive(Debug)]
pub(super) struct Mean {
    pub(super) axes: [WindowAxis; 2],
    pub(super) rule: MeanRule,
    /// The scaling at every output pixel.
    pub(super) requantizers: Vec<Requantizer>,
    pub(super) min: i32,
    pub(super) max: i32,
}

impl Mean {
    /// `None` where a window's count is out of range.
    pub(super) fn new(
        axes: [WindowAxis; 2],
        count_include_pad: bool,
        rule: MeanRule,
        min: i32,
        max: i32,
    ) -> Option<Self> {
        let mut requantizers = Vec::with_capacity(axes[0].output * axes[1].output);
        for p in 0..axes[0].output {
            for q in 0..axes[1].output {
                let count = mean_count(&axes, p, q, count_include_pad);
                // More codes of magnitude 255 could leave 32 bits.
                if count > 1 << 22 {
                    return None;
                }
                requantizers.push(rule.requantizer(count.max(1))?);
            }
        }
        Some(Self { axes, rule, requantizers, min, max })
    }

    /// Runs it on one image.
    pub(super) fn run(&self, from: &Layout, input: &[u8], to: &Layout, output: &mut [u8]) {
        let [rows, cols] = &self.axes;
        let mut sums = vec![0_i32; from.pitch.max(to.pitch)];
        let (zero, least) =
            (self.rule.input.zero_point - self.rule.input.code_type.min(), self.rule.output.code_type.min());
        for p in 0..rows.output {
            for q in 0..cols.output {
                sums.fill(0);
                let mut n_taps = 0;
                for r in rows.taps(p) {
                    for s in cols.taps(q) {
                        let at = from.at(rows.input_idx(p, r), cols.input_idx(q, s));
                        add_bytes(&mut sums[..from.pitch], &input[at..at + from.pitch]);
                        n_taps += 1;
                    }
                }
                let pixel = p * cols.output + q;
                let requantizer = self.requantizers[pixel];
                let at = to.pixel(pixel);
                for (byte, sum) in output[at..at + to.channels].iter_mut().zip(&sums) {
                    let code = self.rule.apply(requantizer, sum - n_taps * zero).clamp(self.min, self.max);
                    *byte = (code - least) as u8;
                }
            }
        }
    }
}

fn add_bytes(sums: &mut [i32], bytes: &[u8]) {
    for (sum, &byte) in sums.iter_mut().zip(bytes) {
        *sum += i32::from(byte);
    }
}

/// The greatest byte of each window; padding never wins, and a window of nothing but padding has the least.
pub(super) fn max(axes: &[WindowAxis; 2], from: &Layout, input: &[u8], to: &Layout, output: &mut [u8]) {
    let [rows, cols] = axes;
    for p in 0..rows.output {
        for q in 0..cols.output {
            let at = to.at(p, q);
            let (most, n) = (&mut output[at..at + to.pitch], to.pitch);
            most.fill(0);
            for r in rows.taps(p) {
                for s in cols.taps(q) {
                    let from = from.at(rows.input_idx(p, r), cols.input_idx(q, s));
                    for (most, &byte) in most.iter_mut().zip(&input[from..from + n]) {
                        *most = (*most).max(byte);
                    }
                }
            }
        }
    }
}
