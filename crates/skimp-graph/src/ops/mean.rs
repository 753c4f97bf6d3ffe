//! Mean.

use crate::onnx::import::{Importer, NodeView};
use crate::ops::{Definition, Op, Operator, Rounding, arithmetic};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::reference::strided::Offsets;
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Mean of all inputs, broadcast, in f64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mean;

impl Operator for Mean {
    arithmetic::variadic!(Float, 8);

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Float>(call: &Call<'_>, x: &[T]) -> Result<Vec<T>, GraphError> {
            let n = call.inputs.len() as f64;
            let mut places: Vec<Offsets> = (0..call.inputs.len())
                .map(|idx| Offsets::broadcast(call.input(idx).shape(), call.output_shape()))
                .collect();
            let inputs: Vec<&[T]> = (1..call.inputs.len()).map(|idx| call.elements(idx)).collect();
            let mut y = call.allocate_output()?;
            while let Some(at) = places.iter_mut().map(Iterator::next).collect::<Option<Vec<usize>>>() {
                let rest = inputs.iter().zip(&at[1..]).map(|(input, &i)| input[i].to_f64());
                y.push(T::from_f64((x[at[0]].to_f64() + rest.sum::<f64>()) / n));
            }
            Ok(y)
        }
        for_float!(call.input(0).data(), x => Ok(vec![typed(call, x)?.into()]), Err(call.unsupported_type()))
    }

    fn rounding(&self) -> Rounding {
        Rounding::Rounds
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for Mean {
    const NAME: &'static str = "Mean";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import_variadic(node, importer, Op::Mean)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        arithmetic::draw(generator, x, Op::Mean, false)
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "mean",
            Op::Mean,
            [f(&[2, 1], &[1.0, 5.0]), f(&[2], &[3.0, 4.0]), f(&[], &[2.0])],
            f(&[2, 2], &[2.0, 7.0 / 3.0, 10.0 / 3.0, 11.0 / 3.0]),
        )]
    }
}
