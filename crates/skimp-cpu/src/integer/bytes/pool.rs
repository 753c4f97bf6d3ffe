//! Means, maxima and copies of bytes.

use skimp_graph::integer::{Encoding, Requantization, Requantizer, mean_requantizer};
use skimp_graph::shape::WindowAxis;

use super::layout::Layout;

/// A mean over windows.
#[derive(Debug)]
pub(super) struct Mean {
    axes: [WindowAxis; 2],
    from: Encoding,
    to: Encoding,
    /// The scaling at every output pixel.
    requantizers: Vec<Requantizer>,
    range: (i32, i32),
}

impl Mean {
    /// `None` where a window's count is out of range.
    pub(super) fn new(
        axes: [WindowAxis; 2],
        count_include_pad: bool,
        rounding: Requantization,
        (from, to): (Encoding, Encoding),
        range: (i32, i32),
    ) -> Option<Self> {
        let mut requantizers = Vec::with_capacity(axes[0].output * axes[1].output);
        let counted = |axis: &WindowAxis, at: usize| {
            if count_include_pad { axis.n_padded_taps(at) } else { axis.taps(at).len() }
        };
        for p in 0..axes[0].output {
            for q in 0..axes[1].output {
                let count = counted(&axes[0], p) * counted(&axes[1], q);
                // More codes of magnitude 255 could leave 32 bits.
                if count > 1 << 22 {
                    return None;
                }
                requantizers.push(mean_requantizer(rounding, &from, &to, count.max(1))?);
            }
        }
        Some(Self { axes, from, to, requantizers, range })
    }

    /// Runs it on one image.
    pub(super) fn run(&self, from: &Layout, input: &[u8], to: &Layout, output: &mut [u8]) {
        let [rows, cols] = &self.axes;
        let mut sums = vec![0_i32; from.pitch.max(to.pitch)];
        let zero = self.from.zero_point - self.from.min_code();
        let (least, zero_point) = (self.to.min_code(), i64::from(self.to.zero_point));
        let (min, max) = (i64::from(self.range.0), i64::from(self.range.1));
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
                    let mean = requantizer.apply((sum - n_taps * zero).into()).saturating_add(zero_point);
                    *byte = (mean.clamp(min, max) as i32 - least) as u8;
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
