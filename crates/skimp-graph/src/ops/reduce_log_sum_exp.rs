//! ReduceLogSumExp: axes as an attribute, or an input (18).

use crate::onnx::import::{Importer, NodeView};
use crate::ops::{Definition, Op, Operator, Rounding, reduction};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Logarithm of the sum of exponentials over axes (all where empty), in f64 about the maximum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReduceLogSumExp {
    /// Axes, may be negative.
    pub axes: Vec<i64>,
    /// Whether reduced axes stay as 1.
    pub keep_dims: bool,
}

impl Operator for ReduceLogSumExp {
    reduction::facts!(ReduceLogSumExp, Float, 18);

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Float>(call: &Call<'_>, x: &[T], reduced: &[bool]) -> Result<Vec<T>, GraphError> {
            reduction::reduce(call, x, reduced, |elements, _| {
                let elements: Vec<f64> = elements.map(T::to_f64).collect();
                let most = elements.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let shift = if most.is_finite() { most } else { 0.0 };
                let sum: f64 = elements.iter().map(|x| (x - shift).exp()).sum();
                T::from_f64(shift + sum.ln())
            })
        }
        let reduced = reduction::reduced(call, &self.axes)?;
        for_float!(
            call.input(0).data(),
            x => Ok(vec![typed(call, x, &reduced)?.into()]),
            Err(call.unsupported_type())
        )
    }

    fn rounding(&self) -> Rounding {
        Rounding::Rounds
    }

    fn keeps_non_negative(&self, _inputs: &[bool]) -> bool {
        false
    }
}

impl Definition for ReduceLogSumExp {
    const NAME: &'static str = "ReduceLogSumExp";
    const ATTRIBUTES: &'static [&'static str] = &["axes", "keepdims", "noop_with_empty_axes"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        reduction::import(node, importer, 18, |axes, keep_dims| Op::ReduceLogSumExp(Self { axes, keep_dims }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        reduction::draw(generator, x, |axes, keep_dims| Op::ReduceLogSumExp(Self { axes, keep_dims }))
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "reduce log sum exp",
            Op::ReduceLogSumExp(Self { axes: vec![1], keep_dims: false }),
            [f(&[2, 2], &[0.0, 0.0, 1000.0, 0.0])],
            f(&[2], &[std::f32::consts::LN_2, 1000.0]),
        )]
    }
}
