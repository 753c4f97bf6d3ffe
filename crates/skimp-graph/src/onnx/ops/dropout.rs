//! Dropout at inference: the identity. The ratio does not matter; the mask, where somebody reads it, is all true.

use super::OnnxOperator;
use crate::onnx::import::{Importer, NodeView};
use crate::{DType, Data, GraphError, Op};

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
        let x = importer.value(node, 0)?;
        let outputs = node.outputs();
        let Some(mask) = outputs.get(1).map(String::as_str).filter(|name| !name.is_empty() && importer.is_read(name))
        else {
            return importer.emit(node, Op::Dropout, vec![Some(x)]);
        };
        if node.opset() < 10 {
            return Err(node.unsupported("the mask, which has no values at inference"));
        }
        let first = outputs.first().map_or("", String::as_str);
        if first.is_empty() {
            return Err(node.invalid("the first output has no name"));
        }
        importer.emit_as(node, node.name().to_owned(), Op::Dropout, vec![Some(x)], &[first])?;
        // Between the bounds 1 and 1 everything is 1 (or NaN), and so true.
        let ones = importer.emit_step(node, "ones", Op::Clip { min: Some(1.0), max: Some(1.0) }, vec![Some(x)])?;
        let name = importer.free_node_name(&format!("{}.mask", node.name()));
        importer.emit_as(node, name, Op::Cast { to: DType::Bool }, vec![Some(ones)], &[mask]).map(|_| ())
    }
}
