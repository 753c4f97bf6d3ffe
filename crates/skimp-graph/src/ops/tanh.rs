//! Tanh.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// Hyperbolic tangent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tanh;

impl Unary for Tanh {
    fn value(&self, x: f64) -> f64 {
        x.tanh()
    }
}

impl Definition for Tanh {
    const NAME: &'static str = "Tanh";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Tanh)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Tanh)
    }

    fn cases() -> Vec<Case> {
        vec![case("tanh", Op::Tanh, [f(&[2], &[0.0, 100.0])], f(&[2], &[0.0, 1.0]))]
    }
}
