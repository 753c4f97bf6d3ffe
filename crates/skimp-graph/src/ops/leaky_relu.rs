//! LeakyRelu.

use crate::GraphError;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op, Rounding};
use crate::testing::{Case, Generator, case, f};

/// x if x ≥ 0, else alpha · x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeakyRelu {
    /// Slope of the negative side.
    pub alpha: f32,
}

impl Unary for LeakyRelu {
    fn value(&self, x: f64) -> f64 {
        if x < 0.0 { f64::from(self.alpha) * x } else { x }
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form) -> Form {
        form.float("alpha", self.alpha)
    }
}

impl Definition for LeakyRelu {
    const NAME: &'static str = "LeakyRelu";
    const ATTRIBUTES: &'static [&'static str] = &["alpha"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let alpha = node.float_or("alpha", 0.01)?;
        unary::import(node, importer, Op::LeakyRelu(Self { alpha }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::LeakyRelu(Self { alpha: 0.125 }))
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "leaky relu",
            Op::LeakyRelu(Self { alpha: 0.25 }),
            [f(&[5], &[-2.0, -0.0, 0.5, 1.0, 4.0])],
            f(&[5], &[-0.5, 0.0, 0.5, 1.0, 4.0]),
        )]
    }
}
