//! Maxima and means.

use super::Call;
use super::linear::{pairs, tap_pairs, three_axes};
use super::number::{Float, Number, for_float, for_number};
use super::strided::strided_reduction;
use crate::shape::{WindowAxis, normalized_axes};
use crate::{Data, GraphError, Window};

/// The larger one; NaN wins.
fn larger<T: Number>(a: T, b: T) -> T {
    if b > a || b.is_nan() { b } else { a }
}

/// Calls `window` with the plane of a channel and the position of each of its windows, in output order.
fn for_each_window<T>(
    call: &Call<'_>,
    x: &[T],
    [depth, height, width]: &[WindowAxis; 3],
    mut window: impl FnMut(&[T], [usize; 3]),
) {
    let n_planes = call.input(0).shape()[0] * call.input(0).shape()[1];
    let plane_len = depth.input * height.input * width.input;
    for plane in 0..n_planes {
        let x = &x[plane * plane_len..][..plane_len];
        for (z, p) in pairs(depth.output, height.output) {
            for q in 0..width.output {
                window(x, [z, p, q]);
            }
        }
    }
}

/// Indices into a plane that the window at `position` reads.
fn window_indices([depth, height, width]: [WindowAxis; 3], [z, p, q]: [usize; 3]) -> impl Iterator<Item = usize> {
    tap_pairs(&depth, z, &height, p).flat_map(move |(tap_z, r)| {
        let row = depth.input_idx(z, tap_z) * height.input + height.input_idx(p, r);
        width.taps(q).map(move |s| row * width.input + width.input_idx(q, s))
    })
}

pub(super) fn max(call: &Call<'_>, window: &Window) -> Result<Data, GraphError> {
    fn typed<T: Number>(call: &Call<'_>, x: &[T], axes: [WindowAxis; 3]) -> Result<Vec<T>, GraphError> {
        let mut y = call.allocate_output()?;
        for_each_window(call, x, &axes, |x, position| {
            y.push(window_indices(axes, position).fold(T::LOWEST, |most, i| larger(most, x[i])));
        });
        Ok(y)
    }
    let axes = three_axes(call, window)?;
    for_number!(call.input(0).data(), x => Ok(typed(call, x, axes)?.into()), Err(call.unsupported_type()))
}

pub(super) fn average(call: &Call<'_>, window: &Window, count_include_pad: bool) -> Result<Data, GraphError> {
    fn typed<T: Float>(
        call: &Call<'_>,
        x: &[T],
        axes: [WindowAxis; 3],
        count_include_pad: bool,
    ) -> Result<Vec<T>, GraphError> {
        let mut y = call.allocate_output()?;
        for_each_window(call, x, &axes, |x, position| {
            let sum = window_indices(axes, position).fold(0.0, |sum, i| sum + x[i].to_f64());
            let n_taps = axes
                .iter()
                .zip(position)
                .map(|(axis, idx)| if count_include_pad { axis.n_padded_taps(idx) } else { axis.taps(idx).len() });
            let count = n_taps.map(|n| n as f64).product::<f64>();
            y.push(T::from_f64(if count > 0.0 { sum / count } else { 0.0 }));
        });
        Ok(y)
    }
    let axes = three_axes(call, window)?;
    for_float!(
        call.input(0).data(),
        x => Ok(typed(call, x, axes, count_include_pad)?.into()),
        Err(call.unsupported_type())
    )
}

/// Elements of one channel of one image.
fn plane_len(call: &Call<'_>) -> usize {
    call.input(0).shape()[2..].iter().product()
}

pub(super) fn global_average(call: &Call<'_>) -> Result<Data, GraphError> {
    fn typed<T: Float>(call: &Call<'_>, x: &[T]) -> Result<Vec<T>, GraphError> {
        let n = plane_len(call);
        let mut y = call.allocate_output()?;
        let n_planes = call.input(0).shape()[..2].iter().product();
        y.extend((0..n_planes).map(|plane| T::mean(x[plane * n..][..n].iter().copied(), n)));
        Ok(y)
    }
    for_float!(call.input(0).data(), x => Ok(typed(call, x)?.into()), Err(call.unsupported_type()))
}

pub(super) fn global_max(call: &Call<'_>) -> Result<Data, GraphError> {
    fn typed<T: Float>(call: &Call<'_>, x: &[T]) -> Result<Vec<T>, GraphError> {
        let n = plane_len(call);
        let mut y = call.allocate_output()?;
        let n_planes = call.input(0).shape()[..2].iter().product();
        y.extend((0..n_planes).map(|plane| x[plane * n..][..n].iter().copied().fold(T::LOWEST, larger)));
        Ok(y)
    }
    for_float!(call.input(0).data(), x => Ok(typed(call, x)?.into()), Err(call.unsupported_type()))
}

pub(super) fn reduce_mean(call: &Call<'_>, axes: &[i64]) -> Result<Data, GraphError> {
    fn typed<T: Number>(call: &Call<'_>, x: &[T], reduced: &[bool]) -> Result<Vec<T>, GraphError> {
        let (kept, inner) = strided_reduction(call.input(0).shape(), reduced);
        let n = inner.size_hint().0;
        let mut y = call.allocate_output()?;
        y.extend(kept.map(|start| T::mean(inner.clone().map(|offset| x[start + offset]), n)));
        Ok(y)
    }
    let shape = call.input(0).shape();
    let mut reduced = normalized_axes(axes, shape.len()).map_err(|cause| call.invalid(cause))?;
    if axes.is_empty() {
        reduced.fill(true);
    }
    for_number!(call.input(0).data(), x => Ok(typed(call, x, &reduced)?.into()), Err(call.unsupported_type()))
}
