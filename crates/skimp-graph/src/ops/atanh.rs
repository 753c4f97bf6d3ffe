//! Atanh.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Clip, Definition, Op, Rounding};
use crate::testing::{Case, Generator, Source, case, f};

/// Inverse hyperbolic tangent; NaN outside of [−1, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Atanh;

impl Unary for Atanh {
    fn value(&self, x: f64) -> f64 {
        x.atanh()
    }

    fn rounding(&self) -> Rounding {
        Rounding::Magnifies
    }
}

impl Definition for Atanh {
    const NAME: &'static str = "Atanh";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Atanh)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        // Away from -1 and 1, where it is steep.
        let clip = Op::Clip(Clip { min: Some(-0.5), max: Some(0.5) });
        let x = generator.try_node(clip, vec![Source::Known(x)])?[0];
        unary::draw(generator, x, Op::Atanh)
    }

    fn cases() -> Vec<Case> {
        vec![case("inverse hyperbolic tangent", Op::Atanh, [f(&[2], &[0.0, 0.5])], f(&[2], &[0.0, 0.549_306_15]))]
    }
}
