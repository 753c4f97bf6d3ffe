//! Ceil.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op, Rounding};
use crate::testing::{Case, Generator, case, f};

/// The smallest integer that is not below x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceil;

impl Unary for Ceil {
    fn value(&self, x: f64) -> f64 {
        x.ceil()
    }

    fn rounding(&self) -> Rounding {
        Rounding::Jumps
    }

    fn keeps_non_negative(&self, x: bool) -> bool {
        x
    }
}

impl Definition for Ceil {
    const NAME: &'static str = "Ceil";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Ceil)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Ceil)
    }

    fn cases() -> Vec<Case> {
        vec![case("ceil", Op::Ceil, [f(&[3], &[1.5, -1.5, 2.0])], f(&[3], &[2.0, -1.0, 2.0]))]
    }
}
