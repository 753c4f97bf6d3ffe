//! Putting a graph together by hand.

use crate::{DType, Dim, Graph, GraphError, GraphInput, Node, Op, Tensor, Value, ValueId};

/// Collects inputs, constants and nodes, and ends in [`Graph::new`], which checks them.
///
/// # Examples
/// ```
/// use skimp_graph::{DType, Dim, GraphBuilder, Op};
///
/// let mut builder = GraphBuilder::new("relu");
/// let x = builder.input("x", DType::F32, vec![Dim::Free("N".to_owned()), Dim::Fixed(4)]);
/// let y = builder.node("relu1", Op::Relu, &[x]);
/// builder.output(y);
/// let graph = builder.build()?;
/// assert_eq!(graph.nodes().len(), 1);
/// # Ok::<(), skimp_graph::GraphError>(())
/// ```
#[derive(Clone, Debug)]
pub struct GraphBuilder {
    name: String,
    inputs: Vec<GraphInput>,
    outputs: Vec<ValueId>,
    values: Vec<Value>,
    nodes: Vec<Node>,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), inputs: Vec::new(), outputs: Vec::new(), values: Vec::new(), nodes: Vec::new() }
    }

    /// Adds an input.
    pub fn input(&mut self, name: impl Into<String>, dtype: DType, dims: Vec<Dim>) -> ValueId {
        let value = self.value(name.into(), None);
        self.inputs.push(GraphInput { value, dtype, dims });
        value
    }

    /// Adds a constant.
    pub fn constant(&mut self, name: impl Into<String>, tensor: Tensor) -> ValueId {
        self.value(name.into(), Some(tensor))
    }

    /// Adds a node with one output, which bears the node's name.
    pub fn node(&mut self, name: impl Into<String>, op: Op, inputs: &[ValueId]) -> ValueId {
        let name = name.into();
        let output = self.value(name.clone(), None);
        self.push(name, op, inputs, vec![output]);
        output
    }

    /// Adds a node with several outputs, which bear the node's name and a number.
    pub fn node_with_outputs(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: &[ValueId],
        n_outputs: usize,
    ) -> Vec<ValueId> {
        let name = name.into();
        let outputs: Vec<ValueId> = (0..n_outputs).map(|i| self.value(format!("{name}.{i}"), None)).collect();
        self.push(name, op, inputs, outputs.clone());
        outputs
    }

    /// Makes a value an output of the graph.
    pub fn output(&mut self, value: ValueId) {
        self.outputs.push(value);
    }

    /// The graph.
    ///
    /// # Errors
    /// As [`Graph::new`].
    pub fn build(self) -> Result<Graph, GraphError> {
        Graph::new(self.name, self.inputs, self.outputs, self.values, self.nodes)
    }

    fn value(&mut self, name: String, constant: Option<Tensor>) -> ValueId {
        self.values.push(Value { name, constant });
        ValueId(self.values.len() - 1)
    }

    fn push(&mut self, name: String, op: Op, inputs: &[ValueId], outputs: Vec<ValueId>) {
        self.nodes.push(Node { name, op, inputs: inputs.iter().copied().map(Some).collect(), outputs });
    }
}
