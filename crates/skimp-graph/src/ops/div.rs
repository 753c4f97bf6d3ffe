//! Div.

use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::Arithmetic;
use crate::ops::{Definition, Op, Operator, Rounding, arithmetic};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::testing::{Case, Generator, case, f, t};
use crate::{Data, GraphError};

/// Elementwise quotient, broadcast; integers truncate toward zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Div;

impl Operator for Div {
    arithmetic::facts!();

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Number>(call: &Call<'_>, a: &[T]) -> Result<Data, GraphError>
        where
            Data: From<Vec<T>>,
        {
            if !T::DTYPE.is_float() && call.elements::<T>(1).contains(&T::ZERO) {
                return Err(call.invalid("integer division by zero"));
            }
            arithmetic::zip(call, a, T::over)
        }
        for_number!(call.input(0).data(), a => Ok(vec![typed(call, a)?]), Err(call.unsupported_type()))
    }

    fn rounding(&self) -> Rounding {
        Rounding::Magnifies
    }
}

impl Definition for Div {
    const NAME: &'static str = "Div";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import(node, importer, Op::Div, Arithmetic::Div)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        arithmetic::draw(generator, x, Op::Div, true)
    }

    fn cases() -> Vec<Case> {
        vec![
            case("div", Op::Div, [f(&[2], &[3.0, -2.0]), f(&[1], &[2.0])], f(&[2], &[1.5, -1.0])),
            case("div of i32 truncates", Op::Div, [t(&[3], &[-7_i32, 7, i32::MIN]), t(&[3], &[2_i32, -2, -1])], {
                t(&[3], &[-3_i32, -3, i32::MIN])
            }),
        ]
    }
}
