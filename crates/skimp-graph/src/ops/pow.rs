//! Pow.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, arithmetic};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::reference::strided::Offsets;
use crate::shape::{TensorType, broadcast};
use crate::testing::{Case, Generator, Source, case, f, t};
use crate::{DType, Data, GraphError, Tensor};

/// a to the power of b, broadcast, in f64; b may have another floating-point type or be an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pow;

impl Operator for Pow {
    facts!(ElementWise, 2..=2, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let (a, b) = (signature.float()?, signature.input(1)?);
        if b.dtype == DType::Bool {
            return Err(signature.invalid("the exponent has element type bool, expected a number"));
        }
        let shape = broadcast(&a.shape, &b.shape);
        let mismatch = || signature.invalid(format!("shapes {:?} and {:?} do not broadcast", a.shape, b.shape));
        Ok(shaped(a, shape.ok_or_else(mismatch)?))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Float>(call: &Call<'_>, a: &[T], exponents: &[f64]) -> Result<Vec<T>, GraphError> {
            let places = |idx: usize| Offsets::broadcast(call.input(idx).shape(), call.output_shape());
            let mut y = call.allocate_output()?;
            y.extend(places(0).zip(places(1)).map(|(i, j)| T::from_f64(a[i].to_f64().powf(exponents[j]))));
            Ok(y)
        }
        let exponents: Vec<f64> = match call.input(1).data() {
            Data::F32(b) => b.iter().map(|&b| b.into()).collect(),
            Data::F64(b) => b.to_vec(),
            Data::I64(b) => b.iter().map(|&b| b as f64).collect(),
            Data::I32(b) => b.iter().map(|&b| b.into()).collect(),
            Data::I16(b) => b.iter().map(|&b| b.into()).collect(),
            Data::I8(b) => b.iter().map(|&b| b.into()).collect(),
            Data::U16(b) => b.iter().map(|&b| b.into()).collect(),
            Data::U8(b) => b.iter().map(|&b| b.into()).collect(),
            Data::Bool(_) => return Err(call.unsupported_type()),
        };
        for_float!(
            call.input(0).data(),
            a => Ok(vec![typed(call, a, &exponents)?.into()]),
            Err(call.unsupported_type())
        )
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.broadcast_over_images()
    }

    fn rounding(&self) -> Rounding {
        Rounding::RoundsAndJumps
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(13))
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        match inputs {
            [Some(a), Some(b)] if a.is_float() && *b != DType::Bool => Ok(*a),
            _ => Err(format!("inputs of element types {inputs:?}, expected floating point and numbers")),
        }
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        arithmetic::symbolic_shape(inputs, symbols)
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.first() == Some(&true)
    }
}

impl Definition for Pow {
    const NAME: &'static str = "Pow";

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        arithmetic::import_data(node, importer, Op::Pow)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let exponent = Tensor::from_f32(Vec::new(), vec![[0.0, 1.0, 2.0, 3.0][generator.draws.below(4)]]);
        generator.try_node(Op::Pow, vec![Source::Known(x), Source::Constant(exponent)])
    }

    fn cases() -> Vec<Case> {
        vec![
            case("pow", Op::Pow, [f(&[3], &[2.0, -3.0, 9.0]), f(&[3], &[3.0, 2.0, 0.5])], f(&[3], &[8.0, 9.0, 3.0])),
            case("pow by i64", Op::Pow, [f(&[2], &[2.0, -3.0]), t(&[], &[3_i64])], f(&[2], &[8.0, -27.0])),
        ]
    }
}
