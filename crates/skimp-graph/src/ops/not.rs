//! Not.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Cast, Definition, Op, Operands, Operator, Rounding, arithmetic, unary};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, case, t};
use crate::{DType, Data, GraphError};

/// Whether it does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Not;

impl Operator for Not {
    facts!(ElementWise, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        arithmetic::logic_types(signature)
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let x = call.elements::<bool>(0);
        Ok(vec![x.iter().map(|x| !x).collect::<Vec<bool>>().into()])
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        true
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        order::broadcast(order, ranks)
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form)
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        arithmetic::logic_dtype(inputs)
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }
}

impl Definition for Not {
    const NAME: &'static str = "Not";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Not)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let x = generator.try_node(Op::Cast(Cast { to: DType::Bool }), vec![Source::Known(x)])?[0];
        unary::draw(generator, x, Op::Not)
    }

    fn cases() -> Vec<Case> {
        vec![case("not", Op::Not, [t(&[2], &[true, false])], t(&[2], &[false, true]))]
    }
}
