//! Or.

use crate::onnx::import::{Importer, NodeView};
use crate::ops::{Definition, Op, Operator, arithmetic};
use crate::reference::Call;
use crate::testing::{Case, Generator, case, t};
use crate::{Data, GraphError};

/// Whether either holds, broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Or;

impl Operator for Or {
    arithmetic::logic!();

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let a = call.elements::<bool>(0);
        Ok(vec![arithmetic::compare(call, a, |a, b| a || b)?.into()])
    }
}

impl Definition for Or {
    const NAME: &'static str = "Or";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import_data(node, importer, Op::Or)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        arithmetic::draw_logic(generator, x, Op::Or)
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "Or",
            Op::Or,
            [t(&[2, 1], &[true, false]), t(&[2], &[true, false])],
            t(&[2, 2], &[true, true, true, false]),
        )]
    }
}
