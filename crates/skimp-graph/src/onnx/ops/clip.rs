//! Clip: bounds as attributes (opset 6) or inputs (11).

use super::OnnxOperator;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::{DType, Data, GraphError, Op, Tensor};

pub(super) struct Clip;

impl OnnxOperator for Clip {
    fn name(&self) -> &'static str {
        "Clip"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["min", "max"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let (min, max) = if node.opset() < 11 {
            node.check_inputs(1, 1)?;
            (node.float("min")?, node.float("max")?)
        } else {
            node.check_inputs(1, 3)?;
            (importer.scalar(node, 1)?, importer.scalar(node, 2)?)
        };
        let x = importer.value(node, 0)?;
        importer.emit(node, Op::Clip { min, max }, vec![Some(x)])
    }
}

pub(super) fn export(form: Form, min: Option<f32>, max: Option<f32>, dtype: DType) -> Result<Form, String> {
    let mut form = form.since(12);
    for (position, label, bound) in [(1, "min", min), (2, "max", max)] {
        if let Some(bound) = bound {
            form = form.parameter(position, label, scalar(bound, dtype)?);
        }
    }
    Ok(form)
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
