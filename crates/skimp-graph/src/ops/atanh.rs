//! Atanh.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op, Rounding};
use crate::testing::{Case, Generator, Source, case, f};

/// Inverse hyperbolic tangent; NaN outside of [−1, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Atanh;

impl Unary for Atanh {
    fn value(&self, x: f64) -> f64 {
        x.atanh()
    }

    fn rounding(&self) -> Rounding {
        Rounding::RoundsAndJumps
    }
}

impl Definition for Atanh {
    const NAME: &'static str = "Atanh";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Atanh)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        // Numbers below 1 in magnitude.
        let x = generator.try_node(Op::Softsign, vec![Source::Known(x)])?[0];
        unary::draw(generator, x, Op::Atanh)
    }

    fn cases() -> Vec<Case> {
        vec![case("inverse hyperbolic tangent", Op::Atanh, [f(&[2], &[0.0, 0.5])], f(&[2], &[0.0, 0.549_306_15]))]
    }
}
