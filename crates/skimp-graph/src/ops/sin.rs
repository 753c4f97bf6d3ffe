//! Sin.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// Sine, of radians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sin;

impl Unary for Sin {
    fn value(&self, x: f64) -> f64 {
        x.sin()
    }
}

impl Definition for Sin {
    const NAME: &'static str = "Sin";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Sin)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Sin)
    }

    fn cases() -> Vec<Case> {
        vec![case("sine", Op::Sin, [f(&[2], &[0.0, std::f32::consts::FRAC_PI_2])], f(&[2], &[0.0, 1.0]))]
    }
}
