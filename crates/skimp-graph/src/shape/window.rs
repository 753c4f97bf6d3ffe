//! Sliding windows.

use crate::{AutoPad, GraphError, Op, Window};

/// A window along one spatial axis, with padding and output extent worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowAxis {
    /// Input extent without padding.
    pub input: usize,
    /// Kernel extent.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Dilation.
    pub dilation: usize,
    /// Padding before the first element.
    pub pad_begin: usize,
    /// Padding after the last element. A window of `ceil_mode` may reach beyond it.
    pub pad_end: usize,
    /// Number of windows.
    pub output: usize,
}

impl WindowAxis {
    /// The kernel positions of window `output_idx` that read an element of the input, as a range.
    pub fn taps(&self, output_idx: usize) -> std::ops::Range<usize> {
        let start = output_idx * self.stride;
        let first = self.pad_begin.saturating_sub(start).div_ceil(self.dilation);
        let end = (self.input + self.pad_begin).saturating_sub(start).div_ceil(self.dilation);
        first.min(self.kernel)..end.clamp(first.min(self.kernel), self.kernel)
    }

    /// The windows whose kernel position `tap` reads an element of the input, as a range.
    pub fn windows(&self, tap: usize) -> std::ops::Range<usize> {
        let offset = tap * self.dilation;
        let first = self.pad_begin.saturating_sub(offset).div_ceil(self.stride).min(self.output);
        let end = (self.input + self.pad_begin).saturating_sub(offset).div_ceil(self.stride);
        first..end.clamp(first, self.output)
    }

    /// The input index that kernel position `tap` of window `output_idx` reads; `tap` must be among
    /// [`taps`](Self::taps).
    pub fn input_idx(&self, output_idx: usize, tap: usize) -> usize {
        output_idx * self.stride + tap * self.dilation - self.pad_begin
    }

    /// Number of kernel positions of window `output_idx` inside the input and its padding, without what `ceil_mode`
    /// adds beyond.
    pub fn n_padded_taps(&self, output_idx: usize) -> usize {
        let left = self.input + self.pad_begin + self.pad_end - output_idx * self.stride;
        left.div_ceil(self.dilation).min(self.kernel)
    }
}

/// Works out padding and output extents of a window over spatial `extents`.
///
/// With `auto_pad` = `NotSet`: `output = floor_or_ceil((input + pads − dilation · (kernel − 1) − 1) / stride) + 1`,
/// where a `ceil_mode` window that would start in the end padding is dropped. `SameUpper` and `SameLower`:
/// `ceil(input / stride)`. `Valid`: as `NotSet` without pads and rounded down.
///
/// # Errors
/// [`GraphError::InvalidNode`] if the number of axes differs, a kernel, stride or dilation is 0, or the kernel does not
/// fit the padded input.
///
/// # Source
/// ONNX operator specifications of Conv (opset 11) and MaxPool, AveragePool (opset 22, whose `ceil_mode` rule fixes
/// the earlier ones).
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

fn resolve(window: &Window, axis: usize, input: usize) -> Result<WindowAxis, String> {
    let (kernel, stride, dilation) = (window.kernel[axis], window.strides[axis], window.dilations[axis]);
    for (what, value) in [("kernel extent", kernel), ("stride", stride), ("dilation", dilation)] {
        if value == 0 {
            return Err(format!("{what} is 0, expected at least 1"));
        }
    }
    let too_large = || "extents are too large".to_owned();
    let reach = (kernel - 1).checked_mul(dilation).and_then(|r| r.checked_add(1)).ok_or_else(too_large)?;
    // Half the range, so that no later sum overflows.
    let small = |value: usize| if value <= usize::MAX / 8 { Ok(value) } else { Err(too_large()) };
    let (reach, input, stride) = (small(reach)?, small(input)?, small(stride)?);

    if matches!(window.auto_pad, AutoPad::SameUpper | AutoPad::SameLower) {
        let output = input.div_ceil(stride);
        let needed = output.saturating_sub(1).checked_mul(stride).and_then(|n| n.checked_add(reach));
        let total = needed.ok_or_else(too_large)?.saturating_sub(input);
        let (half, rest) = (total / 2, total - total / 2);
        let upper = window.auto_pad == AutoPad::SameUpper;
        let (pad_begin, pad_end) = if upper { (half, rest) } else { (rest, half) };
        return Ok(WindowAxis { input, kernel, stride, dilation, pad_begin, pad_end, output });
    }
    let (pad_begin, pad_end) = match window.auto_pad {
        AutoPad::Valid => (0, 0),
        AutoPad::NotSet | AutoPad::SameUpper | AutoPad::SameLower => {
            (small(window.pads_begin[axis])?, small(window.pads_end[axis])?)
        }
    };
    let padded = input + pad_begin + pad_end;
    let Some(room) = padded.checked_sub(reach) else {
        return Err(format!("a kernel that spans {reach} does not fit an input of {input}, {padded} with padding"));
    };
    let output = if window.ceil_mode && window.auto_pad == AutoPad::NotSet {
        let output = room.div_ceil(stride) + 1;
        if (output - 1) * stride >= input + pad_begin { output - 1 } else { output }
    } else {
        room / stride + 1
    };
    Ok(WindowAxis { input, kernel, stride, dilation, pad_begin, pad_end, output })
}
