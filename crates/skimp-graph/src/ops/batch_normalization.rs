//! Batch normalization at inference.

use crate::onnx::export::{Context, Form};
use crate::onnx::functions::Steps;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Parameter, Rounding, channels, moments, unary};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::reference::strided::around_axis;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, case, f};
use crate::{Data, GraphError, Tensor};

/// Inputs: x, scale, bias, mean, variance; inference form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormalization {
    /// Added to the variance.
    pub epsilon: f32,
}

impl Operator for BatchNormalization {
    facts!(Normalizes, 5..=5, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.float()?;
        let Some(&c) = x.shape.get(1) else {
            return Err(signature.invalid(format!("input has {} dims, expected 2 or more (n, c, ..)", x.shape.len())));
        };
        for (idx, name) in ["scale", "bias", "mean", "variance"].into_iter().enumerate() {
            moments::check_per_channel(signature, (idx + 1, name), x, c)?;
        }
        Ok(vec![x.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Float>(call: &Call<'_>, x: &[T], epsilon: f32) -> Result<Vec<T>, GraphError> {
            let parameter = |idx: usize, c: usize| call.elements::<T>(idx)[c].to_f64();
            let (n_batch, n_channels, inner) = around_axis(call.input(0).shape(), 1);
            let mut y = call.allocate_output()?;
            for plane in 0..n_batch * n_channels {
                let c = plane % n_channels;
                let deviation = (parameter(4, c) + f64::from(epsilon)).sqrt();
                let (scale, bias, mean) = (parameter(1, c), parameter(2, c), parameter(3, c));
                let plane = &x[plane * inner..][..inner];
                y.extend(plane.iter().map(|x| T::from_f64((x.to_f64() - mean) / deviation * scale + bias)));
            }
            Ok(y)
        }
        for_float!(call.input(0).data(), x => Ok(vec![typed(call, x, self.epsilon)?.into()]), Err(call.unsupported_type()))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.only_first_computed()
    }

    fn parameter_axis(&self, input: usize, _: usize, _: usize, axis: usize) -> Result<Option<usize>, &'static str> {
        channels::per_channel(input, axis)
    }

    fn carries(&self, _rank: usize, axis: usize) -> Result<usize, &'static str> {
        Ok(axis)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Rounds
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        // Its parameters belong to axis 1.
        if order.get(1) == Some(&1) { order::first(order, ranks) } else { None }
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.float("epsilon", self.epsilon))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn parameter(&self, input: usize) -> Option<Parameter> {
        [None, Some(Parameter::Other), Some(Parameter::Other), Some(Parameter::Buffer), Some(Parameter::Buffer)]
            .get(input)
            .copied()
            .flatten()
    }
}

impl Definition for BatchNormalization {
    const NAME: &'static str = "BatchNormalization";
    const ATTRIBUTES: &'static [&'static str] = &["epsilon", "momentum", "spatial", "training_mode"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(5, 5)?;
        let epsilon = node.float_or("epsilon", 1e-5)?;
        if node.flag("training_mode", false)? {
            let momentum = node.float_or("momentum", 0.9)?;
            return Steps::new(node, importer).batch_normalization_in_training(epsilon, momentum);
        }
        if node.outputs().iter().skip(1).any(|name| !name.is_empty()) {
            return Err(node.unsupported("training mode"));
        }
        if !node.flag("spatial", true)? {
            return Steps::new(node, importer).batch_normalization_by_position(epsilon);
        }
        let inputs = (0..5).map(|i| importer.value(node, i).map(Some)).collect::<Result<Vec<_>, _>>()?;
        importer.emit(node, Op::BatchNormalization(Self { epsilon }), inputs)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let channels = *generator.shape(x).get(1)?;
        let mut part = |from: f32| {
            let numbers = (0..channels).map(|_| from + generator.draws.uniform(0.0, 1.0)).collect();
            Source::Constant(Tensor::from_f32(vec![channels], numbers))
        };
        let parts = [0.5, -0.5, -0.5, 0.5].map(&mut part);
        let sources = std::iter::once(Source::Known(x)).chain(parts).collect();
        generator.try_node(Op::BatchNormalization(Self { epsilon: 1e-5 }), sources)
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "batch norm",
            Op::BatchNormalization(Self { epsilon: 0.0 }),
            [
                f(&[1, 2, 2], &[1.0, 3.0, 5.0, 7.0]),
                f(&[2], &[2.0, 1.0]),
                f(&[2], &[1.0, 0.0]),
                f(&[2], &[1.0, 5.0]),
                f(&[2], &[4.0, 0.25]),
            ],
            f(&[1, 2, 2], &[1.0, 3.0, 0.0, 4.0]),
        )]
    }
}
