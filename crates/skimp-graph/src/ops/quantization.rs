//! What `QuantizeLinear` and `DequantizeLinear` share: scales and zero points, per tensor and per axis.

use super::signature::Signature;
use crate::onnx::dtype;
use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView, as_f32};
use crate::onnx::packed::Coded;
use crate::reference::Call;
use crate::reference::strided::around_axis;
use crate::shape::{TensorType, normalized_axis};
use crate::{DType, GraphError, Tensor, ValueId};

/// The axis; blocks are refused.
pub(super) fn axis(node: &NodeView<'_>) -> Result<i64, GraphError> {
    if node.int_or("block_size", 0)? != 0 {
        return Err(node.unsupported("scales per block (block_size) of values that the network computes: quantize them with one scale, or one for each channel"));
    }
    node.int_or("axis", 1)
}

/// The f32 constant behind a `DequantizeLinear` whose codes are floats, or whose scales belong to blocks of them: no operator
/// here takes those, so they are dequantized at import. `None` for any other node.
///
/// # Rounding
/// As the operator: codes minus their zero point are exact, and the product with the scale is rounded once.
pub(super) fn dequantized_constant(node: &NodeView<'_>, importer: &mut Importer) -> Result<Option<Tensor>, GraphError> {
    let block = usize::try_from(node.int_or("block_size", 0)?)
        .map_err(|_| node.invalid("attribute \"block_size\" is negative"))?;
    let is_float_code =
        node.input(0).and_then(|name| importer.packed(name)).is_some_and(|coded| matches!(coded, Coded::Float(_)));
    if block == 0 && !is_float_code {
        return Ok(None);
    }
    node.check_inputs(2, 3)?;
    let mut constant = |idx: usize, what: &str| -> Result<Tensor, GraphError> {
        let name = node.input(idx).ok_or_else(|| node.invalid(format!("{what} is missing")))?;
        importer.constant(name)?.ok_or_else(|| node.unsupported(format!("{what} that is computed")))
    };
    let (x, scale) = (constant(0, "a value")?, constant(1, "a scale")?);
    let zero_point = node.input(2).map(|_| constant(2, "a zero point")).transpose()?;
    let scales = scale.as_f32().ok_or_else(|| node.unsupported(format!("a scale of {}", scale.dtype())))?;
    let codes = as_f32(&x).ok_or_else(|| node.unsupported(format!("codes of {} beyond 24 bits", x.dtype())))?;
    let zeros = zero_point.as_ref().map(|zeros| as_f32(zeros).unwrap_or_default());
    if zeros.as_ref().is_some_and(|zeros| zeros.len() != scales.len()) {
        return Err(node.invalid("as many zero points as scales are expected"));
    }
    let shape = x.shape();
    // The extents of the scales along each axis of the codes, and how many codes share one there.
    let axis = if scales.len() == 1 { None } else { Some(node.int_or("axis", 1)?) };
    let axis = axis.map(|axis| normalized_axis(axis, shape.len()).map_err(|cause| node.invalid(cause))).transpose()?;
    let expected = |extent: usize| if block == 0 { extent } else { extent.div_ceil(block) };
    let fits = match axis {
        None => true,
        Some(axis) if block == 0 => scale.shape() == [shape[axis]],
        Some(axis) => {
            scale.shape().len() == shape.len()
                && (0..shape.len()).all(|i| scale.shape()[i] == if i == axis { expected(shape[i]) } else { shape[i] })
        }
    };
    if !fits {
        return Err(node.invalid(format!("scales of shape {:?} for codes of shape {shape:?}", scale.shape())));
    }
    let place = |idx: usize| {
        let Some(axis) = axis else { return 0 };
        let (_, extent, inner) = around_axis(shape, axis);
        let (outer, along, within) = (idx / inner / extent, idx / inner % extent, idx % inner);
        along.checked_div(block).map_or(along, |block| (outer * expected(extent) + block) * inner + within)
    };
    let real = |(idx, &code): (usize, &f32)| {
        let place = place(idx);
        (code - zeros.as_ref().map_or(0.0, |zeros| zeros[place])) * scales[place]
    };
    let reals = codes.iter().enumerate().map(real).collect();
    Ok(Some(Tensor::from_f32(shape.to_vec(), reals)))
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
        _ => Err(signature.unsupported(format!(
            "{what} of shape {:?} (blocked quantization): quantize with one, or one for each channel",
            parameter.shape
        ))),
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
