//! Reciprocal.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op, Rounding};
use crate::testing::{Case, Generator, case, f};

/// 1 / x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reciprocal;

impl Unary for Reciprocal {
    fn value(&self, x: f64) -> f64 {
        1.0 / x
    }

    fn rounding(&self) -> Rounding {
        Rounding::RoundsAndJumps
    }

    fn keeps_non_negative(&self, x: bool) -> bool {
        x
    }
}

impl Definition for Reciprocal {
    const NAME: &'static str = "Reciprocal";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Reciprocal)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Reciprocal)
    }

    fn cases() -> Vec<Case> {
        vec![case("reciprocal", Op::Reciprocal, [f(&[2], &[2.0, -0.25])], f(&[2], &[0.5, -4.0]))]
    }
}
