//! The sliding window of convolutions and pools.

use crate::onnx::export::Form;
use crate::onnx::import::NodeView;
use crate::{AutoPad, GraphError, Window};

/// Reads a window over `kernel.len()` axes.
pub(super) fn import(node: &NodeView<'_>, kernel: Vec<usize>) -> Result<Window, GraphError> {
    let n_axes = kernel.len();
    let auto_pad = match node.string("auto_pad")? {
        None | Some("NOTSET" | "") => AutoPad::NotSet,
        Some("SAME_UPPER") => AutoPad::SameUpper,
        Some("SAME_LOWER") => AutoPad::SameLower,
        Some("VALID") => AutoPad::Valid,
        Some(other) => return Err(node.invalid(format!("attribute \"auto_pad\" is \"{other}\""))),
    };
    let list = |key: &str, min: usize, default: usize, n: usize| -> Result<Vec<usize>, GraphError> {
        let counts = node.counts(key, min)?.unwrap_or_else(|| vec![default; n]);
        if counts.len() == n {
            Ok(counts)
        } else {
            Err(node.invalid(format!("attribute \"{key}\" has {} entries, expected {n}", counts.len())))
        }
    };
    let strides = list("strides", 1, 1, n_axes)?;
    let dilations = list("dilations", 1, 1, n_axes)?;
    let pads = if auto_pad == AutoPad::NotSet { list("pads", 0, 0, 2 * n_axes)? } else { vec![0; 2 * n_axes] };
    let (begin, end) = pads.split_at(n_axes);
    Ok(Window {
        kernel,
        strides,
        dilations,
        pads_begin: begin.to_vec(),
        pads_end: end.to_vec(),
        auto_pad,
        ceil_mode: false,
    })
}

/// Reads `kernel_shape`.
pub(super) fn kernel_shape(node: &NodeView<'_>) -> Result<Option<Vec<usize>>, GraphError> {
    node.counts("kernel_shape", 1)
}

/// Writes a window; `ceil_mode` is left to the pools.
pub(super) fn export(form: Form, window: &Window) -> Form {
    let form = form
        .counts("kernel_shape", &window.kernel)
        .counts("strides", &window.strides)
        .counts("dilations", &window.dilations);
    match window.auto_pad {
        AutoPad::NotSet => form.counts("pads", &[&window.pads_begin[..], &window.pads_end[..]].concat()),
        AutoPad::SameUpper => form.string("auto_pad", "SAME_UPPER"),
        AutoPad::SameLower => form.string("auto_pad", "SAME_LOWER"),
        AutoPad::Valid => form.string("auto_pad", "VALID"),
    }
}
