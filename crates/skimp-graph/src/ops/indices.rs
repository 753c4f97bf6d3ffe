//! What operators with an input of indices share.

use super::signature::Signature;
use crate::reference::Call;
use crate::reference::strided::{Offsets, strides_of};
use crate::shape::{TensorType, normalized_axis};
use crate::{DType, Data, GraphError};

/// The second input, which must hold i32 or i64.
pub(super) fn checked<'a>(signature: &Signature<'a>) -> Result<&'a TensorType, GraphError> {
    let indices = signature.input(1)?;
    if matches!(indices.dtype, DType::I32 | DType::I64) {
        return Ok(indices);
    }
    Err(signature.invalid(format!("indices have element type {}, expected i32 or i64", indices.dtype)))
}

/// The type of the first input, if the second one holds indices.
pub(super) fn output_dtype(inputs: &[Option<DType>]) -> Result<DType, String> {
    match inputs {
        [Some(x), Some(DType::I32 | DType::I64), ..] => Ok(*x),
        _ => Err(format!("inputs of element types {inputs:?}, expected indices of I32 or I64")),
    }
}

/// The indices of an input, counted from the start of an axis whose extent `extent` gives for each position.
pub(super) fn all(call: &Call<'_>, input: usize, extent: impl Fn(usize) -> usize) -> Result<Vec<usize>, GraphError> {
    let index = |(i, index): (usize, i64)| {
        let extent = extent(i);
        normalized_axis(index, extent)
            .map_err(|_| call.invalid(format!("index {index} is out of range for an extent of {extent}")))
    };
    match call.input(input).data() {
        Data::I32(indices) => indices.iter().map(|&i| i64::from(i)).enumerate().map(index).collect(),
        _ => call.elements::<i64>(input).iter().copied().enumerate().map(index).collect(),
    }
}

/// For the operators that pick or place elements: where in the first input the indices of the second one lie, each along
/// `axis` and at its own place on the others.
pub(super) fn along(call: &Call<'_>, axis: i64) -> Result<impl Iterator<Item = usize>, GraphError> {
    let shape = call.input(0).shape();
    let axis = normalized_axis(axis, shape.len()).map_err(|cause| call.invalid(cause))?;
    let mut strides = strides_of(shape);
    let step = strides[axis].unsigned_abs();
    strides[axis] = 0;
    let starts = Offsets::new(call.input(1).shape(), strides, 0);
    let indices = all(call, 1, |_| shape[axis])?;
    Ok(starts.zip(indices).map(move |(start, index)| start + index * step))
}

/// The type of the first input, if [`along`] can take the indices: of its rank, and nowhere greater but along `axis`.
pub(super) fn checked_along<'a>(
    signature: &Signature<'a>,
    axis: i64,
) -> Result<(&'a TensorType, &'a TensorType), GraphError> {
    let (x, indices) = (signature.input(0)?, checked(signature)?);
    let axis = signature.axis(axis, x.shape.len())?;
    let fits = |(i, (n, x)): (usize, (&usize, &usize))| i == axis || n <= x;
    if indices.shape.len() != x.shape.len() || !indices.shape.iter().zip(&x.shape).enumerate().all(fits) {
        return Err(signature.invalid(format!("indices of shape {:?} into {:?}", indices.shape, x.shape)));
    }
    Ok((x, indices))
}
