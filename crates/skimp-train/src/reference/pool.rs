//! Gradients of maxima and means.

use skimp_graph::{GraphError, Window};

use super::Exact;
use super::linear::{input_indices, three_axes};

/// Calls `window` with the first index of a plane and the position of each of its windows, in output order.
fn for_each_window(
    call: &Exact<'_>,
    axes: &[skimp_graph::shape::WindowAxis; 3],
    mut window: impl FnMut(usize, [usize; 3]),
) {
    let [n_batch, n_channels, plane_len] = call.planes();
    let [depth, height, width] = axes.map(|axis| axis.output);
    for plane in 0..n_batch * n_channels {
        for position in 0..depth * height * width {
            window(plane * plane_len, [position / (height * width), position / width % height, position % width]);
        }
    }
}

/// The first greatest one among `indices`; NaN counts as greatest.
fn winner(x: &[f64], indices: impl Iterator<Item = usize>) -> Option<usize> {
    indices.fold(None, |best: Option<usize>, idx| match best {
        Some(best) if x[best].is_nan() || (x[idx] <= x[best]) => Some(best),
        _ => Some(idx),
    })
}

pub(super) fn winners(call: &Exact<'_>, window: &Window) -> Result<Vec<Option<usize>>, GraphError> {
    let axes = three_axes(call, window)?;
    let mut winners = Vec::new();
    for_each_window(call, &axes, |start, position| {
        winners.push(winner(call.x(), input_indices(axes, position).map(|(idx, _)| start + idx)));
    });
    Ok(winners)
}

pub(super) fn global_winners(call: &Exact<'_>) -> Vec<Option<usize>> {
    let [n_batch, n_channels, plane_len] = call.planes();
    (0..n_batch * n_channels).map(|plane| winner(call.x(), plane * plane_len..(plane + 1) * plane_len)).collect()
}

/// Every error goes to the winner of its window.
pub(super) fn scattered(call: &Exact<'_>, winners: &[Option<usize>]) -> Vec<f64> {
    let mut gradient = vec![0.0; call.x().len()];
    for (winner, error) in winners.iter().zip(call.error()) {
        if let Some(winner) = winner {
            gradient[*winner] += error;
        }
    }
    gradient
}

pub(super) fn average(call: &Exact<'_>, window: &Window, count_include_pad: bool) -> Result<Vec<f64>, GraphError> {
    let axes = three_axes(call, window)?;
    let mut gradient = vec![0.0; call.x().len()];
    let mut errors = call.error().iter();
    for_each_window(call, &axes, |start, position| {
        let n_taps = axes
            .iter()
            .zip(position)
            .map(|(axis, idx)| if count_include_pad { axis.n_padded_taps(idx) } else { axis.taps(idx).len() });
        let count = n_taps.map(|n| n as f64).product::<f64>();
        let error = errors.next().copied().unwrap_or(0.0);
        for (idx, _) in input_indices(axes, position) {
            gradient[start + idx] += error / count;
        }
    });
    Ok(gradient)
}

pub(super) fn global_average(call: &Exact<'_>) -> Vec<f64> {
    let [_, _, plane_len] = call.planes();
    let spread = |error: &f64| std::iter::repeat_n(error / plane_len as f64, plane_len);
    call.error().iter().flat_map(spread).collect()
}

pub(super) fn reduce_mean(call: &Exact<'_>, axes: &[i64]) -> Result<Vec<f64>, GraphError> {
    let shape = call.shape(0);
    let reduced = skimp_graph::shape::normalized_axes(axes, shape.len()).map_err(|cause| call.invalid(cause))?;
    let is_reduced = |axis: usize| axes.is_empty() || reduced[axis];
    let kept: Vec<usize> = shape.iter().enumerate().map(|(i, &n)| if is_reduced(i) { 1 } else { n }).collect();
    let count: usize = (0..shape.len()).filter(|&axis| is_reduced(axis)).map(|axis| shape[axis]).product();
    let sources = super::elementwise::broadcast_indices(&kept, shape);
    Ok(sources.into_iter().map(|idx| call.error()[idx] / count as f64).collect())
}
