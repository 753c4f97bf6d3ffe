//! Log.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op, Rounding};
use crate::testing::{Case, Generator, case, f};

/// Natural logarithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Log;

impl Unary for Log {
    fn value(&self, x: f64) -> f64 {
        x.ln()
    }

    fn rounding(&self) -> Rounding {
        Rounding::RoundsAndJumps
    }
}

impl Definition for Log {
    const NAME: &'static str = "Log";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Log)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Log)
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "log",
            Op::Log,
            [f(&[3], &[1.0, 2.0, 0.0])],
            f(&[3], &[0.0, std::f32::consts::LN_2, f32::NEG_INFINITY]),
        )]
    }
}
