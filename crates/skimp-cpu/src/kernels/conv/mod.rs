//! Direct convolution into blocks of 16 output channels.
//!
//! An output tile (1 or 2 channel blocks x up to 16 pixels of one row) stays in registers while the whole reduction
//! runs over it: per input channel and tap, one load per channel block of weights and one broadcast per pixel. Nothing
//! is lowered to a matrix, and the input's halo spares the border tests. The idea of blocked channels is that of
//! Georganas et al., "Anatomy of High-Performance Deep Learning Convolutions on SIMD Architectures", SC 2018, section II.
//!
//! # Determinism
//! Every output is one chain `bias, then input block, tap, channel` in this order, then residual, then bounds. The
//! chain does not depend on tile, band, task or thread.

mod portable;
mod tile;

use rayon::prelude::*;

use self::tile::{SharedOutput, TileFn, TileLoop};
use super::program::Epilogue;
use super::{Bounds, Halo, Isa, LANES, Planes};

/// Largest packed weights, in elements, that stay in the second-level cache while the rows go by.
const RESIDENT_WEIGHTS: usize = 64 * 1024;
/// Input elements that one band of rows should touch.
const BAND_ELEMENTS: usize = 48 * 1024;

/// Shape of a two-dimensional convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConvShape {
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) groups: usize,
    pub(crate) kernel: [usize; 2],
    pub(crate) strides: [usize; 2],
    pub(crate) dilations: [usize; 2],
    /// Padding before the first row and column.
    pub(crate) pads: [usize; 2],
    /// Output rows and columns.
    pub(crate) output: [usize; 2],
}

impl ConvShape {
    /// Zeros that the kernels read around an input of `height` rows and `width` columns.
    pub(crate) fn halo(&self, height: usize, width: usize) -> Halo {
        let after = |axis: usize, extent: usize| {
            let reach =
                (self.output[axis] - 1) * self.strides[axis] + (self.kernel[axis] - 1) * self.dilations[axis] + 1;
            reach.saturating_sub(self.pads[axis] + extent)
        };
        Halo { top: self.pads[0], left: self.pads[1], bottom: after(0, height), right: after(1, width) }
    }
}

/// Weights in the order in which the tiles read them. Independent of the image size.
#[derive(Debug)]
pub(crate) struct PackedConv {
    isa: Isa,
    in_block: usize,
    groups: Vec<OutGroup>,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

/// Output blocks that a tile computes together.
#[derive(Clone, Copy, Debug)]
struct OutGroup {
    first_block: usize,
    n_blocks: usize,
    /// First input block read.
    first_in_block: usize,
    n_in_blocks: usize,
    /// Channels in the last input block read.
    last_channels: usize,
    /// Start in the packed weights.
    weights: usize,
}

/// A residual image with its layout.
pub(crate) type Residual<'a> = Option<(&'a [f32], &'a Planes)>;

impl PackedConv {
    /// Whether the blocked kernels can do this convolution: one group, or groups of whole blocks.
    pub(crate) fn supports(shape: &ConvShape) -> bool {
        shape.groups == 1
            || (shape.in_channels / shape.groups).is_multiple_of(LANES)
                && (shape.out_channels / shape.groups).is_multiple_of(LANES)
    }

    /// Whether input in plain order is the better source: too few channels to fill a block.
    pub(crate) fn prefers_plain(shape: &ConvShape) -> bool {
        shape.groups == 1 && shape.in_channels < 8
    }

    /// Packs `[k][c / groups][r][s]` weights for input blocks of `in_block` channels.
    pub(crate) fn new(isa: Isa, shape: &ConvShape, in_block: usize, weight: &[f32], bias: &[f32]) -> Self {
        let group_in = shape.in_channels / shape.groups;
        let group_blocks = (shape.out_channels / shape.groups).div_ceil(LANES);
        let n_in_blocks = group_in.div_ceil(in_block);
        let taps = shape.kernel[0] * shape.kernel[1];
        let mut packed = Self { isa, in_block, groups: Vec::new(), weights: Vec::new(), bias: bias.to_vec() };
        packed.bias.resize(shape.out_channels.div_ceil(LANES) * LANES, 0.0);
        for group in 0..shape.groups {
            for block in (0..group_blocks).step_by(tile::max_blocks(isa)) {
                let n_blocks = tile::max_blocks(isa).min(group_blocks - block);
                let first_block = group * group_blocks + block;
                packed.groups.push(OutGroup {
                    first_block,
                    n_blocks,
                    first_in_block: group * n_in_blocks,
                    n_in_blocks,
                    last_channels: group_in - (n_in_blocks - 1) * in_block,
                    weights: packed.weights.len(),
                });
                for in_block_idx in 0..n_in_blocks {
                    let channels = in_block_idx * in_block..group_in.min((in_block_idx + 1) * in_block);
                    for tap in 0..taps {
                        for channel in channels.clone() {
                            let outputs = first_block * LANES..(first_block + n_blocks) * LANES;
                            packed.weights.extend(outputs.map(|k| {
                                if k < shape.out_channels { weight[(k * group_in + channel) * taps + tap] } else { 0.0 }
                            }));
                        }
                    }
                }
            }
        }
        packed
    }

    /// Convolves one image: `out = epilogue(bounds(bias + x * weight + residual))`, halo of `out` cleared.
    ///
    /// `parallel` splits the work over the current rayon pool.
    #[allow(clippy::too_many_arguments, reason = "one image each with its layout")]
    pub(crate) fn run(
        &self,
        shape: &ConvShape,
        (bounds, epilogue): (Bounds, Epilogue<'_>),
        x: (&[f32], &Planes),
        out: (&mut [f32], &Planes),
        residual: Residual<'_>,
        parallel: bool,
    ) {
        let (out, out_planes) = out;
        self.check(shape, x, (out, out_planes), residual);
        out_planes.clear_halo(out);
        let out_len = out_planes.len();
        let job = TileLoop { packed: self, shape, bounds, x, out_planes, residual, epilogue };
        let tasks = self.tasks(shape, x.1, parallel);
        if self.isa == Isa::Portable {
            for (group, rows) in tasks {
                portable::rows(&job, &self.groups[group], rows, out);
            }
            return;
        }
        let tiles: Vec<[(usize, TileFn); 2]> =
            (1..=2).map(|blocks| job.tiles(blocks.min(tile::max_blocks(self.isa)))).collect();
        let out = SharedOutput::new(&mut out[..out_len]);
        let run = |(group, rows): (usize, std::ops::Range<usize>)| {
            let group = &self.groups[group];
            job.rows(group, &tiles[group.n_blocks - 1], rows, &out);
        };
        if parallel {
            tasks.into_par_iter().for_each(run);
        } else {
            tasks.into_iter().for_each(run);
        }
    }

    /// (output group, rows) pairs in an order that reuses the cache.
    fn tasks(&self, shape: &ConvShape, x: &Planes, parallel: bool) -> Vec<(usize, std::ops::Range<usize>)> {
        let row = x.pitch() * self.groups.first().map_or(1, |g| g.n_in_blocks) * shape.strides[0];
        let mut band = (BAND_ELEMENTS / row.max(1)).clamp(1, shape.output[0]);
        if parallel {
            let wanted = 4 * rayon::current_num_threads();
            let bands = wanted.div_ceil(self.groups.len());
            band = band.min(shape.output[0].div_ceil(bands)).max(1);
        }
        let bands = shape.output[0].div_ceil(band);
        let rows = |b: usize| b * band..((b + 1) * band).min(shape.output[0]);
        let groups = self.groups.len();
        if self.weights.len() <= RESIDENT_WEIGHTS {
            (0..bands).flat_map(|b| (0..groups).map(move |g| (g, rows(b)))).collect()
        } else {
            (0..groups).flat_map(|g| (0..bands).map(move |b| (g, rows(b)))).collect()
        }
    }

    /// The invariants that the unchecked tiles rest on.
    fn check(&self, shape: &ConvShape, x: (&[f32], &Planes), out: (&[f32], &Planes), residual: Residual<'_>) {
        let (x, x_planes) = x;
        let (out, out_planes) = out;
        let needed = shape.halo(x_planes.height, x_planes.width);
        assert!(x_planes.halo.union(needed) == x_planes.halo, "the input has the halo that the convolution reads");
        assert!(x_planes.block == self.in_block && x_planes.channels == shape.in_channels, "input layout as packed");
        assert!(x.len() >= x_planes.len(), "the input is complete");
        assert!(out_planes.block == LANES && out_planes.channels == shape.out_channels, "the output is blocked");
        assert!([out_planes.height, out_planes.width] == shape.output, "output extents as planned");
        assert!(out.len() >= out_planes.len(), "the output is complete");
        if let Some((image, planes)) = residual {
            assert!(
                Planes { halo: out_planes.halo, ..*planes } == *out_planes,
                "the residual is shaped like the output"
            );
            assert!(image.len() >= planes.len(), "the residual is complete");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
