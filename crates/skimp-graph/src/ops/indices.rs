//! What operators with an input of indices share.

use super::signature::Signature;
use crate::reference::Call;
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
