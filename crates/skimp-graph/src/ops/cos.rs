//! Cos.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// Cosine, of radians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cos;

impl Unary for Cos {
    fn value(&self, x: f64) -> f64 {
        x.cos()
    }
}

impl Definition for Cos {
    const NAME: &'static str = "Cos";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Cos)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Cos)
    }

    fn cases() -> Vec<Case> {
        vec![case("cosine", Op::Cos, [f(&[2], &[0.0, 1.0])], f(&[2], &[1.0, 0.540_302_3]))]
    }
}
