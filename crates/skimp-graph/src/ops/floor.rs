//! Floor.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op, Rounding};
use crate::testing::{Case, Generator, case, f};

/// The largest integer that is not above x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floor;

impl Unary for Floor {
    fn value(&self, x: f64) -> f64 {
        x.floor()
    }

    fn rounding(&self) -> Rounding {
        Rounding::Jumps
    }

    fn keeps_non_negative(&self, x: bool) -> bool {
        x
    }
}

impl Definition for Floor {
    const NAME: &'static str = "Floor";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Floor)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Floor)
    }

    fn cases() -> Vec<Case> {
        vec![case("floor", Op::Floor, [f(&[3], &[1.5, -1.5, 2.0])], f(&[3], &[1.0, -2.0, 2.0]))]
    }
}
