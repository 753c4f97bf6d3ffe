//! Cast.

use crate::onnx::dtype;
use crate::onnx::export::{Context, Form};
use crate::onnx::functions::Steps;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::packed::Coded;
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::reference::number::for_any;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f, t};
use crate::{DType, Data, GraphError};

/// Conversion to another element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// Target type.
    pub to: DType,
}

impl Operator for Cast {
    facts!(ElementWise, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        Ok(vec![TensorType { dtype: self.to, shape: signature.input(0)?.shape.clone() }])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: IntoExact>(call: &Call<'_>, x: &[T], to: DType) -> Result<Vec<Data>, GraphError> {
            macro_rules! to {
                ($type:ty) => {{
                    let mut y: Vec<$type> = call.allocate(x.len())?;
                    y.extend(x.iter().map(|x| match x.exact() {
                        Exact::Float(x) => x as $type,
                        Exact::Integer(x) => x as $type,
                    }));
                    Ok(vec![y.into()])
                }};
            }
            match to {
                DType::F32 => to!(f32),
                DType::F64 => to!(f64),
                DType::I64 => to!(i64),
                DType::I32 => to!(i32),
                DType::I16 => to!(i16),
                DType::I8 => to!(i8),
                DType::U16 => to!(u16),
                DType::U8 => to!(u8),
                DType::Bool => {
                    let mut y: Vec<bool> = call.allocate(x.len())?;
                    y.extend(x.iter().map(|x| match x.exact() {
                        Exact::Float(x) => x.is_nan() || x.abs() > 0.0,
                        Exact::Integer(x) => x != 0,
                    }));
                    Ok(vec![y.into()])
                }
            }
        }
        if call.input(0).dtype() == self.to {
            return Ok(vec![call.input(0).data().clone()]);
        }
        for_any!(call.input(0).data(), x => typed(call, x, self.to))
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        true
    }

    fn rounding(&self) -> Rounding {
        if self.to.is_float() { Rounding::Exact } else { Rounding::Jumps }
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        order::broadcast(order, ranks)
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.int("to", i64::from(dtype::to_onnx(self.to))))
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        if inputs.first().copied().flatten().is_none() {
            return Err("the first input is missing".to_owned());
        }
        Ok(self.to)
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn stores(&self) -> bool {
        true
    }

    fn is_identity(&self, input: Option<DType>, _n_inputs: usize) -> bool {
        Some(self.to) == input
    }
}

impl Definition for Cast {
    const NAME: &'static str = "Cast";
    const ATTRIBUTES: &'static [&'static str] = &["round_mode", "saturate", "to"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 1)?;
        let number = node.int("to")?.ok_or_else(|| node.invalid("attribute \"to\" is missing"))?;
        let number = i32::try_from(number).unwrap_or(-1);
        if let Some(Coded::Float(format)) = Coded::of(number) {
            if node.flag("saturate", true)? {
                return Steps::new(node, importer).cast_to_floats(format);
            }
            return Err(node.unsupported("a conversion to floats of 8 or 4 bits that does not saturate"));
        }
        let to = dtype::from_onnx(number)
            .ok_or_else(|| node.unsupported(format!("conversion to element type {}", dtype::onnx_name(number))))?;
        if let Some(inputs) = importer.shape_inputs(node, 1)?
            && let Some(result) = inputs[0].cast(to, &mut importer.symbols)
        {
            return importer.bind_symbolic(node, result);
        }
        let x = importer.value(node, 0)?;
        importer.emit(node, Op::Cast(Self { to }), vec![Some(x)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let types = [DType::F32, DType::F64, DType::I64, DType::I32, DType::I8, DType::U8, DType::Bool];
        let all = if generator.known[x].tensor.dtype() == DType::F32 { types.len() } else { 1 };
        let to = types[generator.draws.below(all)];
        unary::draw(generator, x, Op::Cast(Self { to }))
    }

    fn cases() -> Vec<Case> {
        let cast = |to| Op::Cast(Self { to });
        vec![
            case(
                "to i8",
                cast(DType::I8),
                [f(&[4], &[-1.9, 300.0, f32::NAN, -300.0])],
                t(&[4], &[-1_i8, 127, 0, -128]),
            ),
            case("i32 to u8 wraps", cast(DType::U8), [t(&[2], &[256_i32, -1])], t(&[2], &[0_u8, 255])),
            case("to bool", cast(DType::Bool), [f(&[3], &[-0.0, 0.1, f32::NAN])], t(&[3], &[false, true, true])),
            case("bool to f32", cast(DType::F32), [t(&[2], &[true, false])], f(&[2], &[1.0, 0.0])),
            case("f64 to f32", cast(DType::F32), [t(&[1], &[1.0_f64 + 2_f64.powi(-25)])], f(&[1], &[1.0])),
        ]
    }
}

/// An element on its way to another type.
#[derive(Clone, Copy)]
enum Exact {
    Float(f64),
    Integer(i64),
}

trait IntoExact: Copy {
    fn exact(self) -> Exact;
}

macro_rules! into_exact {
    ($($type:ty => $variant:ident),*) => {$(
        impl IntoExact for $type {
            fn exact(self) -> Exact {
                Exact::$variant(self.into())
            }
        }
    )*};
}

into_exact!(
    f32 => Float, f64 => Float, i64 => Integer, i32 => Integer, i16 => Integer, i8 => Integer, u16 => Integer,
    u8 => Integer, bool => Integer
);
