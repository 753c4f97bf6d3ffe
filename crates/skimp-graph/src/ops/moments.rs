//! What normalizations over a run of elements share.

use super::signature::Signature;
use crate::GraphError;
use crate::onnx::import::NodeView;
use crate::reference::Call;
use crate::reference::number::Float;
use crate::reference::strided::Offsets;
use crate::shape::{TensorType, broadcast};

/// Refuses statistics in another type than f32.
pub(super) fn check_stash_type(node: &NodeView<'_>) -> Result<(), GraphError> {
    match node.int_or("stash_type", 1)? {
        1 => Ok(()),
        _ => Err(node.unsupported("statistics in another type than FLOAT")),
    }
}

/// Checks that parameter `idx` broadcasts one way to the axes of `x` from `axis` on.
pub(super) fn check_parameter(
    signature: &Signature<'_>,
    (idx, name): (usize, &str),
    x: &TensorType,
    axis: usize,
) -> Result<(), GraphError> {
    let (found, expected) = (&signature.input_like(idx, x)?.shape, &x.shape[axis..]);
    if broadcast(expected, found).as_deref() == Some(expected) {
        return Ok(());
    }
    Err(signature.invalid(format!("{name} {found:?} does not broadcast to {expected:?}")))
}

/// Checks that parameter `idx` has an element for each of `channels`.
pub(super) fn check_per_channel(
    signature: &Signature<'_>,
    (idx, name): (usize, &str),
    x: &TensorType,
    channels: usize,
) -> Result<(), GraphError> {
    let found = &signature.input_like(idx, x)?.shape;
    if *found == [channels] {
        return Ok(());
    }
    Err(signature.invalid(format!("{name} has shape {found:?}, expected [{channels}]")))
}

/// Parameter `idx`, broadcast to `normalized`.
pub(super) fn parameter<T: Float>(call: &Call<'_>, idx: usize, normalized: &[usize]) -> Result<Vec<f64>, GraphError> {
    let elements: &[T] = call.elements(idx);
    let places = Offsets::broadcast(call.input(idx).shape(), normalized);
    let mut parameter = call.allocate(places.size_hint().0)?;
    parameter.extend(places.map(|i| elements[i].to_f64()));
    Ok(parameter)
}

/// Appends every element of `x`, less their mean, over the root of their variance and `epsilon`, as `scaled` makes of it
/// and of its index.
pub(super) fn normalize<T: Float>(x: &[T], epsilon: f32, scaled: impl Fn(f64, usize) -> T, y: &mut Vec<T>) {
    let len = x.len() as f64;
    let mean = x.iter().map(|x| x.to_f64()).sum::<f64>() / len;
    let variance = x.iter().map(|x| (x.to_f64() - mean).powi(2)).sum::<f64>() / len;
    let deviation = (variance + f64::from(epsilon)).sqrt();
    y.extend(x.iter().enumerate().map(|(i, x)| scaled((x.to_f64() - mean) / deviation, i)));
}
