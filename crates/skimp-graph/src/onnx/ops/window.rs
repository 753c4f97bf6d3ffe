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
    let (pads_begin, pads_end) = (begin.to_vec(), end.to_vec());
    let window = Window { kernel, strides, dilations, pads_begin, pads_end, auto_pad, ceil_mode: false };
    explicit(&window).ok_or_else(|| node.invalid("the window is too large"))
}

/// The same window with its pads written out, where they do not depend on the input's extents: without padding, and
/// for an output as large as the input at stride 1. (onnxruntime refuses `SAME_UPPER` together with dilations.)
fn explicit(window: &Window) -> Option<Window> {
    let n_axes = window.kernel.len();
    let (mut small, mut large) = (vec![0; n_axes], vec![0; n_axes]);
    if matches!(window.auto_pad, AutoPad::SameUpper | AutoPad::SameLower) {
        if window.strides.iter().any(|&stride| stride != 1) {
            return Some(window.clone());
        }
        for i in 0..n_axes {
            let total = window.kernel[i].checked_sub(1)?.checked_mul(window.dilations[i])?;
            (small[i], large[i]) = (total / 2, total.div_ceil(2));
        }
    }
    let (pads_begin, pads_end) = match window.auto_pad {
        AutoPad::NotSet => return Some(window.clone()),
        AutoPad::Valid | AutoPad::SameUpper => (small, large),
        AutoPad::SameLower => (large, small),
    };
    Some(Window { pads_begin, pads_end, auto_pad: AutoPad::NotSet, ..window.clone() })
}

/// Reads `kernel_shape`.
pub(super) fn kernel_shape(node: &NodeView<'_>) -> Result<Option<Vec<usize>>, GraphError> {
    node.counts("kernel_shape", 1)
}

/// Writes a window; `ceil_mode` is left to the pools.
pub(super) fn export(form: Form, window: &Window) -> Form {
    let window = &explicit(window).unwrap_or_else(|| window.clone());
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
