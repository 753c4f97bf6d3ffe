//! What skimp refuses, with what can be done about it; operators that it does not know all at once.

use std::collections::HashMap;

use super::{is_default_domain, scope};
use crate::onnx::proto::{GraphProto, NodeProto};
use crate::onnx::{calculations, functions};
use crate::{GraphError, ops};

/// An operator in a file that skimp does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownOperator {
    /// Its name, with its domain where that is not ONNX's own.
    pub operator: String,
    /// Names of the nodes, those in graphs of other nodes included.
    pub nodes: Vec<String>,
    /// What can be done about it.
    pub way_out: String,
}

fn is_known(node: &NodeProto) -> bool {
    let name = node.op_type.as_str();
    if is_default_domain(&node.domain) {
        ops::find(name).is_some() || calculations::find(name).is_some() || functions::find("", name).is_some()
    } else {
        functions::find(&node.domain, name).is_some() || ops::find_in(&node.domain, name).is_some()
    }
}

/// What can be done about an operator.
fn way_out(node: &NodeProto) -> &'static str {
    match (node.domain.as_str(), node.op_type.as_str()) {
        (domain, op) if is_default_domain(domain) => {
            if op.starts_with("String") || op.contains("Tokenizer") || op == "RegexFullMatch" {
                "cut the text processing off and feed the network what comes behind it"
            } else if matches!(op, "NonMaxSuppression" | "NonZero" | "Unique" | "Compress") {
                "its result has as many elements as the data say; export without post-processing, or cut the network \
                 in front of it"
            } else if op.ends_with("Loss") {
                "cut the loss off, and export for inference"
            } else if op.starts_with("Random") || op == "Multinomial" || op == "Bernoulli" {
                "it draws random numbers; export for inference"
            } else {
                "export the network without it, or out of the operators that `skimp list operators` names"
            }
        }
        ("com.microsoft" | "com.microsoft.nchwc" | "com.ms.internal.nhwc", _) => {
            "use the file from before onnxruntime's optimizer, or save it with ORT_ENABLE_BASIC or ORT_DISABLE_ALL"
        }
        ("ai.onnx.ml", _) => "cut the classical model off, skimp reads networks",
        ("ai.onnx.preview.training" | "ai.onnx.training", _) => "export for inference",
        (domain, _) if domain.starts_with("aten") || domain.contains("torch") => {
            "export with torch.onnx.export(dynamo=True), which writes ONNX's own operators"
        }
        _ => "export without operators of that library's own",
    }
}

/// A feature that is missing, with the operator set and a way out where it does not name one itself.
pub(crate) fn with_way_out(feature: String, opset: Option<i64>) -> String {
    // What a graph in an attribute says names its own way out.
    if feature.contains("unsupported: ") {
        return feature;
    }
    let set = opset.map(|opset| format!(", of operator set {opset}")).unwrap_or_default();
    match feature.split_once(": ") {
        Some((what, way_out)) => format!("{what}{set}: {way_out}"),
        None => {
            let way_out = feature_way_out(&feature);
            format!("{feature}{set}: {way_out}")
        }
    }
}

/// What can be done about a feature that is missing.
fn feature_way_out(feature: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| feature.contains(word));
    if says(&["value_string", "STRING"]) {
        "cut the text processing off and feed the network what comes behind it"
    } else if says(&["training", "mask, which has no values"]) {
        "export for inference"
    } else if says(&["trips of a loop", "loop whose end"]) {
        "export with a fixed number of steps"
    } else if says(&["open extent", "open shape", "depends on", "rank", "unknown", "shape calculation", "dimensions"]) {
        "export with fixed extents, or run onnxsim on the file"
    } else if says(&["known at import", "that is computed", "that are computed", "several scales"]) {
        "export with it as a constant, or run onnxsim on the file"
    } else if says(&["element type", "conversion to", "output type", "FLOAT", "representable", "24 bits", "f32"]) {
        "export in FLOAT, or with integers of at most 64 bits that have a sign"
    } else {
        "export the network without it, or as other operators that `skimp list operators` names"
    }
}

/// Leaves out what no output of the network reads, where that has operators that are not known.
pub(super) fn forget_unread(graph: &mut GraphProto) {
    if graph.node.iter().all(is_known) {
        return;
    }
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (idx, node) in graph.node.iter().enumerate() {
        makers.extend(node.output.iter().map(|output| (output.as_str(), idx)));
    }
    let mut is_read = vec![false; graph.node.len()];
    let mut names: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    while let Some(name) = names.pop() {
        let Some(&idx) = makers.get(name) else { continue };
        if !std::mem::replace(&mut is_read[idx], true) {
            names.extend(scope::reads(&graph.node[idx]));
        }
    }
    let mut is_read = is_read.into_iter();
    graph.node.retain(|_| is_read.next().unwrap_or(true));
}

/// Every unknown operator of a graph, in the order of the file, those in graphs of nodes included.
fn unknown(graph: &GraphProto, prefix: &str, found: &mut Vec<UnknownOperator>) {
    for (idx, node) in graph.node.iter().enumerate() {
        let own = if node.name.is_empty() { format!("{}_{idx}", node.op_type) } else { node.name.clone() };
        let name = format!("{prefix}{own}");
        for (attribute, inner) in node.attribute.iter().filter_map(|a| Some((a.name.as_str(), a.g.as_deref()?))) {
            unknown(inner, &format!("{name}.{attribute}."), found);
        }
        if is_known(node) {
            continue;
        }
        let domain = node.domain.as_str();
        let operator =
            if is_default_domain(domain) { node.op_type.clone() } else { format!("{domain}.{}", node.op_type) };
        match found.iter_mut().find(|known| known.operator == operator) {
            Some(known) => known.nodes.push(name),
            None => found.push(UnknownOperator { operator, nodes: vec![name], way_out: way_out(node).to_owned() }),
        }
    }
}

/// Every unknown operator of a model's graph.
pub(super) fn unknown_operators(graph: &GraphProto) -> Vec<UnknownOperator> {
    let mut found = Vec::new();
    unknown(graph, "", &mut found);
    found
}

/// All unknown operators in one error.
pub(super) fn check(graph: &GraphProto, opset: i64) -> Result<(), GraphError> {
    const MAX_LISTED: usize = 20;
    let found = unknown_operators(graph);
    let Some((first, others)) = found.split_first() else { return Ok(()) };
    let nodes = |unknown: &UnknownOperator, skip: usize| match &unknown.nodes[skip..] {
        [] => String::new(),
        [node] => format!(" (node \"{node}\")"),
        [node, more @ ..] => format!(" (node \"{node}\" and {} more)", more.len()),
    };
    let mut feature = format!("operator, of operator set {opset}");
    if first.nodes.len() > 1 {
        feature += &format!(", also{}", nodes(first, 1));
    }
    feature += &format!(": {}", first.way_out);
    for unknown in others.iter().take(MAX_LISTED) {
        feature += &format!("; {}{}", unknown.operator, nodes(unknown, 0));
        if unknown.way_out != first.way_out {
            feature += &format!(": {}", unknown.way_out);
        }
    }
    if others.len() > MAX_LISTED {
        feature += &format!("; and {} more operators", others.len() - MAX_LISTED);
    }
    Err(GraphError::unsupported_node(&first.nodes[0], &first.operator, feature))
}
