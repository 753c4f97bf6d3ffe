//! Convolution: weight gradient.

#![allow(unsafe_code, reason = "register tiles over pointers, units that write disjoint elements")]

use std::ops::Range;

use rayon::prelude::*;

use super::arith::{self, Arith, Arithmetic, LANES, Task};
use super::conv::forward_padding;
use super::gather::{Shared, panel_vectors};
use super::pack::{Padded, pair_lanes, vectors};
use super::shape::ConvShape;
use super::tile::{self, Chunk, Sums, Walk};
use super::workspace::{ThreadScratch, Workspace, grown};
use crate::kernels::Isa;

/// Words of padded images and gradient panels that one unit keeps at hand.
const BLOCK_WORDS: usize = 96 << 10;

/// Weights up to which the batch is summed in slices.
const SLICED_WEIGHTS: usize = 40_000;

/// Slices that the batch is summed in, where it is.
const SLICES: usize = 8;

/// Rows of the gradient up to which the errors are read where they lie.
const FEW_ROWS: usize = 64;

/// Words that a tile may read past the last row it needs.
const SLACK: usize = 16;

/// Images of one slice of the batch: all, or an even number of about an eighth where there are at most 40,000 weights.
pub(super) fn slice_images(shape: &ConvShape, arithmetic: Arithmetic) -> usize {
    let is_sliced = shape.weight_len() <= SLICED_WEIGHTS && !matches!(arithmetic, Arithmetic::Chunked(_));
    let images = if is_sliced { shape.n.div_ceil(SLICES) } else { shape.n };
    images.next_multiple_of(2).max(2)
}

/// Gradient of a convolution with respect to its weights.
///
/// # Shapes
/// As in [`ConvShape`]: `dy` like the output, `dw` like the weights.
///
/// # Rounding
/// Each element starts with zero and adds its products in the order of the output pixels (images, rows, columns),
/// padding as products with zero, by the rules of `arithmetic`. Where there are at most 40,000 weights and sums are not
/// chunked, the batch is cut into slices of `ceil(n / 8)` images, made even, each slice is summed by itself, and the
/// slices are added in order. Every processor and any number of threads gives the same bits.
///
/// # Panics
/// If a slice does not have the length that a checked `shape` gives it.
pub fn conv_weight_grad(
    shape: &ConvShape,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    arithmetic: Arithmetic,
    workspace: &mut Workspace,
) {
    assert_eq!(x.len(), shape.x_len(), "as many inputs as the shape has");
    assert_eq!(dy.len(), shape.y_len(), "as many outputs as the shape has");
    assert_eq!(dw.len(), shape.weight_len(), "as many weights as the shape has");
    if shape.n == 0 {
        dw.fill(0.0);
        return;
    }
    if super::depthwise::applies(shape, arithmetic) {
        super::depthwise::weight_grad(shape, x, dy, dw, workspace);
        return;
    }
    let Workspace { isa, partial, scratch, .. } = workspace;
    let images = slice_images(shape, arithmetic);
    let n_slices = shape.n.div_ceil(images);
    let is_chunked = matches!(arithmetic, Arithmetic::Chunked(_));
    let job = Job { isa: *isa, arithmetic, shape, x, dy, images };
    if n_slices == 1 && !is_chunked {
        job.run(dw, &mut [], scratch);
        return;
    }
    let len = dw.len();
    if is_chunked {
        job.run(dw, grown(partial, len), scratch);
        return;
    }
    let partial = grown(partial, len * n_slices);
    job.run(partial, &mut [], scratch);
    let (first, rest) = partial.split_at(len);
    dw.copy_from_slice(first);
    for slice in rest.chunks_exact(len) {
        dw.iter_mut().zip(slice).for_each(|(sum, &x)| *sum += x);
    }
}

/// Rows of the gradient (input channels of neighboring taps) whose inputs lie side by side.
#[derive(Clone, Copy, Debug)]
struct Band {
    /// First word of the padded image.
    source: usize,
    /// First row of the weights, in rows of output channels.
    row: usize,
    rows: usize,
}

#[derive(Clone, Copy, Debug)]
struct Job<'a> {
    isa: Isa,
    arithmetic: Arithmetic,
    shape: &'a ConvShape,
    x: &'a [f32],
    dy: &'a [f32],
    /// Images of a slice.
    images: usize,
}

/// Bands and panels of one slice.
struct Unit<'a> {
    job: Job<'a>,
    images: Range<usize>,
    /// Panel-major indices of (panel, band) pairs.
    cells: Range<usize>,
    totals: Shared,
    chunk: Shared,
    scratch: &'a ThreadScratch,
}

impl Job<'_> {
    fn padded(&self) -> Padded {
        forward_padding(self.shape)
    }

    /// Whether the taps of a kernel row make one band.
    fn merges(&self) -> bool {
        self.shape.groups == 1 && self.shape.dilations[1] == 1
    }

    fn n_bands(&self) -> usize {
        self.shape.kh * if self.merges() { 1 } else { self.shape.kw }
    }

    fn band(&self, idx: usize) -> Band {
        let shape = self.shape;
        let pitch = self.padded().extent[1] * shape.c;
        let (r, s) = if self.merges() { (idx, 0) } else { (idx / shape.kw, idx % shape.kw) };
        Band {
            source: r * shape.dilations[0] * pitch + s * shape.dilations[1] * shape.c,
            row: (r * shape.kw + s) * shape.group_c(),
            rows: if self.merges() { shape.kw * shape.c } else { shape.group_c() },
        }
    }

    /// Fills the slices' gradients in `totals`; `chunk` is scratch of one gradient for chunked sums.
    fn run(&self, totals: &mut [f32], chunk: &mut [f32], scratch: &mut ThreadScratch) {
        scratch.prepare();
        let shape = self.shape;
        let len = shape.weight_len();
        let n_slices = shape.n.div_ceil(self.images);
        assert_eq!(totals.len(), n_slices * len, "one gradient for each slice");
        let n_threads = rayon::current_num_threads();
        let n_panels = shape.groups * vectors(shape.group_k()).div_ceil(panel_vectors(self.isa, self.arithmetic));
        let n_cells = n_panels * self.n_bands();
        let n_parts = if n_threads == 1 || n_slices >= n_threads { 1 } else { n_cells.min(2 * n_threads) };
        let (totals, chunk) = (totals.as_mut_ptr(), Shared(chunk.as_mut_ptr()));
        let totals = Shared(totals);
        let scratch = &*scratch;
        let unit = |idx: usize| {
            // Whole values, not fields of the pointers' wrappers, go into the closure.
            let (totals, chunk) = (&totals, &chunk);
            let (slice, part) = (idx / n_parts, idx % n_parts);
            let task = Unit {
                job: *self,
                images: slice * self.images..((slice + 1) * self.images).min(shape.n),
                cells: part * n_cells / n_parts..(part + 1) * n_cells / n_parts,
                // SAFETY: `totals` has a gradient for each slice.
                totals: Shared(unsafe { totals.0.add(slice * len) }),
                chunk: *chunk,
                scratch,
            };
            arith::run(self.isa, self.arithmetic, task);
        };
        if n_threads == 1 || shape.macs() < 1 << 16 {
            (0..n_slices * n_parts).for_each(unit);
        } else {
            (0..n_slices * n_parts).into_par_iter().with_max_len(1).for_each(unit);
        }
    }
}

impl Unit<'_> {
    /// Images (or pairs) per block.
    fn block(&self, image_words: usize, panel_words: usize) -> usize {
        (BLOCK_WORDS / (image_words + panel_words)).max(1)
    }

    /// Copies the panel's lanes of the images' gradients.
    ///
    /// # Safety
    /// The processor features of `A`.
    #[inline(always)]
    unsafe fn pack<A: Arith>(&self, images: Range<usize>, first: usize, n_lanes: usize, width: usize, to: &mut [f32]) {
        let shape = self.job.shape;
        let (pixels, k) = (shape.p() * shape.q(), shape.k);
        let step = if A::PAIRS { 2 } else { 1 };
        for (to, image) in to.chunks_exact_mut(pixels * width).zip(images.clone().step_by(step)) {
            for (pixel, to) in to.chunks_exact_mut(width).enumerate() {
                let lanes = |image: usize| &self.job.dy[(image * pixels + pixel) * k + first..][..n_lanes];
                let (to, rest) = to.split_at_mut(n_lanes);
                rest.fill(0.0);
                if A::PAIRS {
                    let odd = if image + 1 < images.end { Some(lanes(image + 1)) } else { None };
                    // SAFETY: the caller's contract.
                    unsafe { pair_lanes::<A>(lanes(image), odd, to) };
                } else {
                    to.copy_from_slice(lanes(image));
                }
            }
        }
    }
}

impl Task for Unit<'_> {
    #[inline(always)]
    unsafe fn run<A: Arith>(self, arith: A) {
        let Job { shape, .. } = self.job;
        let padded = self.job.padded();
        let [h, w, c] = padded.image;
        let image_words = padded.words(c);
        let (pixels, lanes) = (shape.p() * shape.q(), shape.group_k());
        let per_panel = if A::WIDE { 2 } else { 1 };
        let group_panels = vectors(lanes).div_ceil(per_panel);
        let n_bands = self.job.n_bands();
        let width = per_panel.min(vectors(lanes)) * LANES;
        let step = if A::PAIRS { 2 } else { 1 };
        // Tiles of the last rows may read on; that is fine inside the copy, but not past the end of the input.
        let is_exact = self.job.band(0).rows.is_multiple_of(4);
        let source_direct = !A::PAIRS && padded.is_identity() && is_exact;
        // Copying the gradient's lanes pays where many rows read them.
        let gradient_direct = !A::PAIRS
            && shape.groups == 1
            && lanes.is_multiple_of(LANES)
            && (group_panels == 1 || shape.weight_len() / lanes <= FEW_ROWS);
        let n_block = self.block(image_words, pixels * if gradient_direct { shape.k } else { width });
        let walk_source = [image_words, shape.strides[0] * padded.extent[1] * c, shape.strides[1] * c];
        let mut scratch = self.scratch.get();
        let copy_words = if source_direct { 0 } else { image_words * n_block + SLACK };
        let scratch = grown(&mut scratch, copy_words + pixels * width * n_block);
        let (copies, panel) = scratch.split_at_mut(copy_words);
        let mut done = 0;
        let mut start = self.images.start;
        while start < self.images.end {
            let images = start..(start + n_block * step).min(self.images.end);
            let n_images = images.len().div_ceil(step);
            let source = if source_direct {
                self.job.x[start * h * w * c..].as_ptr()
            } else {
                for (to, image) in copies.chunks_exact_mut(image_words).zip(images.clone().step_by(step)) {
                    let from = |image: usize| &self.job.x[image * h * w * c..][..h * w * c];
                    if A::PAIRS {
                        let odd = (image + 1 < images.end).then(|| from(image + 1));
                        // SAFETY: the features are the caller's.
                        unsafe { padded.copy_image_pair::<A>(from(image), odd, to) };
                    } else {
                        padded.copy_f32(from(image), to);
                    }
                }
                copies.as_ptr()
            };
            let mut packed = usize::MAX;
            for cell in self.cells.clone() {
                let (panel_idx, band) = (cell / n_bands, self.job.band(cell % n_bands));
                let (group, first) = (panel_idx / group_panels, panel_idx % group_panels * per_panel * LANES);
                let n_vectors = per_panel.min(vectors(lanes - first));
                let n_lanes = (n_vectors * LANES).min(lanes - first);
                if packed != panel_idx && !gradient_direct {
                    let lane = group * lanes + first;
                    // SAFETY: the features are the caller's.
                    unsafe { self.pack::<A>(images.clone(), lane, n_lanes, n_vectors * LANES, panel) };
                    packed = panel_idx;
                }
                let (gradient, gradient_step) = if gradient_direct {
                    (self.job.dy[start * pixels * shape.k + first..].as_ptr(), shape.k)
                } else {
                    (panel.as_ptr(), n_vectors * LANES)
                };
                let column = band.row * shape.k + group * lanes + first;
                let rows = Rows {
                    walk: Walk {
                        extent: [n_images, shape.p(), shape.q()],
                        source: walk_source,
                        gradient: gradient_step,
                    },
                    // SAFETY: bands and groups lie within the padded image.
                    source: unsafe { source.add(band.source + group * shape.group_c()) },
                    gradient,
                    rows: band.rows,
                    sums: Sums {
                        // SAFETY: the band's first row lies within the gradient.
                        totals: unsafe { self.totals.0.add(column) },
                        chunk: if A::CHUNKED {
                            // SAFETY: as above.
                            unsafe { self.chunk.0.add(column) }
                        } else {
                            self.chunk.0
                        },
                        pitch: shape.k,
                        rows: 0,
                        lanes: n_lanes - (n_vectors - 1) * LANES,
                        first: start == self.images.start,
                    },
                    chunk: Chunk { done, last: images.end == self.images.end },
                };
                // SAFETY: the features are the caller's; source, gradient and sums cover the block.
                unsafe {
                    if A::WIDE {
                        if n_vectors == 2 {
                            rows.pairs_of_vectors(arith);
                        } else {
                            rows.single_vectors(arith);
                        }
                    } else {
                        rows.narrow(arith);
                    }
                }
            }
            if A::CHUNKED {
                done = (done + n_images * pixels) % arith.chunk();
            }
            start = images.end;
        }
    }
}

/// All rows of a band in one panel.
struct Rows {
    walk: Walk,
    source: *const f32,
    gradient: *const f32,
    rows: usize,
    sums: Sums,
    chunk: Chunk,
}

impl Rows {
    /// # Safety
    /// The processor features of `A`; the pointers are valid for the rows, rounded up to four.
    #[inline(always)]
    unsafe fn pairs_of_vectors<A: Arith>(&self, arith: A) {
        let mut row = 0;
        while row < self.rows {
            let left = self.rows - row;
            // SAFETY: the caller's contract.
            row += unsafe {
                match left.next_multiple_of(4) {
                    _ if left == 9 => self.tile::<A, 9, 2>(arith, row),
                    4 => self.tile::<A, 4, 2>(arith, row),
                    8 => self.tile::<A, 8, 2>(arith, row),
                    _ => self.tile::<A, 12, 2>(arith, row),
                }
            };
        }
    }

    /// # Safety
    /// As [`pairs_of_vectors`](Self::pairs_of_vectors).
    #[inline(always)]
    unsafe fn single_vectors<A: Arith>(&self, arith: A) {
        let mut row = 0;
        while row < self.rows {
            let left = self.rows - row;
            // SAFETY: the caller's contract.
            row += unsafe {
                match left.next_multiple_of(4) {
                    _ if left == 9 => self.tile::<A, 9, 1>(arith, row),
                    4 => self.tile::<A, 4, 1>(arith, row),
                    8 => self.tile::<A, 8, 1>(arith, row),
                    12 => self.tile::<A, 12, 1>(arith, row),
                    _ => self.tile::<A, 16, 1>(arith, row),
                }
            };
        }
    }

    /// # Safety
    /// As [`pairs_of_vectors`](Self::pairs_of_vectors).
    #[inline(always)]
    unsafe fn narrow<A: Arith>(&self, arith: A) {
        let mut row = 0;
        while row < self.rows {
            // SAFETY: the caller's contract.
            unsafe {
                if A::TILED {
                    row += self.tile::<A, 4, 1>(arith, row);
                } else {
                    row += self.tile::<A, 1, 1>(arith, row);
                }
            }
        }
    }

    /// # Safety
    /// As [`pairs_of_vectors`](Self::pairs_of_vectors).
    #[inline(always)]
    unsafe fn tile<A: Arith, const MR: usize, const NR: usize>(&self, arith: A, row: usize) -> usize {
        // SAFETY: the caller's contract.
        unsafe {
            let at = row * self.sums.pitch;
            let chunk = if A::CHUNKED { self.sums.chunk.add(at) } else { self.sums.chunk };
            let rows = MR.min(self.rows - row);
            let sums = Sums { totals: self.sums.totals.add(at), chunk, rows, ..self.sums };
            tile::outer::<A, MR, NR>(arith, &self.walk, self.source.add(row), self.gradient, &sums, self.chunk);
        }
        MR
    }
}
