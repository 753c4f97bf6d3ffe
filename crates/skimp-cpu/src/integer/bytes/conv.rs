//! Convolutions and dense layers on bytes.

use skimp_graph::integer::MacLayer;
use skimp_graph::shape::WindowAxis;

use super::Isa;
use super::finish::Finish;
use super::layout::{GROUP, LANES, Layout};

/// Where the bytes of a layer come from and go to, in one image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) input: Layout,
    pub(super) output: Layout,
    /// The other operand of a sum that the layer takes in.
    pub(super) other: Option<Layout>,
}

/// What becomes of the accumulators.
#[derive(Debug)]
pub(super) enum Tail {
    Codes(Box<Finish>),
    /// Real numbers, as the layer makes them.
    Real(Box<MacLayer>),
}

/// A layer ready to run: `acc[k] = init[k] + Σ byte · weight`, over taps and groups of four channels.
///
/// Weights beyond ±127 (of asymmetric ones) are split into parts that fit, each with taps of its own.
#[derive(Debug)]
pub(super) struct Conv {
    pub(super) ends: Ends,
    /// Bias minus the input's zero point times the sum of the weights, padded to whole blocks.
    pub(super) init: Vec<i32>,
    /// Positions of the taps, relative to that of a window.
    pub(super) taps: Vec<usize>,
    /// Groups of four channels in a pixel.
    pub(super) n_groups: usize,
    /// `[block][tap][group][lane][4]`.
    pub(super) weight: Vec<i8>,
    /// Position of the first window, and steps to the next ones below and beside it.
    origin: usize,
    row_step: usize,
    col_step: usize,
    pub(super) tail: Tail,
}

/// A layer's zero point as a byte, and where its windows lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows<'a> {
    pub(super) zero: i32,
    pub(super) rows: &'a WindowAxis,
    pub(super) cols: &'a WindowAxis,
}

impl Conv {
    pub(super) fn new(layer: &MacLayer, ends: Ends, windows: Windows<'_>, tail: Tail) -> Self {
        let Windows { zero, rows, cols } = windows;
        let [k, c, r, s] = layer.weight_shape;
        let n_blocks = k.div_ceil(LANES);
        let n_groups = ends.input.pitch / GROUP;
        let depth = c * r * s;
        let parts = n_parts(&layer.weight);
        let mut taps = Vec::with_capacity(parts * r * s);
        for _ in 0..parts {
            for r_idx in 0..r {
                for s_idx in 0..s {
                    taps.push(
                        r_idx * rows.dilation * ends.input.row_pitch() + s_idx * cols.dilation * ends.input.pitch,
                    );
                }
            }
        }
        let mut weight = vec![0_i8; n_blocks * taps.len() * n_groups * LANES * GROUP];
        let mut init = vec![0; n_blocks * LANES];
        for k_idx in 0..k {
            let own = &layer.weight[k_idx * depth..][..depth];
            init[k_idx] = initial(layer, k_idx, zero);
            let first_channel = k_idx / (k / layer.groups) * c;
            for (i, &w) in own.iter().enumerate() {
                let (channel, tap) = (first_channel + i / (r * s), i % (r * s));
                let mut rest = w;
                for part in 0..parts {
                    let value = rest.clamp(-128, 127);
                    rest -= value;
                    let row = (k_idx / LANES * taps.len() + part * r * s + tap) * n_groups + channel / GROUP;
                    weight[(row * LANES + k_idx % LANES) * GROUP + channel % GROUP] = value as i8;
                }
            }
        }
        let top = ends.input.halo.top - rows.pad_begin;
        let left = ends.input.halo.left - cols.pad_begin;
        Self {
            ends,
            init,
            taps,
            n_groups,
            weight,
            origin: top * ends.input.row_pitch() + left * ends.input.pitch,
            row_step: rows.stride * ends.input.row_pitch(),
            col_step: cols.stride * ends.input.pitch,
            tail,
        }
    }

    pub(super) fn n_blocks(&self) -> usize {
        self.init.len() / LANES
    }

    /// Weight bytes of one block.
    pub(super) fn block_bytes(&self) -> usize {
        self.taps.len() * self.n_groups * LANES * GROUP
    }

    /// Position of the window of output pixel `i`.
    pub(super) fn window(&self, i: usize) -> usize {
        let width = self.ends.output.width;
        self.window_at(i / width, i % width)
    }

    /// Position of the window of the output pixel in a row and a column.
    pub(super) fn window_at(&self, row: usize, col: usize) -> usize {
        self.origin + row * self.row_step + col * self.col_step
    }

    /// Multiply-accumulates of one image, as the hardware runs them.
    pub(super) fn n_macs(&self) -> usize {
        self.weight.len() * self.ends.output.n_pixels()
    }

    /// The accumulators of a block at the window that starts at `at`, by the definition.
    pub(super) fn accumulators(&self, block: usize, x: &[u8], at: usize) -> [i32; LANES] {
        let mut sums: [i32; LANES] = std::array::from_fn(|lane| self.init[block * LANES + lane]);
        let weights = self.weight[block * self.block_bytes()..][..self.block_bytes()].chunks_exact(LANES * GROUP);
        let windows = self.taps.iter().flat_map(|tap| x[at + tap..][..self.n_groups * GROUP].chunks_exact(GROUP));
        for (weights, bytes) in weights.zip(windows) {
            for (sum, weights) in sums.iter_mut().zip(weights.chunks_exact(GROUP)) {
                let products = weights.iter().zip(bytes).map(|(&w, &x)| i32::from(w) * i32::from(x));
                *sum = sum.wrapping_add(products.sum());
            }
        }
        sums
    }
}

/// What is added to `Σ byte · weight` of channel `k`; `zero` is the byte of real 0.
pub(super) fn initial(layer: &MacLayer, k: usize, zero: i32) -> i32 {
    let sum: i32 = layer.channel(k).iter().sum();
    // The exact accumulator fits 32 bits, so that wrapping on the way to it does no harm.
    (layer.centered_bias(k) as i32).wrapping_sub(zero.wrapping_mul(sum))
}

/// How many int8 parts the weights need.
fn n_parts(weight: &[i32]) -> usize {
    let (low, high) = weight.iter().fold((0, 0), |(low, high), &w| (w.min(low), w.max(high)));
    let by = |reach: i32, part: i32| usize::try_from((reach + part - 1) / part).unwrap_or(1);
    by(high, 127).max(by(-low, 128)).max(1)
}

/// The images of one layer while it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Images<'a> {
    pub(super) input: &'a [u8],
    pub(super) other: Option<&'a [u8]>,
}

/// Runs output pixels `pixels` and gives each block of bytes to `put`, with its position in the output.
pub(super) fn portable(
    conv: &Conv,
    finish: &Finish,
    images: Images<'_>,
    pixels: std::ops::Range<usize>,
    put: &mut dyn FnMut(usize, &[u8]),
) {
    let no_bytes = [0; LANES];
    for pixel in pixels {
        let to = conv.ends.output.pixel(pixel);
        for block in 0..conv.n_blocks() {
            let sums = conv.accumulators(block, images.input, conv.window(pixel));
            let other = match (images.other, conv.ends.other) {
                (Some(bytes), Some(layout)) => block_at(bytes, layout.pixel(pixel) + block * LANES),
                _ => no_bytes,
            };
            let bytes = finish.block(block * LANES, &sums, &other);
            let n = LANES.min(conv.ends.output.pitch - block * LANES);
            put(to + block * LANES, &bytes[..n]);
        }
    }
}

/// A block of bytes; zeros behind the end.
fn block_at(bytes: &[u8], at: usize) -> [u8; LANES] {
    let mut block = [0; LANES];
    let n = LANES.min(bytes.len() - at);
    block[..n].copy_from_slice(&bytes[at..at + n]);
    block
}

/// Real numbers `[k][pixel]` of a layer.
pub(super) fn real(conv: &Conv, layer: &MacLayer, input: &[u8], output: &mut [f32]) {
    let n_pixels = conv.ends.output.n_pixels();
    for pixel in 0..n_pixels {
        for block in 0..conv.n_blocks() {
            let sums = conv.accumulators(block, input, conv.window(pixel));
            let channels = block * LANES..conv.ends.output.channels.min((block + 1) * LANES);
            for k in channels {
                let real = layer.output_real(k, sums[k % LANES].into());
                output[k * n_pixels + pixel] = real.unwrap_or_default();
            }
        }
    }
}

/// Runs a layer on one image, on several threads where `threads` allows and it is worth it.
pub(super) fn run(conv: &Conv, finish: &Finish, images: Images<'_>, output: &mut [u8], isa: Isa, threads: usize) {
    /// Some 40 us: what waking another thread costs is a small part.
    const LEAST_MACS: usize = 1 << 23;
    let n_pixels = conv.ends.output.n_pixels();
    #[cfg(target_arch = "x86_64")]
    if isa != Isa::Portable {
        let n_parts = if conv.n_macs() < LEAST_MACS { 1 } else { threads.min(n_pixels / 8).max(1) };
        super::x86::run(conv, finish, images, output, isa, n_parts);
        return;
    }
    let _ = (isa, threads, LEAST_MACS);
    portable(conv, finish, images, 0..n_pixels, &mut |at, bytes| output[at..at + bytes.len()].copy_from_slice(bytes));
}
