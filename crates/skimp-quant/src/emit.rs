//! Writing the integer network.

use std::collections::HashSet;

use skimp_graph::ops;
use skimp_graph::{
    Graph, Node, Op, Slice, ValueId,
    integer::{
        AddRule, Encoding, FloatOperand, IntegerGraph, IntegerNode, IntegerOp, IntegerValue, MacOutput, Quotient,
        Requantization, Requantizer, ValueKind,
    },
};

use crate::{
    FirstLayer, FloatNode, LayerWidths, NegativeSums, QuantError, QuantizationConfig, QuantizationReport, Quantized,
    QuantizedLayer,
    encode::{Forms, Role, role},
    pattern::{Fused, MacGroup, Patterns},
    weights::{Surroundings, clip_codes, integer_layer, multiplier},
};

/// Writes the integer network of `graph`.
pub(crate) fn emit(
    graph: &Graph,
    patterns: &Patterns,
    forms: &Forms,
    config: &QuantizationConfig,
    widths: &LayerWidths,
) -> Result<Quantized, QuantError> {
    let mut emitter = Emitter::new(graph, forms, config, widths);
    for (node_idx, node) in graph.nodes().iter().enumerate() {
        if let Some(group) = &patterns.groups[node_idx] {
            emitter.mac(group)?;
        } else if !patterns.taken[node_idx] {
            match forms.roles[node_idx] {
                Role::Move => emitter.movement(node)?,
                Role::Arithmetic => emitter.arithmetic(node)?,
                Role::Mean => emitter.mean(node)?,
                Role::Product => emitter.product(node)?,
                Role::Float => emitter.float(node)?,
            }
        }
    }
    emitter.finish()
}

struct Emitter<'a> {
    graph: &'a Graph,
    forms: &'a Forms,
    config: &'a QuantizationConfig,
    widths: &'a LayerWidths,
    values: Vec<IntegerValue>,
    nodes: Vec<IntegerNode>,
    names: HashSet<String>,
    /// Where each value of the real network is as codes, and as real numbers.
    codes: Vec<Option<ValueId>>,
    reals: Vec<Option<ValueId>>,
    layers: Vec<QuantizedLayer>,
    float_nodes: Vec<FloatNode>,
}

fn unsupported(node: &Node, feature: impl Into<String>) -> QuantError {
    QuantError::UnsupportedNode { node: node.name.clone(), op: node.op.name().to_owned(), feature: feature.into() }
}

impl<'a> Emitter<'a> {
    fn new(graph: &'a Graph, forms: &'a Forms, config: &'a QuantizationConfig, widths: &'a LayerWidths) -> Self {
        let n_values = graph.values().len();
        let mut emitter = Self {
            graph,
            forms,
            config,
            widths,
            values: Vec::new(),
            nodes: Vec::new(),
            names: graph.nodes().iter().map(|node| node.name.clone()).collect(),
            codes: vec![None; n_values],
            reals: vec![None; n_values],
            layers: Vec::new(),
            float_nodes: Vec::new(),
        };
        for input in graph.inputs() {
            emitter.real_value(input.value);
        }
        emitter
    }

    fn value(&mut self, id: ValueId, kind: ValueKind) -> ValueId {
        self.values.push(IntegerValue { name: self.graph.value(id).name.clone(), kind });
        ValueId(self.values.len() - 1)
    }

    fn codes_value(&mut self, id: ValueId) -> ValueId {
        let made = self.value(id, ValueKind::Codes(self.forms.encoding(id)));
        self.codes[id.0] = Some(made);
        made
    }

    fn real_value(&mut self, id: ValueId) -> ValueId {
        let made = self.value(id, ValueKind::Real);
        self.reals[id.0] = Some(made);
        made
    }

    /// A value in the form that somebody wants it.
    fn output_value(&mut self, id: ValueId) -> ValueId {
        if self.forms.wanted_as_codes[id.0] { self.codes_value(id) } else { self.real_value(id) }
    }

    fn push(&mut self, name: &str, op: IntegerOp, inputs: Vec<ValueId>, outputs: Vec<ValueId>) {
        self.nodes.push(IntegerNode { name: name.to_owned(), op, inputs, outputs });
    }

    /// A node name that no other node has.
    fn fresh(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        let mut n = 1;
        while !self.names.insert(name.clone()) {
            n += 1;
            name = format!("{base}.{n}");
        }
        name
    }

    /// `id` as codes, converted where it is real.
    fn as_codes(&mut self, node: &Node, id: ValueId) -> Result<ValueId, QuantError> {
        if let Some(known) = self.codes[id.0] {
            return Ok(known);
        }
        let source = self.reals[id.0].ok_or_else(|| unsupported(node, "a constant where codes are expected"))?;
        let name = self.fresh(&format!("{}.quantize", self.graph.value(id).name));
        let made = self.codes_value(id);
        self.push(&name, IntegerOp::Quantize(Quotient::Double), vec![source], vec![made]);
        Ok(made)
    }

    /// `id` as real numbers, converted where it is codes; `None` for a constant.
    fn as_real(&mut self, id: ValueId) -> Option<ValueId> {
        if let Some(known) = self.reals[id.0] {
            return Some(known);
        }
        let source = self.codes[id.0]?;
        let name = self.fresh(&format!("{}.dequantize", self.graph.value(id).name));
        let made = self.real_value(id);
        self.push(&name, IntegerOp::Dequantize, vec![source], vec![made]);
        Some(made)
    }

    fn mac(&mut self, group: &MacGroup) -> Result<(), QuantError> {
        let node = &self.graph.nodes()[group.node_idx];
        let input = self.as_codes(node, group.input)?;
        let mut inputs = vec![input];
        if let Some(residual) = group.residual {
            inputs.push(self.as_codes(node, residual)?);
        }
        let input_encoding = self.forms.encoding(group.input);
        let offset = input_encoding.signed
            && self.config.first_layer == FirstLayer::Offset
            && self.forms.from_input[group.input.0];
        let input_offset = if offset { input_encoding.max_code() } else { 0 };
        let residual = group.residual.map(|id| self.forms.encoding(id));
        let is_real = !self.forms.wanted_as_codes[group.output.0];
        let output_kind = if is_real { ValueKind::Real } else { ValueKind::Codes(self.forms.encoding(group.output)) };
        let around = Surroundings {
            input: input_encoding,
            input_offset,
            residual,
            output: output_kind,
            activation: group.activation,
        };
        let layer = integer_layer(&group.layer, &around, &self.widths.config(self.config, &node.name))
            .map_err(|cause| unsupported(node, cause))?;
        let negatives = match &group.negatives {
            NegativeSums::Unseen if input_encoding.signed && !offset => NegativeSums::SignedOperands,
            known => known.clone(),
        };
        let node_idx = self.nodes.len();
        match group.activation {
            Some(Fused::Clip { min, max }) if is_real => {
                let clip = &self.graph.nodes()[group.last_node()];
                let unclipped = self.value(group.output, ValueKind::Real);
                self.push(&node.name, IntegerOp::Mac(Box::new(layer)), inputs, vec![unclipped]);
                let output = self.real_value(group.output);
                let op = Op::Clip(ops::Clip { min, max });
                self.push_float(clip, op, vec![FloatOperand::Input], vec![unclipped], vec![output]);
            }
            _ => {
                let output = self.output_value(group.output);
                self.push(&node.name, IntegerOp::Mac(Box::new(layer)), inputs, vec![output]);
            }
        }
        self.layers.push(QuantizedLayer {
            name: node.name.clone(),
            op: node.op.name(),
            node_idx,
            fused: group.fused.iter().map(|&i| self.graph.nodes()[i].name.clone()).collect(),
            input: input_encoding,
            operands_signed: input_encoding.signed && !offset,
            residual,
            output: output_kind,
            negatives,
        });
        Ok(())
    }

    fn movement(&mut self, node: &Node) -> Result<(), QuantError> {
        let ids: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
        let inputs = ids.iter().map(|&id| self.as_codes(node, id)).collect::<Result<Vec<_>, _>>()?;
        let op = match &node.op {
            Op::MaxPool(ops::MaxPool { window }) => IntegerOp::MaxPool(Some(window.clone())),
            Op::GlobalMaxPool => IntegerOp::MaxPool(None),
            Op::Concat(ops::Concat { axis }) => IntegerOp::Concat { axis: *axis },
            Op::Slice(slice) => IntegerOp::Slice(slice.clone()),
            Op::Pad(pad) => {
                let code = self.forms.encoding(node.outputs[0]).quantize_exactly(f64::from(pad.value));
                IntegerOp::Pad { pad: pad.clone(), code }
            }
            Op::Split(ops::Split { axis, sizes }) => return self.split(node, inputs[0], *axis, sizes),
            other => IntegerOp::Move(other.clone()),
        };
        let output = self.codes_value(node.outputs[0]);
        self.push(&node.name, op, inputs, vec![output]);
        Ok(())
    }

    fn split(&mut self, node: &Node, input: ValueId, axis: i64, sizes: &[usize]) -> Result<(), QuantError> {
        let mut start = 0_i64;
        for (&id, &size) in node.outputs.iter().zip(sizes) {
            let end = i64::try_from(size).ok().and_then(|size| start.checked_add(size));
            let end = end.ok_or_else(|| unsupported(node, "sizes beyond 64 bits"))?;
            let slice = Slice { axes: vec![axis], starts: vec![start], ends: vec![end], steps: vec![1] };
            let name = self.fresh(&format!("{}.{}", node.name, self.graph.value(id).name));
            let output = self.codes_value(id);
            self.push(&name, IntegerOp::Slice(slice), vec![input], vec![output]);
            start = end;
        }
        Ok(())
    }

    fn arithmetic(&mut self, node: &Node) -> Result<(), QuantError> {
        let ids: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
        let inputs = ids.iter().map(|&id| self.as_codes(node, id)).collect::<Result<Vec<_>, _>>()?;
        let from: Vec<Encoding> = ids.iter().map(|&id| self.forms.encoding(id)).collect();
        let to = self.forms.encoding(node.outputs[0]);
        let rescale = |min: Option<f32>, max: Option<f32>| -> Result<IntegerOp, QuantError> {
            let (min, max) = clip_codes(min, max, &to);
            let multiplier = multiplier(from[0].scale / to.scale).map_err(|cause| unsupported(node, cause))?;
            Ok(IntegerOp::Rescale { multiplier, min, max })
        };
        let op = match &node.op {
            Op::Add => addition([from[0], from[1]], 1.0, to),
            Op::Sub => addition([from[0], from[1]], -1.0, to),
            Op::Relu => rescale(Some(0.0), None)?,
            Op::Clip(ops::Clip { min, max }) => rescale(*min, *max)?,
            Op::Sign => {
                let signs = Encoding::symmetric(2, true, 1.0);
                if to == signs {
                    IntegerOp::Sign
                } else {
                    let made = self.value(node.outputs[0], ValueKind::Codes(signs));
                    let name = self.fresh(&format!("{}.sign", node.name));
                    self.push(&name, IntegerOp::Sign, inputs, vec![made]);
                    let multiplier = multiplier(1.0 / to.scale).map_err(|cause| unsupported(node, cause))?;
                    let op = IntegerOp::Rescale { multiplier, min: to.min_code(), max: to.max_code() };
                    let output = self.codes_value(node.outputs[0]);
                    self.push(&node.name, op, vec![made], vec![output]);
                    return Ok(());
                }
            }
            other => return Err(unsupported(node, format!("{} as integer arithmetic", other.name()))),
        };
        let output = self.codes_value(node.outputs[0]);
        self.push(&node.name, op, inputs, vec![output]);
        Ok(())
    }

    fn mean(&mut self, node: &Node) -> Result<(), QuantError> {
        let id = node.inputs[0].ok_or_else(|| unsupported(node, "no input"))?;
        let input = self.as_codes(node, id)?;
        let (window, count_include_pad) = match &node.op {
            Op::AveragePool(ops::AveragePool { window, count_include_pad }) => {
                (Some(window.clone()), *count_include_pad)
            }
            _ => (None, false),
        };
        let output_id = node.outputs[0];
        let to = self.forms.encoding(output_id);
        let pool = IntegerOp::AveragePool {
            window,
            count_include_pad,
            rounding: Requantization::Exact,
            min: to.min_code(),
            max: to.max_code(),
        };
        let Op::ReduceMean(ops::ReduceMean { axes, keep_dims: false }) = &node.op else {
            let output = self.output_value(output_id);
            self.push(&node.name, pool, vec![input], vec![output]);
            return Ok(());
        };
        let output = self.output_value(output_id);
        let kept = self.value(output_id, self.values[output.0].kind);
        let name = self.fresh(&format!("{}.mean", node.name));
        self.push(&name, pool, vec![input], vec![kept]);
        let squeeze = Op::Squeeze(ops::Squeeze { axes: axes.clone() });
        let op = match self.values[output.0].kind {
            ValueKind::Codes(_) => IntegerOp::Move(squeeze),
            ValueKind::Real => IntegerOp::Float { op: squeeze, operands: vec![FloatOperand::Input] },
        };
        self.push(&node.name, op, vec![kept], vec![output]);
        Ok(())
    }

    fn product(&mut self, node: &Node) -> Result<(), QuantError> {
        let ids: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
        let inputs = ids.iter().map(|&id| self.as_codes(node, id)).collect::<Result<Vec<_>, _>>()?;
        let scale: f64 = ids.iter().map(|&id| self.forms.encoding(id).scale).product();
        let output = self.output_value(node.outputs[0]);
        let op = match self.values[output.0].kind {
            ValueKind::Real => IntegerOp::Product { output: MacOutput::Real(vec![scale]), min: 0, max: 0 },
            ValueKind::Codes(to) => {
                let factor = Requantizer::new(Requantization::Exact, scale / to.scale);
                let factor = factor.ok_or_else(|| unsupported(node, "sums of a scale that is out of range"))?;
                let output = MacOutput::Codes(vec![factor]);
                IntegerOp::Product { output, min: to.min_code(), max: to.max_code() }
            }
        };
        self.push(&node.name, op, inputs, vec![output]);
        Ok(())
    }

    fn float(&mut self, node: &Node) -> Result<(), QuantError> {
        let mut operands = Vec::with_capacity(node.inputs.len());
        let mut inputs = Vec::new();
        for id in &node.inputs {
            let Some(id) = *id else {
                operands.push(FloatOperand::Absent);
                continue;
            };
            operands.push(match self.graph.constant(id) {
                Some(tensor) => FloatOperand::Constant(tensor.clone()),
                None => {
                    inputs.push(self.as_real(id).ok_or_else(|| unsupported(node, "an input that is not f32"))?);
                    FloatOperand::Input
                }
            });
        }
        let outputs = node.outputs.iter().map(|&id| self.real_value(id)).collect();
        if role(self.graph, node, 0) == Role::Move {
            self.push(&node.name, IntegerOp::Float { op: node.op.clone(), operands }, inputs, outputs);
        } else {
            self.push_float(node, node.op.clone(), operands, inputs, outputs);
        }
        Ok(())
    }

    fn push_float(
        &mut self,
        node: &Node,
        op: Op,
        operands: Vec<FloatOperand>,
        inputs: Vec<ValueId>,
        outputs: Vec<ValueId>,
    ) {
        self.float_nodes.push(FloatNode { name: node.name.clone(), op: node.op.name() });
        self.push(&node.name, IntegerOp::Float { op, operands }, inputs, outputs);
    }

    fn finish(mut self) -> Result<Quantized, QuantError> {
        let graph = self.graph;
        let mut outputs = Vec::with_capacity(graph.outputs().len());
        for &id in graph.outputs() {
            let real = self.as_real(id).ok_or_else(|| QuantError::UnsupportedNode {
                node: graph.value(id).name.clone(),
                op: "output".to_owned(),
                feature: "a constant as network output".to_owned(),
            })?;
            outputs.push(real);
        }
        let mut inputs = graph.inputs().to_vec();
        for (input, id) in inputs.iter_mut().zip(0..) {
            input.value = ValueId(id);
        }
        Ok(Quantized {
            graph: IntegerGraph {
                name: graph.name().to_owned(),
                rounding: Requantization::Exact,
                inputs,
                outputs,
                values: self.values,
                nodes: self.nodes,
            },
            layers: self.layers,
            report: QuantizationReport { n_calibration_images: 0, float_nodes: self.float_nodes, is_from_file: false },
        })
    }
}

/// A sum of codes, the second one with `sign`.
fn addition(operands: [Encoding; 2], sign: f64, to: Encoding) -> IntegerOp {
    let rule = AddRule::exact(operands, [1.0, sign], to);
    IntegerOp::Add { rule, min: to.min_code(), max: to.max_code() }
}
