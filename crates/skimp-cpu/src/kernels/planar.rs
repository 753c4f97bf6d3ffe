//! Grouped convolution of any shape on plain NCHW images: one row-times-scalar addition per weight.
//!
//! For groups that do not fill blocks of 16 channels. Safe and portable.

use super::conv::ConvShape;
use super::{Bounds, Planes, multiply_add};
use rayon::prelude::*;

/// Convolves one image. `weight` is `[k][c / groups][r][s]`; the sums run over channel and tap in order.
pub(crate) fn convolve(
    shape: &ConvShape,
    bounds: Bounds,
    (weight, bias): (&[f32], &[f32]),
    (x, x_planes): (&[f32], &Planes),
    out: &mut [f32],
    parallel: bool,
) {
    let [p, q] = shape.output;
    let group_in = shape.in_channels / shape.groups;
    let group_out = shape.out_channels / shape.groups;
    let n_taps = shape.kernel[0] * shape.kernel[1];
    let channel = |(k, out): (usize, &mut [f32])| {
        out.fill(bias.get(k).copied().unwrap_or(0.0));
        for c in 0..group_in {
            let image = x_planes.at(k / group_out * group_in + c, 0, 0);
            let image = &x[image..image + x_planes.height * x_planes.width];
            for tap in 0..n_taps {
                let w = weight[(k * group_in + c) * n_taps + tap];
                add_tap(shape, w, [tap / shape.kernel[1], tap % shape.kernel[1]], (image, x_planes), out);
            }
        }
        for y in out {
            *y = bounds.apply(*y);
        }
    };
    let channels = out[..shape.out_channels * p * q].chunks_exact_mut(p * q).enumerate();
    if parallel {
        channels.collect::<Vec<_>>().into_par_iter().for_each(channel);
    } else {
        channels.for_each(channel);
    }
}

/// Output positions of one axis whose input for `tap` is inside, and the input position of the first.
fn valid(shape: &ConvShape, axis: usize, tap: usize, extent: usize) -> (std::ops::Range<usize>, usize) {
    let (stride, pad) = (shape.strides[axis], shape.pads[axis]);
    let offset = tap * shape.dilations[axis];
    let first = pad.saturating_sub(offset).div_ceil(stride);
    let end = (extent + pad).saturating_sub(offset).div_ceil(stride).min(shape.output[axis]);
    (first..end.max(first), (first * stride + offset).saturating_sub(pad))
}

fn add_tap(shape: &ConvShape, w: f32, tap: [usize; 2], (image, planes): (&[f32], &Planes), out: &mut [f32]) {
    let (rows, first_row) = valid(shape, 0, tap[0], planes.height);
    let (columns, first_column) = valid(shape, 1, tap[1], planes.width);
    if columns.is_empty() {
        return;
    }
    for (i, row) in rows.enumerate() {
        let x = &image[(first_row + i * shape.strides[0]) * planes.width + first_column..];
        let y = &mut out[row * shape.output[1]..][columns.clone()];
        if shape.strides[1] == 1 {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = multiply_add(w, x, *y);
            }
        } else {
            for (y, &x) in y.iter_mut().zip(x.iter().step_by(shape.strides[1])) {
                *y = multiply_add(w, x, *y);
            }
        }
    }
}
