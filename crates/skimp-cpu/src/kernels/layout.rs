//! Copies between layouts, and the data movement of Pad, Slice and Concat.

use super::transpose::{SIDE, to_columns, to_rows};
use super::{Isa, LANES, Planes};

/// Copies an image from one layout into another and clears the halo of the copy.
pub(crate) fn convert(source: &[f32], from: &Planes, target: &mut [f32], to: &Planes) {
    to.clear_halo(target);
    match (from.block, to.block) {
        (a, b) if a == b => copy_rows(source, from, target, to),
        (1, _) => block(source, from, target, to),
        _ => unblock(source, from, target, to),
    }
}

fn copy_rows(source: &[f32], from: &Planes, target: &mut [f32], to: &Planes) {
    let len = from.width * from.block;
    for block in 0..from.n_blocks() {
        for row in 0..from.height {
            let (s, t) = (from.at(block, row, 0), to.at(block, row, 0));
            target[t..t + len].copy_from_slice(&source[s..s + len]);
        }
    }
}

fn block(source: &[f32], from: &Planes, target: &mut [f32], to: &Planes) {
    let isa = Isa::detect();
    for channel_block in 0..to.n_blocks() {
        let first = channel_block * LANES;
        let n_lanes = LANES.min(to.channels - first);
        for row in 0..to.height {
            let start = to.at(channel_block, row, 0);
            let pixels = &mut target[start..start + to.width * LANES];
            if n_lanes < LANES {
                pixels.fill(0.0);
            }
            let n_whole = n_lanes / SIDE * SIDE;
            for lane in (0..n_whole).step_by(SIDE) {
                let start = from.at(first + lane, row, 0);
                to_columns(isa, &source[start..], from.plane(), &mut pixels[lane..], LANES, to.width);
            }
            for lane in n_whole..n_lanes {
                let start = from.at(first + lane, row, 0);
                for (pixel, &x) in pixels.chunks_exact_mut(LANES).zip(&source[start..start + from.width]) {
                    pixel[lane] = x;
                }
            }
        }
    }
}

fn unblock(source: &[f32], from: &Planes, target: &mut [f32], to: &Planes) {
    let isa = Isa::detect();
    for channel_block in 0..from.n_blocks() {
        let first = channel_block * LANES;
        let n_lanes = LANES.min(from.channels - first);
        let n_whole = n_lanes / SIDE * SIDE;
        for row in 0..to.height {
            let start = from.at(channel_block, row, 0);
            let pixels = &source[start..start + from.width * LANES];
            for lane in (0..n_whole).step_by(SIDE) {
                let start = to.at(first + lane, row, 0);
                to_rows(isa, &pixels[lane..], LANES, &mut target[start..], to.plane(), to.width);
            }
            for lane in n_whole..n_lanes {
                let start = to.at(first + lane, row, 0);
                let pixels = pixels.chunks_exact(LANES);
                for (y, pixel) in target[start..start + to.width].iter_mut().zip(pixels) {
                    *y = pixel[lane];
                }
            }
        }
    }
}

/// Where the pixels and channels of a copied region come from and go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    /// First source channel, row, column.
    pub(crate) from: [usize; 3],
    /// Step of the source row and column.
    pub(crate) step: [usize; 2],
    /// First target channel, row, column.
    pub(crate) to: [usize; 3],
    /// Channels, rows, columns copied.
    pub(crate) extent: [usize; 3],
}

/// Copies a strided region between two blocked images.
pub(crate) fn copy_region(source: &[f32], from: &Planes, target: &mut [f32], to: &Planes, region: &Region) {
    let mut done = 0;
    while done < region.extent[0] {
        let (source_channel, target_channel) = (region.from[0] + done, region.to[0] + done);
        let (source_lane, target_lane) = (source_channel % LANES, target_channel % LANES);
        let n_lanes = (LANES - source_lane).min(LANES - target_lane).min(region.extent[0] - done);
        for row in 0..region.extent[1] {
            let source_row = region.from[1] + row * region.step[0];
            let s = from.at(source_channel / LANES, source_row, region.from[2]) + source_lane;
            let t = to.at(target_channel / LANES, region.to[1] + row, region.to[2]) + target_lane;
            for column in 0..region.extent[2] {
                let (s, t) = (s + column * region.step[1] * LANES, t + column * LANES);
                target[t..t + n_lanes].copy_from_slice(&source[s..s + n_lanes]);
            }
        }
        done += n_lanes;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Halo, noise};
    use super::*;

    #[test]
    fn blocking_and_back_is_the_identity() {
        for (channels, height, width) in [(1, 1, 1), (3, 5, 4), (16, 2, 3), (37, 3, 2)] {
            let plain = Planes::plain(channels, height, width);
            let blocked = Planes {
                halo: Halo { top: 1, left: 2, bottom: 0, right: 3 },
                ..Planes::blocked(channels, height, width)
            };
            let x = noise(plain.len(), 1);
            let mut y = vec![f32::NAN; blocked.len()];
            convert(&x, &plain, &mut y, &blocked);
            assert!(y.iter().all(|v| !v.is_nan()), "every lane is written");
            let mut z = vec![f32::NAN; plain.len()];
            convert(&y, &blocked, &mut z, &plain);
            assert_eq!(x, z);
        }
    }
}
