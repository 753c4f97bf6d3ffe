//! A binary layer with packed weights.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use skimp_graph::binary::{BinaryLayer, BinaryOutput, BitPadding, Threshold};
use skimp_graph::shape::LayerShape;
use skimp_graph::{GraphError, Tensor};

use super::kernel::{self, Eight, Isa, Limits, TILE, Windows, Words};
use super::planes::{EIGHT, Planes, used};

/// Channels of a word.
const WORD: usize = 64;

/// A layer made ready for inputs of one kind: its weights as words of 64 channels, tap by tap, for eight filters at a time.
#[derive(Debug)]
pub(super) struct Prepared {
    isa: Isa,
    channels: usize,
    kernel: [usize; 2],
    filters: usize,
    is_spikes: bool,
    padding: BitPadding,
    /// For eight filters at a time, the words of a window.
    weights: Vec<Words>,
    /// Set bits of the weights of each tap, for eight filters at a time.
    tap_counts: Vec<Eight>,
    bits: Option<BitLimits>,
    /// For inputs of each height and width.
    geometries: Mutex<BTreeMap<[usize; 2], Arc<Geometry>>>,
}

/// Thresholds of a layer in the kernel's terms.
#[derive(Debug)]
struct BitLimits {
    limits: Vec<Eight>,
    flips: Vec<u8>,
}

/// What comes out of a layer.
#[derive(Debug)]
pub(super) enum Made {
    Bits(Planes),
    Real(Tensor),
}

impl Prepared {
    /// `kernel` and `channels` are those of the layer, or, of a dense layer on flat planes, the planes' extents and channels.
    pub(super) fn new(layer: &BinaryLayer, channels: usize, kernel: [usize; 2], isa: Isa) -> Self {
        let filters = layer.weight_shape[0];
        let n_words = channels.div_ceil(WORD);
        let n_taps = kernel[0] * kernel[1];
        let fan_in = channels * n_taps;
        let groups = filters.div_ceil(EIGHT);
        let mut weights = vec![Words([0; 8]); groups * n_taps * n_words];
        let mut tap_counts = vec![Eight::ZERO; groups * n_taps];
        for filter in 0..filters {
            let (group, lane) = (filter / EIGHT, filter % EIGHT);
            for (idx, _) in layer.weight[filter * fan_in..][..fan_in].iter().enumerate().filter(|(_, w)| **w > 0) {
                let (channel, tap) = (idx / n_taps, idx % n_taps);
                let at = (group * n_taps + tap) * n_words + channel / WORD;
                weights[at].0[lane] |= 1 << (channel % WORD);
                tap_counts[group * n_taps + tap].0[lane] += 1;
            }
        }
        let is_spikes = !layer.input.is_signed;
        let bits = match &layer.output {
            BinaryOutput::Real => None,
            BinaryOutput::Bits(_, thresholds) => Some(BitLimits::new(thresholds, is_spikes)),
        };
        let (padding, geometries) = (layer.padding, Mutex::default());
        Self { isa, channels, kernel, filters, is_spikes, padding, weights, tap_counts, bits, geometries }
    }

    fn geometry(&self, shape: &LayerShape, x: &Planes) -> Arc<Geometry> {
        let mut known = self.geometries.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(x.extents).or_insert_with(|| Arc::new(Geometry::new(self, shape, x))))
    }

    pub(super) fn run(&self, layer: &BinaryLayer, shape: &LayerShape, x: &Planes) -> Result<Made, GraphError> {
        let geometry = self.geometry(shape, x);
        let images = geometry.images(self, x);
        let n_windows = geometry.bases.len();
        let groups = self.filters.div_ceil(EIGHT);
        let group_len = self.kernel[0] * self.kernel[1] * self.channels.div_ceil(WORD);
        let weights = |group: usize| &self.weights[group * group_len..][..group_len];
        let offsets = |group: usize| &geometry.offsets[group * geometry.n_classes..][..geometry.n_classes];
        if n_windows == 0 || groups == 0 || x.n == 0 {
            return Ok(self.empty(layer, shape, x.n));
        }
        if let Some(bits) = &self.bits {
            let mut planes = Planes::new(x.n, self.filters, [shape.p(), shape.q()]);
            // One group of one image; small layers run on one thread.
            let work = |(at, bytes): (usize, &mut [u8])| {
                let (image, group) = (at / groups, at % groups);
                let limits = Limits { offsets: offsets(group), limit: &bits.limits[group], flip: bits.flips[group] };
                geometry.fires(self, &images[image], weights(group), &limits, bytes);
            };
            let pieces = planes.bytes.par_chunks_mut(n_windows).enumerate();
            pieces.with_min_len(self.least_pieces(n_windows, group_len)).for_each(work);
            return Ok(Made::Bits(planes));
        }
        let mut reals = vec![0.0_f32; x.n * self.filters * n_windows];
        let per_image = self.filters * n_windows;
        for (image, reals) in reals.chunks_exact_mut(per_image).enumerate() {
            let work = |(group, reals): (usize, &mut [f32])| {
                let filters = Filters { prepared: self, weights: weights(group), offsets: offsets(group), group };
                geometry.reals(layer, &filters, &images[image], reals);
            };
            let pieces = reals.par_chunks_mut(EIGHT * n_windows).enumerate();
            pieces.with_min_len(self.least_pieces(n_windows, group_len)).for_each(work);
        }
        Ok(Made::Real(Tensor::from_f32(layer.output_shape(shape), reals)))
    }

    /// Groups of filters that are worth a task of their own together.
    fn least_pieces(&self, n_windows: usize, group_len: usize) -> usize {
        const WORDS_PER_TASK: usize = 1 << 14;
        (WORDS_PER_TASK / (n_windows * group_len).max(1)).max(1)
    }

    fn empty(&self, layer: &BinaryLayer, shape: &LayerShape, n: usize) -> Made {
        if self.bits.is_some() {
            Made::Bits(Planes::new(n, self.filters, [shape.p(), shape.q()]))
        } else {
            let output_shape = layer.output_shape(shape);
            let len = output_shape.iter().product();
            Made::Real(Tensor::from_f32(output_shape, vec![0.0; len]))
        }
    }
}

impl BitLimits {
    /// The kernel compares `value = 2 · count − offset − shift`, which is the sum of spikes, or the negative sum of signs.
    fn new(thresholds: &[Threshold], is_spikes: bool) -> Self {
        let groups = thresholds.len().div_ceil(EIGHT);
        // What is never below its limit: for filters that there are not, and those that never fire.
        let mut limits = vec![Eight([i64::MIN; 8]); groups];
        let mut flips = vec![0; groups];
        for (k, &threshold) in thresholds.iter().enumerate() {
            let limit = &mut limits[k / EIGHT].0[k % EIGHT];
            let mut set = |value: i64, flip: bool| {
                *limit = value;
                flips[k / EIGHT] |= u8::from(flip) << (k % EIGHT);
            };
            match threshold {
                Threshold::ALWAYS => set(i64::MIN, true),
                Threshold::NEVER => set(i64::MIN, false),
                // sum >= t: of signs −sum <= −t, of spikes not (sum <= t − 1).
                Threshold::AtLeast(t) if is_spikes => set(i64::from(t) - 1, true),
                Threshold::AtLeast(t) => set(-i64::from(t), false),
                // sum <= t: of signs not (−sum <= −t − 1).
                Threshold::AtMost(t) if is_spikes => set(i64::from(t), false),
                Threshold::AtMost(t) => set(-i64::from(t) - 1, true),
            }
        }
        Self { limits, flips }
    }
}

/// Where windows lie in an image with its padding.
#[derive(Debug)]
struct Geometry {
    /// Extents of the padded image.
    height: usize,
    width: usize,
    /// Rows and columns in front of the image.
    before: [usize; 2],
    n_words: usize,
    /// The first word of each output's window.
    bases: Vec<usize>,
    stretches: Vec<usize>,
    stretch_len: usize,
    /// For each output, which taps lie in the image: an index into `inside`. Only where padding is 0 beside signs.
    class_of: Vec<usize>,
    n_classes: usize,
    /// For each class, whether each tap lies in the image.
    inside: Vec<Vec<bool>>,
    /// For eight filters at a time and each class, what is taken off twice the count.
    offsets: Vec<Eight>,
}

impl Geometry {
    fn new(prepared: &Prepared, shape: &LayerShape, x: &Planes) -> Self {
        let n_words = prepared.channels.div_ceil(WORD);
        let [r, s] = prepared.kernel;
        // A dense layer on planes reads all of them at once.
        let is_whole = shape.r() * shape.s() != r * s;
        let ([row_stride, col_stride], [row_dilation, col_dilation], before, after) = if is_whole {
            ([1, 1], [1, 1], [0, 0], [0, 0])
        } else {
            (shape.strides(), shape.dilations(), shape.pads_begin(), shape.pads_end())
        };
        let [h, w] = x.extents;
        let (height, width) = (h + before[0] + after[0], w + before[1] + after[1]);
        let (p, q) = (shape.p(), shape.q());
        // Windows may end behind the padding where the extents are rounded up; convolutions round down.
        let mut bases = Vec::with_capacity(p * q);
        for p in 0..p {
            bases.extend((0..q).map(|q| (p * row_stride * width + q * col_stride) * n_words));
        }
        let joins = col_dilation == 1;
        let mut stretches = Vec::new();
        for tap_row in 0..r {
            let row = tap_row * row_dilation * width;
            if joins {
                stretches.push(row * n_words);
            } else {
                stretches.extend((0..s).map(|tap| (row + tap * col_dilation) * n_words));
            }
        }
        let stretch_len = if joins { s * n_words } else { n_words };
        let mut geometry = Self {
            height,
            width,
            before,
            n_words,
            bases,
            stretches,
            stretch_len,
            class_of: Vec::new(),
            n_classes: 1,
            inside: vec![vec![true; r * s]],
            offsets: Vec::new(),
        };
        let has_zeros = prepared.padding == BitPadding::Zero && !prepared.is_spikes && (height, width) != (h, w);
        if has_zeros {
            geometry.classify(shape);
        } else {
            geometry.class_of = vec![0; p * q];
        }
        geometry.offsets = geometry.offsets(prepared);
        geometry
    }

    /// Outputs by which of their taps lie in the image.
    fn classify(&mut self, shape: &LayerShape) {
        let (rows, cols) = (shape.rows(), shape.cols());
        let mut known: BTreeMap<Vec<bool>, usize> = BTreeMap::new();
        for (p, q) in (0..shape.p()).flat_map(|p| (0..shape.q()).map(move |q| (p, q))) {
            let taps = (0..shape.r()).flat_map(|r| (0..shape.s()).map(move |s| (r, s)));
            let inside = taps.map(|(r, s)| rows.read(p, r).is_some() && cols.read(q, s).is_some()).collect();
            let next = known.len();
            self.class_of.push(*known.entry(inside).or_insert(next));
        }
        self.inside = vec![Vec::new(); known.len()];
        for (inside, class) in known {
            self.inside[class] = inside;
        }
        self.n_classes = self.inside.len();
    }

    fn offsets(&self, prepared: &Prepared) -> Vec<Eight> {
        let n_taps = prepared.kernel[0] * prepared.kernel[1];
        let groups = prepared.filters.div_ceil(EIGHT);
        let mut classes = Vec::with_capacity(groups * self.n_classes);
        for group in 0..groups {
            let counts = &prepared.tap_counts[group * n_taps..][..n_taps];
            for inside in &self.inside {
                let mut offset = Eight::ZERO;
                if !prepared.is_spikes {
                    // A tap in the padding counted its weights' set bits, as its words are 0.
                    for (count, _) in counts.iter().zip(inside).filter(|(_, is_inside)| !**is_inside) {
                        offset.0.iter_mut().zip(count.0).for_each(|(offset, count)| *offset += 2 * count);
                    }
                    let n_inside = inside.iter().filter(|is_inside| **is_inside).count() * prepared.channels;
                    offset.0.iter_mut().for_each(|offset| *offset += n_inside as i64);
                }
                classes.push(offset);
            }
        }
        classes
    }

    /// The images as words of 64 channels, pixel by pixel, with their padding.
    fn images(&self, prepared: &Prepared, x: &Planes) -> Vec<Image> {
        let [h, w] = x.extents;
        let (depth, area) = (x.depth(), x.area());
        let fill = match prepared.padding {
            BitPadding::Bit(true) => (0..self.n_words).map(|word| filled(x.channels, word)).collect(),
            _ => vec![0; self.n_words],
        };
        let image = |image: usize| {
            let mut words: Vec<u64> =
                fill.iter().copied().cycle().take(self.height * self.width * self.n_words).collect();
            let planes = &x.bytes[image * depth * area..][..depth * area];
            for row in 0..h {
                let first = ((row + self.before[0]) * self.width + self.before[1]) * self.n_words;
                let target = &mut words[first..][..w * self.n_words];
                for word in 0..self.n_words {
                    let members = (depth - word * EIGHT).min(EIGHT);
                    let plane = |j: usize| &planes[((word * EIGHT + j) * area + row * w)..][..w];
                    if members == EIGHT {
                        let rows: [&[u8]; 8] = std::array::from_fn(plane);
                        for col in 0..w {
                            target[col * self.n_words + word] =
                                u64::from_le_bytes(std::array::from_fn(|j| rows[j][col]));
                        }
                    } else {
                        for col in 0..w {
                            let mut bytes = [0; 8];
                            (0..members).for_each(|j| bytes[j] = plane(j)[col]);
                            target[col * self.n_words + word] = u64::from_le_bytes(bytes);
                        }
                    }
                }
            }
            let shifts = if prepared.is_spikes { self.spikes(&words) } else { Vec::new() };
            Image { words, shifts }
        };
        (0..x.n).into_par_iter().map(image).collect()
    }

    /// Spikes in each window.
    fn spikes(&self, words: &[u64]) -> Vec<i64> {
        let count = |base: &usize| {
            let stretches = self.stretches.iter().map(|stretch| &words[base + stretch..][..self.stretch_len]);
            stretches.flatten().map(|word| i64::from(word.count_ones())).sum()
        };
        self.bases.iter().map(count).collect()
    }

    fn windows<'a>(&'a self, prepared: &Prepared, image: &'a Image) -> Windows<'a> {
        Windows {
            words: &image.words,
            stretches: &self.stretches,
            len: self.stretch_len,
            is_spikes: prepared.is_spikes,
        }
    }

    fn fires(&self, prepared: &Prepared, image: &Image, weights: &[Words], limits: &Limits<'_>, bytes: &mut [u8]) {
        let windows = self.windows(prepared, image);
        let mut first = 0;
        let (tiles, rest) = bytes.as_chunks_mut::<TILE>();
        for tile in tiles {
            *tile = self.tile(prepared.isa, &windows, image, weights, limits, first);
            first += TILE;
        }
        for byte in rest {
            [*byte] = self.tile(prepared.isa, &windows, image, weights, limits, first);
            first += 1;
        }
    }

    fn tile<const P: usize>(
        &self,
        isa: Isa,
        windows: &Windows<'_>,
        image: &Image,
        weights: &[Words],
        limits: &Limits<'_>,
        first: usize,
    ) -> [u8; P] {
        let bases = std::array::from_fn(|p| self.bases[first + p]);
        let classes = std::array::from_fn(|p| self.class_of[first + p]);
        let shifts = std::array::from_fn(|p| image.shift(first + p));
        kernel::fires(isa, windows, bases, weights, limits, classes, shifts)
    }

    /// Real sums of the filters of a group in one image.
    fn reals(&self, layer: &BinaryLayer, filters: &Filters<'_>, image: &Image, reals: &mut [f32]) {
        let n = self.bases.len();
        let n_whole = n - n % TILE;
        for first in (0..n_whole).step_by(TILE) {
            self.real_tile::<TILE>(layer, filters, image, first, reals);
        }
        for first in n_whole..n {
            self.real_tile::<1>(layer, filters, image, first, reals);
        }
    }

    fn real_tile<const P: usize>(
        &self,
        layer: &BinaryLayer,
        filters: &Filters<'_>,
        image: &Image,
        first: usize,
        reals: &mut [f32],
    ) {
        let windows = self.windows(filters.prepared, image);
        let bases: [usize; P] = std::array::from_fn(|p| self.bases[first + p]);
        let counts = kernel::counts(filters.prepared.isa, &windows, bases, filters.weights);
        for (lane, reals) in reals.chunks_exact_mut(self.bases.len()).enumerate() {
            for (p, real) in reals[first..first + P].iter_mut().enumerate() {
                let offset = filters.offsets[self.class_of[first + p]].0[lane];
                let value = 2 * counts[p].0[lane] - offset - image.shift(first + p);
                let sum = if filters.prepared.is_spikes { value } else { -value };
                *real = layer.real(filters.group * EIGHT + lane, sum as i32);
            }
        }
    }
}

/// Up to eight filters of a layer.
struct Filters<'a> {
    prepared: &'a Prepared,
    weights: &'a [Words],
    offsets: &'a [Eight],
    group: usize,
}

/// One image as words.
struct Image {
    words: Vec<u64>,
    /// Spikes in each window; empty of signs.
    shifts: Vec<i64>,
}

impl Image {
    fn shift(&self, window: usize) -> i64 {
        self.shifts.get(window).copied().unwrap_or(0)
    }
}

/// A word of channels that are all set.
fn filled(channels: usize, word: usize) -> u64 {
    let n = channels.saturating_sub(word * WORD).min(WORD);
    let bytes = std::array::from_fn(|j| used(n.saturating_sub(j * EIGHT).min(EIGHT)));
    u64::from_le_bytes(bytes)
}
