//! Softsign.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// x / (1 + |x|).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Softsign;

impl Unary for Softsign {
    fn value(&self, x: f64) -> f64 {
        x / (1.0 + x.abs())
    }

    fn keeps_non_negative(&self, x: bool) -> bool {
        x
    }
}

impl Definition for Softsign {
    const NAME: &'static str = "Softsign";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Softsign)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Softsign)
    }

    fn cases() -> Vec<Case> {
        vec![case("softsign", Op::Softsign, [f(&[3], &[1.0, -3.0, 0.0])], f(&[3], &[0.5, -0.75, 0.0]))]
    }
}
