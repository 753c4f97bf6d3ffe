//! The transforms of tiles and the products of matrices, over unchecked pointers.

#![allow(unsafe_code, reason = "vector kernels over pointers whose bounds are checked once per image")]
#![allow(clippy::needless_range_loop, reason = "constant bounds, which unroll into registers")]

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::super::lanes::x86::{Avx2, Avx512};
use super::super::lanes::{Lanes, Plain};
use super::super::program::{Epilogue, NO_REGISTERS, finish};
use super::super::{Bounds, Isa, LANES, Planes};
use super::{Algorithm, ConvShape, PackedWinograd, Residual, transform};

/// Output blocks that a product computes together.
pub(super) fn max_blocks(isa: Isa) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => 2,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => 1,
        Isa::Portable => 1,
    }
}

/// Where transformed tiles lie in scratch memory: `[place][block][tile][16]`, of the input and then of the output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    n_places: usize,
    /// Elements from one block to the next.
    plane: usize,
    /// Elements from one place to the next, of the input and of the output.
    input: usize,
    output: usize,
}

impl Places {
    pub(super) fn new(algorithm: Algorithm, n_tiles: usize, shape: &ConvShape) -> Self {
        let plane = n_tiles * LANES;
        // An odd number of vectors, so that the places of one tile do not share a set of the cache.
        let stride = |channels: usize| ((channels.div_ceil(LANES) * n_tiles) | 1) * LANES;
        let (input, output) = (stride(shape.in_channels), stride(shape.out_channels));
        Self { n_places: algorithm.places(), plane, input, output }
    }

    /// Elements of input and output.
    pub(super) fn len(&self) -> usize {
        self.n_places * (self.input + self.output)
    }
}

/// Memory that several tasks write, each its own elements.
#[derive(Clone, Copy)]
struct Shared<'a> {
    start: *mut f32,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: tasks write disjoint elements and read what none of them writes; see the calls in `Job`.
unsafe impl Sync for Shared<'_> {}
// SAFETY: as above.
unsafe impl Send for Shared<'_> {}

impl<'a> Shared<'a> {
    fn new(elements: &'a mut [f32]) -> Self {
        Self { start: elements.as_mut_ptr(), borrow: PhantomData }
    }

    /// # Safety
    /// As [`pointer::add`].
    unsafe fn at(self, idx: usize) -> *mut f32 {
        // SAFETY: the caller's contract.
        unsafe { self.start.add(idx) }
    }
}

/// What transforms the input tiles of one row and block.
struct InputRow {
    /// First element of the first tile.
    x: *const f32,
    pitch: usize,
    n_tiles: usize,
    to: *mut f32,
    /// From one place to the next.
    stride: usize,
}

/// What transforms the output tiles of one row and block.
struct OutputRow {
    from: *const f32,
    /// From one place to the next.
    stride: usize,
    /// Rows and columns of the output that there are.
    extent: [usize; 2],
    bias: *const f32,
    /// Null where there is none.
    residual: *const f32,
    residual_pitch: usize,
    out: *mut f32,
    out_pitch: usize,
    bounds: Bounds,
}

/// What multiplies up to as many tiles as there are registers for with the weights of one group.
struct Factors {
    /// First tile.
    x: *const f32,
    /// From one block of input or output to the next.
    plane: usize,
    n_channels: usize,
    weights: *const f32,
    out: *mut f32,
}

type ProductFn = unsafe fn(&Factors);

/// The kernels for a processor.
pub(super) struct Kernels {
    input: unsafe fn(&InputRow),
    output: unsafe fn(&OutputRow),
    /// By blocks and tiles.
    product: fn(usize, usize) -> ProductFn,
    /// Most tiles, by blocks.
    widths: [usize; 2],
}

impl Kernels {
    pub(super) fn select(isa: Isa, algorithm: Algorithm) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::kernels(algorithm, [28, 14]),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::kernels(algorithm, [6, 0]),
            Isa::Portable => plain::kernels(algorithm, [4, 0]),
        }
    }
}

/// All that is constant over the tiles of an image.
pub(super) struct Job<'a> {
    packed: &'a PackedWinograd,
    kernels: Kernels,
    shape: &'a ConvShape,
    finish: (Bounds, Epilogue<'a>),
    x: (&'a [f32], &'a Planes),
    out: Shared<'a>,
    out_planes: &'a Planes,
    residual: Residual<'a>,
    /// Columns of tiles.
    columns: usize,
}

impl<'a> Job<'a> {
    /// All arguments as [`PackedWinograd::check`] has found them.
    pub(super) fn new(
        packed: &'a PackedWinograd,
        kernels: Kernels,
        shape: &'a ConvShape,
        finish: (Bounds, Epilogue<'a>),
        x: (&'a [f32], &'a Planes),
        (out, out_planes): (&'a mut [f32], &'a Planes),
        residual: Residual<'a>,
    ) -> Self {
        let columns = packed.algorithm.grid(shape)[1];
        Self { packed, kernels, shape, finish, x, out: Shared::new(out), out_planes, residual, columns }
    }

    /// Convolves some rows of tiles; `spread` spreads each stage over the pool.
    ///
    /// Concurrent calls must have disjoint rows.
    pub(super) fn piece(&self, rows: Range<usize>, places: &Places, scratch: &mut [f32], spread: bool) {
        assert!(scratch.len() >= places.len(), "room for the tiles of a piece");
        assert!(
            rows.len() * self.columns * LANES <= places.plane && rows.end <= self.packed.algorithm.grid(self.shape)[0]
        );
        let (input, output) = scratch.split_at_mut(places.n_places * places.input);
        let (input, output) = (Shared::new(input), Shared::new(output));
        let (in_blocks, out_blocks) = (self.x.1.n_blocks(), self.out_planes.n_blocks());
        let n_rows = rows.len();
        each(spread, in_blocks * n_rows, |idx| self.input(rows.start, [idx / n_rows, idx % n_rows], places, input));
        each(spread, places.n_places, |place| self.products(place, n_rows * self.columns, places, (input, output)));
        each(spread, out_blocks * n_rows, |idx| self.output(rows.start, [idx / n_rows, idx % n_rows], places, output));
    }

    fn input(&self, first: usize, [block, row]: [usize; 2], places: &Places, to: Shared<'_>) {
        let (x, planes) = self.x;
        let top = (first + row) * self.packed.algorithm.side() + planes.halo.top - self.shape.pads[0];
        let start = block * planes.plane() + top * planes.pitch() + (planes.halo.left - self.shape.pads[1]) * LANES;
        // SAFETY: the input has the halo that whole tiles read, the tiles of this row and block lie in scratch memory, and
        // other tasks transform other ones; the kernel is one for this processor.
        unsafe {
            (self.kernels.input)(&InputRow {
                x: x.as_ptr().add(start),
                pitch: planes.pitch(),
                n_tiles: self.columns,
                to: to.at(block * places.plane + row * self.columns * LANES),
                stride: places.input,
            });
        }
    }

    fn products(&self, place: usize, n_tiles: usize, places: &Places, (from, to): (Shared<'_>, Shared<'_>)) {
        let packed = self.packed;
        let n_blocks = self.out_planes.n_blocks();
        let weights = &packed.weights[place * packed.in_channels * n_blocks * LANES..];
        let per_group = max_blocks(packed.isa);
        for group in (0..n_blocks).step_by(per_group) {
            let blocks = per_group.min(n_blocks - group);
            let weights = &weights[group * LANES * packed.in_channels..][..blocks * LANES * packed.in_channels];
            let n_parts = n_tiles.div_ceil(self.kernels.widths[blocks - 1]);
            for part in 0..n_parts {
                let (first, end) = (part * n_tiles / n_parts, (part + 1) * n_tiles / n_parts);
                // SAFETY: the tiles of all blocks at this place lie in scratch memory, other tasks write other places, and
                // the weights of the group were packed for as many channels and blocks; the kernel is one for this
                // processor.
                unsafe {
                    (self.kernels.product)(blocks, end - first)(&Factors {
                        x: from.at(place * places.input + first * LANES),
                        plane: places.plane,
                        n_channels: packed.in_channels,
                        weights: weights.as_ptr(),
                        out: to.at(place * places.output + group * places.plane + first * LANES),
                    });
                }
            }
        }
    }

    fn output(&self, first: usize, [block, row]: [usize; 2], places: &Places, from: Shared<'_>) {
        let side = self.packed.algorithm.side();
        let [height, width] = self.shape.output;
        let top = (first + row) * side;
        let n_rows = side.min(height - top);
        let planes = self.out_planes;
        // SAFETY: the tiles of this row and block lie in scratch memory, `out` and the residual hold every output, and other
        // tasks write other rows or blocks; the kernel is one for this processor.
        unsafe {
            let residual = self.residual.map_or((std::ptr::null(), 0), |(image, planes)| {
                (image.as_ptr().add(planes.at(block, top, 0)), planes.pitch())
            });
            (self.kernels.output)(&OutputRow {
                from: from.at(block * places.plane + row * self.columns * LANES),
                stride: places.output,
                extent: [n_rows, width],
                bias: self.packed.bias[block * LANES..][..LANES].as_ptr(),
                residual: residual.0,
                residual_pitch: residual.1,
                out: self.out.at(planes.at(block, top, 0)),
                out_pitch: planes.pitch(),
                bounds: self.finish.0,
            });
        }
        if self.finish.1.is_none() {
            return;
        }
        let mut registers = NO_REGISTERS;
        for row in top..top + n_rows {
            // SAFETY: this row of the block lies in `out`, was written above, and other tasks write others.
            let y = unsafe { std::slice::from_raw_parts_mut(self.out.at(planes.at(block, row, 0)), width * LANES) };
            finish(self.finish.1, self.packed.isa, &mut registers, [block, row], y);
        }
    }
}

/// Runs tasks one after another or over the pool.
fn each(spread: bool, n: usize, task: impl Fn(usize) + Send + Sync) {
    if spread {
        (0..n).into_par_iter().for_each(task);
    } else {
        (0..n).for_each(task);
    }
}

/// The kernels in one kind of vectors; `widths` of products by one and by two blocks.
macro_rules! kernels {
    ($name:ident, $vector:ty, [$($features:literal)?], [$($one:literal)*], [$($two:literal)*]) => {
        mod $name {
            use super::*;

            pub(super) fn kernels(algorithm: Algorithm, widths: [usize; 2]) -> Kernels {
                match algorithm {
                    Algorithm::Two => Kernels { input: input::<4>, output: output::<4, 2>, product, widths },
                    Algorithm::Four => Kernels { input: input::<6>, output: output::<6, 4>, product, widths },
                }
            }

            fn product(blocks: usize, tiles: usize) -> ProductFn {
                match (blocks, tiles) {
                    $((1, $one) => multiply::<1, $one>,)*
                    $((2, $two) => multiply::<2, $two>,)*
                    _ => unreachable!("as many tiles as the registers allow"),
                }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn input<const N: usize>(row: &InputRow) {
                // SAFETY: the caller's contract.
                unsafe { input_row::<$vector, N>(row) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn output<const N: usize, const M: usize>(row: &OutputRow) {
                // SAFETY: the caller's contract.
                unsafe { output_row::<$vector, N, M>(row) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn multiply<const B: usize, const T: usize>(factors: &Factors) {
                // SAFETY: the caller's contract.
                unsafe { compute::<$vector, B, T>(factors) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(
    avx512,
    Avx512,
    ["avx512f"],
    [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28],
    [1 2 3 4 5 6 7 8 9 10 11 12 13 14]
);
#[cfg(target_arch = "x86_64")]
kernels!(avx2, Avx2, ["avx2,fma"], [1 2 3 4 5 6], []);
kernels!(plain, Plain, [], [1 2 3 4], []);

/// Transforms input tiles of N x N pixels, N - 2 apart.
///
/// # Safety
/// Needs the processor features of `V`, and every pointer of the row valid for its tiles.
#[inline(always)]
unsafe fn input_row<V: Lanes, const N: usize>(row: &InputRow) {
    // SAFETY: the caller's contract.
    unsafe {
        for tile in 0..row.n_tiles {
            let x = row.x.add(tile * (N - 2) * LANES);
            let to = row.to.add(tile * LANES);
            let mut columns = [[V::splat(0.0); N]; N];
            for j in 0..N {
                let mut column = [V::splat(0.0); N];
                for i in 0..N {
                    column[i] = V::load(x.add(i * row.pitch + j * LANES));
                }
                columns[j] = transform::input(column);
            }
            for i in 0..N {
                let mut across = [V::splat(0.0); N];
                for j in 0..N {
                    across[j] = columns[j][i];
                }
                let across = transform::input(across);
                for j in 0..N {
                    across[j].store(to.add((i * N + j) * row.stride));
                }
            }
        }
    }
}

/// Transforms tiles of N x N places into M x M pixels and finishes these, as far as they lie in the image.
///
/// # Safety
/// Needs the processor features of `V`, and every pointer of the row valid for its tiles.
#[inline(always)]
unsafe fn output_row<V: Lanes, const N: usize, const M: usize>(row: &OutputRow) {
    // SAFETY: the caller's contract.
    unsafe {
        let [height, width] = row.extent;
        let (bias, low, high) = (V::load(row.bias), V::splat(row.bounds.low), V::splat(row.bounds.high));
        for tile in 0..width.div_ceil(M) {
            let from = row.from.add(tile * LANES);
            let mut columns = [[V::splat(0.0); M]; N];
            for j in 0..N {
                let mut column = [V::splat(0.0); N];
                for i in 0..N {
                    column[i] = V::load(from.add((i * N + j) * row.stride));
                }
                columns[j] = transform::output(column);
            }
            let n_columns = M.min(width - tile * M);
            for i in 0..M {
                if i >= height {
                    break;
                }
                let mut across = [V::splat(0.0); N];
                for j in 0..N {
                    across[j] = columns[j][i];
                }
                let pixels: [V; M] = transform::output(across);
                for j in 0..M {
                    if j >= n_columns {
                        break;
                    }
                    let column = (tile * M + j) * LANES;
                    let mut y = pixels[j].add(bias);
                    if !row.residual.is_null() {
                        y = y.add(V::load(row.residual.add(i * row.residual_pitch + column)));
                    }
                    y.clamp(low, high).store(row.out.add(i * row.out_pitch + column));
                }
            }
        }
    }
}

/// Multiplies T tiles with the weights of B blocks.
///
/// # Safety
/// Needs the processor features of `V`, and every pointer of the factors valid for all channels.
#[inline(always)]
unsafe fn compute<V: Lanes, const B: usize, const T: usize>(factors: &Factors) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut sums = [[V::splat(0.0); T]; B];
        let mut weights = factors.weights;
        for block in 0..factors.n_channels.div_ceil(LANES) {
            let mut x = factors.x.add(block * factors.plane);
            for _ in 0..LANES.min(factors.n_channels - block * LANES) {
                let mut w = [V::splat(0.0); B];
                for b in 0..B {
                    w[b] = V::load(weights.add(b * LANES));
                }
                for t in 0..T {
                    let activation = V::splat(*x.add(t * LANES));
                    for b in 0..B {
                        sums[b][t] = sums[b][t].fused(w[b], activation);
                    }
                }
                weights = weights.add(B * LANES);
                x = x.add(1);
            }
        }
        for b in 0..B {
            for t in 0..T {
                sums[b][t].store(factors.out.add(b * factors.plane + t * LANES));
            }
        }
    }
}
