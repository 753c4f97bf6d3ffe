//! Copies into the order that the tiles read: padded images and panels of weights.

#![allow(unsafe_code, reason = "vector instructions")]

use std::ops::Range;

use super::arith::{Arith, LANES};

/// How images are copied before the tiles read them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Padded {
    /// Rows, columns and channels of an image as it lies in memory.
    pub(super) image: [usize; 3],
    /// Rows and columns of the copy.
    pub(super) extent: [usize; 2],
    /// Where the image's first pixel goes (zeros before it; negative where rows or columns are left out).
    pub(super) origin: [isize; 2],
    /// Groups that the channels divide into; pairs of words do not cross them.
    pub(super) groups: usize,
}

impl Padded {
    /// Whether the copy is the image.
    pub(super) fn is_identity(&self) -> bool {
        self.origin == [0, 0] && self.extent == self.image[..2]
    }

    /// Words of a copied pixel.
    pub(super) fn pixel(&self, pairs: bool) -> usize {
        let channels = self.image[2];
        if pairs { self.groups * (channels / self.groups).div_ceil(2) } else { channels }
    }

    /// Words of a copied image, when a pixel has `pixel` words.
    pub(super) fn words(&self, pixel: usize) -> usize {
        self.extent[0] * self.extent[1] * pixel
    }

    /// Fills the copy's border with zeros; returns where the image's rows lie in both.
    fn border(&self, to: &mut [f32], pixel: usize) -> Rows {
        let [h, w, c] = self.image;
        let [eh, ew] = self.extent;
        let range = |origin: isize, extent: usize, size: usize| {
            let first = origin.clamp(0, extent as isize) as usize;
            let last = (origin + size as isize).clamp(first as isize, extent as isize) as usize;
            (first, last, (first as isize - origin) as usize)
        };
        let (top, bottom, skip_rows) = range(self.origin[0], eh, h);
        let (left, right, skip) = range(self.origin[1], ew, w);
        let pitch = ew * pixel;
        to[..top * pitch].fill(0.0);
        to[bottom * pitch..eh * pitch].fill(0.0);
        for to in to[top * pitch..bottom * pitch].chunks_exact_mut(pitch) {
            to[..left * pixel].fill(0.0);
            to[right * pixel..].fill(0.0);
        }
        Rows {
            n: bottom - top,
            from: [(skip_rows * w + skip) * c, w * c, (right - left) * c],
            to: [top * pitch + left * pixel, pitch, (right - left) * pixel],
        }
    }

    /// Copies an image of f32 words.
    pub(super) fn copy_f32(&self, x: &[f32], to: &mut [f32]) {
        let rows = self.border(to, self.image[2]);
        (0..rows.n).for_each(|row| to[rows.to(row)].copy_from_slice(&x[rows.from(row)]));
    }

    /// Copies an image as bfloat16 pairs of adjacent channels.
    ///
    /// # Safety
    /// The processor features of `A`.
    #[inline(always)]
    pub(super) unsafe fn copy_pairs<A: Arith>(&self, x: &[f32], to: &mut [f32]) {
        let group = self.image[2] / self.groups;
        let rows = self.border(to, self.pixel(true));
        for row in 0..rows.n {
            let (to, from) = (&mut to[rows.to(row)], &x[rows.from(row)]);
            if group.is_multiple_of(2) {
                // SAFETY: the caller's contract.
                unsafe { pair_neighbors::<A>(from, to) };
            } else {
                for (to, from) in to.chunks_exact_mut(group.div_ceil(2)).zip(from.chunks_exact(group)) {
                    // SAFETY: the caller's contract.
                    unsafe { pair_neighbors::<A>(from, to) };
                }
            }
        }
    }

    /// Copies two images (the second one may be missing) as bfloat16 pairs of the same element.
    ///
    /// # Safety
    /// The processor features of `A`.
    #[inline(always)]
    pub(super) unsafe fn copy_image_pair<A: Arith>(&self, even: &[f32], odd: Option<&[f32]>, to: &mut [f32]) {
        let rows = self.border(to, self.image[2]);
        for row in 0..rows.n {
            let odd = odd.map(|odd| &odd[rows.from(row)]);
            // SAFETY: the caller's contract.
            unsafe { pair_lanes::<A>(&even[rows.from(row)], odd, &mut to[rows.to(row)]) };
        }
    }
}

/// Where the rows of an image lie: the first element, elements to the next row, elements of a row.
struct Rows {
    n: usize,
    from: [usize; 3],
    to: [usize; 3],
}

impl Rows {
    fn from(&self, row: usize) -> Range<usize> {
        let [first, pitch, len] = self.from;
        first + row * pitch..first + row * pitch + len
    }

    fn to(&self, row: usize) -> Range<usize> {
        let [first, pitch, len] = self.to;
        first + row * pitch..first + row * pitch + len
    }
}

/// `to[i]` becomes the pair of elements `2i` and `2i + 1` (zero past the end).
///
/// # Safety
/// The processor features of `A`.
#[inline(always)]
pub(super) unsafe fn pair_neighbors<A: Arith>(from: &[f32], to: &mut [f32]) {
    assert_eq!(to.len(), from.len().div_ceil(2), "a word for two elements");
    for (to, from) in to.chunks_mut(LANES).zip(from.chunks(2 * LANES)) {
        // SAFETY: the caller's contract; the chunks have the lengths that are read and written.
        unsafe {
            if from.len() == 2 * LANES {
                let v = A::pair_neighbors(A::load(from.as_ptr()), A::load(from.as_ptr().add(LANES)));
                A::store(to.as_mut_ptr(), v);
            } else {
                A::store_partial(to.as_mut_ptr(), neighbors_partial::<A>(from), to.len());
            }
        }
    }
}

/// The pairs of fewer than 32 elements; zeros behind them.
///
/// # Safety
/// The processor features of `A`.
#[inline(always)]
unsafe fn neighbors_partial<A: Arith>(from: &[f32]) -> A::V {
    let (low, high) = from.split_at(from.len().min(LANES));
    // SAFETY: the caller's contract; both parts have the lengths that are read.
    unsafe { A::pair_neighbors(A::load_partial(low.as_ptr(), low.len()), A::load_partial(high.as_ptr(), high.len())) }
}

/// `to[i]` becomes the pair of both elements `i` (zero where there is no second one).
///
/// # Safety
/// The processor features of `A`.
#[inline(always)]
pub(super) unsafe fn pair_lanes<A: Arith>(even: &[f32], odd: Option<&[f32]>, to: &mut [f32]) {
    assert!(even.len() == to.len() && odd.is_none_or(|odd| odd.len() == to.len()), "elements of one shape");
    let n_whole = to.len() / LANES * LANES;
    // SAFETY: the caller's contract; both slices are as long as `to`.
    unsafe {
        for at in (0..n_whole).step_by(LANES) {
            let odd = odd.map_or(A::zero(), |odd| A::load(odd.as_ptr().add(at)));
            A::store(to.as_mut_ptr().add(at), A::pair_lanes(A::load(even.as_ptr().add(at)), odd));
        }
        let n = to.len() - n_whole;
        if n > 0 {
            let odd = odd.map_or(A::zero(), |odd| A::load_partial(odd.as_ptr().add(n_whole), n));
            let v = A::pair_lanes(A::load_partial(even.as_ptr().add(n_whole), n), odd);
            A::store_partial(to.as_mut_ptr().add(n_whole), v, n);
        }
    }
}

/// Fills rows of 16 words from 16 columns: word `i` of column `lane` goes to `to[i · pitch + lane]`. A column's words are
/// its f32 elements or, for arithmetic on pairs, their pairs; columns that do not exist are zeros.
///
/// # Safety
/// The processor features of `A`. `to` has room for the last row.
#[inline(always)]
pub(super) unsafe fn transpose_words<'a, A: Arith>(
    columns: impl Iterator<Item = &'a [f32]>,
    n_rows: usize,
    to: &mut [f32],
    pitch: usize,
) {
    // SAFETY: the caller's contract; slices have the lengths that are read and written.
    unsafe {
        let mut rows = [A::zero(); LANES];
        for (row, from) in rows.iter_mut().zip(columns) {
            *row = match (A::PAIRS, from.len()) {
                (true, 32..) => A::pair_neighbors(A::load(from.as_ptr()), A::load(from.as_ptr().add(LANES))),
                (true, _) => neighbors_partial::<A>(from),
                (false, 16..) => A::load(from.as_ptr()),
                (false, n) => A::load_partial(from.as_ptr(), n),
            };
        }
        A::transpose(&mut rows);
        for (to, row) in to.chunks_mut(pitch).zip(rows).take(n_rows) {
            A::store(to[..LANES].as_mut_ptr(), row);
        }
    }
}

/// Vectors that hold so many lanes.
pub(super) fn vectors(lanes: usize) -> usize {
    lanes.div_ceil(LANES)
}
