//! Operators that the importer expands into others: those that ONNX itself defines by what they are made of, and
//! operators of onnxruntime's domain `com.microsoft` that its quantizers and optimizers write.
//!
//! An expansion imports nodes as if the file held them, so that attributes, checks and later rewrites are those of the
//! operators it is made of. In particular quantized operators become the QDQ form, which the integer network takes.
//!
//! # Source
//! ONNX's operator texts; onnxruntime 1.32, `docs/ContribOperators.md`.

mod dynamic;
mod fused;
mod nbits;
mod qlinear;

use super::export::Form;
use super::import::{Importer, NodeView, import_node};
use super::proto::{AttributeProto, NodeProto};
use crate::{DType, GraphError, Tensor, ValueId};

/// onnxruntime's own operators.
pub(crate) const MICROSOFT: &str = "com.microsoft";

/// The operator set whose forms expansions are written in.
const OPSET: i64 = 24;

/// An operator that is made of others.
pub(crate) struct Function {
    /// Domain; empty for ONNX's own.
    domain: &'static str,
    /// Operator name.
    name: &'static str,
    /// Every attribute. A node with another one is refused.
    pub(crate) attributes: &'static [&'static str],
    /// Imports the nodes that it is made of.
    expand: fn(&mut Steps<'_, '_>) -> Result<(), GraphError>,
}

/// Every function.
static FUNCTIONS: &[&[Function]] = &[qlinear::FUNCTIONS, dynamic::FUNCTIONS, nbits::FUNCTIONS, fused::FUNCTIONS];

/// The function of that domain and name.
pub(crate) fn find(domain: &str, name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().copied().flatten().find(|function| function.domain == domain && function.name == name)
}

/// Domain and name of every function.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    FUNCTIONS.iter().copied().flatten().map(|function| (function.domain, function.name))
}

impl Function {
    /// One of onnxruntime's own operators.
    const fn microsoft(
        name: &'static str,
        attributes: &'static [&'static str],
        expand: fn(&mut Steps<'_, '_>) -> Result<(), GraphError>,
    ) -> Self {
        Self { domain: MICROSOFT, name, attributes, expand }
    }

    /// Imports the nodes that `node` is made of.
    pub(crate) fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        (self.expand)(&mut Steps { node, importer })
    }
}

/// The expansion of one node.
struct Steps<'a, 'n> {
    node: &'a NodeView<'n>,
    importer: &'a mut Importer,
}

impl<'n> Steps<'_, 'n> {
    /// The name of input `idx`, which must be there.
    fn required(&self, idx: usize) -> Result<&'n str, GraphError> {
        self.node.input(idx).ok_or_else(|| self.node.invalid(format!("input {idx} is missing")))
    }

    /// The name of input `idx`; empty where it is left out.
    fn input(&self, idx: usize) -> &'n str {
        self.node.input(idx).unwrap_or_default()
    }

    /// The element type of a value.
    fn dtype(&mut self, name: &str) -> Result<DType, GraphError> {
        let id = self.value(name)?;
        Ok(self.importer.dtype(id))
    }

    fn value(&mut self, name: &str) -> Result<ValueId, GraphError> {
        self.importer.value_named(self.node, name)
    }

    /// The extents of a value, as far as they are known.
    fn extents(&mut self, name: &str) -> Result<Option<Vec<Option<usize>>>, GraphError> {
        let id = self.value(name)?;
        Ok(self.importer.shape(id).as_ref().map(|shape| shape.iter().map(|extent| extent.known()).collect()))
    }

    /// The constant behind an input.
    fn constant_of(&mut self, idx: usize) -> Result<Tensor, GraphError> {
        let found = self.importer.parameter(self.node, idx)?;
        found.ok_or_else(|| self.node.invalid(format!("input {idx} is missing")))
    }

    /// A constant of the expansion; returns its name.
    fn constant(&mut self, label: &str, tensor: Tensor) -> String {
        let name = self.importer.free_value_name(&format!("{}.{label}", self.node.name()));
        self.importer.add_constant(&name, tensor);
        name
    }

    /// The node's own attributes of these names.
    fn own(&self, names: &[&str]) -> Vec<AttributeProto> {
        self.node.attributes().iter().filter(|attribute| names.contains(&attribute.name.as_str())).cloned().collect()
    }

    /// Imports a node whose only output is an intermediate value; returns its name.
    fn add(
        &mut self,
        label: &str,
        op: &'static str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Result<String, GraphError> {
        let name = self.importer.free_node_name(&format!("{}.{label}", self.node.name()));
        self.intermediate(name, label, op, inputs, attributes)
    }

    /// Imports the node that does the work, under the name of the expanded one, with an intermediate output.
    fn main(
        &mut self,
        label: &str,
        op: &'static str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Result<String, GraphError> {
        self.intermediate(self.node.name().to_owned(), label, op, inputs, attributes)
    }

    fn intermediate(
        &mut self,
        name: String,
        label: &str,
        op: &'static str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Result<String, GraphError> {
        let output = self.importer.free_value_name(&format!("{}.{label}", self.node.name()));
        self.importer.mark_read(&output);
        self.import(name, op, inputs, &output, attributes)?;
        Ok(output)
    }

    /// Imports the node that makes output `idx` of the expanded one; nothing if nobody asks for that output.
    fn output(
        &mut self,
        idx: usize,
        label: &str,
        op: &'static str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Result<(), GraphError> {
        let Some(output) = self.node.outputs().get(idx).filter(|name| !name.is_empty()).cloned() else { return Ok(()) };
        let name = self.importer.free_node_name(&format!("{}.{label}", self.node.name()));
        self.import(name, op, inputs, &output, attributes)
    }

    /// Imports the node that makes the only output, under the name of the expanded one.
    fn last(&mut self, op: &'static str, inputs: &[&str], attributes: Vec<AttributeProto>) -> Result<(), GraphError> {
        let output = self.importer.only_output(self.node)?.to_owned();
        self.import(self.node.name().to_owned(), op, inputs, &output, attributes)
    }

    fn import(
        &mut self,
        name: String,
        op: &'static str,
        inputs: &[&str],
        output: &str,
        attribute: Vec<AttributeProto>,
    ) -> Result<(), GraphError> {
        let proto = NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: name.clone(),
            op_type: op.to_owned(),
            attribute,
            domain: String::new(),
        };
        import_node(&NodeView::new(&proto, name, OPSET), self.importer)
    }

    /// `DequantizeLinear` of the inputs `[value, scale, zero point]`.
    fn dequantized(&mut self, label: &str, inputs: [usize; 3], axis: i64) -> Result<String, GraphError> {
        let [value, scale, zero_point] = inputs;
        let inputs = [self.required(value)?, self.required(scale)?, self.input(zero_point)];
        self.add(label, "DequantizeLinear", &inputs, int("axis", axis))
    }

    /// `QuantizeLinear` of `value` to the only output, with the inputs `[scale, zero point]`; a zero point left out is 0 in
    /// the element type of input `like`.
    fn quantized(&mut self, value: &str, inputs: [usize; 2], like: usize) -> Result<(), GraphError> {
        let scale = self.required(inputs[0])?;
        let mut zero_point = self.input(inputs[1]).to_owned();
        if zero_point.is_empty() {
            let like = self.required(like)?;
            let zero = match self.dtype(like)? {
                DType::I8 => Tensor::new(Vec::new(), vec![0_i8].into()),
                _ => Tensor::new(Vec::new(), vec![0_u8].into()),
            };
            zero_point = match zero {
                Some(zero) => self.constant("zero_point", zero),
                None => zero_point,
            };
        }
        let output = self.importer.only_output(self.node)?.to_owned();
        let name = self.importer.free_node_name(&format!("{}.quantize", self.node.name()));
        self.import(name, "QuantizeLinear", &[value, scale, &zero_point], &output, Vec::new())
    }
}

/// One integer attribute.
fn int(key: &str, value: i64) -> Vec<AttributeProto> {
    Form::new("").int(key, value).attributes
}
