//! What functions of one element share.

use std::fmt::Debug;

use super::order::{Ranks, Reordered};
use super::signature::Signature;
use super::{Op, Operands, Operator, Rounding, order};
use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::reference::Call;
use crate::reference::number::{Float, Number, for_float};
use crate::shape::TensorType;
use crate::testing::{Generator, Source};
use crate::{Data, GraphError};

/// A function of one floating-point element, evaluated in f64 and rounded once.
pub(super) trait Unary: Debug {
    /// The function.
    fn value(&self, x: f64) -> f64;

    /// How exactly it computes.
    fn rounding(&self) -> Rounding {
        Rounding::Rounds
    }

    /// The ONNX form.
    fn export(&self, form: Form) -> Form {
        form
    }

    /// Whether the result cannot be negative, given whether the input cannot.
    fn keeps_non_negative(&self, _x: bool) -> bool {
        false
    }
}

impl<T: Unary> Operator for T {
    facts!(ElementWise, 1..=1, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        Ok(vec![signature.float()?.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        Ok(vec![float(call, |x| self.value(x))?])
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        true
    }

    fn rounding(&self) -> Rounding {
        Unary::rounding(self)
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        order::broadcast(order, ranks)
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(Unary::export(self, form))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        same_shape(inputs)
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        Unary::keeps_non_negative(self, inputs == [true])
    }
}

/// The shape of the first input.
pub(super) fn same_shape(inputs: &[&Shape]) -> Shape {
    inputs.first().copied()?.clone()
}

/// `function`, evaluated in f64.
fn float(call: &Call<'_>, function: impl Fn(f64) -> f64) -> Result<Data, GraphError> {
    fn map<T: Float>(call: &Call<'_>, x: &[T], function: impl Fn(f64) -> f64) -> Result<Vec<T>, GraphError> {
        let mut y = call.allocate(x.len())?;
        y.extend(x.iter().map(|&x| T::from_f64(function(x.to_f64()))));
        Ok(y)
    }
    for_float!(call.input(0).data(), x => Ok(map(call, x, function)?.into()), Err(call.unsupported_type()))
}

/// `function` of every element, in its own type.
pub(super) fn map<T: Number>(call: &Call<'_>, x: &[T], function: impl Fn(T) -> T) -> Result<Vec<T>, GraphError> {
    let mut y = call.allocate(x.len())?;
    y.extend(x.iter().map(|&x| function(x)));
    Ok(y)
}

/// Adds `op` on the only input.
pub(super) fn import(node: &NodeView<'_>, importer: &mut Importer, op: Op) -> Result<(), GraphError> {
    node.check_inputs(1, 1)?;
    let x = importer.value(node, 0)?;
    importer.emit(node, op, vec![Some(x)])
}

/// Adds `op` on value `x` of a random graph.
pub(super) fn draw(generator: &mut Generator, x: usize, op: Op) -> Option<Vec<usize>> {
    generator.try_node(op, vec![Source::Known(x)])
}
