//! Sums of products.

use super::Call;
use super::number::{Float, Number, for_float, for_number};
use super::strided::Offsets;
use crate::shape::{WindowAxis, matmul_operands, window_axes};
use crate::{Data, Gemm, GraphError, Window};

/// The axis that stands in where a network has fewer than three spatial ones.
const UNIT_AXIS: WindowAxis =
    WindowAxis { input: 1, kernel: 1, stride: 1, dilation: 1, pad_begin: 0, pad_end: 0, output: 1 };

/// Depth, height and width of a window over one to three spatial axes.
pub(super) fn three_axes(call: &Call<'_>, window: &Window) -> Result<[WindowAxis; 3], GraphError> {
    let found = window_axes(call.op, call.node, window, &call.input(0).shape()[2..])?;
    let mut axes = [UNIT_AXIS; 3];
    axes[3 - found.len()..].copy_from_slice(&found);
    Ok(axes)
}

pub(super) fn conv(call: &Call<'_>, window: &Window, groups: usize) -> Result<Data, GraphError> {
    let axes = three_axes(call, window)?;
    for_float!(
        call.input(0).data(),
        x => Ok(conv_typed(call, x, &axes, groups)?.into()),
        Err(call.unsupported_type())
    )
}

fn conv_typed<T: Float>(
    call: &Call<'_>,
    x: &[T],
    [depth, height, width]: &[WindowAxis; 3],
    groups: usize,
) -> Result<Vec<T>, GraphError> {
    let weight: &[T] = call.elements(1);
    let bias: Option<&[T]> = call.optional(2).map(|_| call.elements(2));
    let (n_batch, n_inputs) = (call.input(0).shape()[0], call.input(0).shape()[1]);
    let (n_outputs, group_inputs) = (call.input(1).shape()[0], call.input(1).shape()[1]);
    let mut y = call.allocate_output()?;
    let mut sums: Vec<f64> = call.allocate(width.output)?;
    sums.resize(width.output, 0.0);
    for n in 0..n_batch {
        for k in 0..n_outputs {
            let first_input = k / (n_outputs / groups) * group_inputs;
            for (z, p) in pairs(depth.output, height.output) {
                sums.fill(bias.map_or(0.0, |bias| bias[k].to_f64()));
                for c in 0..group_inputs {
                    let channel = n * n_inputs + first_input + c;
                    for (tap_z, r) in tap_pairs(depth, z, height, p) {
                        let row =
                            (channel * depth.input + depth.input_idx(z, tap_z)) * height.input + height.input_idx(p, r);
                        let x_row = &x[row * width.input..][..width.input];
                        let weight_row = ((k * group_inputs + c) * depth.kernel + tap_z) * height.kernel + r;
                        let weight_row = &weight[weight_row * width.kernel..][..width.kernel];
                        add_row(&mut sums, x_row, weight_row, width);
                    }
                }
                y.extend(sums.iter().map(|&sum| T::from_f64(sum)));
            }
        }
    }
    Ok(y)
}

/// Adds the products of one kernel row with one input row to the sums of an output row.
fn add_row<T: Float>(sums: &mut [f64], x: &[T], weight: &[T], width: &WindowAxis) {
    for (s, weight) in weight.iter().enumerate() {
        let weight = weight.to_f64();
        let windows = width.windows(s);
        if windows.is_empty() {
            continue;
        }
        let first = width.input_idx(windows.start, s);
        let inputs = x[first..].iter().step_by(width.stride);
        for (sum, x) in sums[windows].iter_mut().zip(inputs) {
            *sum += weight * x.to_f64();
        }
    }
}

pub(super) fn pairs(n_outer: usize, n_inner: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n_outer).flat_map(move |outer| (0..n_inner).map(move |inner| (outer, inner)))
}

/// Kernel positions on two axes that read the input at window `(z, p)`.
pub(super) fn tap_pairs(
    outer: &WindowAxis,
    z: usize,
    inner: &WindowAxis,
    p: usize,
) -> impl Iterator<Item = (usize, usize)> + use<> {
    let inner_taps = inner.taps(p);
    outer.taps(z).flat_map(move |outer| inner_taps.clone().map(move |inner| (outer, inner)))
}

pub(super) fn gemm(call: &Call<'_>, attributes: &Gemm) -> Result<Data, GraphError> {
    for_float!(
        call.input(0).data(),
        a => Ok(gemm_typed(call, a, attributes)?.into()),
        Err(call.unsupported_type())
    )
}

fn gemm_typed<T: Float>(call: &Call<'_>, a: &[T], attributes: &Gemm) -> Result<Vec<T>, GraphError> {
    let b: &[T] = call.elements(1);
    let c: Option<&[T]> = call.optional(2).map(|_| call.elements(2));
    let (m, n) = (call.output_shape()[0], call.output_shape()[1]);
    let a_shape = call.input(0).shape();
    let (k, a_row, a_col) = if attributes.trans_a { (a_shape[0], 1, m) } else { (a_shape[1], a_shape[1], 1) };
    let (b_row, b_col) = if attributes.trans_b { (1, k) } else { (n, 1) };
    let (alpha, beta) = (f64::from(attributes.alpha), f64::from(attributes.beta));
    let mut addends = call.optional(2).map(|c| Offsets::broadcast(c.shape(), call.output_shape()));
    let mut y = call.allocate_output()?;
    for (i, j) in pairs(m, n) {
        let sum =
            (0..k).fold(0.0, |sum, l| sum + a[i * a_row + l * a_col].to_f64() * b[l * b_row + j * b_col].to_f64());
        let addend = match (c, addends.as_mut().and_then(Iterator::next)) {
            (Some(c), Some(idx)) => beta * c[idx].to_f64(),
            _ => 0.0,
        };
        y.push(T::from_f64(alpha * sum + addend));
    }
    Ok(y)
}

pub(super) fn matmul(call: &Call<'_>) -> Result<Data, GraphError> {
    for_number!(call.input(0).data(), a => Ok(matmul_typed(call, a)?.into()), Err(call.unsupported_type()))
}

fn matmul_typed<T: Number>(call: &Call<'_>, a: &[T]) -> Result<Vec<T>, GraphError> {
    let b: &[T] = call.elements(1);
    let operands =
        matmul_operands(call.input(0).shape(), call.input(1).shape()).map_err(|cause| call.invalid(cause))?;
    let (m, k, n) = (operands.m, operands.k, operands.n);
    let [batch_a, batch_b, batch] = &operands.batch;
    let mut y = call.allocate_output()?;
    for (a_idx, b_idx) in Offsets::broadcast(batch_a, batch).zip(Offsets::broadcast(batch_b, batch)) {
        let (a, b) = (&a[a_idx * m * k..][..m * k], &b[b_idx * k * n..][..k * n]);
        for (i, j) in pairs(m, n) {
            y.push(T::dot((0..k).map(|l| (a[i * k + l], b[l * n + j]))));
        }
    }
    Ok(y)
}
