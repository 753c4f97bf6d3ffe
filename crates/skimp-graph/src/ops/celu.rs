//! Celu.

use crate::GraphError;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// max(0, x) + min(0, alpha · (exp(x / alpha) − 1)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Celu {
    /// Depth of the negative side.
    pub alpha: f32,
}

impl Unary for Celu {
    fn value(&self, x: f64) -> f64 {
        let alpha = f64::from(self.alpha);
        x.max(0.0) + (alpha * (x / alpha).exp_m1()).min(0.0)
    }

    fn export(&self, form: Form) -> Form {
        form.since(12).float("alpha", self.alpha)
    }

    fn keeps_non_negative(&self, x: bool) -> bool {
        x
    }
}

impl Definition for Celu {
    const NAME: &'static str = "Celu";
    const ATTRIBUTES: &'static [&'static str] = &["alpha"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let alpha = node.float_or("alpha", 1.0)?;
        unary::import(node, importer, Op::Celu(Self { alpha }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Celu(Self { alpha: 0.5 }))
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "celu",
            Op::Celu(Self { alpha: 2.0 }),
            [f(&[3], &[-2.0, 0.0, 3.0])],
            f(&[3], &[-1.264_241_1, 0.0, 3.0]),
        )]
    }
}
