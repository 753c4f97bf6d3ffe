//! Conversions that say their type by example.

use super::{Function, Steps, int};
use crate::GraphError;
use crate::onnx::dtype;

pub(super) const FUNCTIONS: &[Function] =
    &[Function { domain: "", name: "CastLike", attributes: &["round_mode", "saturate"], expand: cast_like }];

/// A conversion of the first input to the element type of the second.
fn cast_like(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(2, 2)?;
    let (x, like) = (steps.required(0)?, steps.required(1)?);
    let to = steps.dtype(like)?;
    steps.last("Cast", &[x], int("to", i64::from(dtype::to_onnx(to))))
}
