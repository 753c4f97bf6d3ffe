//! LayerNormalization.

use crate::onnx::export::{Context, Form};
use crate::onnx::functions::Steps;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Parameter, Rounding, moments, unary};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::shape::{TensorType, normalized_axis};
use crate::testing::{Case, Generator, Source, case, f};
use crate::{Data, GraphError};

/// Inputs: x, scale, optional bias, both broadcast one way. Over the axes from `axis` on,
/// `(x − mean) / √(variance + epsilon) · scale + bias` in f64. (ONNX's `stash_type` names f32 for the statistics.)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNormalization {
    /// First axis that is normalized, may be negative.
    pub axis: i64,
    /// Added to the variance.
    pub epsilon: f32,
}

impl Operator for LayerNormalization {
    facts!(Normalizes, 2..=3, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.float()?;
        let axis = signature.axis(self.axis, x.shape.len())?;
        moments::check_parameter(signature, (1, "scale"), x, axis)?;
        if signature.optional(2).is_some() {
            moments::check_parameter(signature, (2, "bias"), x, axis)?;
        }
        Ok(vec![x.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let axis = normalized_axis(self.axis, call.input(0).shape().len()).map_err(|cause| call.invalid(cause))?;
        for_float!(
            call.input(0).data(),
            x => Ok(vec![normalize(call, x, axis, self.epsilon)?.into()]),
            Err(call.unsupported_type())
        )
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.only_first_computed() && !operands.is_first(self.axis)
    }

    fn carries(&self, rank: usize, axis: usize) -> Result<usize, &'static str> {
        super::channels::carries_before(self.axis, rank, axis)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Rounds
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(17).int("axis", self.axis).float("epsilon", self.epsilon))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn parameter(&self, input: usize) -> Option<Parameter> {
        (input > 0).then_some(Parameter::Other)
    }
}

fn normalize<T: Float>(call: &Call<'_>, x: &[T], axis: usize, epsilon: f32) -> Result<Vec<T>, GraphError> {
    let normalized = &call.input(0).shape()[axis..];
    let len: usize = normalized.iter().product();
    let scale = moments::parameter::<T>(call, 1, normalized)?;
    let bias = call.optional(2).map(|_| moments::parameter::<T>(call, 2, normalized)).transpose()?;
    let scaled = |x: f64, i: usize| T::from_f64(x * scale[i] + bias.as_ref().map_or(0.0, |bias| bias[i]));
    let mut y = call.allocate_output()?;
    for row in x.chunks_exact(len.max(1)) {
        moments::normalize(row, epsilon, scaled, &mut y);
    }
    Ok(y)
}

impl Definition for LayerNormalization {
    const NAME: &'static str = "LayerNormalization";
    const ATTRIBUTES: &'static [&'static str] = &["axis", "epsilon", "stash_type"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 3)?;
        moments::check_stash_type(node)?;
        let (axis, epsilon) = (node.int_or("axis", -1)?, node.float_or("epsilon", 1e-5)?);
        if node.outputs().iter().skip(1).any(|name| !name.is_empty() && importer.is_read(name)) {
            return Steps::new(node, importer).layer_normalization(axis, epsilon);
        }
        let mut inputs = vec![Some(importer.value(node, 0)?), Some(importer.value(node, 1)?)];
        inputs.extend(importer.optional_value(node, 2)?.map(Some));
        importer.emit(node, Op::LayerNormalization(Self { axis, epsilon }), inputs)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let axis = generator.axis(shape.len())?;
        let normalized = &shape[axis.rem_euclid(shape.len() as i64) as usize..];
        let mut sources = vec![Source::Known(x)];
        for _ in 0..generator.draws.between(1, 2) {
            let shape = generator.broadcastable(normalized, false);
            sources.push(Source::Constant(generator.numbers(shape)));
        }
        // A variance of 0 is far from the rounding of what is beside it.
        generator.try_node(Op::LayerNormalization(Self { axis, epsilon: 1.0 }), sources)
    }

    fn cases() -> Vec<Case> {
        let x = f(&[2, 2], &[1.0, 3.0, -6.0, 2.0]);
        let op = Op::LayerNormalization(Self { axis: -1, epsilon: 0.0 });
        let (scale, bias) = (f(&[2], &[2.0, 1.0]), f(&[1], &[10.0]));
        vec![
            case("layer norm", op.clone(), [x.clone(), scale.clone(), bias], f(&[2, 2], &[8.0, 11.0, 8.0, 11.0])),
            case("layer norm without bias", op, [x, scale], f(&[2, 2], &[-2.0, 1.0, -2.0, 1.0])),
        ]
    }
}
