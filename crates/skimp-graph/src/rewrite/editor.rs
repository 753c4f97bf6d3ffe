//! The parts of a graph while they are changed.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};

use crate::shape::{self, Shapes};
use crate::{Dim, Graph, GraphError, GraphInput, Node, Op, Tensor, Value, ValueId};

/// Extents that open axes other than the first take while an edited graph is checked.
const TRIAL_EXTENTS: [usize; 12] = [224, 32, 28, 64, 16, 8, 299, 256, 320, 416, 512, 640];

/// Where a node is inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge<'a> {
    /// Before one input of a node.
    Input {
        /// Name of the node that reads.
        node: &'a str,
        /// Which of its inputs.
        input: usize,
    },
    /// Before one output of the network, by its position. The output keeps its name, unless the value is an input of
    /// the network or a constant, or an output twice: those keep theirs, and the output bears the new node's.
    Output(usize),
    /// Behind a value: before all that read it, outputs of the network among them.
    Value(ValueId),
}

/// A graph that is being changed. The graph it comes from stays as it is.
///
/// An edit names nodes by their names and values by their ids, which stay valid until [`finish`](Self::finish). Several
/// edits may pass through a state that is no network (a layer makes fewer channels than its reader takes); `finish`
/// checks what they lead to. Name, metadata, documentation, inputs, outputs and everything an edit does not touch are
/// kept. What only a removed node read or made goes with it.
///
/// # Examples
/// A channel less between two layers:
/// ```
/// use skimp_graph::rewrite::Editor;
/// use skimp_graph::{DType, Dim, GraphBuilder, Op, Tensor};
///
/// let mut builder = GraphBuilder::new("two-layers");
/// let x = builder.input("x", DType::F32, vec![Dim::Free("N".to_owned()), Dim::Fixed(2)]);
/// let w1 = builder.constant("w1", Tensor::from_f32(vec![2, 3], vec![1.0; 6]));
/// let h = builder.node("first", Op::MatMul, &[x, w1]);
/// let w2 = builder.constant("w2", Tensor::from_f32(vec![3, 1], vec![1.0; 3]));
/// let y = builder.node("second", Op::MatMul, &[h, w2]);
/// builder.output(y);
/// let graph = builder.build()?;
///
/// let mut editor = Editor::new(&graph);
/// editor.keep_outputs("first", &[0, 2])?;
/// editor.keep_inputs("second", &[0, 2])?;
/// let smaller = editor.finish()?;
/// assert_eq!(smaller.constant(w1).map(Tensor::shape), Some(&[2, 2][..]));
///
/// let mut editor = Editor::new(&graph);
/// editor.keep_outputs("first", &[0, 2])?;
/// let error = editor.finish().unwrap_err().to_string();
/// assert!(error.contains("second"), "{error}");
/// # Ok::<(), skimp_graph::GraphError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Editor<'g> {
    original: &'g Graph,
    /// Types of the original's values, where extents are found that it takes.
    original_shapes: OnceCell<Option<Shapes>>,
    name: String,
    pub(super) inputs: Vec<GraphInput>,
    pub(super) outputs: Vec<ValueId>,
    /// A value without a name has been removed.
    pub(super) values: Vec<Value>,
    pub(super) nodes: Vec<Node>,
    doc: String,
    metadata: Vec<(String, String)>,
}

impl<'g> Editor<'g> {
    /// All parts of `graph`.
    pub fn new(graph: &'g Graph) -> Self {
        Self {
            original: graph,
            original_shapes: OnceCell::new(),
            name: graph.name().to_owned(),
            inputs: graph.inputs().to_vec(),
            outputs: graph.outputs().to_vec(),
            values: graph.values().to_vec(),
            nodes: graph.nodes().to_vec(),
            doc: graph.doc().to_owned(),
            metadata: graph.all_metadata().to_vec(),
        }
    }

    /// The nodes as they stand.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node as it stands.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The output values as they stand.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// The name of a value; `None` for one that an edit removed.
    pub fn value_name(&self, id: ValueId) -> Option<&str> {
        self.values.get(id.0).map(|value| value.name.as_str()).filter(|name| !name.is_empty())
    }

    /// The value of that name.
    pub fn value(&self, name: &str) -> Option<ValueId> {
        self.values.iter().position(|value| value.name == name && !name.is_empty()).map(ValueId)
    }

    /// The constant behind a value, if it is one.
    pub fn constant(&self, id: ValueId) -> Option<&Tensor> {
        self.values.get(id.0)?.constant.as_ref()
    }

    /// Gives the network another name.
    pub fn rename(&mut self, name: impl Into<String>) {
        self.name = name.into();
    }

    /// Gives a node another name.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if there is no such node, or the name is empty or another node's.
    pub fn rename_node(&mut self, node: &str, name: &str) -> Result<(), GraphError> {
        let idx = self.position(node)?;
        self.check_node_name(name, Some(idx))?;
        name.clone_into(&mut self.nodes[idx].name);
        Ok(())
    }

    /// Gives a value another name.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if there is no such value, or the name is empty or another value's.
    pub fn rename_value(&mut self, id: ValueId, name: &str) -> Result<(), GraphError> {
        self.check_value(id)?;
        if name.is_empty() || self.value(name).is_some_and(|other| other != id) {
            return Err(self.invalid(format!("value \"{}\" cannot be named \"{name}\"", self.values[id.0].name)));
        }
        name.clone_into(&mut self.values[id.0].name);
        Ok(())
    }

    /// Fixes or opens the extents of an input of the network.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if there is no such input.
    pub fn set_input_dims(&mut self, input: usize, dims: Vec<Dim>) -> Result<(), GraphError> {
        match self.inputs.get_mut(input) {
            Some(input) => input.dims = dims,
            None => return Err(self.invalid(format!("has no input {input}"))),
        }
        Ok(())
    }

    /// Makes these values the outputs of the network.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if one does not exist.
    pub fn set_outputs(&mut self, outputs: Vec<ValueId>) -> Result<(), GraphError> {
        outputs.iter().try_for_each(|&id| self.check_value(id))?;
        self.outputs = outputs;
        Ok(())
    }

    /// Adds a constant named `name`, or with a number behind it where that is taken.
    pub fn add_constant(&mut self, name: &str, tensor: Tensor) -> ValueId {
        self.add_value(name, Some(tensor))
    }

    /// Puts another tensor behind a constant, for all that read it.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if the value is no constant.
    pub fn set_constant(&mut self, id: ValueId, tensor: Tensor) -> Result<(), GraphError> {
        self.check_constant(id)?;
        self.values[id.0].constant = Some(tensor);
        Ok(())
    }

    /// Makes a node read another value, or, with `None`, leave an optional input out.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if the node or the value does not exist.
    pub fn set_input(&mut self, node: &str, input: usize, value: Option<ValueId>) -> Result<(), GraphError> {
        let idx = self.position(node)?;
        value.map_or(Ok(()), |id| self.check_value(id))?;
        let inputs = &mut self.nodes[idx].inputs;
        inputs.resize(inputs.len().max(input + 1), None);
        let old = std::mem::replace(&mut inputs[input], value);
        self.release_constants(old.into_iter());
        Ok(())
    }

    /// Gives a node another operator, or other attributes.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if there is no such node.
    pub fn replace_op(&mut self, node: &str, op: Op) -> Result<(), GraphError> {
        let idx = self.position(node)?;
        self.nodes[idx].op = op;
        Ok(())
    }

    /// Inserts a node with one output: its first input is what the edge carried, `others` are its other inputs.
    /// Returns the value that lies behind it. The output is named like the node where that name is free.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if the name is empty or taken, or the edge or a value does not exist.
    pub fn insert(
        &mut self,
        edge: Edge<'_>,
        name: &str,
        op: Op,
        others: &[Option<ValueId>],
    ) -> Result<ValueId, GraphError> {
        self.check_node_name(name, None)?;
        others.iter().flatten().try_for_each(|&id| self.check_value(id))?;
        let (before, behind) = match edge {
            Edge::Input { node, input } => {
                let idx = self.position(node)?;
                let Some(before) = self.nodes[idx].inputs.get(input).copied().flatten() else {
                    return Err(self.invalid_node(idx, format!("has no input {input}")));
                };
                let behind = self.add_value(name, None);
                self.nodes[idx].inputs[input] = Some(behind);
                (before, behind)
            }
            Edge::Output(position) => {
                let Some(&value) = self.outputs.get(position) else {
                    return Err(self.invalid(format!("has no output {position}")));
                };
                let is_once = self.outputs.iter().filter(|&&output| output == value).count() == 1;
                match self.producer(value).filter(|_| is_once) {
                    Some(producer) => {
                        let before = self.split(value, producer, name);
                        self.nodes.iter_mut().for_each(|node| replace_inputs(node, value, before));
                        (before, value)
                    }
                    None => {
                        let behind = self.add_value(name, None);
                        self.outputs[position] = behind;
                        (value, behind)
                    }
                }
            }
            Edge::Value(value) => {
                self.check_value(value)?;
                match self.producer(value).filter(|_| self.outputs.contains(&value)) {
                    Some(producer) => (self.split(value, producer, name), value),
                    None => {
                        let behind = self.add_value(name, None);
                        self.replace_uses(value, behind);
                        (value, behind)
                    }
                }
            }
        };
        let inputs = std::iter::once(Some(before)).chain(others.iter().copied()).collect();
        let node = Node { name: name.to_owned(), op, inputs, outputs: vec![behind] };
        let place = self.nodes.iter().position(|node| node.inputs.contains(&Some(behind)));
        self.nodes.insert(place.unwrap_or(self.nodes.len()), node);
        Ok(behind)
    }

    /// Removes a node; its readers get its first input.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if there is no such node, [`GraphError::InvalidNode`] if it has no first input, if
    /// an output other than the first is used, or if removing it would take the name of an output of the network away.
    pub fn remove_node(&mut self, node: &str) -> Result<(), GraphError> {
        let idx = self.position(node)?;
        let used = self.nodes[idx].outputs.iter().skip(1).find(|&&output| self.n_uses(output) > 0);
        if let Some(used) = used {
            return Err(self.invalid_node(idx, format!("its output \"{}\" is used", self.values[used.0].name)));
        }
        self.bypass(idx).map_err(|cause| self.invalid_node(idx, cause))
    }

    /// As [`remove_node`](Self::remove_node), by index; the outputs after the first are unused. Changes nothing where it
    /// fails.
    pub(super) fn bypass(&mut self, idx: usize) -> Result<(), &'static str> {
        let node = &self.nodes[idx];
        let (Some(&Some(input)), Some(&output)) = (node.inputs.first(), node.outputs.first()) else {
            return Err("has no first input that could take its place");
        };
        if self.outputs.contains(&output) {
            let Some(producer) = self.producer(input) else {
                return Err("an output of the network has its name only here: it hands on an input or a constant");
            };
            if self.outputs.contains(&input) {
                return Err("it hands an output of the network on to another output, which has its name only here");
            }
            // The producer of the input makes the output under the output's name instead.
            let node = self.nodes.remove(idx);
            let producer = if producer > idx { producer - 1 } else { producer };
            self.replace_uses(input, output);
            replace_value(&mut self.nodes[producer].outputs, input, output);
            self.drop_value(input);
            node.outputs[1..].iter().for_each(|&id| self.drop_value(id));
            self.release_constants(node.inputs.into_iter().flatten());
        } else {
            let node = self.nodes.remove(idx);
            self.replace_uses(output, input);
            node.outputs.iter().for_each(|&id| self.drop_value(id));
            self.release_constants(node.inputs.into_iter().flatten());
        }
        Ok(())
    }

    /// The changed graph.
    ///
    /// It has been checked like any other ([`Graph::new`]), and shapes have been inferred: for extents that the original
    /// graph takes where there are any, with batches and extents of open axes tried in turn.
    ///
    /// # Errors
    /// What [`Graph::new`] and [`shape::infer`] find, with the node and the reason.
    pub fn finish(self) -> Result<Graph, GraphError> {
        let original = self.original;
        let graph = self.assemble()?;
        check_shapes(&graph, original)?;
        Ok(graph)
    }

    /// The changed graph without a check of its shapes, for rewrites that keep them.
    pub(super) fn rebuilt(self) -> Graph {
        self.assemble().expect("a rewrite keeps a graph well-formed")
    }

    fn assemble(mut self) -> Result<Graph, GraphError> {
        let is_kept: Vec<bool> = self.values.iter().map(|value| !value.name.is_empty()).collect();
        let nodes = self.nodes.iter().map(|node| (node.name.as_str(), node.inputs.iter().flatten()));
        for (node, mut inputs) in nodes {
            if inputs.any(|id| !is_kept.get(id.0).copied().unwrap_or(false)) {
                return Err(self.invalid(format!("node \"{node}\" reads a value that was removed")));
            }
        }
        if self.outputs.iter().any(|id| !is_kept.get(id.0).copied().unwrap_or(false)) {
            return Err(self.invalid("an output was removed"));
        }
        self.compact(&is_kept);
        let graph = Graph::new(self.name, self.inputs, self.outputs, self.values, self.nodes)?.with_doc(self.doc);
        Ok(self.metadata.into_iter().fold(graph, |graph, (key, value)| graph.with_metadata(key, value)))
    }

    /// Leaves out the values that are not kept, which nothing may refer to.
    pub(super) fn compact(&mut self, is_kept: &[bool]) {
        let mut n_kept = 0;
        let mut new_ids = Vec::with_capacity(is_kept.len());
        for &is_kept in is_kept {
            new_ids.push(ValueId(n_kept));
            n_kept += usize::from(is_kept);
        }
        let mut keep = is_kept.iter().copied();
        self.values.retain(|_| keep.next().unwrap_or(false));
        let of_nodes = self.nodes.iter_mut().flat_map(|node| node.inputs.iter_mut().flatten().chain(&mut node.outputs));
        let of_inputs = self.inputs.iter_mut().map(|input| &mut input.value);
        for id in of_nodes.chain(of_inputs).chain(&mut self.outputs) {
            *id = new_ids[id.0];
        }
    }

    /// Extents of a value of the original graph, if they could be inferred.
    pub(super) fn original_shape(&self, id: ValueId) -> Option<&[usize]> {
        let shapes = self.original_shapes.get_or_init(|| trial_shapes(self.original).ok());
        shapes.as_ref()?.get(id).map(|found| found.shape.as_slice())
    }

    /// The index of a node.
    pub(super) fn position(&self, node: &str) -> Result<usize, GraphError> {
        let found = self.nodes.iter().position(|other| other.name == node);
        found.ok_or_else(|| self.invalid(format!("has no node \"{node}\"")))
    }

    /// The index of the node that makes a value.
    pub(super) fn producer(&self, id: ValueId) -> Option<usize> {
        self.nodes.iter().position(|node| node.outputs.contains(&id))
    }

    /// How often nodes and the network's outputs use a value.
    pub(super) fn n_uses(&self, id: ValueId) -> usize {
        let uses = self.nodes.iter().flat_map(|node| node.inputs.iter().flatten()).chain(&self.outputs);
        uses.filter(|&&used| used == id).count()
    }

    /// Makes every reader of `from`, and the network's outputs, use `to`.
    pub(super) fn replace_uses(&mut self, from: ValueId, to: ValueId) {
        self.nodes.iter_mut().for_each(|node| replace_inputs(node, from, to));
        replace_value(&mut self.outputs, from, to);
    }

    /// Puts a constant into an input: in place where no other node reads it, else as a new one.
    pub(super) fn put_constant(&mut self, node: usize, input: usize, tensor: Tensor, name: &str) {
        let old = self.nodes[node].inputs.get(input).copied().flatten();
        match old {
            Some(id) if self.n_uses(id) == 1 => self.values[id.0].constant = Some(tensor),
            Some(_) | None => {
                let id = self.add_constant(name, tensor);
                let inputs = &mut self.nodes[node].inputs;
                inputs.resize(inputs.len().max(input + 1), None);
                inputs[input] = Some(id);
            }
        }
    }

    /// Adds a value named `name`, or with a number behind it where that is taken.
    pub(super) fn add_value(&mut self, name: &str, constant: Option<Tensor>) -> ValueId {
        let taken: HashSet<&str> = self.values.iter().map(|value| value.name.as_str()).collect();
        let name = free_name(name, &taken);
        self.values.push(Value { name, constant });
        ValueId(self.values.len() - 1)
    }

    /// Removes a value that nothing uses.
    pub(super) fn drop_value(&mut self, id: ValueId) {
        self.values[id.0] = Value { name: String::new(), constant: None };
    }

    /// Removes those of the values that are constants which nothing uses any more.
    pub(super) fn release_constants(&mut self, ids: impl Iterator<Item = ValueId>) {
        for id in ids {
            if self.constant(id).is_some() && self.n_uses(id) == 0 {
                self.drop_value(id);
            }
        }
    }

    /// Lets the producer of `value` make a new value, so that another node can make `value`.
    fn split(&mut self, value: ValueId, producer: usize, node: &str) -> ValueId {
        let name = format!("{}.before.{node}", self.values[value.0].name);
        let before = self.add_value(&name, None);
        replace_value(&mut self.nodes[producer].outputs, value, before);
        before
    }

    fn check_node_name(&self, name: &str, of: Option<usize>) -> Result<(), GraphError> {
        let is_taken = self.nodes.iter().enumerate().any(|(idx, node)| Some(idx) != of && node.name == name);
        if name.is_empty() || is_taken {
            return Err(self.invalid(format!("a node cannot be named \"{name}\": the name is empty or taken")));
        }
        Ok(())
    }

    pub(super) fn check_value(&self, id: ValueId) -> Result<(), GraphError> {
        match self.value_name(id) {
            Some(_) => Ok(()),
            None => Err(self.invalid(format!("has no value {}", id.0))),
        }
    }

    pub(super) fn check_constant(&self, id: ValueId) -> Result<&Tensor, GraphError> {
        self.check_value(id)?;
        self.constant(id).ok_or_else(|| self.invalid(format!("value \"{}\" is no constant", self.values[id.0].name)))
    }

    pub(super) fn invalid(&self, cause: impl Into<String>) -> GraphError {
        GraphError::InvalidGraph { graph: self.name.clone(), cause: cause.into() }
    }

    pub(super) fn invalid_node(&self, idx: usize, cause: impl Into<String>) -> GraphError {
        GraphError::invalid_node(&self.nodes[idx].name, self.nodes[idx].op.name(), cause)
    }
}

/// `base`, or `base` with the lowest number behind it that makes it unique.
pub(crate) fn free_name(base: &str, taken: &HashSet<&str>) -> String {
    let numbered = (2_u64..).map(|i| format!("{base}.{i}"));
    let mut names = std::iter::once(base.to_owned()).chain(numbered);
    names.find(|name| !taken.contains(name.as_str())).expect("there are more numbers than names")
}

fn replace_inputs(node: &mut Node, from: ValueId, to: ValueId) {
    node.inputs.iter_mut().flatten().filter(|id| **id == from).for_each(|id| *id = to);
}

fn replace_value(ids: &mut [ValueId], from: ValueId, to: ValueId) {
    ids.iter_mut().filter(|id| **id == from).for_each(|id| *id = to);
}

/// The types of all values, for extents that a graph takes: a batch of one image where it can be chosen, and usual
/// heights and widths where they are open.
///
/// # Errors
/// What is wrong with the first ones that were tried, if none fit.
pub fn trial_shapes(graph: &Graph) -> Result<Shapes, GraphError> {
    first_fit(graph, trials(graph.inputs()))
}

/// As [`trial_shapes`] for `batch` images, wherever their number can be chosen.
///
/// # Errors
/// As [`trial_shapes`].
pub fn batch_shapes(graph: &Graph, batch: usize) -> Result<Shapes, GraphError> {
    first_fit(graph, TRIAL_EXTENTS.iter().map(|&extent| trial(graph.inputs(), batch, extent)))
}

fn first_fit(graph: &Graph, trials: impl Iterator<Item = Vec<Vec<usize>>>) -> Result<Shapes, GraphError> {
    let mut first_error = None;
    for extents in trials {
        match shape::infer(graph, &extents) {
            Ok(shapes) => return Ok(shapes),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| GraphError::InvalidGraph {
        graph: graph.name().to_owned(),
        cause: "no extents of its inputs were found that it takes".to_owned(),
    }))
}

/// Infers the shapes of an edited graph.
fn check_shapes(graph: &Graph, original: &Graph) -> Result<(), GraphError> {
    let mut first_error = None;
    for extents in trials(graph.inputs()) {
        match shape::infer(graph, &extents) {
            Ok(_) => return Ok(()),
            Err(error) if shape::infer(original, &extents).is_ok() => return Err(error),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// Extents that the inputs may take, most likely ones first: batches of 1, 2 and 3, and extents for other open axes,
/// one for each name.
fn trials(inputs: &[GraphInput]) -> impl Iterator<Item = Vec<Vec<usize>>> {
    let is_open = |dims: &[Dim]| dims.iter().any(|dim| matches!(dim, Dim::Free(_)));
    let has_open_inside = inputs.iter().any(|input| is_open(input.dims.get(1..).unwrap_or_default()));
    let extents = if has_open_inside { &TRIAL_EXTENTS[..] } else { &TRIAL_EXTENTS[..1] };
    extents.iter().flat_map(move |&extent| (1..=3).map(move |batch| trial(inputs, batch, extent)))
}

fn trial(inputs: &[GraphInput], batch: usize, extent: usize) -> Vec<Vec<usize>> {
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    let batches = inputs.iter().filter_map(|input| match input.dims.first() {
        Some(Dim::Free(name)) => Some(name.as_str()),
        _ => None,
    });
    named.extend(batches.filter(|name| !name.is_empty()).map(|name| (name, batch)));
    let of = |(axis, dim): (usize, &Dim)| match dim {
        Dim::Fixed(fixed) => *fixed,
        Dim::Free(_) if axis == 0 => batch,
        Dim::Free(name) => named.get(name.as_str()).copied().unwrap_or(extent),
    };
    inputs.iter().map(|input| input.dims.iter().enumerate().map(of).collect()).collect()
}
