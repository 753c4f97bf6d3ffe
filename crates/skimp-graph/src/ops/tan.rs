//! Tan.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op, Rounding};
use crate::testing::{Case, Generator, case, f};

/// Tangent, of radians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tan;

impl Unary for Tan {
    fn value(&self, x: f64) -> f64 {
        x.tan()
    }

    fn rounding(&self) -> Rounding {
        Rounding::RoundsAndJumps
    }
}

impl Definition for Tan {
    const NAME: &'static str = "Tan";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Tan)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Tan)
    }

    fn cases() -> Vec<Case> {
        vec![case("tangent", Op::Tan, [f(&[2], &[0.0, std::f32::consts::FRAC_PI_4])], f(&[2], &[0.0, 1.0]))]
    }
}
