//! Softplus.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// ln(1 + exp(x)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Softplus;

impl Unary for Softplus {
    fn value(&self, x: f64) -> f64 {
        if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }
    }

    fn keeps_non_negative(&self, _x: bool) -> bool {
        true
    }
}

impl Definition for Softplus {
    const NAME: &'static str = "Softplus";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Softplus)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Softplus)
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "softplus",
            Op::Softplus,
            [f(&[3], &[0.0, 100.0, -200.0])],
            f(&[3], &[std::f32::consts::LN_2, 100.0, 0.0]),
        )]
    }
}
