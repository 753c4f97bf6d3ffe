//! Sqrt.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op, Rounding};
use crate::testing::{Case, Generator, case, f};

/// Square root.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sqrt;

impl Unary for Sqrt {
    fn value(&self, x: f64) -> f64 {
        x.sqrt()
    }

    fn rounding(&self) -> Rounding {
        Rounding::RoundsAndJumps
    }

    fn keeps_non_negative(&self, _x: bool) -> bool {
        true
    }
}

impl Definition for Sqrt {
    const NAME: &'static str = "Sqrt";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Sqrt)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Sqrt)
    }

    fn cases() -> Vec<Case> {
        vec![case("square root", Op::Sqrt, [f(&[3], &[0.0, 2.25, 9.0])], f(&[3], &[0.0, 1.5, 3.0]))]
    }
}
