//! ReduceL2: axes as an attribute, or an input (18).

use crate::onnx::import::{Importer, NodeView};
use crate::ops::{Definition, Op, Operator, Rounding, reduction};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Square root of the sum of squares over axes (all where empty), in f64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReduceL2 {
    /// Axes, may be negative.
    pub axes: Vec<i64>,
    /// Whether reduced axes stay as 1.
    pub keep_dims: bool,
}

impl Operator for ReduceL2 {
    reduction::facts!(ReduceL2, Float, 18);

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Float>(call: &Call<'_>, x: &[T], reduced: &[bool]) -> Result<Vec<T>, GraphError> {
            reduction::reduce(call, x, reduced, |elements, _| {
                T::from_f64(elements.fold(0.0, |sum, x| sum + x.to_f64() * x.to_f64()).sqrt())
            })
        }
        let reduced = reduction::reduced(call, &self.axes)?;
        for_float!(
            call.input(0).data(),
            x => Ok(vec![typed(call, x, &reduced)?.into()]),
            Err(call.unsupported_type())
        )
    }

    fn rounding(&self) -> Rounding {
        Rounding::RoundsAndJumps
    }

    fn keeps_non_negative(&self, _inputs: &[bool]) -> bool {
        true
    }
}

impl Definition for ReduceL2 {
    const NAME: &'static str = "ReduceL2";
    const ATTRIBUTES: &'static [&'static str] = &["axes", "keepdims", "noop_with_empty_axes"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        reduction::import(node, importer, 18, |axes, keep_dims| Op::ReduceL2(Self { axes, keep_dims }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        reduction::draw(generator, x, |axes, keep_dims| Op::ReduceL2(Self { axes, keep_dims }))
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "reduce l2",
            Op::ReduceL2(Self { axes: vec![1], keep_dims: false }),
            [f(&[2, 2], &[3.0, -4.0, 0.0, 2.0])],
            f(&[2], &[5.0, 2.0]),
        )]
    }
}
