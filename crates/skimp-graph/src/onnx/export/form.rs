//! The ONNX form of one operator.

use bytes::Bytes;

use crate::onnx::proto::{AttributeProto, attr};
use crate::ops::Body;
use crate::{DType, Tensor};

/// What the form of an operator depends on besides the operator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    /// Version of the operator set that the file will have, as far as it is known.
    pub(crate) opset: i64,
    /// Element type of the first input.
    pub(crate) dtype: DType,
    /// Whether any input or output has 16-bit integers.
    pub(crate) is_16_bit: bool,
}

/// The ONNX form of one operator: its attributes, and the tensors it takes as inputs after those of the graph node.
#[derive(Debug)]
pub(crate) struct Form {
    /// The operator set that it is of; empty for ONNX's own.
    pub(crate) domain: &'static str,
    pub(crate) op_type: &'static str,
    /// Oldest operator set that has this form.
    pub(crate) since: i64,
    pub(crate) attributes: Vec<AttributeProto>,
    /// Input position, label and value.
    pub(crate) parameters: Vec<(usize, &'static str, Tensor)>,
    /// Attributes that are graphs, and at which input of the node what they read of the graph around them starts.
    pub(crate) bodies: Vec<(&'static str, Body, usize)>,
}

impl Form {
    pub(crate) fn new(op_type: &'static str) -> Self {
        Self { domain: "", op_type, since: 7, attributes: Vec::new(), parameters: Vec::new(), bodies: Vec::new() }
    }

    /// Is of this operator set.
    pub(crate) fn domain(mut self, domain: &'static str) -> Self {
        self.domain = domain;
        self
    }

    /// Needs at least this operator set.
    pub(crate) fn since(mut self, opset: i64) -> Self {
        self.since = self.since.max(opset);
        self
    }

    pub(crate) fn int(self, key: &str, value: i64) -> Self {
        self.attribute(key, AttributeProto { r#type: attr::INT, i: Some(value), ..AttributeProto::default() })
    }

    pub(crate) fn float(self, key: &str, value: f32) -> Self {
        self.attribute(key, AttributeProto { r#type: attr::FLOAT, f: Some(value), ..AttributeProto::default() })
    }

    pub(crate) fn string(self, key: &str, value: &str) -> Self {
        let s = Some(Bytes::copy_from_slice(value.as_bytes()));
        self.attribute(key, AttributeProto { r#type: attr::STRING, s, ..AttributeProto::default() })
    }

    pub(crate) fn ints(self, key: &str, ints: Vec<i64>) -> Self {
        self.attribute(key, AttributeProto { r#type: attr::INTS, ints, ..AttributeProto::default() })
    }

    pub(crate) fn floats(self, key: &str, floats: Vec<f32>) -> Self {
        self.attribute(key, AttributeProto { r#type: attr::FLOATS, floats, ..AttributeProto::default() })
    }

    pub(crate) fn strings<'a>(self, key: &str, strings: impl Iterator<Item = &'a str>) -> Self {
        let strings = strings.map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
        self.attribute(key, AttributeProto { r#type: attr::STRINGS, strings, ..AttributeProto::default() })
    }

    pub(crate) fn counts(self, key: &str, counts: &[usize]) -> Self {
        self.ints(key, signed(counts))
    }

    fn attribute(mut self, key: &str, attribute: AttributeProto) -> Self {
        self.attributes.push(AttributeProto { name: key.to_owned(), ..attribute });
        self
    }

    /// A graph, which reads the node's inputs from `first` on of the graph around it.
    pub(crate) fn body(mut self, key: &'static str, body: &Body, first: usize) -> Self {
        self.bodies.push((key, body.clone(), first));
        self
    }

    /// A tensor at input `position`.
    pub(crate) fn parameter(mut self, position: usize, label: &'static str, value: Tensor) -> Self {
        self.parameters.push((position, label, value));
        self
    }

    /// A vector of integers at input `position`.
    pub(crate) fn int_vector(self, position: usize, label: &'static str, value: &[i64]) -> Self {
        self.parameter(position, label, Tensor::from_i64(vec![value.len()], value.to_vec()))
    }
}

/// Counts as ONNX integers. (No tensor has an extent beyond i64.)
pub(crate) fn signed(counts: &[usize]) -> Vec<i64> {
    counts.iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect()
}
