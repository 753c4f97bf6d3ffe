//! Gradients of sums of products.

use skimp_graph::shape::{self, WindowAxis, window_axes};
use skimp_graph::{Gemm, GraphError, Window};

use super::Exact;
use super::elementwise::broadcast_indices;

/// The axis that stands in where a network has fewer than three spatial ones.
const UNIT_AXIS: WindowAxis = WindowAxis::pointwise(1);

/// Depth, height and width of a window over one to three spatial axes.
pub(super) fn three_axes(call: &Exact<'_>, window: &Window) -> Result<[WindowAxis; 3], GraphError> {
    let found = window_axes(call.op, call.node, window, &call.shape(0)[2..])?;
    let mut axes = [UNIT_AXIS; 3];
    axes[3 - found.len()..].copy_from_slice(&found);
    Ok(axes)
}

/// What the window at `position` reads: pairs of an index into a plane and an index into a kernel.
pub(super) fn input_indices(
    [depth, height, width]: [WindowAxis; 3],
    [z, p, q]: [usize; 3],
) -> impl Iterator<Item = (usize, usize)> {
    depth.taps(z).flat_map(move |t| {
        height.taps(p).flat_map(move |r| {
            let row = depth.input_idx(z, t) * height.input + height.input_idx(p, r);
            width
                .taps(q)
                .map(move |s| (row * width.input + width.input_idx(q, s), (t * height.kernel + r) * width.kernel + s))
        })
    })
}

/// `y[n, k, ·] = Σ x[n, c, ·] · w[k, c, ·] + b[k]`, so the error at `y` goes to x by w, to w by x, and to b as it is.
pub(super) fn conv(call: &Exact<'_>, window: &Window, groups: usize) -> Result<Vec<Option<Vec<f64>>>, GraphError> {
    let axes = three_axes(call, window)?;
    let (x, weight) = (call.x(), call.input(1));
    let [n_batch, n_inputs, plane_len] = call.planes();
    let (n_outputs, group_inputs) = (call.shape(1)[0], call.shape(1)[1]);
    let kernel_len: usize = axes.iter().map(|axis| axis.kernel).product();
    let [_, height, width] = axes.map(|axis| axis.output);
    let n_windows: usize = axes.iter().map(|axis| axis.output).product();
    let mut by_x = vec![0.0; x.len()];
    let mut by_weight = vec![0.0; weight.len()];
    let mut by_bias = vec![0.0; n_outputs];
    for row in 0..n_batch * n_outputs {
        let (n, k) = (row / n_outputs, row % n_outputs);
        let first_input = k / (n_outputs / groups) * group_inputs;
        for window in 0..n_windows {
            let error = call.error()[row * n_windows + window];
            let position = [window / (height * width), window / width % height, window % width];
            by_bias[k] += error;
            for c in 0..group_inputs {
                let plane = (n * n_inputs + first_input + c) * plane_len;
                let kernel = (k * group_inputs + c) * kernel_len;
                for (idx, tap) in input_indices(axes, position) {
                    by_x[plane + idx] += error * weight[kernel + tap];
                    by_weight[kernel + tap] += error * x[plane + idx];
                }
            }
        }
    }
    let mut gradients = vec![Some(by_x), Some(by_weight)];
    if call.inputs.len() > 2 {
        gradients.push(call.has(2).then_some(by_bias));
    }
    Ok(gradients)
}

/// Adds the gradients of `y = scale · a · b`, with a `m × k` and b `k × n` at the given strides (row, column).
struct Product {
    extents: [usize; 3],
    a_strides: [usize; 2],
    b_strides: [usize; 2],
    scale: f64,
}

impl Product {
    fn add(&self, [a, b, error]: [&[f64]; 3], by_a: &mut [f64], by_b: &mut [f64]) {
        let [m, k, n] = self.extents;
        for i in 0..m {
            for j in 0..n {
                let error = self.scale * error[i * n + j];
                for l in 0..k {
                    let a_idx = i * self.a_strides[0] + l * self.a_strides[1];
                    let b_idx = l * self.b_strides[0] + j * self.b_strides[1];
                    by_a[a_idx] += error * b[b_idx];
                    by_b[b_idx] += error * a[a_idx];
                }
            }
        }
    }
}

pub(super) fn gemm(call: &Exact<'_>, attributes: &Gemm) -> Vec<Option<Vec<f64>>> {
    let (a, b) = (call.input(0), call.input(1));
    let (m, n) = (call.output_shapes[0][0], call.output_shapes[0][1]);
    let k = call.shape(0)[usize::from(!attributes.trans_a)];
    let product = Product {
        extents: [m, k, n],
        a_strides: if attributes.trans_a { [1, m] } else { [k, 1] },
        b_strides: if attributes.trans_b { [1, k] } else { [n, 1] },
        scale: f64::from(attributes.alpha),
    };
    let (mut by_a, mut by_b) = (vec![0.0; a.len()], vec![0.0; b.len()]);
    product.add([a, b, call.error()], &mut by_a, &mut by_b);
    let mut gradients = vec![Some(by_a), Some(by_b)];
    if call.inputs.len() > 2 {
        gradients.push(call.has(2).then(|| {
            let mut by_c = vec![0.0; call.input(2).len()];
            for (idx, error) in broadcast_indices(call.shape(2), &[m, n]).into_iter().zip(call.error()) {
                by_c[idx] += f64::from(attributes.beta) * error;
            }
            by_c
        }));
    }
    gradients
}

pub(super) fn matmul(call: &Exact<'_>) -> Result<Vec<Option<Vec<f64>>>, GraphError> {
    let (a, b) = (call.input(0), call.input(1));
    let operands = shape::matmul_operands(call.shape(0), call.shape(1)).map_err(|cause| call.invalid(cause))?;
    let (m, k, n) = (operands.m, operands.k, operands.n);
    let product = Product { extents: [m, k, n], a_strides: [k, 1], b_strides: [n, 1], scale: 1.0 };
    let [batch_a, batch_b, batch] = &operands.batch;
    let (mut by_a, mut by_b) = (vec![0.0; a.len()], vec![0.0; b.len()]);
    let pairs = broadcast_indices(batch_a, batch).into_iter().zip(broadcast_indices(batch_b, batch));
    for (idx, (i, j)) in pairs.enumerate() {
        let (a_range, b_range) = (i * m * k..(i + 1) * m * k, j * k * n..(j + 1) * k * n);
        let error = &call.error()[idx * m * n..][..m * n];
        let operands = [&a[a_range.clone()], &b[b_range.clone()], error];
        product.add(operands, &mut by_a[a_range], &mut by_b[b_range]);
    }
    Ok(vec![Some(by_a), Some(by_b)])
}
