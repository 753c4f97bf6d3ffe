//! Sum.

use crate::onnx::import::{Importer, NodeView};
use crate::ops::{Definition, Op, Operator, Rounding, arithmetic};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Sum of all inputs, broadcast, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum;

impl Operator for Sum {
    arithmetic::variadic!(Float, 8);

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Number>(call: &Call<'_>, x: &[T]) -> Result<Vec<T>, GraphError> {
            arithmetic::fold(call, x, T::plus)
        }
        for_number!(call.input(0).data(), x => Ok(vec![typed(call, x)?.into()]), Err(call.unsupported_type()))
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for Sum {
    const NAME: &'static str = "Sum";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import_variadic(node, importer, Op::Sum)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        arithmetic::draw(generator, x, Op::Sum, false)
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "sum",
            Op::Sum,
            [f(&[2, 1], &[1.0, 5.0]), f(&[2], &[3.0, 4.0]), f(&[], &[0.5])],
            f(&[2, 2], &[4.5, 5.5, 8.5, 9.5]),
        )]
    }
}
