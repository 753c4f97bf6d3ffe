//! ThresholdedRelu.

use crate::GraphError;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op, Rounding};
use crate::testing::{Case, Generator, case, f};

/// x if x > alpha, else 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThresholdedRelu {
    /// The threshold.
    pub alpha: f32,
}

impl Unary for ThresholdedRelu {
    fn value(&self, x: f64) -> f64 {
        if x > f64::from(self.alpha) { x } else { 0.0 }
    }

    fn export(&self, form: Form) -> Form {
        form.since(10).float("alpha", self.alpha)
    }

    fn keeps_non_negative(&self, x: bool) -> bool {
        x
    }

    fn rounding(&self) -> Rounding {
        Rounding::Jumps
    }
}

impl Definition for ThresholdedRelu {
    const NAME: &'static str = "ThresholdedRelu";
    const ATTRIBUTES: &'static [&'static str] = &["alpha"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let alpha = node.float_or("alpha", 1.0)?;
        unary::import(node, importer, Op::ThresholdedRelu(Self { alpha }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::ThresholdedRelu(Self { alpha: 0.5 }))
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "thresholded relu",
            Op::ThresholdedRelu(Self { alpha: 1.0 }),
            [f(&[3], &[-1.0, 1.0, 3.0])],
            f(&[3], &[0.0, 0.0, 3.0]),
        )]
    }
}
