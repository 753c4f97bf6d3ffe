//! Elementwise loops over channels-last memory, split over threads in fixed pieces.

use rayon::prelude::*;

/// Elements per piece. Pieces do not depend on the number of threads.
const PIECE: usize = 1 << 14;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_everything() {
        for len in [0, 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
            let (mut sum, part) = (vec![1.0; len], vec![2.0; len]);
            zip1(&mut sum, &part, |sum, part| sum.iter_mut().zip(part).for_each(|(s, p)| *s += p));
            assert!(sum.iter().all(|s| s.to_bits() == 3.0_f32.to_bits()), "{len}");
            let mut images = vec![0.0; len];
            per_image(&mut images, 5, |n, image| image.fill(n as f32));
            assert!(images.iter().enumerate().all(|(i, x)| x.to_bits() == ((i / 5) as f32).to_bits()), "{len}");
        }
    }
}
