//! Neg.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f, t};
use crate::{Data, GraphError};

/// −x; integers wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neg;

impl Operator for Neg {
    facts!(ElementWise, 1..=1, Number);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        Ok(vec![signature.number()?.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn function<T: Number>(x: T) -> T {
            T::ZERO.minus(T::ONE).times(x)
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

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form)
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }
}

impl Definition for Neg {
    const NAME: &'static str = "Neg";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Neg)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Neg)
    }

    fn cases() -> Vec<Case> {
        vec![
            case("negative", Op::Neg, [f(&[2], &[-2.0, 0.5])], f(&[2], &[2.0, -0.5])),
            case("negative i32", Op::Neg, [t(&[2], &[-3_i32, 4])], t(&[2], &[3_i32, -4])),
        ]
    }
}
