//! LessOrEqual.

use std::ops::RangeInclusive;

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::Signature;
use crate::ops::{Class, Definition, ElementTypes, Op, Operands, Operator, Rounding, arithmetic};
use crate::reference::Call;
use crate::reference::number::for_any;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f, t};
use crate::{DType, Data, Element, GraphError};

/// Whether a ≤ b, broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LessOrEqual;

impl Operator for LessOrEqual {
    fn class(&self) -> Class {
        Class::ElementWise
    }

    fn n_inputs(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn element_types(&self) -> ElementTypes {
        ElementTypes::Number
    }

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        arithmetic::comparison_types(signature, ElementTypes::Number)
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Element + PartialOrd>(call: &Call<'_>, a: &[T]) -> Result<Vec<Data>, GraphError> {
            Ok(vec![arithmetic::compare(call, a, |a, b| a <= b)?.into()])
        }
        for_any!(call.input(0).data(), a => typed(call, a))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.broadcast_over_images()
    }

    fn rounding(&self) -> Rounding {
        Rounding::Jumps
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(16))
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        arithmetic::comparison_dtype(inputs, ElementTypes::Number)
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        arithmetic::symbolic_shape(inputs, symbols)
    }
}

impl Definition for LessOrEqual {
    const NAME: &'static str = "LessOrEqual";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import_data(node, importer, Op::LessOrEqual)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        arithmetic::draw(generator, x, Op::LessOrEqual, false)
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "LessOrEqual",
            Op::LessOrEqual,
            [f(&[3], &[1.0, 2.0, 3.0]), f(&[], &[2.0])],
            t(&[3], &[true, true, false]),
        )]
    }
}
