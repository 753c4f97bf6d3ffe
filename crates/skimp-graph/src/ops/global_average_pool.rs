//! GlobalAveragePool.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, global_pool, unary};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Mean over all spatial axes, kept as 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalAveragePool;

impl Operator for GlobalAveragePool {
    facts!(Reduces, 1..=1, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        global_pool::output_types(signature)
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Float>(call: &Call<'_>, x: &[T]) -> Result<Vec<T>, GraphError> {
            let n = global_pool::plane_len(call);
            let mut y = call.allocate_output()?;
            let n_planes = call.input(0).shape()[..2].iter().product();
            y.extend((0..n_planes).map(|plane| T::mean(x[plane * n..][..n].iter().copied(), n)));
            Ok(y)
        }
        for_float!(call.input(0).data(), x => Ok(vec![typed(call, x)?.into()]), Err(call.unsupported_type()))
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        true
    }

    fn carries(&self, rank: usize, axis: usize) -> Result<usize, &'static str> {
        super::channels::carries_before(2, rank, axis)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Rounds
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form)
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        global_pool::symbolic_shape(inputs)
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for GlobalAveragePool {
    const NAME: &'static str = "GlobalAveragePool";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        unary::import(node, importer, Op::GlobalAveragePool)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::GlobalAveragePool)
    }

    fn cases() -> Vec<Case> {
        let x = f(&[1, 1, 3, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        vec![case("global average", Op::GlobalAveragePool, [x], f(&[1, 1, 1, 1], &[5.0]))]
    }
}
