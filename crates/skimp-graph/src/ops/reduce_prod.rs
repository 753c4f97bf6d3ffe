//! ReduceProd: axes as an attribute, or an input (18).

use crate::onnx::import::{Importer, NodeView};
use crate::ops::{Definition, Op, Operator, Rounding, reduction};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Product over axes (all where empty), rounded at every step; integers wrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReduceProd {
    /// Axes, may be negative.
    pub axes: Vec<i64>,
    /// Whether reduced axes stay as 1.
    pub keep_dims: bool,
}

impl Operator for ReduceProd {
    reduction::facts!(ReduceProd, Number, 18);

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Number>(call: &Call<'_>, x: &[T], reduced: &[bool]) -> Result<Vec<T>, GraphError> {
            reduction::reduce(call, x, reduced, |elements, _| elements.fold(T::ONE, T::times))
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
        inputs == [true]
    }
}

impl Definition for ReduceProd {
    const NAME: &'static str = "ReduceProd";
    const ATTRIBUTES: &'static [&'static str] = &["axes", "keepdims", "noop_with_empty_axes"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        reduction::import(node, importer, 18, |axes, keep_dims| Op::ReduceProd(Self { axes, keep_dims }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        reduction::draw(generator, x, |axes, keep_dims| Op::ReduceProd(Self { axes, keep_dims }))
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "reduce prod",
            Op::ReduceProd(Self { axes: vec![1], keep_dims: false }),
            [f(&[2, 2], &[1.0, -2.0, 3.0, 4.0])],
            f(&[2], &[-2.0, 12.0]),
        )]
    }
}
