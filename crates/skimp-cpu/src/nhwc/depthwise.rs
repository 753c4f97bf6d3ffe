//! Depthwise convolution: as many groups as input and output channels, f32 sums.
//!
//! Lanes are channels, so sources, weights and outputs are all read as vectors. The order of the terms is that of the
//! general kernels.

#![allow(unsafe_code, reason = "vector kernels over pointers, units that write disjoint elements")]

use std::ops::Range;

use rayon::prelude::*;

use super::arith::{self, Arith, Arithmetic, LANES, Task};
use super::conv::{forward_padding, grad_padding, n_positions, plan_phases, taps};
use super::gather::{Phase, Segment, Shared};
use super::pack::{Padded, vectors};
use super::shape::ConvShape;
use super::weight_grad::slice_images;
use super::workspace::{ThreadScratch, Workspace, grown};

/// Whether the kernels of this file compute the shape.
pub(super) fn applies(shape: &ConvShape, arithmetic: Arithmetic) -> bool {
    arithmetic == Arithmetic::F32 && shape.groups > 1 && shape.groups == shape.c && shape.c == shape.k
}

/// The forward pass.
pub(super) fn forward(
    shape: &ConvShape,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
    workspace: &mut Workspace,
) {
    let padded = forward_padding(shape);
    let Workspace { isa, segments, phases, scratch, .. } = workspace;
    let (c, pitch) = (shape.c, padded.extent[1] * shape.c);
    segments.clear();
    for r in 0..shape.kh {
        for s in 0..shape.kw {
            segments.push(Segment { offset: r * shape.dilations[0] * pitch + s * shape.dilations[1] * c, run: 1 });
        }
    }
    phases.clear();
    phases.push(Phase {
        extent: [shape.p(), shape.q()],
        out: [0, shape.q() * c, c],
        source: [0, shape.strides[0] * pitch, shape.strides[1] * c],
        segments: 0..segments.len(),
        packed: 0,
        depth: segments.len(),
    });
    if let Some(bias) = bias {
        assert_eq!(bias.len(), c, "one bias per output channel");
    }
    let out_image = shape.p() * shape.q() * c;
    let job = Job { n: shape.n, source: x, padded, out_image, phases, segments, weight, bias, finish: -0.0 };
    job.run(*isa, y, scratch);
}

/// The input gradient.
pub(super) fn input_grad(shape: &ConvShape, dy: &[f32], weight: &[f32], dx: &mut [f32], workspace: &mut Workspace) {
    let padded = grad_padding(shape);
    let Workspace { isa, segments, phases, packed, scratch, .. } = workspace;
    let depth = plan_phases(shape, &padded, false, segments, phases);
    let c = shape.c;
    let packed = grown(packed, depth * c);
    let n_columns = shape.strides[1].min(shape.w);
    let mut taken = 0;
    for (idx, phase) in phases.iter_mut().enumerate() {
        phase.packed = taken;
        for tap in taps(shape, [idx / n_columns, idx % n_columns]) {
            packed[taken..taken + c].copy_from_slice(&weight[tap * c..][..c]);
            taken += c;
        }
        debug_assert_eq!(phase.extent[1], n_positions(shape, 1, idx % n_columns), "phases in order");
    }
    let out_image = shape.h * shape.w * c;
    let job =
        Job { n: shape.n, source: dy, padded, out_image, phases, segments, weight: packed, bias: None, finish: 0.0 };
    job.run(*isa, dx, scratch);
}

/// A convolution by gathering, channel by channel.
struct Job<'a> {
    n: usize,
    source: &'a [f32],
    padded: Padded,
    out_image: usize,
    phases: &'a [Phase],
    segments: &'a [Segment],
    /// For each tap of the phases the channels' weights.
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    finish: f32,
}

struct Unit<'a> {
    job: &'a Job<'a>,
    image: usize,
    out: Shared,
    scratch: &'a ThreadScratch,
}

impl Job<'_> {
    fn run(&self, isa: crate::kernels::Isa, out: &mut [f32], scratch: &mut ThreadScratch) {
        assert_eq!(out.len(), self.n * self.out_image, "as many outputs as the shape has");
        let [h, w, c] = self.padded.image;
        assert_eq!(self.source.len(), self.n * h * w * c, "as many source elements as the shape has");
        scratch.prepare();
        let (out, scratch) = (Shared(out.as_mut_ptr()), &*scratch);
        (0..self.n)
            .into_par_iter()
            .for_each(|image| arith::run(isa, Arithmetic::F32, Unit { job: self, image, out, scratch }));
    }
}

impl Task for Unit<'_> {
    #[inline(always)]
    unsafe fn run<A: Arith>(self, arith: A) {
        let job = self.job;
        let [h, w, c] = job.padded.image;
        let mut scratch = self.scratch.get();
        let from = &job.source[self.image * h * w * c..][..h * w * c];
        let source = if job.padded.is_identity() {
            from.as_ptr()
        } else {
            let copy = grown(&mut scratch, job.padded.words(c));
            job.padded.copy_f32(from, copy);
            copy.as_ptr()
        };
        for phase in job.phases {
            let segments = &job.segments[phase.segments.clone()];
            let weight = &job.weight[phase.packed..][..segments.len() * c];
            for row in 0..phase.extent[0] {
                for column in 0..phase.extent[1] {
                    let at = phase.source[0] + row * phase.source[1] + column * phase.source[2];
                    let out = phase.out[0] + row * phase.out[1] + column * phase.out[2];
                    // SAFETY: the features are the caller's; the position is one of the phase's, and images are
                    // disjoint.
                    unsafe {
                        let out = self.out.0.add(self.image * job.out_image + out);
                        job.pixel(arith, source.add(at), segments, weight, c, out);
                    }
                }
            }
        }
    }
}

impl Job<'_> {
    /// # Safety
    /// The processor features of `A`; `source` reads `c` channels at every segment, `out` is a pixel.
    #[inline(always)]
    unsafe fn pixel<A: Arith>(
        &self,
        arith: A,
        source: *const f32,
        segments: &[Segment],
        weight: &[f32],
        c: usize,
        out: *mut f32,
    ) {
        // SAFETY: the caller's contract; `first + n` is at most `c`.
        unsafe {
            let finish = A::splat(&self.finish);
            let mut first = 0;
            while first + LANES <= c {
                let mut sum = self.bias.map_or(A::zero(), |bias| A::load(bias.as_ptr().add(first)));
                for (tap, segment) in segments.iter().enumerate() {
                    let b = A::load(weight.as_ptr().add(tap * c + first));
                    sum = arith.step(sum, A::load(source.add(segment.offset + first)), b);
                }
                A::store(out.add(first), A::add(sum, finish));
                first += LANES;
            }
            let n = c - first;
            if n > 0 {
                let mut sum = self.bias.map_or(A::zero(), |bias| A::load_partial(bias.as_ptr().add(first), n));
                for (tap, segment) in segments.iter().enumerate() {
                    let b = A::load_partial(weight.as_ptr().add(tap * c + first), n);
                    sum = arith.step(sum, A::load_partial(source.add(segment.offset + first), n), b);
                }
                A::store_partial(out.add(first), A::add(sum, finish), n);
            }
        }
    }
}

/// The weight gradient, summed in the same slices as by the general kernel.
pub(super) fn weight_grad(shape: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32], workspace: &mut Workspace) {
    let Workspace { isa, partial, scratch, .. } = workspace;
    let images = slice_images(shape, Arithmetic::F32);
    let n_slices = shape.n.div_ceil(images);
    let len = shape.weight_len();
    let sums = grown(partial, len * n_slices);
    scratch.prepare();
    let (isa, scratch) = (*isa, &*scratch);
    sums.par_chunks_exact_mut(len).enumerate().for_each(|(slice, sums)| {
        sums.fill(0.0);
        let images = slice * images..((slice + 1) * images).min(shape.n);
        let task = Slice { shape, x, dy, images, sums: Shared(sums.as_mut_ptr()), scratch };
        arith::run(isa, Arithmetic::F32, task);
    });
    let (first, rest) = sums.split_at(len);
    dw.copy_from_slice(first);
    for slice in rest.chunks_exact(len) {
        dw.iter_mut().zip(slice).for_each(|(sum, &x)| *sum += x);
    }
}

/// The images of one slice.
struct Slice<'a> {
    shape: &'a ConvShape,
    x: &'a [f32],
    dy: &'a [f32],
    images: Range<usize>,
    sums: Shared,
    scratch: &'a ThreadScratch,
}

/// Taps whose sums are in registers together.
const TAPS: usize = 4;

impl Task for Slice<'_> {
    #[inline(always)]
    unsafe fn run<A: Arith>(self, arith: A) {
        let shape = self.shape;
        let padded = forward_padding(shape);
        let [h, w, c] = padded.image;
        let pitch = padded.extent[1] * c;
        let (p, q) = (shape.p(), shape.q());
        let mut scratch = self.scratch.get();
        let copy = grown(&mut scratch, padded.words(c));
        let n_taps = shape.kh * shape.kw;
        for image in self.images.clone() {
            padded.copy_f32(&self.x[image * h * w * c..][..h * w * c], copy);
            let dy = &self.dy[image * p * q * c..][..p * q * c];
            for block in 0..vectors(c) {
                let first = block * LANES;
                let n = LANES.min(c - first);
                for tap in (0..n_taps).step_by(TAPS) {
                    let offsets: [usize; TAPS] = std::array::from_fn(|i| {
                        let tap = (tap + i).min(n_taps - 1);
                        tap / shape.kw * shape.dilations[0] * pitch + tap % shape.kw * shape.dilations[1] * c + first
                    });
                    // SAFETY: the features are the caller's; offsets of taps and lanes of the block are in range. Taps
                    // past the last repeat it and are not stored.
                    unsafe {
                        let mut sums = [A::zero(); TAPS];
                        for (i, sum) in sums.iter_mut().enumerate() {
                            if tap + i < n_taps {
                                *sum = A::load_partial(self.sums.0.add((tap + i) * c + first), n);
                            }
                        }
                        for row in 0..p {
                            for column in 0..q {
                                let dy = A::load_partial(dy.as_ptr().add((row * q + column) * c + first), n);
                                let at = row * shape.strides[0] * pitch + column * shape.strides[1] * c;
                                for i in 0..TAPS {
                                    let x = A::load_partial(copy.as_ptr().add(at + offsets[i]), n);
                                    sums[i] = arith.step(sums[i], x, dy);
                                }
                            }
                        }
                        for (i, &sum) in sums.iter().enumerate() {
                            if tap + i < n_taps {
                                A::store_partial(self.sums.0.add((tap + i) * c + first), sum, n);
                            }
                        }
                    }
                }
            }
        }
    }
}
