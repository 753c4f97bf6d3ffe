//! Batch normalization at inference, and local response normalization.

use super::OnnxOperator;
use super::activation::unary;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::{GraphError, Op};

pub(super) struct BatchNormalization;

impl OnnxOperator for BatchNormalization {
    fn name(&self) -> &'static str {
        "BatchNormalization"
    }

    fn attributes(&self) -> &'static [&'static str] {
        // The momentum only matters to training.
        &["epsilon", "momentum", "spatial", "training_mode"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(5, 5)?;
        if node.flag("training_mode", false)? || node.outputs().iter().skip(1).any(|name| !name.is_empty()) {
            return Err(node.unsupported("training mode"));
        }
        if !node.flag("spatial", true)? {
            return Err(node.unsupported("statistics per position (spatial = 0)"));
        }
        let epsilon = node.float_or("epsilon", 1e-5)?;
        let inputs = (0..5).map(|i| importer.value(node, i).map(Some)).collect::<Result<Vec<_>, _>>()?;
        importer.emit(node, Op::BatchNormalization { epsilon }, inputs)
    }
}

pub(super) struct Lrn;

impl OnnxOperator for Lrn {
    fn name(&self) -> &'static str {
        "LRN"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["alpha", "beta", "bias", "size"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let size = usize::try_from(node.int_or("size", 0)?)
            .ok()
            .filter(|&size| size > 0)
            .ok_or_else(|| node.invalid("attribute \"size\" must be positive"))?;
        let alpha = node.float_or("alpha", 1e-4)?;
        let (beta, bias) = (node.float_or("beta", 0.75)?, node.float_or("bias", 1.0)?);
        unary(node, importer, Op::Lrn { size, alpha, beta, bias })
    }
}

pub(super) fn export_lrn(form: Form, size: usize, alpha: f32, beta: f32, bias: f32) -> Form {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    form.float("alpha", alpha).float("beta", beta).float("bias", bias).int("size", size)
}
