//! Sigmoid.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// 1 / (1 + exp(−x)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sigmoid;

impl Unary for Sigmoid {
    fn value(&self, x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    fn keeps_non_negative(&self, _x: bool) -> bool {
        true
    }
}

impl Definition for Sigmoid {
    const NAME: &'static str = "Sigmoid";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Sigmoid)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Sigmoid)
    }

    fn cases() -> Vec<Case> {
        vec![case("sigmoid", Op::Sigmoid, [f(&[2], &[0.0, 200.0])], f(&[2], &[0.5, 1.0]))]
    }
}
