//! Copies into the order that the tiles read: padded images and panels of weights.

use super::arith::{LANES, pair};

/// How images are copied before the tiles read them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Padded {
    /// Rows, columns and channels of an image as it lies in memory.
    pub(super) image: [usize; 3],
    /// Rows and columns of the copy.
    pub(super) extent: [usize; 2],
    /// Where the image's first pixel goes (zeros before it; negative where rows or columns are left out).
    pub(super) origin: [isize; 2],
    /// Groups that the channels divide into; pairs of words do not cross them.
    pub(super) groups: usize,
}

impl Padded {
    /// Whether the copy is the image.
    pub(super) fn is_identity(&self) -> bool {
        self.origin == [0, 0] && self.extent == self.image[..2]
    }

    /// Words of a copied pixel.
    pub(super) fn pixel(&self, pairs: bool) -> usize {
        let channels = self.image[2];
        if pairs { self.groups * (channels / self.groups).div_ceil(2) } else { channels }
    }

    /// Words of a copied image, when a pixel has `pixel` words.
    pub(super) fn words(&self, pixel: usize) -> usize {
        self.extent[0] * self.extent[1] * pixel
    }

    /// Copies row by row; `copy(to, from)` copies whole pixels, from as many channels to `pixel` words each.
    fn copy(&self, x: &[f32], to: &mut [f32], pixel: usize, mut copy: impl FnMut(&mut [f32], &[f32])) {
        let [h, w, c] = self.image;
        let [eh, ew] = self.extent;
        let range = |origin: isize, extent: usize, size: usize| {
            let first = origin.clamp(0, extent as isize) as usize;
            let last = (origin + size as isize).clamp(first as isize, extent as isize) as usize;
            (first, last, (first as isize - origin) as usize)
        };
        let (top, bottom, skip_rows) = range(self.origin[0], eh, h);
        let (left, right, skip) = range(self.origin[1], ew, w);
        let pitch = ew * pixel;
        to[..top * pitch].fill(0.0);
        to[bottom * pitch..eh * pitch].fill(0.0);
        for (row, to) in to[top * pitch..bottom * pitch].chunks_exact_mut(pitch).enumerate() {
            to[..left * pixel].fill(0.0);
            to[right * pixel..].fill(0.0);
            let from = &x[((skip_rows + row) * w + skip) * c..][..(right - left) * c];
            copy(&mut to[left * pixel..right * pixel], from);
        }
    }

    /// Copies an image of f32 words.
    pub(super) fn copy_f32(&self, x: &[f32], to: &mut [f32]) {
        self.copy(x, to, self.image[2], <[f32]>::copy_from_slice);
    }

    /// Copies an image as bfloat16 pairs of adjacent channels.
    pub(super) fn copy_pairs(&self, x: &[f32], to: &mut [f32]) {
        let pixel = self.pixel(true);
        let group = self.image[2] / self.groups;
        self.copy(x, to, pixel, |to, from| {
            if group.is_multiple_of(2) {
                for (to, from) in to.iter_mut().zip(from.chunks_exact(2)) {
                    *to = pair(from[0], from[1]);
                }
                return;
            }
            for (to, from) in to.chunks_exact_mut(group.div_ceil(2)).zip(from.chunks_exact(group)) {
                for (to, from) in to.iter_mut().zip(from.chunks(2)) {
                    *to = pair(from[0], from.get(1).copied().unwrap_or(0.0));
                }
            }
        });
    }

    /// Copies two images (the second one may be missing) as bfloat16 pairs of the same element.
    pub(super) fn copy_image_pair(&self, even: &[f32], odd: Option<&[f32]>, to: &mut [f32]) {
        self.copy(even, to, self.image[2], |to, from| {
            for (to, &from) in to.iter_mut().zip(from) {
                *to = pair(from, 0.0);
            }
        });
        if let Some(odd) = odd {
            self.copy(odd, to, self.image[2], |to, from| {
                for (to, &from) in to.iter_mut().zip(from) {
                    *to = f32::from_bits(to.to_bits() | pair(0.0, from).to_bits());
                }
            });
        }
    }
}

/// Vectors that hold so many lanes.
pub(super) fn vectors(lanes: usize) -> usize {
    lanes.div_ceil(LANES)
}
