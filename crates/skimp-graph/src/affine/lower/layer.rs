//! Layers with 8-bit weights.

use skimp_numerics::{Requantization, Requantizer};

use crate::affine::AffineEncoding;
use crate::ops;
use crate::shape::normalized_axis;
use crate::{AutoPad, Data, Graph, GraphError, Node, Op, Tensor, ValueId, Window};

/// Bias scales may differ from `scale(input) · scale(weight)` by rounding only.
const BIAS_SCALE_TOLERANCE: f32 = 1e-5;

/// A convolution or dense layer on codes.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) input: ValueId,
    input_scale: f32,
    pub(super) dense: bool,
    pub(super) window: Window,
    pub(super) groups: usize,
    pub(super) weight_shape: [usize; 4],
    pub(super) weight: Vec<i16>,
    pub(super) weight_scales: Vec<f32>,
    pub(super) accumulator_scales: Vec<f32>,
    pub(super) bias: Vec<i32>,
}

impl Layer {
    /// The scaling of each output channel, or of all of them.
    pub(super) fn requantizers(
        &self,
        rounding: Requantization,
        output: &AffineEncoding,
    ) -> Result<Vec<Requantizer>, String> {
        let factor = |weight_scale: f32| match rounding {
            Requantization::Float => f64::from(self.input_scale * weight_scale / output.scale),
            Requantization::Gemmlowp | Requantization::Single => {
                f64::from(self.input_scale) * f64::from(weight_scale) / f64::from(output.scale)
            }
        };
        let requantizer = |&scale: &f32| {
            let factor = factor(scale);
            Requantizer::new(rounding, factor).ok_or_else(|| format!("a scaling by {factor:e} is out of range"))
        };
        self.weight_scales.iter().map(requantizer).collect()
    }
}

/// A constant behind a `DequantizeLinear`.
pub(super) struct StoredConstant<'g> {
    pub(super) codes: &'g Tensor,
    pub(super) scales: &'g [f32],
    /// As many as scales; 0 where none are stored.
    pub(super) zero_points: Vec<i32>,
    /// Axis of the scales, for more than one.
    axis: usize,
}

/// The elements of an integer tensor, widened.
pub(super) fn widened(tensor: &Tensor) -> Option<Vec<i32>> {
    match tensor.data() {
        Data::U8(x) => Some(x.iter().copied().map(i32::from).collect()),
        Data::I8(x) => Some(x.iter().copied().map(i32::from).collect()),
        Data::I32(x) => Some(x.to_vec()),
        _ => None,
    }
}

/// The constant that `id` dequantizes.
pub(super) fn stored_constant<'g>(
    graph: &'g Graph,
    producers: &[Option<usize>],
    id: ValueId,
) -> Option<StoredConstant<'g>> {
    let node = &graph.nodes()[producers[id.0]?];
    let Op::DequantizeLinear(ops::DequantizeLinear { axis }) = node.op else { return None };
    let input = |i: usize| node.inputs.get(i).copied().flatten();
    let codes = graph.constant(input(0)?)?;
    let scales = graph.constant(input(1)?)?.as_f32()?;
    let zero_points = match input(2) {
        Some(id) => widened(graph.constant(id)?)?,
        None => vec![0; scales.len()],
    };
    let axis = if scales.len() == 1 { 0 } else { normalized_axis(axis, codes.shape().len()).ok()? };
    let fits = zero_points.len() == scales.len() && scales.iter().all(|s| *s > 0.0 && s.is_finite());
    fits.then_some(StoredConstant { codes, scales, zero_points, axis })
}

/// The layer behind `node`, whose first input holds the codes `input`; `None` if it is no layer on codes.
///
/// # Errors
/// [`GraphError::InvalidNode`] if an accumulator may exceed 32 bits.
pub(super) fn layer(
    graph: &Graph,
    producers: &[Option<usize>],
    node: &Node,
    (input, encoding): (ValueId, AffineEncoding),
) -> Result<Option<Layer>, GraphError> {
    let Some(layer) = find(graph, producers, node, (input, encoding)) else { return Ok(None) };
    let depth: usize = layer.weight_shape[1..].iter().product();
    let code_type = encoding.code_type;
    let reach = i64::from((code_type.max() - encoding.zero_point).max(encoding.zero_point - code_type.min()));
    for (k, channel) in layer.weight.chunks(depth.max(1)).enumerate() {
        let sum: i64 = channel.iter().map(|&w| i64::from(w).abs()).sum();
        let bound = sum * reach + i64::from(layer.bias[k]).abs();
        if bound > i64::from(i32::MAX) {
            let cause = format!("accumulators of output channel {k} may reach {bound}, beyond 32 bits");
            return Err(GraphError::invalid_node(&node.name, node.op.name(), cause));
        }
    }
    Ok(Some(layer))
}

fn find(
    graph: &Graph,
    producers: &[Option<usize>],
    node: &Node,
    (input, encoding): (ValueId, AffineEncoding),
) -> Option<Layer> {
    let weight = stored_constant(graph, producers, node.inputs.get(1).copied().flatten()?)?;
    if !matches!(weight.codes.data(), Data::U8(_) | Data::I8(_)) || weight.codes.is_empty() {
        return None;
    }
    let shape = weight.codes.shape();
    let (dense, window, groups, weight_shape, channel_axis) = match &node.op {
        Op::Conv(ops::Conv { window, groups }) => {
            let shape: [usize; 4] = shape.try_into().ok()?;
            (false, window.clone(), *groups, shape, 0)
        }
        Op::Gemm(gemm) => {
            let &[rows, cols] = shape else { return None };
            let plain = !gemm.trans_a && gemm.alpha.to_bits() == 1_f32.to_bits();
            if !plain || (node.inputs.len() > 2 && gemm.beta.to_bits() != 1_f32.to_bits()) {
                return None;
            }
            let (k, c, axis) = if gemm.trans_b { (rows, cols, 0) } else { (cols, rows, 1) };
            (true, unit_window(), 1, [k, c, 1, 1], axis)
        }
        Op::MatMul => {
            let &[c, k] = shape else { return None };
            (true, unit_window(), 1, [k, c, 1, 1], 1)
        }
        _ => return None,
    };
    let k = weight_shape[0];
    if weight.scales.len() != 1 && (weight.axis != channel_axis || weight.scales.len() != k) {
        return None;
    }
    if groups == 0 || !k.is_multiple_of(groups) || (!dense && window.kernel != weight_shape[2..]) {
        return None;
    }
    let accumulator_scales: Vec<f32> = weight.scales.iter().map(|scale| encoding.scale * scale).collect();
    let bias = bias(graph, producers, node, k, &accumulator_scales)?;
    Some(Layer {
        input,
        input_scale: encoding.scale,
        dense,
        window,
        groups,
        weight_shape,
        weight: centered(&weight, weight_shape, channel_axis)?,
        weight_scales: weight.scales.to_vec(),
        accumulator_scales,
        bias,
    })
}

/// Weight codes minus zero points, output channels outermost.
fn centered(weight: &StoredConstant<'_>, [k, c, r, s]: [usize; 4], channel_axis: usize) -> Option<Vec<i16>> {
    let codes = widened(weight.codes)?;
    let depth = c * r * s;
    let zero_point = |channel: usize| weight.zero_points[if weight.zero_points.len() == 1 { 0 } else { channel }];
    let at = |i: usize| if channel_axis == 0 { i } else { i % depth * k + i / depth };
    (0..k * depth).map(|i| i16::try_from(codes[at(i)] - zero_point(i / depth)).ok()).collect()
}

/// Biases in units of the accumulator; zeros where there are none.
fn bias(
    graph: &Graph,
    producers: &[Option<usize>],
    node: &Node,
    k: usize,
    accumulator_scales: &[f32],
) -> Option<Vec<i32>> {
    let Some(id) = node.inputs.get(2).copied().flatten() else { return Some(vec![0; k]) };
    let bias = stored_constant(graph, producers, id)?;
    let Data::I32(codes) = bias.codes.data() else { return None };
    let n_outer: usize = bias.codes.shape().iter().rev().skip(1).product();
    let of = |scales: &[f32], channel: usize| scales[if scales.len() == 1 { 0 } else { channel }];
    let agree = |channel: usize| {
        let (found, expected) = (of(bias.scales, channel), of(accumulator_scales, channel));
        (found - expected).abs() <= expected * BIAS_SCALE_TOLERANCE
    };
    let fits = codes.len() == k && n_outer == 1 && [1, k].contains(&bias.scales.len());
    (fits && bias.zero_points.iter().all(|&z| z == 0) && (0..k).all(agree)).then(|| codes.to_vec())
}

fn unit_window() -> Window {
    Window {
        kernel: vec![1, 1],
        strides: vec![1, 1],
        dilations: vec![1, 1],
        pads_begin: vec![0, 0],
        pads_end: vec![0, 0],
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
    }
}
