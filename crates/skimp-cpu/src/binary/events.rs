//! Layers of real weights on spikes: each spike adds the weights that it meets.

use rayon::prelude::*;
use skimp_graph::Tensor;
use skimp_graph::binary::EventLayer;
use skimp_graph::shape::LayerShape;

use super::kernel::{BLOCK, Isa, Sums, add_rows};
use super::planes::{EIGHT, Planes};

/// A layer made ready: for each block of filters and each tap, a row of the block's weights for each input channel.
#[derive(Debug)]
pub(super) struct PreparedEvents {
    isa: Isa,
    channels: usize,
    kernel: [usize; 2],
    filters: usize,
    /// `[block][tap][channel]`, each [`BLOCK`] weights.
    rows: Vec<Sums>,
    /// For each block.
    bias: Vec<Sums>,
}

/// Channels that fire, pixel by pixel.
struct Spikes {
    /// Where each pixel's channels begin; one more than there are pixels.
    first: Vec<u32>,
    channels: Vec<u32>,
}

impl PreparedEvents {
    /// `kernel` and `channels` are those of the layer, or, of a dense layer on flat planes, the planes' extents and channels.
    pub(super) fn new(layer: &EventLayer, channels: usize, kernel: [usize; 2], isa: Isa) -> Self {
        let filters = layer.weight_shape[0];
        let n_taps = kernel[0] * kernel[1];
        let blocks = filters.div_ceil(BLOCK);
        let mut rows = vec![Sums::ZERO; blocks * n_taps * channels];
        for filter in 0..filters {
            let weights = &layer.weight[filter * channels * n_taps..][..channels * n_taps];
            for (idx, &weight) in weights.iter().enumerate() {
                let (channel, tap) = (idx / n_taps, idx % n_taps);
                let row = (filter / BLOCK * n_taps + tap) * channels + channel;
                rows[row].0[filter % BLOCK] = (layer.unit * f64::from(weight)) as f32;
            }
        }
        let mut bias = vec![Sums::ZERO; blocks];
        for (filter, &value) in layer.bias.iter().enumerate() {
            bias[filter / BLOCK].0[filter % BLOCK] = value as f32;
        }
        Self { isa, channels, kernel, filters, rows, bias }
    }

    pub(super) fn run(&self, layer: &EventLayer, shape: &LayerShape, x: &Planes) -> Tensor {
        let area = shape.p() * shape.q();
        let mut y = vec![0.0; x.n * self.filters * area];
        if area == 0 || self.filters == 0 {
            return Tensor::from_f32(layer.output_shape(shape), y);
        }
        for (image, y) in y.chunks_exact_mut(self.filters * area).enumerate() {
            let spikes = Spikes::of(x, image);
            let blocks = y.par_chunks_mut(BLOCK * area).enumerate();
            blocks.for_each(|(block, y)| self.block(shape, x.extents, &spikes, block, y));
        }
        Tensor::from_f32(layer.output_shape(shape), y)
    }

    /// All outputs of a block of filters in one image.
    fn block(&self, shape: &LayerShape, extents: [usize; 2], spikes: &Spikes, block: usize, y: &mut [f32]) {
        let area = shape.p() * shape.q();
        let n_taps = self.kernel[0] * self.kernel[1];
        let rows = &self.rows[block * n_taps * self.channels..][..n_taps * self.channels];
        // A dense layer on planes reads all of them at once.
        let is_whole = shape.r() * shape.s() != n_taps;
        for at in 0..area {
            let (p, q) = (at / shape.q(), at % shape.q());
            let mut sums = self.bias[block];
            for tap in 0..n_taps {
                let (r, s) = (tap / self.kernel[1], tap % self.kernel[1]);
                let place =
                    if is_whole { (Some(r), Some(s)) } else { (shape.rows().read(p, r), shape.cols().read(q, s)) };
                let (Some(h), Some(w)) = place else { continue };
                let channels = spikes.at(h * extents[1] + w);
                add_rows(self.isa, &rows[tap * self.channels..][..self.channels], channels, &mut sums);
            }
            for (plane, sum) in y.chunks_exact_mut(area).zip(sums.0) {
                plane[at] = sum;
            }
        }
    }
}

impl Spikes {
    fn of(x: &Planes, image: usize) -> Self {
        let (area, depth) = (x.area(), x.depth());
        let planes = &x.bytes[image * depth * area..][..depth * area];
        let (mut first, mut channels) = (Vec::with_capacity(area + 1), Vec::new());
        first.push(0);
        for at in 0..area {
            for plane in 0..depth {
                let mut byte = planes[plane * area + at];
                while byte != 0 {
                    channels.push((plane * EIGHT) as u32 + byte.trailing_zeros());
                    byte &= byte - 1;
                }
            }
            first.push(channels.len() as u32);
        }
        Self { first, channels }
    }

    fn at(&self, pixel: usize) -> &[u32] {
        &self.channels[self.first[pixel] as usize..self.first[pixel + 1] as usize]
    }
}
