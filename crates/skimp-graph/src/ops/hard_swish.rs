//! HardSwish.

use crate::GraphError;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// x · max(0, min(1, x / 6 + 1 / 2)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HardSwish;

impl Unary for HardSwish {
    fn value(&self, x: f64) -> f64 {
        x * (x / 6.0 + 0.5).clamp(0.0, 1.0)
    }

    fn export(&self, form: Form) -> Form {
        form.since(14)
    }
}

impl Definition for HardSwish {
    const NAME: &'static str = "HardSwish";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::HardSwish)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::HardSwish)
    }

    fn cases() -> Vec<Case> {
        vec![case("hard swish", Op::HardSwish, [f(&[4], &[-3.0, 0.0, 1.5, 3.0])], f(&[4], &[0.0, 0.0, 1.125, 3.0]))]
    }
}
