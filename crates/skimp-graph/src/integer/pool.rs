//! Pooling of codes.

use skimp_numerics::{Requantization, Requantizer};

use super::{CodeTensor, Encoding, IntegerOp, IntegerTensor, ValueKind, arithmetic::mean_requantizer};
use crate::ops;
use crate::{
    GraphError, Op, Tensor, Window,
    shape::{LayerShape, WindowAxis, window_axes},
};

/// The window's axes over an input `[n, c, ..]`; all of each axis where there is no window.
pub(super) fn pool_axes(node: &str, window: Option<&Window>, shape: &[usize]) -> Result<Vec<WindowAxis>, GraphError> {
    if shape.len() < 3 {
        let cause = format!("input has shape {shape:?}, expected [n, c, ..] with at least one spatial axis");
        return Err(GraphError::invalid_node(node, "Pool", cause));
    }
    let spatial = &shape[2..];
    if let Some(window) = window {
        return window_axes(&Op::MaxPool(ops::MaxPool { window: window.clone() }), node, window, spatial);
    }
    if spatial.contains(&0) {
        return Err(GraphError::invalid_node(node, "Pool", format!("input has shape {shape:?}, nothing to pool")));
    }
    Ok(spatial.iter().map(|&extent| WindowAxis::whole(extent)).collect())
}

impl IntegerOp {
    /// Extents of a pooling operator on an input `[n, c, h, w]` or `[n, c, w]`, each channel a group of its own; `None` for
    /// another operator or other inputs.
    ///
    /// # Errors
    /// [`GraphError::InvalidNode`], naming `node`, if the window does not fit.
    pub fn pool_shape(&self, node: &str, input: &[usize]) -> Result<Option<LayerShape>, GraphError> {
        let window = match self {
            IntegerOp::MaxPool(window) | IntegerOp::AveragePool { window, .. } => window.as_ref(),
            _ => return Ok(None),
        };
        let [n, c, ..] = *input else { return Ok(None) };
        let axes = match pool_axes(node, window, input)?[..] {
            [cols] => [WindowAxis::pointwise(1), cols],
            [rows, cols] => [rows, cols],
            _ => return Ok(None),
        };
        let shape = LayerShape::from_axes(n, [c, c], c.max(1), axes);
        Ok(Some(shape.map_err(|error| GraphError::invalid_node(node, self.name(), error.to_string()))?))
    }
}

/// Shape of the output.
pub(super) fn pool_shape(shape: &[usize], axes: &[WindowAxis]) -> Vec<usize> {
    shape[..2].iter().copied().chain(axes.iter().map(|a| a.output)).collect()
}

/// Splits `flat` into one index per axis of `extents`, the last fastest.
fn unflatten(mut flat: usize, extents: impl DoubleEndedIterator<Item = usize> + ExactSizeIterator) -> Vec<usize> {
    let mut indices = vec![0; extents.len()];
    for (index, extent) in indices.iter_mut().rev().zip(extents.rev()) {
        *index = flat % extent;
        flat /= extent;
    }
    indices
}

/// Calls `read` with the input code of every tap of every window, plane by plane, and `finish` with the window's number
/// of padded taps (taps on the input or its declared padding) at its end.
fn for_each_window<S: Copy, R>(
    input: &CodeTensor,
    axes: &[WindowAxis],
    initial: S,
    read: impl Fn(S, i32) -> S,
    finish: impl Fn(S, usize) -> R,
) -> Vec<R> {
    let n_planes: usize = input.shape[..2].iter().product();
    let plane_len: usize = axes.iter().map(|a| a.input).product();
    let n_positions: usize = axes.iter().map(|a| a.output).product();
    let mut output = Vec::with_capacity(n_planes * n_positions);
    for plane in 0..n_planes {
        let codes = &input.data[plane * plane_len..(plane + 1) * plane_len];
        for position in 0..n_positions {
            let position = unflatten(position, axes.iter().map(|a| a.output));
            let taps: Vec<_> = axes.iter().zip(&position).map(|(axis, &p)| axis.taps(p)).collect();
            let n_padded = axes.iter().zip(&position).map(|(axis, &p)| axis.n_padded_taps(p)).product();
            let mut state = initial;
            for tap in 0..taps.iter().map(|t| t.len()).product() {
                let offsets = unflatten(tap, taps.iter().map(|t| t.len()));
                let at = (0..axes.len())
                    .fold(0, |at, i| at * axes[i].input + axes[i].input_idx(position[i], taps[i].start + offsets[i]));
                state = read(state, codes[at]);
            }
            output.push(finish(state, n_padded));
        }
    }
    output
}

/// Maximum over windows; a window of nothing but padding has the least code of `encoding`.
pub(super) fn max_pool(
    node: &str,
    window: Option<&Window>,
    input: &CodeTensor,
    encoding: &Encoding,
) -> Result<CodeTensor, GraphError> {
    let axes = pool_axes(node, window, &input.shape)?;
    let data = for_each_window(input, &axes, encoding.min_code(), i32::max, |max, _| max);
    Ok(CodeTensor { shape: pool_shape(&input.shape, &axes), data })
}

/// Mean over windows; a window without a counted tap is 0.
pub(super) fn average_pool(
    means: &IntegerMeans<'_>,
    (window, count_include_pad): (Option<&Window>, bool),
    input: &CodeTensor,
) -> Result<IntegerTensor, GraphError> {
    let axes = pool_axes(means.node, window, &input.shape)?;
    let zero_point = i64::from(means.from.zero_point);
    let shape = pool_shape(&input.shape, &axes);
    let sums = for_each_window(
        input,
        &axes,
        (0_i64, 0_usize),
        |(sum, count), code| (sum + i64::from(code) - zero_point, count + 1),
        |(sum, count), n_padded| (sum, if count_include_pad { n_padded } else { count }),
    );
    means.of(shape, &sums)
}

/// Turns window sums into means.
#[derive(Clone, Copy, Debug)]
pub struct IntegerMeans<'a> {
    /// Name of the node, for errors.
    pub node: &'a str,
    /// Encoding of the codes that were added.
    pub from: &'a Encoding,
    /// What the output holds.
    pub to: &'a ValueKind,
    /// How a sum becomes a code.
    pub rounding: Requantization,
    /// Least and greatest output code.
    pub range: (i32, i32),
}

impl IntegerMeans<'_> {
    /// The means of windows given as sum of codes, less their zero points, and number of codes, in row-major order of `shape`.
    /// A window without a counted tap has the mean 0.
    ///
    /// # Errors
    /// [`GraphError::InvalidNode`] if the factor of a mean cannot be represented, or a sum does not fit its arithmetic.
    pub fn of(&self, shape: Vec<usize>, sums: &[(i64, usize)]) -> Result<IntegerTensor, GraphError> {
        let from = self.from;
        let to = match self.to {
            ValueKind::Codes(to) => to,
            ValueKind::Real => {
                let mean = |&(sum, count): &(i64, usize)| {
                    if count == 0 { 0.0 } else { (sum as f64 * (from.scale / count as f64)) as f32 }
                };
                return Ok(IntegerTensor::Real(Tensor::from_f32(shape, sums.iter().map(mean).collect())));
            }
        };
        let (min, max) = self.range;
        let mut data = Vec::with_capacity(sums.len());
        let mut cached: Option<(usize, Requantizer)> = None;
        for &(sum, count) in sums {
            let requantizer = match cached {
                Some((known, requantizer)) if known == count => requantizer,
                _ => self.requantizer(to, count)?,
            };
            cached = Some((count, requantizer));
            if requantizer.is_narrow() && i32::try_from(sum).is_err() {
                return Err(self.out_of_range(count));
            }
            let mean = requantizer.apply(sum).saturating_add(to.zero_point.into());
            data.push(to.saturate(mean).clamp(min, max));
        }
        Ok(IntegerTensor::Codes(CodeTensor { shape, data }))
    }

    fn requantizer(&self, to: &Encoding, count: usize) -> Result<Requantizer, GraphError> {
        let found = mean_requantizer(self.rounding, self.from, to, count.max(1));
        found.ok_or_else(|| self.out_of_range(count))
    }

    fn out_of_range(&self, count: usize) -> GraphError {
        let cause = format!("a mean of {count} codes is out of range");
        GraphError::invalid_node(self.node, "AveragePool", cause)
    }
}
