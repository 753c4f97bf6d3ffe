//! PRelu.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Parameter, Rounding, arithmetic, unary};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::shape::{TensorType, broadcast};
use crate::testing::{Case, Generator, Source, case, f};
use crate::{Data, GraphError, Tensor};

/// Inputs: x, slope (broadcast one way): x if x ≥ 0, else slope · x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PRelu;

impl Operator for PRelu {
    facts!(ElementWise, 2..=2, Number);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        let slope = signature.input_like(1, x)?;
        signature.number()?;
        if broadcast(&x.shape, &slope.shape).as_deref() != Some(&x.shape) {
            return Err(
                signature.invalid(format!("slope {:?} does not broadcast to the input's {:?}", slope.shape, x.shape))
            );
        }
        Ok(vec![x.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn function<T: Number>(x: T, slope: T) -> T {
            if x < T::ZERO { slope.times(x) } else { x }
        }
        for_number!(
            call.input(0).data(),
            x => Ok(vec![arithmetic::zip(call, x, function)?]),
            Err(call.unsupported_type())
        )
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.broadcast_over_images()
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        order::broadcast(order, ranks)
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form)
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn parameter(&self, input: usize) -> Option<Parameter> {
        (input == 1).then_some(Parameter::Other)
    }
}

impl Definition for PRelu {
    const NAME: &'static str = "PRelu";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 2)?;
        let x = importer.value(node, 0)?;
        let slope = importer.value(node, 1)?;
        importer.emit(node, Op::PRelu, vec![Some(x), Some(slope)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let slopes = generator.broadcastable(&generator.shape(x), false);
        let n: usize = slopes.iter().product();
        let numbers = (0..n).map(|_| [0.25, 0.5, 2.0][generator.draws.below(3)]).collect();
        let slopes = Tensor::from_f32(slopes, numbers);
        generator.try_node(Op::PRelu, vec![Source::Known(x), Source::Constant(slopes)])
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "prelu with a slope per channel",
            Op::PRelu,
            [f(&[1, 2, 2], &[-1.0, 2.0, -3.0, 4.0]), f(&[2, 1], &[0.5, 2.0])],
            f(&[1, 2, 2], &[-0.5, 2.0, -6.0, 4.0]),
        )]
    }
}
