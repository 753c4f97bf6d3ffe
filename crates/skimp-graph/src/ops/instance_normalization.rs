//! InstanceNormalization.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Parameter, Rounding, arithmetic, channels, moments, unary};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::reference::strided::around_axis;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, case, f};
use crate::{Data, GraphError};

/// Inputs: x `[n, c, ..]`, scale `[c]`, bias `[c]`. Every channel of every image, by its own mean and variance, in f64.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InstanceNormalization {
    /// Added to the variance.
    pub epsilon: f32,
}

impl Operator for InstanceNormalization {
    facts!(Normalizes, 3..=3, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.float()?;
        let Some(&c) = x.shape.get(1) else {
            return Err(signature.invalid(format!("input has {} dims, expected 2 or more (n, c, ..)", x.shape.len())));
        };
        for (idx, name) in [(1, "scale"), (2, "bias")] {
            moments::check_per_channel(signature, (idx, name), x, c)?;
        }
        Ok(vec![x.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Float>(call: &Call<'_>, x: &[T], epsilon: f32) -> Result<Vec<T>, GraphError> {
            let (scale, bias): (&[T], &[T]) = (call.elements(1), call.elements(2));
            let (_, channels, inner) = around_axis(call.input(0).shape(), 1);
            let mut y = call.allocate_output()?;
            for (idx, plane) in x.chunks_exact(inner.max(1)).enumerate() {
                let (scale, bias) = (scale[idx % channels].to_f64(), bias[idx % channels].to_f64());
                moments::normalize(plane, epsilon, |x, _| T::from_f64(x * scale + bias), &mut y);
            }
            Ok(y)
        }
        for_float!(
            call.input(0).data(),
            x => Ok(vec![typed(call, x, self.epsilon)?.into()]),
            Err(call.unsupported_type())
        )
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.only_first_computed()
    }

    fn parameter_axis(&self, input: usize, _: usize, _: usize, axis: usize) -> Result<Option<usize>, &'static str> {
        channels::per_channel(input, axis)
    }

    fn carries(&self, rank: usize, axis: usize) -> Result<usize, &'static str> {
        super::channels::carries_before(2, rank, axis)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Rounds
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.float("epsilon", self.epsilon))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn parameter(&self, input: usize) -> Option<Parameter> {
        (input > 0).then_some(Parameter::Other)
    }
}

impl Definition for InstanceNormalization {
    const NAME: &'static str = "InstanceNormalization";
    const ATTRIBUTES: &'static [&'static str] = &["epsilon"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(3, 3)?;
        let epsilon = node.float_or("epsilon", 1e-5)?;
        arithmetic::import_variadic(node, importer, Op::InstanceNormalization(Self { epsilon }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let channels = *generator.shape(x).get(1)?;
        let [scale, bias] = [0, 1].map(|_| Source::Constant(generator.numbers(vec![channels])));
        generator.try_node(Op::InstanceNormalization(Self { epsilon: 1.0 }), vec![Source::Known(x), scale, bias])
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "instance norm",
            Op::InstanceNormalization(Self { epsilon: 0.0 }),
            [f(&[1, 2, 2], &[1.0, 3.0, -6.0, 2.0]), f(&[2], &[2.0, 1.0]), f(&[2], &[10.0, 0.0])],
            f(&[1, 2, 2], &[8.0, 12.0, -1.0, 1.0]),
        )]
    }
}
