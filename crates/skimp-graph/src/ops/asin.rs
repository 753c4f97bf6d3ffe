//! Asin.

use crate::GraphError;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::unary::{self, Unary};
use crate::ops::{Clip, Definition, Op, Rounding};
use crate::testing::{Case, Generator, Source, case, f};

/// Inverse sine, in radians; NaN outside of [−1, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asin;

impl Unary for Asin {
    fn value(&self, x: f64) -> f64 {
        x.asin()
    }

    fn rounding(&self) -> Rounding {
        Rounding::Magnifies
    }
}

impl Definition for Asin {
    const NAME: &'static str = "Asin";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Asin)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        // Away from -1 and 1, where it is steep.
        let clip = Op::Clip(Clip { min: Some(-0.5), max: Some(0.5) });
        let x = generator.try_node(clip, vec![Source::Known(x)])?[0];
        unary::draw(generator, x, Op::Asin)
    }

    fn cases() -> Vec<Case> {
        vec![case("inverse sine", Op::Asin, [f(&[2], &[0.0, 1.0])], f(&[2], &[0.0, std::f32::consts::FRAC_PI_2]))]
    }
}
