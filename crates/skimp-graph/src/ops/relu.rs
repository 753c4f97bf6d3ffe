//! Relu.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, arithmetic, unary};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f, t};
use crate::{Data, GraphError};

/// max(x, 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relu;

impl Operator for Relu {
    facts!(ElementWise, 1..=1, Number);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        Ok(vec![signature.number()?.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn function<T: Number>(x: T) -> T {
            if x < T::ZERO { T::ZERO } else { x }
        }
        for_number!(
            call.input(0).data(),
            x => Ok(vec![unary::map(call, x, function)?.into()]),
            Err(call.unsupported_type())
        )
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

    fn export(&self, form: Form, context: Context) -> Result<Form, String> {
        Ok(arithmetic::since(form, context.dtype, &[]))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn keeps_non_negative(&self, _inputs: &[bool]) -> bool {
        true
    }
}

impl Definition for Relu {
    const NAME: &'static str = "Relu";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Relu)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Relu)
    }

    fn cases() -> Vec<Case> {
        vec![
            case("relu", Op::Relu, [f(&[5], &[-2.0, -0.0, 0.5, 1.0, 4.0])], f(&[5], &[0.0, 0.0, 0.5, 1.0, 4.0])),
            case("relu of i32", Op::Relu, [t(&[2], &[-1_i32, 3])], t(&[2], &[0_i32, 3])),
        ]
    }
}
