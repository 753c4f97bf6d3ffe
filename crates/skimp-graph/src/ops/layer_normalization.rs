//! LayerNormalization.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Parameter, Rounding, unary};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::reference::strided::Offsets;
use crate::shape::{TensorType, broadcast, normalized_axis};
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
        for (idx, name) in [(1, "scale"), (2, "bias")] {
            if idx == 2 && signature.optional(2).is_none() {
                continue;
            }
            let parameter = signature.input_like(idx, x)?;
            if broadcast(&x.shape[axis..], &parameter.shape).as_deref() != Some(&x.shape[axis..]) {
                let (found, expected) = (&parameter.shape, &x.shape[axis..]);
                return Err(signature.invalid(format!("{name} {found:?} does not broadcast to {expected:?}")));
            }
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
    let (scale, bias): (&[T], Option<&[T]>) = (call.elements(1), call.optional(2).map(|_| call.elements(2)));
    let mut y = call.allocate_output()?;
    for row in x.chunks_exact(len.max(1)) {
        let mean = row.iter().map(|x| x.to_f64()).sum::<f64>() / len as f64;
        let variance = row.iter().map(|x| (x.to_f64() - mean).powi(2)).sum::<f64>() / len as f64;
        let deviation = (variance + f64::from(epsilon)).sqrt();
        let scales = Offsets::broadcast(call.input(1).shape(), normalized);
        let mut biases = call.optional(2).map(|bias| Offsets::broadcast(bias.shape(), normalized));
        y.extend(row.iter().zip(scales).map(|(x, idx)| {
            let shift = match (bias, biases.as_mut().and_then(Iterator::next)) {
                (Some(bias), Some(idx)) => bias[idx].to_f64(),
                _ => 0.0,
            };
            T::from_f64((x.to_f64() - mean) / deviation * scale[idx].to_f64() + shift)
        }));
    }
    Ok(y)
}

impl Definition for LayerNormalization {
    const NAME: &'static str = "LayerNormalization";
    const ATTRIBUTES: &'static [&'static str] = &["axis", "epsilon", "stash_type"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 3)?;
        if node.int_or("stash_type", 1)? != 1 {
            return Err(node.unsupported("statistics in another type than FLOAT"));
        }
        let (axis, epsilon) = (node.int_or("axis", -1)?, node.float_or("epsilon", 1e-5)?);
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
