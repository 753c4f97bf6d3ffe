//! What `QuantizeLinear` and `DequantizeLinear` share: scales and zero points, per tensor and per axis.

use super::signature::Signature;
use crate::onnx::dtype;
use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::reference::Call;
use crate::reference::strided::around_axis;
use crate::shape::{TensorType, normalized_axis};
use crate::{DType, GraphError, ValueId};

/// The axis; blocks are refused.
pub(super) fn axis(node: &NodeView<'_>) -> Result<i64, GraphError> {
    if node.int_or("block_size", 0)? != 0 {
        return Err(node.unsupported("scales per block"));
    }
    node.int_or("axis", 1)
}

/// The value and its parameters.
pub(super) fn inputs(node: &NodeView<'_>, importer: &mut Importer) -> Result<Vec<Option<ValueId>>, GraphError> {
    node.check_inputs(2, 3)?;
    let mut inputs = vec![Some(importer.value(node, 0)?), Some(importer.value(node, 1)?)];
    inputs.extend(importer.optional_value(node, 2)?.map(Some));
    Ok(inputs)
}

/// The output type stated since opset 21.
pub(super) fn output_dtype(node: &NodeView<'_>) -> Result<Option<DType>, GraphError> {
    match node.int_or("output_dtype", 0)? {
        0 => Ok(None),
        number => {
            let number = i32::try_from(number).unwrap_or(-1);
            let unsupported = || node.unsupported(format!("output type {}", dtype::onnx_name(number)));
            dtype::from_onnx(number).map(Some).ok_or_else(unsupported)
        }
    }
}

/// The ONNX form: 16-bit codes came with opset 21.
pub(super) fn export(form: Form, axis: i64, context: Context) -> Form {
    form.since(if context.is_16_bit { 21 } else { 13 }).int("axis", axis)
}

/// Checks that `parameter` is a scalar, has one element, or one element per slice of `axis`.
pub(super) fn check(
    signature: &Signature<'_>,
    x: &TensorType,
    what: &str,
    parameter: &TensorType,
    axis: i64,
) -> Result<(), GraphError> {
    match parameter.shape.as_slice() {
        [] | [1] => Ok(()),
        [n] => {
            let axis = signature.axis(axis, x.shape.len())?;
            if *n == x.shape[axis] {
                return Ok(());
            }
            Err(signature.invalid(format!("{what} has {n} elements, expected 1 or {} (axis {axis})", x.shape[axis])))
        }
        _ => Err(signature.unsupported(format!("{what} of shape {:?} (blocked quantization)", parameter.shape))),
    }
}

/// Checks that there are as many zero points as scales.
pub(super) fn check_zero_point(
    signature: &Signature<'_>,
    scale: &TensorType,
    zero_point: &TensorType,
) -> Result<(), GraphError> {
    if scale.shape.len() <= 1 && zero_point.shape.len() <= 1 && scale.n_elements() == zero_point.n_elements() {
        return Ok(());
    }
    Err(signature.invalid(format!("zero point has shape {:?}, the scale {:?}", zero_point.shape, scale.shape)))
}

/// The slice of a per-axis scale that an element belongs to.
pub(super) fn channels(call: &Call<'_>, axis: i64) -> Result<impl Fn(usize) -> usize, GraphError> {
    let shape = call.input(0).shape();
    let (extent, inner) = if call.input(1).len() == 1 {
        (1, 1)
    } else {
        let axis = normalized_axis(axis, shape.len()).map_err(|cause| call.invalid(cause))?;
        let (_, extent, inner) = around_axis(shape, axis);
        (extent, inner)
    };
    Ok(move |idx: usize| idx / inner % extent)
}

/// Where the channels along `axis` of the output lie in a constant: in the elements themselves, or in scales and zero
/// points along `scale_axis`.
pub(super) fn parameter_axis(
    (input, rank): (usize, usize),
    scale_axis: i64,
    output_rank: usize,
    axis: usize,
) -> Option<usize> {
    if input == 0 {
        return Some(axis);
    }
    let is_along = rank == 1 && normalized_axis(scale_axis, output_rank) == Ok(axis);
    is_along.then_some(0)
}
