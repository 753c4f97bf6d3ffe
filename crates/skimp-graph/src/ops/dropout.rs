//! Dropout at inference: the identity. The ratio is kept for training; the mask, where somebody reads it, is all true.

use super::{Cast, Clip, clip};
use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f};
use crate::{DType, Data, GraphError};

/// Identity at inference. In training each element is set to zero with probability `ratio`, and the others are
/// divided by `1 − ratio`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Share of elements dropped, in `[0, 1)`.
    pub ratio: f32,
}

impl Operator for Dropout {
    facts!(Moves, 1..=1, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        Ok(vec![signature.input(0)?.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        Ok(vec![call.input(0).data().clone()])
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        true
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        order::first(order, ranks)
    }

    fn export(&self, form: Form, context: Context) -> Result<Form, String> {
        if self.ratio.to_bits() == DEFAULT_RATIO.to_bits() {
            return Ok(form);
        }
        let dtype = if context.dtype.is_float() { context.dtype } else { DType::F32 };
        Ok(form.since(12).parameter(1, "ratio", clip::scalar(self.ratio, dtype)?))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn renames(&self) -> bool {
        true
    }

    fn stores(&self) -> bool {
        false
    }

    fn is_identity(&self, _input: Option<DType>, _n_inputs: usize) -> bool {
        true
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for Dropout {
    const NAME: &'static str = "Dropout";
    const ATTRIBUTES: &'static [&'static str] = &["ratio", "seed"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, if node.opset() < 12 { 1 } else { 3 })?;
        if let Some(training) = importer.parameter(node, 2)?
            && !matches!(training.data(), Data::Bool(flags) if flags.iter().all(|&flag| !flag))
        {
            return Err(node.unsupported("training mode"));
        }
        let ratio = ratio(node, importer)?;
        let x = importer.value(node, 0)?;
        let outputs = node.outputs();
        let Some(mask) = outputs.get(1).map(String::as_str).filter(|name| !name.is_empty() && importer.is_read(name))
        else {
            return importer.emit(node, Op::Dropout(Self { ratio }), vec![Some(x)]);
        };
        if node.opset() < 10 {
            return Err(node.unsupported("the mask, which has no values at inference"));
        }
        let first = outputs.first().map_or("", String::as_str);
        if first.is_empty() {
            return Err(node.invalid("the first output has no name"));
        }
        importer.emit_as(node, node.name().to_owned(), Op::Dropout(Self { ratio }), vec![Some(x)], &[first])?;
        // Between the bounds 1 and 1 everything is 1 (or NaN), and so true.
        let ones =
            importer.emit_step(node, "ones", Op::Clip(Clip { min: Some(1.0), max: Some(1.0) }), vec![Some(x)])?;
        let name = importer.free_node_name(&format!("{}.mask", node.name()));
        importer.emit_as(node, name, Op::Cast(Cast { to: DType::Bool }), vec![Some(ones)], &[mask]).map(|_| ())
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        unary::draw(generator, x, Op::Dropout(Self { ratio: 0.5 }))
    }

    fn cases() -> Vec<Case> {
        let row = f(&[3], &[1.0, 2.0, 3.0]);
        vec![case("dropout", Op::Dropout(Self { ratio: 0.5 }), [row.clone()], row)]
    }
}

const DEFAULT_RATIO: f32 = 0.5;

/// The ratio: an attribute before opset 12, then an input; a half where it is left out.
fn ratio(node: &NodeView<'_>, importer: &mut Importer) -> Result<f32, GraphError> {
    let ratio = if node.opset() < 12 {
        node.float("ratio")?
    } else {
        match importer.parameter(node, 1)? {
            Some(tensor) => match (tensor.as_f32(), tensor.elements::<f64>()) {
                (Some(&[ratio]), _) => Some(ratio),
                // Rounded: it is a probability.
                (_, Some(&[ratio])) => Some(ratio as f32),
                _ => return Err(node.invalid("the ratio is not one floating-point number")),
            },
            None => None,
        }
    }
    .unwrap_or(DEFAULT_RATIO);
    if (0.0..1.0).contains(&ratio) {
        Ok(ratio)
    } else {
        Err(node.invalid(format!("a ratio of {ratio}, expected one in [0, 1)")))
    }
}
