//! Rewrites: from a graph to an equivalent one.
//!
//! Every rewrite keeps the graph's inputs and outputs with their names and order, and the names of the values and
//! nodes that remain; value ids change. [`fold_constants`], [`remove_identities`] and [`remove_dead`] keep every result
//! bit for bit; [`fold_batch_norm`] keeps it up to rounding.

mod batch_norm;
mod constants;
mod dead;
mod identities;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use crate::{Graph, GraphInput, Node, Tensor, Value, ValueId};

pub use batch_norm::{BatchNormFolding, FoldedBatchNorm, KeptBatchNorm, KeptReason, fold_batch_norm};
pub use constants::fold_constants;
pub use dead::remove_dead;
pub use identities::remove_identities;

/// Folds constants, then removes identities and whatever no output needs.
pub fn simplify(graph: &Graph) -> Graph {
    remove_dead(&remove_identities(&fold_constants(graph)))
}

/// The parts of a graph while a rewrite works on them.
struct Parts {
    name: String,
    inputs: Vec<GraphInput>,
    outputs: Vec<ValueId>,
    values: Vec<Value>,
    nodes: Vec<Node>,
    metadata: Vec<(String, String)>,
}

impl Parts {
    fn of(graph: &Graph) -> Self {
        let metadata = graph.all_metadata().to_vec();
        let (name, inputs, outputs, values, nodes) = graph.clone().into_parts();
        Self { name, inputs, outputs, values, nodes, metadata }
    }

    fn finish(self) -> Graph {
        let graph = Graph::new(self.name, self.inputs, self.outputs, self.values, self.nodes)
            .expect("a rewrite keeps a graph well-formed");
        self.metadata.into_iter().fold(graph, |graph, (key, value)| graph.with_metadata(key, value))
    }

    /// Adds a constant named `name`, or with a number behind it where that is taken.
    fn add_constant(&mut self, name: &str, tensor: Tensor) -> ValueId {
        let taken: HashSet<&str> = self.values.iter().map(|value| value.name.as_str()).collect();
        let numbered = (2..).map(|i| format!("{name}.{i}"));
        let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken.contains(name.as_str()));
        let name = free.expect("there are more numbers than values");
        self.values.push(Value { name, constant: Some(tensor) });
        ValueId(self.values.len() - 1)
    }

    /// Makes every reader of `from`, and the graph's outputs, use `to`.
    fn replace_uses(&mut self, from: ValueId, to: ValueId) {
        for input in self.nodes.iter_mut().flat_map(|node| node.inputs.iter_mut()).flatten() {
            if *input == from {
                *input = to;
            }
        }
        for output in &mut self.outputs {
            if *output == from {
                *output = to;
            }
        }
    }
}
