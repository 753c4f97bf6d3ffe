//! Functions that a file defines itself: nodes that call them become what they are made of.

use std::collections::{HashMap, HashSet};

use super::{is_default_domain, scope};
use crate::GraphError;
use crate::onnx::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto};
use crate::onnx::{MAX_OPSET, MIN_OPSET};

/// Most nodes that all calls together may become.
const MOST_NODES: usize = 1 << 20;

/// Deepest nesting of calls.
const DEEPEST: usize = 64;

/// Puts what functions are made of in the place of the nodes that call them, those in graphs of other nodes included.
pub(super) fn inline(graph: &mut GraphProto, functions: &[FunctionProto], opset: i64) -> Result<(), GraphError> {
    if functions.is_empty() {
        return Ok(());
    }
    let mut inliner =
        Inliner { functions: HashMap::new(), names: HashSet::new(), n_nodes: 0, calling: Vec::new(), opset };
    for function in functions {
        let domain = if is_default_domain(&function.domain) { "" } else { &function.domain };
        inliner.functions.insert((domain, &function.name, &function.overload), function);
    }
    inliner.take_names(graph);
    inliner.graph(graph)
}

struct Inliner<'f> {
    functions: HashMap<(&'f str, &'f str, &'f str), &'f FunctionProto>,
    /// Names of values that are taken.
    names: HashSet<String>,
    n_nodes: usize,
    /// The functions that are being put in place, outermost first, and the nodes that call them.
    calling: Vec<(&'f FunctionProto, String)>,
    opset: i64,
}

impl<'f> Inliner<'f> {
    fn take_names(&mut self, graph: &GraphProto) {
        self.names.extend(scope::own(graph).into_iter().map(str::to_owned));
        for inner in graph.node.iter().flat_map(|node| &node.attribute).filter_map(|attribute| attribute.g.as_deref()) {
            self.take_names(inner);
        }
    }

    fn graph(&mut self, graph: &mut GraphProto) -> Result<(), GraphError> {
        let nodes = std::mem::take(&mut graph.node);
        graph.node = self.nodes(nodes)?;
        Ok(())
    }

    fn nodes(&mut self, nodes: Vec<NodeProto>) -> Result<Vec<NodeProto>, GraphError> {
        let mut out = Vec::with_capacity(nodes.len());
        for (idx, mut node) in nodes.into_iter().enumerate() {
            for inner in node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_deref_mut()) {
                self.graph(inner)?;
            }
            let domain = if is_default_domain(&node.domain) { "" } else { &node.domain };
            let key = (domain, node.op_type.as_str(), node.overload.as_str());
            match self.functions.get(&key).copied() {
                Some(function) => {
                    if node.name.is_empty() {
                        node.name = format!("{}_{idx}", node.op_type);
                    }
                    let body = self.call(&node, function)?;
                    self.calling.push((function, node.name));
                    out.extend(self.nodes(body)?);
                    self.calling.pop();
                }
                None => out.push(node),
            }
        }
        Ok(out)
    }

    /// The nodes that a call stands for.
    fn call(&mut self, node: &NodeProto, function: &'f FunctionProto) -> Result<Vec<NodeProto>, GraphError> {
        let invalid = |cause: String| GraphError::invalid_node(&node.name, &node.op_type, cause);
        self.n_nodes += function.node.len();
        if self.calling.iter().any(|(outer, _)| std::ptr::eq(*outer, function)) {
            let (outermost, call) = &self.calling[0];
            let cause = format!("the file's function \"{}\" calls itself, which never ends", function.name);
            return Err(GraphError::invalid_node(call, &outermost.name, cause));
        }
        if self.calling.len() >= DEEPEST || self.n_nodes > MOST_NODES {
            return Err(invalid(format!(
                "functions of the file call each other more than {DEEPEST} deep, or become more than {MOST_NODES} nodes"
            )));
        }
        let set = function.opset_import.iter().find(|set| is_default_domain(&set.domain)).map(|set| set.version);
        let other_set = set.filter(|&version| version != self.opset);
        if let Some(version) = other_set.filter(|version| !(MIN_OPSET..=MAX_OPSET).contains(version)) {
            let feature = format!("a function of operator set {version}, expected {MIN_OPSET} to {MAX_OPSET}");
            return Err(GraphError::unsupported_node(&node.name, &node.op_type, feature));
        }
        if node.input.len() > function.input.len() || node.output.len() > function.output.len() {
            let (inputs, outputs) = (node.input.len(), node.output.len());
            let (most_inputs, most_outputs) = (function.input.len(), function.output.len());
            return Err(invalid(format!(
                "{inputs} inputs, {outputs} outputs, the function has {most_inputs} and {most_outputs}"
            )));
        }
        let mut renamed: HashMap<&str, String> = HashMap::new();
        for (name, given) in function.input.iter().zip(node.input.iter().map(Some).chain(std::iter::repeat(None))) {
            renamed.insert(name, given.cloned().unwrap_or_default());
        }
        // An output that is an input, too, is copied.
        let mut copies = Vec::new();
        for (name, output) in function.output.iter().zip(&node.output).filter(|(_, output)| !output.is_empty()) {
            match renamed.get(name.as_str()) {
                Some(known) => copies.push((known.clone(), output.clone())),
                None => {
                    renamed.insert(name, output.clone());
                }
            }
        }
        for name in function.node.iter().flat_map(|inner| &inner.output).filter(|name| !name.is_empty()) {
            if !renamed.contains_key(name.as_str()) {
                renamed.insert(name, self.free(&format!("{}/{name}", node.name)));
            }
        }
        let mut body = Vec::with_capacity(function.node.len() + copies.len());
        for (idx, inner) in function.node.iter().enumerate() {
            let mut inner = inner.clone();
            let own = if inner.name.is_empty() { format!("{}_{idx}", inner.op_type) } else { inner.name.clone() };
            inner.name = format!("{}/{own}", node.name);
            fill_in(&mut inner, node, function);
            scope::rename(&mut inner, &renamed);
            state_set(&mut inner, other_set);
            body.push(inner);
        }
        for (value, output) in copies {
            body.push(NodeProto {
                name: format!("{}/{output}", node.name),
                input: vec![value],
                output: vec![output],
                op_type: "Identity".to_owned(),
                ..NodeProto::default()
            });
        }
        Ok(body)
    }

    fn free(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        while !self.names.insert(name.clone()) {
            name.push('_');
        }
        name
    }
}

/// Takes back what only [`inline`] may say.
pub(super) fn forget_sets(graph: &mut GraphProto) {
    graph.node.iter_mut().for_each(|node| state_set(node, None));
}

/// Says of a node, and of those in its graphs, which operator set it is of.
fn state_set(node: &mut NodeProto, set: Option<i64>) {
    node.operator_set = set;
    let graphs = node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_deref_mut());
    graphs.flat_map(|graph| &mut graph.node).for_each(|inner| state_set(inner, set));
}

/// Gives attributes that refer to those of the call their values: the call's, else the function's default, else none.
fn fill_in(inner: &mut NodeProto, call: &NodeProto, function: &FunctionProto) {
    let value = |reference: &AttributeProto| {
        let name = &reference.ref_attr_name;
        let given = call.attribute.iter().chain(&function.attribute_proto).find(|attribute| attribute.name == *name);
        given.map(|given| AttributeProto { name: reference.name.clone(), ..given.clone() })
    };
    let attributes = std::mem::take(&mut inner.attribute);
    inner.attribute = attributes
        .into_iter()
        .filter_map(|attribute| if attribute.ref_attr_name.is_empty() { Some(attribute) } else { value(&attribute) })
        .collect();
    for graph in inner.attribute.iter_mut().filter_map(|attribute| attribute.g.as_deref_mut()) {
        graph.node.iter_mut().for_each(|node| fill_in(node, call, function));
    }
}
