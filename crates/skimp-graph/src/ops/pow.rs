//! Pow.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, arithmetic};
use crate::reference::Call;
use crate::reference::number::Number;
use crate::reference::strided::Offsets;
use crate::shape::{TensorType, broadcast};
use crate::testing::{Case, Generator, Source, case, f, t};
use crate::{DType, Data, GraphError, Tensor};

/// a to the power of b, broadcast; b may have another type. In f64 and rounded once; an integer to the power of a whole number
/// that is not negative is a product, which wraps, and to any other power truncated toward zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pow;

impl Operator for Pow {
    facts!(ElementWise, 2..=2, Number);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let (a, b) = (signature.number()?, signature.input(1)?);
        if b.dtype == DType::Bool {
            return Err(signature.invalid("the exponent has element type bool, expected a number"));
        }
        let shape = broadcast(&a.shape, &b.shape);
        let mismatch = || signature.invalid(format!("shapes {:?} and {:?} do not broadcast", a.shape, b.shape));
        Ok(shaped(a, shape.ok_or_else(mismatch)?))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Number>(
            call: &Call<'_>,
            a: &[T],
            exponents: &[f64],
            power: impl Fn(T, f64) -> T,
        ) -> Result<Data, GraphError>
        where
            Data: From<Vec<T>>,
        {
            let places = |idx: usize| Offsets::broadcast(call.input(idx).shape(), call.output_shape());
            let mut y: Vec<T> = call.allocate_output()?;
            y.extend(places(0).zip(places(1)).map(|(i, j)| power(a[i], exponents[j])));
            Ok(y.into())
        }
        macro_rules! integers {
            ($type:ty, $a:expr, $exponents:expr) => {
                typed(call, $a, $exponents, |a, exponent| {
                    if exponent >= 0.0 && exponent.fract() == 0.0 && exponent <= f64::from(u32::MAX) {
                        a.wrapping_pow(exponent as u32)
                    } else {
                        (a as f64).powf(exponent) as $type
                    }
                })
            };
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
        Ok(vec![match call.input(0).data() {
            Data::F32(a) => typed(call, a, &exponents, |a, exponent| f64::from(a).powf(exponent) as f32),
            Data::F64(a) => typed(call, a, &exponents, f64::powf),
            Data::I64(a) => integers!(i64, a, &exponents),
            Data::I32(a) => integers!(i32, a, &exponents),
            Data::I16(a) => integers!(i16, a, &exponents),
            Data::I8(a) => integers!(i8, a, &exponents),
            Data::U16(a) => integers!(u16, a, &exponents),
            Data::U8(a) => integers!(u8, a, &exponents),
            Data::Bool(_) => Err(call.unsupported_type()),
        }?])
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.broadcast_over_images()
    }

    fn rounding(&self) -> Rounding {
        Rounding::RoundsAndJumps
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        order::broadcast(order, ranks)
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(13))
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        match inputs {
            [Some(a), Some(b)] if *a != DType::Bool && *b != DType::Bool => Ok(*a),
            _ => Err(format!("inputs of element types {inputs:?}, expected numbers")),
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
            case("pow of i64", Op::Pow, [t(&[3], &[2_i64, -3, 0]), t(&[3], &[62_i64, 3, 0])], {
                t(&[3], &[1_i64 << 62, -27, 1])
            }),
            case("root of i32", Op::Pow, [t(&[2], &[10_i32, 4]), f(&[2], &[0.5, -1.0])], t(&[2], &[3_i32, 0])),
            case("pow by i64", Op::Pow, [f(&[2], &[2.0, -3.0]), t(&[], &[3_i64])], f(&[2], &[8.0, -27.0])),
        ]
    }
}
