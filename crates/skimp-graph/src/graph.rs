//! The network graph.

use crate::{DType, GraphError, Op, Tensor};

/// Index of a [`Value`] in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub usize);

/// An extent that a network fixes or leaves open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Fixed by the network.
    Fixed(usize),
    /// Open, under a name (`"N"`, `"H"`, ...); empty where the file gives none.
    Free(String),
}

/// A network input.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphInput {
    /// The value that the input binds.
    pub value: ValueId,
    /// Element type.
    pub dtype: DType,
    /// Extents; the first is the batch where the network has one.
    pub dims: Vec<Dim>,
}

impl GraphInput {
    /// The tensors of a lowered network's inputs with the values that they bind, in order.
    ///
    /// # Errors
    /// [`GraphError::InvalidInput`] if their number, or an element type or an extent that is fixed, is another one.
    pub(crate) fn bind<'n, 't>(
        network: &str,
        inputs: &[Self],
        name: impl Fn(ValueId) -> &'n str,
        tensors: &'t [Tensor],
    ) -> Result<Vec<(ValueId, &'t Tensor)>, GraphError> {
        if tensors.len() != inputs.len() {
            let cause = format!("{} inputs, expected {}", tensors.len(), inputs.len());
            return Err(GraphError::InvalidInput { input: network.to_owned(), cause });
        }
        let mut bound = Vec::with_capacity(inputs.len());
        for (input, tensor) in inputs.iter().zip(tensors) {
            let fits = tensor.shape().len() == input.dims.len()
                && tensor.shape().iter().zip(&input.dims).all(|(&extent, dim)| match dim {
                    Dim::Fixed(fixed) => extent == *fixed,
                    Dim::Free(_) => true,
                });
            if !fits || tensor.dtype() != input.dtype {
                let (found, expected) = (tensor.dtype(), input.dtype);
                let cause = format!("given as {found} {:?}, expected {expected} {:?}", tensor.shape(), input.dims);
                return Err(GraphError::InvalidInput { input: name(input.value).to_owned(), cause });
            }
            bound.push((input.value, tensor));
        }
        Ok(bound)
    }
}

/// A tensor-valued edge of the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Unique name.
    pub name: String,
    /// The elements of a constant (weight, bias, ...).
    pub constant: Option<Tensor>,
}

/// One operator application.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique, never empty.
    pub name: String,
    /// The operator.
    pub op: Op,
    /// Inputs; `None` for an optional input left out.
    pub inputs: Vec<Option<ValueId>>,
    /// Outputs, at least one.
    pub outputs: Vec<ValueId>,
}

/// A network: values, and nodes in a topological order.
///
/// [`Graph::new`] is the only way to make one, so every `Graph` is acyclic, single-assignment and has unique names.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    name: String,
    inputs: Vec<GraphInput>,
    outputs: Vec<ValueId>,
    values: Vec<Value>,
    nodes: Vec<Node>,
    doc: String,
    metadata: Vec<(String, String)>,
}

impl Graph {
    /// Checks the parts and puts the nodes into a topological order (the given order where it is one already).
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if a value id is out of range, a value has two sources or none, a name is empty or
    /// occurs twice, a node has no output, or the nodes form a cycle.
    pub fn new(
        name: impl Into<String>,
        inputs: Vec<GraphInput>,
        outputs: Vec<ValueId>,
        values: Vec<Value>,
        nodes: Vec<Node>,
    ) -> Result<Self, GraphError> {
        let name = name.into();
        let nodes = check::sorted(&name, &inputs, &outputs, &values, nodes)?;
        Ok(Self { name, inputs, outputs, values, nodes, doc: String::new(), metadata: Vec::new() })
    }

    /// The same graph with a note that travels with it into ONNX files (`metadata_props`); a note with the same key is
    /// replaced.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let key = key.into();
        self.metadata.retain(|(known, _)| *known != key);
        self.metadata.push((key, value.into()));
        self
    }

    /// The same graph without the note under `key`.
    #[must_use]
    pub fn without_metadata(mut self, key: &str) -> Self {
        self.metadata.retain(|(known, _)| known != key);
        self
    }

    /// The note under `key`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// All notes, in the order in which they were added.
    pub fn all_metadata(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// The same graph with a text for people that travels with it into ONNX files (`doc_string`).
    #[must_use]
    pub fn with_doc(mut self, doc: impl Into<String>) -> Self {
        self.doc = doc.into();
        self
    }

    /// The text for people, empty where there is none.
    pub fn doc(&self) -> &str {
        &self.doc
    }

    /// Name of the network.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Inputs, without constants.
    pub fn inputs(&self) -> &[GraphInput] {
        &self.inputs
    }

    /// Output values, in order.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// All values.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// All nodes; every node comes after the nodes it reads from.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// The constant behind `id`, if it is one.
    pub fn constant(&self, id: ValueId) -> Option<&Tensor> {
        self.values[id.0].constant.as_ref()
    }

    /// For each value, the indices of the nodes that read it (a node once per use).
    pub fn consumers(&self) -> Vec<Vec<usize>> {
        let mut consumers = vec![Vec::new(); self.values.len()];
        for (node_idx, node) in self.nodes.iter().enumerate() {
            for input in node.inputs.iter().flatten() {
                consumers[input.0].push(node_idx);
            }
        }
        consumers
    }

    /// For each value, the index of the node that makes it.
    pub fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = vec![None; self.values.len()];
        for (node_idx, node) in self.nodes.iter().enumerate() {
            for output in &node.outputs {
                producers[output.0] = Some(node_idx);
            }
        }
        producers
    }
}

mod check {
    use std::collections::HashSet;

    use super::{GraphInput, Node, Value, ValueId};
    use crate::{GraphError, topology};

    /// The nodes in a topological order that keeps the given order where possible (Kahn, lowest index first).
    pub(super) fn sorted(
        graph: &str,
        inputs: &[GraphInput],
        outputs: &[ValueId],
        values: &[Value],
        nodes: Vec<Node>,
    ) -> Result<Vec<Node>, GraphError> {
        let invalid = |cause: String| GraphError::InvalidGraph { graph: graph.to_owned(), cause };
        names(values.iter().map(|v| v.name.as_str()), "value").map_err(invalid)?;
        names(nodes.iter().map(|n| n.name.as_str()), "node").map_err(invalid)?;

        let known = |id: ValueId, user: &str| {
            if id.0 < values.len() {
                Ok(())
            } else {
                Err(invalid(format!("{user} refers to a value that does not exist")))
            }
        };
        let mut producer: Vec<Option<usize>> = vec![None; values.len()];
        let mut has_source: Vec<bool> = values.iter().map(|v| v.constant.is_some()).collect();
        for input in inputs {
            known(input.value, "an input")?;
            if std::mem::replace(&mut has_source[input.value.0], true) {
                return Err(invalid(format!("value \"{}\" has two sources", values[input.value.0].name)));
            }
        }
        for (idx, node) in nodes.iter().enumerate() {
            if node.outputs.is_empty() {
                return Err(invalid(format!("node \"{}\" has no output", node.name)));
            }
            for &output in &node.outputs {
                known(output, &format!("node \"{}\"", node.name))?;
                if std::mem::replace(&mut has_source[output.0], true) {
                    return Err(invalid(format!("value \"{}\" has two sources", values[output.0].name)));
                }
                producer[output.0] = Some(idx);
            }
        }
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
        for (idx, node) in nodes.iter().enumerate() {
            for &input in node.inputs.iter().flatten() {
                known(input, &format!("node \"{}\"", node.name))?;
                if !has_source[input.0] {
                    return Err(invalid(format!(
                        "node \"{}\" reads \"{}\", which nothing produces",
                        node.name, values[input.0].name
                    )));
                }
                if let Some(source) = producer[input.0] {
                    readers[source].push(idx);
                }
            }
        }
        for &output in outputs {
            known(output, "an output")?;
            if !has_source[output.0] {
                return Err(invalid(format!("nothing produces the output \"{}\"", values[output.0].name)));
            }
        }

        let order = topology::order(&readers)
            .map_err(|idx| invalid(format!("the nodes form a cycle (through \"{}\")", nodes[idx].name)))?;
        let mut slots: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
        Ok(order.into_iter().filter_map(|i| slots[i].take()).collect())
    }

    fn names<'a>(names: impl Iterator<Item = &'a str>, what: &str) -> Result<(), String> {
        let mut seen = HashSet::new();
        for name in names {
            if name.is_empty() {
                return Err(format!("a {what} has no name"));
            }
            if !seen.insert(name) {
                return Err(format!("two {what}s are named \"{name}\""));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node that makes nothing could neither run nor fail: ONNX asks for an output of every node.
    #[test]
    fn every_node_has_an_output() {
        let value = Value { name: "x".into(), constant: None };
        let input = GraphInput { value: ValueId(0), dtype: DType::F32, dims: vec![Dim::Free("N".into())] };
        let op = Op::Split(crate::ops::Split { axis: 0, sizes: Vec::new() });
        let node = Node { name: "split".into(), op, inputs: vec![Some(ValueId(0))], outputs: Vec::new() };
        let error = Graph::new("empty", vec![input], vec![ValueId(0)], vec![value], vec![node]).unwrap_err();
        assert!(error.to_string().contains("node \"split\" has no output"), "{error}");
    }
}
