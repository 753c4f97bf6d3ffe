//! Round.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op, Rounding};
use crate::testing::{Case, Generator, case, f};

/// The nearest integer, half to even.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round;

impl Unary for Round {
    fn value(&self, x: f64) -> f64 {
        x.round_ties_even()
    }

    fn rounding(&self) -> Rounding {
        Rounding::Jumps
    }

    fn keeps_non_negative(&self, x: bool) -> bool {
        x
    }
}

impl Definition for Round {
    const NAME: &'static str = "Round";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Round)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Round)
    }

    fn cases() -> Vec<Case> {
        vec![case("round", Op::Round, [f(&[4], &[1.5, 2.5, -0.75, -2.5])], f(&[4], &[2.0, 2.0, -1.0, -2.0]))]
    }
}
