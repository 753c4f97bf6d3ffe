//! Expand.

use crate::onnx::export::{Context, Form, signed};
use crate::onnx::import::{self, Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape, Symbol, Symbols};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, arithmetic, unary};
use crate::reference::Call;
use crate::reference::strided::Offsets;
use crate::shape::{TensorType, broadcast};
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// Broadcasts to the shape that the input and the target have together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expand {
    /// The target.
    pub shape: Vec<usize>,
}

impl Operator for Expand {
    facts!(Moves, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        let mismatch = || signature.invalid(format!("{:?} does not broadcast with {:?}", x.shape, self.shape));
        Ok(shaped(x, broadcast(&x.shape, &self.shape).ok_or_else(mismatch)?))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        Ok(vec![call.gather(Offsets::broadcast(call.input(0).shape(), call.output_shape()))?])
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        let rank = operands.inputs.first().copied().flatten().map_or(0, |x| x.shape.len());
        // The batch stays the first axis, and the target does not name it.
        rank == operands.output_rank && (self.shape.len() < rank || self.shape.first() == Some(&1))
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(13).int_vector(1, "shape", &signed(&self.shape)))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let target: Vec<Extent> = self.shape.iter().copied().map(Extent::Known).collect();
        arithmetic::symbolic_broadcast(inputs.first()?.as_ref()?, &target, symbols)
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.first() == Some(&true)
    }
}

impl Definition for Expand {
    const NAME: &'static str = "Expand";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 2)?;
        let x = importer.value(node, 0)?;
        let entries = importer.symbolic_ints(node, 1)?.unwrap_or_default();
        let extents = importer.shape(x).clone();
        let rank = entries.len();
        let own = |i: usize| extents.as_ref().and_then(|x| x.get((i + x.len()).checked_sub(rank)?).copied());
        let extent = |(i, entry): (usize, &Result<i64, Symbol>)| match *entry {
            Ok(extent) => usize::try_from(extent).map(Some).map_err(|_| node.invalid(format!("an extent of {extent}"))),
            // Its own extent stays.
            Err(symbol) if own(i) == Some(Extent::Symbol(symbol)) => Ok(Some(1)),
            Err(_) => Ok(None),
        };
        let shape: Vec<Option<usize>> = entries.iter().enumerate().map(extent).collect::<Result<_, _>>()?;
        let Some(shape) = shape.into_iter().collect() else {
            return import::broadcast(node, importer, &entries, x);
        };
        importer.emit(node, Op::Expand(Self { shape }), vec![Some(x)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.broadcastable(&generator.shape(x), true);
        unary::draw(generator, x, Op::Expand(Self { shape }))
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "expand",
            Op::Expand(Self { shape: vec![2, 1, 2] }),
            [f(&[2, 1], &[1.0, 2.0])],
            f(&[2, 2, 2], &[1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]),
        )]
    }
}
