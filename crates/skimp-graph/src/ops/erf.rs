//! Erf.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// The error function, `2 / √π · ∫₀ˣ exp(−t²) dt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erf;

impl Unary for Erf {
    fn value(&self, x: f64) -> f64 {
        libm::erf(x)
    }
}

impl Definition for Erf {
    const NAME: &'static str = "Erf";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Erf)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Erf)
    }

    fn cases() -> Vec<Case> {
        // erf(1) as tabled, to the digits of an f32.
        vec![case("erf", Op::Erf, [f(&[4], &[0.0, 1.0, -1.0, 9.0])], f(&[4], &[0.0, 0.842_700_8, -0.842_700_8, 1.0]))]
    }
}
