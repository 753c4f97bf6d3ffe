//! Elementwise loops over channels-last memory, split over threads in fixed pieces.

use std::ops::Range;

use rayon::prelude::*;

/// Elements per piece. Pieces do not depend on the number of threads.
const PIECE: usize = 1 << 14;

/// `sum += part`.
pub(crate) fn add_assign(sum: &mut [f32], part: &[f32]) {
    zip1(sum, part, |sum, part| {
        for (s, p) in sum.iter_mut().zip(part) {
            *s += p;
        }
    });
}

/// Copies.
pub(crate) fn copy(to: &mut [f32], from: &[f32]) {
    zip1(to, from, <[f32]>::copy_from_slice);
}

/// Runs `f` on corresponding pieces.
pub(crate) fn zip1(out: &mut [f32], a: &[f32], f: impl Fn(&mut [f32], &[f32]) + Sync) {
    if out.len() <= PIECE {
        return f(out, a);
    }
    out.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE)).for_each(|(out, a)| f(out, a));
}

/// Runs `f` on corresponding pieces.
pub(crate) fn zip2(out: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(&mut [f32], &[f32], &[f32]) + Sync) {
    if out.len() <= PIECE {
        return f(out, a, b);
    }
    let inputs = a.par_chunks(PIECE).zip(b.par_chunks(PIECE));
    out.par_chunks_mut(PIECE).zip(inputs).for_each(|(out, (a, b))| f(out, a, b));
}

/// Runs `f(image index, image)` on each image of `len` elements.
pub(crate) fn per_image(out: &mut [f32], len: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    if out.is_empty() {
        return;
    }
    let images_per_piece = (PIECE / len.max(1)).max(1);
    if out.len() <= PIECE {
        return out.chunks_mut(len).enumerate().for_each(|(n, image)| f(n, image));
    }
    out.par_chunks_mut(len * images_per_piece).enumerate().for_each(|(piece, images)| {
        for (n, image) in images.chunks_mut(len).enumerate() {
            f(piece * images_per_piece + n, image);
        }
    });
}

/// `[n, channels, pixels]` to `[n, pixels, channels]`.
pub(crate) fn to_channels_last(out: &mut [f32], planar: &[f32], channels: usize, pixels: usize) {
    let len = channels * pixels;
    per_image(out, len, |n, image| {
        let planar = &planar[n * len..][..len];
        for (pixel, row) in image.chunks_exact_mut(channels.max(1)).enumerate() {
            for (c, element) in row.iter_mut().enumerate() {
                *element = planar[c * pixels + pixel];
            }
        }
    });
}

/// `[n, pixels, channels]` to `[n, channels, pixels]`.
pub(crate) fn to_planar(out: &mut [f32], interleaved: &[f32], channels: usize, pixels: usize) {
    // The same permutation with the axes' roles swapped.
    to_channels_last(out, interleaved, pixels, channels);
}

/// Slices that the rows of a reduction are cut into. A fixed number, so that sums do not depend on the threads.
pub(crate) const SLICES: usize = 16;

/// Sums over the rows of a matrix, for each column: in f64, slice by slice, the slices' sums added in order.
#[derive(Debug)]
pub(crate) struct ColumnSums {
    width: usize,
    partial: Vec<f64>,
}

impl ColumnSums {
    /// Memory for `width` sums.
    pub(crate) fn new(width: usize) -> Self {
        Self { width, partial: vec![0.0; SLICES * width] }
    }

    /// The sums of `add(range of rows, sums of a slice)` over the slices.
    pub(crate) fn reduce(&mut self, n_rows: usize, add: impl Fn(Range<usize>, &mut [f64]) + Sync) -> &[f64] {
        let width = self.width;
        self.partial.par_chunks_mut(width.max(1)).enumerate().for_each(|(slice, partial)| {
            partial.fill(0.0);
            add(n_rows * slice / SLICES..n_rows * (slice + 1) / SLICES, partial);
        });
        let (total, rest) = self.partial.split_at_mut(width);
        for slice in rest.chunks_exact(width.max(1)) {
            total.iter_mut().zip(slice).for_each(|(total, part)| *total += part);
        }
        total
    }

    /// The sums of a matrix's columns, rounded to f32.
    pub(crate) fn sum(&mut self, matrix: &[f32], sums: &mut [f32]) {
        let width = self.width;
        let totals = self.reduce(matrix.len() / width.max(1), |rows, partial| {
            for row in matrix[rows.start * width..rows.end * width].chunks_exact(width) {
                partial.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
            }
        });
        sums.iter_mut().zip(totals).for_each(|(sum, &total)| *sum = total as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_inverse() {
        let (n, channels, pixels) = (3, 5, 4000);
        let planar: Vec<f32> = (0..n * channels * pixels).map(|i| i as f32).collect();
        let mut interleaved = vec![0.0; planar.len()];
        to_channels_last(&mut interleaved, &planar, channels, pixels);
        // Image 1, pixel 7, channel 2.
        let (from, to) = ((channels + 2) * pixels + 7, (pixels + 7) * channels + 2);
        assert_eq!(interleaved[to].to_bits(), planar[from].to_bits());
        let mut back = vec![0.0; planar.len()];
        to_planar(&mut back, &interleaved, channels, pixels);
        assert_eq!(back, planar);
    }

    #[test]
    fn pieces_cover_everything() {
        for len in [0, 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
            let (mut sum, part) = (vec![1.0; len], vec![2.0; len]);
            add_assign(&mut sum, &part);
            assert!(sum.iter().all(|s| s.to_bits() == 3.0_f32.to_bits()), "{len}");
        }
    }
}
