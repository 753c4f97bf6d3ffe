//! Convolution that leaves out weights that are zero.
//!
//! The input lies in plain order inside its halo, so an output pixel and a tap differ by one distance all over the
//! image: an output channel is a list of (distance, weight). A tile of up to 12 vectors of pixels stays in registers
//! while the list runs over it, one broadcast for each weight and one load for each vector. Pixels of the halo's columns
//! are computed with the others and dropped. For strides above 1 the input is first parted into its phases, in each of
//! which neighbors lie side by side. The idea is that of Park et al., "Faster CNNs with Direct Sparse Convolutions and
//! Guided Pruning", ICLR 2017, section 2.1; with vectors of pixels as Elsen et al., "Fast Sparse ConvNets", CVPR 2020,
//! section 3.1.
//!
//! # Determinism
//! Every output is one chain `bias, then channel, tap` of the weights that are not zero, then residual, then bounds. The
//! chain does not depend on tile, task or thread.

#![allow(unsafe_code, reason = "vector kernels over pointers whose bounds are checked once per image")]
#![allow(clippy::needless_range_loop, reason = "constant bounds, which unroll into registers")]

use std::ops::Range;

use rayon::prelude::*;

use crate::kernels::conv::{ConvShape, Residual};
#[cfg(target_arch = "x86_64")]
use crate::kernels::lanes::Lanes;
#[cfg(target_arch = "x86_64")]
use crate::kernels::lanes::x86::{Avx2, Avx512};
use crate::kernels::{Bounds, Isa, LANES, Planes, multiply_add};

/// Vectors per tile at most.
const MAX_VECTORS: usize = 12;

/// Vectors per tile: what fills the registers.
fn max_vectors(isa: Isa) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => MAX_VECTORS,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => 6,
        Isa::Portable => 4,
    }
}

/// What a weight costs for each pixel of its output channel, in multiplications of the dense kernel, by the bench `sparse`
/// on AVX-512 (Zen 4): a load that crosses a cache line beside every multiplication.
const PER_PIXEL: f64 = 2.1;

/// The same for 1x1 kernels, whose next weight never finds its input in the first-level cache.
const PER_PIXEL_OF_ONE_TAP: f64 = 2.8;

/// How much more both are on AVX2, whose dense kernel loses less than half of its rate.
const ON_AVX2: f64 = 1.35;

/// What an element of the input and the output costs: copies between layouts.
const PER_ELEMENT: f64 = 16.0;

/// What an element of a phase costs.
const PER_ELEMENT_OF_A_PHASE: f64 = 96.0;

/// Share of the dense kernel's time from which on it stays.
const MARGIN: f64 = 0.9;

/// The weights that are not zero, output channel by output channel. Independent of the image size.
#[derive(Debug)]
pub(crate) struct PackedSparse {
    isa: Isa,
    weights: Vec<f32>,
    /// Input channel times taps plus tap, of each weight.
    places: Vec<u32>,
    /// Where the list of each output channel begins, and where the last one ends.
    starts: Vec<usize>,
    bias: Vec<f32>,
}

/// Where the elements that a convolution reads lie: an input in plain order, parted into its phases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phases {
    /// The phases of all channels, `[channel][phase][row][column]`.
    pub(crate) planes: Planes,
    /// Row and column phase, of those that taps see.
    phases: Vec<[usize; 2]>,
    /// Distance of each tap from the first element of its channel.
    taps: Vec<usize>,
}

impl Phases {
    /// For an input of this many rows and columns.
    pub(crate) fn new(shape: &ConvShape, height: usize, width: usize) -> Self {
        let [rows, columns] = [0, 1].map(|axis| {
            let offsets = (0..shape.kernel[axis]).map(|tap| tap * shape.dilations[axis]);
            offsets.map(|offset| (offset % shape.strides[axis], offset / shape.strides[axis])).collect::<Vec<_>>()
        });
        let last = |taps: &[(usize, usize)]| taps.iter().map(|&(_, distance)| distance).max().unwrap_or(0);
        let mut phases = Vec::new();
        let mut in_phase = Vec::new();
        for &(row_phase, row) in &rows {
            for &(column_phase, column) in &columns {
                let phase = [row_phase, column_phase];
                let idx = phases.iter().position(|&known| known == phase).unwrap_or(phases.len());
                if idx == phases.len() {
                    phases.push(phase);
                }
                in_phase.push((idx, row, column));
            }
        }
        let planes = if shape.strides == [1, 1] {
            Planes { halo: shape.halo(height, width), ..Planes::plain(shape.in_channels, height, width) }
        } else {
            let [p, q] = shape.output;
            Planes::plain(shape.in_channels * phases.len(), p + last(&rows), q + last(&columns))
        };
        let taps = in_phase
            .into_iter()
            .map(|(phase, row, column)| phase * planes.plane() + row * planes.pitch() + column)
            .collect();
        Self { planes, phases, taps }
    }

    /// Elements from one channel to the next.
    fn channel(&self) -> usize {
        self.phases.len() * self.planes.plane()
    }

    /// Parts a plain input into its phases, with zeros for what lies outside.
    pub(crate) fn part(&self, shape: &ConvShape, (x, from): (&[f32], &Planes), out: &mut [f32]) {
        let to = &self.planes;
        for plane in 0..to.channels {
            let (channel, phase) = (plane / self.phases.len(), self.phases[plane % self.phases.len()]);
            for row in 0..to.height {
                let target = &mut out[to.at(plane, row, 0)..][..to.width];
                let source_row = (row * shape.strides[0] + phase[0]).checked_sub(shape.pads[0]);
                let Some(source_row) = source_row.filter(|&row| row < from.height) else {
                    target.fill(0.0);
                    continue;
                };
                let source = &x[from.at(channel, source_row, 0)..][..from.width];
                // Columns that read zeros before the image, then those that read the image.
                let stride = shape.strides[1];
                let zeros = shape.pads[1].saturating_sub(phase[1]).div_ceil(stride).min(to.width);
                let first = (zeros * stride + phase[1]).saturating_sub(shape.pads[1]);
                let inside = from.width.saturating_sub(first).div_ceil(stride).min(to.width - zeros);
                target[..zeros].fill(0.0);
                target[zeros + inside..].fill(0.0);
                let source = source.get(first..).unwrap_or_default().iter().step_by(stride);
                for (y, &x) in target[zeros..zeros + inside].iter_mut().zip(source) {
                    *y = x;
                }
            }
        }
    }
}

/// Consecutive pixels of a tile in a row of the output: where they are in the tile, and in a channel of the output.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    tile: usize,
    out: usize,
    len: usize,
}

/// A tile: so many vectors from `start` on, the last one `last` elements after it.
#[derive(Clone, Debug)]
struct Tile {
    start: usize,
    vectors: usize,
    last: usize,
    stretches: Vec<Stretch>,
}

impl PackedSparse {
    /// Whether the kernel can do this convolution on this source: one group, and a vector of pixels.
    pub(crate) fn supports(shape: &ConvShape, source: &Phases) -> bool {
        let len = source.planes.checked_len();
        shape.groups == 1 && pixels(shape, &source.planes) >= LANES && len.is_some_and(|n| u32::try_from(n).is_ok())
    }

    /// Whether leaving out zeros is expected to be faster where `n_weights` are not zero, conversions between layouts
    /// included: a rule of the layer and the processor's vectors alone. Counted in multiplications of the dense kernel.
    pub(crate) fn pays(isa: Isa, shape: &ConvShape, source: &Phases, n_weights: usize) -> bool {
        let n_taps = source.taps.len();
        let product = |factors: &[usize]| factors.iter().map(|&factor| factor as f64).product::<f64>();
        let [p, q] = shape.output;
        let n_inputs = product(&[source.planes.channels, source.planes.height, source.planes.width]);
        let dense = product(&[shape.out_channels.next_multiple_of(LANES), shape.in_channels, n_taps, p, q]);
        let n_pixels = pixels(shape, &source.planes).next_multiple_of(LANES);
        let per_pixel = if n_taps == 1 { PER_PIXEL_OF_ONE_TAP } else { PER_PIXEL };
        let per_pixel = match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => ON_AVX2 * per_pixel,
            _ => per_pixel,
        };
        let per_input = if shape.strides == [1, 1] { PER_ELEMENT } else { PER_ELEMENT_OF_A_PHASE };
        let moved = per_input * n_inputs + PER_ELEMENT * product(&[shape.out_channels, p, q]);
        // Few output channels fill the dense kernel's vectors in part; that alone is no reason.
        let has_zeros = 2.0 * n_weights as f64 <= product(&[shape.out_channels, shape.in_channels, n_taps]);
        has_zeros && per_pixel * product(&[n_weights, n_pixels]) + moved < MARGIN * dense
    }

    /// Packs `[k][c][r][s]` weights.
    pub(crate) fn new(isa: Isa, shape: &ConvShape, weight: &[f32], bias: &[f32]) -> Self {
        let depth = shape.in_channels * shape.kernel[0] * shape.kernel[1];
        let mut packed = Self { isa, weights: Vec::new(), places: Vec::new(), starts: vec![0], bias: bias.to_vec() };
        for filter in weight.chunks_exact(depth) {
            for (place, &w) in filter.iter().enumerate().filter(|&(_, &w)| w != 0.0) {
                packed.weights.push(w);
                packed.places.push(place as u32);
            }
            packed.starts.push(packed.weights.len());
        }
        packed
    }

    /// Distance of each weight's input from an output pixel's.
    pub(crate) fn distances(&self, source: &Phases) -> Vec<u32> {
        let n_taps = source.taps.len();
        let of = |&place: &u32| {
            let (channel, tap) = (place as usize / n_taps, place as usize % n_taps);
            (channel * source.channel() + source.taps[tap]) as u32
        };
        self.places.iter().map(of).collect()
    }

    /// Convolves one image: `out = bounds(bias + x * weight + residual)`, all in plain order; `distances` are those of
    /// the source.
    ///
    /// `parallel` splits the work over the current rayon pool.
    #[allow(clippy::too_many_arguments, reason = "one image each with its layout")]
    pub(crate) fn run(
        &self,
        shape: &ConvShape,
        bounds: Bounds,
        (x, planes): (&[f32], &Planes),
        distances: &[u32],
        out: &mut [f32],
        residual: Residual<'_>,
        parallel: bool,
    ) {
        let n_pixels = pixels(shape, planes);
        let image = shape.output[0] * shape.output[1];
        let farthest = distances.iter().max().map_or(0, |&distance| distance as usize);
        assert!(n_pixels >= LANES && farthest + n_pixels <= x.len(), "the input is complete");
        assert!(distances.len() == self.weights.len(), "a distance for each weight");
        assert!(self.starts.len() == shape.out_channels + 1, "weights of all output channels");
        let residual = residual.map(|(residual, _)| &residual[..shape.out_channels * image]);
        let out = &mut out[..shape.out_channels * image];
        let tiles = tiles(shape, planes, max_vectors(self.isa));
        let job = Job { packed: self, bounds, x, distances, image, residual, tiles: &tiles };
        if parallel {
            let n_channels = shape.out_channels.div_ceil(4 * rayon::current_num_threads());
            let chunks: Vec<_> = out.chunks_mut(n_channels * image).enumerate().collect();
            chunks.into_par_iter().for_each(|(idx, out)| job.channels(idx * n_channels, out));
        } else {
            job.channels(0, out);
        }
    }
}

/// Pixels from the first output to the last, those in the halo's columns included.
fn pixels(shape: &ConvShape, planes: &Planes) -> usize {
    (shape.output[0] - 1) * planes.pitch() + shape.output[1]
}

/// Cuts the pixels into tiles of about the same number of vectors.
fn tiles(shape: &ConvShape, planes: &Planes, max_vectors: usize) -> Vec<Tile> {
    let (pitch, q) = (planes.pitch(), shape.output[1]);
    let n_pixels = pixels(shape, planes);
    let n_vectors = n_pixels.div_ceil(LANES);
    let n_tiles = n_vectors.div_ceil(max_vectors);
    (0..n_tiles)
        .map(|idx| {
            let (first, end) = (idx * n_vectors / n_tiles, (idx + 1) * n_vectors / n_tiles);
            let (start, end) = (first * LANES, (end * LANES).min(n_pixels));
            let mut stretches = Vec::new();
            for row in start / pitch..=(end - 1) / pitch {
                let (from, to) = (start.max(row * pitch), end.min(row * pitch + q));
                if from < to {
                    stretches.push(Stretch { tile: from - start, out: row * q + from - row * pitch, len: to - from });
                }
            }
            // The last vector ends where the pixels end, and may overlap the one before.
            Tile { start, vectors: (end - start).div_ceil(LANES), last: end - start - LANES, stretches }
        })
        .collect()
}

/// All that is constant over the channels of an image.
struct Job<'a> {
    packed: &'a PackedSparse,
    bounds: Bounds,
    x: &'a [f32],
    distances: &'a [u32],
    image: usize,
    residual: Option<&'a [f32]>,
    tiles: &'a [Tile],
}

impl Job<'_> {
    /// The output channels from `first` on, as many as `out` has room for.
    fn channels(&self, first: usize, out: &mut [f32]) {
        match self.packed.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the processor feature; `run` has checked the distances.
            Isa::Avx512 => unsafe { avx512(self, first, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the processor features; `run` has checked the distances.
            Isa::Avx2 => unsafe { avx2(self, first, out) },
            Isa::Portable => self.portable(first, out),
        }
    }

    fn list(&self, channel: usize) -> Range<usize> {
        self.packed.starts[channel]..self.packed.starts[channel + 1]
    }

    /// Writes the pixels of a tile that belong to the output.
    #[inline(always)]
    fn finish(&self, tile: &Tile, sums: &[f32], channel: usize, out: &mut [f32]) {
        for stretch in &tile.stretches {
            let sums = &sums[stretch.tile..][..stretch.len];
            let out = &mut out[stretch.out..][..stretch.len];
            match self.residual {
                None => {
                    for (y, &sum) in out.iter_mut().zip(sums) {
                        *y = self.bounds.apply(sum);
                    }
                }
                Some(residual) => {
                    let residual = &residual[channel * self.image + stretch.out..][..stretch.len];
                    for ((y, &sum), &addend) in out.iter_mut().zip(sums).zip(residual) {
                        *y = self.bounds.apply(sum + addend);
                    }
                }
            }
        }
    }

    /// The safe twin.
    fn portable(&self, first: usize, out: &mut [f32]) {
        for tile in self.tiles {
            let len = tile.last + LANES;
            for (idx, out) in out.chunks_exact_mut(self.image).enumerate() {
                let channel = first + idx;
                let mut sums = [0.0; MAX_VECTORS * LANES];
                let sums = &mut sums[..len];
                sums.fill(self.packed.bias[channel]);
                let list = self.list(channel);
                for (&w, &distance) in self.packed.weights[list.clone()].iter().zip(&self.distances[list]) {
                    let x = &self.x[tile.start + distance as usize..][..len];
                    for (sum, &x) in sums.iter_mut().zip(x) {
                        *sum = multiply_add(w, x, *sum);
                    }
                }
                self.finish(tile, sums, channel, out);
            }
        }
    }

    /// # Safety
    /// Needs the processor features of `V`; every distance plus every pixel lies in the input.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn vectors<V: Lanes>(&self, first: usize, out: &mut [f32]) {
        let mut sums = [0.0; MAX_VECTORS * LANES];
        for tile in self.tiles {
            for (idx, out) in out.chunks_exact_mut(self.image).enumerate() {
                let channel = first + idx;
                // SAFETY: the caller's contract.
                unsafe {
                    match tile.vectors {
                        1 => self.tile::<V, 1>(tile, channel, &mut sums),
                        2 => self.tile::<V, 2>(tile, channel, &mut sums),
                        3 => self.tile::<V, 3>(tile, channel, &mut sums),
                        4 => self.tile::<V, 4>(tile, channel, &mut sums),
                        5 => self.tile::<V, 5>(tile, channel, &mut sums),
                        6 => self.tile::<V, 6>(tile, channel, &mut sums),
                        7 => self.tile::<V, 7>(tile, channel, &mut sums),
                        8 => self.tile::<V, 8>(tile, channel, &mut sums),
                        9 => self.tile::<V, 9>(tile, channel, &mut sums),
                        10 => self.tile::<V, 10>(tile, channel, &mut sums),
                        11 => self.tile::<V, 11>(tile, channel, &mut sums),
                        _ => self.tile::<V, 12>(tile, channel, &mut sums),
                    }
                }
                self.finish(tile, &sums, channel, out);
            }
        }
    }

    /// The sums of one tile of one channel.
    ///
    /// # Safety
    /// As [`vectors`](Self::vectors), for a tile of `T` vectors.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn tile<V: Lanes, const T: usize>(&self, tile: &Tile, channel: usize, out: &mut [f32; MAX_VECTORS * LANES]) {
        let list = self.list(channel);
        let (weights, distances) = (&self.packed.weights[list.clone()], &self.distances[list]);
        // SAFETY: the caller's contract; a tile of T vectors begins T - 1 of them before its last one or less, and `out`
        // has room for the largest.
        unsafe {
            let x = self.x.as_ptr().add(tile.start);
            let mut sums = [V::splat(self.packed.bias[channel]); T];
            for (&w, &distance) in weights.iter().zip(distances) {
                let (w, x) = (V::splat(w), x.add(distance as usize));
                for t in 0..T - 1 {
                    sums[t] = sums[t].fused(w, V::load(x.add(t * LANES)));
                }
                sums[T - 1] = sums[T - 1].fused(w, V::load(x.add(tile.last)));
            }
            for t in 0..T - 1 {
                sums[t].store(out.as_mut_ptr().add(t * LANES));
            }
            sums[T - 1].store(out.as_mut_ptr().add(tile.last));
        }
    }
}

/// # Safety
/// Needs AVX-512 F; as [`Job::vectors`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(job: &Job<'_>, first: usize, out: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe { job.vectors::<Avx512>(first, out) }
}

/// # Safety
/// Needs AVX2 and FMA; as [`Job::vectors`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(job: &Job<'_>, first: usize, out: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe { job.vectors::<Avx2>(first, out) }
}

#[cfg(test)]
mod tests;
