//! Acos.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Clip, Definition, Op, Rounding};
use crate::testing::{Case, Generator, Source, case, f};

/// Inverse cosine, in radians; NaN outside of [−1, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Acos;

impl Unary for Acos {
    fn value(&self, x: f64) -> f64 {
        x.acos()
    }

    fn rounding(&self) -> Rounding {
        Rounding::Magnifies
    }
}

impl Definition for Acos {
    const NAME: &'static str = "Acos";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Acos)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        // Away from -1 and 1, where it is steep.
        let clip = Op::Clip(Clip { min: Some(-0.5), max: Some(0.5) });
        let x = generator.try_node(clip, vec![Source::Known(x)])?[0];
        unary::draw(generator, x, Op::Acos)
    }

    fn cases() -> Vec<Case> {
        vec![case("inverse cosine", Op::Acos, [f(&[2], &[1.0, 0.0])], f(&[2], &[0.0, std::f32::consts::FRAC_PI_2]))]
    }
}
