//! Exp.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// e to the power of x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exp;

impl Unary for Exp {
    fn value(&self, x: f64) -> f64 {
        x.exp()
    }

    fn keeps_non_negative(&self, _x: bool) -> bool {
        true
    }
}

impl Definition for Exp {
    const NAME: &'static str = "Exp";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Exp)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Exp)
    }

    fn cases() -> Vec<Case> {
        vec![case("exp", Op::Exp, [f(&[3], &[0.0, 1.0, -200.0])], f(&[3], &[1.0, std::f32::consts::E, 0.0]))]
    }
}
