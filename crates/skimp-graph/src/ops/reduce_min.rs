//! ReduceMin: axes as an attribute, or an input (18).

use crate::onnx::functions::Steps;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::{Definition, Op, Operator, Rounding, global_pool, reduction};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::testing::{Case, Generator, case, f, t};
use crate::{DType, Data, GraphError};

/// Minimum over axes (all where empty); NaN wins, and the minimum of nothing is the highest value of the type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReduceMin {
    /// Axes, may be negative.
    pub axes: Vec<i64>,
    /// Whether reduced axes stay as 1.
    pub keep_dims: bool,
}

impl Operator for ReduceMin {
    reduction::facts!(ReduceMin, Number, 18);

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Number>(call: &Call<'_>, x: &[T], reduced: &[bool]) -> Result<Vec<T>, GraphError> {
            reduction::reduce(call, x, reduced, |elements, _| elements.fold(T::HIGHEST, global_pool::smaller))
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

impl Definition for ReduceMin {
    const NAME: &'static str = "ReduceMin";
    const ATTRIBUTES: &'static [&'static str] = &["axes", "keepdims", "noop_with_empty_axes"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        if node.input(0).is_some() && node.opset() >= 20 {
            let x = importer.value(node, 0)?;
            if importer.dtype(x) == DType::Bool {
                return Steps::new(node, importer).on_truth_values("ReduceMin", Self::ATTRIBUTES);
            }
        }
        reduction::import(node, importer, 18, |axes, keep_dims| Op::ReduceMin(Self { axes, keep_dims }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        reduction::draw(generator, x, |axes, keep_dims| Op::ReduceMin(Self { axes, keep_dims }))
    }

    fn cases() -> Vec<Case> {
        vec![
            case(
                "reduce min",
                Op::ReduceMin(Self { axes: vec![1], keep_dims: false }),
                [f(&[2, 2], &[1.0, -2.0, 3.0, 4.0])],
                f(&[2], &[-2.0, 3.0]),
            ),
            case(
                "reduce min of i32",
                Op::ReduceMin(Self { axes: vec![], keep_dims: false }),
                [t(&[2], &[7_i32, -1])],
                t(&[], &[-1_i32]),
            ),
        ]
    }
}
