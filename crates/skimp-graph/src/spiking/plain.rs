//! Spiking networks of one time step in ONNX's own operators.

use super::parts::Parts;
use super::{INPUT_KEY, InputCoding, JOIN_KEY, Join, SEED_KEY, STEPS_KEY, Temporal};
use crate::ops::{Cast, Neuron, Reset, ResetTime};
use crate::{DType, Graph, GraphError, Node, Op, ValueId};

/// A network of one time step with plain operators in the place of its neurons, which any ONNX runtime runs: a comparison with the
/// threshold, cast to 0 and 1. Its outputs are the same bit for bit.
///
/// # Errors
/// [`GraphError::InvalidGraph`] if it runs several steps, or needs random spikes; [`GraphError::UnsupportedNode`] for a neuron with
/// a state of its own, or one that tells values by time.
pub fn plain(graph: &Graph) -> Result<Graph, GraphError> {
    let invalid = |cause: String| GraphError::InvalidGraph { graph: graph.name().to_owned(), cause };
    if let Some(temporal) = Temporal::of(graph)? {
        if temporal.steps != 1 {
            return Err(invalid(format!("runs {} time steps, plain operators run one", temporal.steps)));
        }
        if temporal.input == InputCoding::Bernoulli || temporal.join == Join::FirstSpike {
            return Err(invalid("random input spikes and times of spikes have no plain operators".to_owned()));
        }
    }
    let mut plain = Plain { parts: Parts::new(graph) };
    for node in graph.nodes() {
        match node.op {
            Op::Neuron(neuron) => plain.neuron(node, neuron)?,
            _ => plain.parts.nodes.push(node.clone()),
        }
    }
    let plain = plain.parts.finish(graph)?;
    let temporal = [STEPS_KEY, JOIN_KEY, INPUT_KEY, SEED_KEY];
    Ok(temporal.into_iter().fold(plain, |graph, key| graph.without_metadata(key)))
}

struct Plain {
    parts: Parts,
}

impl Plain {
    fn neuron(&mut self, node: &Node, neuron: Neuron) -> Result<(), GraphError> {
        let unsupported = |feature: &str| GraphError::unsupported_node(&node.name, node.op.name(), feature);
        if neuron.takes_state || neuron.returns_state || neuron.first_spike.is_some() {
            return Err(unsupported("a state, or spikes that tell values by time, in plain operators"));
        }
        let (Some(&Some(x)), Some(&spike)) = (node.inputs.first(), node.outputs.first()) else {
            return Err(unsupported("a neuron without input"));
        };
        let parameter = |idx: usize| node.inputs.get(idx).copied().flatten();
        if parameter(2).is_some() && neuron.initial.to_bits() != 0 {
            return Err(unsupported("leaks of each element together with an initial potential, in plain operators"));
        }
        if neuron.reset_time != ResetTime::SameStep && neuron.reset != Reset::None && neuron.initial >= neuron.threshold
        {
            return Err(unsupported("an initial potential above the threshold, in plain operators"));
        }
        // In the order of the neuron: what is left of the potential, plus gain · x.
        let rest = neuron.rest;
        let left =
            if rest == 0.0 { neuron.leak * neuron.initial } else { rest + neuron.leak * (neuron.initial - rest) };
        let mut v = x;
        if neuron.gain.to_bits() != 1.0_f32.to_bits() {
            v = self.scalar_node(node, "gained", Op::Mul, v, neuron.gain);
        }
        if left != 0.0 {
            v = self.scalar_node(node, "potential", Op::Add, v, left);
        }
        let threshold = match parameter(1) {
            Some(id) => id,
            None => self.constant(node, "threshold", neuron.threshold),
        };
        let op = if neuron.is_strict { Op::Greater } else { Op::GreaterOrEqual };
        let fires = self.node(node, "fires", op, vec![Some(v), Some(threshold)]);
        self.parts.nodes.push(Node {
            name: node.name.clone(),
            op: Op::Cast(Cast { to: DType::F32 }),
            inputs: vec![Some(fires)],
            outputs: vec![spike],
        });
        Ok(())
    }

    fn scalar_node(&mut self, of: &Node, label: &str, op: Op, x: ValueId, scalar: f32) -> ValueId {
        let scalar = self.constant(of, &format!("{label}.by"), scalar);
        self.node(of, label, op, vec![Some(x), Some(scalar)])
    }

    fn constant(&mut self, of: &Node, label: &str, scalar: f32) -> ValueId {
        self.parts.scalar(&format!("{}.{label}", of.name), scalar)
    }

    fn node(&mut self, of: &Node, label: &str, op: Op, inputs: Vec<Option<ValueId>>) -> ValueId {
        let output = self.parts.value(&format!("{}.{label}", of.name), None);
        let name = self.parts.node_name(&format!("{}.{label}", of.name));
        self.parts.nodes.push(Node { name, op, inputs, outputs: vec![output] });
        output
    }
}
