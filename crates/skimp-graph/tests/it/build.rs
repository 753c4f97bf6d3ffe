//! Writes small ONNX models byte by byte, independently of the messages that the importer uses.

use std::path::Path;

use bytes::Bytes;
use skimp_graph::{Graph, GraphError, onnx};

pub(crate) const FLOAT: i32 = 1;
pub(crate) const UINT8: i32 = 2;
pub(crate) const INT8: i32 = 3;
pub(crate) const INT32: i32 = 6;
pub(crate) const INT64: i32 = 7;
pub(crate) const STRING: i32 = 8;
pub(crate) const BOOL: i32 = 9;
pub(crate) const FLOAT16: i32 = 10;

/// A protobuf message in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    pub(crate) fn int(mut self, field: u32, value: i64) -> Self {
        self.key(field, 0);
        self.varint(value as u64);
        self
    }

    pub(crate) fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    pub(crate) fn text(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub(crate) fn message(self, field: u32, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }
}

/// An extent of an input: fixed, or open under a name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
    Is(i64),
    Named(&'static str),
    Absent,
}

pub(crate) use Extent::{Absent, Is, Named};

/// A value description.
pub(crate) fn value_info(name: &str, dtype: i32, dims: &[Extent]) -> Message {
    let mut shape = Message::new();
    for dim in dims {
        let dim = match dim {
            Is(n) => Message::new().int(1, *n),
            Named(name) => Message::new().text(2, name),
            Absent => Message::new(),
        };
        shape = shape.message(1, &dim);
    }
    let tensor = Message::new().int(1, i64::from(dtype)).message(2, &shape);
    Message::new().text(1, name).message(2, &Message::new().message(1, &tensor))
}

/// A tensor with raw data.
pub(crate) fn tensor(name: &str, dtype: i32, dims: &[i64], raw: &[u8]) -> Message {
    let mut message = Message::new();
    for &dim in dims {
        message = message.int(1, dim);
    }
    message.int(2, i64::from(dtype)).text(8, name).bytes(9, raw)
}

pub(crate) fn floats(name: &str, dims: &[i64], values: &[f32]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, FLOAT, dims, &raw)
}

pub(crate) fn ints(name: &str, values: &[i64]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, INT64, &[values.len() as i64], &raw)
}

pub(crate) fn int_scalar(name: &str, value: i64) -> Message {
    tensor(name, INT64, &[], &value.to_le_bytes())
}

/// A tensor with external data.
pub(crate) fn external(name: &str, dtype: i32, dims: &[i64], entries: &[(&str, &str)]) -> Message {
    let mut message = Message::new();
    for &dim in dims {
        message = message.int(1, dim);
    }
    message = message.int(2, i64::from(dtype)).text(8, name).int(14, 1);
    for (key, value) in entries {
        message = message.message(13, &Message::new().text(1, key).text(2, value));
    }
    message
}

pub(crate) fn int_attribute(name: &str, value: i64) -> Message {
    Message::new().text(1, name).int(20, 2).int(3, value)
}

pub(crate) fn ints_attribute(name: &str, values: &[i64]) -> Message {
    values.iter().fold(Message::new().text(1, name).int(20, 7), |message, &value| message.int(8, value))
}

pub(crate) fn float_attribute(name: &str, value: f32) -> Message {
    Message::new().text(1, name).int(20, 1).float(2, value)
}

pub(crate) fn floats_attribute(name: &str, values: &[f32]) -> Message {
    values.iter().fold(Message::new().text(1, name).int(20, 6), |message, &value| message.float(7, value))
}

pub(crate) fn text_attribute(name: &str, value: &str) -> Message {
    Message::new().text(1, name).int(20, 3).text(4, value)
}

pub(crate) fn tensor_attribute(name: &str, value: &Message) -> Message {
    Message::new().text(1, name).int(20, 4).message(5, value)
}

/// A graph as an attribute: nodes, and the names of its inputs and outputs.
pub(crate) fn graph_attribute(name: &str, inputs: &[Message], nodes: &[Message], outputs: &[&str]) -> Message {
    let graph = Message::new().text(2, name);
    let graph = nodes.iter().fold(graph, |graph, node| graph.message(1, node));
    let graph = inputs.iter().fold(graph, |graph, input| graph.message(11, input));
    let graph = outputs.iter().fold(graph, |graph, output| graph.message(12, &Message::new().text(1, output)));
    Message::new().text(1, name).int(20, 5).message(6, &graph)
}

/// A node named after its first output.
pub(crate) fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Message]) -> Message {
    let mut message = Message::new();
    for input in inputs {
        message = message.text(1, input);
    }
    for output in outputs {
        message = message.text(2, output);
    }
    message = message.text(3, &format!("node_{}", outputs.first().copied().unwrap_or("?"))).text(4, op);
    attributes.iter().fold(message, |message, attribute| message.message(5, attribute))
}

/// A model in the making.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) opset: i64,
    pub(crate) graph: Message,
}

impl Model {
    pub(crate) fn new(opset: i64) -> Self {
        Self { opset, graph: Message::new().text(2, "test") }
    }

    pub(crate) fn input(mut self, name: &str, dtype: i32, dims: &[Extent]) -> Self {
        self.graph = self.graph.message(11, &value_info(name, dtype, dims));
        self
    }

    pub(crate) fn output(mut self, name: &str) -> Self {
        self.graph = self.graph.message(12, &Message::new().text(1, name));
        self
    }

    pub(crate) fn initializer(mut self, tensor: &Message) -> Self {
        self.graph = self.graph.message(5, tensor);
        self
    }

    pub(crate) fn node(mut self, op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Message]) -> Self {
        self.graph = self.graph.message(1, &node(op, inputs, outputs, attributes));
        self
    }

    pub(crate) fn raw_node(mut self, node: &Message) -> Self {
        self.graph = self.graph.message(1, node);
        self
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let opset = Message::new().text(1, "").int(2, self.opset);
        Message::new().int(1, 8).message(8, &opset).message(7, &self.graph).0
    }

    pub(crate) fn import(&self) -> Result<Graph, GraphError> {
        import(self.to_bytes())
    }

    pub(crate) fn import_beside(&self, folder: &Path) -> Result<Graph, GraphError> {
        onnx::import_bytes(Bytes::from(self.to_bytes()), Some(folder), "test.onnx")
    }
}

pub(crate) fn import(bytes: Vec<u8>) -> Result<Graph, GraphError> {
    onnx::import_bytes(Bytes::from(bytes), None, "test.onnx")
}

/// A small valid network that uses weights, parameters and shape arithmetic.
pub(crate) fn small_network() -> Model {
    Model::new(13)
        .input("x", FLOAT, &[Named("N"), Is(2), Is(4), Is(4)])
        .initializer(&floats("w", &[2, 2, 3, 3], &[0.25; 36]))
        .initializer(&floats("b", &[2], &[0.5, -0.5]))
        .initializer(&int_scalar("zero", 0))
        .initializer(&ints("axes", &[0]))
        .initializer(&ints("rest", &[-1]))
        .node("Conv", &["x", "w", "b"], &["c"], &[ints_attribute("pads", &[1, 1, 1, 1])])
        .node("Relu", &["c"], &["r"], &[])
        .node("MaxPool", &["r"], &["p"], &[ints_attribute("kernel_shape", &[2, 2]), ints_attribute("strides", &[2, 2])])
        .node("Shape", &["p"], &["s"], &[])
        .node("Gather", &["s", "zero"], &["n"], &[])
        .node("Unsqueeze", &["n", "axes"], &["n1"], &[])
        .node("Concat", &["n1", "rest"], &["target"], &[int_attribute("axis", 0)])
        .node("Reshape", &["p", "target"], &["y"], &[])
        .output("y")
}
