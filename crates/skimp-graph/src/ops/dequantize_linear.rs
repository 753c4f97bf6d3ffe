//! DequantizeLinear, per tensor and per axis.

use crate::onnx::export::{Context, Form};
use crate::onnx::functions::Steps;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::Signature;
use crate::ops::{Cast, Definition, Op, Operands, Operator, Rounding, quantization, unary};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, case, f, t};
use crate::{DType, Data, Element, GraphError, Tensor};

/// Inputs: x, scale, optional zero point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DequantizeLinear {
    /// Axis of a per-axis scale.
    pub axis: i64,
}

impl Operator for DequantizeLinear {
    facts!(ElementWise, 2..=3, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        if !matches!(x.dtype, DType::U8 | DType::I8 | DType::U16 | DType::I16 | DType::I32) {
            return Err(
                signature.invalid(format!("input has element type {}, expected u8, i8, u16, i16 or i32", x.dtype))
            );
        }
        let scale = signature.input(1)?;
        if scale.dtype != DType::F32 {
            let feature = format!("a scale of {}", scale.dtype);
            return Err(signature.unsupported(feature));
        }
        quantization::check(signature, x, "scale", scale, self.axis)?;
        if signature.optional(2).is_some() {
            quantization::check_zero_point(signature, scale, signature.input_like(2, x)?)?;
        }
        Ok(vec![TensorType { dtype: DType::F32, shape: x.shape.clone() }])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Element + Into<i64>>(
            call: &Call<'_>,
            x: &[T],
            channel: impl Fn(usize) -> usize,
        ) -> Result<Vec<Data>, GraphError> {
            let scale: &[f32] = call.elements(1);
            let zero_point: Option<&[T]> = call.optional(2).map(|_| call.elements(2));
            let mut y: Vec<f32> = call.allocate(x.len())?;
            y.extend(x.iter().enumerate().map(|(idx, &x)| {
                let channel = channel(idx);
                let difference: i64 = x.into() - zero_point.map_or(0, |z| z[channel].into());
                difference as f32 * scale[channel]
            }));
            Ok(vec![y.into()])
        }
        let channel = quantization::channels(call, self.axis)?;
        match call.input(0).data() {
            Data::U8(x) => typed(call, x, channel),
            Data::I8(x) => typed(call, x, channel),
            Data::U16(x) => typed(call, x, channel),
            Data::I16(x) => typed(call, x, channel),
            Data::I32(x) => typed(call, x, channel),
            _ => Err(call.unsupported_type()),
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
        Some(order::first(order, ranks)?.with(Op::DequantizeLinear(Self { axis })))
    }

    fn export(&self, form: Form, context: Context) -> Result<Form, String> {
        Ok(quantization::export(form, self.axis, context))
    }

    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        let Some(x) = inputs.first().copied().flatten() else {
            return Err("the first input is missing".to_owned());
        };
        if !matches!(x, DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::I32) {
            return Err(format!("input of element type {x:?}, expected an integer of 8, 16 or 32 bits"));
        }
        if inputs.get(1).copied().flatten() != Some(DType::F32) {
            return Err("the scale must have element type F32".to_owned());
        }
        match inputs.get(2).copied().flatten() {
            Some(zero_point) if zero_point != x => {
                Err(format!("zero point of element type {zero_point:?} for an input of element type {x:?}"))
            }
            _ => Ok(DType::F32),
        }
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn stores(&self) -> bool {
        true
    }

    fn folds(&self) -> bool {
        // It says how a constant is stored.
        false
    }
}

impl Definition for DequantizeLinear {
    const NAME: &'static str = "DequantizeLinear";
    const ATTRIBUTES: &'static [&'static str] = &["axis", "block_size", "output_dtype", "saturate"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        if quantization::output_dtype(node)?.is_some_and(|dtype| dtype != DType::F32) {
            return Err(node.unsupported("an output type other than FLOAT"));
        }
        if let Some(reals) = quantization::dequantized_constant(node, importer)? {
            return importer.bind_constant(node, reals);
        }
        let axis = quantization::axis(node)?;
        let inputs = quantization::inputs(node, importer)?;
        if inputs[0].is_some_and(|x| importer.dtype(x) == DType::F32) {
            return Steps::new(node, importer).dequantize_floats(axis);
        }
        importer.emit(node, Op::DequantizeLinear(Self { axis }), inputs)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let types = [DType::I8, DType::U8, DType::I32];
        let x = if types.contains(&generator.known[x].tensor.dtype()) {
            x
        } else {
            let to = types[generator.draws.below(3)];
            generator.try_node(Op::Cast(Cast { to }), vec![Source::Known(x)])?[0]
        };
        let scale = Tensor::from_f32(Vec::new(), vec![[0.5, 1.0, 2.0][generator.draws.below(3)]]);
        let zero: Data = match generator.known[x].tensor.dtype() {
            DType::I32 => vec![0_i32].into(),
            DType::I8 => vec![-3_i8].into(),
            _ => vec![7_u8].into(),
        };
        let zero = Tensor::new(Vec::new(), zero)?;
        let sources = vec![Source::Known(x), Source::Constant(scale), Source::Constant(zero)];
        generator.try_node(Op::DequantizeLinear(Self { axis: 1 }), sources)
    }

    fn cases() -> Vec<Case> {
        let dequantize = Op::DequantizeLinear(Self { axis: 0 });
        vec![
            case(
                "dequantize per axis",
                dequantize.clone(),
                [t(&[2, 1], &[1_u8, 255]), f(&[2], &[0.5, 2.0]), t(&[2], &[3_u8, 255])],
                f(&[2, 1], &[-1.0, 0.0]),
            ),
            case("dequantize i32", dequantize, [t(&[2], &[-7_i32, 1]), f(&[], &[0.5])], f(&[2], &[-3.5, 0.5])),
        ]
    }
}
