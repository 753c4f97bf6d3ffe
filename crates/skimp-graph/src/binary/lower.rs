//! From a float network to a binary one.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::{self, Behind, Folded};
use super::find::{Found, Mac, moves};
use super::{
    BinaryGraph, BinaryKind, BinaryLayer, BinaryNode, BinaryOp, BinaryOutput, BinaryValue, BitNeuron, BitPool, Step,
};
use crate::ops::{LEAK, Neuron, STATE, THRESHOLD};
use crate::rewrite::{cancel_transposes, simplify, trial_shapes};
use crate::shape::Shapes;
use crate::{Dim, Graph, GraphError, GraphInput, Node, Op, Value, ValueId};

/// Finds the layers of `graph` that multiply bits and makes thresholds of what follows them; the rest stays in floating point.
///
/// A layer is taken if its weights are ±1 times one number for each filter, and its input has two values: −a and a, or 0 and
/// a. The result computes what the float reference computes. (Where neither the input's nor the weights' magnitude is a
/// power of two, that reference itself rounds each product's sum in f64, and so does this one, in another order.)
///
/// # Errors
/// [`GraphError::InvalidGraph`] if no layer multiplies bits, with the reasons; those of shape inference.
pub fn lower(graph: &Graph) -> Result<BinaryGraph, GraphError> {
    let graph = cancel_transposes(&simplify(graph));
    let shapes = trial_shapes(&graph)?;
    let producers = graph.producers();
    let found = Found::of(&graph, &shapes);
    if !found.macs.iter().flatten().any(Result::is_ok) && found.events.iter().flatten().next().is_none() {
        return Err(not_binary(&graph, &found));
    }
    let mut plan = Plan::new(&graph);
    plan.demand(&shapes, &producers, &found);
    let mut emission = Emission::new(&graph, &shapes, &found, plan)?;
    for idx in 0..graph.nodes().len() {
        emission.node(idx)?;
    }
    emission.finish()
}

fn not_binary(graph: &Graph, found: &Found) -> GraphError {
    let mut reasons = Vec::new();
    for (node, mac) in graph.nodes().iter().zip(&found.macs) {
        if let Some(Err(reason)) = mac {
            reasons.push(format!("\"{}\": {reason}", node.name));
        }
    }
    let shown = reasons.len().min(3);
    let more = if reasons.len() > shown { format!(" (and {} more)", reasons.len() - shown) } else { String::new() };
    let cause = match shown {
        0 => "no layer multiplies".to_owned(),
        _ => format!(
            "no layer multiplies bits, that is weights of one magnitude with inputs of two values: {}{more}",
            reasons[..shown].join("; ")
        ),
    };
    GraphError::InvalidGraph { graph: graph.name().to_owned(), cause }
}

/// How a value comes to be as bits.
#[derive(Debug)]
enum Bits {
    Folded(Folded, super::Alphabet),
    Binarize(ValueId, Step),
    Move(Op),
    Pool(crate::Window),
    Neuron(Neuron),
}

/// How a value comes to be as real numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Real {
    Layer,
    Events,
    Unpack,
    Float,
    /// The state of a neuron whose spikes are bits.
    Neuron,
}

/// What is needed of each value.
struct Plan<'a> {
    graph: &'a Graph,
    needs_bits: Vec<bool>,
    needs_real: Vec<bool>,
    bits: Vec<Option<Bits>>,
    real: Vec<Option<Real>>,
    /// Nodes that are neurons whose spikes are bits.
    bit_neurons: BTreeSet<usize>,
}

impl<'a> Plan<'a> {
    fn new(graph: &'a Graph) -> Self {
        let n = graph.values().len();
        let none = || (0..n).map(|_| None).collect();
        let mut needs_real = vec![false; n];
        for output in graph.outputs() {
            needs_real[output.0] = true;
        }
        Self {
            graph,
            needs_bits: vec![false; n],
            needs_real,
            bits: none(),
            real: vec![None; n],
            bit_neurons: BTreeSet::new(),
        }
    }

    /// Goes through the nodes from the last one on: whoever reads a value has said what it needs.
    fn demand(&mut self, shapes: &Shapes, producers: &[Option<usize>], found: &Found) {
        let graph = self.graph;
        for (idx, node) in graph.nodes().iter().enumerate().rev() {
            if let (Op::Neuron(_), true) = (&node.op, self.needs_bits[node.outputs[0].0]) {
                self.bit_neurons.insert(idx);
                self.demand_neuron(node);
                continue;
            }
            for &output in &node.outputs {
                if self.needs_real[output.0] {
                    self.demand_real(found, idx, node, output);
                }
                if self.needs_bits[output.0] {
                    let bits = self.plan_bits(shapes, producers, found, node, output);
                    let source = match &bits {
                        Bits::Folded(folded, _) => found.macs[folded.mac_idx]
                            .as_ref()
                            .and_then(|mac| mac.as_ref().ok())
                            .map(|mac| (mac.input, true)),
                        Bits::Binarize(source, _) => Some((*source, false)),
                        Bits::Neuron(_) => None,
                        Bits::Move(_) | Bits::Pool(_) => node.inputs.first().copied().flatten().map(|id| (id, true)),
                    };
                    match source {
                        Some((id, true)) => self.needs_bits[id.0] = true,
                        Some((id, false)) => self.needs_real[id.0] = true,
                        None => {}
                    }
                    self.bits[output.0] = Some(bits);
                }
            }
        }
    }

    /// A neuron whose spikes some layer takes as bits.
    fn demand_neuron(&mut self, node: &Node) {
        let Op::Neuron(neuron) = node.op else { return };
        self.bits[node.outputs[0].0] = Some(Bits::Neuron(neuron));
        if self.needs_real[node.outputs[0].0] {
            self.real[node.outputs[0].0] = Some(Real::Unpack);
        }
        for output in &node.outputs[1..] {
            self.real[output.0] = Some(Real::Neuron);
        }
        for id in node.inputs.iter().flatten() {
            self.needs_real[id.0] |= self.graph.constant(*id).is_none();
        }
    }

    fn demand_real(&mut self, found: &Found, idx: usize, node: &Node, output: ValueId) {
        let real = match &found.macs[idx] {
            // Bits that some layer needs anyway.
            _ if self.needs_bits[output.0] => Real::Unpack,
            Some(Ok(mac)) => {
                self.needs_bits[mac.input.0] = true;
                Real::Layer
            }
            _ if found.events[idx].is_some() => {
                if let Some((input, _)) = &found.events[idx] {
                    self.needs_bits[input.0] = true;
                }
                Real::Events
            }
            _ => {
                for id in node.inputs.iter().flatten() {
                    self.needs_real[id.0] |= self.graph.constant(*id).is_none();
                }
                Real::Float
            }
        };
        self.real[output.0] = Some(real);
    }

    fn plan_bits(
        &self,
        shapes: &Shapes,
        producers: &[Option<usize>],
        found: &Found,
        node: &Node,
        output: ValueId,
    ) -> Bits {
        let Some((source, step)) = found.steps[output.0] else {
            return match &node.op {
                Op::MaxPool(pool) => Bits::Pool(pool.window.clone()),
                op => {
                    debug_assert!(moves(op), "nothing else has an alphabet");
                    Bits::Move(op.clone())
                }
            };
        };
        let folded = chain::behind_layer(self.graph, shapes, producers, found, source).and_then(|chain| {
            let mac = found.macs[chain.mac_idx].as_ref()?.as_ref().ok()?;
            chain.folded(self.graph, mac, step)
        });
        match (folded, found.alphabets[output.0]) {
            (Some(folded), Some(alphabet)) => Bits::Folded(folded, alphabet),
            _ => Bits::Binarize(source, step),
        }
    }
}

/// The network as it is made.
struct Emission<'a> {
    graph: &'a Graph,
    shapes: &'a Shapes,
    found: &'a Found,
    plan: Plan<'a>,
    values: Vec<BinaryValue>,
    nodes: Vec<BinaryNode>,
    /// The value of the binary network for each value as real numbers, and as bits.
    reals: Vec<Option<ValueId>>,
    bits: Vec<Option<ValueId>>,
    inputs: Vec<GraphInput>,
    /// Nodes in floating point that have not been made a part yet.
    pending: Vec<usize>,
    float_layers: Vec<(String, String)>,
    /// Values that are binarized as they are.
    binarized: BTreeSet<ValueId>,
    consumers: Vec<Vec<usize>>,
}

impl<'a> Emission<'a> {
    fn new(graph: &'a Graph, shapes: &'a Shapes, found: &'a Found, plan: Plan<'a>) -> Result<Self, GraphError> {
        let n = graph.values().len();
        let binarized = plan.bits.iter().flatten().filter_map(|bits| match bits {
            Bits::Binarize(source, _) => Some(*source),
            _ => None,
        });
        let binarized = binarized.collect();
        let mut emission = Self {
            binarized,
            consumers: graph.consumers(),
            graph,
            shapes,
            found,
            plan,
            values: Vec::new(),
            nodes: Vec::new(),
            reals: vec![None; n],
            bits: vec![None; n],
            inputs: Vec::new(),
            pending: Vec::new(),
            float_layers: Vec::new(),
        };
        for input in graph.inputs() {
            let id = emission.value(input.value, BinaryKind::Real);
            emission.reals[input.value.0] = Some(id);
            emission.inputs.push(GraphInput { value: id, ..input.clone() });
        }
        // Constants that are read as they are, such as an output that depends on nothing.
        let constants: Vec<ValueId> =
            graph.outputs().iter().copied().filter(|id| graph.constant(*id).is_some()).collect();
        if let Some(&first) = constants.first() {
            return Err(GraphError::InvalidGraph {
                graph: graph.name().to_owned(),
                cause: format!("the output \"{}\" is a constant", graph.value(first).name),
            });
        }
        Ok(emission)
    }

    fn value(&mut self, of: ValueId, kind: BinaryKind) -> ValueId {
        self.values.push(BinaryValue { name: self.graph.value(of).name.clone(), kind });
        ValueId(self.values.len() - 1)
    }

    fn node(&mut self, idx: usize) -> Result<(), GraphError> {
        let node = &self.graph.nodes()[idx];
        let is_float = node.outputs.iter().any(|id| self.plan.real[id.0] == Some(Real::Float));
        if is_float {
            self.pending.push(idx);
            if let Some(Err(reason)) = &self.found.macs[idx] {
                self.float_layers.push((node.name.clone(), reason.clone()));
            }
        }
        for &output in &node.outputs {
            if let Some(bits) = self.plan.bits[output.0].take() {
                self.emit_bits(node, output, bits)?;
            }
            match self.plan.real[output.0] {
                Some(Real::Layer) => {
                    let mac = self.mac(idx)?;
                    let input = self.bits_of(mac.input)?;
                    let id = self.value(output, BinaryKind::Real);
                    let layer = layer(&mac, BinaryOutput::Real);
                    self.push(&node.name, BinaryOp::Layer(Box::new(layer)), vec![input], vec![id]);
                    self.reals[output.0] = Some(id);
                }
                Some(Real::Unpack) => {
                    let input = self.bits_of(output)?;
                    let id = self.value(output, BinaryKind::Real);
                    self.push(&node.name, BinaryOp::Unpack, vec![input], vec![id]);
                    self.reals[output.0] = Some(id);
                }
                Some(Real::Events) => {
                    let (input, layer) = self.found.events[idx].clone().ok_or_else(|| self.broken(output))?;
                    let input = self.bits_of(input)?;
                    let id = self.value(output, BinaryKind::Real);
                    self.push(&node.name, BinaryOp::Events(Box::new(layer)), vec![input], vec![id]);
                    self.reals[output.0] = Some(id);
                }
                Some(Real::Float | Real::Neuron) | None => {}
            }
        }
        Ok(())
    }

    fn emit_bits(&mut self, node: &Node, output: ValueId, bits: Bits) -> Result<(), GraphError> {
        let alphabet = self.found.alphabets[output.0].ok_or_else(|| self.broken(output))?;
        let kind = BinaryKind::Bits(alphabet);
        let (name, op, input) = match bits {
            Bits::Folded(folded, alphabet) => {
                let id = self.emit_folded(&folded, alphabet)?;
                self.bits[output.0] = Some(id);
                return Ok(());
            }
            Bits::Neuron(neuron) => return self.emit_neuron(node, neuron),
            Bits::Binarize(source, step) => (&node.name, BinaryOp::Binarize(step), self.real_of(source)?),
            Bits::Move(op) => (&node.name, BinaryOp::Move(op), self.bits_of(self.first_input(node, output)?)?),
            Bits::Pool(window) => {
                (&node.name, BinaryOp::Pool(window, BitPool::Any), self.bits_of(self.first_input(node, output)?)?)
            }
        };
        let id = self.value(output, kind);
        self.push(name, op, vec![input], vec![id]);
        self.bits[output.0] = Some(id);
        Ok(())
    }

    fn emit_neuron(&mut self, node: &Node, neuron: Neuron) -> Result<(), GraphError> {
        let graph = self.graph;
        let parameter = |idx: usize| node.inputs.get(idx).copied().flatten().and_then(|id| graph.constant(id)).cloned();
        let bit_neuron = BitNeuron { neuron, threshold: parameter(THRESHOLD), leak: parameter(LEAK) };
        let states = node.inputs.iter().skip(STATE).flatten();
        let read = node.inputs.iter().take(1).flatten().chain(states);
        let inputs = read.map(|id| self.real_or_part(*id)).collect::<Result<_, _>>()?;
        let mut outputs = Vec::with_capacity(node.outputs.len());
        for (idx, &output) in node.outputs.iter().enumerate() {
            let is_spike = idx == 0;
            let alphabet = super::Alphabet { is_signed: false, scale: 1.0 };
            let id = self.value(output, if is_spike { BinaryKind::Bits(alphabet) } else { BinaryKind::Real });
            let known = if is_spike { &mut self.bits } else { &mut self.reals };
            known[output.0] = Some(id);
            outputs.push(id);
        }
        self.push(&node.name, BinaryOp::Neuron(Box::new(bit_neuron)), inputs, outputs);
        Ok(())
    }

    fn real_or_part(&mut self, id: ValueId) -> Result<ValueId, GraphError> {
        if let Some(constant) = self.graph.constant(id) {
            return Err(GraphError::InvalidGraph {
                graph: self.graph.name().to_owned(),
                cause: format!("a neuron reads a constant of shape {:?}", constant.shape()),
            });
        }
        self.real_of(id)
    }

    fn emit_folded(&mut self, folded: &Folded, alphabet: super::Alphabet) -> Result<ValueId, GraphError> {
        let mac = self.mac(folded.mac_idx)?;
        let kind = BinaryKind::Bits(alphabet);
        let graph = self.graph;
        let node = &graph.nodes()[folded.mac_idx];
        let input = self.bits_of(mac.input)?;
        let mut id = self.value(node.outputs[0], kind);
        let layer = layer(&mac, BinaryOutput::Bits(alphabet, folded.thresholds.clone()));
        self.push(&node.name, BinaryOp::Layer(Box::new(layer)), vec![input], vec![id]);
        for (node_idx, behind) in &folded.behind {
            let node = &graph.nodes()[*node_idx];
            let op = match behind {
                Behind::Pool(window, pool) => BinaryOp::Pool(window.clone(), pool.clone()),
                Behind::Move(op) => BinaryOp::Move(op.clone()),
            };
            let next = self.value(node.outputs[0], kind);
            self.push(&node.name, op, vec![id], vec![next]);
            id = next;
        }
        Ok(id)
    }

    fn mac(&self, idx: usize) -> Result<Mac, GraphError> {
        let mac = self.found.macs[idx].as_ref().and_then(|mac| mac.as_ref().ok());
        mac.cloned().ok_or_else(|| self.broken(self.graph.nodes()[idx].outputs[0]))
    }

    fn first_input(&self, node: &Node, output: ValueId) -> Result<ValueId, GraphError> {
        node.inputs.first().copied().flatten().ok_or_else(|| self.broken(output))
    }

    fn bits_of(&self, id: ValueId) -> Result<ValueId, GraphError> {
        self.bits[id.0].ok_or_else(|| self.broken(id))
    }

    fn real_of(&mut self, id: ValueId) -> Result<ValueId, GraphError> {
        if self.reals[id.0].is_none() {
            self.flush()?;
        }
        self.reals[id.0].ok_or_else(|| self.broken(id))
    }

    fn broken(&self, id: ValueId) -> GraphError {
        GraphError::InvalidGraph {
            graph: self.graph.name().to_owned(),
            cause: format!("the value \"{}\" is read before it is made", self.graph.value(id).name),
        }
    }

    fn push(&mut self, name: &str, op: BinaryOp, inputs: Vec<ValueId>, outputs: Vec<ValueId>) {
        self.nodes.push(BinaryNode { name: name.to_owned(), op, inputs, outputs });
    }

    /// Makes a part of the nodes in floating point that have come together.
    fn flush(&mut self) -> Result<(), GraphError> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        let graph = self.graph;
        let nodes: Vec<&Node> = pending.iter().map(|&idx| &graph.nodes()[idx]).collect();
        let made: BTreeSet<ValueId> = nodes.iter().flat_map(|node| node.outputs.iter().copied()).collect();
        let mut ids: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        let (mut values, mut inputs, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        let read = nodes.iter().flat_map(|node| node.inputs.iter().flatten().copied());
        for id in read.chain(made.iter().copied()) {
            if ids.contains_key(&id) {
                continue;
            }
            let part_id = ValueId(values.len());
            ids.insert(id, part_id);
            values.push(Value { name: graph.value(id).name.clone(), constant: graph.constant(id).cloned() });
            if graph.constant(id).is_none() && !made.contains(&id) {
                inputs.push(self.part_input(id, part_id)?);
                sources.push(self.reals[id.0].ok_or_else(|| self.broken(id))?);
            }
        }
        let renamed = |id: &ValueId| ids[id];
        let part_nodes = nodes.iter().map(|node| Node {
            name: node.name.clone(),
            op: node.op.clone(),
            inputs: node.inputs.iter().map(|id| id.as_ref().map(renamed)).collect(),
            outputs: node.outputs.iter().map(renamed).collect(),
        });
        let given: Vec<ValueId> = made.iter().copied().filter(|id| self.is_read_elsewhere(*id, &pending)).collect();
        let outputs = given.iter().map(renamed).collect();
        let name = nodes[nodes.len() - 1].name.clone();
        let part = Graph::new(&name, inputs, outputs, values, part_nodes.collect())?;
        let mut output_ids = Vec::with_capacity(given.len());
        for id in given {
            let output = self.value(id, BinaryKind::Real);
            self.reals[id.0] = Some(output);
            output_ids.push(output);
        }
        self.push(&name, BinaryOp::Float(Box::new(part)), sources, output_ids);
        Ok(())
    }

    /// Whether something beside the nodes of a part reads one of its values.
    fn is_read_elsewhere(&self, id: ValueId, part: &[usize]) -> bool {
        let is_float = |idx: &usize| {
            let node = &self.graph.nodes()[*idx];
            node.outputs.iter().any(|output| self.plan.real[output.0] == Some(Real::Float))
        };
        self.graph.outputs().contains(&id)
            || self.binarized.contains(&id)
            || self.consumers[id.0].iter().any(|idx| self.plan.bit_neurons.contains(idx))
            || self.consumers[id.0].iter().any(|idx| is_float(idx) && !part.contains(idx))
    }

    fn part_input(&self, id: ValueId, part_id: ValueId) -> Result<GraphInput, GraphError> {
        let known = self.shapes.get(id).ok_or_else(|| self.broken(id))?;
        let dims = (0..known.shape.len()).map(|axis| Dim::Free(format!("{}.{axis}", self.graph.value(id).name)));
        Ok(GraphInput { value: part_id, dtype: known.dtype, dims: dims.collect() })
    }

    fn finish(mut self) -> Result<BinaryGraph, GraphError> {
        self.flush()?;
        let outputs = self.graph.outputs().iter().map(|id| self.reals[id.0].ok_or_else(|| self.broken(*id)));
        let outputs = outputs.collect::<Result<_, _>>()?;
        Ok(BinaryGraph {
            name: self.graph.name().to_owned(),
            inputs: self.inputs,
            outputs,
            values: self.values,
            nodes: self.nodes,
            float_layers: self.float_layers,
        })
    }
}

fn layer(mac: &Mac, output: BinaryOutput) -> BinaryLayer {
    BinaryLayer {
        layout: mac.layout,
        window: mac.window.clone(),
        padding: mac.padding,
        weight_shape: mac.weight_shape,
        weight: std::sync::Arc::clone(&mac.weight),
        input: mac.alphabet,
        scales: mac.scales.clone(),
        bias: mac.bias.clone(),
        output,
    }
}
