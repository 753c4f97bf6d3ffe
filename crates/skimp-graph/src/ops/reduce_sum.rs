//! ReduceSum: axes as an attribute, or an input (13).

use crate::onnx::import::{Importer, NodeView};
use crate::ops::{Definition, Op, Operator, Rounding, reduction};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::testing::{Case, Generator, case, f, t};
use crate::{Data, GraphError};

/// Sum over axes (all where empty), in f64 for floating point; integers wrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReduceSum {
    /// Axes, may be negative.
    pub axes: Vec<i64>,
    /// Whether reduced axes stay as 1.
    pub keep_dims: bool,
}

impl Operator for ReduceSum {
    reduction::facts!(ReduceSum, Number, 13);

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Number>(call: &Call<'_>, x: &[T], reduced: &[bool]) -> Result<Vec<T>, GraphError> {
            reduction::reduce(call, x, reduced, |elements, _| T::dot(&mut elements.map(|x| (x, T::ONE))))
        }
        let reduced = reduction::reduced(call, &self.axes)?;
        for_number!(
            call.input(0).data(),
            x => Ok(vec![typed(call, x, &reduced)?.into()]),
            Err(call.unsupported_type())
        )
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs == [true]
    }
}

impl Definition for ReduceSum {
    const NAME: &'static str = "ReduceSum";
    const ATTRIBUTES: &'static [&'static str] = &["axes", "keepdims", "noop_with_empty_axes"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        reduction::import(node, importer, 13, |axes, keep_dims| Op::ReduceSum(Self { axes, keep_dims }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        reduction::draw(generator, x, |axes, keep_dims| Op::ReduceSum(Self { axes, keep_dims }))
    }

    fn cases() -> Vec<Case> {
        vec![
            case(
                "reduce sum",
                Op::ReduceSum(Self { axes: vec![1], keep_dims: false }),
                [f(&[2, 2], &[1.0, -2.0, 3.0, 4.0])],
                f(&[2], &[-1.0, 7.0]),
            ),
            case(
                "reduce sum of u8 wraps",
                Op::ReduceSum(Self { axes: vec![], keep_dims: true }),
                [t(&[2], &[200_u8, 100])],
                t(&[1], &[44_u8]),
            ),
        ]
    }
}
