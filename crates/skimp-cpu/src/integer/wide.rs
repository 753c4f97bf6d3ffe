//! Partial sums in 64 bits, for the rare tile whose activations add up to 2^32 or more. Portable.

use super::dots::Lane;

/// `Σ (weight word >> shift) · operand` of one output, exactly.
pub(super) fn prefix_dot(weights: &[Lane], activations: &[Lane], center: i32, shift: u32) -> i64 {
    let lanes = weights.iter().zip(activations);
    lanes.map(|(w, a)| w.0.iter().zip(&a.0).map(|(&w, &a)| product(w >> shift, a, center)).sum::<i64>()).sum()
}

fn product(weight: i16, activation: i16, center: i32) -> i64 {
    i64::from(weight) * i64::from(i32::from(activation) + center)
}
