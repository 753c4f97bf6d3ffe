//! Layers with weights as codes.

use std::sync::Arc;

use skimp_numerics::{Requantization, Requantizer};

use crate::integer::{Activation, CodeType, Encoding, MacLayer, MacLayout, MacOutput};
use crate::ops;
use crate::shape::normalized_axis;
use crate::{AutoPad, Data, Graph, Node, Op, Tensor, ValueId, Window};

/// Bias scales may differ from `scale(input) · scale(weight)` by rounding only.
const BIAS_SCALE_TOLERANCE: f32 = 1e-5;

/// A convolution or dense layer on codes.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) input: ValueId,
    encoding: Encoding,
    layout: MacLayout,
    window: Window,
    groups: usize,
    weight_shape: [usize; 4],
    weight: Arc<[i32]>,
    weight_bits: u32,
    weight_scales: Vec<f32>,
    bias: Vec<i32>,
}

impl Layer {
    /// The layer with codes under `output`.
    pub(super) fn with_codes(
        &self,
        rounding: Requantization,
        output: &Encoding,
        activation: Activation,
    ) -> Result<MacLayer, String> {
        let factor = |weight_scale: f32| match rounding {
            Requantization::Float => f64::from(self.encoding.scale as f32 * weight_scale / output.scale as f32),
            Requantization::Gemmlowp | Requantization::Single | Requantization::Exact => {
                self.encoding.scale * f64::from(weight_scale) / output.scale
            }
        };
        let requantizer = |&scale: &f32| {
            let factor = factor(scale);
            Requantizer::new(rounding, factor).ok_or_else(|| format!("a scaling by {factor:e} is out of range"))
        };
        let requantizers = self.weight_scales.iter().map(requantizer).collect::<Result<_, _>>()?;
        Ok(self.with(MacOutput::Codes(requantizers), activation))
    }

    /// The layer with real numbers straight from its accumulators.
    pub(super) fn with_reals(&self) -> MacLayer {
        let scale = self.encoding.scale as f32;
        let scales = self.weight_scales.iter().map(|weight_scale| scale * weight_scale).collect();
        self.with(MacOutput::RealSingle(scales), Activation::None)
    }

    fn with(&self, output: MacOutput, activation: Activation) -> MacLayer {
        MacLayer {
            layout: self.layout,
            zero_point: self.encoding.zero_point,
            input_offset: -self.encoding.zero_point,
            window: self.window.clone(),
            groups: self.groups,
            weight_shape: self.weight_shape,
            weight: Arc::clone(&self.weight),
            weight_bits: self.weight_bits,
            weight_scales: self.weight_scales.iter().copied().map(f64::from).collect(),
            bias: self.bias.iter().copied().map(i64::from).collect(),
            residual: None,
            activation,
            output,
        }
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
        Data::U16(x) => Some(x.iter().copied().map(i32::from).collect()),
        Data::I16(x) => Some(x.iter().copied().map(i32::from).collect()),
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
pub(super) fn layer(
    graph: &Graph,
    producers: &[Option<usize>],
    node: &Node,
    (input, encoding): (ValueId, Encoding),
) -> Option<Layer> {
    let weight = stored_constant(graph, producers, node.inputs.get(1).copied().flatten()?)?;
    let code_type = CodeType::of(weight.codes.dtype())?;
    if weight.codes.is_empty() {
        return None;
    }
    let shape = weight.codes.shape();
    let (layout, window, groups, weight_shape, channel_axis) = match &node.op {
        Op::Conv(ops::Conv { window, groups }) => {
            let shape: [usize; 4] = shape.try_into().ok()?;
            (MacLayout::Planes, window.clone(), *groups, shape, 0)
        }
        Op::Gemm(gemm) => {
            let &[rows, cols] = shape else { return None };
            let plain = !gemm.trans_a && gemm.alpha.to_bits() == 1_f32.to_bits();
            if !plain || (node.inputs.len() > 2 && gemm.beta.to_bits() != 1_f32.to_bits()) {
                return None;
            }
            let (k, c, axis) = if gemm.trans_b { (rows, cols, 0) } else { (cols, rows, 1) };
            (MacLayout::Rows, unit_window(), 1, [k, c, 1, 1], axis)
        }
        Op::MatMul => {
            let &[c, k] = shape else { return None };
            (MacLayout::Rows, unit_window(), 1, [k, c, 1, 1], 1)
        }
        _ => return None,
    };
    let k = weight_shape[0];
    if weight.scales.len() != 1 && (weight.axis != channel_axis || weight.scales.len() != k) {
        return None;
    }
    if groups == 0 || !k.is_multiple_of(groups) || window.kernel != weight_shape[2..] {
        return None;
    }
    let scale = encoding.scale as f32;
    let accumulator_scales: Vec<f32> = weight.scales.iter().map(|weight_scale| scale * weight_scale).collect();
    let bias = bias(graph, producers, node, k, &accumulator_scales)?;
    let codes = centered(&weight, weight_shape, channel_axis)?;
    let of_type = code_type.encoding(1.0, 0).bits;
    let is_symmetric = codes.iter().all(|w| w.unsigned_abs() < 1 << (of_type - 1));
    Some(Layer {
        input,
        encoding,
        layout,
        window,
        groups,
        weight_shape,
        weight: codes,
        weight_bits: if is_symmetric { of_type } else { of_type + 1 },
        weight_scales: weight.scales.to_vec(),
        bias,
    })
    .filter(|layer| layer.weight_bits <= 16)
}

/// Weight codes minus zero points, output channels outermost.
fn centered(weight: &StoredConstant<'_>, [k, c, r, s]: [usize; 4], channel_axis: usize) -> Option<Arc<[i32]>> {
    let codes = widened(weight.codes)?;
    let depth = c * r * s;
    let zero_point = |channel: usize| weight.zero_points[if weight.zero_points.len() == 1 { 0 } else { channel }];
    let at = |i: usize| if channel_axis == 0 { i } else { i % depth * k + i / depth };
    Some((0..k * depth).map(|i| codes[at(i)] - zero_point(i / depth)).collect())
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
