//! Squeeze and Unsqueeze: axes as an attribute (opset 1) or an input (13).

use super::OnnxOperator;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::normalize_axis;
use crate::{GraphError, Op};

fn axes(node: &NodeView<'_>, importer: &mut Importer) -> Result<Option<Vec<i64>>, GraphError> {
    if node.opset() < 13 {
        node.check_inputs(1, 1)?;
        Ok(node.ints("axes")?.map(<[i64]>::to_vec))
    } else {
        node.check_inputs(1, 2)?;
        importer.ints(node, 1)
    }
}

/// Which of `rank` axes are listed, each once.
fn listed(node: &NodeView<'_>, axes: &[i64], rank: usize) -> Result<Vec<bool>, GraphError> {
    let mut listed = vec![false; rank];
    for &axis in axes {
        match normalize_axis(axis, rank) {
            Some(at) if !std::mem::replace(&mut listed[at], true) => {}
            _ => return Err(node.invalid(format!("axes {axes:?} are not distinct axes of {rank}"))),
        }
    }
    Ok(listed)
}

pub(super) struct Squeeze;

impl OnnxOperator for Squeeze {
    fn name(&self) -> &'static str {
        "Squeeze"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["axes"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let axes = axes(node, importer)?.unwrap_or_default();
        if let Some(inputs) = importer.shape_inputs(node, 1)? {
            let shape = inputs[0].shape();
            let dropped = listed(node, &axes, shape.len())?;
            let drops = |i: usize| if axes.is_empty() { shape[i] == 1 } else { dropped[i] };
            let kept = (0..shape.len()).filter(|&i| !drops(i)).map(|i| shape[i]).collect();
            let result = inputs[0].reshaped(kept).map_err(|cause| node.invalid(cause))?;
            return importer.bind_symbolic(node, result);
        }
        let x = importer.value(node, 0)?;
        if let Some(shape) = importer.shape(x) {
            listed(node, &axes, shape.len())?;
        }
        importer.emit(node, Op::Squeeze { axes }, vec![Some(x)])
    }
}

pub(super) struct Unsqueeze;

impl OnnxOperator for Unsqueeze {
    fn name(&self) -> &'static str {
        "Unsqueeze"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["axes"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let axes = axes(node, importer)?.ok_or_else(|| node.invalid("the axes are missing"))?;
        if let Some(inputs) = importer.shape_inputs(node, 1)? {
            let mut rest = inputs[0].shape().iter().copied();
            let inserted = listed(node, &axes, inputs[0].shape().len() + axes.len())?;
            let shape = inserted.into_iter().map(|new| if new { 1 } else { rest.next().unwrap_or(1) }).collect();
            let result = inputs[0].reshaped(shape).map_err(|cause| node.invalid(cause))?;
            return importer.bind_symbolic(node, result);
        }
        let x = importer.value(node, 0)?;
        if let Some(shape) = importer.shape(x) {
            listed(node, &axes, shape.len() + axes.len())?;
        }
        importer.emit(node, Op::Unsqueeze { axes }, vec![Some(x)])
    }
}

pub(super) fn export(form: Form, axes: &[i64]) -> Form {
    let form = form.since(13);
    if axes.is_empty() { form } else { form.int_vector(1, "axes", axes) }
}
