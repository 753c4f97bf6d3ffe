//! Convolutions whose outputs gather pixels: the forward pass and the input gradient.
//!
//! A job cuts the outputs into phases (one for the forward pass, one for each position within the strides for the input
//! gradient). In a phase all outputs read the same segments of the source, relative to a first tap that moves evenly,
//! so that a job is a matrix product whose left rows are pointers into a padded image. Work splits into units of images
//! and panels of output lanes; no sum is split, so the result does not depend on how many there are. Many weights for
//! few pixels, as in fully connected layers, are packed panel by panel by the unit that multiplies them.

#![allow(unsafe_code, reason = "register tiles over pointers, units that write disjoint elements")]
#![allow(clippy::needless_range_loop, reason = "constant bounds, which unroll into registers")]

use std::ops::Range;

use rayon::prelude::*;

use super::arith::{self, Arith, Arithmetic, LANES, Task};
use super::pack::{Padded, vectors};
use super::panels::Panels;
pub(super) use super::tile::Segment;
use super::tile::{self, SideBySide};
use super::workspace::{ThreadScratch, grown};
use crate::kernels::Isa;

/// Words of padded images that one unit keeps at hand (half a mebibyte would be all of many second-level caches).
const IMAGE_WORDS: usize = 48 << 10;

/// Words of padded images that every unit may read for each of its panels.
const STREAM_IMAGE_WORDS: usize = 512 << 10;

/// Words of packed weights from which on they are packed where they are used.
const STREAM_WEIGHT_WORDS: usize = 64 << 10;

/// Products below which a call is not worth splitting.
const SMALL: usize = 1 << 16;

/// Outputs that read the same taps.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    /// Rows and columns of outputs.
    pub(super) extent: [usize; 2],
    /// First output element of an image, and elements to the next row and column of outputs.
    pub(super) out: [usize; 3],
    /// First word of a copied image, and words to the next row and column of outputs.
    pub(super) source: [usize; 3],
    /// Indices into the segments.
    pub(super) segments: Range<usize>,
    /// First word of the phase's panels.
    pub(super) packed: usize,
    /// Words that a lane sums over.
    pub(super) depth: usize,
}

/// A convolution by gathering.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) isa: Isa,
    pub(super) arithmetic: Arithmetic,
    /// Images.
    pub(super) n: usize,
    pub(super) source: &'a [f32],
    pub(super) padded: Padded,
    /// Elements of an output image.
    pub(super) out_image: usize,
    pub(super) phases: &'a [Phase],
    pub(super) segments: &'a [Segment],
    pub(super) weights: Weights<'a>,
    /// What the sums start with: whole vectors for each group.
    pub(super) start: &'a [f32],
    /// Output lanes of a group.
    pub(super) lanes: usize,
    /// Added at the end: −0 to keep the sign of zeros, +0 to make zeros positive.
    pub(super) finish: f32,
}

/// The weights of a job.
#[derive(Clone, Copy, Debug)]
pub(super) enum Weights<'a> {
    /// All panels of all phases.
    Packed(&'a [f32]),
    /// Of the only phase, still as the layer has them; each panel is packed by the one unit that reads it.
    Streamed(Panels<'a>),
}

/// Whether weights of `words` packed words are better packed where they are used: where they do not fit the caches and
/// `n` images do. Pairs of bfloat16 are half as many words and are better packed at once (measured on dense layers of 2 to
/// 17 million weights).
pub(super) fn streams(padded: &Padded, arithmetic: Arithmetic, n: usize, phases: &[Phase], words: usize) -> bool {
    let images = n * padded.words(padded.pixel(false));
    arithmetic != Arithmetic::Bf16 && phases.len() == 1 && words >= STREAM_WEIGHT_WORDS && images <= STREAM_IMAGE_WORDS
}

/// Vectors in a panel.
pub(super) fn panel_vectors(isa: Isa, arithmetic: Arithmetic) -> usize {
    if arith::is_wide(isa, arithmetic) { 2 } else { 1 }
}

/// A pointer that units on several threads write disjoint elements through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared(pub(super) *mut f32);

// SAFETY: whoever makes one promises that its users write disjoint elements.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// One piece of a job.
struct Unit<'a> {
    job: &'a Job<'a>,
    images: Range<usize>,
    panels: Range<usize>,
    out: Shared,
    scratch: &'a ThreadScratch,
}

impl Job<'_> {
    fn pairs(&self) -> bool {
        self.arithmetic == Arithmetic::Bf16
    }

    /// Panels of a group.
    fn group_panels(&self) -> usize {
        vectors(self.lanes).div_ceil(panel_vectors(self.isa, self.arithmetic))
    }

    /// Fills `out`, `[n]` images of `out_image` elements.
    pub(super) fn run(&self, out: &mut [f32], scratch: &mut ThreadScratch) {
        assert_eq!(out.len(), self.n * self.out_image, "as many outputs as the shape has");
        let [h, w, c] = self.padded.image;
        assert_eq!(self.source.len(), self.n * h * w * c, "as many source elements as the shape has");
        if out.is_empty() {
            return;
        }
        scratch.prepare();
        let n_threads = rayon::current_num_threads();
        let words = self.padded.words(self.padded.pixel(self.pairs())).max(1);
        let images = match self.weights {
            Weights::Packed(_) => (IMAGE_WORDS / words).clamp(1, self.n.div_ceil(n_threads).max(1)),
            Weights::Streamed(_) => self.n,
        };
        let n_blocks = self.n.div_ceil(images);
        let n_panels = self.group_panels() * self.padded.groups;
        let n_parts = if n_blocks >= 2 * n_threads || n_threads == 1 { 1 } else { n_panels.min(2 * n_threads) };
        let products = self.n * self.phases.iter().map(|p| p.extent[0] * p.extent[1] * p.depth).sum::<usize>();
        let out = Shared(out.as_mut_ptr());
        let scratch = &*scratch;
        let unit = |idx: usize| {
            let (block, part) = (idx / n_parts, idx % n_parts);
            let images = block * images..((block + 1) * images).min(self.n);
            let panels = part * n_panels / n_parts..(part + 1) * n_panels / n_parts;
            arith::run(self.isa, self.arithmetic, Unit { job: self, images, panels, out, scratch });
        };
        if n_threads == 1 || products * self.lanes < SMALL {
            (0..n_blocks * n_parts).for_each(unit);
        } else {
            (0..n_blocks * n_parts).into_par_iter().with_max_len(1).for_each(unit);
        }
    }
}

impl Task for Unit<'_> {
    #[inline(always)]
    unsafe fn run<A: Arith>(self, arith: A) {
        let job = self.job;
        let mut scratch = self.scratch.get();
        let [h, w, c] = job.padded.image;
        let direct = job.padded.is_identity() && !A::PAIRS;
        let image_words = job.padded.words(job.padded.pixel(A::PAIRS));
        let copy_words = if direct { 0 } else { (image_words * self.images.len()).next_multiple_of(LANES) };
        let panel_words = match &job.weights {
            Weights::Packed(_) => 0,
            Weights::Streamed(weights) => weights.panel_words(),
        };
        let (copies, packed) = grown(&mut scratch, copy_words + panel_words).split_at_mut(copy_words);
        let base = if direct {
            job.source[self.images.start * h * w * c..].as_ptr()
        } else {
            for (to, image) in copies.chunks_exact_mut(image_words).zip(self.images.clone()) {
                let from = &job.source[image * h * w * c..][..h * w * c];
                if A::PAIRS {
                    // SAFETY: the features are the caller's.
                    unsafe { job.padded.copy_pairs::<A>(from, to) };
                } else {
                    job.padded.copy_f32(from, to);
                }
            }
            copies.as_ptr()
        };
        let per_panel = if A::WIDE { 2 } else { 1 };
        let group_vectors = vectors(job.lanes);
        let group_panels = group_vectors.div_ceil(per_panel);
        let group_words = job.padded.pixel(A::PAIRS) / job.padded.groups;
        for panel in self.panels.clone() {
            let (group, j) = (panel / group_panels, panel % group_panels);
            let first = j * per_panel;
            for phase in job.phases {
                let n_vectors = per_panel.min(group_vectors - first);
                let words = n_vectors * LANES * phase.depth;
                let panel = match &job.weights {
                    Weights::Packed(packed) => {
                        packed[phase.packed + (group * group_vectors + first) * LANES * phase.depth..][..words].as_ptr()
                    }
                    Weights::Streamed(weights) => {
                        // SAFETY: the features are the caller's.
                        unsafe { weights.panel(group, first * LANES, &mut packed[..words]).run(arith) };
                        packed.as_ptr()
                    }
                };
                let tiles = Tiles {
                    phase,
                    segments: &job.segments[phase.segments.clone()],
                    n_images: self.images.len(),
                    image_words,
                    // SAFETY: a group's words lie within the pixel.
                    base: unsafe { base.add(group * group_words) },
                    panel,
                    start: job.start[(group * group_vectors + first) * LANES..][..n_vectors * LANES].as_ptr(),
                    // SAFETY: the first image and lane are within the output.
                    out: unsafe {
                        self.out.0.add(self.images.start * job.out_image + group * job.lanes + first * LANES)
                    },
                    out_image: job.out_image,
                    lanes: (job.lanes - first * LANES).min(n_vectors * LANES) - (n_vectors - 1) * LANES,
                    finish: &job.finish,
                };
                // SAFETY: the features are the caller's; the phase was planned for this padded image and these panels.
                unsafe {
                    if A::WIDE {
                        if n_vectors == 2 {
                            tiles.run::<A, 8, 2>(arith);
                        } else {
                            tiles.run::<A, 16, 1>(arith);
                        }
                    } else if A::TILED {
                        tiles.run::<A, 4, 1>(arith);
                    } else {
                        tiles.run::<A, 1, 1>(arith);
                    }
                }
            }
        }
    }
}

/// All outputs of a phase in one panel of lanes.
struct Tiles<'a> {
    phase: &'a Phase,
    segments: &'a [Segment],
    n_images: usize,
    image_words: usize,
    base: *const f32,
    panel: *const f32,
    start: *const f32,
    out: *mut f32,
    out_image: usize,
    /// Lanes of the last vector that exist.
    lanes: usize,
    finish: &'a f32,
}

impl Tiles<'_> {
    /// # Safety
    /// The processor features of `A`; the pointers are valid for the phase.
    #[inline(always)]
    unsafe fn run<A: Arith, const MR: usize, const NR: usize>(&self, arith: A) {
        let [rows, columns] = self.phase.extent;
        let total = self.n_images * rows * columns;
        let (mut image, mut row, mut column) = (0, 0, 0);
        let mut done = 0;
        while done < total {
            if MR > 8 && !A::CHUNKED && column + MR <= columns {
                // SAFETY: the caller's contract; the tile lies within a row.
                let is_done = unsafe { self.side_by_side::<A, MR, NR>(arith, [image, row, column]) };
                if is_done {
                    done += MR;
                    column += MR;
                    if column == columns {
                        (row, column) = (row + 1, 0);
                        if row == rows {
                            (image, row) = (image + 1, 0);
                        }
                    }
                    continue;
                }
            }
            let valid = MR.min(total - done);
            let mut pixels = [self.base; MR];
            let mut outs = [self.out; MR];
            for i in 0..MR {
                // SAFETY: the position is one of the phase's.
                (pixels[i], outs[i]) = unsafe { self.at([image, row, column]) };
                // Past the last output, the tile repeats it.
                if i + 1 < valid || valid == MR {
                    column += 1;
                    if column == columns {
                        column = 0;
                        row += 1;
                        if row == rows {
                            row = 0;
                            image += 1;
                        }
                    }
                }
            }
            // SAFETY: the caller's contract.
            unsafe {
                let sums = tile::gather::<A, MR, NR>(arith, &pixels, self.segments, self.panel, self.start);
                self.store::<A, MR, NR>(&sums, &outs, valid);
            }
            done += valid;
        }
    }

    /// Where a position reads and writes.
    ///
    /// # Safety
    /// The position (image, row, column) is one of the phase's.
    #[inline(always)]
    unsafe fn at(&self, [image, row, column]: [usize; 3]) -> (*const f32, *mut f32) {
        // SAFETY: the caller's contract.
        unsafe {
            let [origin, pitch, step] = self.phase.source;
            let pixel = self.base.add(image * self.image_words + origin + row * pitch + column * step);
            let [origin, pitch, step] = self.phase.out;
            (pixel, self.out.add(image * self.out_image + origin + row * pitch + column * step))
        }
    }

    /// Computes a tile of pixels of one row, if they are as far apart as there is code for. Tall tiles have more pixels
    /// than processors have registers to point to them.
    ///
    /// # Safety
    /// As [`run`](Self::run); the tile's positions begin with this one and lie in its row.
    #[inline(always)]
    unsafe fn side_by_side<A: Arith, const MR: usize, const NR: usize>(&self, arith: A, position: [usize; 3]) -> bool {
        // SAFETY: the caller's contract.
        unsafe {
            let (pixel, out) = self.at(position);
            let (segments, panel, start) = (self.segments, self.panel, self.start);
            let sums = match self.phase.source[2] {
                8 => tile::gather::<A, MR, NR>(arith, &SideBySide::<8>(pixel), segments, panel, start),
                16 => tile::gather::<A, MR, NR>(arith, &SideBySide::<16>(pixel), segments, panel, start),
                32 => tile::gather::<A, MR, NR>(arith, &SideBySide::<32>(pixel), segments, panel, start),
                _ => return false,
            };
            let mut outs = [out; MR];
            for i in 0..MR {
                outs[i] = out.add(i * self.phase.out[2]);
            }
            self.store::<A, MR, NR>(&sums, &outs, MR);
            true
        }
    }

    /// Writes the first `valid` pixels of a tile.
    ///
    /// # Safety
    /// As [`run`](Self::run); the pointers are the pixels' outputs.
    #[inline(always)]
    unsafe fn store<A: Arith, const MR: usize, const NR: usize>(
        &self,
        sums: &[[A::V; NR]; MR],
        outs: &[*mut f32; MR],
        valid: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            let finish = A::splat(self.finish);
            for i in 0..MR {
                if i < valid {
                    for j in 0..NR {
                        let (to, v) = (outs[i].add(j * LANES), A::add(sums[i][j], finish));
                        if j + 1 == NR && self.lanes < LANES {
                            A::store_partial(to, v, self.lanes);
                        } else {
                            A::store(to, v);
                        }
                    }
                }
            }
        }
    }
}
