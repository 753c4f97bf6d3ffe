//! Add.

use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::Arithmetic;
use crate::ops::{Definition, Op, Operator, Rounding, arithmetic};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Elementwise sum, broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Add;

impl Operator for Add {
    arithmetic::facts!();

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        for_number!(
            call.input(0).data(),
            a => Ok(vec![arithmetic::zip(call, a, Number::plus)?]),
            Err(call.unsupported_type())
        )
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for Add {
    const NAME: &'static str = "Add";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import(node, importer, Op::Add, Arithmetic::Add)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        arithmetic::draw(generator, x, Op::Add, false)
    }

    fn cases() -> Vec<Case> {
        vec![case("add broadcasts", Op::Add, [f(&[2, 1], &[1.0, 2.0]), f(&[3], &[10.0, 20.0, 30.0])], {
            f(&[2, 3], &[11.0, 21.0, 31.0, 12.0, 22.0, 32.0])
        })]
    }
}
