//! From a network in QDQ form to an integer network, on the codes that stand in its file.

mod layer;
mod pattern;
mod widths;

use std::collections::BTreeMap;

use skimp_numerics::Requantization;

use self::pattern::{Fused, Kind, MeanWindow, Patterns};
pub use self::widths::WEIGHT_BITS_KEY;
use self::widths::Widths;
use super::{
    AddRule, Encoding, FloatOperand, IntegerGraph, IntegerNode, IntegerOp, IntegerValue, MacOutput, Quotient,
    ValueKind, arithmetic::product_requantizer, check,
};
use crate::{Graph, GraphError, Op, Tensor, ValueId, ops, rewrite};

/// Key of a network's metadata under which the name of its [`Requantization`] stands.
pub const ROUNDING_KEY: &str = "skimp.requantization";

/// Whether a network stores values as codes, so that [`lower`] finds something to do.
pub fn is_quantized(graph: &Graph) -> bool {
    graph.nodes().iter().any(|node| matches!(node.op, Op::QuantizeLinear(_)))
}

/// Turns a network in QDQ form into one that computes on its codes.
///
/// An operator whose inputs come from `DequantizeLinear` and whose output goes, possibly through a Relu or Clip, into
/// one `QuantizeLinear` becomes an operator on codes:
///
/// - Conv, Gemm and MatMul with constant weights as codes (per tensor or per output channel, any zero point) and a bias:
///   int32 at the accumulator's scale, or real numbers, which are rounded to it. A BatchNormalization behind it joins scale
///   and bias; so does an Add of a constant per column behind a MatMul. Without a `QuantizeLinear` behind it, such a layer gives real numbers straight
///   from its accumulators.
/// - MatMul of two values, batched as in ONNX.
/// - Add; AveragePool, GlobalAveragePool and a ReduceMean over the spatial axes.
/// - MaxPool, Concat, Split, Slice, Pad and reshapes; inputs under another encoding than the output's are brought to it
///   first, by a table.
/// - Relu, Clip, LeakyRelu, Sigmoid, HardSigmoid, HardSwish and Tanh of one value, and a mere change of encoding: a
///   table of all codes.
///
/// A `Clip` of codes between the two conversions (QCDQ form) leaves codes of fewer bits.
///
/// Transposes that change the order of axes and change it back are left out first ([`rewrite::cancel_transposes`]).
///
/// Everything else runs on real numbers, between conversions ([`IntegerGraph::float_nodes`]). Codes have 8 or 16 bits.
/// Weights have their zero points taken off: int8 with zero point 0 stays 8 bits wide, anything that reaches beyond ±127
/// takes 9 ([`MacLayer::weight_bits`](super::MacLayer::weight_bits)).
///
/// # Rounding
/// The network's metadata names the [`Requantization`] under [`ROUNDING_KEY`]; without an entry it is [`Requantization::Float`].
/// Tables hold `QuantizeLinear(f(DequantizeLinear(code)))` in f32 in every mode; so TensorFlow Lite does it too.
///
/// # Errors
/// [`GraphError::InvalidGraph`] for an unknown rounding, [`GraphError::InvalidNode`] for a scale that is not a positive
/// number, or a layer whose accumulators may exceed the 32 bits that its requantization takes.
pub fn lower(graph: &Graph) -> Result<IntegerGraph, GraphError> {
    let rounding = match graph.metadata(ROUNDING_KEY) {
        None => Requantization::default(),
        Some(name) => Requantization::parse(name).ok_or_else(|| {
            let known = Requantization::ALL.map(Requantization::name).join(", ");
            let cause = format!("metadata {ROUNDING_KEY} is \"{name}\", expected one of {known}");
            GraphError::InvalidGraph { graph: graph.name().to_owned(), cause }
        })?,
    };
    let widths = Widths::of(graph);
    let graph = rewrite::cancel_transposes(&rewrite::simplify(graph));
    let patterns = Patterns::find(&graph, widths)?;
    let needed = needed(&graph, &patterns);
    let mut lowering = Lowering {
        graph: &graph,
        patterns: &patterns,
        rounding,
        ids: BTreeMap::new(),
        exposed: BTreeMap::new(),
        values: Vec::new(),
        nodes: Vec::new(),
    };
    let mut inputs = graph.inputs().to_vec();
    for input in &mut inputs {
        input.value = lowering.value(input.value);
    }
    for node_idx in 0..graph.nodes().len() {
        if graph.nodes()[node_idx].outputs.iter().any(|output| needed[output.0]) {
            lowering.node(node_idx)?;
        }
    }
    let outputs = graph.outputs().iter().map(|&output| lowering.exposed(output)).collect();
    let Lowering { values, nodes, .. } = lowering;
    let lowered = IntegerGraph { name: graph.name().to_owned(), rounding, inputs, outputs, values, nodes };
    check(&lowered)?;
    Ok(lowered)
}

/// The values that the integer network computes: an operator on codes skips those between its conversions.
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
            (None, Some((_, layer))) => needed[layer.input.0] = true,
            (None, None) if patterns.clips[node_idx].is_some() => {
                let quantize = patterns.clips[node_idx].and_then(|idx| graph.nodes()[idx].inputs[0]);
                quantize.iter().for_each(|input| needed[input.0] = true);
            }
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
    /// Values that are no codes, for operators that take none.
    exposed: BTreeMap<ValueId, ValueId>,
    values: Vec<IntegerValue>,
    nodes: Vec<IntegerNode>,
}

impl Lowering<'_> {
    /// The id of a value of the QDQ network, which is made on first use.
    fn value(&mut self, id: ValueId) -> ValueId {
        if let Some(&known) = self.ids.get(&id) {
            return known;
        }
        let new = self.push_value(self.graph.value(id).name.clone(), self.patterns.encodings[id.0]);
        self.ids.insert(id, new);
        new
    }

    /// A value as an operator on real numbers, or a reader of the network, takes it.
    fn exposed(&mut self, id: ValueId) -> ValueId {
        if let Some(&known) = self.exposed.get(&id) {
            return known;
        }
        let value = self.graph.value(id);
        let (op, inputs) = match (&value.constant, self.patterns.encodings[id.0]) {
            (Some(constant), _) => {
                let operands = vec![FloatOperand::Constant(constant.clone())];
                (IntegerOp::Float { op: Op::Identity, operands }, Vec::new())
            }
            (None, Some(_)) => (IntegerOp::Expose, vec![self.value(id)]),
            (None, None) => return self.value(id),
        };
        let made = self.push_value(value.name.clone(), None);
        self.push(&value.name, op, inputs, vec![made]);
        self.exposed.insert(id, made);
        made
    }

    fn push_value(&mut self, name: String, encoding: Option<Encoding>) -> ValueId {
        let kind = encoding.map_or(ValueKind::Real, ValueKind::Codes);
        self.values.push(IntegerValue { name, kind });
        ValueId(self.values.len() - 1)
    }

    fn push(&mut self, name: &str, op: IntegerOp, inputs: Vec<ValueId>, outputs: Vec<ValueId>) {
        self.nodes.push(IntegerNode { name: name.to_owned(), op, inputs, outputs });
    }

    fn node(&mut self, node_idx: usize) -> Result<(), GraphError> {
        let (graph, patterns) = (self.graph, self.patterns);
        let node = &graph.nodes()[node_idx];
        if let Some(fused) = &patterns.fused[node_idx] {
            return self.fused(node_idx, fused);
        }
        if let Some((layer_idx, layer)) = &patterns.real_layers[node_idx] {
            let (input, output) = (self.value(layer.input), self.value(node.outputs[0]));
            self.push(
                &graph.nodes()[*layer_idx].name,
                IntegerOp::Mac(Box::new(layer.with_reals())),
                vec![input],
                vec![output],
            );
            return Ok(());
        }
        let (first, output) = (node.inputs.first().copied().flatten(), node.outputs.first().copied());
        let is_conversion = output.is_some_and(|id| patterns.encodings[id.0].is_some());
        if let Some(quantize) = patterns.clips[node_idx]
            && let Some(first) = graph.nodes()[quantize].inputs[0]
        {
            let (input, output) = (self.exposed(first), self.value(node.outputs[0]));
            let name = graph.nodes()[quantize].name.clone();
            self.push(&name, IntegerOp::Quantize(Quotient::Single), vec![input], vec![output]);
            return Ok(());
        }
        match (&node.op, first) {
            (Op::QuantizeLinear(_), Some(first)) if is_conversion => {
                let (input, output) = (self.exposed(first), self.value(node.outputs[0]));
                self.push(&node.name, IntegerOp::Quantize(Quotient::Single), vec![input], vec![output]);
            }
            (Op::DequantizeLinear(_), Some(first)) if patterns.is_inverse(graph, node_idx) => {
                let (input, output) = (self.value(first), self.value(node.outputs[0]));
                self.push(&node.name, IntegerOp::Dequantize, vec![input], vec![output]);
            }
            _ => self.float(node_idx),
        }
        Ok(())
    }

    /// An operator on real numbers, or on whatever it takes.
    fn float(&mut self, node_idx: usize) {
        let node = &self.graph.nodes()[node_idx];
        let mut inputs = Vec::new();
        let mut operand = |input: &Option<ValueId>| {
            let Some(id) = *input else { return FloatOperand::Absent };
            let constant: Option<&Tensor> = self.graph.constant(id);
            match constant {
                Some(tensor) => FloatOperand::Constant(tensor.clone()),
                None => {
                    inputs.push(self.exposed(id));
                    FloatOperand::Input
                }
            }
        };
        let operands = node.inputs.iter().map(&mut operand).collect();
        let outputs = node.outputs.iter().map(|&output| self.value(output)).collect();
        self.push(&node.name, IntegerOp::Float { op: node.op.clone(), operands }, inputs, outputs);
    }

    /// An operator on codes, in the place of the `QuantizeLinear` at its end.
    fn fused(&mut self, node_idx: usize, fused: &Fused) -> Result<(), GraphError> {
        let graph = self.graph;
        let node = &graph.nodes()[fused.node_idx];
        let invalid = |cause: String| GraphError::invalid_node(&node.name, node.op.name(), cause);
        let encoding = fused.encoding;
        let (min, max) = fused.range();
        let mut inputs: Vec<ValueId> = fused.inputs.iter().map(|&input| self.value(input)).collect();
        let of_input = |i: usize| {
            let found = fused.inputs.get(i).and_then(|input| self.patterns.encodings[input.0]);
            found.ok_or_else(|| invalid("an input is not quantized".to_owned()))
        };
        let output = graph.nodes()[node_idx].outputs[0];
        let op = match &fused.kind {
            Kind::Layer(layer) => {
                let layer = layer.with_codes(self.rounding, &encoding, fused.activation).map_err(invalid)?;
                IntegerOp::Mac(Box::new(layer))
            }
            Kind::Add => {
                let rule = AddRule::new(self.rounding, [of_input(0)?, of_input(1)?], encoding).map_err(invalid)?;
                IntegerOp::Add { rule, min, max }
            }
            Kind::Product => {
                let factor = product_requantizer(self.rounding, [&of_input(0)?, &of_input(1)?], &encoding);
                let factor = factor.ok_or_else(|| invalid("the scaling of its sums is out of range".to_owned()))?;
                IntegerOp::Product { output: MacOutput::Codes(vec![factor]), min, max }
            }
            Kind::Mean(MeanWindow { window, count_include_pad, keep_dims }) => {
                let (window, count_include_pad, rounding) = (window.clone(), *count_include_pad, self.rounding);
                let mean = IntegerOp::AveragePool { window, count_include_pad, rounding, min, max };
                if !keep_dims {
                    let kept = self.push_value(graph.value(output).name.clone(), Some(encoding));
                    self.push(&format!("{}.mean", node.name), mean, inputs, vec![kept]);
                    inputs = vec![kept];
                    IntegerOp::Move(Op::Squeeze(ops::Squeeze { axes: vec![2, 3] }))
                } else {
                    mean
                }
            }
            Kind::Table(function) => {
                IntegerOp::Table(pattern::table(function.as_ref(), &of_input(0)?, &encoding, (min, max))?)
            }
            Kind::Move(op) => {
                for (i, input) in inputs.iter_mut().enumerate() {
                    let from = of_input(i)?;
                    let is_clamped = min > encoding.min_code() || max < encoding.max_code();
                    if from != encoding || is_clamped {
                        let name = format!("{}.input{i}", node.name);
                        let table = pattern::table(None, &from, &encoding, (min, max))?;
                        let moved = self.push_value(name.clone(), Some(encoding));
                        self.push(&name, IntegerOp::Table(table), vec![*input], vec![moved]);
                        *input = moved;
                    }
                }
                pattern::on_codes(op, &encoding)
            }
        };
        let output = self.value(output);
        self.push(&node.name, op, inputs, vec![output]);
        Ok(())
    }
}
