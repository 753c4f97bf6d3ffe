//! RMSNormalization.

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

/// Inputs: x, scale, broadcast one way. Over the axes from `axis` on, `x / √(mean of x² + epsilon) · scale`, in f64.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsNormalization {
    /// First axis that is normalized, may be negative.
    pub axis: i64,
    /// Added to the mean of squares.
    pub epsilon: f32,
}

impl Operator for RmsNormalization {
    facts!(Normalizes, 2..=2, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.float()?;
        let axis = signature.axis(self.axis, x.shape.len())?;
        let scale = signature.input_like(1, x)?;
        if broadcast(&x.shape[axis..], &scale.shape).as_deref() != Some(&x.shape[axis..]) {
            let (found, expected) = (&scale.shape, &x.shape[axis..]);
            return Err(signature.invalid(format!("scale {found:?} does not broadcast to {expected:?}")));
        }
        Ok(vec![x.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Float>(call: &Call<'_>, x: &[T], axis: usize, epsilon: f32) -> Result<Vec<T>, GraphError> {
            let normalized = &call.input(0).shape()[axis..];
            let len: usize = normalized.iter().product();
            let scale: &[T] = call.elements(1);
            let mut y = call.allocate_output()?;
            for row in x.chunks_exact(len.max(1)) {
                let squares: f64 = row.iter().map(|x| x.to_f64() * x.to_f64()).sum();
                let root = (squares / len as f64 + f64::from(epsilon)).sqrt();
                let scales = Offsets::broadcast(call.input(1).shape(), normalized);
                y.extend(row.iter().zip(scales).map(|(x, i)| T::from_f64(x.to_f64() / root * scale[i].to_f64())));
            }
            Ok(y)
        }
        let axis = normalized_axis(self.axis, call.input(0).shape().len()).map_err(|cause| call.invalid(cause))?;
        for_float!(
            call.input(0).data(),
            x => Ok(vec![typed(call, x, axis, self.epsilon)?.into()]),
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
        Ok(form.since(23).int("axis", self.axis).float("epsilon", self.epsilon))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn parameter(&self, input: usize) -> Option<Parameter> {
        (input > 0).then_some(Parameter::Other)
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for RmsNormalization {
    const NAME: &'static str = "RMSNormalization";
    const ATTRIBUTES: &'static [&'static str] = &["axis", "epsilon", "stash_type"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 2)?;
        if node.int_or("stash_type", 1)? != 1 {
            return Err(node.unsupported("statistics in another type than FLOAT"));
        }
        let (axis, epsilon) = (node.int_or("axis", -1)?, node.float_or("epsilon", 1e-5)?);
        let inputs = vec![Some(importer.value(node, 0)?), Some(importer.value(node, 1)?)];
        importer.emit(node, Op::RmsNormalization(Self { axis, epsilon }), inputs)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let axis = generator.axis(shape.len())?;
        let scale = generator.broadcastable(&shape[axis.rem_euclid(shape.len() as i64) as usize..], false);
        let scale = Source::Constant(generator.numbers(scale));
        generator.try_node(Op::RmsNormalization(Self { axis, epsilon: 1.0 }), vec![Source::Known(x), scale])
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "rms norm",
            Op::RmsNormalization(Self { axis: -1, epsilon: 0.0 }),
            [f(&[2, 2], &[1.0, -7.0, 3.0, 3.0]), f(&[1], &[10.0])],
            f(&[2, 2], &[2.0, -14.0, 10.0, 10.0]),
        )]
    }
}
