//! Softmax: along one axis since opset 13, over a matrix coerced from the input before.

use super::OnnxOperator;
use super::activation::unary;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, normalize_axis};
use crate::{GraphError, Op};

pub(super) struct Softmax;

impl OnnxOperator for Softmax {
    fn name(&self) -> &'static str {
        "Softmax"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["axis"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        if node.opset() >= 13 {
            let axis = node.int_or("axis", -1)?;
            return unary(node, importer, Op::Softmax { axis });
        }
        node.check_inputs(1, 1)?;
        let axis = node.int_or("axis", 1)?;
        let x = importer.value(node, 0)?;
        let shape =
            importer.shape(x).clone().ok_or_else(|| node.unsupported("the old form on an input of unknown rank"))?;
        // The axis may also equal the rank: every row of the matrix then has one element.
        let cut = if usize::try_from(axis).is_ok_and(|axis| axis == shape.len()) {
            shape.len()
        } else {
            normalize_axis(axis, shape.len())
                .ok_or_else(|| node.invalid(format!("axis {axis} does not exist in {} dims", shape.len())))?
        };
        let row: Vec<usize> = (cut..shape.len()).filter(|&i| shape[i] != Extent::Known(1)).collect();
        if let ([] | [_], true) = (row.as_slice(), cut < shape.len()) {
            // A row runs along one axis only: that is the new form.
            let axis = row.first().copied().unwrap_or(cut);
            return importer.emit(node, Op::Softmax { axis: axis as i64 }, vec![Some(x)]);
        }
        let back = shape_back(&shape, cut).ok_or_else(|| node.unsupported("the old form with several open extents"))?;
        let flat = importer.emit_step(node, "flat", Op::Flatten { axis: cut as i64 }, vec![Some(x)])?;
        let soft = importer.emit_step(node, "softmax", Op::Softmax { axis: -1 }, vec![Some(flat)])?;
        importer.emit(node, Op::Reshape { shape: back, allow_zero: false }, vec![Some(soft)])
    }
}

/// The reshape target that leads from the matrix back to `shape`.
fn shape_back(shape: &[Extent], cut: usize) -> Option<Vec<i64>> {
    let mut inferred = false;
    let mut target = Vec::with_capacity(shape.len());
    for (i, &extent) in shape.iter().enumerate() {
        target.push(match extent {
            Extent::Known(0) => return None,
            Extent::Known(n) => i64::try_from(n).ok()?,
            // The rows of the matrix are the first axis.
            Extent::Symbol(_) if i == 0 && cut == 1 => 0,
            Extent::Symbol(_) if !std::mem::replace(&mut inferred, true) => -1,
            Extent::Symbol(_) => return None,
        });
    }
    Some(target)
}
