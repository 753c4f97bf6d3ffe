//! Graphs in attributes: what they read of the graph around them, put in its place, or kept as a [`Body`].

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::builder::{Fact, Importer};
use super::{NodeView, import_node, sorted, sparse_name};
use crate::onnx::proto::{GraphProto, NodeProto, TensorProto};
use crate::onnx::symbolic::{Extent, Shape};
use crate::ops::Body;
use crate::{DType, Dim, Graph, GraphError, GraphInput, Node, Op, Tensor, Value, ValueId};

/// Values that a node reads: its inputs, and what graphs in its attributes read of what surrounds them.
pub(super) fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    for graph in node.attribute.iter().filter_map(|attribute| attribute.g.as_deref()) {
        names.extend(captured(graph));
    }
    names
}

/// Names that a graph in an attribute makes itself, which hide those around it.
pub(super) fn own(graph: &GraphProto) -> HashSet<&str> {
    let made = graph.node.iter().flat_map(|node| &node.output).map(String::as_str);
    let given = graph.input.iter().map(|input| input.name.as_str());
    let sparse = graph.sparse_initializer.iter().map(sparse_name);
    let constants = graph.initializer.iter().map(|tensor| tensor.name.as_str()).chain(sparse);
    made.chain(given).chain(constants).filter(|name| !name.is_empty()).collect()
}

/// Values that a graph in an attribute reads and does not make.
fn captured(graph: &GraphProto) -> Vec<&str> {
    let own = own(graph);
    let outputs = graph.output.iter().map(|output| output.name.as_str());
    let read = graph.node.iter().flat_map(reads).chain(outputs);
    read.filter(|name| !own.contains(name)).collect()
}

/// Gives the values of a graph their new names, those that graphs in attributes read included.
pub(super) fn rename(node: &mut NodeProto, renamed: &HashMap<&str, String>) {
    let new = |name: &mut String| {
        if let Some(fresh) = renamed.get(name.as_str()) {
            name.clone_from(fresh);
        }
    };
    node.input.iter_mut().chain(&mut node.output).for_each(new);
    for graph in node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_deref_mut()) {
        let hidden: HashSet<String> = own(graph).into_iter().map(str::to_owned).collect();
        let outer: HashMap<&str, String> = renamed
            .iter()
            .filter(|(name, _)| !hidden.contains(**name))
            .map(|(name, fresh)| (*name, fresh.clone()))
            .collect();
        graph.node.iter_mut().for_each(|inner| rename(inner, &outer));
        for output in &mut graph.output {
            if let Some(fresh) = outer.get(output.name.as_str()) {
                output.name.clone_from(fresh);
            }
        }
    }
}

/// An input of a graph in an attribute.
pub(crate) struct Given<'a> {
    /// Its name there.
    pub(crate) name: &'a str,
    /// Element type.
    pub(crate) dtype: DType,
    /// Extents.
    pub(crate) shape: Shape,
}

/// A graph in an attribute, imported for itself.
pub(crate) struct Scope {
    /// Values that are not of the graph around it start here.
    first: usize,
    /// Names that were made up for it.
    names: HashSet<String>,
    parameters: Vec<GraphInput>,
    values: Vec<Value>,
    nodes: Vec<Node>,
    outputs: Vec<ValueId>,
}

impl Importer {
    /// Adds the nodes of a graph in an attribute of `node` as if they stood in its place; `inputs` are the values that its
    /// inputs stand for. Returns the names of its outputs.
    pub(crate) fn inline(
        &mut self,
        node: &NodeView<'_>,
        graph: &GraphProto,
        inputs: &[String],
    ) -> Result<Vec<String>, GraphError> {
        if graph.input.len() != inputs.len() {
            let found = graph.input.len();
            return Err(node.invalid(format!("its graph has {found} inputs, expected {}", inputs.len())));
        }
        // Graphs have scopes of their own, in which names may stand that others have, too.
        let made = graph.node.iter().flat_map(|inner| &inner.output).filter(|name| !name.is_empty());
        let sparse = graph.sparse_initializer.iter().map(sparse_name);
        let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).chain(sparse).collect();
        let mut renamed: HashMap<&str, String> = HashMap::new();
        let listed = graph.initializer.iter().map(|t| t.name.as_str());
        let listed = listed.chain(graph.sparse_initializer.iter().map(sparse_name));
        for name in made.map(String::as_str).chain(listed) {
            let fresh = self.free_value_name(name);
            self.mark_read(&fresh);
            renamed.insert(name, fresh);
        }
        for (input, given) in graph.input.iter().zip(inputs) {
            renamed.insert(&input.name, given.clone());
        }
        let given = graph.input.iter().map(|input| input.name.as_str());
        let outside: HashSet<&str> = captured(graph).into_iter().chain(given).collect();
        let order = sorted(&graph.node, &outside, &constants).map_err(|cause| node.invalid(cause))?;
        for tensor in &graph.initializer {
            let name = renamed.get(tensor.name.as_str()).cloned().unwrap_or_default();
            let tensor = TensorProto { name, ..tensor.clone() };
            self.add_initializer(tensor).map_err(|cause| node.invalid(cause))?;
        }
        for tensor in &graph.sparse_initializer {
            let name = renamed.get(sparse_name(tensor)).cloned().unwrap_or_default();
            self.add_sparse_initializer(tensor.clone(), &name)?;
        }
        for idx in order {
            let mut proto = graph.node[idx].clone();
            rename(&mut proto, &renamed);
            let base = if proto.name.is_empty() {
                format!("{}.{}_{idx}", node.name(), proto.op_type)
            } else {
                proto.name.clone()
            };
            let inner = NodeView::new(&proto, self.free_node_name(&base), node.opset());
            import_node(&inner, self)?;
            self.check_outputs(&inner)?;
        }
        let name = |output: &str| renamed.get(output).cloned().unwrap_or_else(|| output.to_owned());
        Ok(graph.output.iter().map(|output| name(&output.name)).collect())
    }

    /// Imports a graph in an attribute of `node` for itself, with inputs of the given types.
    pub(crate) fn scope(
        &mut self,
        node: &NodeView<'_>,
        graph: &GraphProto,
        inputs: Vec<(DType, Shape)>,
    ) -> Result<Scope, GraphError> {
        if graph.input.len() != inputs.len() {
            let found = graph.input.len();
            return Err(node.invalid(format!("its graph has {found} inputs, expected {}", inputs.len())));
        }
        let named = graph.input.iter().zip(inputs);
        let given = named.map(|(input, (dtype, shape))| Given { name: &input.name, dtype, shape }).collect();
        self.scope_of(node, given, |importer, names| importer.inline(node, graph, names))
    }

    /// Imports for itself what `import` makes of inputs of the given types; it gets their names and says the outputs'.
    pub(crate) fn scope_of(
        &mut self,
        node: &NodeView<'_>,
        inputs: Vec<Given<'_>>,
        import: impl FnOnce(&mut Self, &[String]) -> Result<Vec<String>, GraphError>,
    ) -> Result<Scope, GraphError> {
        let place = self.place();
        let mut names = Vec::with_capacity(inputs.len());
        let mut parameters = Vec::with_capacity(inputs.len());
        for Given { name, dtype, shape } in inputs {
            let cause = || node.unsupported(format!("\"{name}\" of unknown rank in a graph of its own"));
            let dims = dims(&shape).ok_or_else(cause)?;
            let name = self.free_value_name(name);
            let value = self.new_value(&name, Fact { dtype, shape });
            names.push(name);
            parameters.push(GraphInput { value, dtype, dims });
        }
        let mut outputs: Vec<ValueId> = Vec::new();
        for name in import(self, &names)? {
            let id = self.value_named(node, &name)?;
            let is_again = outputs.contains(&id);
            outputs.push(match self.value_at(id).constant.clone() {
                // A graph gives what it makes itself, and gives it once.
                Some(constant) if is_again => self.new_constant(&name, constant),
                None if is_again || id.0 < place.values => self.copied(node, id, &name)?,
                _ => id,
            });
        }
        let (values, nodes) = self.take_back(&place);
        let names = self.value_names_since(&place);
        Ok(Scope { first: place.values, names, parameters, values, nodes, outputs })
    }

    /// Another value of the same elements.
    fn copied(&mut self, node: &NodeView<'_>, id: ValueId, name: &str) -> Result<ValueId, GraphError> {
        let name = self.free_value_name(&format!("{name}.copy"));
        let node_name = self.free_node_name(&name);
        let ids = self.emit_as(node, node_name, Op::Identity, vec![Some(id)], &[&name])?;
        ids.first().copied().ok_or_else(|| node.invalid("no output"))
    }

    /// A scope as a graph, whose further inputs are the values `captured` of the graph around it. Constants of the graph
    /// around it that it reads become its own, under names of their own.
    pub(crate) fn body(
        &mut self,
        node: &NodeView<'_>,
        name: &str,
        scope: Scope,
        captured: &[ValueId],
    ) -> Result<Body, GraphError> {
        let mut constants: HashMap<ValueId, Value> = HashMap::new();
        let read = scope.nodes.iter().flat_map(|inner| inner.inputs.iter().flatten()).chain(&scope.outputs);
        for &id in read {
            let read = match id.0.checked_sub(scope.first) {
                Some(inside) => &scope.values[inside],
                None => self.value_at(id),
            };
            // A constant of the graph around it may have become a value in here.
            let is_own = id.0 >= scope.first && scope.names.contains(&read.name);
            let Value { name, constant: Some(tensor) } = read.clone() else { continue };
            if let (false, Entry::Vacant(own)) = (is_own, constants.entry(id)) {
                own.insert(Value { name: self.free_value_name(&name), constant: Some(tensor) });
            }
        }
        let mut values: Vec<Value> = Vec::new();
        let mut places: HashMap<ValueId, ValueId> = HashMap::new();
        let mut add = |id: ValueId, value: Value| {
            *places.entry(id).or_insert_with(|| {
                values.push(value);
                ValueId(values.len() - 1)
            })
        };
        let value = |id: ValueId| match (constants.get(&id), id.0.checked_sub(scope.first)) {
            (Some(constant), _) => constant.clone(),
            (None, Some(inside)) => scope.values[inside].clone(),
            (None, None) => self.value_at(id).clone(),
        };
        let mut inputs = Vec::new();
        for input in scope.parameters.iter().cloned() {
            inputs.push(GraphInput { value: add(input.value, value(input.value)), ..input });
        }
        for &id in captured {
            let cause = || node.unsupported(format!("\"{}\" of unknown rank in a graph of its own", value(id).name));
            let dims = dims(self.shape(id)).ok_or_else(cause)?;
            inputs.push(GraphInput { value: add(id, value(id)), dtype: self.dtype(id), dims });
        }
        let mut nodes = Vec::with_capacity(scope.nodes.len());
        for inner in &scope.nodes {
            let read = inner.inputs.iter().map(|id| id.map(|id| add(id, value(id)))).collect();
            let made = inner.outputs.iter().map(|&id| add(id, value(id))).collect();
            nodes.push(Node { inputs: read, outputs: made, ..inner.clone() });
        }
        let outputs = scope.outputs.iter().map(|&id| add(id, value(id))).collect();
        Body::new(Graph::new(name, inputs, outputs, values, nodes)?)
    }

    /// The values of the graph around them that `scopes` read, in the order in which they do.
    pub(crate) fn captured(&self, scopes: &[&Scope]) -> Vec<ValueId> {
        let mut found = Vec::new();
        for scope in scopes {
            let read = scope.nodes.iter().flat_map(|node| node.inputs.iter().flatten()).chain(&scope.outputs);
            for &id in read.filter(|id| id.0 < scope.first) {
                if self.value_at(id).constant.is_none() && !found.contains(&id) {
                    found.push(id);
                }
            }
        }
        found
    }

    /// A branch of an `If` for itself. Where the network is read for inputs of given extents, a branch that they do not fit
    /// is none: why it is not read.
    pub(crate) fn branch(
        &mut self,
        node: &NodeView<'_>,
        graph: &GraphProto,
    ) -> Result<Result<Scope, String>, GraphError> {
        let place = self.place();
        match self.scope(node, graph, Vec::new()) {
            Ok(scope) => Ok(Ok(scope)),
            Err(error) if self.is_for_extents => {
                self.take_back(&place);
                self.forget_names(&place);
                Ok(Err(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// Tries to import `node`, and undoes what that did where it fails or gives nothing.
    pub(crate) fn attempt(
        &mut self,
        node: &NodeView<'_>,
        import: impl FnOnce(&mut Self) -> Result<Option<()>, GraphError>,
    ) -> Option<()> {
        let place = self.place();
        match import(self) {
            Ok(Some(())) => Some(()),
            Ok(None) | Err(_) => {
                self.take_back(&place);
                self.forget_names(&place);
                node.outputs().iter().for_each(|output| self.unbind(output));
                None
            }
        }
    }

    /// A constant that a graph in an attribute reads under a name of its own.
    pub(crate) fn given_constant(&mut self, node: &NodeView<'_>, label: &str, tensor: Tensor) -> String {
        let name = self.free_value_name(&format!("{}.{label}", node.name()));
        self.add_constant(&name, tensor);
        name
    }
}

/// Extents of an input of a graph; `None` where their number is unknown. Open ones have no name.
fn dims(shape: &Shape) -> Option<Vec<Dim>> {
    let dim = |extent: &Extent| extent.known().map_or_else(|| Dim::Free(String::new()), Dim::Fixed);
    Some(shape.as_ref()?.iter().map(dim).collect())
}
