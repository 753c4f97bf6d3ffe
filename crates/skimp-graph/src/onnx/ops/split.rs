//! Concat and Split.

use super::OnnxOperator;
use crate::onnx::export::{Form, signed};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{SymbolicTensor, normalize_axis};
use crate::{GraphError, Op, ValueId};

pub(super) struct Concat;

impl OnnxOperator for Concat {
    fn name(&self) -> &'static str {
        "Concat"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["axis"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let n_inputs = node.n_inputs();
        node.check_inputs(n_inputs.max(1), n_inputs)?;
        let axis = node.int("axis")?.ok_or_else(|| node.invalid("attribute \"axis\" is missing"))?;
        if let Some(parts) = importer.shape_inputs(node, n_inputs)? {
            let joined = SymbolicTensor::concat(&parts, axis).map_err(|cause| node.invalid(cause))?;
            return importer.bind_symbolic(node, joined);
        }
        let inputs = (0..n_inputs).map(|i| importer.value(node, i).map(Some)).collect::<Result<Vec<_>, _>>()?;
        importer.emit(node, Op::Concat { axis }, inputs)
    }
}

pub(super) struct Split;

impl OnnxOperator for Split {
    fn name(&self) -> &'static str {
        "Split"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["axis", "num_outputs", "split"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let axis = node.int_or("axis", 0)?;
        let stated = if node.opset() < 13 {
            node.check_inputs(1, 1)?;
            node.ints("split")?.map(<[i64]>::to_vec)
        } else {
            node.check_inputs(1, 2)?;
            importer.ints(node, 1)?
        };
        let x = importer.value(node, 0)?;
        let outputs: Vec<&str> = node.outputs().iter().map(String::as_str).collect();
        if outputs.is_empty() || outputs.contains(&"") {
            return Err(node.unsupported("an output without a name"));
        }
        if let Some(n) = node.int("num_outputs")?
            && usize::try_from(n).ok() != Some(outputs.len())
        {
            return Err(node.invalid(format!("attribute \"num_outputs\" is {n}, the node has {}", outputs.len())));
        }
        let sizes = match stated {
            Some(sizes) => sizes
                .iter()
                .map(|&size| usize::try_from(size).map_err(|_| node.invalid(format!("negative size {size}"))))
                .collect::<Result<Vec<_>, _>>()?,
            None => equal_sizes(node, importer, x, axis, outputs.len())?,
        };
        if sizes.len() != outputs.len() {
            return Err(node.invalid(format!("{} sizes for {} outputs", sizes.len(), outputs.len())));
        }
        importer.emit_as(node, node.name().to_owned(), Op::Split { axis, sizes }, vec![Some(x)], &outputs).map(|_| ())
    }
}

/// Equal parts; since opset 18 the last one may be smaller.
fn equal_sizes(
    node: &NodeView<'_>,
    importer: &Importer,
    x: ValueId,
    axis: i64,
    n_outputs: usize,
) -> Result<Vec<usize>, GraphError> {
    let shape = importer.shape(x).as_deref().ok_or_else(|| node.unsupported("an input of unknown rank"))?;
    let at = normalize_axis(axis, shape.len()).ok_or_else(|| node.invalid(format!("axis {axis} does not exist")))?;
    let extent = shape[at].known().ok_or_else(|| node.unsupported("equal parts of an open extent"))?;
    if extent % n_outputs != 0 && node.opset() < 18 {
        return Err(node.invalid(format!("extent {extent} cannot be split into {n_outputs} equal parts")));
    }
    let size = extent.div_ceil(n_outputs);
    let part = |i: usize| extent.saturating_sub(i * size).min(size);
    Ok((0..n_outputs).map(part).collect())
}

pub(super) fn export(form: Form, axis: i64, sizes: &[usize]) -> Form {
    form.since(13).int("axis", axis).int_vector(1, "split", &signed(sizes))
}
