//! HardSigmoid.

use crate::GraphError;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// max(0, min(1, alpha · x + beta)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HardSigmoid {
    /// Slope.
    pub alpha: f32,
    /// Offset.
    pub beta: f32,
}

impl Unary for HardSigmoid {
    fn value(&self, x: f64) -> f64 {
        (f64::from(self.alpha) * x + f64::from(self.beta)).clamp(0.0, 1.0)
    }

    fn keeps_non_negative(&self, _x: bool) -> bool {
        true
    }

    fn export(&self, form: Form) -> Form {
        form.float("alpha", self.alpha).float("beta", self.beta)
    }
}

impl Definition for HardSigmoid {
    const NAME: &'static str = "HardSigmoid";
    const ATTRIBUTES: &'static [&'static str] = &["alpha", "beta"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let (alpha, beta) = (node.float_or("alpha", 0.2)?, node.float_or("beta", 0.5)?);
        unary::import(node, importer, Op::HardSigmoid(Self { alpha, beta }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::HardSigmoid(Self { alpha: 0.25, beta: 0.5 }))
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "hard sigmoid",
            Op::HardSigmoid(Self { alpha: 0.25, beta: 0.5 }),
            [f(&[5], &[-2.0, -0.0, 0.5, 1.0, 4.0])],
            f(&[5], &[0.0, 0.5, 0.625, 0.75, 1.0]),
        )]
    }
}
