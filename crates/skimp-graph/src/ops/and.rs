//! And.

use crate::onnx::import::{Importer, NodeView};
use crate::ops::{Definition, Op, Operator, arithmetic};
use crate::reference::Call;
use crate::testing::{Case, Generator, case, t};
use crate::{Data, GraphError};

/// Whether both hold, broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct And;

impl Operator for And {
    arithmetic::logic!();

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let a = call.elements::<bool>(0);
        Ok(vec![arithmetic::compare(call, a, |a, b| a && b)?.into()])
    }
}

impl Definition for And {
    const NAME: &'static str = "And";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import_data(node, importer, Op::And)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        arithmetic::draw_logic(generator, x, Op::And)
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "And",
            Op::And,
            [t(&[2, 1], &[true, false]), t(&[2], &[true, false])],
            t(&[2, 2], &[true, false, false, false]),
        )]
    }
}
