//! Sign.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// −1, 0 or 1. (ONNX: sign(0) = 0. Binarization's sign(0) = +1 is another function.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign;

impl Operator for Sign {
    facts!(ElementWise, 1..=1, Number);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        Ok(vec![signature.number()?.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn function<T: Number>(x: T) -> T {
            if x > T::ZERO {
                T::ONE
            } else if x < T::ZERO {
                T::ZERO.minus(T::ONE)
            } else if x.is_nan() {
                x
            } else {
                T::ZERO
            }
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
        Rounding::Jumps
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

impl Definition for Sign {
    const NAME: &'static str = "Sign";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::Sign)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Sign)
    }

    fn cases() -> Vec<Case> {
        vec![case("sign", Op::Sign, [f(&[5], &[-2.0, -0.0, 0.5, 1.0, 4.0])], f(&[5], &[-1.0, 0.0, 1.0, 1.0, 1.0]))]
    }
}
