//! ArgMax.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, reduction, unary, window};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::reference::strided::around_axis;
use crate::shape::{TensorType, normalized_axis};
use crate::testing::{Case, Generator, case, f, t};
use crate::{DType, Data, GraphError};

/// Index of the maximum along an axis, as i64. NaN is a maximum, as in NumPy (ONNX does not say).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgMax {
    /// Axis, may be negative.
    pub axis: i64,
    /// Whether the axis stays as 1.
    pub keep_dims: bool,
    /// Whether the last of several equal maxima counts, not the first.
    pub select_last: bool,
}

impl Operator for ArgMax {
    facts!(Reduces, 1..=1, Number);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.number()?;
        let axis = signature.axis(self.axis, x.shape.len())?;
        if x.shape[axis] == 0 {
            return Err(signature.invalid(format!("axis {axis} is empty, it has no maximum")));
        }
        let shape = reduction::output_shape(signature, x, &[self.axis], self.keep_dims)?;
        Ok(vec![TensorType { dtype: DType::I64, shape }])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let axis = normalized_axis(self.axis, call.input(0).shape().len()).map_err(|cause| call.invalid(cause))?;
        let last = self.select_last;
        for_number!(
            call.input(0).data(),
            x => Ok(vec![arg_max(call, x, axis, last)?.into()]),
            Err(call.unsupported_type())
        )
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        !operands.is_first(self.axis)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Jumps
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        let op = |axes: Vec<i64>| Op::ArgMax(Self { axis: axes[0], ..*self });
        order::reduced(&[self.axis], self.keep_dims, order, ranks, op)
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let form = form.since(13).int("axis", self.axis).int("keepdims", i64::from(self.keep_dims));
        Ok(if self.select_last { form.int("select_last_index", 1) } else { form })
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        match inputs {
            [Some(DType::Bool) | None] | [] => Err(format!("inputs of element types {inputs:?}, expected a number")),
            _ => Ok(DType::I64),
        }
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        reduction::symbolic_shape(inputs.first()?.as_ref()?, &[self.axis], self.keep_dims)
    }

    fn keeps_non_negative(&self, _inputs: &[bool]) -> bool {
        true
    }
}

fn arg_max<T: Number>(call: &Call<'_>, x: &[T], axis: usize, last: bool) -> Result<Vec<i64>, GraphError> {
    let (outer, extent, inner) = around_axis(call.input(0).shape(), axis);
    let mut y = call.allocate_output()?;
    for (block, lane) in window::pairs(outer, inner) {
        let at = |i: usize| x[(block * extent + i) * inner + lane];
        let wins = |a: T, b: T| match (a.is_nan(), b.is_nan()) {
            (false, false) => a > b || last && a >= b,
            (true, true) => last,
            (is_nan, _) => is_nan,
        };
        let best = (1..extent).fold(0, |best, i| if wins(at(i), at(best)) { i } else { best });
        y.push(best as i64);
    }
    Ok(y)
}

impl Definition for ArgMax {
    const NAME: &'static str = "ArgMax";
    const ATTRIBUTES: &'static [&'static str] = &["axis", "keepdims", "select_last_index"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let (axis, keep_dims) = (node.int_or("axis", 0)?, node.flag("keepdims", true)?);
        let select_last = node.flag("select_last_index", false)?;
        unary::import(node, importer, Op::ArgMax(Self { axis, keep_dims, select_last }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let axis = generator.axis(generator.shape(x).len())?;
        let (keep_dims, select_last) = (generator.draws.chance(0.5), generator.draws.chance(0.3));
        unary::draw(generator, x, Op::ArgMax(Self { axis, keep_dims, select_last }))
    }

    fn cases() -> Vec<Case> {
        let x = f(&[2, 3], &[1.0, 5.0, 5.0, 4.0, 0.0, f32::NAN]);
        let arg_max = |axis, keep_dims, select_last| Op::ArgMax(Self { axis, keep_dims, select_last });
        vec![
            case("arg max", arg_max(1, false, false), [x.clone()], t(&[2], &[1_i64, 2])),
            case("arg max, the last one", arg_max(-1, true, true), [x.clone()], t(&[2, 1], &[2_i64, 2])),
            case("arg max of columns", arg_max(0, true, false), [x], t(&[1, 3], &[1_i64, 0, 1])),
        ]
    }
}
