//! The two register tiles: sums of products over gathered pixels, and over pixels of a gradient.

#![allow(unsafe_code, reason = "register tiles over pointers")]
#![allow(clippy::needless_range_loop, reason = "constant bounds, which unroll into registers")]

use super::arith::{Arith, LANES};

/// A run of consecutive words of the source, at an offset from a pixel's first tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset: usize,
    pub(super) run: usize,
}

/// Where the pixels of a tile lie.
pub(super) trait Pixels {
    /// The first tap of a pixel of the tile.
    ///
    /// # Safety
    /// The tile has a pixel `i`.
    unsafe fn at(&self, i: usize) -> *const f32;
}

impl<const MR: usize> Pixels for [*const f32; MR] {
    #[inline(always)]
    unsafe fn at(&self, i: usize) -> *const f32 {
        self[i]
    }
}

/// Pixels side by side, `STEP` words apart: one register tells where all of them lie.
#[derive(Clone, Copy)]
pub(super) struct SideBySide<const STEP: usize>(pub(super) *const f32);

impl<const STEP: usize> Pixels for SideBySide<STEP> {
    #[inline(always)]
    unsafe fn at(&self, i: usize) -> *const f32 {
        // SAFETY: the caller's contract.
        unsafe { self.0.add(i * STEP) }
    }
}

/// `start + sum over the segments, ascending, of pixel word · panel row`, for `MR` pixels and `NR` vectors of lanes.
///
/// # Safety
/// The processor features of `A`. There are `MR` pixels, each of which reads every segment; `panel` holds `NR` vectors
/// for each word of all segments; `start` holds `NR` vectors.
#[inline(always)]
pub(super) unsafe fn gather<A: Arith, const MR: usize, const NR: usize>(
    arith: A,
    pixels: &impl Pixels,
    segments: &[Segment],
    panel: *const f32,
    start: *const f32,
) -> [[A::V; NR]; MR] {
    // SAFETY: the caller's contract; `panel` advances by one row for each word of the segments.
    unsafe {
        let mut totals = [[A::zero(); NR]; MR];
        for j in 0..NR {
            let v = A::load(start.add(j * LANES));
            for i in 0..MR {
                totals[i][j] = if A::CHUNKED { arith.fold(v, A::zero()) } else { v };
            }
        }
        let mut sums = if A::CHUNKED { [[A::zero(); NR]; MR] } else { totals };
        let mut left = arith.chunk();
        let mut panel = panel;
        for segment in segments {
            let mut at = segment.offset;
            let end = segment.offset + segment.run;
            while at < end {
                let stop = if A::CHUNKED { end.min(at.saturating_add(left)) } else { end };
                if A::CHUNKED {
                    left -= stop - at;
                }
                while at < stop {
                    let mut b = [A::zero(); NR];
                    for j in 0..NR {
                        b[j] = A::load(panel.add(j * LANES));
                    }
                    for i in 0..MR {
                        let a = A::splat(pixels.at(i).add(at));
                        for j in 0..NR {
                            sums[i][j] = arith.step(sums[i][j], a, b[j]);
                        }
                    }
                    panel = panel.add(NR * LANES);
                    at += 1;
                }
                if A::CHUNKED && left == 0 {
                    fold(arith, &mut totals, &mut sums);
                    left = arith.chunk();
                }
            }
        }
        if A::CHUNKED {
            if left < arith.chunk() {
                fold(arith, &mut totals, &mut sums);
            }
            totals
        } else {
            sums
        }
    }
}

/// # Safety
/// The processor features of `A`.
#[inline(always)]
unsafe fn fold<A: Arith, const MR: usize, const NR: usize>(
    arith: A,
    totals: &mut [[A::V; NR]; MR],
    sums: &mut [[A::V; NR]; MR],
) {
    for i in 0..MR {
        for j in 0..NR {
            // SAFETY: the caller's contract.
            unsafe {
                totals[i][j] = arith.fold(totals[i][j], sums[i][j]);
                sums[i][j] = A::zero();
            }
        }
    }
}

/// Where the pixels of an image block lie, for weight gradients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// Images, rows and columns of outputs.
    pub(super) extent: [usize; 3],
    /// Words of the source from one image, row and column of outputs to the next.
    pub(super) source: [usize; 3],
    /// Words of the gradient from one output to the next.
    pub(super) gradient: usize,
}

/// Which part of a chunked sum comes next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    /// Terms of the current chunk that came before.
    pub(super) done: usize,
    /// Whether no more terms follow.
    pub(super) last: bool,
}

/// Sums of a tile of the weight gradient, as they lie in memory between blocks of images.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums {
    /// Totals: `MR` rows of lanes, `pitch` apart.
    pub(super) totals: *mut f32,
    /// Sums of the current chunk, in the same order; unused where sums are not chunked.
    pub(super) chunk: *mut f32,
    pub(super) pitch: usize,
    /// Rows that exist.
    pub(super) rows: usize,
    /// Lanes of the last vector that exist.
    pub(super) lanes: usize,
    /// Whether these are the first terms.
    pub(super) first: bool,
}

impl Sums {
    /// # Safety
    /// The processor features of `A`; `from` points to the tile.
    #[inline(always)]
    unsafe fn load<A: Arith, const MR: usize, const NR: usize>(&self, from: *const f32) -> [[A::V; NR]; MR] {
        // SAFETY: the caller's contract; rows and lanes that do not exist are not touched.
        unsafe {
            let mut v = [[A::zero(); NR]; MR];
            if self.first {
                return v;
            }
            for i in 0..MR {
                if i < self.rows {
                    for j in 0..NR {
                        let from = from.add(i * self.pitch + j * LANES);
                        v[i][j] = if j + 1 == NR && self.lanes < LANES {
                            A::load_partial(from, self.lanes)
                        } else {
                            A::load(from)
                        };
                    }
                }
            }
            v
        }
    }

    /// # Safety
    /// The processor features of `A`; `to` points to the tile.
    #[inline(always)]
    unsafe fn store<A: Arith, const MR: usize, const NR: usize>(&self, to: *mut f32, v: &[[A::V; NR]; MR]) {
        // SAFETY: the caller's contract; rows and lanes that do not exist are not touched.
        unsafe {
            for i in 0..MR {
                if i < self.rows {
                    for j in 0..NR {
                        let to = to.add(i * self.pitch + j * LANES);
                        if j + 1 == NR && self.lanes < LANES {
                            A::store_partial(to, v[i][j], self.lanes);
                        } else {
                            A::store(to, v[i][j]);
                        }
                    }
                }
            }
        }
    }
}

/// `sums[i][lane] += sum over images, rows and columns, ascending, of source word i · gradient lane`.
///
/// # Safety
/// The processor features of `A`. `source` points to `MR` readable words at every pixel of the walk; `gradient` to `NR`
/// vectors for each of them, in order; `sums` is valid.
#[inline(always)]
pub(super) unsafe fn outer<A: Arith, const MR: usize, const NR: usize>(
    arith: A,
    walk: &Walk,
    source: *const f32,
    gradient: *const f32,
    sums: &Sums,
    chunk: Chunk,
) {
    // SAFETY: the caller's contract; `gradient` advances by one row for each pixel.
    unsafe {
        let mut totals = [[A::zero(); NR]; MR];
        let mut acc = if A::CHUNKED {
            totals = sums.load::<A, MR, NR>(sums.totals);
            sums.load::<A, MR, NR>(sums.chunk)
        } else {
            sums.load::<A, MR, NR>(sums.totals)
        };
        let mut left = arith.chunk() - chunk.done;
        let mut b_at = gradient;
        for image in 0..walk.extent[0] {
            for row in 0..walk.extent[1] {
                let mut a_at = source.add(image * walk.source[0] + row * walk.source[1]);
                let mut columns = walk.extent[2];
                while columns > 0 {
                    let n = if A::CHUNKED { columns.min(left) } else { columns };
                    for _ in 0..n {
                        let mut b = [A::zero(); NR];
                        for j in 0..NR {
                            b[j] = A::load(b_at.add(j * LANES));
                        }
                        for i in 0..MR {
                            let a = A::splat(a_at.add(i));
                            for j in 0..NR {
                                acc[i][j] = arith.step(acc[i][j], a, b[j]);
                            }
                        }
                        a_at = a_at.add(walk.source[2]);
                        b_at = b_at.wrapping_add(walk.gradient);
                    }
                    columns -= n;
                    if A::CHUNKED {
                        left -= n;
                        if left == 0 {
                            fold(arith, &mut totals, &mut acc);
                            left = arith.chunk();
                        }
                    }
                }
            }
        }
        if A::CHUNKED {
            if chunk.last && left < arith.chunk() {
                fold(arith, &mut totals, &mut acc);
            }
            sums.store::<A, MR, NR>(sums.totals, &totals);
            sums.store::<A, MR, NR>(sums.chunk, &acc);
        } else {
            sums.store::<A, MR, NR>(sums.totals, &acc);
        }
    }
}
