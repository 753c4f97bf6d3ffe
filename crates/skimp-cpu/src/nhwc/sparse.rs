//! Input gradient that skips zero errors.
//!
//! The errors of an image become one list of (word, value) of those that are not zero, with the beginning of every
//! pixel. An output pixel keeps its channels in registers and runs over the stretches of the list that its taps see,
//! adding a row of weights for each entry. Terms are added in the same order as by the dense kernel, and leaving out a
//! product with zero changes at most the sign of a zero, which the final addition of +0 settles in both: the results
//! have the same bits as long as the weights are finite.

#![allow(unsafe_code, reason = "register tiles over pointers, units that write disjoint elements")]
#![allow(clippy::needless_range_loop, reason = "constant bounds, which unroll into registers")]

use rayon::prelude::*;

use super::arith::{self, Arith, Arithmetic, LANES, Task};
use super::gather::{Phase, Segment, Shared};
use super::pack::{Padded, vectors};
use super::shape::ConvShape;
use super::workspace::{ThreadScratch, grown};
use crate::kernels::Isa;

/// Words of weights that a pass over the pixels uses: they should stay in a first-level cache.
const PASS_WORDS: usize = 12 << 10;

/// Words of a pixel that a stretch of the list covers at least, where a pixel's weights fill the cache several times.
const GRANULE: usize = 128;

/// Input pixels from which lists can pay.
const PIXELS: usize = 64;

/// Elements that the density is estimated from: this many runs of this length, evenly spaced.
const SAMPLE: [usize; 2] = [64, 64];

/// Share of errors that are not zero, from an evenly spaced sample.
fn density(dy: &[f32]) -> f32 {
    let [runs, len] = SAMPLE;
    let step = (dy.len() / runs).max(len);
    let (mut seen, mut set) = (0, 0);
    for start in (0..dy.len()).step_by(step) {
        let run = &dy[start..dy.len().min(start + len)];
        seen += run.len();
        set += run.iter().filter(|&&x| x != 0.0).count();
    }
    set as f32 / seen.max(1) as f32
}

/// Whether skipping zeros is expected to be faster: a rule of the shape and the density of the errors alone.
///
/// The limits are a little below the densities at which the bench `nhwc` with `--sparse` found both kernels to take the
/// same time, on AVX-512 (Zen 5): about 0.16 with 32 errors to a pixel and 0.29 with 64, 0.42, and 0.45. A vector of 16
/// input channels never gained.
pub(super) fn pays(shape: &ConvShape, isa: Isa, arithmetic: Arithmetic, dy: &[f32]) -> bool {
    // A list serves one image; few pixels do not pay for reading the weights.
    let is_small = shape.k <= LANES || shape.h * shape.w < PIXELS;
    if isa == Isa::Portable || arithmetic != Arithmetic::F32 || shape.groups > 1 || is_small {
        return false;
    }
    let limit = match vectors(shape.c) {
        0..=1 => 0.0,
        2 if shape.k < 4 * LANES => 0.13,
        2 => 0.25,
        3..8 => 0.37,
        _ => 0.4,
    };
    density(dy) < limit
}

/// Vectors in a panel of weights.
pub(super) fn panel_vectors(isa: Isa, c: usize) -> usize {
    match vectors(c) {
        _ if isa == Isa::Portable => 1,
        1 => 1,
        2 => 2,
        3..8 => 4,
        _ => 8,
    }
}

/// The input gradient by lists of errors.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) isa: Isa,
    pub(super) n: usize,
    pub(super) c: usize,
    pub(super) dy: &'a [f32],
    pub(super) padded: Padded,
    pub(super) out_image: usize,
    pub(super) phases: &'a [Phase],
    pub(super) segments: &'a [Segment],
    pub(super) packed: &'a [f32],
}

impl Job<'_> {
    pub(super) fn run(&self, dx: &mut [f32], scratch: &mut ThreadScratch) {
        assert_eq!(dx.len(), self.n * self.out_image, "as many inputs as the shape has");
        let [p, q, k] = self.padded.image;
        assert_eq!(self.dy.len(), self.n * p * q * k, "as many outputs as the shape has");
        scratch.prepare();
        let (out, scratch) = (Shared(dx.as_mut_ptr()), &*scratch);
        (0..self.n).into_par_iter().with_max_len(1).for_each(|image| {
            let unit = Unit { job: self, image, out, scratch };
            arith::run(self.isa, Arithmetic::F32, unit);
        });
    }

    /// Words that one entry of `starts` covers.
    fn granule(&self) -> usize {
        let k = self.padded.image[2];
        if k > GRANULE && k.is_multiple_of(GRANULE) { GRANULE } else { k }
    }
}

/// One image.
struct Unit<'a> {
    job: &'a Job<'a>,
    image: usize,
    out: Shared,
    scratch: &'a ThreadScratch,
}

/// The errors of an image that are not zero.
#[derive(Clone, Copy)]
struct List {
    /// Words of the padded image, ascending.
    words: *const u32,
    values: *const f32,
    /// For each granule of the padded image, and past the last, its first entry.
    starts: *const u32,
    granule: usize,
}

impl Task for Unit<'_> {
    #[inline(always)]
    unsafe fn run<A: Arith>(self, arith: A) {
        let job = self.job;
        let [p, q, k] = job.padded.image;
        let granule = job.granule();
        let n_granules = job.padded.words(k) / granule;
        let room = p * q * k + LANES;
        let mut scratch = self.scratch.get();
        let (words, rest) = grown(&mut scratch, 2 * room + n_granules + 1).split_at_mut(room);
        let (values, starts) = rest.split_at_mut(room);
        let (words, values, starts) = (words.as_mut_ptr().cast(), values.as_mut_ptr(), starts.as_mut_ptr().cast());
        let list = List { words, values, starts, granule };
        let dy = &job.dy[self.image * p * q * k..][..p * q * k];
        // SAFETY: there is room for every error and a vector more, and for every start; u32 is as large as f32.
        unsafe { fill(job, dy, words, values, starts, granule) };
        let per_panel = panel_vectors(job.isa, job.c);
        for phase in job.phases {
            for first in (0..vectors(job.c)).step_by(per_panel) {
                let n_vectors = per_panel.min(vectors(job.c) - first);
                let panel = Panel {
                    job,
                    phase,
                    list,
                    weights: job.packed[phase.packed + first * LANES * phase.depth..]
                        [..n_vectors * LANES * phase.depth]
                        .as_ptr(),
                    // SAFETY: the image and lane are within the output.
                    out: unsafe { self.out.0.add(self.image * job.out_image + first * LANES) },
                    lanes: (job.c - first * LANES).min(n_vectors * LANES) - (n_vectors - 1) * LANES,
                };
                // SAFETY: the features are the caller's; lists and weights belong to the phase.
                unsafe {
                    if A::TILED {
                        match n_vectors {
                            1 => panel.run::<A, 4, 1>(arith),
                            2 => panel.run::<A, 4, 2>(arith),
                            3 => panel.run::<A, 2, 3>(arith),
                            4 => panel.run::<A, 1, 4>(arith),
                            5 => panel.run::<A, 1, 5>(arith),
                            6 => panel.run::<A, 1, 6>(arith),
                            7 => panel.run::<A, 1, 7>(arith),
                            _ => panel.run::<A, 1, 8>(arith),
                        }
                    } else {
                        panel.run::<A, 1, 1>(arith);
                    }
                }
            }
        }
    }
}

/// Lists the errors of an image.
///
/// # Safety
/// `words` and `values` have room for all errors and 16 more, `starts` for each granule of the padded image and one more.
#[inline(always)]
unsafe fn fill(job: &Job<'_>, dy: &[f32], words: *mut u32, values: *mut f32, starts: *mut u32, granule: usize) {
    let [p, q, k] = job.padded.image;
    let [rows, columns] = job.padded.extent;
    let per_pixel = k / granule;
    let mut n = 0;
    for row in 0..rows {
        for column in 0..columns {
            let pixel = row * columns + column;
            let (y, x) = (row as isize - job.padded.origin[0], column as isize - job.padded.origin[1]);
            let is_inside = (0..p as isize).contains(&y) && (0..q as isize).contains(&x);
            for part in 0..per_pixel {
                // SAFETY: the caller's contract.
                unsafe { *starts.add(pixel * per_pixel + part) = n as u32 };
                if is_inside {
                    let from = &dy[(y as usize * q + x as usize) * k + part * granule..][..granule];
                    let word = (pixel * k + part * granule) as u32;
                    // SAFETY: the caller's contract; no more entries than errors come before.
                    unsafe { n += compress(job.isa, from, word, words.add(n), values.add(n)) };
                }
            }
        }
    }
    // SAFETY: the caller's contract.
    unsafe { *starts.add(rows * columns * per_pixel) = n as u32 };
}

/// Writes what is not zero, with its word; returns how many there are.
///
/// # Safety
/// `words` and `values` have room for all of `from` and 16 more.
#[inline(always)]
unsafe fn compress(isa: Isa, from: &[f32], word: u32, words: *mut u32, values: *mut f32) -> usize {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512 {
        // SAFETY: `Isa` comes from detection; the caller's contract.
        return unsafe { compress_avx512(from, word, words, values) };
    }
    let _ = isa;
    let mut n = 0;
    for (i, &x) in from.iter().enumerate() {
        // SAFETY: the caller's contract; `n` is at most `i`.
        unsafe {
            *words.add(n) = word + i as u32;
            *values.add(n) = x;
        }
        n += usize::from(x != 0.0);
    }
    n
}

/// # Safety
/// Needs AVX-512 F; as [`compress`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,popcnt")]
unsafe fn compress_avx512(from: &[f32], word: u32, words: *mut u32, values: *mut f32) -> usize {
    use std::arch::x86_64::{
        _CMP_NEQ_UQ, _mm512_add_epi32, _mm512_cmp_ps_mask, _mm512_maskz_compress_epi32, _mm512_maskz_compress_ps,
        _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setr_epi32, _mm512_setzero_ps, _mm512_storeu_ps,
        _mm512_storeu_si512,
    };
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let mut n = 0;
    for (i, chunk) in from.chunks(LANES).enumerate() {
        let present = ((1_u32 << chunk.len()) - 1) as u16;
        // SAFETY: only lanes of the chunk are read; stores go at most 16 words past the entries.
        unsafe {
            let x = _mm512_maskz_loadu_ps(present, chunk.as_ptr());
            let set = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(x, _mm512_setzero_ps());
            let at = _mm512_add_epi32(lanes, _mm512_set1_epi32((word as usize + i * LANES) as i32));
            _mm512_storeu_si512(words.add(n).cast(), _mm512_maskz_compress_epi32(set, at));
            _mm512_storeu_ps(values.add(n), _mm512_maskz_compress_ps(set, x));
            n += set.count_ones() as usize;
        }
    }
    n
}

/// One panel of a phase, for one image.
struct Panel<'a> {
    job: &'a Job<'a>,
    phase: &'a Phase,
    list: List,
    weights: *const f32,
    out: *mut f32,
    /// Lanes of the last vector that exist.
    lanes: usize,
}

/// Consecutive granules of a segment that one pass covers.
#[derive(Clone, Copy, Default)]
struct Stretch {
    /// First granule, relative to the pixel's first tap.
    offset: usize,
    granules: usize,
    /// Rows of weights before its own.
    depth: usize,
}

/// Stretches of one pass at most.
const STRETCHES: usize = 32;

impl Panel<'_> {
    /// Cuts the segments into passes whose weights fit the cache, and runs over all pixels in each.
    ///
    /// # Safety
    /// The processor features of `A`; the pointers are valid for the phase.
    #[inline(always)]
    unsafe fn run<A: Arith, const P: usize, const NV: usize>(&self, arith: A) {
        let segments = &self.job.segments[self.phase.segments.clone()];
        let granule = self.list.granule;
        let limit = (PASS_WORDS / (NV * LANES) / granule).max(1);
        let mut stretches = [Stretch::default(); STRETCHES];
        let (mut n, mut taken, mut depth) = (0, 0, 0);
        let mut is_first = true;
        let (mut segment, mut at) = (0, 0);
        while segment < segments.len() {
            let Segment { offset, run } = segments[segment];
            let granules = (run / granule - at).min(limit - taken);
            if granules > 0 && n < STRETCHES {
                stretches[n] = Stretch { offset: offset / granule + at, granules, depth };
                n += 1;
                taken += granules;
                depth += granules * granule;
                at += granules;
                if at == run / granule {
                    segment += 1;
                    at = 0;
                }
            } else {
                // SAFETY: the caller's contract.
                unsafe { self.pass::<A, P, NV>(arith, &stretches[..n], is_first, false) };
                (n, taken, is_first) = (0, 0, false);
            }
        }
        // SAFETY: the caller's contract.
        unsafe { self.pass::<A, P, NV>(arith, &stretches[..n], is_first, true) };
    }

    /// Adds the terms of some stretches to all pixels.
    ///
    /// # Safety
    /// As [`run`](Self::run).
    #[inline(always)]
    unsafe fn pass<A: Arith, const P: usize, const NV: usize>(
        &self,
        arith: A,
        stretches: &[Stretch],
        is_first: bool,
        is_last: bool,
    ) {
        let [rows, columns] = self.phase.extent;
        let total = rows * columns;
        let source = self.phase.source.map(|words| words / self.list.granule);
        let (mut row, mut column) = (0, 0);
        // Adding −0 changes nothing.
        let finish = if is_last { 0.0 } else { -0.0 };
        let mut done = 0;
        while done < total {
            let valid = P.min(total - done);
            let mut sources = [0; P];
            let mut outs = [self.out; P];
            for i in 0..P {
                sources[i] = source[0] + row * source[1] + column * source[2];
                // SAFETY: the pixel is one of the phase's.
                outs[i] =
                    unsafe { self.out.add(self.phase.out[0] + row * self.phase.out[1] + column * self.phase.out[2]) };
                // Past the last pixel, the tile repeats it.
                if i + 1 < valid || valid == P {
                    column += 1;
                    if column == columns {
                        (row, column) = (row + 1, 0);
                    }
                }
            }
            // SAFETY: the caller's contract.
            unsafe {
                let mut sums = [[A::zero(); NV]; P];
                if !is_first {
                    for i in 0..P {
                        for j in 0..NV {
                            let from = outs[i].add(j * LANES);
                            sums[i][j] = if j + 1 == NV && self.lanes < LANES {
                                A::load_partial(from, self.lanes)
                            } else {
                                A::load(from)
                            };
                        }
                    }
                }
                for stretch in stretches {
                    self.add(arith, stretch, &sources, &mut sums);
                }
                let finish = A::splat(&finish);
                for i in 0..P {
                    if i < valid {
                        for j in 0..NV {
                            let (to, v) = (outs[i].add(j * LANES), A::add(sums[i][j], finish));
                            if j + 1 == NV && self.lanes < LANES {
                                A::store_partial(to, v, self.lanes);
                            } else {
                                A::store(to, v);
                            }
                        }
                    }
                }
            }
            done += valid;
        }
    }

    /// Adds the terms of a stretch to the pixels of a tile.
    ///
    /// # Safety
    /// As [`run`](Self::run).
    #[inline(always)]
    unsafe fn add<A: Arith, const P: usize, const NV: usize>(
        &self,
        arith: A,
        stretch: &Stretch,
        sources: &[usize; P],
        sums: &mut [[A::V; NV]; P],
    ) {
        let List { words, values, starts, granule } = self.list;
        // SAFETY: a pixel's stretch lies within the padded image, its entries are in the list, and their words number
        // rows of the stretch's weights.
        unsafe {
            let (mut first, mut end, mut weights) = ([0; P], [0; P], [self.weights; P]);
            let mut common = usize::MAX;
            for i in 0..P {
                let at = sources[i] + stretch.offset;
                first[i] = *starts.add(at) as usize;
                end[i] = *starts.add(at + stretch.granules) as usize;
                // Rows of weights lie after the stretch's first word as words of the list do.
                weights[i] =
                    self.weights.wrapping_add(stretch.depth * NV * LANES).wrapping_sub(at * granule * NV * LANES);
                common = common.min(end[i] - first[i]);
            }
            let term = |entry: usize, weights: *const f32, sums: &mut [A::V; NV]| {
                let weights = weights.wrapping_add(*words.add(entry) as usize * NV * LANES);
                let a = A::splat(values.add(entry));
                for j in 0..NV {
                    sums[j] = arith.step(sums[j], a, A::load(weights.add(j * LANES)));
                }
            };
            for n in 0..common {
                for i in 0..P {
                    term(first[i] + n, weights[i], &mut sums[i]);
                }
            }
            for i in 0..P {
                for entry in first[i] + common..end[i] {
                    term(entry, weights[i], &mut sums[i]);
                }
            }
        }
    }
}
