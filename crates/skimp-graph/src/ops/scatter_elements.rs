//! ScatterElements.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::scatter::{self, Reduction};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, arithmetic, indices, unary};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, case, f, t};
use crate::{DType, Data, GraphError, Tensor};

/// Inputs: x, indices of its rank, updates of the indices' shape: each update replaces, or is joined with, the element that
/// its index names along the axis, at its own place on the others. Where places repeat, updates apply in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScatterElements {
    /// Axis, may be negative.
    pub axis: i64,
    /// How updates join.
    pub reduction: Reduction,
}

impl Operator for ScatterElements {
    facts!(Moves, 3..=3, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let (x, indices) = indices::checked_along(signature, self.axis)?;
        let updates = signature.input_like(2, x)?;
        if updates.shape != indices.shape {
            let (updates, indices) = (&updates.shape, &indices.shape);
            return Err(signature.invalid(format!("updates have shape {updates:?}, the indices {indices:?}")));
        }
        if self.reduction != Reduction::None {
            signature.number()?;
        }
        Ok(vec![x.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        Ok(vec![scatter::evaluate(call, self.reduction, indices::along(call, self.axis)?)?])
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        !operands.is_first(self.axis) && operands.inputs.iter().flatten().all(|input| !input.is_constant)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(scatter::export(form, self.reduction).int("axis", self.axis))
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        indices::output_dtype(inputs)
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }
}

impl Definition for ScatterElements {
    const NAME: &'static str = "ScatterElements";
    const ATTRIBUTES: &'static [&'static str] = &["axis", "reduction"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let (axis, reduction) = (node.int_or("axis", 0)?, scatter::import(node)?);
        arithmetic::import_variadic(node, importer, Op::ScatterElements(Self { axis, reduction }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let axis = generator.axis(shape.len())?;
        let extent = shape[axis.rem_euclid(shape.len() as i64) as usize];
        let n: usize = shape.iter().product();
        let indices = (0..n).map(|_| generator.draws.below(2 * extent.max(1)) as i64 - extent as i64).collect();
        let updates = Source::Constant(generator.numbers(shape.clone()));
        let indices = Source::Constant(Tensor::from_i64(shape, indices));
        let reduction = [Reduction::None, Reduction::Add, Reduction::Min][generator.draws.below(3)];
        generator.try_node(Op::ScatterElements(Self { axis, reduction }), vec![Source::Known(x), indices, updates])
    }

    fn cases() -> Vec<Case> {
        let inputs = [f(&[1, 3], &[1.0, 2.0, 3.0]), t(&[1, 3], &[0_i64, -1, 0]), f(&[1, 3], &[5.0, 7.0, 9.0])];
        let scatter = |reduction| Op::ScatterElements(Self { axis: 1, reduction });
        vec![
            case("scatter elements", scatter(Reduction::None), inputs.clone(), f(&[1, 3], &[9.0, 2.0, 7.0])),
            case("scatter elements, adding", scatter(Reduction::Add), inputs, f(&[1, 3], &[15.0, 2.0, 10.0])),
        ]
    }
}
