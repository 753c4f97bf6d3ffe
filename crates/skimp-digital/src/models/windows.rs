//! What the rules that walk over windows share: terms of codes, values of pixels, sums over what windows meet.

use std::ops::Range;

use rayon::prelude::*;
use serde::Deserialize;
use skimp_sim::LayerWorkload;

use super::bricks::tap_position;

/// How a magnitude becomes a list of signed powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Encoding {
    /// One term per set bit.
    Binary,
    /// Non-adjacent form (canonical Booth): the fewest signed terms.
    Naf,
}

impl Encoding {
    /// Terms of a code's magnitude.
    pub(super) fn terms(self, code: i32) -> u8 {
        let magnitude = u64::from(code.unsigned_abs());
        let digits = match self {
            Encoding::Binary => magnitude,
            Encoding::Naf => magnitude ^ (3 * magnitude),
        };
        digits.count_ones() as u8
    }

    /// Most terms of a magnitude of that many bits.
    pub(super) fn most_terms(self, bits: u32) -> u32 {
        match self {
            Encoding::Binary => bits,
            Encoding::Naf => bits / 2 + 1,
        }
    }
}

/// The filters of the groups whose channels are `channels`.
pub(super) fn filters_of(layer: &LayerWorkload, channels: &Range<usize>) -> Range<usize> {
    let (width, filters) = (layer.shape.channels_per_group(), layer.shape.filters_per_group());
    channels.start / width * filters..channels.end / width * filters
}

/// The input pixel that tap (`r`, `s`) of output (`p`, `q`) reads; `None` in the padding.
pub(super) fn pixel(layer: &LayerWorkload, [p, q]: [usize; 2], [r, s]: [usize; 2]) -> Option<[usize; 2]> {
    Some([tap_position(layer, 0, p, r)?, tap_position(layer, 1, q, s)?])
}

/// One byte per channel (or per brick of channels) of each pixel, `[h, w, lanes]`.
#[derive(Debug)]
pub(super) struct PixelMap {
    width: usize,
    pub(super) lanes: usize,
    values: Vec<u8>,
}

impl PixelMap {
    /// `value` of each activation of the channels, the greatest of each `brick` of channels in one lane.
    pub(super) fn greatest(
        layer: &LayerWorkload,
        channels: &Range<usize>,
        brick: usize,
        activation: &[i32],
        value: impl Fn(i32) -> u8 + Sync,
    ) -> Self {
        let lanes = channels.len().div_ceil(brick);
        let mut values = vec![0u8; layer.shape.h() * layer.shape.w() * lanes];
        values.par_chunks_mut(layer.shape.w() * lanes).enumerate().for_each(|(y, row)| {
            for (idx, channel) in channels.clone().enumerate() {
                let from = (channel * layer.shape.h() + y) * layer.shape.w();
                for (x, &code) in activation[from..from + layer.shape.w()].iter().enumerate() {
                    let slot = &mut row[x * lanes + idx / brick];
                    *slot = (*slot).max(value(code));
                }
            }
        });
        PixelMap { width: layer.shape.w(), lanes, values }
    }

    /// The lanes of one pixel.
    pub(super) fn at(&self, [y, x]: [usize; 2]) -> &[u8] {
        let from = (y * self.width + x) * self.lanes;
        &self.values[from..from + self.lanes]
    }

    /// Raises `greatest` to the lanes' maxima over windows `windows` (row-major outputs) at one tap.
    pub(super) fn raise(&self, layer: &LayerWorkload, windows: Range<usize>, tap: [usize; 2], greatest: &mut [u8]) {
        for window in windows {
            if let Some(pixel) = pixel(layer, [window / layer.shape.q(), window % layer.shape.q()], tap) {
                for (known, &lane) in greatest.iter_mut().zip(self.at(pixel)) {
                    *known = (*known).max(lane);
                }
            }
        }
    }
}

/// Sum of `value` of the activations that each weight position meets over all windows, `[c, r, s]`.
pub(super) fn tap_sums(layer: &LayerWorkload, activation: &[i32], value: impl Fn(i32) -> u8 + Sync) -> Vec<u64> {
    let taps = layer.shape.r() * layer.shape.s();
    let mut sums = vec![0u64; layer.shape.c() * taps];
    sums.par_chunks_mut(taps).zip(activation.par_chunks(layer.shape.h() * layer.shape.w())).for_each(
        |(sums, plane)| {
            let values: Vec<u8> = plane.iter().map(|&code| value(code)).collect();
            for (tap, sum) in sums.iter_mut().enumerate() {
                let tap = [tap / layer.shape.s(), tap % layer.shape.s()];
                for p in 0..layer.shape.p() {
                    if let Some(row) = tap_position(layer, 0, p, tap[0]) {
                        *sum += row_sum(layer, &values[row * layer.shape.w()..][..layer.shape.w()], tap[1]);
                    }
                }
            }
        },
    );
    sums
}

/// Sum of the values of one row that tap column `s` meets.
fn row_sum(layer: &LayerWorkload, row: &[u8], s: usize) -> u64 {
    let (stride, offset, pad) = (layer.shape.strides()[1], s * layer.shape.dilations()[1], layer.shape.pads_begin()[1]);
    let first = pad.saturating_sub(offset).div_ceil(stride);
    if first >= layer.shape.q() || first * stride + offset - pad >= row.len() {
        return 0;
    }
    let met = row[first * stride + offset - pad..].iter().step_by(stride).take(layer.shape.q() - first);
    met.map(|&value| u64::from(value)).sum()
}

/// Sum of [`tap_sums`] over all weights, each times its own `value`.
pub(super) fn paired_sum(
    layer: &LayerWorkload,
    sums: &[u64],
    weights: &[i32],
    value: impl Fn(i32) -> u8 + Sync,
) -> u64 {
    let inputs = layer.shape.inputs_per_output();
    let of_filter = |(filter, codes): (usize, &[i32])| -> u64 {
        let group = filter / layer.shape.filters_per_group();
        codes.iter().zip(&sums[group * inputs..]).map(|(&code, &sum)| sum * u64::from(value(code))).sum()
    };
    weights.par_chunks(inputs).enumerate().map(of_filter).sum()
}

/// Cycles of one window whose steps go to `columns` in turn, one issued per cycle at most, each when its column is free.
pub(super) fn multiplexed(steps: impl Iterator<Item = u64>, columns: usize) -> u64 {
    let mut free = vec![0u64; columns];
    let (mut issue, mut last) = (0, 0);
    for (idx, cycles) in steps.enumerate() {
        let column = &mut free[idx % columns];
        let start = issue.max(*column);
        *column = start + cycles;
        issue = start + 1;
        last = last.max(*column);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_of_codes() {
        for (code, binary, naf) in [(0, 0, 0), (1, 1, 1), (7, 3, 2), (-7, 3, 2), (0xffff, 16, 2), (0xaaab, 9, 9)] {
            assert_eq!((Encoding::Binary.terms(code), Encoding::Naf.terms(code)), (binary, naf), "{code}");
        }
        assert_eq!(Encoding::Binary.terms(i32::MIN), 1);
        for code in 0..=0xffff {
            let naf = Encoding::Naf.terms(code);
            assert!(naf <= Encoding::Binary.terms(code) && u32::from(naf) <= Encoding::Naf.most_terms(16));
        }
    }

    #[test]
    fn steps_of_one_window_overlap() {
        assert_eq!(multiplexed([16u64; 32].into_iter(), 16), 31 + 16);
        assert_eq!(multiplexed([1u64; 32].into_iter(), 16), 32);
        assert_eq!(multiplexed([3u64; 4].into_iter(), 1), 12);
        // Column 0 is busy until 5; the third step waits for it, and the fourth for the third.
        assert_eq!(multiplexed([5u64, 1, 1, 1].into_iter(), 2), 7);
    }

    #[test]
    fn sums_meet_what_the_windows_meet() {
        let layer = LayerWorkload::conv("s", 2, 7, 5, 3, 3)
            .unwrap()
            .with_shape(|shape| {
                shape.strides = [2, 3];
                shape.dilations = [2, 1];
            })
            .unwrap();
        let layer = layer.validated().unwrap();
        let activation: Vec<i32> = (0..layer.shape.input_count() as i32).collect();
        let sums = tap_sums(&layer, &activation, |code| code as u8);
        for c in 0..2 {
            for tap in 0..9 {
                let mut expected = 0;
                for window in 0..layer.shape.p() * layer.shape.q() {
                    if let Some([y, x]) =
                        pixel(&layer, [window / layer.shape.q(), window % layer.shape.q()], [tap / 3, tap % 3])
                    {
                        expected += ((c * 7 + y) * 5 + x) as u64;
                    }
                }
                assert_eq!(sums[c * 9 + tap], expected, "{c} {tap}");
            }
        }
        let total = paired_sum(&layer, &sums, &vec![1; layer.shape.weight_count()], |code| code as u8);
        assert_eq!(total, 3 * sums.iter().sum::<u64>());
    }
}
