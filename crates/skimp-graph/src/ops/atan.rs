//! Atan.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// Inverse tangent, in radians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Atan;

impl Unary for Atan {
    fn value(&self, x: f64) -> f64 {
        x.atan()
    }
}

impl Definition for Atan {
    const NAME: &'static str = "Atan";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Atan)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Atan)
    }

    fn cases() -> Vec<Case> {
        vec![case("inverse tangent", Op::Atan, [f(&[2], &[0.0, 1.0])], f(&[2], &[0.0, std::f32::consts::FRAC_PI_4]))]
    }
}
