//! ReduceMean: axes as an attribute (opset 1) or an input (18).

use super::OnnxOperator;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::{GraphError, Op};

pub(super) struct ReduceMean;

impl OnnxOperator for ReduceMean {
    fn name(&self) -> &'static str {
        "ReduceMean"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["axes", "keepdims", "noop_with_empty_axes"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let axes = if node.opset() < 18 {
            node.check_inputs(1, 1)?;
            node.ints("axes")?.map(<[i64]>::to_vec).unwrap_or_default()
        } else {
            node.check_inputs(1, 2)?;
            importer.ints(node, 1)?.unwrap_or_default()
        };
        let keep_dims = node.flag("keepdims", true)?;
        let x = importer.value(node, 0)?;
        let op = if axes.is_empty() && node.flag("noop_with_empty_axes", false)? {
            Op::Identity
        } else {
            Op::ReduceMean { axes, keep_dims }
        };
        importer.emit(node, op, vec![Some(x)])
    }
}

pub(super) fn export(form: Form, axes: &[i64], keep_dims: bool, opset: i64) -> Form {
    let form = form.since(13).int("keepdims", i64::from(keep_dims));
    match axes {
        [] => form,
        axes if opset < 18 => form.ints("axes", axes.to_vec()),
        axes => form.int_vector(1, "axes", axes),
    }
}
