//! Asinh.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// Inverse hyperbolic sine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asinh;

impl Unary for Asinh {
    fn value(&self, x: f64) -> f64 {
        x.asinh()
    }
}

impl Definition for Asinh {
    const NAME: &'static str = "Asinh";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Asinh)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Asinh)
    }

    fn cases() -> Vec<Case> {
        vec![case("inverse hyperbolic sine", Op::Asinh, [f(&[2], &[0.0, 1.0])], f(&[2], &[0.0, 0.881_373_6]))]
    }
}
