//! Pad: pads as an attribute (opset 2), as an input (11), of some axes only (18).

use super::{OnnxOperator, clip};
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::normalize_axis;
use crate::{DType, GraphError, Op, PadMode};

pub(super) struct Pad;

impl OnnxOperator for Pad {
    fn name(&self) -> &'static str {
        "Pad"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["mode", "pads", "value"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let mode = match node.string("mode")? {
            None | Some("constant") => PadMode::Constant,
            Some("reflect") => PadMode::Reflect,
            Some("edge") => PadMode::Edge,
            Some("wrap") if node.opset() >= 19 => PadMode::Wrap,
            Some(other) => return Err(node.invalid(format!("attribute \"mode\" is \"{other}\""))),
        };
        let (pads, value, axes) = if node.opset() < 11 {
            node.check_inputs(1, 1)?;
            let pads = node.ints("pads")?.ok_or_else(|| node.invalid("attribute \"pads\" is missing"))?;
            (pads.to_vec(), node.float("value")?, None)
        } else {
            node.check_inputs(2, if node.opset() < 18 { 3 } else { 4 })?;
            let pads = importer.ints(node, 1)?.unwrap_or_default();
            (pads, importer.scalar(node, 2)?, importer.ints(node, 3)?)
        };
        let x = importer.value(node, 0)?;
        let rank = importer.shape(x).as_ref().map(Vec::len);
        let (begin, end) = match axes {
            None => halves(node, &pads, rank)?,
            Some(axes) => {
                let rank = rank.ok_or_else(|| node.unsupported("axes of an input of unknown rank"))?;
                scattered(node, &pads, &axes, rank)?
            }
        };
        // The value is meaningless in other modes; leaving it out keeps the graph canonical.
        let value = if mode == PadMode::Constant { value.unwrap_or(0.0) } else { 0.0 };
        importer.emit(node, Op::Pad(crate::Pad { begin, end, mode, value }), vec![Some(x)])
    }
}

type Ends = (Vec<i64>, Vec<i64>);

/// Pads of all axes.
fn halves(node: &NodeView<'_>, pads: &[i64], rank: Option<usize>) -> Result<Ends, GraphError> {
    let n_axes = rank.unwrap_or(pads.len() / 2);
    if pads.len() != 2 * n_axes {
        return Err(node.invalid(format!("{} pads, expected two for each of {n_axes} axes", pads.len())));
    }
    let (begin, end) = pads.split_at(n_axes);
    Ok((begin.to_vec(), end.to_vec()))
}

/// Pads of the given axes; the others get none.
fn scattered(node: &NodeView<'_>, pads: &[i64], axes: &[i64], rank: usize) -> Result<Ends, GraphError> {
    let (first, second) = halves(node, pads, Some(axes.len()))?;
    let (mut begin, mut end) = (vec![0; rank], vec![0; rank]);
    let mut seen = vec![false; rank];
    for (i, &axis) in axes.iter().enumerate() {
        let at = normalize_axis(axis, rank)
            .filter(|&at| !std::mem::replace(&mut seen[at], true))
            .ok_or_else(|| node.invalid(format!("axes {axes:?} are not distinct axes of {rank}")))?;
        (begin[at], end[at]) = (first[i], second[i]);
    }
    Ok((begin, end))
}

pub(super) fn export(form: Form, pad: &crate::Pad, dtype: DType) -> Result<Form, String> {
    let form = form.int_vector(1, "pads", &[&pad.begin[..], &pad.end[..]].concat());
    Ok(match pad.mode {
        PadMode::Constant if pad.value.to_bits() == 0 => form.since(13).string("mode", "constant"),
        PadMode::Constant => {
            form.since(13).string("mode", "constant").parameter(2, "value", clip::scalar(pad.value, dtype)?)
        }
        PadMode::Reflect => form.since(13).string("mode", "reflect"),
        PadMode::Edge => form.since(13).string("mode", "edge"),
        PadMode::Wrap => form.since(19).string("mode", "wrap"),
    })
}
