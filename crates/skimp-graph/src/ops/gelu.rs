//! Gelu.

use crate::GraphError;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Definition, Op};
use crate::testing::{Case, Generator, case, f};

/// x / 2 · (1 + erf(x / √2)), or its approximation x / 2 · (1 + tanh(√(2 / π) · (x + 0.044715 · x³))).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gelu {
    /// Whether the approximation is meant.
    pub tanh: bool,
}

impl Unary for Gelu {
    fn value(&self, x: f64) -> f64 {
        use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, SQRT_2};
        let inner = if self.tanh {
            // √(2 / π) = 2 / √π / √2.
            (FRAC_2_SQRT_PI / SQRT_2 * (x + 0.044_715 * x.powi(3))).tanh()
        } else {
            libm::erf(x * FRAC_1_SQRT_2)
        };
        x / 2.0 * (1.0 + inner)
    }

    fn export(&self, form: Form) -> Form {
        let form = form.since(20);
        if self.tanh { form.string("approximate", "tanh") } else { form }
    }

    fn keeps_non_negative(&self, x: bool) -> bool {
        x
    }
}

impl Definition for Gelu {
    const NAME: &'static str = "Gelu";
    const ATTRIBUTES: &'static [&'static str] = &["approximate"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let tanh = match node.string("approximate")? {
            None | Some("none") => false,
            Some("tanh") => true,
            Some(other) => return Err(node.invalid(format!("attribute \"approximate\" is \"{other}\""))),
        };
        unary::import(node, importer, Op::Gelu(Self { tanh }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let tanh = generator.draws.chance(0.5);
        unary::draw(generator, x, Op::Gelu(Self { tanh }))
    }

    fn cases() -> Vec<Case> {
        vec![
            // The normal distribution function at 1 is 0.841 344 7.
            case(
                "gelu",
                Op::Gelu(Self { tanh: false }),
                [f(&[3], &[0.0, 1.0, 20.0])],
                f(&[3], &[0.0, 0.841_344_8, 20.0]),
            ),
            case("gelu by tanh", Op::Gelu(Self { tanh: true }), [f(&[2], &[0.0, 1.0])], f(&[2], &[0.0, 0.841_192])),
        ]
    }
}
