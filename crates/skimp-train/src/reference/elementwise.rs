//! Gradients of elementwise operators.

use super::Exact;

/// The four operations of arithmetic.
#[derive(Clone, Copy)]
pub(super) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Slope of `x · max(0, min(1, x / 6 + 1 / 2))`.
pub(super) fn hard_swish_slope(x: f64) -> f64 {
    if x < -3.0 {
        0.0
    } else if x > 3.0 {
        1.0
    } else {
        x / 3.0 + 0.5
    }
}

/// For each element of a tensor of shape `to`, the element of one of shape `from` that broadcasts to it.
pub(super) fn broadcast_indices(from: &[usize], to: &[usize]) -> Vec<usize> {
    let missing = to.len() - from.len();
    let n_elements = to.iter().product();
    let source = |mut idx: usize| {
        let (mut source, mut stride) = (0, 1);
        for axis in (0..to.len()).rev() {
            let coordinate = idx % to[axis];
            idx /= to[axis];
            if axis >= missing {
                let extent = from[axis - missing];
                source += if extent == 1 { 0 } else { coordinate * stride };
                stride *= extent;
            }
        }
        source
    };
    (0..n_elements).map(source).collect()
}

/// Gradients of a function of two broadcast operands with the given partial derivatives.
fn broadcast_gradients(call: &Exact<'_>, derivatives: impl Fn(f64, f64) -> [f64; 2]) -> Vec<Option<Vec<f64>>> {
    let (a, b) = (call.input(0), call.input(1));
    let output_shape = &call.output_shapes[0];
    let mut gradients = [vec![0.0; a.len()], vec![0.0; b.len()]];
    let a_indices = broadcast_indices(call.shape(0), output_shape);
    let b_indices = broadcast_indices(call.shape(1), output_shape);
    for ((i, j), error) in a_indices.into_iter().zip(b_indices).zip(call.error()) {
        let [by_a, by_b] = derivatives(a[i], b[j]);
        gradients[0][i] += error * by_a;
        gradients[1][j] += error * by_b;
    }
    gradients.map(Some).to_vec()
}

pub(super) fn binary(call: &Exact<'_>, operation: Arithmetic) -> Vec<Option<Vec<f64>>> {
    match operation {
        Arithmetic::Add => broadcast_gradients(call, |_, _| [1.0, 1.0]),
        Arithmetic::Sub => broadcast_gradients(call, |_, _| [1.0, -1.0]),
        Arithmetic::Mul => broadcast_gradients(call, |a, b| [b, a]),
        Arithmetic::Div => broadcast_gradients(call, |a, b| [1.0 / b, -a / (b * b)]),
    }
}

pub(super) fn prelu(call: &Exact<'_>) -> Vec<Option<Vec<f64>>> {
    broadcast_gradients(call, |x, slope| if x > 0.0 { [1.0, 0.0] } else { [slope, x] })
}
