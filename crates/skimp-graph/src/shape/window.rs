//! Sliding windows.

use skimp_shape::{AxisError, Padding, WindowAxis};

use crate::{AutoPad, GraphError, Op, Window};

/// Works out padding and output extents of a window over spatial `extents`.
///
/// The rule is [`WindowAxis::new`]'s, with the window's pads, rounded up in `ceil_mode`, or those of `auto_pad`; `Valid` is
/// without pads and rounded down.
///
/// # Errors
/// [`GraphError::InvalidNode`] if the number of axes differs, a kernel, stride or dilation is 0, or the kernel does not
/// fit the padded input.
pub fn window_axes(op: &Op, node: &str, window: &Window, extents: &[usize]) -> Result<Vec<WindowAxis>, GraphError> {
    let invalid = |cause: String| GraphError::invalid_node(node, op.name(), cause);
    let lists = [
        ("kernel_shape", window.kernel.len()),
        ("strides", window.strides.len()),
        ("dilations", window.dilations.len()),
        ("begin pads", window.pads_begin.len()),
        ("end pads", window.pads_end.len()),
    ];
    for (list, n) in lists {
        if n != extents.len() {
            return Err(invalid(format!("{list} has {n} entries, expected {} (one per spatial axis)", extents.len())));
        }
    }
    (0..extents.len())
        .map(|axis| {
            resolve(window, axis, extents[axis]).map_err(|cause| invalid(format!("spatial axis {axis}: {cause}")))
        })
        .collect()
}

fn resolve(window: &Window, axis: usize, input: usize) -> Result<WindowAxis, AxisError> {
    let (begin, end) = (window.pads_begin[axis], window.pads_end[axis]);
    let padding = match window.auto_pad {
        AutoPad::SameUpper => Padding::SameUpper,
        AutoPad::SameLower => Padding::SameLower,
        AutoPad::Valid => Padding::Explicit { begin: 0, end: 0 },
        AutoPad::NotSet if window.ceil_mode => Padding::Ceil { begin, end },
        AutoPad::NotSet => Padding::Explicit { begin, end },
    };
    WindowAxis::new(input, window.kernel[axis], window.strides[axis], window.dilations[axis], padding)
}
