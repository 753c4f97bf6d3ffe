//! From a network in QDQ form to an 8-bit network.

mod layer;
mod pattern;

use std::collections::BTreeMap;

use skimp_numerics::Requantization;

use self::layer::Layer;
use self::pattern::{Fused, Kind, Patterns};
use super::{
    AffineEncoding, AffineGraph, AffineNode, AffineOp, AffineValue, LayerOutput, MeanRule, ROUNDING_KEY,
    types::AffineLayer,
};
use crate::{Graph, GraphError, Op, ValueId, rewrite};

/// Whether a network stores values as codes, so that [`lower`] finds something to do.
pub fn is_quantized(graph: &Graph) -> bool {
    graph.nodes().iter().any(|node| matches!(node.op, Op::QuantizeLinear(_)))
}

/// Turns a network in QDQ form into one that computes on 8-bit codes.
///
/// An operator whose inputs come from `DequantizeLinear` and whose output goes, possibly through a Relu or Clip, into
/// one `QuantizeLinear` becomes an operator on codes:
///
/// - Conv, Gemm and MatMul with constant 8-bit weights (per tensor or per output channel, any zero point) and an int32
///   bias at the accumulator's scale. Without a `QuantizeLinear` behind it, such a layer gives real numbers straight
///   from its accumulators.
/// - Add; AveragePool, GlobalAveragePool and a ReduceMean over the spatial axes.
/// - MaxPool, Concat, Split, Slice, Pad and reshapes; inputs under another encoding than the output's are brought to it
///   first, by a table.
/// - Relu, Clip, LeakyRelu, Sigmoid, HardSigmoid, HardSwish and Tanh of one value, and a mere change of encoding: a
///   table of 256 codes.
///
/// Everything else runs on real numbers, between conversions ([`AffineGraph::float_nodes`]).
///
/// # Rounding
/// The network's metadata names the [`Requantization`] under [`ROUNDING_KEY`]; without an entry it is [`Requantization::Float`].
/// Tables hold `QuantizeLinear(f(DequantizeLinear(code)))` in f32 in every mode; so TensorFlow Lite does it too.
///
/// # Errors
/// [`GraphError::InvalidGraph`] for an unknown rounding, [`GraphError::InvalidNode`] for a scale that is not a positive
/// number, or a layer whose accumulators may exceed 32 bits.
pub fn lower(graph: &Graph) -> Result<AffineGraph, GraphError> {
    let rounding = match graph.metadata(ROUNDING_KEY) {
        None => Requantization::default(),
        Some(name) => Requantization::parse(name).ok_or_else(|| {
            let known = Requantization::ALL.map(Requantization::name).join(", ");
            let cause = format!("metadata {ROUNDING_KEY} is \"{name}\", expected one of {known}");
            GraphError::InvalidGraph { graph: graph.name().to_owned(), cause }
        })?,
    };
    let graph = rewrite::simplify(graph);
    let patterns = Patterns::find(&graph)?;
    let needed = needed(&graph, &patterns);
    let mut lowering = Lowering {
        graph: &graph,
        patterns: &patterns,
        rounding,
        ids: BTreeMap::new(),
        values: Vec::new(),
        nodes: Vec::new(),
    };
    for input in graph.inputs() {
        lowering.value(input.value, None);
    }
    for node_idx in 0..graph.nodes().len() {
        if graph.nodes()[node_idx].outputs.iter().any(|output| needed[output.0]) {
            lowering.node(node_idx)?;
        }
    }
    let mut inputs = graph.inputs().to_vec();
    for input in &mut inputs {
        input.value = lowering.id(input.value);
    }
    let outputs = graph.outputs().iter().map(|&output| lowering.id(output)).collect();
    let Lowering { values, nodes, .. } = lowering;
    Ok(AffineGraph { name: graph.name().to_owned(), rounding, inputs, outputs, values, nodes })
}

/// The values that the 8-bit network computes: an operator on codes skips those between its conversions.
fn needed(graph: &Graph, patterns: &Patterns) -> Vec<bool> {
    let mut needed = vec![false; graph.values().len()];
    for output in graph.outputs() {
        needed[output.0] = true;
    }
    for (node_idx, node) in graph.nodes().iter().enumerate().rev() {
        if !node.outputs.iter().any(|output| needed[output.0]) {
            continue;
        }
        match (&patterns.fused[node_idx], &patterns.real_layers[node_idx]) {
            (Some(fused), _) => fused.inputs.iter().for_each(|input| needed[input.0] = true),
            (None, Some(layer)) => needed[layer.input.0] = true,
            (None, None) => node.inputs.iter().flatten().for_each(|input| needed[input.0] = true),
        }
    }
    needed
}

struct Lowering<'g> {
    graph: &'g Graph,
    patterns: &'g Patterns,
    rounding: Requantization,
    ids: BTreeMap<ValueId, ValueId>,
    values: Vec<AffineValue>,
    nodes: Vec<AffineNode>,
}

impl Lowering<'_> {
    /// The id of a value of the QDQ network, which is made on first use.
    fn value(&mut self, id: ValueId, encoding: Option<AffineEncoding>) -> ValueId {
        if let Some(&known) = self.ids.get(&id) {
            return known;
        }
        let value = self.graph.value(id);
        let new = self.push_value(value.name.clone(), encoding);
        self.values[new.0].constant = value.constant.clone();
        self.ids.insert(id, new);
        new
    }

    fn push_value(&mut self, name: String, encoding: Option<AffineEncoding>) -> ValueId {
        self.values.push(AffineValue { name, encoding, constant: None });
        ValueId(self.values.len() - 1)
    }

    /// The id of a value that was made before, or of a constant.
    fn id(&mut self, id: ValueId) -> ValueId {
        let encoding = self.patterns.encodings[id.0];
        self.value(id, encoding)
    }

    fn push(&mut self, name: &str, op: AffineOp, inputs: &[ValueId], outputs: Vec<ValueId>) {
        let inputs = inputs.iter().copied().map(Some).collect();
        self.nodes.push(AffineNode { name: name.to_owned(), op, inputs, outputs });
    }

    fn node(&mut self, node_idx: usize) -> Result<(), GraphError> {
        let (graph, patterns) = (self.graph, self.patterns);
        let node = &graph.nodes()[node_idx];
        if let Some(fused) = &patterns.fused[node_idx] {
            return self.fused(node_idx, fused);
        }
        if let Some(layer) = &patterns.real_layers[node_idx] {
            let input = self.id(layer.input);
            let output = self.id(node.outputs[0]);
            let scales = layer.accumulator_scales.clone();
            let layer = affine_layer(layer, LayerOutput::Real(scales));
            self.push(&node.name, AffineOp::Layer(Box::new(layer)), &[input], vec![output]);
            return Ok(());
        }
        let inputs: Vec<Option<ValueId>> = node.inputs.iter().map(|input| input.map(|id| self.id(id))).collect();
        let outputs: Vec<ValueId> = node.outputs.iter().map(|&output| self.id(output)).collect();
        let is_conversion = |id: Option<ValueId>| id.is_some_and(|id| patterns.encodings[id.0].is_some());
        let op = match node.op {
            Op::QuantizeLinear(_) if is_conversion(node.outputs.first().copied()) => AffineOp::Quantize,
            Op::DequantizeLinear(_) if patterns.is_inverse(graph, node_idx) => AffineOp::Dequantize,
            _ => AffineOp::Float(node.op.clone()),
        };
        let inputs = if matches!(op, AffineOp::Float(_)) { inputs } else { inputs[..1].to_vec() };
        self.nodes.push(AffineNode { name: node.name.clone(), op, inputs, outputs });
        Ok(())
    }

    /// An operator on codes, in the place of the `QuantizeLinear` at its end.
    fn fused(&mut self, node_idx: usize, fused: &Fused) -> Result<(), GraphError> {
        let graph = self.graph;
        let node = &graph.nodes()[fused.node_idx];
        let invalid = |cause: String| GraphError::invalid_node(&node.name, node.op.name(), cause);
        let encoding = fused.encoding;
        let (min, max) = (fused.min, fused.max);
        let mut inputs: Vec<ValueId> = fused.inputs.iter().map(|&input| self.id(input)).collect();
        let of_input = |lowering: &Self, id: ValueId| {
            lowering.values[id.0].encoding.ok_or_else(|| invalid("an input is not quantized".to_owned()))
        };
        let op = match &fused.kind {
            Kind::Layer(layer) => {
                let requantizers = layer.requantizers(self.rounding, &encoding).map_err(invalid)?;
                AffineOp::Layer(Box::new(affine_layer(layer, LayerOutput::Codes { requantizers, min, max })))
            }
            Kind::Add => {
                let operands = [of_input(self, inputs[0])?, of_input(self, inputs[1])?];
                let rule = super::AddRule::new(self.rounding, operands, encoding).map_err(invalid)?;
                AffineOp::Add { rule, min, max }
            }
            Kind::Mean(window) => {
                let rule = MeanRule { rounding: self.rounding, input: of_input(self, inputs[0])?, output: encoding };
                AffineOp::Mean { window: window.clone(), rule, min, max }
            }
            Kind::Table(function) => {
                let from = of_input(self, inputs[0])?;
                AffineOp::Table(pattern::table(function.as_ref(), &from, &encoding, min, max)?)
            }
            Kind::Move(op) => {
                for (i, input) in inputs.iter_mut().enumerate() {
                    let from = of_input(self, *input)?;
                    let is_clamped = min > encoding.code_type.min() || max < encoding.code_type.max();
                    if from != encoding || is_clamped {
                        let name = format!("{}.input{i}", node.name);
                        let table = pattern::table(None, &from, &encoding, min, max)?;
                        let moved = self.push_value(name.clone(), Some(encoding));
                        self.push(&name, AffineOp::Table(table), &[*input], vec![moved]);
                        *input = moved;
                    }
                }
                AffineOp::Move(pattern::on_codes(op, &encoding))
            }
        };
        let output = self.id(graph.nodes()[node_idx].outputs[0]);
        self.push(&node.name, op, &inputs, vec![output]);
        Ok(())
    }
}

fn affine_layer(layer: &Layer, output: LayerOutput) -> AffineLayer {
    AffineLayer {
        dense: layer.dense,
        window: layer.window.clone(),
        groups: layer.groups,
        weight_shape: layer.weight_shape,
        weight: layer.weight.clone(),
        weight_scales: layer.weight_scales.clone(),
        bias: layer.bias.clone(),
        output,
    }
}
