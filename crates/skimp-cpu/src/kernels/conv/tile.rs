//! The register tile, over unchecked pointers.

#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, unused_variables, reason = "vector kernels exist for x86-64")
)]
#![allow(unsafe_code, reason = "vector kernels over pointers whose bounds are checked once per image")]
#![allow(clippy::needless_range_loop, reason = "constant bounds, which unroll into registers")]

use std::marker::PhantomData;
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::super::lanes::Lanes;
#[cfg(target_arch = "x86_64")]
use super::super::lanes::x86::{Avx2, Avx512};
use super::super::program::{Epilogue, NO_REGISTERS, finish};
use super::super::{Bounds, Isa, LANES, Planes};
use super::{ConvShape, OutGroup, PackedConv, Residual};

/// Output blocks per tile.
pub(super) fn max_blocks(isa: Isa) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => 2,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => 1,
        Isa::Portable => 1,
    }
}

/// Pixels per tile of `blocks` output blocks: what fills the registers.
fn max_pixels(isa: Isa, blocks: usize) -> usize {
    match (isa, blocks) {
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, 1) => 16,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, _) => 14,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, _) => 6,
        (Isa::Portable, _) => 4,
    }
}

/// An output image that several tasks write, each its own rows and blocks.
pub(super) struct SharedOutput<'a> {
    start: *mut f32,
    len: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: tasks write disjoint (block, row) ranges and nobody reads until all have ended; see `TileLoop::rows`.
unsafe impl Sync for SharedOutput<'_> {}

impl<'a> SharedOutput<'a> {
    pub(super) fn new(image: &'a mut [f32]) -> Self {
        Self { start: image.as_mut_ptr(), len: image.len(), borrow: PhantomData }
    }
}

/// What a tile function reads.
pub(super) struct Tile<'a> {
    /// First input element of the first tap of the first pixel.
    x: *const f32,
    /// Elements from one input block to the next.
    x_plane: usize,
    n_in_blocks: usize,
    in_block: usize,
    last_channels: usize,
    /// Offset of each tap.
    taps: &'a [usize],
    weights: *const f32,
    bias: *const f32,
    /// Null where there is none.
    residual: *const f32,
    residual_plane: usize,
    out: *mut f32,
    out_plane: usize,
    bounds: Bounds,
}

/// Computes one tile of a width fixed in its type.
pub(super) type TileFn = unsafe fn(&Tile<'_>);

/// All that is constant over the tiles of an image.
pub(super) struct TileLoop<'a> {
    pub(super) packed: &'a PackedConv,
    pub(super) shape: &'a ConvShape,
    pub(super) bounds: Bounds,
    pub(super) x: (&'a [f32], &'a Planes),
    pub(super) out_planes: &'a Planes,
    pub(super) residual: Residual<'a>,
    pub(super) epilogue: Epilogue<'a>,
}

impl TileLoop<'_> {
    /// The two tile widths that divide an output row most evenly, the wider first, with their functions.
    pub(super) fn tiles(&self, blocks: usize) -> [(usize, TileFn); 2] {
        let isa = self.packed.isa;
        let step = self.shape.strides[1] * self.packed.in_block;
        let limit = if has_step(step) { max_pixels(isa, blocks) } else { 1 };
        let width = self.shape.output[1];
        let n_tiles = width.div_ceil(limit);
        let base = width / n_tiles;
        [base + usize::from(!width.is_multiple_of(n_tiles)), base].map(|w| (w, select(isa, blocks, w, step)))
    }

    /// Computes the given rows of one output group.
    ///
    /// Concurrent calls on one `out` must differ in group or have disjoint rows.
    pub(super) fn rows(
        &self,
        group: &OutGroup,
        tiles: &[(usize, TileFn); 2],
        rows: Range<usize>,
        out: &SharedOutput<'_>,
    ) {
        let (x, x_planes) = self.x;
        let (shape, packed) = (self.shape, self.packed);
        assert!(out.len >= self.out_planes.len() && rows.end <= shape.output[0], "rows lie in the output");
        let taps: Vec<usize> = (0..shape.kernel[0])
            .flat_map(|r| {
                let row = r * shape.dilations[0] * x_planes.pitch();
                (0..shape.kernel[1]).map(move |s| row + s * shape.dilations[1] * x_planes.block)
            })
            .collect();
        let origin = group.first_in_block * x_planes.plane()
            + (x_planes.halo.top - shape.pads[0]) * x_planes.pitch()
            + (x_planes.halo.left - shape.pads[1]) * x_planes.block;
        let mut registers = NO_REGISTERS;
        for row in rows {
            let mut column = 0;
            while column < shape.output[1] {
                let remaining = shape.output[1] - column;
                let (width, run) = if remaining.is_multiple_of(tiles[1].0) { tiles[1] } else { tiles[0] };
                let start =
                    origin + row * shape.strides[0] * x_planes.pitch() + column * shape.strides[1] * x_planes.block;
                // SAFETY: `PackedConv::check` has shown that all pixels under the taps of every output lie in `x`
                // (the halo included), that `out` and the residual hold every output, and the weights and the bias
                // were packed for this group; `select` gave a function for this processor. Rows of other tasks are
                // disjoint.
                unsafe {
                    let residual = self.residual.map_or((std::ptr::null(), 0), |(image, planes)| {
                        (image.as_ptr().add(planes.at(group.first_block, row, column)), planes.plane())
                    });
                    run(&Tile {
                        x: x.as_ptr().add(start),
                        x_plane: x_planes.plane(),
                        n_in_blocks: group.n_in_blocks,
                        in_block: packed.in_block,
                        last_channels: group.last_channels,
                        taps: &taps,
                        weights: packed.weights.as_ptr().add(group.weights),
                        bias: packed.bias.as_ptr().add(group.first_block * LANES),
                        residual: residual.0,
                        residual_plane: residual.1,
                        out: out.start.add(self.out_planes.at(group.first_block, row, column)),
                        out_plane: self.out_planes.plane(),
                        bounds: self.bounds,
                    });
                }
                column += width;
            }
            if self.epilogue.is_none() {
                continue;
            }
            for block in group.first_block..group.first_block + group.n_blocks {
                let start = self.out_planes.at(block, row, 0);
                // SAFETY: the row of this block lies in `out`, its tiles were written above, and other tasks write other
                // rows or blocks.
                let y = unsafe { std::slice::from_raw_parts_mut(out.start.add(start), shape.output[1] * LANES) };
                finish(self.epilogue, packed.isa, &mut registers, [block, row], y);
            }
        }
    }
}

/// Pixel steps (stride times input block) that tiles of several pixels exist for.
fn has_step(step: usize) -> bool {
    matches!(step, 1 | 2 | 4 | 16 | 32)
}

/// The function for tiles of `blocks` x `pixels`, input pixels `step` elements apart.
fn select(isa: Isa, blocks: usize, pixels: usize, step: usize) -> TileFn {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => match step {
            1 => select_avx512::<1>(blocks, pixels),
            2 => select_avx512::<2>(blocks, pixels),
            4 => select_avx512::<4>(blocks, pixels),
            32 => select_avx512::<32>(blocks, pixels),
            _ => select_avx512::<16>(blocks, pixels),
        },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => match step {
            1 => select_avx2::<1>(pixels),
            2 => select_avx2::<2>(pixels),
            4 => select_avx2::<4>(pixels),
            32 => select_avx2::<32>(pixels),
            _ => select_avx2::<16>(pixels),
        },
        Isa::Portable => unreachable!("the portable kernel has no tiles"),
    }
}

#[cfg(target_arch = "x86_64")]
macro_rules! by_width {
    ($function:ident, $blocks:literal, $step:ident, $pixels:expr, [$($width:literal)*]) => {
        match $pixels {
            $($width => $function::<$blocks, $width, $step>,)*
            _ => unreachable!("tiles are at most as wide as the registers allow"),
        }
    };
}

#[cfg(target_arch = "x86_64")]
fn select_avx512<const STEP: usize>(blocks: usize, pixels: usize) -> TileFn {
    if blocks == 1 {
        by_width!(avx512, 1, STEP, pixels, [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16])
    } else {
        by_width!(avx512, 2, STEP, pixels, [1 2 3 4 5 6 7 8 9 10 11 12 13 14])
    }
}

#[cfg(target_arch = "x86_64")]
fn select_avx2<const STEP: usize>(pixels: usize) -> TileFn {
    by_width!(avx2, 1, STEP, pixels, [1 2 3 4 5 6])
}

/// # Safety
/// Needs AVX-512 F, and every pointer of the tile valid for `B` blocks x `T` pixels and all taps.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const B: usize, const T: usize, const STEP: usize>(tile: &Tile<'_>) {
    // SAFETY: the caller's contract.
    unsafe { compute::<Avx512, B, T, STEP>(tile) }
}

/// # Safety
/// Needs AVX2 and FMA, and every pointer of the tile valid for `B` blocks x `T` pixels and all taps.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const B: usize, const T: usize, const STEP: usize>(tile: &Tile<'_>) {
    // SAFETY: the caller's contract.
    unsafe { compute::<Avx2, B, T, STEP>(tile) }
}

/// # Safety
/// Needs the processor features of `V`, and every pointer of the tile valid for `B` blocks x `T` pixels and all taps.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn compute<V: Lanes, const B: usize, const T: usize, const STEP: usize>(tile: &Tile<'_>) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut sums = [[V::splat(0.0); T]; B];
        for b in 0..B {
            sums[b] = [V::load(tile.bias.add(b * LANES)); T];
        }
        let mut weights = tile.weights;
        for block in 0..tile.n_in_blocks {
            let x = tile.x.add(block * tile.x_plane);
            let n_channels = if block + 1 == tile.n_in_blocks { tile.last_channels } else { tile.in_block };
            for &tap in tile.taps {
                let mut pixel = x.add(tap);
                for _ in 0..n_channels {
                    let mut w = [V::splat(0.0); B];
                    for b in 0..B {
                        w[b] = V::load(weights.add(b * LANES));
                    }
                    for t in 0..T {
                        let activation = V::splat(*pixel.add(t * STEP));
                        for b in 0..B {
                            sums[b][t] = sums[b][t].fused(w[b], activation);
                        }
                    }
                    weights = weights.add(B * LANES);
                    pixel = pixel.add(1);
                }
            }
        }
        let (low, high) = (V::splat(tile.bounds.low), V::splat(tile.bounds.high));
        for b in 0..B {
            for t in 0..T {
                let mut y = sums[b][t];
                if !tile.residual.is_null() {
                    y = y.add(V::load(tile.residual.add(b * tile.residual_plane + t * LANES)));
                }
                y.clamp(low, high).store(tile.out.add(b * tile.out_plane + t * LANES));
            }
        }
    }
}
