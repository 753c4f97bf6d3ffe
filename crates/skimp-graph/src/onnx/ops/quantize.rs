//! QuantizeLinear and DequantizeLinear, per tensor and per axis.

use super::OnnxOperator;
use crate::onnx::dtype;
use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::{DType, GraphError, Op, ValueId};

const ATTRIBUTES: &[&str] = &["axis", "block_size", "output_dtype", "saturate"];

/// The axis; blocks are refused.
fn axis(node: &NodeView<'_>) -> Result<i64, GraphError> {
    if node.int_or("block_size", 0)? != 0 {
        return Err(node.unsupported("scales per block"));
    }
    node.int_or("axis", 1)
}

fn inputs(node: &NodeView<'_>, importer: &mut Importer) -> Result<Vec<Option<ValueId>>, GraphError> {
    node.check_inputs(2, 3)?;
    let mut inputs = vec![Some(importer.value(node, 0)?), Some(importer.value(node, 1)?)];
    inputs.extend(importer.optional_value(node, 2)?.map(Some));
    Ok(inputs)
}

pub(super) struct QuantizeLinear;

impl OnnxOperator for QuantizeLinear {
    fn name(&self) -> &'static str {
        "QuantizeLinear"
    }

    fn attributes(&self) -> &'static [&'static str] {
        ATTRIBUTES
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let axis = axis(node)?;
        let mut inputs = inputs(node, importer)?;
        if let Some(wanted) = output_dtype(node)? {
            match inputs.get(2).copied().flatten().map(|zero_point| importer.dtype(zero_point)) {
                None if wanted == DType::U8 => {}
                None => {
                    let zero = importer.new_zero(&format!("{}.zero_point", node.name()), wanted);
                    inputs.push(Some(zero.ok_or_else(|| node.unsupported(format!("output type {wanted:?}")))?));
                }
                Some(found) if found == wanted => {}
                Some(found) => {
                    return Err(node.invalid(format!("output type {wanted:?}, but a zero point of {found:?}")));
                }
            }
        }
        importer.emit(node, Op::QuantizeLinear { axis }, inputs)
    }
}

/// The output type stated since opset 21.
fn output_dtype(node: &NodeView<'_>) -> Result<Option<DType>, GraphError> {
    match node.int_or("output_dtype", 0)? {
        0 => Ok(None),
        number => {
            let number = i32::try_from(number).unwrap_or(-1);
            let unsupported = || node.unsupported(format!("output type {}", dtype::onnx_name(number)));
            dtype::from_onnx(number).map(Some).ok_or_else(unsupported)
        }
    }
}

pub(super) struct DequantizeLinear;

impl OnnxOperator for DequantizeLinear {
    fn name(&self) -> &'static str {
        "DequantizeLinear"
    }

    fn attributes(&self) -> &'static [&'static str] {
        ATTRIBUTES
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let axis = axis(node)?;
        if output_dtype(node)?.is_some_and(|dtype| dtype != DType::F32) {
            return Err(node.unsupported("an output type other than FLOAT"));
        }
        let inputs = inputs(node, importer)?;
        importer.emit(node, Op::DequantizeLinear { axis }, inputs)
    }
}

pub(super) fn export(form: Form, axis: i64, context: Context) -> Form {
    form.since(if context.is_16_bit { 21 } else { 13 }).int("axis", axis)
}
