//! Max.

use std::ops::RangeInclusive;

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::Signature;
use crate::ops::{Class, Definition, ElementTypes, Op, Operands, Operator, Rounding, arithmetic, global_pool};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Largest of all inputs, broadcast; NaN wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Max;

impl Operator for Max {
    fn class(&self) -> Class {
        Class::ElementWise
    }

    fn n_inputs(&self) -> RangeInclusive<usize> {
        1..=usize::MAX
    }

    fn element_types(&self) -> ElementTypes {
        ElementTypes::Number
    }

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        arithmetic::variadic_types(signature, false)
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Number>(call: &Call<'_>, x: &[T]) -> Result<Vec<T>, GraphError> {
            arithmetic::fold(call, x, global_pool::larger)
        }
        for_number!(call.input(0).data(), x => Ok(vec![typed(call, x)?.into()]), Err(call.unsupported_type()))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.broadcast_over_images()
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(13))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let (first, rest) = inputs.split_first()?;
        rest.iter().try_fold(first.as_ref()?.clone(), |shape, other| {
            arithmetic::symbolic_broadcast(&shape, other.as_ref()?, symbols)
        })
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().any(|&known| known)
    }
}

impl Definition for Max {
    const NAME: &'static str = "Max";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import_variadic(node, importer, Op::Max)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        arithmetic::draw(generator, x, Op::Max, false)
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "max",
            Op::Max,
            [f(&[2, 1], &[1.0, 5.0]), f(&[2], &[3.0, 4.0]), f(&[], &[3.5])],
            f(&[2, 2], &[3.5, 4.0, 5.0, 5.0]),
        )]
    }
}
