//! From an ONNX model to a [`Graph`].
//!
//! Values are numbered in a canonical order (inputs, then as the sorted nodes use and make them), so that importing an
//! exported graph gives the same graph again.

mod attributes;
mod builder;
mod fill;
mod local;
mod refusal;
mod scope;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use bytes::Bytes;
use prost::Message as _;

pub(crate) use attributes::{NodeView, as_f32};
pub(crate) use builder::Importer;
pub(crate) use fill::{along, broadcast, count, fill};
pub use refusal::UnknownOperator;
pub(crate) use refusal::with_way_out;
pub(crate) use scope::Given;

use super::proto::{GraphProto, ModelProto, NodeProto, SparseTensorProto, ValueInfoProto};
use super::{MAX_OPSET, MIN_OPSET, calculations, dtype, functions};
use crate::spiking::Temporal;
use crate::{DType, Dim, Graph, GraphError, ops, topology};

/// Decodes a model. `file` names it in errors.
fn decode(bytes: Bytes, file: &Path) -> Result<ModelProto, GraphError> {
    let invalid = |cause: String| GraphError::InvalidFile { path: file.to_owned(), cause };
    if bytes.is_empty() {
        return Err(invalid("the file is empty".to_owned()));
    }
    ModelProto::decode(bytes).map_err(|error| invalid(format!("not an ONNX model: {}", shortened(&error))))
}

/// The operators of a model that are not known.
pub(super) fn unknown_operators(bytes: Bytes, file: &Path) -> Result<Vec<UnknownOperator>, GraphError> {
    let model = decode(bytes, file)?;
    let invalid = |cause: String| GraphError::InvalidFile { path: file.to_owned(), cause };
    let mut graph = model.graph.ok_or_else(|| invalid("the model has no graph".to_owned()))?;
    let set = model.opset_import.iter().find(|set| is_default_domain(&set.domain)).map_or(0, |set| set.version);
    local::inline(&mut graph, &model.functions, set)?;
    refusal::forget_unread(&mut graph);
    Ok(refusal::unknown_operators(&graph))
}

/// Decodes and converts a model. `file` names it in errors; `extents` of inputs are fixed where the model leaves them open.
pub(crate) fn import(
    bytes: Bytes,
    base_dir: Option<&Path>,
    file: &Path,
    extents: &[(String, Vec<usize>)],
) -> Result<Graph, GraphError> {
    let invalid = |cause: String| GraphError::InvalidFile { path: file.to_owned(), cause };
    let model = decode(bytes, file)?;
    let opset = opset(&model).map_err(invalid)?;
    let (metadata, model_doc) = (model.metadata_props, model.doc_string);
    let mut graph = model.graph.ok_or_else(|| invalid("the model has no graph".to_owned()))?;
    local::forget_sets(&mut graph);
    local::inline(&mut graph, &model.functions, opset)?;
    refusal::forget_unread(&mut graph);
    refusal::check(&graph, opset)?;

    let name = if graph.name.is_empty() {
        file.file_stem().map_or_else(|| "graph".to_owned(), |stem| stem.to_string_lossy().into_owned())
    } else {
        graph.name.clone()
    };
    let invalid_graph = |cause: String| GraphError::InvalidGraph { graph: name.clone(), cause };
    let half = half_types(&graph);
    let GraphProto { node: nodes, initializer, sparse_initializer, input, output, doc_string, .. } = graph;
    let sparse = sparse_initializer.iter().map(sparse_name);
    let constants: HashSet<&str> = initializer.iter().map(|t| t.name.as_str()).chain(sparse).collect();
    let inputs: Vec<&ValueInfoProto> = input.iter().filter(|v| !constants.contains(v.name.as_str())).collect();
    let given: HashSet<&str> = inputs.iter().map(|v| v.name.as_str()).collect();
    let order = sorted(&nodes, &given, &constants).map_err(invalid_graph)?;
    let typed = inputs.iter().map(|v| input_type(v)).collect::<Result<Vec<_>, _>>()?;

    let mut importer = Importer::new(file, base_dir, &nodes, &output);
    importer.is_for_extents = !extents.is_empty();
    for (value, (dtype, dims)) in inputs.iter().zip(typed) {
        let dims = fixed(&value.name, dims, extents)?;
        importer.add_input(&value.name, dtype, dims).map_err(invalid_graph)?;
    }
    for tensor in initializer {
        importer.add_initializer(tensor).map_err(invalid_graph)?;
    }
    for tensor in &sparse_initializer {
        importer.add_sparse_initializer(tensor.clone(), sparse_name(tensor))?;
    }
    for idx in order {
        let proto = &nodes[idx];
        let node = NodeView::new(proto, importer.node_name(proto, idx), opset);
        import_node(&node, &mut importer)?;
        importer.check_outputs(&node)?;
    }
    let outputs: Vec<&str> = output.iter().map(|v| v.name.as_str()).collect();
    let doc = if doc_string.is_empty() { model_doc } else { doc_string };
    let graph = importer.finish(name, &outputs)?.with_doc(doc);
    let graph = metadata.into_iter().fold(graph, |graph, entry| graph.with_metadata(entry.key, entry.value));
    let graph = if half.is_empty() { graph } else { graph.with_metadata(super::WIDENED_KEY, half.join(",")) };
    Temporal::of(&graph)?;
    Ok(graph)
}

/// The extents of an input, with open ones as given under its name, or for any input without one.
fn fixed(name: &str, dims: Vec<Dim>, extents: &[(String, Vec<usize>)]) -> Result<Vec<Dim>, GraphError> {
    let Some((_, given)) = extents.iter().find(|(known, _)| known == name || known.is_empty()) else { return Ok(dims) };
    let fits = dims.len() == given.len()
        && dims.iter().zip(given).all(|(dim, extent)| !matches!(dim, Dim::Fixed(fixed) if fixed != extent));
    if !fits {
        let cause = format!("has shape {given:?}, which its file does not allow");
        return Err(GraphError::InvalidInput { input: name.to_owned(), cause });
    }
    Ok(given.iter().map(|&extent| Dim::Fixed(extent)).collect())
}

/// The name of a sparse tensor.
fn sparse_name(tensor: &SparseTensorProto) -> &str {
    tensor.values.as_ref().map_or("", |values| values.name.as_str())
}

/// A decoder's error, whose path through nested messages may be long, with its middle left out.
fn shortened(error: &prost::DecodeError) -> String {
    const ENDS: usize = 120;
    let letters: Vec<char> = error.to_string().chars().collect();
    if letters.len() <= 3 * ENDS {
        return letters.into_iter().collect();
    }
    let (start, end) = (&letters[..ENDS], &letters[letters.len() - ENDS..]);
    format!("{} .. {}", start.iter().collect::<String>(), end.iter().collect::<String>())
}

/// Element types of half precision that inputs, constants or conversions have.
fn half_types(graph: &GraphProto) -> Vec<String> {
    let mut half = BTreeSet::new();
    collect_half_types(graph, &mut half);
    half.into_iter().map(dtype::onnx_name).collect()
}

fn collect_half_types(graph: &GraphProto, half: &mut BTreeSet<i32>) {
    let inputs = graph.input.iter().filter_map(|input| Some(input.r#type.as_ref()?.tensor_type.as_ref()?.elem_type));
    let constants = graph.initializer.iter().map(|tensor| tensor.data_type);
    let attributes = || graph.node.iter().flat_map(|node| &node.attribute);
    let in_nodes = attributes().filter_map(|attribute| match attribute.name.as_str() {
        "to" => attribute.i.and_then(|number| i32::try_from(number).ok()),
        _ => attribute.t.as_ref().map(|tensor| tensor.data_type),
    });
    half.extend(inputs.chain(constants).chain(in_nodes).filter(|&number| dtype::is_half(number)));
    attributes().filter_map(|attribute| attribute.g.as_deref()).for_each(|inner| collect_half_types(inner, half));
}

/// Evaluates a node on constants and shapes, or adds it, or what it is made of, to the graph.
pub(crate) fn import_node(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
    if let Some(function) = functions::find(node.domain(), node.op_type()) {
        node.check_attributes(function.attributes)?;
        return function.import(node, importer);
    }
    if !node.domain().is_empty() {
        let operator = ops::find_in(node.domain(), node.op_type()).ok_or_else(|| node.unsupported("operator"))?;
        node.check_attributes(operator.attributes)?;
        return (operator.import)(node, importer);
    }
    if node.op_type() == "Identity"
        && let Some(name) = node.input(0)
        && (importer.sequence(name).is_some() || importer.is_nothing(name))
    {
        let output = importer.only_output(node)?.to_owned();
        return importer.alias(node, &output, name);
    }
    let (calculation, operator) = (calculations::find(node.op_type()), ops::find(node.op_type()));
    if let Some(calculation) = calculation
        && (operator.is_none() || importer.shape_inputs(node, node.n_inputs())?.is_some())
    {
        node.check_attributes(calculation.attributes())?;
        let Err(error) = calculation.import(node, importer) else { return Ok(()) };
        let Some(operator) = operator else { return Err(error) };
        // Constants of more elements than any shape has are data (position biases, masks), where no extent is open.
        let tensors = importer.known_inputs(node, node.n_inputs())?.unwrap_or_default();
        let all_constant = !tensors.is_empty() && tensors.iter().all(|tensor| tensor.to_constant().is_some());
        return if all_constant { (operator.import)(node, importer).map_err(|_| error) } else { Err(error) };
    }
    let operator = operator.ok_or_else(|| node.unsupported("operator"))?;
    node.check_attributes(operator.attributes)?;
    (operator.import)(node, importer)
}

/// The version of the default operator set.
fn opset(model: &ModelProto) -> Result<i64, String> {
    let version = model
        .opset_import
        .iter()
        .find(|set| is_default_domain(&set.domain))
        .map(|set| set.version)
        .ok_or("the model does not state the version of its operator set")?;
    if (MIN_OPSET..=MAX_OPSET).contains(&version) {
        Ok(version)
    } else {
        Err(format!(
            "operator set {version} is not supported, expected {MIN_OPSET} to {MAX_OPSET}: export with one of these, or \
             convert the file with onnx.version_converter"
        ))
    }
}

/// Whether a domain is ONNX's own.
pub(crate) fn is_default_domain(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// The nodes in a topological order that keeps the order of the file where possible.
fn sorted(nodes: &[NodeProto], given: &HashSet<&str>, constants: &HashSet<&str>) -> Result<Vec<usize>, String> {
    let mut producer: HashMap<&str, usize> = HashMap::new();
    for (idx, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            if producer.insert(output, idx).is_some() {
                return Err(format!("two nodes produce \"{output}\""));
            }
            if constants.contains(output.as_str()) {
                return Err(format!("\"{output}\" is both an initializer and the output of a node"));
            }
        }
    }
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (idx, node) in nodes.iter().enumerate() {
        for input in scope::reads(node) {
            if let Some(&source) = producer.get(input) {
                readers[source].push(idx);
            } else if !given.contains(input) && !constants.contains(input) {
                let (name, op) = (&node.name, &node.op_type);
                return Err(format!("node \"{name}\" ({op}) reads \"{input}\", which nothing produces"));
            }
        }
    }
    topology::order(&readers).map_err(|idx| format!("the nodes form a cycle (through \"{}\")", nodes[idx].name))
}

/// The name of an open extent, one name for one extent; empty where the file only says that it is open, in one of the
/// ways of old exporters, which write the same for every open extent.
fn open_name(param: Option<&str>) -> String {
    match param {
        None | Some("?" | "None" | "-1") => String::new(),
        Some(name) => name.to_owned(),
    }
}

/// Element type and extents of a network input.
fn input_type(value: &ValueInfoProto) -> Result<(DType, Vec<Dim>), GraphError> {
    let invalid = |cause: String| GraphError::InvalidInput { input: value.name.clone(), cause };
    let tensor =
        value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).ok_or_else(|| {
            invalid("it is a list, an option or of no type: export with tensors as inputs".to_owned())
        })?;
    let dtype = dtype::from_onnx(tensor.elem_type).ok_or_else(|| {
        invalid(format!(
            "unsupported element type {}: export with another one, and a Cast behind it where that is needed",
            dtype::onnx_name(tensor.elem_type)
        ))
    })?;
    let shape = tensor.shape.as_ref().ok_or_else(|| {
        invalid("the model gives no shape for it: export with one, or state it with onnx.helper".to_owned())
    })?;
    let mut dims = Vec::with_capacity(shape.dim.len());
    for dim in &shape.dim {
        dims.push(match (dim.dim_value, &dim.dim_param) {
            (Some(-1 | 0) | None, name) => Dim::Free(open_name(name.as_deref())),
            (Some(extent), _) => {
                Dim::Fixed(usize::try_from(extent).map_err(|_| invalid(format!("negative dimension {extent}")))?)
            }
        });
    }
    Ok((dtype, dims))
}
