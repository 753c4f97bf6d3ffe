//! And.

use std::ops::RangeInclusive;

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::Signature;
use crate::ops::{Class, Definition, ElementTypes, Op, Operands, Operator, Rounding, arithmetic};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, t};
use crate::{DType, Data, GraphError};

/// Whether both hold, broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct And;

impl Operator for And {
    fn class(&self) -> Class {
        Class::ElementWise
    }

    fn n_inputs(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn element_types(&self) -> ElementTypes {
        ElementTypes::Any
    }

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        arithmetic::logic_types(signature)
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let a = call.elements::<bool>(0);
        Ok(vec![arithmetic::compare(call, a, |a, b| a && b)?.into()])
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.broadcast_over_images()
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form)
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        arithmetic::logic_dtype(inputs)
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        arithmetic::symbolic_shape(inputs, symbols)
    }
}

impl Definition for And {
    const NAME: &'static str = "And";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import_data(node, importer, Op::And)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        arithmetic::draw_logic(generator, x, Op::And)
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "And",
            Op::And,
            [t(&[2, 1], &[true, false]), t(&[2], &[true, false])],
            t(&[2, 2], &[true, false, false, false]),
        )]
    }
}
