//! Swish.

use crate::GraphError;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// x / (1 + exp(−alpha · x)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Swish {
    /// Factor inside.
    pub alpha: f32,
}

impl Unary for Swish {
    fn value(&self, x: f64) -> f64 {
        x / (1.0 + (-f64::from(self.alpha) * x).exp())
    }

    fn export(&self, form: Form) -> Form {
        form.since(24).float("alpha", self.alpha)
    }

    fn keeps_non_negative(&self, x: bool) -> bool {
        x
    }
}

impl Definition for Swish {
    const NAME: &'static str = "Swish";
    const ATTRIBUTES: &'static [&'static str] = &["alpha"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let alpha = node.float_or("alpha", 1.0)?;
        unary::import(node, importer, Op::Swish(Self { alpha }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Swish(Self { alpha: 0.5 }))
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "swish",
            Op::Swish(Self { alpha: 1.0 }),
            [f(&[3], &[0.0, 1.0, 200.0])],
            f(&[3], &[0.0, 0.731_058_6, 200.0]),
        )]
    }
}
