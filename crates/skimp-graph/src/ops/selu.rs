//! Selu.

use crate::GraphError;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// gamma · (x if x > 0, else alpha · (exp(x) − 1)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selu {
    /// Depth of the negative side.
    pub alpha: f32,
    /// Factor.
    pub gamma: f32,
}

impl Unary for Selu {
    fn value(&self, x: f64) -> f64 {
        f64::from(self.gamma) * if x > 0.0 { x } else { f64::from(self.alpha) * x.exp_m1() }
    }

    fn export(&self, form: Form) -> Form {
        form.float("alpha", self.alpha).float("gamma", self.gamma)
    }
}

impl Definition for Selu {
    const NAME: &'static str = "Selu";
    const ATTRIBUTES: &'static [&'static str] = &["alpha", "gamma"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let alpha = node.float_or("alpha", 1.673_263_2)?;
        let gamma = node.float_or("gamma", 1.050_701)?;
        unary::import(node, importer, Op::Selu(Self { alpha, gamma }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Selu(Self { alpha: 1.5, gamma: 1.0 }))
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "selu",
            Op::Selu(Self { alpha: 1.0, gamma: 2.0 }),
            [f(&[3], &[-1.0, 0.0, 3.0])],
            f(&[3], &[-1.264_241_1, 0.0, 6.0]),
        )]
    }
}
