//! The sliding window of convolutions and pools.

use super::signature::Signature;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Arithmetic, Extent, Shape, Symbols};
use crate::reference::Call;
use crate::shape::{TensorType, WindowAxis, window_axes};
use crate::{GraphError, ValueId};

/// How a window's padding is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AutoPad {
    /// The pads stand in the window.
    #[default]
    NotSet,
    /// Output extent is `ceil(input / stride)`; an odd pad goes to the end.
    SameUpper,
    /// Output extent is `ceil(input / stride)`; an odd pad goes to the beginning.
    SameLower,
    /// No padding.
    Valid,
}

/// A sliding window over the spatial axes, one entry per axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Kernel extents.
    pub kernel: Vec<usize>,
    /// Strides, at least 1.
    pub strides: Vec<usize>,
    /// Dilations, at least 1.
    pub dilations: Vec<usize>,
    /// Padding before the first element.
    pub pads_begin: Vec<usize>,
    /// Padding after the last element.
    pub pads_end: Vec<usize>,
    /// Whether the pads above hold or follow from the input's extents.
    pub auto_pad: AutoPad,
    /// Whether the output extent is rounded up (pooling only).
    pub ceil_mode: bool,
}

impl Window {
    /// A window of one element on each of `n` axes.
    pub fn pointwise(n: usize) -> Self {
        Self::padded(&vec![1; n], &vec![0; n])
    }

    /// A window with stride and dilation 1 and the same padding at both ends.
    pub fn padded(kernel: &[usize], pads: &[usize]) -> Self {
        Self {
            kernel: kernel.to_vec(),
            strides: vec![1; kernel.len()],
            dilations: vec![1; kernel.len()],
            pads_begin: pads.to_vec(),
            pads_end: pads.to_vec(),
            auto_pad: AutoPad::NotSet,
            ceil_mode: false,
        }
    }
}

/// The axis that stands in where a network has fewer than three spatial ones.
const UNIT_AXIS: WindowAxis = WindowAxis::pointwise(1);

/// Depth, height and width of a window over one to three spatial axes.
pub(super) fn three_axes(call: &Call<'_>, window: &Window) -> Result<[WindowAxis; 3], GraphError> {
    let found = window_axes(call.op, call.node, window, &call.input(0).shape()[2..])?;
    let mut axes = [UNIT_AXIS; 3];
    axes[3 - found.len()..].copy_from_slice(&found);
    Ok(axes)
}

/// The pairs of two indices, the inner one runs faster.
pub(super) fn pairs(n_outer: usize, n_inner: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n_outer).flat_map(move |outer| (0..n_inner).map(move |inner| (outer, inner)))
}

/// Kernel positions on two axes that read the input at window `(z, p)`.
pub(super) fn tap_pairs(
    outer: &WindowAxis,
    z: usize,
    inner: &WindowAxis,
    p: usize,
) -> impl Iterator<Item = (usize, usize)> + use<> {
    let inner_taps = inner.taps(p);
    outer.taps(z).flat_map(move |outer| inner_taps.clone().map(move |inner| (outer, inner)))
}

/// Calls `window` with the plane of a channel and the position of each of its windows, in output order.
pub(super) fn for_each<T>(
    call: &Call<'_>,
    x: &[T],
    [depth, height, width]: &[WindowAxis; 3],
    mut window: impl FnMut(&[T], [usize; 3]),
) {
    let n_planes = call.input(0).shape()[0] * call.input(0).shape()[1];
    let plane_len = depth.input * height.input * width.input;
    for plane in 0..n_planes {
        let x = &x[plane * plane_len..][..plane_len];
        for (z, p) in pairs(depth.output, height.output) {
            for q in 0..width.output {
                window(x, [z, p, q]);
            }
        }
    }
}

/// Indices into a plane that the window at `position` reads.
pub(super) fn indices([depth, height, width]: [WindowAxis; 3], [z, p, q]: [usize; 3]) -> impl Iterator<Item = usize> {
    tap_pairs(&depth, z, &height, p).flat_map(move |(tap_z, r)| {
        let row = depth.input_idx(z, tap_z) * height.input + height.input_idx(p, r);
        width.taps(q).map(move |s| row * width.input + width.input_idx(q, s))
    })
}

/// The extents of an output with the given windows.
pub(super) fn output_shape(n: usize, channels: usize, axes: &[WindowAxis]) -> Vec<usize> {
    [n, channels].into_iter().chain(axes.iter().map(|axis| axis.output)).collect()
}

/// The extents of the output of a pool, none of whose windows may lie in padding only.
pub(super) fn pool_shape(signature: &Signature<'_>, x: &TensorType, window: &Window) -> Result<Vec<usize>, GraphError> {
    let axes = window_axes(signature.op, signature.node, window, signature.spatial(x)?)?;
    for (idx, axis) in axes.iter().enumerate() {
        let reach = (axis.kernel - 1) * axis.dilation + 1;
        let pad = axis.pad_begin.max(axis.pad_end);
        if pad >= reach {
            return Err(signature.invalid(format!(
                "spatial axis {idx}: padding {pad}, expected less than the {reach} that the kernel spans"
            )));
        }
    }
    Ok(output_shape(x.shape[0], x.shape[1], &axes))
}

/// The extents of an output with `channels`, as far as they are known.
pub(super) fn symbolic(x: &[Extent], window: &Window, channels: Extent, symbols: &mut Symbols) -> Shape {
    let (batch, spatial) = (*x.first()?, x.get(2..)?);
    if window.kernel.len() != spatial.len() {
        return None;
    }
    let mut shape = vec![batch, channels];
    for (i, &extent) in spatial.iter().enumerate() {
        shape.push(output_extent(extent, window, i, symbols)?);
    }
    Some(shape)
}

fn output_extent(input: Extent, window: &Window, i: usize, symbols: &mut Symbols) -> Option<Extent> {
    let (stride, dilation) = (*window.strides.get(i)?, *window.dilations.get(i)?);
    let reach = window.kernel[i].checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
    let padding = match window.auto_pad {
        AutoPad::SameUpper | AutoPad::SameLower => {
            return Some(match input {
                Extent::Known(n) => Extent::Known(n.div_ceil(stride)),
                same @ Extent::Symbol(_) if stride == 1 => same,
                Extent::Symbol(_) => Extent::Symbol(symbols.fresh()),
            });
        }
        AutoPad::Valid => 0,
        AutoPad::NotSet => window.pads_begin.get(i)?.checked_add(*window.pads_end.get(i)?)?,
    };
    match input {
        Extent::Symbol(_) if window.ceil_mode || stride == 0 => Some(Extent::Symbol(symbols.fresh())),
        same @ Extent::Symbol(_) => {
            let padded = symbols.extent(Arithmetic::Add, same, Extent::Known(padding));
            let room = symbols.extent(Arithmetic::Sub, padded, Extent::Known(reach));
            let steps = symbols.extent(Arithmetic::Div, room, Extent::Known(stride));
            Some(symbols.extent(Arithmetic::Add, steps, Extent::Known(1)))
        }
        Extent::Known(n) => {
            let padded = n.checked_add(padding)?;
            if window.ceil_mode && padded > 0 && padded < reach && reach - padded < stride {
                return Some(Extent::Known(1));
            }
            let room = padded.checked_sub(reach)?;
            let steps = if window.ceil_mode { room.div_ceil(stride) } else { room / stride };
            // A last window that starts in the end padding is dropped, as by the ONNX reference implementation.
            let begin = if window.auto_pad == AutoPad::NotSet { window.pads_begin[i] } else { 0 };
            let dropped = window.ceil_mode && steps.checked_mul(stride)? >= n.checked_add(begin)?;
            Some(Extent::Known(steps + usize::from(!dropped)))
        }
    }
}

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

/// The window of a pool, whose axes must be the spatial axes of the input.
pub(super) fn import_pool(node: &NodeView<'_>, importer: &Importer, x: ValueId) -> Result<Window, GraphError> {
    let kernel = kernel_shape(node)?.ok_or_else(|| node.invalid("attribute \"kernel_shape\" is missing"))?;
    if let Some(shape) = importer.shape(x)
        && shape.len() != kernel.len() + 2
    {
        return Err(node.invalid(format!(
            "input with {} dims, expected {} for its kernel",
            shape.len(),
            kernel.len() + 2
        )));
    }
    let window = import(node, kernel)?;
    let beyond = (0..window.kernel.len()).any(|i| {
        let reach = (window.kernel[i] - 1).saturating_mul(window.dilations[i]).saturating_add(1);
        window.pads_begin[i] >= reach || window.pads_end[i] >= reach
    });
    if beyond {
        return Err(node.invalid("a pad is not smaller than the kernel, so that a window could lie in padding only"));
    }
    Ok(Window { ceil_mode: node.flag("ceil_mode", false)?, ..window })
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
