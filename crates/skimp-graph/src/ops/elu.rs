//! Elu.

use crate::GraphError;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// x if x ≥ 0, else alpha · (exp(x) − 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Elu {
    /// Depth of the negative side.
    pub alpha: f32,
}

impl Unary for Elu {
    fn value(&self, x: f64) -> f64 {
        if x < 0.0 { f64::from(self.alpha) * x.exp_m1() } else { x }
    }

    fn export(&self, form: Form) -> Form {
        form.float("alpha", self.alpha)
    }

    fn keeps_non_negative(&self, x: bool) -> bool {
        x
    }
}

impl Definition for Elu {
    const NAME: &'static str = "Elu";
    const ATTRIBUTES: &'static [&'static str] = &["alpha"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let alpha = node.float_or("alpha", 1.0)?;
        unary::import(node, importer, Op::Elu(Self { alpha }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Elu(Self { alpha: 0.5 }))
    }

    fn cases() -> Vec<Case> {
        vec![
            // e⁻¹ − 1.
            case("elu", Op::Elu(Self { alpha: 2.0 }), [f(&[3], &[-1.0, 0.0, 3.0])], f(&[3], &[-1.264_241_1, 0.0, 3.0])),
        ]
    }
}
