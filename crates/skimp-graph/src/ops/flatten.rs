//! Flatten.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// To two axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flatten {
    /// First axis of the second output axis.
    pub axis: i64,
}

impl Operator for Flatten {
    facts!(Moves, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        let rank = x.shape.len();
        let axis = if self.axis == rank as i64 { rank } else { signature.axis(self.axis, rank)? };
        Ok(shaped(x, vec![signature.product(&x.shape[..axis])?, signature.product(&x.shape[axis..])?]))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        Ok(vec![call.input(0).data().clone()])
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        // The shapes stack, and row-major order keeps the elements of an image together.
        true
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.int("axis", self.axis))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let x = inputs.first()?.as_ref()?;
        let rank = i64::try_from(x.len()).ok()?;
        let axis = usize::try_from(if self.axis < 0 { self.axis.checked_add(rank)? } else { self.axis }).ok()?;
        let (rows, cols) = x.split_at_checked(axis)?;
        Some(vec![symbols.product(rows), symbols.product(cols)])
    }

    fn renames(&self) -> bool {
        true
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for Flatten {
    const NAME: &'static str = "Flatten";
    const ATTRIBUTES: &'static [&'static str] = &["axis"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let axis = node.int_or("axis", 1)?;
        unary::import(node, importer, Op::Flatten(Self { axis }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let rank = generator.shape(x).len();
        let axis = generator.draws.between(0, 2 * rank) as i64 - rank as i64;
        unary::draw(generator, x, Op::Flatten(Self { axis }))
    }

    fn cases() -> Vec<Case> {
        let x = f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        vec![
            case("flatten", Op::Flatten(Self { axis: 0 }), [x.clone()], f(&[1, 6], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
            case(
                "flatten at the end",
                Op::Flatten(Self { axis: 2 }),
                [x.clone()],
                f(&[6, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            ),
        ]
    }
}
