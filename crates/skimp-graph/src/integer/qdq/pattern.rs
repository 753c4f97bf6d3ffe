//! Which nodes of a QDQ network are operators on codes.

use std::sync::Arc;

use super::layer::{Layer, layer, stored_constant, widened};
use super::widths::{Widths, codes_between};
use crate::integer::{Activation, CodeType, Encoding, IntegerOp, moves_codes};
use crate::ops;
use crate::shape::{Shapes, infer};
use crate::{Dim, Graph, GraphError, GraphInput, Node, Op, Slice, Tensor, ValueId, Window, reference};

/// What the operator at the heart of a pattern is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Layer(Box<Layer>),
    Add,
    /// Of two values.
    Product,
    Mean(MeanWindow),
    /// A function of one value, or a change of encoding.
    Table(Option<Op>),
    Move(Op),
}

/// What a mean runs over.
#[derive(Clone, Debug)]
pub(super) struct MeanWindow {
    /// `None`: all spatial positions.
    pub(super) window: Option<Window>,
    pub(super) count_include_pad: bool,
    /// Whether the spatial axes stay.
    pub(super) keep_dims: bool,
}

/// Codes in, one operator and perhaps its activation function, codes out.
#[derive(Clone, Debug)]
pub(super) struct Fused {
    /// The operator.
    pub(super) node_idx: usize,
    pub(super) kind: Kind,
    /// Values that hold codes.
    pub(super) inputs: Vec<ValueId>,
    pub(super) encoding: Encoding,
    pub(super) activation: Activation,
}

impl Fused {
    /// Bounds of the result.
    pub(super) fn range(&self) -> (i32, i32) {
        let encoding = &self.encoding;
        match self.activation {
            Activation::Clamp { min, max } => (min, max),
            Activation::Relu => (encoding.zero_point, encoding.max_code()),
            Activation::None | Activation::Sign => (encoding.min_code(), encoding.max_code()),
        }
    }
}

#[derive(Debug)]
pub(super) struct Patterns {
    /// The encoding of each value that a `QuantizeLinear` makes.
    pub(super) encodings: Vec<Option<Encoding>>,
    /// For each node that is a `QuantizeLinear`, the operator on codes that ends in it.
    pub(super) fused: Vec<Option<Fused>>,
    /// For each node that ends a layer on codes that gives real numbers, the layer's own node and the layer.
    pub(super) real_layers: Vec<Option<(usize, Layer)>>,
    /// For each node that is a `Clip` of codes alone (QCDQ form), the `QuantizeLinear` that makes them: the two are one
    /// conversion to fewer codes.
    pub(super) clips: Vec<Option<usize>>,
    producers: Vec<Option<usize>>,
    widths: Widths,
    /// Shapes of all values, open extents chosen freely: for ranks. Only where some operator needs them.
    shapes: Option<Shapes>,
}

impl Patterns {
    pub(super) fn find(graph: &Graph, widths: Widths) -> Result<Self, GraphError> {
        let n_nodes = graph.nodes().len();
        let mut patterns = Self {
            encodings: vec![None; graph.values().len()],
            fused: vec![None; n_nodes],
            real_layers: vec![None; n_nodes],
            clips: vec![None; n_nodes],
            producers: graph.producers(),
            shapes: None,
            widths,
        };
        if graph.nodes().iter().any(|node| matches!(node.op, Op::ReduceMean(_))) {
            patterns.shapes = shapes(graph);
        }
        for node in graph.nodes() {
            if matches!(node.op, Op::QuantizeLinear(_)) {
                patterns.encodings[node.outputs[0].0] = encoding(graph, node, None)?;
            }
        }
        let mut n_uses = vec![0_usize; graph.values().len()];
        for id in graph.nodes().iter().flat_map(|node| node.inputs.iter().flatten()).chain(graph.outputs()) {
            n_uses[id.0] += 1;
        }
        for (node_idx, node) in graph.nodes().iter().enumerate() {
            if let Some((quantize, encoding)) = patterns.clip(node, &n_uses) {
                patterns.clips[node_idx] = Some(quantize);
                patterns.encodings[node.outputs[0].0] = Some(encoding);
            }
        }
        for (node_idx, node) in graph.nodes().iter().enumerate() {
            if let Some(quantize) = patterns.clips[node_idx] {
                let encoding = patterns.encodings[node.outputs[0].0];
                patterns.fused[node_idx] = patterns.fuse(graph, &graph.nodes()[quantize], encoding, &n_uses);
            } else if matches!(node.op, Op::QuantizeLinear(_)) {
                let encoding = patterns.encodings[node.outputs[0].0];
                patterns.fused[node_idx] = patterns.fuse(graph, node, encoding, &n_uses);
            } else {
                let layer = patterns.layer(graph, node).map(|layer| (node_idx, layer));
                patterns.real_layers[node_idx] = layer.or_else(|| patterns.biased(graph, node, &n_uses));
            }
        }
        Ok(patterns)
    }

    /// Whether the `DequantizeLinear` at `node_idx` undoes the `QuantizeLinear` before it.
    pub(super) fn is_inverse(&self, graph: &Graph, node_idx: usize) -> bool {
        let node = &graph.nodes()[node_idx];
        node.outputs.first().is_some_and(|&output| self.codes(graph, output).is_some())
    }

    /// The codes that `id` dequantizes.
    fn codes(&self, graph: &Graph, id: ValueId) -> Option<(ValueId, Encoding)> {
        let node = &graph.nodes()[self.producers[id.0]?];
        let codes = node.inputs.first().copied().flatten()?;
        let made = self.encodings[codes.0]?;
        let is_dequantize = matches!(node.op, Op::DequantizeLinear(_));
        let read = encoding(graph, node, Some(made.code_type())).ok().flatten()?;
        // Fewer codes of the same type may be read.
        let same = Encoding { bits: made.bits, narrow: made.narrow, ..read } == made;
        (is_dequantize && same).then_some((codes, made))
    }

    fn rank(&self, id: Option<ValueId>) -> Option<usize> {
        Some(self.shapes.as_ref()?.get(id?)?.shape.len())
    }

    fn layer(&self, graph: &Graph, node: &Node) -> Option<Layer> {
        let input = node.inputs.first().copied().flatten().and_then(|id| self.codes(graph, id))?;
        layer(graph, &self.producers, node, input, &self.widths)
    }

    /// The `QuantizeLinear` before a `Clip` of its codes, which nobody else reads, and the encoding of what the clip leaves.
    fn clip(&self, node: &Node, n_uses: &[usize]) -> Option<(usize, Encoding)> {
        let Op::Clip(ops::Clip { min: Some(min), max: Some(max) }) = node.op else { return None };
        let codes = node.inputs.first().copied().flatten()?;
        let whole = self.encodings[codes.0].filter(|_| n_uses[codes.0] == 1)?;
        let (bits, signed, narrow) = codes_between(min, max)?;
        let encoding = Encoding { bits, narrow, ..whole };
        let fits = signed == whole.signed
            && whole.min_code() <= encoding.min_code()
            && encoding.max_code() <= whole.max_code()
            && (encoding.min_code()..=encoding.max_code()).contains(&encoding.zero_point);
        Some((self.producers[codes.0]?, encoding)).filter(|_| fits)
    }

    /// The layer behind `value`, with a batch normalization that alone reads it.
    fn normalized(&self, graph: &Graph, node: &Node, n_uses: &[usize]) -> Option<(usize, Layer)> {
        let Op::BatchNormalization(ops::BatchNormalization { epsilon }) = node.op else { return None };
        let value = node.inputs.first().copied().flatten().filter(|value| n_uses[value.0] == 1)?;
        let node_idx = self.producers[value.0]?;
        let layer = self.layer(graph, &graph.nodes()[node_idx])?;
        let part = |i: usize| graph.constant(node.inputs.get(i).copied().flatten()?)?.as_f32();
        let (scale, bias, mean, variance) = (part(1)?, part(2)?, part(3)?, part(4)?);
        let factor =
            |(&scale, &variance): (&f32, &f32)| f64::from(scale) / (f64::from(variance) + f64::from(epsilon)).sqrt();
        let factors: Vec<f64> = scale.iter().zip(variance).map(factor).collect();
        let shift = |((&bias, &mean), factor): ((&f32, &f32), &f64)| f64::from(bias) - factor * f64::from(mean);
        let shifts: Vec<f64> = bias.iter().zip(mean).zip(&factors).map(shift).collect();
        let usable = |&factor: &f64| (1e-30..1e30).contains(&factor.abs());
        factors
            .iter()
            .all(usable)
            .then(|| layer.with_affine(&factors, &shifts))
            .flatten()
            .map(|layer| (node_idx, layer))
    }

    /// The MatMul whose columns `node` alone adds constants to.
    fn biased(&self, graph: &Graph, node: &Node, n_uses: &[usize]) -> Option<(usize, Layer)> {
        let Op::Add = node.op else { return None };
        let (a, b) = (node.inputs.first().copied().flatten()?, node.inputs.get(1).copied().flatten()?);
        let addend = |id: ValueId| constant_row(graph, &self.producers, id);
        let (value, addend) = addend(b).map(|row| (a, row)).or_else(|| addend(a).map(|row| (b, row)))?;
        let node_idx = self.producers[value.0].filter(|_| n_uses[value.0] == 1)?;
        let node = &graph.nodes()[node_idx];
        let layer = self.layer(graph, node).filter(|_| matches!(node.op, Op::MatMul))?;
        Some((node_idx, layer.with_affine(&vec![1.0; addend.len()], &addend)?))
    }

    /// The operator on codes that ends in `quantize`, whose codes are under `encoding`.
    fn fuse(&self, graph: &Graph, quantize: &Node, encoding: Option<Encoding>, n_uses: &[usize]) -> Option<Fused> {
        let encoding = encoding?;
        let mut value = quantize.inputs.first().copied().flatten()?;
        let mut activation = Activation::None;
        let producer = |value: ValueId| self.producers[value.0].map(|idx| (idx, &graph.nodes()[idx]));
        if let Some((_, node)) = producer(value)
            && n_uses[value.0] == 1
            && let Some(bounds) = bounds(&node.op)
            && let Some(before) = node.inputs[0]
        {
            // Requantization is monotone, so that a clip of real numbers is a clip of codes.
            activation = clipped(bounds, &encoding);
            value = before;
        }
        if let Some((codes, _)) = self.codes(graph, value) {
            let node_idx = self.producers[value.0].unwrap_or_default();
            return Some(Fused { node_idx, kind: Kind::Table(None), inputs: vec![codes], encoding, activation });
        }
        let (node_idx, node) = producer(value).filter(|_| n_uses[value.0] == 1)?;
        if let Some(layer) = self.layer(graph, node) {
            let inputs = vec![layer.input];
            return Some(Fused { node_idx, kind: Kind::Layer(Box::new(layer)), inputs, encoding, activation });
        }
        if let Some((node_idx, layer)) = self.normalized(graph, node, n_uses) {
            let inputs = vec![layer.input];
            return Some(Fused { node_idx, kind: Kind::Layer(Box::new(layer)), inputs, encoding, activation });
        }
        if let Some((node_idx, layer)) = self.biased(graph, node, n_uses) {
            let inputs = vec![layer.input];
            return Some(Fused { node_idx, kind: Kind::Layer(Box::new(layer)), inputs, encoding, activation });
        }
        let kind = kind(node, value, |id| self.rank(id))?;
        let inputs: Vec<ValueId> = node
            .inputs
            .iter()
            .map(|input| input.and_then(|id| self.codes(graph, id)).map(|(codes, _)| codes))
            .collect::<Option<_>>()?;
        (!inputs.is_empty()).then_some(Fused { node_idx, kind, inputs, encoding, activation })
    }
}

/// The real numbers of a constant of one axis, stored as they are or behind a `DequantizeLinear`.
fn constant_row(graph: &Graph, producers: &[Option<usize>], id: ValueId) -> Option<Vec<f64>> {
    if let Some(tensor) = graph.constant(id) {
        let reals = tensor.as_f32().filter(|reals| tensor.shape().len() == 1 && reals.iter().all(|x| x.is_finite()))?;
        return Some(reals.iter().copied().map(f64::from).collect());
    }
    let stored = stored_constant(graph, producers, id).filter(|stored| stored.codes.shape().len() == 1)?;
    let of = |list_len: usize, i: usize| if list_len == 1 { 0 } else { i };
    let real = |(i, code): (usize, i32)| {
        let zero_point = stored.zero_points[of(stored.zero_points.len(), i)];
        (f64::from(code) - f64::from(zero_point)) * f64::from(stored.scales[of(stored.scales.len(), i)])
    };
    Some(widened(stored.codes)?.into_iter().enumerate().map(real).collect())
}

/// A clip of real numbers as one of codes.
fn clipped((low, high): (Option<f32>, Option<f32>), encoding: &Encoding) -> Activation {
    let max = high.map_or(encoding.max_code(), |high| encoding.quantize(high));
    let min = low.map_or(encoding.min_code(), |low| encoding.quantize(low)).min(max);
    match (min == encoding.zero_point, max == encoding.max_code()) {
        (true, true) => Activation::Relu,
        _ => Activation::Clamp { min, max },
    }
}

/// The bounds of an activation function that only clips.
fn bounds(op: &Op) -> Option<(Option<f32>, Option<f32>)> {
    match op {
        Op::Relu => Some((Some(0.0), None)),
        Op::Clip(ops::Clip { min, max }) if !min.is_some_and(f32::is_nan) && !max.is_some_and(f32::is_nan) => {
            Some((*min, *max))
        }
        _ => None,
    }
}

/// Shapes for one image, with open extents of 224 pixels or elements.
fn shapes(graph: &Graph) -> Option<Shapes> {
    const OPEN: usize = 224;
    let extent = |(axis, dim): (usize, &Dim)| match dim {
        Dim::Fixed(extent) => *extent,
        Dim::Free(_) if axis == 0 => 1,
        Dim::Free(_) => OPEN,
    };
    let input = |input: &GraphInput| input.dims.iter().enumerate().map(extent).collect();
    infer(graph, &graph.inputs().iter().map(input).collect::<Vec<Vec<usize>>>()).ok()
}

/// What `node` is on codes, as far as its operator decides; `value` is the output in question.
fn kind(node: &Node, value: ValueId, rank: impl Fn(Option<ValueId>) -> Option<usize>) -> Option<Kind> {
    Some(match &node.op {
        Op::Add => Kind::Add,
        Op::MatMul => Kind::Product,
        Op::GlobalAveragePool => Kind::Mean(MeanWindow { window: None, count_include_pad: false, keep_dims: true }),
        Op::AveragePool(ops::AveragePool { window, count_include_pad }) => {
            let (window, count_include_pad) = (Some(window.clone()), *count_include_pad);
            Kind::Mean(MeanWindow { window, count_include_pad, keep_dims: true })
        }
        Op::ReduceMean(mean) if mean.is_spatial(4) && rank(node.inputs.first().copied().flatten()) == Some(4) => {
            Kind::Mean(MeanWindow { window: None, count_include_pad: false, keep_dims: mean.keep_dims })
        }
        Op::LeakyRelu(_) | Op::Sigmoid | Op::HardSigmoid(_) | Op::HardSwish | Op::Tanh => {
            Kind::Table(Some(node.op.clone()))
        }
        Op::Split(ops::Split { axis, sizes }) => {
            let piece = node.outputs.iter().position(|&output| output == value)?;
            let start = sizes.get(..piece)?.iter().sum::<usize>();
            let end = start + sizes.get(piece)?;
            let bound = |extent: usize| i64::try_from(extent).ok();
            Kind::Move(Op::Slice(Slice {
                axes: vec![*axis],
                starts: vec![bound(start)?],
                ends: vec![bound(end)?],
                steps: vec![1],
            }))
        }
        op if moves_codes(op) => Kind::Move(op.clone()),
        // Other operators stay in floating point.
        _ => return None,
    })
}

/// The encoding that a conversion between reals and codes states, if it has one constant scale.
fn encoding(graph: &Graph, node: &Node, code_type: Option<CodeType>) -> Result<Option<Encoding>, GraphError> {
    let constant = |i: usize| node.inputs.get(i).copied().flatten().map(|id| graph.constant(id));
    let Some(Some(&[scale])) = constant(1).map(|tensor| tensor.and_then(Tensor::as_f32)) else { return Ok(None) };
    let (code_type, zero_point) = match constant(2) {
        None => (code_type.unwrap_or_default(), 0),
        Some(None) => return Ok(None),
        Some(Some(tensor)) => match (CodeType::of(tensor.dtype()), widened(tensor).as_deref()) {
            (Some(code_type), Some(&[zero_point])) => (code_type, zero_point),
            _ => return Ok(None),
        },
    };
    if !(scale > 0.0 && scale.is_finite()) {
        let cause = format!("the scale is {scale}, expected a positive finite number");
        return Err(GraphError::invalid_node(&node.name, node.op.name(), cause));
    }
    Ok(Some(code_type.encoding(scale, zero_point)))
}

/// The result for every code of `from`: dequantized, `function` applied, quantized, and clamped.
pub(super) fn table(
    function: Option<&Op>,
    from: &Encoding,
    to: &Encoding,
    (min, max): (i32, i32),
) -> Result<Arc<[i32]>, GraphError> {
    let reals: Vec<f32> = (from.min_code()..=from.max_code()).map(|code| from.dequantize(code)).collect();
    let results = match function {
        None => reals,
        Some(op) => {
            let input = Tensor::from_f32(vec![reals.len()], reals);
            let outputs = reference::evaluate(op, op.name(), &[Some(&input)])?;
            outputs.into_iter().next().and_then(Tensor::into_f32).unwrap_or_default()
        }
    };
    Ok(results.into_iter().map(|real| to.quantize(real).clamp(min, max)).collect())
}

/// A moving operator on codes: what pads is the code of the real number that pads.
pub(super) fn on_codes(op: &Op, encoding: &Encoding) -> IntegerOp {
    match op {
        Op::MaxPool(ops::MaxPool { window }) => IntegerOp::MaxPool(Some(window.clone())),
        Op::Concat(ops::Concat { axis }) => IntegerOp::Concat { axis: *axis },
        Op::Slice(slice) => IntegerOp::Slice(slice.clone()),
        Op::Pad(pad) => IntegerOp::Pad { pad: pad.clone(), code: encoding.quantize(pad.value) },
        other => IntegerOp::Move(other.clone()),
    }
}
