//! Mul.

use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::Arithmetic;
use crate::ops::{Definition, Op, Operator, Rounding, arithmetic};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Elementwise product, broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mul;

impl Operator for Mul {
    arithmetic::facts!();

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        for_number!(
            call.input(0).data(),
            a => Ok(vec![arithmetic::zip(call, a, Number::times)?]),
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

impl Definition for Mul {
    const NAME: &'static str = "Mul";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import(node, importer, Op::Mul, Arithmetic::Mul)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        arithmetic::draw(generator, x, Op::Mul, false)
    }

    fn cases() -> Vec<Case> {
        vec![case("mul", Op::Mul, [f(&[2], &[3.0, -2.0]), f(&[], &[2.0])], f(&[2], &[6.0, -4.0]))]
    }
}
