//! QuantizeLinear, per tensor and per axis.

use crate::onnx::export::{Context, Form};
use crate::onnx::functions::Steps;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::packed::Coded;
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding, quantization, unary};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, case, f, t};
use crate::{DType, Data, GraphError, Tensor};

/// Inputs: x, scale, optional zero point (gives the output type; u8 without it). Rounds half to even, saturates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizeLinear {
    /// Axis of a per-axis scale.
    pub axis: i64,
}

impl Operator for QuantizeLinear {
    facts!(ElementWise, 2..=3, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        let scale = signature.input(1)?;
        if !matches!(x.dtype, DType::F32 | DType::I32) || scale.dtype != DType::F32 {
            let feature = format!("element type {} with a scale of {}", x.dtype, scale.dtype);
            return Err(signature.unsupported(feature));
        }
        quantization::check(signature, x, "scale", scale, self.axis)?;
        let dtype = match signature.optional(2) {
            None => DType::U8,
            Some(zero_point) => {
                quantization::check_zero_point(signature, scale, zero_point)?;
                zero_point.dtype
            }
        };
        if !matches!(dtype, DType::U8 | DType::I8 | DType::U16 | DType::I16) {
            return Err(signature.invalid(format!("zero point has element type {dtype}, expected u8, i8, u16 or i16")));
        }
        Ok(vec![TensorType { dtype, shape: x.shape.clone() }])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let scale: &[f32] = call.elements(1);
        let channel = quantization::channels(call, self.axis)?;
        // i32 goes through f32 as ONNX's type rule says, so that the quotient is an f32.
        let quotient = |x: f32, idx: usize| (x / scale[channel(idx)]).round_ties_even();
        let mut rounded: Vec<f32> = call.allocate(call.input(0).len())?;
        match call.input(0).data() {
            Data::F32(x) => rounded.extend(x.iter().enumerate().map(|(idx, &x)| quotient(x, idx))),
            Data::I32(x) => rounded.extend(x.iter().enumerate().map(|(idx, &x)| quotient(x as f32, idx))),
            _ => return Err(call.unsupported_type()),
        }
        macro_rules! saturated {
            ($type:ty, $zero_point:expr) => {{
                let zero_point: Option<&[$type]> = $zero_point;
                let mut y: Vec<$type> = call.allocate(rounded.len())?;
                y.extend(rounded.iter().enumerate().map(|(idx, &quotient)| {
                    let zero_point = zero_point.map_or(0, |z| i64::from(z[channel(idx)]));
                    let sum = (quotient as i64).saturating_add(zero_point);
                    sum.clamp(i64::from(<$type>::MIN), i64::from(<$type>::MAX)) as $type
                }));
                Ok(vec![y.into()])
            }};
        }
        match call.optional(2).map(|zero_point| zero_point.data()) {
            None => saturated!(u8, None),
            Some(Data::U8(zero_point)) => saturated!(u8, Some(zero_point)),
            Some(Data::I8(zero_point)) => saturated!(i8, Some(zero_point)),
            Some(Data::U16(zero_point)) => saturated!(u16, Some(zero_point)),
            Some(Data::I16(zero_point)) => saturated!(i16, Some(zero_point)),
            Some(_) => Err(call.unsupported_type()),
        }
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.only_first_computed()
            && operands.inputs.iter().skip(1).flatten().all(|input| input.shape.is_empty() || input.shape == [1])
    }

    fn parameter_axis(
        &self,
        input: usize,
        rank: usize,
        output_rank: usize,
        axis: usize,
    ) -> Result<Option<usize>, &'static str> {
        Ok(quantization::parameter_axis((input, rank), self.axis, output_rank, axis))
    }

    fn rounding(&self) -> Rounding {
        Rounding::Jumps
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        let axis = order::place(self.axis, order).unwrap_or(self.axis);
        Some(order::first(order, ranks)?.with(Op::QuantizeLinear(Self { axis })))
    }

    fn export(&self, form: Form, context: Context) -> Result<Form, String> {
        Ok(quantization::export(form, self.axis, context))
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        let Some(x) = inputs.first().copied().flatten() else {
            return Err("the first input is missing".to_owned());
        };
        if !matches!(x, DType::F32 | DType::I32) {
            return Err(format!("input of element type {x:?}, expected F32 or I32"));
        }
        if inputs.get(1).copied().flatten() != Some(DType::F32) {
            return Err("the scale must have element type F32".to_owned());
        }
        match inputs.get(2).copied().flatten() {
            None => Ok(DType::U8),
            Some(to @ (DType::I8 | DType::U8 | DType::I16 | DType::U16)) => Ok(to),
            Some(other) => Err(format!("zero point of element type {other:?}, expected an integer of 8 or 16 bits")),
        }
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn stores(&self) -> bool {
        true
    }
}

impl Definition for QuantizeLinear {
    const NAME: &'static str = "QuantizeLinear";
    const ATTRIBUTES: &'static [&'static str] = &["axis", "block_size", "output_dtype", "precision", "saturate"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        // FLOAT, the type of the scale.
        if !matches!(node.int_or("precision", 0)?, 0 | 1) {
            return Err(node.unsupported("a division in another precision than FLOAT"));
        }
        let axis = quantization::axis(node)?;
        let mut inputs = quantization::inputs(node, importer)?;
        let stated = Coded::of(i32::try_from(node.int_or("output_dtype", 0)?).unwrap_or(0));
        match stated.or_else(|| importer.packed(node.input(2)?)) {
            Some(Coded::Float(format)) => return Steps::new(node, importer).quantize_to_floats(axis, format),
            Some(Coded::Integer { bits, signed }) => {
                return Steps::new(node, importer).quantize_to_few_bits(axis, bits, signed);
            }
            None => {}
        }
        if let Some(wanted) = quantization::output_dtype(node)? {
            match inputs.get(2).copied().flatten().map(|zero_point| importer.dtype(zero_point)) {
                None if wanted == DType::U8 => {}
                None => {
                    let zero = importer.new_zero(&format!("{}.zero_point", node.name()), wanted);
                    inputs.push(Some(zero.ok_or_else(|| node.unsupported(format!("output type {wanted:?}")))?));
                }
                Some(found) if found == wanted => {}
                Some(found) => {
                    return Err(node.invalid(format!("output type {wanted:?}, but a zero point of {found:?}")));
                }
            }
        }
        importer.emit(node, Op::QuantizeLinear(Self { axis }), inputs)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let scale = Tensor::from_f32(Vec::new(), vec![[0.5, 1.0, 2.0][generator.draws.below(3)]]);
        let is_i8 = generator.draws.chance(0.5);
        let zero: Data = if is_i8 { vec![-3_i8].into() } else { vec![7_u8].into() };
        let zero = Tensor::new(Vec::new(), zero)?;
        let sources = vec![Source::Known(x), Source::Constant(scale), Source::Constant(zero)];
        generator.try_node(Op::QuantizeLinear(Self { axis: 1 }), sources)
    }

    fn cases() -> Vec<Case> {
        let quantize = Op::QuantizeLinear(Self { axis: 1 });
        let x = f(&[1, 2, 2], &[0.5, 1.5, -100.0, 3.0]);
        vec![
            case(
                "quantize half to even",
                quantize.clone(),
                [x.clone(), f(&[], &[1.0])],
                t(&[1, 2, 2], &[0_u8, 2, 0, 3]),
            ),
            case(
                "quantize per axis",
                quantize,
                [x, f(&[2], &[0.5, 1.0]), t(&[2], &[0_i8, -100])],
                t(&[1, 2, 2], &[1_i8, 3, -128, -97]),
            ),
        ]
    }
}
