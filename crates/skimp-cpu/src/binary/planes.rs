//! Bits of images in planes of eight channels.

use std::cmp::Ordering;

use skimp_graph::binary::{BitTensor, Step};
use skimp_graph::{GraphError, Tensor};

use super::kernel::{self, Isa};

/// Bits of `n` images: for each image and eight channels a plane of bytes, the first channel in the lowest bit. Bits of channels
/// that there are not are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planes {
    pub(super) n: usize,
    pub(super) channels: usize,
    /// Height and width; 1 and 1 of rows.
    pub(super) extents: [usize; 2],
    /// Whether the network sees `[n, channels · h · w]`: rows of elements in the order of planes.
    pub(super) is_flat: bool,
    pub(super) bytes: Vec<u8>,
}

/// Channels of a plane.
pub(super) const EIGHT: usize = 8;

impl Planes {
    pub(super) fn new(n: usize, channels: usize, extents: [usize; 2]) -> Self {
        let bytes = vec![0; n * channels.div_ceil(EIGHT) * extents[0] * extents[1]];
        Self { n, channels, extents, is_flat: extents == [1, 1], bytes }
    }

    pub(super) fn area(&self) -> usize {
        self.extents[0] * self.extents[1]
    }

    /// Planes of an image.
    pub(super) fn depth(&self) -> usize {
        self.channels.div_ceil(EIGHT)
    }

    /// The extents that the network sees.
    pub(super) fn shape(&self) -> Vec<usize> {
        if self.is_flat {
            vec![self.n, self.channels * self.area()]
        } else {
            vec![self.n, self.channels, self.extents[0], self.extents[1]]
        }
    }

    /// Real numbers `[n, c]` or `[n, c, h, w]` as bits; `None` for other ranks.
    pub(super) fn of_real(isa: Isa, node: &str, x: &Tensor, step: Step) -> Option<Result<Self, GraphError>> {
        let (n, channels, extents, is_flat) = layout(x.shape())?;
        let data = x.as_f32()?;
        if step.at.is_none() && data.iter().any(|x| x.partial_cmp(&step.threshold) == Some(Ordering::Equal)) {
            // The reference says what is wrong.
            return Some(step.bits(node, x).map(|bits| Self::of(&bits).unwrap_or_else(|| Self::new(0, 0, [1, 1]))));
        }
        let mut planes = Self { is_flat, ..Self::new(n, channels, extents) };
        let area = planes.area();
        if area == 0 || channels == 0 {
            return Some(Ok(planes));
        }
        // At the threshold a number is with those above it where the step says so.
        let is_at_above = step.at.is_none_or(|at| at != step.below);
        let flip = if step.below { 0xff } else { 0 };
        let depth = planes.depth();
        for (plane, bytes) in planes.bytes.chunks_exact_mut(area).enumerate() {
            let (image, first) = (plane / depth, plane % depth * EIGHT);
            let n_used = EIGHT.min(channels - first);
            let row = |j: usize| &data[(image * channels + first + j.min(n_used - 1)) * area..][..area];
            let rows: [&[f32]; EIGHT] = std::array::from_fn(row);
            kernel::above(isa, &rows[..n_used], step.threshold, is_at_above, bytes);
            let flip = flip & used(n_used);
            bytes.iter_mut().for_each(|byte| *byte ^= flip);
        }
        Some(Ok(planes))
    }

    /// Bits `[n, c]` or `[n, c, h, w]`; `None` for other ranks.
    pub(super) fn of(bits: &BitTensor) -> Option<Self> {
        let (n, channels, extents, is_flat) = layout(&bits.shape)?;
        let mut planes = Self { is_flat, ..Self::new(n, channels, extents) };
        let (area, depth) = (planes.area(), planes.depth());
        for (idx, _) in bits.bits.iter().enumerate().filter(|(_, bit)| **bit) {
            let (image, channel, at) = (idx / area / channels, idx / area % channels, idx % area);
            planes.bytes[(image * depth + channel / EIGHT) * area + at] |= 1 << (channel % EIGHT);
        }
        Some(planes)
    }

    /// The bits in the order of the network's elements.
    pub(super) fn bits(&self) -> BitTensor {
        let (area, depth) = (self.area(), self.depth());
        let mut bits = Vec::with_capacity(self.n * self.channels * area);
        for (image, channel) in (0..self.n).flat_map(|image| (0..self.channels).map(move |c| (image, c))) {
            let plane = &self.bytes[(image * depth + channel / EIGHT) * area..][..area];
            bits.extend(plane.iter().map(|byte| byte >> (channel % EIGHT) & 1 == 1));
        }
        BitTensor { shape: self.shape(), bits }
    }
}

/// Images, channels and extents of a shape, and whether it is rows.
fn layout(shape: &[usize]) -> Option<(usize, usize, [usize; 2], bool)> {
    match *shape {
        [n, c] => Some((n, c, [1, 1], true)),
        [n, c, h, w] => Some((n, c, [h, w], false)),
        _ => None,
    }
}

/// The bits of the first `n` of eight channels.
pub(super) fn used(n: usize) -> u8 {
    if n >= EIGHT { 0xff } else { (1_u8 << n) - 1 }
}
