//! Operators that the importer expands into others: those that ONNX itself defines by what they are made of, and
//! operators of onnxruntime's domain `com.microsoft` that its quantizers and optimizers write.
//!
//! An expansion imports nodes as if the file held them, so that attributes, checks and later rewrites are those of the
//! operators it is made of. In particular quantized operators become the QDQ form, which the integer network takes.
//!
//! # Source
//! ONNX's operator texts; onnxruntime 1.32, `docs/ContribOperators.md`.

mod attention;
mod casts;
mod dynamic;
mod dynamic_lstm;
mod fused;
mod fused_attention;
mod nbits;
mod qlinear;
mod qonnx;
mod sampling;
mod sequences;
mod spectrum;
mod standard;

use super::export::Form;
use super::import::{Importer, NodeView, import_node};
use super::proto::{AttributeProto, NodeProto};
use crate::shape::normalized_axis;
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
static FUNCTIONS: &[&[Function]] = &[
    attention::FUNCTIONS,
    casts::FUNCTIONS,
    standard::FUNCTIONS,
    qlinear::FUNCTIONS,
    dynamic::FUNCTIONS,
    dynamic_lstm::FUNCTIONS,
    nbits::FUNCTIONS,
    fused::FUNCTIONS,
    fused_attention::FUNCTIONS,
    qonnx::FUNCTIONS,
    sampling::FUNCTIONS,
    sequences::FUNCTIONS,
    spectrum::FUNCTIONS,
];

/// The function of that domain and name.
pub(crate) fn find(domain: &str, name: &str) -> Option<&'static Function> {
    let domain = qonnx::domain(domain);
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
pub(crate) struct Steps<'a, 'n> {
    node: &'a NodeView<'n>,
    importer: &'a mut Importer,
}

impl<'a, 'n> Steps<'a, 'n> {
    /// Of `node`.
    pub(crate) fn new(node: &'a NodeView<'n>, importer: &'a mut Importer) -> Self {
        Self { node, importer }
    }

    /// Stacks values along a new first axis.
    pub(crate) fn stack(&mut self, output: &str, values: &[String]) -> Result<(), GraphError> {
        let axes = self.constant("axes", Tensor::from_i64(vec![1], vec![0]));
        let mut rows = Vec::with_capacity(values.len());
        for value in values {
            rows.push(self.add("row", "Unsqueeze", &[value, &axes], Vec::new())?);
        }
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let name = self.importer.free_node_name(&format!("{}.stack", self.node.name()));
        self.import(name, "Concat", &rows, output, int("axis", 0))
    }

    /// The sum of two values.
    pub(crate) fn sum(&mut self, label: &str, a: &str, b: &str) -> Result<String, GraphError> {
        self.add(label, "Add", &[a, b], Vec::new())
    }

    /// A value with `axis` as the first one, the other way round where it is gone through backwards.
    pub(crate) fn axis_first(&mut self, value: &str, axis: i64, is_backwards: bool) -> Result<String, GraphError> {
        let mut value = value.to_owned();
        if axis != 0 {
            let rank = self.rank(&value)?;
            let axis = normalized_axis(axis, rank).map_err(|cause| self.node.invalid(cause))?;
            let others = (0..rank).filter(|&other| other != axis);
            let perm = std::iter::once(axis).chain(others).map(|axis| axis as i64).collect();
            value = self.add("axis_first", "Transpose", &[&value], Form::new("").ints("perm", perm).attributes)?;
        }
        if is_backwards {
            let bounds = self.backwards();
            value = self.add("backwards", "Slice", &with(&value, &bounds), Vec::new())?;
        }
        Ok(value)
    }

    /// Makes `output` of a value whose first axis becomes `axis`, the other way round where it is filled backwards.
    pub(crate) fn axis_back(
        &mut self,
        value: &str,
        output: &str,
        axis: i64,
        is_backwards: bool,
    ) -> Result<(), GraphError> {
        let mut value = value.to_owned();
        if is_backwards {
            let bounds = self.backwards();
            value = self.add("backwards", "Slice", &with(&value, &bounds), Vec::new())?;
        }
        let rank = self.rank(&value)?;
        let axis = normalized_axis(axis, rank).map_err(|cause| self.node.invalid(cause))?;
        let mut perm: Vec<i64> = (1..rank as i64).collect();
        perm.insert(axis, 0);
        let name = self.importer.free_node_name(&format!("{}.axis_back", self.node.name()));
        self.import(name, "Transpose", &[&value], output, Form::new("").ints("perm", perm).attributes)
    }

    /// The bounds of a slice that turns the first axis round.
    fn backwards(&mut self) -> [String; 4] {
        [("starts", -1), ("ends", i64::MIN), ("axes", 0), ("steps", -1)]
            .map(|(label, value)| self.constant(label, Tensor::from_i64(vec![1], vec![value])))
    }

    /// The extent of a value along an axis, if it is known.
    fn known_extent(&mut self, value: &str, axis: usize) -> Result<Option<usize>, GraphError> {
        Ok(self.extents(value)?.and_then(|extents| extents.get(axis).copied().flatten()))
    }

    /// A constant number.
    fn float(&mut self, label: &str, value: f32) -> String {
        self.constant(label, Tensor::from_f32(Vec::new(), vec![value]))
    }

    /// A constant vector of integers.
    fn ints(&mut self, label: &str, values: &[i64]) -> String {
        self.constant(label, Tensor::from_i64(vec![values.len()], values.to_vec()))
    }

    /// The elements `[start, end, step]` along the last axis.
    fn cut(&mut self, label: &str, value: &str, [start, end, step]: [i64; 3]) -> Result<String, GraphError> {
        let bounds = [("start", start), ("end", end), ("axis", -1), ("step", step)]
            .map(|(bound, value)| self.ints(&format!("{label}_{bound}"), &[value]));
        self.add(label, "Slice", &with(value, &bounds), Vec::new())
    }

    /// The indices along an axis of a value, as a vector of i64.
    fn indices(&mut self, label: &str, value: &str, axis: usize) -> Result<String, GraphError> {
        if let Some(n) = self.known_extent(value, axis)? {
            return Ok(self.ints(label, &(0..n as i64).collect::<Vec<i64>>()));
        }
        let bounds = Form::new("").int("start", axis as i64).int("end", axis as i64 + 1).attributes;
        let extent = self.add(&format!("{label}_extent"), "Shape", &[value], bounds)?;
        let scalar = self.ints(&format!("{label}_scalar"), &[]);
        let extent = self.add(&format!("{label}_count"), "Reshape", &[&extent, &scalar], Vec::new())?;
        let [first, step] = [("first", 0), ("step", 1)].map(|(bound, value)| {
            self.constant(&format!("{label}_{bound}"), Tensor::from_i64(Vec::new(), vec![value]))
        });
        self.add(label, "Range", &[&first, &extent, &step], Vec::new())
    }

    /// How many elements a vector of i64 has, as a number that the network computes.
    fn count(&mut self, label: &str, vector: &str) -> Result<String, GraphError> {
        if let Some(n) = self.known_extent(vector, 0)? {
            return Ok(self.constant(label, Tensor::from_i64(Vec::new(), vec![n as i64])));
        }
        let [zero, one] = [("none", 0), ("each", 1)].map(|(which, value)| {
            self.constant(&format!("{label}_{which}"), Tensor::from_i64(Vec::new(), vec![value]))
        });
        let zeros = self.add(&format!("{label}_zeros"), "Mul", &[vector, &zero], Vec::new())?;
        let ones = self.add(&format!("{label}_ones"), "Add", &[&zeros, &one], Vec::new())?;
        self.add(label, "ReduceSum", &[&ones], int("keepdims", 0))
    }

    fn rank(&mut self, value: &str) -> Result<usize, GraphError> {
        let extents = self.extents(value)?;
        extents.map(|extents| extents.len()).ok_or_else(|| self.node.unsupported("a value of unknown rank"))
    }

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
            ..NodeProto::default()
        };
        import_node(&NodeView::new(&proto, name, OPSET).part_of(self.node), self.importer)
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

/// A value and further inputs.
fn with<'v>(value: &'v str, others: &'v [String]) -> Vec<&'v str> {
    std::iter::once(value).chain(others.iter().map(String::as_str)).collect()
}

/// One integer attribute.
fn int(key: &str, value: i64) -> Vec<AttributeProto> {
    Form::new("").int(key, value).attributes
}
