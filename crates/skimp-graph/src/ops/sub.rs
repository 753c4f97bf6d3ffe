//! Sub.

use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::Arithmetic;
use crate::ops::{Definition, Op, Operator, Rounding, arithmetic};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::testing::{Case, Generator, case, t};
use crate::{Data, GraphError};

/// Elementwise difference, broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sub;

impl Operator for Sub {
    arithmetic::facts!();

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        for_number!(
            call.input(0).data(),
            a => Ok(vec![arithmetic::zip(call, a, Number::minus)?]),
            Err(call.unsupported_type())
        )
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }
}

impl Definition for Sub {
    const NAME: &'static str = "Sub";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import(node, importer, Op::Sub, Arithmetic::Sub)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        arithmetic::draw(generator, x, Op::Sub, false)
    }

    fn cases() -> Vec<Case> {
        vec![case("sub of u8 wraps", Op::Sub, [t(&[1], &[1_u8]), t(&[1], &[2_u8])], t(&[1], &[255_u8]))]
    }
}
