//! RMSNormalization.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Parameter, Rounding, arithmetic, moments, unary};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::shape::{TensorType, normalized_axis};
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
        moments::check_parameter(signature, (1, "scale"), x, axis)?;
        Ok(vec![x.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Float>(call: &Call<'_>, x: &[T], axis: usize, epsilon: f32) -> Result<Vec<T>, GraphError> {
            let normalized = &call.input(0).shape()[axis..];
            let len: usize = normalized.iter().product();
            let scale = moments::parameter::<T>(call, 1, normalized)?;
            let mut y = call.allocate_output()?;
            for row in x.chunks_exact(len.max(1)) {
                let squares: f64 = row.iter().map(|x| x.to_f64() * x.to_f64()).sum();
                let root = (squares / len as f64 + f64::from(epsilon)).sqrt();
                y.extend(row.iter().zip(&scale).map(|(x, scale)| T::from_f64(x.to_f64() / root * scale)));
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

    fn carries(&self, rank: usize, axis: usize) -> Result<usize, &'static str> {
        super::channels::carries_before(self.axis, rank, axis)
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
        moments::check_stash_type(node)?;
        let (axis, epsilon) = (node.int_or("axis", -1)?, node.float_or("epsilon", 1e-5)?);
        arithmetic::import_data(node, importer, Op::RmsNormalization(Self { axis, epsilon }))
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
