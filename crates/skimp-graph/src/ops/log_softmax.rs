//! LogSoftmax: along one axis since opset 13, over a matrix coerced from the input before.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, softmax, unary, window};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::reference::strided::around_axis;
use crate::shape::{TensorType, normalized_axis};
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Logarithm of the softmax along one axis (opset 13 form).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSoftmax {
    /// Axis, may be negative.
    pub axis: i64,
}

impl Operator for LogSoftmax {
    facts!(Normalizes, 1..=1, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.float()?;
        signature.axis(self.axis, x.shape.len())?;
        Ok(vec![x.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Float>(call: &Call<'_>, x: &[T], axis: usize) -> Result<Vec<T>, GraphError> {
            let (outer, extent, inner) = around_axis(call.input(0).shape(), axis);
            let mut y = call.allocate_output()?;
            y.resize(x.len(), T::ZERO);
            for (block, lane) in window::pairs(outer, inner) {
                let at = |i: usize| (block * extent + i) * inner + lane;
                let most = (0..extent).fold(f64::NEG_INFINITY, |most, i| most.max(x[at(i)].to_f64()));
                let exponential = |i: usize| (x[at(i)].to_f64() - most).exp();
                let sum: f64 = (0..extent).map(exponential).sum();
                for i in 0..extent {
                    y[at(i)] = T::from_f64(x[at(i)].to_f64() - most - sum.ln());
                }
            }
            Ok(y)
        }
        let axis = normalized_axis(self.axis, call.input(0).shape().len()).map_err(|cause| call.invalid(cause))?;
        for_float!(call.input(0).data(), x => Ok(vec![typed(call, x, axis)?.into()]), Err(call.unsupported_type()))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        !operands.is_first(self.axis)
    }

    fn carries(&self, rank: usize, axis: usize) -> Result<usize, &'static str> {
        super::channels::carries_but(self.axis, rank, axis)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Rounds
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        Some(order::first(order, ranks)?.with(Op::LogSoftmax(Self { axis: order::place(self.axis, order)? })))
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(13).int("axis", self.axis))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }
}

impl Definition for LogSoftmax {
    const NAME: &'static str = "LogSoftmax";
    const ATTRIBUTES: &'static [&'static str] = &["axis"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        softmax::import_along(node, importer, |axis| Op::LogSoftmax(Self { axis }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let axis = generator.axis(generator.shape(x).len())?;
        unary::draw(generator, x, Op::LogSoftmax(Self { axis }))
    }

    fn cases() -> Vec<Case> {
        vec![case("log softmax", Op::LogSoftmax(Self { axis: 1 }), [f(&[1, 2, 2], &[0.0, 500.0, 0.0, -500.0])], {
            f(&[1, 2, 2], &[-std::f32::consts::LN_2, 0.0, -std::f32::consts::LN_2, -1000.0])
        })]
    }
}
