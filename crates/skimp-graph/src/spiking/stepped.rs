//! A spiking network with its state as inputs and outputs.

use std::collections::HashSet;

use crate::ops::{Neuron, STATE};
use crate::rewrite::{free_name, trial_shapes};
use crate::{DType, Dim, Graph, GraphError, GraphInput, Node, Op, Value, ValueId};

/// A part of the state: an input of the stepped graph, and an output behind those of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// What it is before the first step.
    pub initial: f32,
    /// The value of the network that it has the shape of.
    pub like: ValueId,
}

/// One time step: the network with the state of its neurons as further inputs and outputs.
///
/// Ids of the network's values stay. Its metadata is gone: this is a graph that runs once.
#[derive(Clone, Debug, PartialEq)]
pub struct Stepped {
    /// Inputs: those of the network, then the states. Outputs: those of the network, the spikes of each neuron where they are
    /// asked for, then the states.
    pub graph: Graph,
    /// The states, in order.
    pub states: Vec<State>,
    /// Names of the neurons whose spikes are outputs.
    pub watched: Vec<String>,
}

impl Stepped {
    /// The step of `graph`; a neuron whose state the graph takes already is left as it is.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes of the network cannot be inferred, or the element type of a neuron's input is not f32.
    pub fn new(graph: &Graph) -> Result<Self, GraphError> {
        Self::build(graph, false)
    }

    /// As [`new`](Self::new), with the spikes of every neuron as outputs.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn watched(graph: &Graph) -> Result<Self, GraphError> {
        Self::build(graph, true)
    }

    fn build(graph: &Graph, is_watched: bool) -> Result<Self, GraphError> {
        let shapes = trial_shapes(graph)?;
        let is_fixed =
            graph.inputs().iter().all(|input| input.dims.iter().skip(1).all(|dim| matches!(dim, Dim::Fixed(_))));
        let mut names: HashSet<String> = graph.values().iter().map(|value| value.name.clone()).collect();
        let mut parts = Parts {
            inputs: graph.inputs().to_vec(),
            outputs: Vec::new(),
            values: graph.values().to_vec(),
            states: Vec::new(),
        };
        let mut nodes: Vec<Node> = graph.nodes().to_vec();
        let (mut spikes, mut watched) = (Vec::new(), Vec::new());
        for node in &mut nodes {
            let Op::Neuron(neuron) = node.op else { continue };
            let (Some(&Some(x)), Some(&spike)) = (node.inputs.first(), node.outputs.first()) else { continue };
            if is_watched {
                spikes.push(spike);
                watched.push(node.name.clone());
            }
            if neuron.takes_state {
                continue;
            }
            let tensor_type = &shapes[x];
            if tensor_type.dtype != DType::F32 {
                let feature = format!("element type {} over several time steps", tensor_type.dtype);
                return Err(GraphError::unsupported_node(&node.name, node.op.name(), feature));
            }
            // Where the network fixes all but the batch, the state's extents follow.
            let extents = tensor_type.shape.iter().enumerate();
            let dims =
                extents.map(|(axis, &n)| if is_fixed && axis > 0 { Dim::Fixed(n) } else { Dim::Free(String::new()) });
            parts.give_state(node, neuron, x, dims.collect(), &mut names);
        }
        let outputs = [graph.outputs(), &spikes, &parts.outputs].concat();
        let stepped = Graph::new(graph.name(), parts.inputs, outputs, parts.values, nodes)?;
        Ok(Self { graph: stepped, states: parts.states, watched })
    }
}

/// What a stepped graph has besides its nodes.
struct Parts {
    inputs: Vec<GraphInput>,
    /// Those of the states.
    outputs: Vec<ValueId>,
    values: Vec<Value>,
    states: Vec<State>,
}

impl Parts {
    fn give_state(&mut self, node: &mut Node, neuron: Neuron, x: ValueId, dims: Vec<Dim>, names: &mut HashSet<String>) {
        node.inputs.resize(STATE, None);
        let labels = ["potential", if neuron.first_spike.is_some() { "step" } else { "current" }];
        for (initial, label) in neuron.initial_states().zip(labels) {
            let before = self.value(&format!("{}.{label}", node.name), names);
            node.inputs.push(Some(before));
            let place = node.inputs.len() - STATE;
            if !neuron.returns_state {
                node.outputs.push(self.value(&format!("{}.{label}.next", node.name), names));
            }
            let behind = node.outputs[place];
            self.inputs.push(GraphInput { value: before, dtype: DType::F32, dims: dims.clone() });
            self.outputs.push(behind);
            self.states.push(State { initial, like: x });
        }
        node.op = Op::Neuron(Neuron { takes_state: true, returns_state: true, ..neuron });
    }

    fn value(&mut self, name: &str, names: &mut HashSet<String>) -> ValueId {
        let taken: HashSet<&str> = names.iter().map(String::as_str).collect();
        let name = free_name(name, &taken);
        names.insert(name.clone());
        self.values.push(Value { name, constant: None });
        ValueId(self.values.len() - 1)
    }
}
