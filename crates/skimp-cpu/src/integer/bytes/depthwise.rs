//! Depthwise convolutions on bytes.

use skimp_graph::integer::MacLayer;

use super::Isa;
use super::conv::{Ends, Images, Windows, initial};
use super::finish::Finish;
use super::layout::{LANES, Walk};

/// A layer of which each output channel reads the one input channel of the same number.
#[derive(Debug)]
pub(super) struct Depthwise {
    pub(super) ends: Ends,
    pub(super) init: Vec<i32>,
    pub(super) taps: Vec<usize>,
    /// `[tap][channel]`, padded to whole blocks.
    pub(super) weight: Vec<i16>,
    /// Taps two by two, and their weights as `[pair][channel][2]`; a last one without a partner has itself with weights of 0.
    pub(super) pairs: Vec<[usize; 2]>,
    pub(super) pair_weight: Vec<i16>,
    origin: usize,
    row_step: usize,
    col_step: usize,
    pub(super) finish: Finish,
}

impl Depthwise {
    /// Whether `layer` is one.
    pub(super) fn fits(layer: &MacLayer) -> bool {
        layer.weight_shape[1] == 1 && layer.groups == layer.weight_shape[0] && layer.groups > 1
    }

    pub(super) fn new(layer: &MacLayer, ends: Ends, windows: Windows<'_>, finish: Finish) -> Self {
        let Windows { zero, rows, cols } = windows;
        let [k, _, r, s] = layer.weight_shape;
        let padded = k.next_multiple_of(LANES);
        let input = &ends.input;
        let tap = |i: usize| i / s * rows.dilation * input.row_pitch() + i % s * cols.dilation * input.pitch;
        let mut weight = vec![0; padded * r * s];
        let mut init = vec![0; padded];
        for (k_idx, own) in layer.weight.chunks(r * s).enumerate() {
            init[k_idx] = initial(layer, k_idx, zero);
            own.iter().enumerate().for_each(|(tap, &w)| weight[tap * padded + k_idx] = w as i16);
        }
        let taps: Vec<usize> = (0..r * s).map(tap).collect();
        let pairs: Vec<[usize; 2]> = taps.chunks(2).map(|pair| [pair[0], pair[pair.len() - 1]]).collect();
        let mut pair_weight = vec![0; pairs.len() * padded * 2];
        for (tap, weights) in weight.chunks_exact(padded).enumerate() {
            let own = pair_weight[tap / 2 * padded * 2..].iter_mut().skip(tap % 2).step_by(2);
            own.zip(weights).for_each(|(to, &w)| *to = w);
        }
        let (top, left) = (input.halo.top - rows.pad_begin, input.halo.left - cols.pad_begin);
        Self {
            init,
            taps,
            weight,
            pairs,
            pair_weight,
            origin: top * input.row_pitch() + left * input.pitch,
            row_step: rows.stride * input.row_pitch(),
            col_step: cols.stride * input.pitch,
            ends,
            finish,
        }
    }

    /// Position of the window of the output pixel in a row and a column.
    pub(super) fn window_at(&self, row: usize, col: usize) -> usize {
        self.origin + row * self.row_step + col * self.col_step
    }
}

/// Runs a layer on one image.
pub(super) fn run(layer: &Depthwise, images: Images<'_>, output: &mut [u8], isa: Isa) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512Vnni && layer.ends.output.pitch >= LANES {
        super::x86::depthwise::run(layer, images, output);
        return;
    }
    let _ = isa;
    let padded = layer.init.len();
    for (row, col) in Walk::new(&layer.ends.output, 0).take(layer.ends.output.n_pixels()) {
        let (from, to) = (layer.window_at(row, col), layer.ends.output.at(row, col));
        for first in (0..padded).step_by(LANES) {
            let mut sums: [i32; LANES] = std::array::from_fn(|lane| layer.init[first + lane]);
            let n = LANES.min(layer.ends.output.pitch - first);
            for (tap, weights) in layer.taps.iter().zip(layer.weight.chunks_exact(padded)) {
                let bytes = &images.input[from + tap + first..][..n];
                for ((sum, &x), &w) in sums.iter_mut().zip(bytes).zip(&weights[first..]) {
                    *sum = sum.wrapping_add(i32::from(x) * i32::from(w));
                }
            }
            let mut other = [0; LANES];
            if let (Some(bytes), Some(layout)) = (images.other, layer.ends.other) {
                other[..n].copy_from_slice(&bytes[layout.at(row, col) + first..][..n]);
            }
            let bytes = layer.finish.block(first, &sums, &other);
            output[to + first..][..n].copy_from_slice(&bytes[..n]);
        }
    }
}
