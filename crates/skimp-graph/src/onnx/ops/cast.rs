//! Cast.

use super::OnnxOperator;
use crate::onnx::dtype;
use crate::onnx::import::{Importer, NodeView};
use crate::{GraphError, Op};

pub(super) struct Cast;

impl OnnxOperator for Cast {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["to", "saturate"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 1)?;
        let number = node.int("to")?.ok_or_else(|| node.invalid("attribute \"to\" is missing"))?;
        let number = i32::try_from(number).unwrap_or(-1);
        let to = dtype::from_onnx(number)
            .ok_or_else(|| node.unsupported(format!("conversion to element type {}", dtype::onnx_name(number))))?;
        if let Some(inputs) = importer.shape_inputs(node, 1)?
            && let Some(result) = inputs[0].cast(to, &mut importer.symbols)
        {
            return importer.bind_symbolic(node, result);
        }
        let x = importer.value(node, 0)?;
        importer.emit(node, Op::Cast { to }, vec![Some(x)])
    }
}
