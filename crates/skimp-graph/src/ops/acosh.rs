//! Acosh.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op, Rounding};
use crate::testing::{Case, Generator, case, f};

/// Inverse hyperbolic cosine; NaN below 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Acosh;

impl Unary for Acosh {
    fn value(&self, x: f64) -> f64 {
        x.acosh()
    }

    fn rounding(&self) -> Rounding {
        Rounding::RoundsAndJumps
    }
}

impl Definition for Acosh {
    const NAME: &'static str = "Acosh";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Acosh)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Acosh)
    }

    fn cases() -> Vec<Case> {
        vec![case("inverse hyperbolic cosine", Op::Acosh, [f(&[2], &[1.0, 2.0])], f(&[2], &[0.0, 1.316_958]))]
    }
}
