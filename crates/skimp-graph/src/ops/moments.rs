//! Mean and variance of what is normalized together.

use crate::reference::number::Float;

/// Appends every element of `x`, less their mean, over the root of their variance and `epsilon`, as `scaled` makes of it
/// and of its index.
pub(super) fn normalize<T: Float>(x: &[T], epsilon: f32, scaled: impl Fn(f64, usize) -> T, y: &mut Vec<T>) {
    let len = x.len() as f64;
    let mean = x.iter().map(|x| x.to_f64()).sum::<f64>() / len;
    let variance = x.iter().map(|x| (x.to_f64() - mean).powi(2)).sum::<f64>() / len;
    let deviation = (variance + f64::from(epsilon)).sqrt();
    y.extend(x.iter().enumerate().map(|(i, x)| scaled((x.to_f64() - mean) / deviation, i)));
}
