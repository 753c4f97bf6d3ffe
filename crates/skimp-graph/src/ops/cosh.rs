//! Cosh.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// Hyperbolic cosine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cosh;

impl Unary for Cosh {
    fn value(&self, x: f64) -> f64 {
        x.cosh()
    }
}

impl Definition for Cosh {
    const NAME: &'static str = "Cosh";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Cosh)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Cosh)
    }

    fn cases() -> Vec<Case> {
        vec![case("hyperbolic cosine", Op::Cosh, [f(&[2], &[0.0, 1.0])], f(&[2], &[1.0, 1.543_080_7]))]
    }
}
