//! ReduceMean: axes as an attribute (opset 1) or an input (18).

use crate::onnx::import::{Importer, NodeView};
use crate::ops::{Definition, Op, Operator, Rounding, reduction};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::testing::{Case, Generator, case, f, t};
use crate::{Data, GraphError};

/// Mean over axes (all where empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReduceMean {
    /// Axes, may be negative.
    pub axes: Vec<i64>,
    /// Whether reduced axes stay as 1.
    pub keep_dims: bool,
}

impl ReduceMean {
    /// Whether it runs over exactly the spatial axes of a tensor `[n, c, ..]` of `rank` axes.
    pub fn is_spatial(&self, rank: usize) -> bool {
        let mut axes: Vec<i64> =
            self.axes.iter().map(|&axis| if axis < 0 { axis + rank as i64 } else { axis }).collect();
        axes.sort_unstable();
        rank > 2 && axes == (2..rank as i64).collect::<Vec<_>>()
    }
}

impl Operator for ReduceMean {
    reduction::facts!(ReduceMean, Number, 18);

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Number>(call: &Call<'_>, x: &[T], reduced: &[bool]) -> Result<Vec<T>, GraphError> {
            reduction::reduce(call, x, reduced, |elements, n| T::mean(elements, n))
        }
        let reduced = reduction::reduced(call, &self.axes)?;
        for_number!(
            call.input(0).data(),
            x => Ok(vec![typed(call, x, &reduced)?.into()]),
            Err(call.unsupported_type())
        )
    }

    fn rounding(&self) -> Rounding {
        Rounding::Rounds
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for ReduceMean {
    const NAME: &'static str = "ReduceMean";
    const ATTRIBUTES: &'static [&'static str] = &["axes", "keepdims", "noop_with_empty_axes"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        reduction::import(node, importer, 18, |axes, keep_dims| Op::ReduceMean(Self { axes, keep_dims }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        reduction::draw(generator, x, |axes, keep_dims| Op::ReduceMean(Self { axes, keep_dims }))
    }

    fn cases() -> Vec<Case> {
        vec![
            case(
                "reduce mean",
                Op::ReduceMean(Self { axes: vec![-1, 1], keep_dims: false }),
                [f(&[2, 2, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])],
                f(&[2], &[2.5, 6.5]),
            ),
            case(
                "reduce mean of the middle",
                Op::ReduceMean(Self { axes: vec![1], keep_dims: true }),
                [f(&[2, 2, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])],
                f(&[2, 1, 2], &[2.0, 3.0, 6.0, 7.0]),
            ),
            case(
                "reduce mean of integers truncates",
                Op::ReduceMean(Self { axes: vec![], keep_dims: true }),
                [t(&[2], &[-3_i64, -4])],
                t(&[1], &[-3_i64]),
            ),
        ]
    }
}
