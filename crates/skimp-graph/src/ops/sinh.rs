//! Sinh.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// Hyperbolic sine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sinh;

impl Unary for Sinh {
    fn value(&self, x: f64) -> f64 {
        x.sinh()
    }
}

impl Definition for Sinh {
    const NAME: &'static str = "Sinh";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Sinh)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Sinh)
    }

    fn cases() -> Vec<Case> {
        vec![case("hyperbolic sine", Op::Sinh, [f(&[2], &[0.0, 1.0])], f(&[2], &[0.0, 1.175_201_2]))]
    }
}
