//! Convolution with 3x3 kernels in fewer multiplications: F(2x2, 3x3) and F(4x4, 3x3).
//!
//! An output tile of `m` x `m` pixels is `A^T [(G w G^T) ⊙ (B^T x B)] A`, where x is the input tile of `m + 2` rows and columns:
//! 16 products for 4 outputs instead of 36, or 36 for 16 instead of 144. For one place of the transformed tile the sum over
//! input channels is a product of matrices, tiles times channels. Weights are transformed once, in f64; tiles of input and output
//! as they come, in vectors of 16 channels, a few rows of tiles at a time so that they stay in the cache.
//!
//! # Source
//! Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.
//! Differs: F(4x4, 3x3) is interpolated at 0, ±5/8, ±3/2 and infinity instead of 0, ±1, ±2 and infinity, which oneDNN does, too.
//! All constants of the tile transforms are exact in f32, and errors are smaller.
//!
//! # Errors
//! Every stage rounds as f32 does, but the products that an output combines are larger than itself: errors are a few times those
//! of direct convolution with F(2x2, 3x3), some ten times with F(4x4, 3x3). An activation that is infinite or undefined makes
//! undefined what its tile touches.
//!
//! # Determinism
//! An output depends on its tile alone, never on pieces, tasks or threads.

mod kernel;
mod transform;

use std::ops::Range;

use rayon::prelude::*;
use skimp_memory::{OutOfMemory, Reservation};

use self::kernel::{Job, Kernels, Places};
use super::conv::{ConvShape, Residual};
use super::program::Epilogue;
use super::{Bounds, Halo, Isa, LANES, Planes};

/// Bytes of transformed tiles, input and output, that one piece of the work should keep in the second-level cache.
const PIECE_BYTES: usize = 1 << 20;
/// Tiles in a piece at least, as every piece reads all weights.
const PIECE_TILES: usize = 28;
/// Pieces that run side by side at most, each in scratch memory of its own.
const MAX_SLOTS: usize = 4;
/// Pixels of an output below which the weights, read once for so few, cost more than the multiplications.
const FEW_PIXELS: usize = 36;
/// Tiles of F(4x4, 3x3) below which reading the weights takes longer than multiplying them.
const FEW_TILES: usize = 9;
/// Transformed weights of F(4x4, 3x3) that the second-level cache holds.
const MANY_WEIGHTS: usize = 1 << 18;
/// Largest magnitude of a weight whose transform is certain to be finite.
const MAX_WEIGHT: f32 = 1e30;

/// In which order the f32 engine adds up what a convolution multiplies.
///
/// Who uses which: [`CpuExecutor::new`](crate::CpuExecutor::new) keeps the exact order, and with it all that measures, compares
/// or learns: calibration, quantization, training and its teachers, reduction, simulation, studies, sweeps, comparisons with the
/// reference. [`Order::Free`] is the default of what a user runs for its outputs or its speed: `skimp run`, `skimp eval` (accuracy of
/// one network), the same calls of the library and of Python, and the times that `--latency` compares. `--exact-order` puts them
/// back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// Input block, tap, channel, one after another: the result differs from the definition by f32 rounding of that sum.
    #[default]
    Exact,
    /// 3x3 convolutions of stride 1 in fewer multiplications (Winograd) where that is faster: a rule of the layer's shape, with
    /// constants measured once. It depends on nothing else. Errors are up to some ten times larger.
    Free,
    /// F(2x2, 3x3) wherever it can be.
    Two,
    /// F(4x4, 3x3) wherever it can be.
    Four,
}

impl Order {
    /// Name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Free => "free",
            Self::Two => "two",
            Self::Four => "four",
        }
    }
}

impl Order {
    /// The algorithm for a convolution, if it is not the direct one.
    pub(crate) fn algorithm(self, shape: &ConvShape, weight: &[f32]) -> Option<Algorithm> {
        let can_be = PackedWinograd::supports(shape) && weight.iter().all(|w| w.abs() <= MAX_WEIGHT);
        match self {
            Self::Exact => None,
            Self::Free => can_be.then(|| Algorithm::that_pays(shape)).flatten(),
            Self::Two => can_be.then_some(Algorithm::Two),
            Self::Four => can_be.then_some(Algorithm::Four),
        }
    }
}

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Algorithm {
    /// F(2x2, 3x3).
    Two,
    /// F(4x4, 3x3).
    Four,
}

impl Algorithm {
    /// Rows and columns of an output tile.
    pub(crate) fn side(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Places of a transformed tile.
    pub(crate) fn places(self) -> usize {
        (self.side() + 2) * (self.side() + 2)
    }

    /// The faster one, if it is faster than direct convolution.
    fn that_pays(shape: &ConvShape) -> Option<Self> {
        let [rows, columns] = Self::Four.grid(shape);
        let n_weights = Self::Four.places() * shape.in_channels * shape.out_channels;
        // A few tiles wait for the weights, of which the smaller algorithm has less than half.
        let waits = rows * columns < FEW_TILES && n_weights > MANY_WEIGHTS;
        let is_large = shape.output[0] * shape.output[1] >= FEW_PIXELS;
        let pays = is_large && shape.in_channels >= LANES && shape.out_channels >= LANES;
        pays.then_some(if waits { Self::Two } else { Self::Four })
    }

    /// Rows and columns of tiles for an output.
    fn grid(self, shape: &ConvShape) -> [usize; 2] {
        shape.output.map(|extent| extent.div_ceil(self.side()))
    }
}

/// Transformed weights, in the order in which the products read them. Independent of the image size.
#[derive(Debug)]
pub(crate) struct PackedWinograd {
    isa: Isa,
    algorithm: Algorithm,
    in_channels: usize,
    out_channels: usize,
    /// `[place][group of output blocks][input channel][blocks of the group][16]`.
    weights: Vec<f32>,
    bias: Vec<f32>,
    _held: Reservation,
}

impl PackedWinograd {
    /// Whether the algorithms can do this convolution at all.
    pub(crate) fn supports(shape: &ConvShape) -> bool {
        shape.groups == 1 && shape.kernel == [3, 3] && shape.strides == [1, 1] && shape.dilations == [1, 1]
    }

    /// The zeros (or other neighbors) that whole tiles read around an input.
    pub(crate) fn halo(algorithm: Algorithm, shape: &ConvShape, height: usize, width: usize) -> Halo {
        let output = algorithm.grid(shape).map(|n| n * algorithm.side());
        ConvShape { output, ..*shape }.halo(height, width)
    }

    /// Transforms `[k][c][3][3]` weights.
    ///
    /// # Errors
    /// [`OutOfMemory`] where they do not fit into the memory budget.
    pub(crate) fn new(
        isa: Isa,
        algorithm: Algorithm,
        shape: &ConvShape,
        weight: &[f32],
        bias: &[f32],
    ) -> Result<Self, OutOfMemory> {
        let (n_in, n_out) = (shape.in_channels, shape.out_channels);
        let n_lanes = n_out.next_multiple_of(LANES);
        let n_elements = (algorithm.places() as u64).saturating_mul(n_in as u64).saturating_mul(n_lanes as u64);
        let held = skimp_memory::reserve(skimp_memory::bytes_of::<f32>(n_elements), || {
            format!(
                "the transformed weights of a 3x3 convolution of {n_in} to {n_out} channels (exact order needs none)"
            )
        })?;
        let mut weights = vec![0.0; n_elements as usize];
        let per_place = n_in * n_lanes;
        let blocks_per_group = kernel::max_blocks(isa);
        for block in 0..n_lanes / LANES {
            let group = block / blocks_per_group * blocks_per_group;
            let n_blocks = blocks_per_group.min(n_lanes / LANES - group);
            let start = group * LANES * n_in + (block - group) * LANES;
            for channel in 0..n_in {
                let mut taps = [[0.0; LANES]; 9];
                for lane in 0..LANES.min(n_out - block * LANES) {
                    let filter = &weight[((block * LANES + lane) * n_in + channel) * 9..][..9];
                    taps.iter_mut().zip(filter).for_each(|(taps, &w)| taps[lane] = f64::from(w));
                }
                let to = start + channel * n_blocks * LANES;
                transform::weights(algorithm, &taps, |place, lanes| {
                    weights[place * per_place + to..][..LANES].copy_from_slice(lanes);
                });
            }
        }
        let mut bias = bias.to_vec();
        bias.resize(n_lanes, 0.0);
        Ok(Self { isa, algorithm, in_channels: n_in, out_channels: n_out, weights, bias, _held: held })
    }

    /// Elements of scratch memory that a run takes.
    pub(crate) fn scratch(algorithm: Algorithm, shape: &ConvShape) -> usize {
        let pieces = Pieces::of(algorithm, shape);
        pieces.n_slots() * pieces.places(algorithm, shape).len()
    }

    /// Convolves one blocked image: `out = epilogue(bounds(bias + x * weight + residual))`, halo of `out` cleared.
    ///
    /// `parallel` splits the work over the current rayon pool.
    #[allow(clippy::too_many_arguments, reason = "one image each with its layout")]
    pub(crate) fn run(
        &self,
        shape: &ConvShape,
        (bounds, epilogue): (Bounds, Epilogue<'_>),
        x: (&[f32], &Planes),
        (out, out_planes): (&mut [f32], &Planes),
        residual: Residual<'_>,
        scratch: &mut [f32],
        parallel: bool,
    ) {
        self.check(shape, x, (out, out_planes), residual);
        out_planes.clear_halo(out);
        let pieces = Pieces::of(self.algorithm, shape);
        let places = pieces.places(self.algorithm, shape);
        let out = &mut out[..out_planes.len()];
        let kernels = Kernels::select(self.isa, self.algorithm);
        let job = Job::new(self, kernels, shape, (bounds, epilogue), x, (out, out_planes), residual);
        let n_slots = if parallel { pieces.n_slots() } else { 1 };
        let spread = parallel && rayon::current_num_threads() > n_slots;
        let slot = |(idx, scratch): (usize, &mut [f32])| {
            for piece in idx * pieces.count() / n_slots..(idx + 1) * pieces.count() / n_slots {
                job.piece(pieces.rows(piece), &places, scratch, spread);
            }
        };
        let slots = scratch.chunks_exact_mut(places.len()).take(n_slots).enumerate();
        if n_slots > 1 {
            slots.collect::<Vec<_>>().into_par_iter().for_each(slot);
        } else {
            slots.for_each(slot);
        }
    }

    /// The invariants that the unchecked kernels rest on.
    fn check(&self, shape: &ConvShape, x: (&[f32], &Planes), out: (&[f32], &Planes), residual: Residual<'_>) {
        let (x, x_planes) = x;
        let (out, out_planes) = out;
        let needed = Self::halo(self.algorithm, shape, x_planes.height, x_planes.width);
        assert!(Self::supports(shape), "a convolution that there is an algorithm for");
        assert!(
            (self.in_channels, self.out_channels) == (shape.in_channels, shape.out_channels),
            "weights of this shape"
        );
        assert!(x_planes.halo.union(needed) == x_planes.halo, "the input has the halo that whole tiles read");
        assert!(x_planes.block == LANES && x_planes.channels == shape.in_channels, "the input is blocked");
        assert!(x.len() >= x_planes.len(), "the input is complete");
        assert!(out_planes.block == LANES && out_planes.channels == shape.out_channels, "the output is blocked");
        assert!([out_planes.height, out_planes.width] == shape.output, "output extents as planned");
        assert!(out.len() >= out_planes.len(), "the output is complete");
        if let Some((image, planes)) = residual {
            assert!(
                Planes { halo: out_planes.halo, ..*planes } == *out_planes,
                "the residual is shaped like the output"
            );
            assert!(image.len() >= planes.len(), "the residual is complete");
        }
    }
}

/// The rows of tiles, in pieces.
#[derive(Clone, Copy, Debug)]
struct Pieces {
    /// Rows and columns of tiles.
    grid: [usize; 2],
    /// Rows of tiles in a piece, but for the last one.
    height: usize,
}

impl Pieces {
    fn of(algorithm: Algorithm, shape: &ConvShape) -> Self {
        let grid = algorithm.grid(shape);
        let blocks = shape.in_channels.div_ceil(LANES) + shape.out_channels.div_ceil(LANES);
        let tile_bytes = algorithm.places() * blocks * LANES * size_of::<f32>();
        let wanted = (PIECE_BYTES / tile_bytes).max(PIECE_TILES).div_ceil(grid[1]).min(grid[0]);
        let n_pieces = grid[0].div_ceil(wanted);
        Self { grid, height: grid[0].div_ceil(n_pieces) }
    }

    fn count(&self) -> usize {
        self.grid[0].div_ceil(self.height)
    }

    fn n_slots(&self) -> usize {
        self.count().min(MAX_SLOTS)
    }

    /// Rows of tiles.
    fn rows(&self, piece: usize) -> Range<usize> {
        piece * self.height..((piece + 1) * self.height).min(self.grid[0])
    }

    /// Where transformed tiles lie in the scratch memory of a piece.
    fn places(&self, algorithm: Algorithm, shape: &ConvShape) -> Places {
        Places::new(algorithm, self.height * self.grid[1], shape)
    }
}

#[cfg(test)]
mod tests;
