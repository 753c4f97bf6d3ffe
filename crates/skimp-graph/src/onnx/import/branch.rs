//! `If`: the branch that is taken stands in its place, where the condition is known at import.

use std::collections::{HashMap, HashSet};

use super::{Importer, NodeView, check_operators, import_node, sorted};
use crate::GraphError;
use crate::onnx::proto::{GraphProto, NodeProto};

/// Operator name.
pub(crate) const IF: &str = "If";

/// Values that a node reads: its inputs, and what graphs in its attributes read of what surrounds them.
pub(super) fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    for graph in node.attribute.iter().filter_map(|attribute| attribute.g.as_deref()) {
        names.extend(captured(graph));
    }
    names
}

/// Values that a graph in an attribute reads and does not make.
fn captured(graph: &GraphProto) -> Vec<&str> {
    let made = graph.node.iter().flat_map(|node| &node.output).map(String::as_str);
    let given = graph.input.iter().map(|input| input.name.as_str());
    let constants = graph.initializer.iter().map(|tensor| tensor.name.as_str());
    let own: HashSet<&str> = made.chain(given).chain(constants).collect();
    let outputs = graph.output.iter().map(|output| output.name.as_str());
    let read = graph.node.iter().flat_map(reads).chain(outputs);
    read.filter(|name| !own.contains(name)).collect()
}

/// Adds the nodes of the branch that the condition takes.
pub(super) fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
    node.check_attributes(&["else_branch", "then_branch"])?;
    node.check_inputs(1, 1)?;
    let known = importer.known_inputs(node, 1)?.and_then(|inputs| inputs[0].ints());
    let Some(&[Ok(condition)]) = known.as_deref() else {
        let cause = "a condition that is only known when the network runs; where it does not depend on the data, \
                     an exporter or onnxsim can remove it";
        return Err(node.unsupported(cause));
    };
    let key = if condition == 0 { "else_branch" } else { "then_branch" };
    let branch = node.graph(key)?.ok_or_else(|| node.invalid(format!("attribute \"{key}\" is missing")))?;
    if !branch.input.is_empty() || branch.output.len() < node.outputs().len() {
        return Err(node.invalid(format!(
            "the branch has {} inputs, {} outputs",
            branch.input.len(),
            branch.output.len()
        )));
    }
    check_operators(&branch.node)?;
    // Branches have scopes of their own, in which names may stand that others have, too.
    let made = branch.node.iter().flat_map(|inner| &inner.output).filter(|name| !name.is_empty());
    let constants = branch.initializer.iter().map(|tensor| &tensor.name);
    let mut renamed: HashMap<&str, String> = HashMap::new();
    for name in made.chain(constants) {
        let fresh = importer.free_value_name(name);
        importer.mark_read(&fresh);
        renamed.insert(name, fresh);
    }
    let outside: HashSet<&str> = captured(branch).into_iter().collect();
    let inside: HashSet<&str> = branch.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let order = sorted(&branch.node, &outside, &inside).map_err(|cause| node.invalid(cause))?;
    for tensor in &branch.initializer {
        let name = renamed.get(tensor.name.as_str()).cloned().unwrap_or_default();
        let tensor = crate::onnx::proto::TensorProto { name, ..tensor.clone() };
        importer.add_initializer(tensor).map_err(|cause| node.invalid(cause))?;
    }
    for idx in order {
        let mut proto = branch.node[idx].clone();
        rename(&mut proto, &renamed);
        let base =
            if proto.name.is_empty() { format!("{}.{}_{idx}", node.name(), proto.op_type) } else { proto.name.clone() };
        let inner = NodeView::new(&proto, importer.free_node_name(&base), node.opset());
        import_node(&inner, importer)?;
        importer.check_outputs(&inner)?;
    }
    for (output, result) in node.outputs().iter().zip(&branch.output) {
        if !output.is_empty() {
            let result = renamed.get(result.name.as_str()).unwrap_or(&result.name);
            importer.alias(node, output, result)?;
        }
    }
    Ok(())
}

/// Gives the values of a branch their new names, those that graphs in attributes read included.
fn rename(node: &mut NodeProto, renamed: &HashMap<&str, String>) {
    let new = |name: &mut String| {
        if let Some(fresh) = renamed.get(name.as_str()) {
            name.clone_from(fresh);
        }
    };
    node.input.iter_mut().chain(&mut node.output).for_each(new);
    for graph in node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_deref_mut()) {
        // Names that the inner graph makes itself hide those around it.
        let own: HashSet<String> = graph.node.iter().flat_map(|inner| inner.output.iter().cloned()).collect();
        let outer: HashMap<&str, String> = renamed
            .iter()
            .filter(|(name, _)| !own.contains(**name))
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
