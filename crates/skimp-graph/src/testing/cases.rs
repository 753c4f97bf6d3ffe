//! Hand-computed cases of every operator.

use crate::ops::{ENTRIES, Op};
use crate::{Data, Tensor};

/// An operator, inputs and the outputs that it must give.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub what: &'static str,
    /// The operator.
    pub op: Op,
    /// All inputs; none is left out.
    pub inputs: Vec<Tensor>,
    /// The outputs. They are exact, so that results can be compared with `==`.
    pub expected: Vec<Tensor>,
}

/// The cases of all operators, in the order of the registry.
pub fn cases() -> impl Iterator<Item = Case> {
    ENTRIES.iter().flat_map(|entry| (entry.cases)())
}

/// A case with one output.
pub(crate) fn case(what: &'static str, op: Op, inputs: impl Into<Vec<Tensor>>, expected: Tensor) -> Case {
    Case { what, op, inputs: inputs.into(), expected: vec![expected] }
}

/// A tensor of f32.
pub(crate) fn f(shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::from_f32(shape.to_vec(), data.to_vec())
}

/// A tensor of any type.
///
/// # Panics
/// If the number of elements is not that of the shape.
pub(crate) fn t<T>(shape: &[usize], data: &[T]) -> Tensor
where
    T: Clone,
    Data: From<Vec<T>>,
{
    Tensor::new(shape.to_vec(), data.to_vec().into()).expect("cases have as many elements as their shapes say")
}
