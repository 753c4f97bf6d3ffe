//! Clip: bounds as attributes (opset 6) or inputs (11).

use crate::onnx::export::{Context, Form};
use crate::onnx::functions::Steps;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f, t};
use crate::{DType, Data, GraphError, Tensor};

/// min(max(x, min), max).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// Lower bound, if any.
    pub min: Option<f32>,
    /// Upper bound, if any.
    pub max: Option<f32>,
}

impl Operator for Clip {
    facts!(ElementWise, 1..=1, Number);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        Ok(vec![signature.number()?.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn function<T: Number>(x: T, min: Option<f32>, max: Option<f32>) -> T {
            let at_least = min.map(T::bound).filter(|&min| x < min).unwrap_or(x);
            max.map(T::bound).filter(|&max| at_least > max).unwrap_or(at_least)
        }
        for_number!(
            call.input(0).data(),
            x => Ok(vec![unary::map(call, x, |x| function(x, self.min, self.max))?.into()]),
            Err(call.unsupported_type())
        )
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        true
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        order::broadcast(order, ranks)
    }

    fn export(&self, form: Form, context: Context) -> Result<Form, String> {
        let mut form = form.since(12);
        for (position, label, bound) in [(1, "min", self.min), (2, "max", self.max)] {
            if let Some(bound) = bound {
                form = form.parameter(position, label, scalar(bound, context.dtype)?);
            }
        }
        Ok(form)
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn is_identity(&self, _input: Option<DType>, _n_inputs: usize) -> bool {
        self.min.is_none() && self.max.is_none()
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs == [true] || self.min.is_some_and(|min| min >= 0.0)
    }
}

/// Whether the network computes a bound.
fn is_computed(node: &NodeView<'_>, importer: &mut Importer, idx: usize) -> Result<bool, GraphError> {
    let Some(name) = node.input(idx) else { return Ok(false) };
    Ok(importer.constant(name)?.is_none())
}

impl Definition for Clip {
    const NAME: &'static str = "Clip";
    const ATTRIBUTES: &'static [&'static str] = &["min", "max"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let is_attribute = node.opset() < 11;
        node.check_inputs(1, if is_attribute { 1 } else { 3 })?;
        let x = importer.value(node, 0)?;
        let (min, max) = if is_attribute {
            let bound = |key| node.float(key).map(|bound| bound.map(|bound| importer.beside(x, bound)));
            (bound("min")?, bound("max")?)
        } else if is_computed(node, importer, 1)? || is_computed(node, importer, 2)? {
            return Steps::new(node, importer).clip();
        } else {
            (importer.scalar(node, 1, x)?, importer.scalar(node, 2, x)?)
        };
        importer.emit(node, Op::Clip(Self { min, max }), vec![Some(x)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let draws = &mut generator.draws;
        let clip = Self {
            min: draws.chance(0.7).then_some([-2.0, 0.0, 0.5][draws.below(3)]),
            max: draws.chance(0.7).then_some([1.0, 6.0][draws.below(2)]),
        };
        unary::draw(generator, x, Op::Clip(clip))
    }

    fn cases() -> Vec<Case> {
        let x = f(&[5], &[-2.0, -0.0, 0.5, 1.0, 4.0]);
        let clip = |min, max| Op::Clip(Self { min, max });
        vec![
            case("clip", clip(Some(-1.0), Some(1.0)), [x.clone()], f(&[5], &[-1.0, 0.0, 0.5, 1.0, 1.0])),
            case("clip below", clip(Some(0.75), None), [x.clone()], f(&[5], &[0.75, 0.75, 0.75, 1.0, 4.0])),
            case("clip, min above max", clip(Some(2.0), Some(1.0)), [x], f(&[5], &[1.0; 5])),
            case("clip of i8", clip(Some(-200.0), Some(2.0)), [t(&[2], &[-128_i8, 3])], t(&[2], &[-128_i8, 2])),
        ]
    }
}

/// `value` as a scalar of `dtype`, exactly.
pub(super) fn scalar(value: f32, dtype: DType) -> Result<Tensor, String> {
    let int = || {
        let whole = value as i64;
        // Compared by value: the sign of a zero does not matter to an integer.
        if (whole as f32 - value).abs() > 0.0 || !value.is_finite() { None } else { Some(whole) }
    };
    let data = match dtype {
        DType::F32 => Some(Data::F32(vec![value].into())),
        DType::F64 => Some(Data::F64(vec![f64::from(value)].into())),
        DType::I64 => int().map(|i| Data::I64(vec![i].into())),
        DType::I32 => int().and_then(|i| i32::try_from(i).ok()).map(|i| Data::I32(vec![i].into())),
        DType::I16 => int().and_then(|i| i16::try_from(i).ok()).map(|i| Data::I16(vec![i].into())),
        DType::I8 => int().and_then(|i| i8::try_from(i).ok()).map(|i| Data::I8(vec![i].into())),
        DType::U16 => int().and_then(|i| u16::try_from(i).ok()).map(|i| Data::U16(vec![i].into())),
        DType::U8 => int().and_then(|i| u8::try_from(i).ok()).map(|i| Data::U8(vec![i].into())),
        DType::Bool => None,
    };
    data.and_then(|data| Tensor::new(Vec::new(), data))
        .ok_or_else(|| format!("{value} is not representable in element type {dtype:?}"))
}
