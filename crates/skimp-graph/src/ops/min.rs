//! Min.

use crate::onnx::import::{Importer, NodeView};
use crate::ops::{Definition, Op, Operator, Rounding, arithmetic, global_pool};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Least of all inputs, broadcast; NaN wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Min;

impl Operator for Min {
    arithmetic::variadic!(Number, 13);

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Number>(call: &Call<'_>, x: &[T]) -> Result<Vec<T>, GraphError> {
            arithmetic::fold(call, x, global_pool::smaller)
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

impl Definition for Min {
    const NAME: &'static str = "Min";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import_variadic(node, importer, Op::Min)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        arithmetic::draw(generator, x, Op::Min, false)
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "min",
            Op::Min,
            [f(&[2, 1], &[1.0, 5.0]), f(&[2], &[3.0, 4.0]), f(&[], &[3.5])],
            f(&[2, 2], &[1.0, 1.0, 3.0, 3.5]),
        )]
    }
}
