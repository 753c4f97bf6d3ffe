//! Graphs in attributes.

use std::collections::{HashMap, HashSet};

use super::{dtypes, form, node_proto};
use crate::onnx::proto::{
    AttributeProto, DimensionProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto, attr,
};
use crate::onnx::{dtype, tensor};
use crate::ops::Body;
use crate::{DType, Dim, GraphError, Tensor, ValueId};

/// A graph as an attribute. Its last inputs are the values `captured` of the graph around it; its other values get names
/// that nothing else has.
pub(super) fn attribute(
    key: &str,
    body: &Body,
    captured: &[String],
    opset: i64,
    names: &mut HashSet<String>,
) -> Result<AttributeProto, GraphError> {
    let graph = body.graph();
    let dtypes = dtypes(graph)?;
    let n_given = graph.inputs().len().saturating_sub(captured.len());
    let mut known: HashMap<ValueId, String> =
        graph.inputs()[n_given..].iter().map(|input| input.value).zip(captured.iter().cloned()).collect();
    for (idx, value) in graph.values().iter().enumerate() {
        known.entry(ValueId(idx)).or_insert_with(|| free(&value.name, names));
    }
    let name_of = |id: ValueId| known[&id].clone();
    let mut parameters: Vec<(String, Tensor)> = Vec::new();
    let mut nodes = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        nodes.push(node_proto(&name_of, node, form(node, &dtypes, opset)?, opset, names, &mut parameters)?);
    }
    let captured: HashSet<ValueId> = graph.inputs()[n_given..].iter().map(|input| input.value).collect();
    let mut outputs = Vec::with_capacity(graph.outputs().len());
    for &output in graph.outputs() {
        let mut name = name_of(output);
        // A graph gives what is its own, and gives it once.
        let is_given = outputs.iter().any(|other: &ValueInfoProto| other.name == name);
        if captured.contains(&output) || is_given {
            let copy = free(&name, names);
            nodes.push(NodeProto {
                input: vec![name],
                output: vec![copy.clone()],
                name: format!("{copy}.copy"),
                op_type: "Identity".to_owned(),
                ..NodeProto::default()
            });
            name = copy;
        }
        outputs.push(value_info(name, dtypes[output.0], None));
    }
    let given = graph.inputs()[..n_given].iter();
    let constants = graph
        .values()
        .iter()
        .enumerate()
        .filter_map(|(idx, value)| Some(initializer(&known[&ValueId(idx)], value.constant.as_ref()?)));
    let proto = GraphProto {
        node: nodes,
        name: graph.name().to_owned(),
        initializer: constants.chain(parameters.iter().map(|(name, tensor)| initializer(name, tensor))).collect(),
        input: given.map(|input| value_info(name_of(input.value), Some(input.dtype), Some(&input.dims))).collect(),
        output: outputs,
        ..GraphProto::default()
    };
    let g = Some(Box::new(proto));
    Ok(AttributeProto { name: key.to_owned(), r#type: attr::GRAPH, g, ..AttributeProto::default() })
}

/// The name, or the name with something behind it, that nothing has yet.
fn free(name: &str, names: &mut HashSet<String>) -> String {
    let mut name = name.to_owned();
    while !names.insert(name.clone()) {
        name.push('_');
    }
    name
}

fn value_info(name: String, dtype: Option<DType>, dims: Option<&[Dim]>) -> ValueInfoProto {
    let dimension = |dim: &Dim| match dim {
        Dim::Fixed(n) => DimensionProto { dim_value: i64::try_from(*n).ok(), dim_param: None },
        Dim::Free(name) => DimensionProto { dim_value: None, dim_param: (!name.is_empty()).then(|| name.clone()) },
    };
    let shape = dims.map(|dims| TensorShapeProto { dim: dims.iter().map(dimension).collect() });
    let tensor_type = Some(TensorTypeProto { elem_type: dtype.map_or(0, dtype::to_onnx), shape });
    ValueInfoProto { name, r#type: Some(TypeProto { tensor_type }) }
}

fn initializer(name: &str, constant: &Tensor) -> TensorProto {
    let mut raw = Vec::with_capacity(tensor::raw_len(constant));
    let written = tensor::write_raw(constant, &mut raw);
    debug_assert!(written.is_ok(), "a vector takes all that is written to it");
    TensorProto { raw_data: Some(raw.into()), ..tensor::header(name, constant) }
}
