//! Scaling and centre-cropping an image to the extents that a network takes.
//!
//! The result for bytes is that of Pillow's `Image.resize` and `Image.crop`, bit for bit: both passes (columns, then
//! rows) weigh with 22-bit fixed-point coefficients and round to a byte. The filters widen when they shrink an image
//! (antialiasing). Only the part that survives the crop is computed.
//!
//! # Source
//! Pillow, `src/libImaging/Resample.c` (`precompute_coeffs`, `normalize_coeffs_8bpc`); the cubic is R. Keys, "Cubic
//! Convolution Interpolation for Digital Image Processing", IEEE Trans. ASSP 29, 1981, with a = −1/2. The extents
//! after scaling follow torchvision's `Resize(256)`.

use std::borrow::Cow;
use std::ops::Range;

use crate::preprocess::Filter;
use crate::{Image, Samples};

/// The short side to which images of any size are scaled before the crop.
const SHORT_SIDE: usize = 256;

/// Where the output lies in the scaled image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Placement {
    scaled: [usize; 2],
    offset: [usize; 2],
}

/// Scales and crops to `target` (rows, columns).
///
/// Images that have these extents stay as they are, unless `short_side` is given. Otherwise the short side becomes
/// `short_side` or, without it: 256 for images whose short side is at least 256 and for any set with images of
/// different extents (`fixed` is false), as far as that covers the target; else just so large that the image covers
/// the target. The long side follows, rounded down. The crop is centred; its offset is rounded
/// down.
pub(crate) fn fit(
    image: Image<'_>,
    target: [usize; 2],
    short_side: Option<usize>,
    filter: Filter,
    fixed: bool,
) -> Image<'_> {
    let extents = [image.height, image.width];
    if short_side.is_none() && extents == target {
        return image;
    }
    let placement = place(extents, target, short_side, fixed);
    if placement.scaled == extents && target == extents {
        return image;
    }
    let resample = Resample {
        extents,
        target,
        rows: taps(extents[0], placement.scaled[0], placement.offset[0], target[0], filter),
        columns: taps(extents[1], placement.scaled[1], placement.offset[1], target[1], filter),
    };
    let samples = match &image.samples {
        Samples::U8(values) => Samples::U8(Cow::Owned(resample.planes(values, bytes_pass))),
        Samples::F32(values) => Samples::F32(Cow::Owned(resample.planes(values, floats_pass))),
    };
    Image { channels: image.channels, height: target[0], width: target[1], samples }
}

/// What [`fit`] does to images that all have `extents`, for people; `None` if it leaves them as they are.
pub(crate) fn describe(extents: [usize; 2], target: [usize; 2], short_side: Option<usize>) -> Option<String> {
    let text = |[height, width]: [usize; 2]| format!("{height}x{width}");
    if short_side.is_none() && extents == target {
        return None;
    }
    let scaled = place(extents, target, short_side, true).scaled;
    let resized = format!("resized from {} to {}", text(extents), text(scaled));
    match (scaled == extents, scaled == target) {
        (true, true) => None,
        (false, true) => Some(resized),
        (true, false) => Some(format!("cropped from {} to {} around the center", text(extents), text(target))),
        (false, false) => Some(format!("{resized}, then cropped to {} around the center", text(target))),
    }
}

/// What [`fit`] does to images of any extents, for people.
pub(crate) fn describe_any([height, width]: [usize; 2], short_side: Option<usize>) -> String {
    let side = short_side.unwrap_or(SHORT_SIDE);
    let scaled = if side < height.max(width) {
        format!("resized to a short side of {side} or to cover {height}x{width}")
    } else {
        format!("resized to a short side of {side}")
    };
    let kept = if short_side.is_none() { ", if they have other extents" } else { "" };
    format!("{scaled}, then cropped to {height}x{width} around the center{kept}")
}

fn place(extents: [usize; 2], target: [usize; 2], short_side: Option<usize>, fixed: bool) -> Placement {
    let [h, w] = extents;
    let short = h.min(w);
    let by_short_side = |side: usize| extents.map(|extent| if extent == short { side } else { side * extent / short });
    let covers = |scaled: &[usize; 2]| scaled[0] >= target[0] && scaled[1] >= target[1];
    let preferred = short_side.or((!fixed || short >= SHORT_SIDE).then_some(SHORT_SIDE));
    let scaled = preferred.map(by_short_side).filter(covers).unwrap_or_else(|| {
        // The larger of the two scale factors, compared as target[0] / h against target[1] / w.
        if target[0] * w >= target[1] * h {
            [target[0], (target[0] * w / h).max(target[1])]
        } else {
            [(target[1] * h / w).max(target[0]), target[1]]
        }
    });
    Placement { scaled, offset: [0, 1].map(|axis| (scaled[axis] - target[axis]) / 2) }
}

/// The inputs of one output position along one axis, and their weights.
#[derive(Debug, Clone)]
struct Taps {
    inputs: Range<usize>,
    weights: Vec<f64>,
    fixed_weights: Vec<i32>,
}

/// Fraction bits of the fixed-point weights: 32 less 8 for the byte and 2 for overshoot.
const PRECISION_BITS: u32 = 32 - 8 - 2;

fn taps(extent: usize, scaled: usize, offset: usize, len: usize, filter: Filter) -> Vec<Taps> {
    let scale = extent as f64 / scaled as f64;
    let filter_scale = scale.max(1.0);
    (offset..offset + len)
        .map(|position| {
            let center = (position as f64 + 0.5) * scale;
            let Some(support) = support(filter) else {
                let nearest = (center as usize).min(extent - 1);
                return Taps::new(nearest..nearest + 1, vec![1.0]);
            };
            let reach = support * filter_scale;
            // Casts of f64 to usize saturate: what lies left of the image becomes 0.
            let start = (center - reach + 0.5) as usize;
            let end = ((center + reach + 0.5) as usize).min(extent);
            let weigh = |input: usize| weight(filter, (input as f64 - center + 0.5) * (1.0 / filter_scale));
            let raw: Vec<f64> = (start..end).map(weigh).collect();
            let total: f64 = raw.iter().sum();
            Taps::new(start..end, raw.iter().map(|weight| weight / total).collect())
        })
        .collect()
}

impl Taps {
    fn new(inputs: Range<usize>, weights: Vec<f64>) -> Self {
        let one = f64::from(1 << PRECISION_BITS);
        // Rounds to nearest, ties away from zero.
        let fixed_weights = weights.iter().map(|w| (w * one + 0.5f64.copysign(*w)) as i32).collect();
        Self { inputs, weights, fixed_weights }
    }
}

/// How far a filter reaches, in pixels of the coarser grid; `None` for the nearest pixel.
fn support(filter: Filter) -> Option<f64> {
    match filter {
        Filter::Nearest => None,
        Filter::Bilinear => Some(1.0),
        Filter::Bicubic => Some(2.0),
    }
}

fn weight(filter: Filter, distance: f64) -> f64 {
    const A: f64 = -0.5;
    let x = distance.abs();
    match filter {
        Filter::Nearest => 1.0,
        Filter::Bilinear => (1.0 - x).max(0.0),
        Filter::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        Filter::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        Filter::Bicubic => 0.0,
    }
}

/// Everything needed to resample planes of one size.
struct Resample {
    extents: [usize; 2],
    target: [usize; 2],
    rows: Vec<Taps>,
    columns: Vec<Taps>,
}

impl Resample {
    /// Resamples each plane: columns first, for those rows that the second pass reads, then rows.
    ///
    /// `pass(values, start, stride, taps)` weighs the values at `start`, `start + stride`, ….
    fn planes<T: Copy>(&self, values: &[T], pass: impl Fn(&[T], usize, usize, &Taps) -> T) -> Vec<T> {
        let [height, width] = self.extents;
        let first_row = self.rows.iter().map(|taps| taps.inputs.start).min().unwrap_or(0);
        let last_row = self.rows.iter().map(|taps| taps.inputs.end).max().unwrap_or(0);
        let mut out = Vec::with_capacity(values.len() / (height * width) * self.target[0] * self.target[1]);
        let mut narrowed = Vec::with_capacity((last_row - first_row) * self.target[1]);
        for plane in values.chunks_exact(height * width) {
            narrowed.clear();
            for row in first_row..last_row {
                let narrow = |taps: &Taps| pass(plane, row * width + taps.inputs.start, 1, taps);
                narrowed.extend(self.columns.iter().map(narrow));
            }
            for taps in &self.rows {
                let start = (taps.inputs.start - first_row) * self.target[1];
                out.extend((0..self.target[1]).map(|column| pass(&narrowed, start + column, self.target[1], taps)));
            }
        }
        out
    }
}

/// Fixed-point weighing, rounded to nearest (half up) and clamped to a byte.
fn bytes_pass(values: &[u8], start: usize, stride: usize, taps: &Taps) -> u8 {
    let inputs = values[start..].iter().step_by(stride);
    let sum = inputs.zip(&taps.fixed_weights).map(|(&value, weight)| i32::from(value) * weight).sum::<i32>();
    ((sum + (1 << (PRECISION_BITS - 1))) >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Weighing in f64, rounded to f32 after each pass.
fn floats_pass(values: &[f32], start: usize, stride: usize, taps: &Taps) -> f32 {
    let inputs = values[start..].iter().step_by(stride);
    inputs.zip(&taps.weights).map(|(&value, weight)| f64::from(value) * weight).sum::<f64>() as f32
}
