//! The parts of a graph in the making.

use std::collections::HashSet;

use crate::rewrite::{free_name, remove_dead};
use crate::{Graph, GraphError, Node, Op, Tensor, Value, ValueId};

/// Values of a graph, and nodes that are put together anew.
pub(super) struct Parts {
    pub(super) values: Vec<Value>,
    pub(super) nodes: Vec<Node>,
    value_names: HashSet<String>,
    node_names: HashSet<String>,
}

impl Parts {
    /// The values of `graph`, and no nodes.
    pub(super) fn new(graph: &Graph) -> Self {
        Self {
            values: graph.values().to_vec(),
            nodes: Vec::with_capacity(graph.nodes().len()),
            value_names: graph.values().iter().map(|value| value.name.clone()).collect(),
            node_names: graph.nodes().iter().map(|node| node.name.clone()).collect(),
        }
    }

    /// A new value of about that name.
    pub(super) fn value(&mut self, name: &str, constant: Option<Tensor>) -> ValueId {
        let name = free(name, &mut self.value_names);
        self.values.push(Value { name, constant });
        ValueId(self.values.len() - 1)
    }

    /// About that name, for a new node.
    pub(super) fn node_name(&mut self, name: &str) -> String {
        free(name, &mut self.node_names)
    }

    /// A new constant of one number.
    pub(super) fn scalar(&mut self, name: &str, value: f32) -> ValueId {
        self.value(name, Some(Tensor::from_f32(Vec::new(), vec![value])))
    }

    /// Adds a node that makes `product`.
    pub(super) fn multiply(&mut self, name: &str, x: ValueId, factor: ValueId, product: ValueId) {
        let name = self.node_name(name);
        self.nodes.push(Node { name, op: Op::Mul, inputs: vec![Some(x), Some(factor)], outputs: vec![product] });
    }

    /// Multiplies a constant of a node, if it has one there, by a factor; other readers keep theirs.
    pub(super) fn scale_constant(&mut self, node: &mut Node, input: usize, factor: f32) {
        let Some(id) = node.inputs.get(input).copied().flatten() else { return };
        let value = &self.values[id.0];
        let Some((tensor, elements)) = value.constant.as_ref().and_then(|tensor| Some((tensor, tensor.as_f32()?)))
        else {
            return;
        };
        let scaled = elements.iter().map(|x| (f64::from(*x) * f64::from(factor)) as f32).collect();
        let (scaled, name) = (Tensor::from_f32(tensor.shape().to_vec(), scaled), value.name.clone());
        node.inputs[input] = Some(self.value(&name, Some(scaled)));
    }

    /// The graph, with inputs, outputs, notes and metadata of `of`; what is not needed is left out.
    pub(super) fn finish(self, of: &Graph) -> Result<Graph, GraphError> {
        let (inputs, outputs) = (of.inputs().to_vec(), of.outputs().to_vec());
        let graph = Graph::new(of.name(), inputs, outputs, self.values, self.nodes)?.with_doc(of.doc());
        let notes = of.all_metadata().iter();
        Ok(remove_dead(&notes.fold(graph, |graph, (key, value)| graph.with_metadata(key, value))))
    }
}

fn free(name: &str, taken: &mut HashSet<String>) -> String {
    let name = free_name(name, &taken.iter().map(String::as_str).collect());
    taken.insert(name.clone());
    name
}
