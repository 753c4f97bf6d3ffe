//! Mish.

use crate::GraphError;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// x · tanh(ln(1 + exp(x))).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mish;

impl Unary for Mish {
    fn value(&self, x: f64) -> f64 {
        let softplus = if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() };
        x * softplus.tanh()
    }

    fn export(&self, form: Form) -> Form {
        form.since(18)
    }

    fn keeps_non_negative(&self, x: bool) -> bool {
        x
    }
}

impl Definition for Mish {
    const NAME: &'static str = "Mish";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Mish)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Mish)
    }

    fn cases() -> Vec<Case> {
        vec![
            // tanh(ln 2) = 3/5 and tanh(ln(1 + e)) · 1 = ((1 + e)² − 1) / ((1 + e)² + 1).
            case("mish", Op::Mish, [f(&[3], &[0.0, 1.0, 50.0])], f(&[3], &[0.0, 0.865_098_4, 50.0])),
        ]
    }
}
