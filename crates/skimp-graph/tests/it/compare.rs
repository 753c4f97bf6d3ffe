//! Comparison of tensors.

use skimp_graph::{Data, Tensor};

/// `|got − expected| ≤ abs + rel · |expected|`; equal infinities and two NaNs agree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tolerance {
    pub(crate) abs: f64,
    pub(crate) rel: f64,
}

impl Tolerance {
    pub(crate) const EXACT: Self = Self { abs: 0.0, rel: 0.0 };
}

/// What differs, if anything. Integers must be equal.
pub(crate) fn difference(got: &Tensor, expected: &Tensor, tolerance: Tolerance) -> Option<String> {
    if got.shape() != expected.shape() || got.dtype() != expected.dtype() {
        return Some(format!(
            "got {:?} {:?}, expected {:?} {:?}",
            got.dtype(),
            got.shape(),
            expected.dtype(),
            expected.shape()
        ));
    }
    match (floats(got), floats(expected)) {
        (Some(got), Some(expected)) => {
            let bad = got.iter().zip(&expected).position(|(&g, &e)| !close(g, e, tolerance))?;
            Some(format!("element {bad}: got {}, expected {}", got[bad], expected[bad]))
        }
        _ if got.data() == expected.data() => None,
        _ => Some(format!("got {:?}, expected {:?}", got.data(), expected.data())),
    }
}

fn close(got: f64, expected: f64, tolerance: Tolerance) -> bool {
    let same = got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan());
    same || (got - expected).abs() <= tolerance.abs + tolerance.rel * expected.abs()
}

fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    match tensor.data() {
        Data::F32(v) => Some(v.iter().map(|&x| f64::from(x)).collect()),
        Data::F64(v) => Some(v.to_vec()),
        _ => None,
    }
}

/// The largest absolute difference of two f32 tensors of one shape.
pub(crate) fn max_difference(got: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(got.shape(), expected.shape(), "shapes differ");
    let (got, expected) = (floats(got).expect("floats"), floats(expected).expect("floats"));
    got.iter().zip(&expected).map(|(g, e)| (g - e).abs()).fold(0.0, f64::max)
}
