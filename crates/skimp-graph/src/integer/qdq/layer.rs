//! Layers with weights as codes.

use std::sync::Arc;

use skimp_numerics::{Requantization, Requantizer};

use super::widths::Widths;
use crate::integer::{Activation, CodeType, Encoding, MacLayer, MacLayout, MacOutput};
use crate::ops;
use crate::shape::normalized_axis;
use crate::{Data, Graph, Node, Op, Tensor, ValueId, Window};

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
    bias: Vec<i64>,
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

    /// The layer followed by `y · factors[k] + shifts[k]`; `None` where a factor cannot be part of a scale. A negative one
    /// turns the weights of its channel over.
    ///
    /// # Rounding
    /// Scales in f32; shifts half to even at accumulator scale.
    pub(super) fn with_affine(mut self, factors: &[f64], shifts: &[f64]) -> Option<Self> {
        let k = self.weight_shape[0];
        if factors.len() != k || shifts.len() != k {
            return None;
        }
        let depth: usize = self.weight_shape[1..].iter().product();
        let of = |k: usize| self.weight_scales[if self.weight_scales.len() == 1 { 0 } else { k }];
        let scales: Vec<f32> = (0..k).map(|k| (f64::from(of(k)) * factors[k].abs()) as f32).collect();
        let mut weight = self.weight.to_vec();
        for (k, channel) in weight.chunks_mut(depth.max(1)).enumerate() {
            let shift = at_accumulator_scale(shifts[k], self.encoding.scale * f64::from(scales[k]))?;
            if factors[k] < 0.0 {
                channel.iter_mut().for_each(|w| *w = -*w);
                self.bias[k] = -self.bias[k];
            }
            self.bias[k] += shift;
        }
        (self.weight, self.weight_scales) = (weight.into(), scales);
        Some(self)
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
            bias: self.bias.clone(),
            residual: None,
            activation,
            output,
        }
    }
}

/// A real number in units of an accumulator; `None` where it is no number of at most 46 bits.
fn at_accumulator_scale(real: f64, scale: f64) -> Option<i64> {
    const LIMIT: f64 = (1_u64 << 46) as f64;
    let units = (real / scale).round_ties_even();
    (units.abs() <= LIMIT).then_some(units as i64)
}

/// A constant behind a `DequantizeLinear`.
pub(super) struct StoredConstant<'g> {
    pub(super) codes: &'g Tensor,
    /// Their name.
    name: &'g str,
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
    let id = input(0)?;
    let codes = graph.constant(id)?;
    let name = graph.value(id).name.as_str();
    let scales = graph.constant(input(1)?)?.as_f32()?;
    let zero_points = match input(2) {
        Some(id) => widened(graph.constant(id)?)?,
        None => vec![0; scales.len()],
    };
    let axis = if scales.len() == 1 { 0 } else { normalized_axis(axis, codes.shape().len()).ok()? };
    let fits = zero_points.len() == scales.len() && scales.iter().all(|s| *s > 0.0 && s.is_finite());
    fits.then_some(StoredConstant { codes, name, scales, zero_points, axis })
}

/// The layer behind `node`, whose first input holds the codes `input`; `None` if it is no layer on codes.
pub(super) fn layer(
    graph: &Graph,
    producers: &[Option<usize>],
    node: &Node,
    (input, encoding): (ValueId, Encoding),
    widths: &Widths,
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
            (MacLayout::Rows, Window::pointwise(2), 1, [k, c, 1, 1], axis)
        }
        Op::MatMul => {
            let &[c, k] = shape else { return None };
            (MacLayout::Rows, Window::pointwise(2), 1, [k, c, 1, 1], 1)
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
    let stated = widths.get(&node.name, weight.name).unwrap_or(of_type);
    let most = codes.iter().map(|w| w.unsigned_abs()).max().unwrap_or(0);
    Some(Layer {
        input,
        encoding,
        layout,
        window,
        groups,
        weight_shape,
        weight: codes,
        // The least width from the stated one on that holds the weights and their negatives.
        weight_bits: (stated.clamp(2, of_type)..=of_type).find(|bits| most < 1 << (bits - 1)).unwrap_or(of_type + 1),
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

/// Biases in units of the accumulator; zeros where there are none. Real ones are rounded half to even.
fn bias(
    graph: &Graph,
    producers: &[Option<usize>],
    node: &Node,
    k: usize,
    accumulator_scales: &[f32],
) -> Option<Vec<i64>> {
    let Some(id) = node.inputs.get(2).copied().flatten() else { return Some(vec![0; k]) };
    if let Some(tensor) = graph.constant(id) {
        let n_outer: usize = tensor.shape().iter().rev().skip(1).product();
        let reals = tensor.as_f32().filter(|reals| reals.len() == k && n_outer == 1)?;
        let scale = |k: usize| f64::from(accumulator_scales[if accumulator_scales.len() == 1 { 0 } else { k }]);
        return reals.iter().enumerate().map(|(k, &b)| at_accumulator_scale(f64::from(b), scale(k))).collect();
    }
    let bias = stored_constant(graph, producers, id)?;
    let Data::I32(codes) = bias.codes.data() else { return None };
    let n_outer: usize = bias.codes.shape().iter().rev().skip(1).product();
    let of = |scales: &[f32], channel: usize| scales[if scales.len() == 1 { 0 } else { channel }];
    let agree = |channel: usize| {
        let (found, expected) = (of(bias.scales, channel), of(accumulator_scales, channel));
        (found - expected).abs() <= expected * BIAS_SCALE_TOLERANCE
    };
    let fits = codes.len() == k && n_outer == 1 && [1, k].contains(&bias.scales.len());
    (fits && bias.zero_points.iter().all(|&z| z == 0) && (0..k).all(agree))
        .then(|| codes.iter().copied().map(i64::from).collect())
}
