//! From a [`Graph`] to an ONNX file.
//!
//! The weights are written straight from the graph's tensors, without a second copy in memory.

mod body;
mod form;

use std::collections::{BTreeSet, HashSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use prost::Message as _;

pub(crate) use form::{Context, Form, signed};

use super::proto::{
    DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto,
};
use super::symbolic::{self, Extent, Shape, Symbol, Symbols};
use super::{MAX_OPSET, dtype, tensor};
use crate::{DType, Dim, Graph, GraphError, Node, Tensor, ValueId};

/// The oldest operator set that files are written in.
const BASE_OPSET: i64 = 13;

/// The version of skimp's own operator set.
const OWN_OPSET: i64 = 1;

/// The IR version that goes with it and with all newer operator sets up to [`MAX_OPSET`].
const IR_VERSION: i64 = 8;

/// A protobuf message cannot be longer.
const MAX_BYTES: usize = i32::MAX as usize;

/// Writes `graph` to `path`; the file there is complete or untouched.
pub(crate) fn export(graph: &Graph, path: &Path) -> Result<(), GraphError> {
    let model = Model::new(graph)?;
    model.check_size(path)?;
    let io_error = |source| GraphError::Io { path: path.to_owned(), source };
    skimp_files::write(path, |mut out| model.write(&mut out)).map_err(io_error)
}

/// The bytes of the file.
pub(crate) fn export_bytes(graph: &Graph) -> Result<Vec<u8>, GraphError> {
    let model = Model::new(graph)?;
    model.check_size(Path::new(graph.name()))?;
    let mut bytes = Vec::with_capacity(model.n_bytes());
    model.write(&mut bytes).map_err(|source| GraphError::Io { path: PathBuf::from(graph.name()), source })?;
    Ok(bytes)
}

/// A model ready to be written: everything but the initializers, and what these are.
struct Model<'a> {
    head: ModelProto,
    graph: GraphProto,
    constants: Vec<(&'a str, &'a Tensor)>,
    parameters: Vec<(String, Tensor)>,
}

impl<'a> Model<'a> {
    fn new(graph: &'a Graph) -> Result<Self, GraphError> {
        let dtypes = dtypes(graph)?;
        let opset = opset(graph, &dtypes)?;
        let mut names: HashSet<String> = graph.values().iter().map(|value| value.name.clone()).collect();
        let mut parameters = Vec::new();
        let mut nodes = Vec::with_capacity(graph.nodes().len());
        for node in graph.nodes() {
            let name_of = |id: ValueId| graph.value(id).name.clone();
            let form = form(node, &dtypes, opset)?;
            nodes.push(node_proto(&name_of, node, form, opset, &mut names, &mut parameters)?);
        }
        let (input, output) = interface(graph, &dtypes);
        let constants = graph.values().iter().filter_map(|value| Some((value.name.as_str(), value.constant.as_ref()?)));
        let metadata = graph.all_metadata().iter().cloned();
        Ok(Self {
            head: ModelProto {
                ir_version: IR_VERSION,
                producer_name: "skimp".to_owned(),
                producer_version: env!("CARGO_PKG_VERSION").to_owned(),
                doc_string: String::new(),
                graph: None,
                opset_import: opset_imports(&nodes, opset),
                metadata_props: metadata.map(|(key, value)| StringStringEntryProto { key, value }).collect(),
                functions: Vec::new(),
            },
            graph: GraphProto {
                node: nodes,
                name: graph.name().to_owned(),
                doc_string: graph.doc().to_owned(),
                input,
                output,
                ..GraphProto::default()
            },
            constants: constants.collect(),
            parameters,
        })
    }

    fn initializers(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        let parameters = self.parameters.iter().map(|(name, tensor)| (name.as_str(), tensor));
        self.constants.iter().copied().chain(parameters)
    }

    /// Length of the graph message.
    fn graph_len(&self) -> usize {
        let field = |n: usize| 1 + prost::length_delimiter_len(n) + n;
        self.graph.encoded_len() + self.initializers().map(|(name, t)| field(tensor_len(name, t))).sum::<usize>()
    }

    fn n_bytes(&self) -> usize {
        let graph_len = self.graph_len();
        self.head.encoded_len() + 1 + prost::length_delimiter_len(graph_len) + graph_len
    }

    fn check_size(&self, path: &Path) -> Result<(), GraphError> {
        let n_bytes = self.n_bytes();
        if n_bytes <= MAX_BYTES {
            return Ok(());
        }
        let cause = format!("the model would have {n_bytes} bytes, at most {MAX_BYTES} are possible in one ONNX file");
        Err(GraphError::InvalidFile { path: path.to_owned(), cause })
    }

    /// Protobuf fields may come in any order, so the graph's initializers follow the rest of the graph.
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        const MODEL_GRAPH: u8 = 7;
        const GRAPH_INITIALIZER: u8 = 5;
        const TENSOR_RAW_DATA: u8 = 9;
        out.write_all(&self.head.encode_to_vec())?;
        write_key(out, MODEL_GRAPH, self.graph_len())?;
        out.write_all(&self.graph.encode_to_vec())?;
        for (name, constant) in self.initializers() {
            write_key(out, GRAPH_INITIALIZER, tensor_len(name, constant))?;
            out.write_all(&tensor::header(name, constant).encode_to_vec())?;
            write_key(out, TENSOR_RAW_DATA, tensor::raw_len(constant))?;
            tensor::write_raw(constant, out)?;
        }
        Ok(())
    }
}

/// Length of a tensor message with raw data.
fn tensor_len(name: &str, constant: &Tensor) -> usize {
    let raw_len = tensor::raw_len(constant);
    tensor::header(name, constant).encoded_len() + 1 + prost::length_delimiter_len(raw_len) + raw_len
}

/// The key and length of a length-delimited field (wire type 2) with a number below 16.
fn write_key(out: &mut impl Write, field: u8, len: usize) -> io::Result<()> {
    let mut buffer = vec![(field << 3) | 2];
    prost::encode_length_delimiter(len, &mut buffer).map_err(io::Error::other)?;
    out.write_all(&buffer)
}

/// The element type of every value.
pub(crate) fn dtypes(graph: &Graph) -> Result<Vec<Option<DType>>, GraphError> {
    let mut dtypes: Vec<Option<DType>> =
        graph.values().iter().map(|value| value.constant.as_ref().map(Tensor::dtype)).collect();
    for input in graph.inputs() {
        dtypes[input.value.0] = Some(input.dtype);
    }
    for node in graph.nodes() {
        let inputs: Vec<Option<DType>> = node.inputs.iter().map(|id| id.and_then(|id| dtypes[id.0])).collect();
        for (idx, output) in node.outputs.iter().enumerate() {
            let dtype = node.op.output_dtype(&inputs, idx);
            dtypes[output.0] =
                Some(dtype.map_err(|cause| GraphError::invalid_node(&node.name, node.op.name(), cause))?);
        }
    }
    Ok(dtypes)
}

/// The operator sets of nodes, those in graphs of nodes included.
fn opset_imports(nodes: &[NodeProto], opset: i64) -> Vec<OperatorSetIdProto> {
    fn collect<'a>(nodes: &'a [NodeProto], domains: &mut BTreeSet<&'a str>) {
        for node in nodes {
            domains.insert(&node.domain);
            node.attribute
                .iter()
                .filter_map(|attribute| attribute.g.as_deref())
                .for_each(|g| collect(&g.node, domains));
        }
    }
    let mut domains = BTreeSet::from([""]);
    collect(nodes, &mut domains);
    let of = |domain: &str| OperatorSetIdProto {
        domain: domain.to_owned(),
        version: if domain.is_empty() { opset } else { OWN_OPSET },
    };
    domains.into_iter().map(of).collect()
}

/// The oldest operator set, at least [`BASE_OPSET`], that has every node's form.
fn opset(graph: &Graph, dtypes: &[Option<DType>]) -> Result<i64, GraphError> {
    let mut opset = BASE_OPSET;
    for node in graph.nodes() {
        opset = opset.max(form(node, dtypes, BASE_OPSET)?.since);
        for body in node.op.bodies() {
            opset = opset.max(self::opset(body.graph(), &self::dtypes(body.graph())?)?);
        }
    }
    debug_assert!(opset <= MAX_OPSET, "no form is newer than what is imported");
    Ok(opset)
}

fn form(node: &Node, dtypes: &[Option<DType>], opset: i64) -> Result<Form, GraphError> {
    let of = |id: &ValueId| dtypes[id.0];
    let all = node.inputs.iter().flatten().chain(&node.outputs).filter_map(of);
    let is_16_bit = all.into_iter().any(|dtype| matches!(dtype, DType::I16 | DType::U16));
    let first = node.inputs.first().copied().flatten().as_ref().and_then(of);
    let dtype =
        first.ok_or_else(|| GraphError::invalid_node(&node.name, node.op.name(), "the first input is missing"))?;
    node.op
        .export(Context { opset, dtype, is_16_bit })
        .map_err(|cause| GraphError::unsupported_node(&node.name, node.op.name(), cause))
}

fn node_proto(
    name_of: &dyn Fn(ValueId) -> String,
    node: &Node,
    form: Form,
    opset: i64,
    names: &mut HashSet<String>,
    parameters: &mut Vec<(String, Tensor)>,
) -> Result<NodeProto, GraphError> {
    let mut input: Vec<String> = node.inputs.iter().map(|id| id.map(name_of).unwrap_or_default()).collect();
    let mut attribute = form.attributes;
    for (key, body, first) in &form.bodies {
        attribute.push(body::attribute(key, body, input.get(*first..).unwrap_or_default(), opset, names)?);
    }
    if let Some((_, _, first)) = form.bodies.first() {
        input.truncate(*first);
    }
    for (position, label, value) in form.parameters {
        let mut name = format!("{}.{label}", node.name);
        while !names.insert(name.clone()) {
            name.push('_');
        }
        match input.get_mut(position) {
            // Between inputs of the graph's node, which move on.
            Some(taken) if !taken.is_empty() => input.insert(position, name.clone()),
            Some(free) => free.clone_from(&name),
            None => {
                input.resize(position, String::new());
                input.push(name.clone());
            }
        }
        parameters.push((name, value));
    }
    Ok(NodeProto {
        input,
        output: node.outputs.iter().map(|&id| name_of(id)).collect(),
        name: node.name.clone(),
        domain: form.domain.to_owned(),
        op_type: form.op_type.to_owned(),
        attribute,
        ..NodeProto::default()
    })
}

/// Descriptions of the inputs and outputs. Open extents keep their names where they are an input's.
fn interface(graph: &Graph, dtypes: &[Option<DType>]) -> (Vec<ValueInfoProto>, Vec<ValueInfoProto>) {
    let mut symbols = Symbols::default();
    let mut open: Vec<(Symbol, &str)> = Vec::new();
    let mut given: Vec<Shape> = Vec::new();
    for input in graph.inputs() {
        let extent = |dim: &'_ Dim| match dim {
            Dim::Fixed(n) => Extent::Known(*n),
            Dim::Free(name) => Extent::Symbol(symbols.named(name)),
        };
        let shape: Vec<Extent> = input.dims.iter().map(extent).collect();
        for (dim, extent) in input.dims.iter().zip(&shape) {
            if let (Dim::Free(name), Extent::Symbol(symbol)) = (dim, extent) {
                open.push((*symbol, name));
            }
        }
        given.push(Some(shape));
    }
    let shapes = symbolic::infer(graph, &given, &mut symbols);

    let dimension = |extent: &Extent| match extent {
        Extent::Known(n) => DimensionProto { dim_value: i64::try_from(*n).ok(), dim_param: None },
        Extent::Symbol(symbol) => {
            let name = open.iter().find(|(other, _)| other == symbol).map(|(_, name)| (*name).to_owned());
            DimensionProto { dim_value: None, dim_param: name.filter(|name| !name.is_empty()) }
        }
    };
    let describe = |id: ValueId| ValueInfoProto {
        name: graph.value(id).name.clone(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: dtypes[id.0].map_or(0, dtype::to_onnx),
                shape: shapes[id.0].as_ref().map(|s| TensorShapeProto { dim: s.iter().map(dimension).collect() }),
            }),
        }),
    };
    (
        graph.inputs().iter().map(|input| describe(input.value)).collect(),
        graph.outputs().iter().map(|&output| describe(output)).collect(),
    )
}
