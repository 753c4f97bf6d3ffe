//! Xor.

use crate::onnx::import::{Importer, NodeView};
use crate::ops::{Definition, Op, Operator, arithmetic};
use crate::reference::Call;
use crate::testing::{Case, Generator, case, t};
use crate::{Data, GraphError};

/// Whether one of both holds, broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xor;

impl Operator for Xor {
    arithmetic::logic!();

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let a = call.elements::<bool>(0);
        Ok(vec![arithmetic::compare(call, a, |a, b| a != b)?.into()])
    }
}

impl Definition for Xor {
    const NAME: &'static str = "Xor";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import_data(node, importer, Op::Xor)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        arithmetic::draw_logic(generator, x, Op::Xor)
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "Xor",
            Op::Xor,
            [t(&[2, 1], &[true, false]), t(&[2], &[true, false])],
            t(&[2, 2], &[false, true, true, false]),
        )]
    }
}
