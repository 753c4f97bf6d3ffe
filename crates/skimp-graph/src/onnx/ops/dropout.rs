//! Dropout at inference: the identity. The ratio is kept for training; the mask, where somebody reads it, is all true.

use super::OnnxOperator;
use super::clip;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::{DType, Data, GraphError, Op};

const DEFAULT_RATIO: f32 = 0.5;

pub(super) struct Dropout;

impl OnnxOperator for Dropout {
    fn name(&self) -> &'static str {
        "Dropout"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["ratio", "seed"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, if node.opset() < 12 { 1 } else { 3 })?;
        if let Some(training) = importer.parameter(node, 2)?
            && !matches!(training.data(), Data::Bool(flags) if flags.iter().all(|&flag| !flag))
        {
            return Err(node.unsupported("training mode"));
        }
        let ratio = ratio(node, importer)?;
        let x = importer.value(node, 0)?;
        let outputs = node.outputs();
        let Some(mask) = outputs.get(1).map(String::as_str).filter(|name| !name.is_empty() && importer.is_read(name))
        else {
            return importer.emit(node, Op::Dropout { ratio }, vec![Some(x)]);
        };
        if node.opset() < 10 {
            return Err(node.unsupported("the mask, which has no values at inference"));
        }
        let first = outputs.first().map_or("", String::as_str);
        if first.is_empty() {
            return Err(node.invalid("the first output has no name"));
        }
        importer.emit_as(node, node.name().to_owned(), Op::Dropout { ratio }, vec![Some(x)], &[first])?;
        // Between the bounds 1 and 1 everything is 1 (or NaN), and so true.
        let ones = importer.emit_step(node, "ones", Op::Clip { min: Some(1.0), max: Some(1.0) }, vec![Some(x)])?;
        let name = importer.free_node_name(&format!("{}.mask", node.name()));
        importer.emit_as(node, name, Op::Cast { to: DType::Bool }, vec![Some(ones)], &[mask]).map(|_| ())
    }
}

/// The ratio: an attribute before opset 12, then an input; a half where it is left out.
fn ratio(node: &NodeView<'_>, importer: &mut Importer) -> Result<f32, GraphError> {
    let ratio = if node.opset() < 12 {
        node.float("ratio")?
    } else {
        match importer.parameter(node, 1)? {
            Some(tensor) => match (tensor.as_f32(), tensor.elements::<f64>()) {
                (Some(&[ratio]), _) => Some(ratio),
                // Rounded: it is a probability.
                (_, Some(&[ratio])) => Some(ratio as f32),
                _ => return Err(node.invalid("the ratio is not one floating-point number")),
            },
            None => None,
        }
    }
    .unwrap_or(DEFAULT_RATIO);
    if (0.0..1.0).contains(&ratio) {
        Ok(ratio)
    } else {
        Err(node.invalid(format!("a ratio of {ratio}, expected one in [0, 1)")))
    }
}

pub(super) fn export(form: Form, ratio: f32, dtype: DType) -> Result<Form, String> {
    if ratio.to_bits() == DEFAULT_RATIO.to_bits() {
        return Ok(form);
    }
    let dtype = if dtype.is_float() { dtype } else { DType::F32 };
    Ok(form.since(12).parameter(1, "ratio", clip::scalar(ratio, dtype)?))
}
