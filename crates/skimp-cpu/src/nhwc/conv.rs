//! Convolution: forward pass and input gradient, planned as gathering jobs.

use super::aligned::AlignedVec;
use super::arith::{Arithmetic, LANES};
use super::gather::{self, Job, Phase, Segment, Weights, panel_vectors};
use super::pack::{Padded, vectors};
use super::panels::{Panels, Product};
use super::shape::ConvShape;
use super::sparse;
use super::workspace::{Workspace, grown};
use crate::kernels::Isa;

/// Convolution, or a fully connected layer.
///
/// # Shapes
/// As in [`ConvShape`]; `bias` has `k` elements.
///
/// # Rounding
/// Each output starts with its bias (else zero) and adds the products in the order of the weights: kernel rows, kernel
/// columns, channels, padding as products with zero, by the rules of `arithmetic`. Every processor and any number of
/// threads gives the same bits.
///
/// # Panics
/// If a slice does not have the length that a checked `shape` gives it.
pub fn conv_forward(
    shape: &ConvShape,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
    arithmetic: Arithmetic,
    workspace: &mut Workspace,
) {
    assert_eq!(weight.len(), shape.weight_len(), "as many weights as the shape has");
    if super::depthwise::applies(shape, arithmetic) {
        super::depthwise::forward(shape, x, weight, bias, y, workspace);
        return;
    }
    let isa = workspace.isa;
    let pairs = arithmetic == Arithmetic::Bf16;
    let padded = forward_padding(shape);
    let (pixel, pitch) = (padded.pixel(pairs), padded.extent[1] * padded.pixel(pairs));
    let run = pixel / shape.groups;
    let Workspace { segments, phases, packed, bias: start, scratch, .. } = workspace;
    segments.clear();
    for r in 0..shape.kh {
        for s in 0..shape.kw {
            push(segments, 0, r * shape.dilations[0] * pitch + s * shape.dilations[1] * pixel, run);
        }
    }
    let depth = shape.kh * shape.kw * run;
    let (p, q, k) = (shape.p(), shape.q(), shape.k);
    phases.clear();
    phases.push(Phase {
        extent: [p, q],
        out: [0, q * k, k],
        source: [0, shape.strides[0] * pitch, shape.strides[1] * pixel],
        segments: 0..segments.len(),
        packed: 0,
        depth,
    });
    let lanes = shape.group_k();
    let per_panel = panel_vectors(isa, arithmetic);
    let is_packed = !pairs && shape.groups == 1 && lanes.is_multiple_of(LANES) && vectors(lanes) <= per_panel;
    let panels = Panels { isa, arithmetic, shape, weight, product: Product::Forward, depth, per_panel };
    let weights = if is_packed {
        Weights::Packed(weight)
    } else if gather::streams(&padded, arithmetic, shape.n, phases, panels.words()) {
        Weights::Streamed(panels)
    } else {
        let packed = grown(packed, panels.words());
        panels.fill(packed);
        Weights::Packed(packed)
    };
    let start = starts(start, bias, shape.groups, lanes);
    let job = Job {
        isa,
        arithmetic,
        n: shape.n,
        source: x,
        padded,
        out_image: p * q * k,
        phases,
        segments,
        weights,
        start,
        lanes,
        finish: -0.0,
    };
    job.run(y, scratch);
}

/// Which kernel computes an input gradient; both give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zeros {
    /// The one that is expected to be faster for the shape and the density of a sample of the errors.
    Auto,
    /// Zero errors are multiplied like others.
    Multiply,
    /// Zero errors are skipped, where the shape and the arithmetic have a kernel for that (f32, one group).
    Skip,
}

/// Whether [`conv_input_grad`] skips the zeros of these errors on this processor.
pub fn skips_zeros(shape: &ConvShape, dy: &[f32], arithmetic: Arithmetic) -> bool {
    sparse::pays(shape, Isa::detect(), arithmetic, dy)
}

/// Gradient of a convolution with respect to its input.
///
/// Zero errors, as a ReLU or a max pool behind the convolution leaves them, are skipped where that is expected to be
/// faster; the result does not tell.
///
/// # Shapes
/// As in [`ConvShape`]: `dy` like the output, `dx` like the input.
///
/// # Rounding
/// Each element starts with zero and adds the products of the output pixels that its value went into, in their order
/// (rows, columns, output channels), by the rules of `arithmetic`; at last +0 is added, so no zero is negative. Weights
/// are expected to be finite, so that outputs beyond the border count as zeros and zero errors can be skipped. Every
/// processor and any number of threads gives the same bits.
///
/// # Panics
/// If a slice does not have the length that a checked `shape` gives it.
pub fn conv_input_grad(
    shape: &ConvShape,
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
    arithmetic: Arithmetic,
    workspace: &mut Workspace,
) {
    conv_input_grad_with(shape, dy, weight, dx, (arithmetic, Zeros::Auto), workspace);
}

/// [`conv_input_grad`] by the kernel that `zeros` names.
///
/// # Panics
/// If a slice does not have the length that a checked `shape` gives it.
pub fn conv_input_grad_with(
    shape: &ConvShape,
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
    (arithmetic, zeros): (Arithmetic, Zeros),
    workspace: &mut Workspace,
) {
    assert_eq!(weight.len(), shape.weight_len(), "as many weights as the shape has");
    if super::depthwise::applies(shape, arithmetic) {
        super::depthwise::input_grad(shape, dy, weight, dx, workspace);
        return;
    }
    let isa = workspace.isa;
    let pairs = arithmetic == Arithmetic::Bf16;
    let skips = match zeros {
        Zeros::Auto => sparse::pays(shape, isa, arithmetic, dy),
        Zeros::Multiply => false,
        Zeros::Skip => arithmetic == Arithmetic::F32 && shape.groups == 1,
    };
    let per_panel = if skips { sparse::panel_vectors(isa, shape.c) } else { panel_vectors(isa, arithmetic) };
    let padded = grad_padding(shape);
    let Workspace { segments, phases, packed, bias: start, scratch, .. } = workspace;
    let n_words = plan_phases(shape, &padded, pairs, segments, phases);
    let lanes = shape.group_c();
    let n_words = n_words * shape.groups * vectors(lanes) * LANES;
    let out_image = shape.h * shape.w * shape.c;
    let panels = |position: [usize; 2], depth: usize| Panels {
        isa,
        arithmetic,
        shape,
        weight,
        product: Product::InputGrad { phase: position },
        depth,
        per_panel,
    };
    let weights = if !skips && gather::streams(&padded, arithmetic, shape.n, phases, n_words) {
        Weights::Streamed(panels([0, 0], phases[0].depth))
    } else {
        let packed = grown(packed, n_words);
        let n_columns = shape.strides[1].min(shape.w);
        let mut taken = 0;
        for (idx, phase) in phases.iter_mut().enumerate() {
            let panels = panels([idx / n_columns, idx % n_columns], phase.depth);
            phase.packed = taken;
            panels.fill(&mut packed[taken..taken + panels.words()]);
            taken += panels.words();
        }
        Weights::Packed(packed)
    };
    if let (true, Weights::Packed(packed)) = (skips, weights) {
        let job = sparse::Job { isa, n: shape.n, c: shape.c, dy, padded, out_image, phases, segments, packed };
        job.run(dx, scratch);
        return;
    }
    let start = starts(start, None, shape.groups, lanes);
    let job = Job {
        isa,
        arithmetic,
        n: shape.n,
        source: dy,
        padded,
        out_image,
        phases,
        segments,
        weights,
        start,
        lanes,
        finish: 0.0,
    };
    job.run(dx, scratch);
}

/// Adds a run to the segments from `first` on; adjacent runs merge.
fn push(segments: &mut Vec<Segment>, first: usize, offset: usize, run: usize) {
    let is_new = segments.len() == first;
    match segments.last_mut() {
        Some(last) if !is_new && last.offset + last.run == offset => last.run += run,
        _ => segments.push(Segment { offset, run }),
    }
}

/// What the sums of each group's lanes start with, in whole vectors.
fn starts<'a>(to: &'a mut AlignedVec, bias: Option<&[f32]>, groups: usize, lanes: usize) -> &'a [f32] {
    let width = vectors(lanes) * LANES;
    let to = grown(to, groups * width);
    to.fill(0.0);
    if let Some(bias) = bias {
        assert_eq!(bias.len(), groups * lanes, "one bias per output channel");
        for (to, from) in to.chunks_exact_mut(width).zip(bias.chunks_exact(lanes)) {
            to[..lanes].copy_from_slice(from);
        }
    }
    to
}

/// For an axis and a position within its stride, the kernel positions that reach such input positions, in descending
/// order, each with the output position it links to the first of them.
fn links(shape: &ConvShape, axis: usize, position: usize) -> impl Iterator<Item = (usize, isize)> + use<> {
    let (stride, dilation) = (shape.strides[axis] as isize, shape.dilations[axis] as isize);
    let pad = shape.pads_begin[axis] as isize;
    let n_taps = [shape.kh, shape.kw][axis];
    (0..n_taps).rev().filter_map(move |tap| {
        let at = position as isize + pad - tap as isize * dilation;
        (at.rem_euclid(stride) == 0).then_some((tap, at.div_euclid(stride)))
    })
}

/// Kernel positions of a phase, in the order of the output pixels they link to.
pub(super) fn taps(shape: &ConvShape, [a, b]: [usize; 2]) -> impl Iterator<Item = usize> + use<> {
    let shape = *shape;
    links(&shape, 0, a).flat_map(move |(r, _)| links(&shape, 1, b).map(move |(s, _)| r * shape.kw + s))
}

/// Input positions `position`, `position + stride`, … on an axis.
pub(super) fn n_positions(shape: &ConvShape, axis: usize, position: usize) -> usize {
    ([shape.h, shape.w][axis].saturating_sub(position)).div_ceil(shape.strides[axis])
}

/// The copy of the input that every window can read.
pub(super) fn forward_padding(shape: &ConvShape) -> Padded {
    Padded {
        image: [shape.h, shape.w, shape.c],
        extent: [shape.h + shape.pads_begin[0] + shape.pads_end[0], shape.w + shape.pads_begin[1] + shape.pads_end[1]],
        origin: shape.pads_begin.map(|pad| pad as isize),
        groups: shape.groups,
    }
}

/// The copy of the output gradient that every phase can read.
pub(super) fn grad_padding(shape: &ConvShape) -> Padded {
    let outputs = [shape.p(), shape.q()];
    let mut extent = outputs;
    let mut origin = [0; 2];
    for axis in 0..2 {
        let (mut first, mut last) = (0, outputs[axis] as isize - 1);
        for position in 0..shape.strides[axis].min([shape.h, shape.w][axis]) {
            for (_, at) in links(shape, axis, position) {
                first = first.min(at);
                last = last.max(at + n_positions(shape, axis, position) as isize - 1);
            }
        }
        origin[axis] = -first;
        extent[axis] = (last - first + 1) as usize;
    }
    Padded { image: [outputs[0], outputs[1], shape.k], extent, origin, groups: shape.groups }
}

/// One phase for each input position within the strides; returns the depth of all phases together.
pub(super) fn plan_phases(
    shape: &ConvShape,
    padded: &Padded,
    pairs: bool,
    segments: &mut Vec<Segment>,
    phases: &mut Vec<Phase>,
) -> usize {
    let pixel = padded.pixel(pairs);
    let pitch = padded.extent[1] * pixel;
    let run = pixel / shape.groups;
    segments.clear();
    phases.clear();
    let mut total = 0;
    for a in 0..shape.strides[0].min(shape.h) {
        for b in 0..shape.strides[1].min(shape.w) {
            let first = segments.len();
            let mut depth = 0;
            for (_, row) in links(shape, 0, a) {
                for (_, column) in links(shape, 1, b) {
                    let (row, column) = ((row + padded.origin[0]) as usize, (column + padded.origin[1]) as usize);
                    push(segments, first, row * pitch + column * pixel, run);
                    depth += run;
                }
            }
            phases.push(Phase {
                extent: [n_positions(shape, 0, a), n_positions(shape, 1, b)],
                out: [(a * shape.w + b) * shape.c, shape.strides[0] * shape.w * shape.c, shape.strides[1] * shape.c],
                source: [0, pitch, pixel],
                segments: first..segments.len(),
                packed: 0,
                depth,
            });
            total += depth;
        }
    }
    total
}
