//! CumSum.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary, window};
use crate::reference::Call;
use crate::reference::number::{Float, Number, for_float, for_number};
use crate::reference::strided::around_axis;
use crate::shape::{TensorType, normalized_axis};
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError, Tensor};

/// Running sums along an axis, in f64 for floating point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CumSum {
    /// Axis, may be negative.
    pub axis: i64,
    /// Whether an element does not count itself.
    pub exclusive: bool,
    /// Whether sums run from the end.
    pub reverse: bool,
}

impl Operator for CumSum {
    facts!(Reduces, 1..=1, Number);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.number()?;
        signature.axis(self.axis, x.shape.len())?;
        Ok(vec![x.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let axis = normalized_axis(self.axis, call.input(0).shape().len()).map_err(|cause| call.invalid(cause))?;
        for_float!(
            call.input(0).data(),
            x => Ok(vec![
                running(call, x, axis, (*self, 0.0), |sum, x| sum + x.to_f64(), Float::from_f64)?.into()
            ]),
            for_number!(
                call.input(0).data(),
                x => Ok(vec![running(call, x, axis, (*self, Number::ZERO), Number::plus, |sum| sum)?.into()]),
                Err(call.unsupported_type())
            )
        )
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        !operands.is_first(self.axis)
    }

    fn carries(&self, rank: usize, axis: usize) -> Result<usize, &'static str> {
        super::channels::carries_but(self.axis, rank, axis)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        let axis = order::place(self.axis, order)?;
        Some(order::first(order, ranks)?.with(Op::CumSum(Self { axis, ..*self })))
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let form = form.since(14).parameter(1, "axis", Tensor::from_i64(Vec::new(), vec![self.axis]));
        Ok(form.int("exclusive", i64::from(self.exclusive)).int("reverse", i64::from(self.reverse)))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

/// The sums from `zero` on along the axis, and what `rounded` makes of each.
fn running<T: Number, S: Copy>(
    call: &Call<'_>,
    x: &[T],
    axis: usize,
    (op, zero): (CumSum, S),
    add: impl Fn(S, T) -> S,
    rounded: impl Fn(S) -> T,
) -> Result<Vec<T>, GraphError> {
    let (outer, extent, inner) = around_axis(call.input(0).shape(), axis);
    let mut y = call.allocate_output()?;
    y.resize(x.len(), T::ZERO);
    for (block, lane) in window::pairs(outer, inner) {
        let mut sum = zero;
        for step in 0..extent {
            let i = if op.reverse { extent - 1 - step } else { step };
            let place = (block * extent + i) * inner + lane;
            let next = add(sum, x[place]);
            y[place] = rounded(if op.exclusive { sum } else { next });
            sum = next;
        }
    }
    Ok(y)
}

impl Definition for CumSum {
    const NAME: &'static str = "CumSum";
    const ATTRIBUTES: &'static [&'static str] = &["exclusive", "reverse"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 2)?;
        let x = importer.value(node, 0)?;
        let axis = importer.ints(node, 1)?.and_then(|axis| axis.first().copied());
        let axis = axis.ok_or_else(|| node.invalid("the axis is missing"))?;
        let (exclusive, reverse) = (node.flag("exclusive", false)?, node.flag("reverse", false)?);
        importer.emit(node, Op::CumSum(Self { axis, exclusive, reverse }), vec![Some(x)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let axis = generator.axis(generator.shape(x).len())?;
        let (exclusive, reverse) = (generator.draws.chance(0.5), generator.draws.chance(0.5));
        unary::draw(generator, x, Op::CumSum(Self { axis, exclusive, reverse }))
    }

    fn cases() -> Vec<Case> {
        let x = f(&[1, 3], &[1.0, 2.0, 4.0]);
        let sums = |exclusive, reverse| Op::CumSum(Self { axis: 1, exclusive, reverse });
        vec![
            case("running sums", sums(false, false), [x.clone()], f(&[1, 3], &[1.0, 3.0, 7.0])),
            case("running sums, exclusive", sums(true, false), [x.clone()], f(&[1, 3], &[0.0, 1.0, 3.0])),
            case("running sums, reverse", sums(false, true), [x], f(&[1, 3], &[7.0, 6.0, 4.0])),
        ]
    }
}
