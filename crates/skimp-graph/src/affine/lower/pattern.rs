//! Which nodes of a QDQ network are operators on codes.

use super::layer::{Layer, layer, widened};
use crate::affine::{AffineEncoding, CodeType, MeanWindow};
use crate::ops;
use crate::{Graph, GraphError, Node, Op, PadMode, Slice, Tensor, ValueId, reference};

/// What the operator at the heart of a pattern is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Layer(Box<Layer>),
    Add,
    Mean(MeanWindow),
    /// A function of one value, or a change of encoding.
    Table(Option<Op>),
    Move(Op),
}

/// Codes in, one operator and perhaps its activation function, codes out.
#[derive(Clone, Debug)]
pub(super) struct Fused {
    /// The operator.
    pub(super) node_idx: usize,
    pub(super) kind: Kind,
    /// Values that hold codes.
    pub(super) inputs: Vec<ValueId>,
    pub(super) encoding: AffineEncoding,
    /// Bounds of the result.
    pub(super) min: i32,
    pub(super) max: i32,
}

#[derive(Debug)]
pub(super) struct Patterns {
    /// The encoding of each value that a `QuantizeLinear` makes.
    pub(super) encodings: Vec<Option<AffineEncoding>>,
    /// For each node that is a `QuantizeLinear`, the operator on codes that ends in it.
    pub(super) fused: Vec<Option<Fused>>,
    /// For each node, the layer on codes that gives real numbers.
    pub(super) real_layers: Vec<Option<Layer>>,
    producers: Vec<Option<usize>>,
}

impl Patterns {
    pub(super) fn find(graph: &Graph) -> Result<Self, GraphError> {
        let n_nodes = graph.nodes().len();
        let mut patterns = Self {
            encodings: vec![None; graph.values().len()],
            fused: vec![None; n_nodes],
            real_layers: vec![None; n_nodes],
            producers: graph.producers(),
        };
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
            if matches!(node.op, Op::QuantizeLinear(_)) {
                patterns.fused[node_idx] = patterns.fuse(graph, node, &n_uses)?;
            } else {
                patterns.real_layers[node_idx] = patterns.layer(graph, node)?;
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
    fn codes(&self, graph: &Graph, id: ValueId) -> Option<(ValueId, AffineEncoding)> {
        let node = &graph.nodes()[self.producers[id.0]?];
        let codes = node.inputs.first().copied().flatten()?;
        let made = self.encodings[codes.0]?;
        let is_dequantize = matches!(node.op, Op::DequantizeLinear(_));
        let read = encoding(graph, node, Some(made.code_type)).ok().flatten()?;
        (is_dequantize && read == made).then_some((codes, made))
    }

    fn layer(&self, graph: &Graph, node: &Node) -> Result<Option<Layer>, GraphError> {
        let input = node.inputs.first().copied().flatten().and_then(|id| self.codes(graph, id));
        match input {
            Some(input) => layer(graph, &self.producers, node, input),
            None => Ok(None),
        }
    }

    /// The operator on codes that ends in `quantize`.
    fn fuse(&self, graph: &Graph, quantize: &Node, n_uses: &[usize]) -> Result<Option<Fused>, GraphError> {
        let Some(encoding) = self.encodings[quantize.outputs[0].0] else { return Ok(None) };
        let Some(mut value) = quantize.inputs.first().copied().flatten() else { return Ok(None) };
        let (mut min, mut max) = (encoding.code_type.min(), encoding.code_type.max());
        let producer = |value: ValueId| self.producers[value.0].map(|idx| (idx, &graph.nodes()[idx]));
        if let Some((_, node)) = producer(value)
            && n_uses[value.0] == 1
            && let Some((low, high)) = bounds(&node.op)
            && let Some(before) = node.inputs[0]
        {
            // Requantization is monotone, so that a clip of real numbers is a clip of codes.
            max = high.map_or(max, |high| encoding.quantize(high));
            min = low.map_or(min, |low| encoding.quantize(low)).min(max);
            value = before;
        }
        if let Some((codes, _)) = self.codes(graph, value) {
            let node_idx = self.producers[value.0].unwrap_or_default();
            let inputs = vec![codes];
            return Ok(Some(Fused { node_idx, kind: Kind::Table(None), inputs, encoding, min, max }));
        }
        let Some((node_idx, node)) = producer(value).filter(|_| n_uses[value.0] == 1) else { return Ok(None) };
        let codes: Option<Vec<ValueId>> = node
            .inputs
            .iter()
            .map(|input| input.and_then(|id| self.codes(graph, id)).map(|(codes, _)| codes))
            .collect();
        let kind = match self.layer(graph, node)? {
            Some(layer) => {
                let inputs = vec![layer.input];
                let kind = Kind::Layer(Box::new(layer));
                return Ok(Some(Fused { node_idx, kind, inputs, encoding, min, max }));
            }
            None => kind(node, value),
        };
        Ok(match (kind, codes) {
            (Some(kind), Some(inputs)) if !inputs.is_empty() => {
                Some(Fused { node_idx, kind, inputs, encoding, min, max })
            }
            _ => None,
        })
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

/// What `node` is on codes, as far as its operator decides; `value` is the output in question.
fn kind(node: &Node, value: ValueId) -> Option<Kind> {
    Some(match &node.op {
        Op::Add => Kind::Add,
        Op::GlobalAveragePool => Kind::Mean(MeanWindow::Global { keep_dims: true }),
        Op::AveragePool(ops::AveragePool { window, count_include_pad }) => {
            Kind::Mean(MeanWindow::Window { window: window.clone(), count_include_pad: *count_include_pad })
        }
        Op::ReduceMean(ops::ReduceMean { axes, keep_dims }) if is_spatial(axes) => {
            Kind::Mean(MeanWindow::Global { keep_dims: *keep_dims })
        }
        Op::LeakyRelu(_) | Op::Sigmoid | Op::HardSigmoid(_) | Op::HardSwish | Op::Tanh => {
            Kind::Table(Some(node.op.clone()))
        }
        Op::MaxPool(_)
        | Op::Concat(_)
        | Op::Slice(_)
        | Op::Flatten(_)
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Squeeze(_)
        | Op::Unsqueeze(_)
        | Op::Dropout(_)
        | Op::Identity => Kind::Move(node.op.clone()),
        Op::Pad(pad) if pad.mode != PadMode::Constant || pad.value.is_finite() => Kind::Move(node.op.clone()),
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
        // Other operators stay in floating point.
        _ => return None,
    })
}

/// Whether `axes` are the spatial ones of `[n, c, h, w]`; the rank is checked at run time.
fn is_spatial(axes: &[i64]) -> bool {
    let mut axes: Vec<i64> = axes.iter().map(|&axis| if axis < 0 { axis + 4 } else { axis }).collect();
    axes.sort_unstable();
    axes == [2, 3]
}

/// The encoding that a conversion between reals and codes states, if it has 8 bits and one constant scale.
fn encoding(graph: &Graph, node: &Node, code_type: Option<CodeType>) -> Result<Option<AffineEncoding>, GraphError> {
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
    Ok(Some(AffineEncoding { code_type, scale, zero_point }))
}

/// The result for every code of `from`: dequantized, `function` applied, quantized, and clamped.
pub(super) fn table(
    function: Option<&Op>,
    from: &AffineEncoding,
    to: &AffineEncoding,
    min: i32,
    max: i32,
) -> Result<Box<[i32; 256]>, GraphError> {
    let least = from.code_type.min();
    let reals: Vec<f32> = (least..=from.code_type.max()).map(|code| from.dequantize(code)).collect();
    let results = match function {
        None => reals,
        Some(op) => {
            let input = Tensor::from_f32(vec![256], reals);
            let outputs = reference::evaluate(op, op.name(), &[Some(&input)])?;
            outputs.into_iter().next().and_then(Tensor::into_f32).unwrap_or_default()
        }
    };
    let mut table = Box::new([0; 256]);
    for (entry, real) in table.iter_mut().zip(results) {
        *entry = to.quantize(real).clamp(min, max);
    }
    Ok(table)
}

/// A moving operator on codes: what pads is the code of the real number that pads.
pub(super) fn on_codes(op: &Op, encoding: &AffineEncoding) -> Op {
    match op {
        Op::Pad(pad) => {
            let mut pad = pad.clone();
            pad.value = encoding.quantize(pad.value) as f32;
            Op::Pad(pad)
        }
        other => other.clone(),
    }
}
