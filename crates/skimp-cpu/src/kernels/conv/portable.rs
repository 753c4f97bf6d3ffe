//! The safe twin of the register tile.

use std::ops::Range;

use super::super::program::{NO_REGISTERS, finish};
use super::super::{Isa, LANES, multiply_add};
use super::OutGroup;
use super::tile::TileLoop;

/// Computes the given rows of one output group, in the order of sums of the vector kernels.
pub(super) fn rows(job: &TileLoop<'_>, group: &OutGroup, rows: Range<usize>, out: &mut [f32]) {
    let mut registers = NO_REGISTERS;
    for row in rows {
        let width = job.shape.output[1];
        let mut column = 0;
        while column + 4 <= width {
            pixels::<4>(job, group, row, column, out);
            column += 4;
        }
        while column < width {
            pixels::<1>(job, group, row, column, out);
            column += 1;
        }
        for block in group.first_block..group.first_block + group.n_blocks {
            let start = job.out_planes.at(block, row, 0);
            finish(job.epilogue, Isa::Portable, &mut registers, [block, row], &mut out[start..start + width * LANES]);
        }
    }
}

#[inline(always)]
fn pixels<const T: usize>(job: &TileLoop<'_>, group: &OutGroup, row: usize, column: usize, out: &mut [f32]) {
    let (x, planes) = job.x;
    let (shape, packed) = (job.shape, job.packed);
    let stride = group.n_blocks * LANES;
    for block in 0..group.n_blocks {
        let out_block = group.first_block + block;
        let mut bias = [0.0_f32; LANES];
        bias.copy_from_slice(&packed.bias[out_block * LANES..(out_block + 1) * LANES]);
        let mut sums = [bias; T];
        let mut weights = group.weights + block * LANES;
        for in_block in 0..group.n_in_blocks {
            let last = in_block + 1 == group.n_in_blocks;
            let n_channels = if last { group.last_channels } else { packed.in_block };
            for r in 0..shape.kernel[0] {
                for s in 0..shape.kernel[1] {
                    let x_row = row * shape.strides[0] + r * shape.dilations[0] + planes.halo.top - shape.pads[0];
                    let x_column =
                        column * shape.strides[1] + s * shape.dilations[1] + planes.halo.left - shape.pads[1];
                    let start = (group.first_in_block + in_block) * planes.plane()
                        + x_row * planes.pitch()
                        + x_column * planes.block;
                    for channel in 0..n_channels {
                        let w = &packed.weights[weights..weights + LANES];
                        for (t, sums) in sums.iter_mut().enumerate() {
                            let activation = x[start + t * shape.strides[1] * planes.block + channel];
                            for (sum, &w) in sums.iter_mut().zip(w) {
                                *sum = multiply_add(w, activation, *sum);
                            }
                        }
                        weights += stride;
                    }
                }
            }
        }
        for (t, sums) in sums.iter().enumerate() {
            let start = job.out_planes.at(out_block, row, column + t);
            let residual = job.residual.map(|(image, planes)| {
                let start = planes.at(out_block, row, column + t);
                &image[start..start + LANES]
            });
            for (lane, (y, &sum)) in out[start..start + LANES].iter_mut().zip(sums).enumerate() {
                *y = job.bounds.apply(residual.map_or(sum, |image| sum + image[lane]));
            }
        }
    }
}
