//! GatherElements.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, arithmetic, indices};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, case, f, t};
use crate::{DType, Data, GraphError, Tensor};

/// Inputs: x, indices of its rank: each index picks along the axis, at its own place on the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatherElements {
    /// Axis, may be negative.
    pub axis: i64,
}

impl Operator for GatherElements {
    facts!(Moves, 2..=2, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let (x, indices) = indices::checked_along(signature, self.axis)?;
        Ok(shaped(x, indices.shape.clone()))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let mut places: Vec<usize> = call.allocate(call.input(1).len())?;
        places.extend(indices::along(call, self.axis)?);
        Ok(vec![call.pick(&places)?])
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        !operands.is_first(self.axis) && operands.inputs.iter().flatten().all(|input| !input.is_constant)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(13).int("axis", self.axis))
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        indices::output_dtype(inputs)
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        inputs.get(1).copied()?.clone()
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.first() == Some(&true)
    }
}

impl Definition for GatherElements {
    const NAME: &'static str = "GatherElements";
    const ATTRIBUTES: &'static [&'static str] = &["axis"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let axis = node.int_or("axis", 0)?;
        arithmetic::import_data(node, importer, Op::GatherElements(Self { axis }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let axis = generator.axis(shape.len())?;
        let extent = shape[axis.rem_euclid(shape.len() as i64) as usize];
        let n: usize = shape.iter().product();
        let indices = (0..n).map(|_| generator.draws.below(2 * extent.max(1)) as i64 - extent as i64).collect();
        let indices = Source::Constant(Tensor::from_i64(shape, indices));
        generator.try_node(Op::GatherElements(Self { axis }), vec![Source::Known(x), indices])
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "gather elements",
            Op::GatherElements(Self { axis: 1 }),
            [f(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), t(&[2, 2], &[0_i64, 0, -1, 0])],
            f(&[2, 2], &[1.0, 1.0, 4.0, 3.0]),
        )]
    }
}
