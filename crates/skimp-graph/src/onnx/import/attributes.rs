//! One ONNX node, with checked access to its attributes.

use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto, SparseTensorProto, TensorProto, attr};
use crate::{Data, GraphError, Tensor};

/// A node being imported.
#[derive(Debug)]
pub(crate) struct NodeView<'a> {
    proto: &'a NodeProto,
    name: String,
    opset: i64,
    /// The operator set of the node in the file that it stands for, or a part of it.
    stated: i64,
}

impl<'a> NodeView<'a> {
    /// A node of operator set `opset`, unless it comes from a function of another one.
    pub(crate) fn new(proto: &'a NodeProto, name: String, opset: i64) -> Self {
        let opset = proto.operator_set.unwrap_or(opset);
        Self { proto, name, opset, stated: opset }
    }

    /// Stands for a part of `whole`.
    pub(crate) fn part_of(self, whole: &NodeView<'_>) -> Self {
        Self { stated: whole.stated, ..self }
    }

    /// Unique name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Operator.
    pub(crate) fn op_type(&self) -> &str {
        &self.proto.op_type
    }

    /// Domain; empty for ONNX's own.
    pub(crate) fn domain(&self) -> &'a str {
        let domain = self.proto.domain.as_str();
        if super::is_default_domain(domain) { "" } else { domain }
    }

    /// Attributes as the file holds them.
    pub(crate) fn attributes(&self) -> &'a [AttributeProto] {
        &self.proto.attribute
    }

    /// Version of the operator set.
    pub(crate) fn opset(&self) -> i64 {
        self.opset
    }

    /// Names of the inputs; `None` for one left out.
    pub(crate) fn input(&self, idx: usize) -> Option<&'a str> {
        self.proto.input.get(idx).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Number of inputs, without omitted ones at the end.
    pub(crate) fn n_inputs(&self) -> usize {
        self.proto.input.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1)
    }

    /// Names of the outputs; empty for one left out.
    pub(crate) fn outputs(&self) -> &'a [String] {
        &self.proto.output
    }

    /// The names of outputs `first` to `last`; `None` for those that the node does not have.
    pub(crate) fn output_names(&self, first: usize, last: usize) -> impl Iterator<Item = Option<&'a str>> {
        let outputs = self.outputs();
        (first..last).map(move |idx| outputs.get(idx).map(String::as_str))
    }

    /// The node is wrong.
    pub(crate) fn invalid(&self, cause: impl Into<String>) -> GraphError {
        GraphError::invalid_node(&self.name, self.op_type(), cause)
    }

    /// skimp is behind.
    pub(crate) fn unsupported(&self, feature: impl Into<String>) -> GraphError {
        let feature = super::with_way_out(feature.into(), Some(self.stated));
        GraphError::unsupported_node(&self.name, self.op_type(), feature)
    }

    /// Between `required` and `max` inputs, and none of the required ones left out.
    pub(crate) fn check_inputs(&self, required: usize, max: usize) -> Result<(), GraphError> {
        let n_inputs = self.n_inputs();
        if n_inputs > max {
            return Err(self.invalid(format!("{n_inputs} inputs, expected at most {max}")));
        }
        match (0..required).find(|&i| self.input(i).is_none()) {
            Some(missing) => Err(self.invalid(format!("input {missing} is missing"))),
            None => Ok(()),
        }
    }

    /// No attribute beyond those of the operator, none twice, none that a function would fill in.
    pub(crate) fn check_attributes(&self, known: &[&str]) -> Result<(), GraphError> {
        for (i, attribute) in self.proto.attribute.iter().enumerate() {
            let name = attribute.name.as_str();
            if !known.contains(&name) {
                return Err(self.unsupported(format!("attribute \"{name}\"")));
            }
            if self.proto.attribute[..i].iter().any(|other| other.name == name) {
                return Err(self.invalid(format!("attribute \"{name}\" occurs twice")));
            }
            if !attribute.ref_attr_name.is_empty() {
                return Err(self.unsupported(format!("attribute \"{name}\" refers to a function's attribute")));
            }
        }
        Ok(())
    }

    /// Whether the attribute is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.proto.attribute.iter().any(|a| a.name == key)
    }

    /// The attribute; files older than IR version 3 may leave its type open.
    fn attribute(&self, key: &str, expected: i32) -> Result<Option<&'a AttributeProto>, GraphError> {
        match self.proto.attribute.iter().find(|a| a.name == key) {
            Some(attribute) if attribute.r#type != 0 && attribute.r#type != expected => {
                Err(self.invalid(format!("attribute \"{key}\" has type {}, expected {expected}", attribute.r#type)))
            }
            found => Ok(found),
        }
    }

    pub(crate) fn int(&self, key: &str) -> Result<Option<i64>, GraphError> {
        Ok(self.attribute(key, attr::INT)?.map(|a| a.i.unwrap_or(0)))
    }

    pub(crate) fn int_or(&self, key: &str, default: i64) -> Result<i64, GraphError> {
        Ok(self.int(key)?.unwrap_or(default))
    }

    /// An attribute that is 0 or 1.
    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool, GraphError> {
        match self.int_or(key, i64::from(default))? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.invalid(format!("attribute \"{key}\" is {other}, expected 0 or 1"))),
        }
    }

    pub(crate) fn float(&self, key: &str) -> Result<Option<f32>, GraphError> {
        match self.attribute(key, attr::FLOAT)?.map(|a| a.f.unwrap_or(0.0)) {
            Some(nan) if nan.is_nan() => Err(self.invalid(format!("attribute \"{key}\" is not a number"))),
            value => Ok(value),
        }
    }

    /// A float attribute that must be finite.
    pub(crate) fn float_or(&self, key: &str, default: f32) -> Result<f32, GraphError> {
        let value = self.float(key)?.unwrap_or(default);
        if value.is_finite() { Ok(value) } else { Err(self.invalid(format!("attribute \"{key}\" is {value}"))) }
    }

    pub(crate) fn floats(&self, key: &str) -> Result<Option<&'a [f32]>, GraphError> {
        Ok(self.attribute(key, attr::FLOATS)?.map(|a| a.floats.as_slice()))
    }

    pub(crate) fn ints(&self, key: &str) -> Result<Option<&'a [i64]>, GraphError> {
        Ok(self.attribute(key, attr::INTS)?.map(|a| a.ints.as_slice()))
    }

    /// A list of counts (extents, strides, pads).
    pub(crate) fn counts(&self, key: &str, min: usize) -> Result<Option<Vec<usize>>, GraphError> {
        let Some(ints) = self.ints(key)? else { return Ok(None) };
        let count = |&i: &i64| {
            usize::try_from(i).ok().filter(|&n| n >= min).ok_or_else(|| {
                self.invalid(format!("attribute \"{key}\" is {ints:?}, expected entries of at least {min}"))
            })
        };
        ints.iter().map(count).collect::<Result<Vec<_>, _>>().map(Some)
    }

    pub(crate) fn string(&self, key: &str) -> Result<Option<&'a str>, GraphError> {
        let Some(attribute) = self.attribute(key, attr::STRING)? else { return Ok(None) };
        let bytes = attribute.s.as_deref().unwrap_or_default();
        std::str::from_utf8(bytes).map(Some).map_err(|_| self.invalid(format!("attribute \"{key}\" is not UTF-8")))
    }

    pub(crate) fn strings(&self, key: &str) -> Result<Option<Vec<&'a str>>, GraphError> {
        let Some(attribute) = self.attribute(key, attr::STRINGS)? else { return Ok(None) };
        let texts = attribute.strings.iter().map(|bytes| std::str::from_utf8(bytes)).collect::<Result<_, _>>();
        texts.map(Some).map_err(|_| self.invalid(format!("attribute \"{key}\" is not UTF-8")))
    }

    pub(crate) fn sparse_tensor(&self, key: &str) -> Result<Option<SparseTensorProto>, GraphError> {
        match self.attribute(key, attr::SPARSE_TENSOR)? {
            None => Ok(None),
            Some(AttributeProto { sparse_tensor: Some(tensor), .. }) => Ok(Some(tensor.clone())),
            Some(_) => Err(self.invalid(format!("attribute \"{key}\" holds no tensor"))),
        }
    }

    pub(crate) fn graph(&self, key: &str) -> Result<Option<&'a GraphProto>, GraphError> {
        Ok(self.attribute(key, attr::GRAPH)?.and_then(|attribute| attribute.g.as_deref()))
    }

    pub(crate) fn tensor(&self, key: &str) -> Result<Option<TensorProto>, GraphError> {
        match self.attribute(key, attr::TENSOR)? {
            None => Ok(None),
            Some(AttributeProto { t: Some(tensor), .. }) => Ok(Some(tensor.clone())),
            Some(_) => Err(self.invalid(format!("attribute \"{key}\" holds no tensor"))),
        }
    }
}

/// The elements as f32, if every one of them is exactly representable.
pub(crate) fn as_f32(tensor: &Tensor) -> Option<Vec<f32>> {
    fn exact(value: f64) -> Option<f32> {
        let narrow = value as f32;
        (f64::from(narrow).to_bits() == value.to_bits()).then_some(narrow)
    }
    fn exact_int(value: i64) -> Option<f32> {
        (value.unsigned_abs() <= 1 << 24).then_some(value as f32)
    }
    match tensor.data() {
        Data::F32(v) => Some(v.to_vec()),
        Data::F64(v) => v.iter().map(|&x| exact(x)).collect(),
        Data::I64(v) => v.iter().map(|&x| exact_int(x)).collect(),
        Data::I32(v) => v.iter().map(|&x| exact_int(i64::from(x))).collect(),
        Data::I16(v) => Some(v.iter().map(|&x| f32::from(x)).collect()),
        Data::I8(v) => Some(v.iter().map(|&x| f32::from(x)).collect()),
        Data::U16(v) => Some(v.iter().map(|&x| f32::from(x)).collect()),
        Data::U8(v) => Some(v.iter().map(|&x| f32::from(x)).collect()),
        Data::Bool(_) => None,
    }
}
