//! GreaterOrEqual.

use crate::onnx::import::{Importer, NodeView};
use crate::ops::{Definition, Op, Operator, arithmetic};
use crate::reference::Call;
use crate::reference::number::for_any;
use crate::testing::{Case, Generator, case, f, t};
use crate::{Data, Element, GraphError};

/// Whether a ≥ b, broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GreaterOrEqual;

impl Operator for GreaterOrEqual {
    arithmetic::comparison!(Number, 16);

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Element + PartialOrd>(call: &Call<'_>, a: &[T]) -> Result<Vec<Data>, GraphError> {
            Ok(vec![arithmetic::compare(call, a, |a, b| a >= b)?.into()])
        }
        for_any!(call.input(0).data(), a => typed(call, a))
    }
}

impl Definition for GreaterOrEqual {
    const NAME: &'static str = "GreaterOrEqual";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import_data(node, importer, Op::GreaterOrEqual)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        arithmetic::draw(generator, x, Op::GreaterOrEqual, false)
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "GreaterOrEqual",
            Op::GreaterOrEqual,
            [f(&[3], &[1.0, 2.0, 3.0]), f(&[], &[2.0])],
            t(&[3], &[false, true, true]),
        )]
    }
}
