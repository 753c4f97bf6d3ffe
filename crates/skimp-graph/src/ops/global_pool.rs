//! What pools over all spatial axes share.

use super::signature::{Signature, shaped};
use crate::GraphError;
use crate::onnx::symbolic::{Extent, Shape};
use crate::reference::Call;
use crate::reference::number::Number;
use crate::shape::TensorType;

/// The larger one; NaN wins.
pub(super) fn larger<T: Number>(a: T, b: T) -> T {
    if b > a || b.is_nan() { b } else { a }
}

/// The smaller one; NaN wins.
pub(super) fn smaller<T: Number>(a: T, b: T) -> T {
    if b < a || b.is_nan() { b } else { a }
}

/// The spatial axes become 1.
pub(super) fn output_types(signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
    let x = signature.float()?;
    if x.shape.len() < 2 {
        return Err(signature.invalid(format!("input has {} dims, expected 2 or more (n, c, ..)", x.shape.len())));
    }
    Ok(shaped(x, x.shape.iter().enumerate().map(|(axis, &n)| if axis < 2 { n } else { 1 }).collect()))
}

/// The spatial axes become 1.
pub(super) fn symbolic_shape(inputs: &[&Shape]) -> Shape {
    let mut shape = inputs.first().copied()?.clone()?;
    shape.iter_mut().skip(2).for_each(|extent| *extent = Extent::Known(1));
    Some(shape)
}

/// Elements of one channel of one image.
pub(super) fn plane_len(call: &Call<'_>) -> usize {
    call.input(0).shape()[2..].iter().product()
}
