//! Products of row-major matrices, one or many at a time.
//!
//! The right operand is packed into panels of 32 columns, a few rows of the left one into one panel; a tile of up to 14 rows
//! and 32 columns of the result stays in registers while the whole sum runs over it.
//!
//! # Determinism
//! Every element is one chain of fused multiply-additions over k, from 0, whatever the tile, task or thread.

#![allow(unsafe_code, reason = "vector kernels over pointers whose bounds are checked once per tile")]
#![allow(clippy::needless_range_loop, reason = "constant bounds, which unroll into registers")]

use std::cell::RefCell;

#[cfg(target_arch = "x86_64")]
use super::lanes::Lanes;
#[cfg(target_arch = "x86_64")]
use super::lanes::x86::{Avx2, Avx512};
use super::program::{Epilogue, Load, NO_REGISTERS};
use super::transpose::{SIDE, to_columns};
use super::{Isa, LANES, multiply_add};
use rayon::prelude::*;

/// Columns in a panel.
const PANEL: usize = 2 * LANES;

/// Rows of a tile.
fn max_rows(isa: Isa) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => 14,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => 3,
        Isa::Portable => 4,
    }
}

/// A matrix `[k][n]` in panels of 32 columns, each `[k][32]`, filled up with zeros.
#[derive(Debug)]
pub(crate) struct Panels {
    k: usize,
    n: usize,
    elements: Vec<f32>,
}

/// Where the elements of a matrix lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strides {
    /// From one row to the next.
    pub(crate) row: usize,
    /// From one column to the next.
    pub(crate) column: usize,
}

impl Panels {
    /// Packs a matrix.
    pub(crate) fn new([k, n]: [usize; 2], elements: &[f32], strides: Strides) -> Self {
        let mut panels = Self { k, n, elements: Vec::new() };
        panels.fill(elements, strides);
        panels
    }

    fn fill(&mut self, elements: &[f32], strides: Strides) {
        let (k, n) = (self.k, self.n);
        self.elements.clear();
        self.elements.resize(k * n.next_multiple_of(PANEL), 0.0);
        for (panel, to) in self.elements.chunks_exact_mut((k * PANEL).max(1)).enumerate() {
            let first = panel * PANEL;
            let width = PANEL.min(n - first);
            if strides.column == 1 {
                for (row, to) in to.chunks_exact_mut(PANEL).enumerate() {
                    to[..width].copy_from_slice(&elements[row * strides.row + first..][..width]);
                }
            } else {
                for column in 0..width {
                    let start = (first + column) * strides.column;
                    let source = elements[start..].iter().step_by(strides.row.max(1));
                    for (to, &x) in to.iter_mut().skip(column).step_by(PANEL).zip(source) {
                        *to = x;
                    }
                }
            }
        }
    }
}

/// The right operands of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Right<'a> {
    /// One matrix for all, packed.
    Packed(&'a Panels),
    /// Elements, the first one of each matrix, and how they lie.
    Elements(&'a [f32], &'a [usize], Strides),
}

/// What a product reads and writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product<'a> {
    /// Rows, depth and columns.
    pub(crate) extents: [usize; 3],
    /// Elements of the left operands, rows of `k` elements.
    pub(crate) a: &'a [f32],
    /// The first element of each left operand.
    pub(crate) starts: &'a [usize],
    pub(crate) b: Right<'a>,
}

thread_local! {
    /// The left panel of the tile that a thread works on.
    static LEFT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    /// The right panels of a batch.
    static RIGHT: RefCell<Vec<Panels>> = const { RefCell::new(Vec::new()) };
}

/// `out = epilogue(a · b)` for every matrix of the batch, one after another in `out`. The epilogue runs on whole rows.
pub(crate) fn multiply(isa: Isa, product: &Product<'_>, epilogue: Epilogue<'_>, out: &mut [f32], parallel: bool) {
    let [m, k, n] = product.extents;
    let n_rows = product.starts.len() * m;
    if n_rows * n == 0 {
        return;
    }
    let out = &mut out[..n_rows * n];
    match product.b {
        Right::Packed(panels) => {
            assert!(panels.k == k && panels.n == n, "panels of this matrix");
            // One matrix after another with the same right operand is one tall matrix.
            let is_tall = product.starts.iter().enumerate().all(|(i, &start)| start == i * m * k);
            let rows = if is_tall { n_rows } else { m };
            run(isa, product, (rows, &|_| panels), epilogue, out, parallel);
        }
        Right::Elements(elements, starts, strides) => {
            // Taken, as this thread may come here again while it waits for others.
            let mut scratch = RIGHT.take();
            assert!(starts.len() == product.starts.len(), "as many right operands as left ones");
            let mut used = 0;
            let mut which = Vec::with_capacity(starts.len());
            for (idx, &start) in starts.iter().enumerate() {
                if let Some(same) = starts[..idx].iter().position(|&other| other == start) {
                    which.push(which[same]);
                    continue;
                }
                if scratch.len() == used {
                    scratch.push(Panels { k, n, elements: Vec::new() });
                }
                (scratch[used].k, scratch[used].n) = (k, n);
                scratch[used].fill(&elements[start..], strides);
                which.push(used);
                used += 1;
            }
            run(isa, product, (m, &|idx| &scratch[which[idx]]), epilogue, out, parallel);
            RIGHT.set(scratch);
        }
    }
}

/// Runs the tiles; `rows` of the output belong to one right operand.
fn run<'a>(
    isa: Isa,
    product: &Product<'_>,
    (rows, right): (usize, &(dyn Fn(usize) -> &'a Panels + Sync)),
    epilogue: Epilogue<'_>,
    out: &mut [f32],
    parallel: bool,
) {
    let [_, k, n] = product.extents;
    // Tiles of nearly the same height.
    let n_tiles = rows.div_ceil(max_rows(isa));
    let mut tiles = Vec::new();
    let mut rest = out;
    let n_matrices = rest.len() / (rows * n);
    for (matrix, tile) in (0..n_matrices).flat_map(|matrix| (0..n_tiles).map(move |tile| (matrix, tile))) {
        let (first, end) = (tile * rows / n_tiles, (tile + 1) * rows / n_tiles);
        let (y, tail) = rest.split_at_mut((end - first) * n);
        rest = tail;
        let start = product.starts[matrix] + first * k;
        tiles.push((&product.a[start..start + (end - first) * k], matrix, matrix * rows + first, y));
    }
    let run = |(a, matrix, first, y): (&[f32], usize, usize, &mut [f32])| {
        let height = y.len() / n;
        LEFT.with_borrow_mut(|left| {
            if left.len() < k * height {
                left.resize(k * height, 0.0);
            }
            let left = &mut left[..k * height];
            pack(isa, a, k, height, left);
            tile(isa, left, right(matrix), height, y);
        });
        finish_rows(isa, epilogue, first, n, y);
    };
    if parallel {
        tiles.into_par_iter().for_each(run);
    } else {
        tiles.into_iter().for_each(run);
    }
}

/// Turns `height` rows of `k` elements: of each column the elements lie together.
fn pack(isa: Isa, a: &[f32], k: usize, height: usize, left: &mut [f32]) {
    if height >= SIDE {
        // The last rows in a whole piece, too, some of them for the second time.
        for row in (0..height - SIDE).step_by(SIDE).chain([height - SIDE]) {
            to_columns(isa, &a[row * k..], k, &mut left[row..], height, k);
        }
        return;
    }
    const WIDTH: usize = 16;
    for (row, a) in a.chunks_exact(k.max(1)).enumerate() {
        let mut parts = a.chunks_exact(WIDTH);
        for (part, to) in (&mut parts).zip(left.chunks_exact_mut(WIDTH * height)) {
            for (i, &a) in part.iter().enumerate() {
                to[i * height + row] = a;
            }
        }
        let rest = parts.remainder();
        let first = k - rest.len();
        for (i, &a) in rest.iter().enumerate() {
            left[(first + i) * height + row] = a;
        }
    }
}

/// Runs an epilogue on whole rows, the first one number `first`.
fn finish_rows(isa: Isa, epilogue: Epilogue<'_>, first: usize, n: usize, y: &mut [f32]) {
    let Some((program, operands)) = epilogue else { return };
    let mut registers = NO_REGISTERS;
    program.row(isa, &mut registers, y, [0, first * n], &|load| match *load {
        Load::Image(operand) => &operands[operand].0[first * n..],
        Load::Pixel(_) | Load::Channel(_) | Load::Repeat(_) => &[],
    });
}

/// One tile of `height` rows over all columns; `left` is `[k][height]`.
fn tile(isa: Isa, left: &[f32], right: &Panels, height: usize, y: &mut [f32]) {
    let (k, n) = (right.k, right.n);
    assert!(left.len() == k * height && y.len() == height * n, "operands of this tile");
    for first in (0..n).step_by(PANEL) {
        let panel = &right.elements[first * k..][..PANEL * k];
        let width = PANEL.min(n - first);
        if width == PANEL {
            rows(isa, left, panel, height, (&mut y[first..], n));
            continue;
        }
        // Whole vectors are written beside the result first.
        let mut partial = [0.0; 14 * PANEL];
        rows(isa, left, panel, height, (&mut partial, PANEL));
        for (y, partial) in y.chunks_exact_mut(n).zip(partial.chunks_exact(PANEL)) {
            y[first..].copy_from_slice(&partial[..width]);
        }
    }
}

/// One tile over the columns of a panel; its rows lie `stride` apart in `to`.
fn rows(isa: Isa, left: &[f32], panel: &[f32], height: usize, (to, stride): (&mut [f32], usize)) {
    assert!(left.len() * PANEL == panel.len() * height, "operands of the same depth");
    assert!(to.len() >= (height - 1) * stride + PANEL, "room for whole vectors");
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `detect` found the processor feature, and the assertions above hold.
        Isa::Avx512 => unsafe { avx512(left, panel, height, (to, stride)) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `detect` found the processor features, and the assertions above hold.
        Isa::Avx2 => unsafe { avx2(left, panel, height, (to, stride)) },
        Isa::Portable => portable(left, panel, height, (to, stride)),
    }
}

/// # Safety
/// Needs AVX-512 F, at most 14 rows, `left` of `[k][height]`, `panel` of `[k][32]`, room for 32 elements in each row of `to`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(left: &[f32], panel: &[f32], height: usize, to: (&mut [f32], usize)) {
    macro_rules! by_height {
        ($($rows:literal)*) => {
            match height {
                // SAFETY: the caller's contract.
                $($rows => unsafe { compute::<Avx512, $rows>(left, panel, to) },)*
                _ => unreachable!("tiles are at most as high as the registers allow"),
            }
        };
    }
    by_height!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}

/// # Safety
/// Needs AVX2 and FMA, at most 3 rows, and the rest as [`avx512`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(left: &[f32], panel: &[f32], height: usize, to: (&mut [f32], usize)) {
    // SAFETY: the caller's contract.
    unsafe {
        match height {
            1 => compute::<Avx2, 1>(left, panel, to),
            2 => compute::<Avx2, 2>(left, panel, to),
            _ => compute::<Avx2, 3>(left, panel, to),
        }
    }
}

/// # Safety
/// Needs the processor features of `V`; operands as for [`avx512`], of `T` rows.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn compute<V: Lanes, const T: usize>(left: &[f32], panel: &[f32], (to, stride): (&mut [f32], usize)) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut sums = [[V::splat(0.0); T]; 2];
        let (mut a, mut b) = (left.as_ptr(), panel.as_ptr());
        for _ in 0..panel.len() / PANEL {
            let w = [V::load(b), V::load(b.add(LANES))];
            for t in 0..T {
                let x = V::splat(*a.add(t));
                sums[0][t] = sums[0][t].fused(w[0], x);
                sums[1][t] = sums[1][t].fused(w[1], x);
            }
            a = a.add(T);
            b = b.add(PANEL);
        }
        for t in 0..T {
            sums[0][t].store(to.as_mut_ptr().add(t * stride));
            sums[1][t].store(to.as_mut_ptr().add(t * stride + LANES));
        }
    }
}

/// The safe twin.
fn portable(left: &[f32], panel: &[f32], height: usize, (to, stride): (&mut [f32], usize)) {
    for row in 0..height {
        let y = &mut to[row * stride..][..PANEL];
        y.fill(0.0);
        for (a, b) in left.iter().skip(row).step_by(height).zip(panel.chunks_exact(PANEL)) {
            for (y, &b) in y.iter_mut().zip(b) {
                *y = multiply_add(b, *a, *y);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::noise;
    use super::*;

    #[test]
    fn every_kernel_matches_the_definition() {
        for [m, k, n] in [[1, 1, 1], [13, 7, 33], [14, 64, 32], [15, 5, 31], [29, 3, 70], [197, 20, 48], [2, 0, 5]] {
            for batch in [1, 3] {
                let (a, b) = (noise(batch * m * k, 1), noise(batch * k * n, 2));
                let starts: Vec<usize> = (0..batch).map(|i| i * m * k).collect();
                for turned in [false, true] {
                    let strides = if turned { Strides { row: 1, column: k } } else { Strides { row: n, column: 1 } };
                    for (isa, shared) in Isa::available().into_iter().flat_map(|isa| [(isa, false), (isa, true)]) {
                        let panels = Panels::new([k, n], &b, strides);
                        let others: Vec<usize> = (0..batch).map(|i| i * k * n).collect();
                        let right = if shared { Right::Packed(&panels) } else { Right::Elements(&b, &others, strides) };
                        let product = Product { extents: [m, k, n], a: &a, starts: &starts, b: right };
                        let mut out = vec![f32::NAN; batch * m * n];
                        multiply(isa, &product, None, &mut out, false);
                        let mut again = vec![f32::NAN; out.len()];
                        multiply(isa, &product, None, &mut again, true);
                        assert_eq!(out, again);
                        for (i, y) in out.iter().enumerate() {
                            let (matrix, row, column) = (i / (m * n), i / n % m, i % n);
                            let b = &b[if shared { 0 } else { others[matrix] }..];
                            let term = |l: usize| {
                                f64::from(a[starts[matrix] + row * k + l])
                                    * f64::from(b[l * strides.row + column * strides.column])
                            };
                            let right: f64 = (0..k).map(term).sum();
                            assert!(
                                (f64::from(*y) - right).abs() < 1e-5,
                                "{isa:?}, {m} x {k} x {n}, {turned}, {shared}"
                            );
                        }
                    }
                }
            }
        }
    }
}
