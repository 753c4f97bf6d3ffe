//! ReduceMax: axes as an attribute (opset 1) or an input (18).

use crate::onnx::functions::Steps;
use crate::onnx::import::{Importer, NodeView};
use crate::ops::{Definition, Op, Operator, Rounding, global_pool, reduction};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::testing::{Case, Generator, case, f, t};
use crate::{DType, Data, GraphError};

/// Maximum over axes (all where empty); NaN wins, and the maximum of nothing is the lowest value of the type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReduceMax {
    /// Axes, may be negative.
    pub axes: Vec<i64>,
    /// Whether reduced axes stay as 1.
    pub keep_dims: bool,
}

impl Operator for ReduceMax {
    reduction::facts!(ReduceMax, Number, 18);

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Number>(call: &Call<'_>, x: &[T], reduced: &[bool]) -> Result<Vec<T>, GraphError> {
            reduction::reduce(call, x, reduced, |elements, _| elements.fold(T::LOWEST, global_pool::larger))
        }
        let reduced = reduction::reduced(call, &self.axes)?;
        for_number!(call.input(0).data(), x => Ok(vec![typed(call, x, &reduced)?.into()]), Err(call.unsupported_type()))
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs == [true]
    }
}

impl Definition for ReduceMax {
    const NAME: &'static str = "ReduceMax";
    const ATTRIBUTES: &'static [&'static str] = &["axes", "keepdims", "noop_with_empty_axes"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        if node.input(0).is_some() && node.opset() >= 20 {
            let x = importer.value(node, 0)?;
            if importer.dtype(x) == DType::Bool {
                return Steps::new(node, importer).on_truth_values("ReduceMax", Self::ATTRIBUTES);
            }
        }
        reduction::import(node, importer, 18, |axes, keep_dims| Op::ReduceMax(Self { axes, keep_dims }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        reduction::draw(generator, x, |axes, keep_dims| Op::ReduceMax(Self { axes, keep_dims }))
    }

    fn cases() -> Vec<Case> {
        let x = f(&[2, 2, 2], &[1.0, 8.0, 3.0, 4.0, 5.0, 6.0, -7.0, 2.0]);
        let max = |axes, keep_dims| Op::ReduceMax(Self { axes, keep_dims });
        vec![
            case("reduce max", max(vec![-1, 1], false), [x.clone()], f(&[2], &[8.0, 6.0])),
            case("reduce max of the middle", max(vec![1], true), [x], f(&[2, 1, 2], &[3.0, 8.0, 5.0, 6.0])),
            case("reduce max of everything", max(vec![], false), [t(&[3], &[-3_i8, -1, -2])], t(&[], &[-1_i8])),
        ]
    }
}
