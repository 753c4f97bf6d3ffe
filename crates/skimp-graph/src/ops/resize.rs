//! Resize: scales or sizes as inputs, of some axes only since opset 18.

use crate::onnx::export::{Context, Form, signed};
use crate::onnx::functions::Steps;
use crate::onnx::import::{Importer, NodeView, as_f32};
use crate::onnx::symbolic::{Extent, Shape, Symbols, normalize_axis};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::reference::number::{Float, for_any, for_float};
use crate::reference::strided::around_axis;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f, t};
use crate::{Data, Element, GraphError, Tensor};

/// What becomes of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// It stays.
    Keep,
    /// Its extent times this, rounded down.
    Scale(f32),
    /// This extent.
    Size(usize),
    /// This extent, rounded from the input's times a scale that all axes share: where coordinates are, the scale says.
    Fitted {
        /// The extent.
        size: usize,
        /// The scale.
        scale: f64,
    },
}

/// How an element between others is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interpolation {
    /// The nearest one.
    Nearest(Nearest),
    /// Between two neighbours.
    Linear {
        /// Whether neighbours outside count nothing, instead of repeating the edge.
        exclude_outside: bool,
    },
    /// Between four neighbours.
    Cubic {
        /// The coefficient a of the kernel.
        a: f32,
        /// Whether neighbours outside count nothing, instead of repeating the edge.
        exclude_outside: bool,
    },
}

/// Which of two elements is the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearest {
    /// The nearer one, the first of equally near ones.
    RoundPreferFloor,
    /// The nearer one, the second of equally near ones.
    RoundPreferCeil,
    /// The first.
    Floor,
    /// The second.
    Ceil,
}

/// Which coordinate of the input an output coordinate stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// Centres of pixels.
    HalfPixel,
    /// Centres of pixels, with the image in the middle where the extent was rounded down.
    HalfPixelSymmetric,
    /// Centres of pixels, but the first one for an output of one.
    PytorchHalfPixel,
    /// First on first, last on last.
    AlignCorners,
    /// `x / scale`.
    Asymmetric,
    /// `(x + 0.5) / scale`.
    TfHalfPixelForNn,
    /// Within a region of interest.
    TfCropAndResize,
}

/// Resamples along some axes, one after the other from the last to the first, in f64, rounded once.
///
/// # Source
/// ONNX's specification of Resize (opset 19). Scales that a size implies are its ratio to the extent, in f64. The resized
/// length is the output's extent, as the text says and onnxruntime has it; ONNX's reference implementation takes a length
/// that may be fractional where scales are given, and so differs for aligned corners.
#[derive(Clone, Debug, PartialEq)]
pub struct Resize {
    /// What becomes of each axis.
    pub targets: Vec<Target>,
    /// How an element between others is found.
    pub interpolation: Interpolation,
    /// Which coordinate of the input an output coordinate stands for.
    pub coordinates: Coordinates,
    /// First and last coordinate of the region of interest of each axis, of `TfCropAndResize` only.
    pub regions: Vec<[f32; 2]>,
    /// What lies outside the input, of `TfCropAndResize` only.
    pub extrapolation: f32,
    /// Whether the kernel is as much wider as an axis shrinks, so that every element counts.
    pub antialias: bool,
}

impl Resize {
    fn output_extent(&self, axis: usize, input: usize) -> usize {
        match self.targets[axis] {
            Target::Keep => input,
            Target::Scale(scale) => (input as f64 * f64::from(scale)).floor() as usize,
            Target::Size(size) | Target::Fitted { size, .. } => size,
        }
    }

    /// The scale of an axis that shrinks, where the kernel is as much wider.
    fn shrinks(&self, axis: usize, input: usize, output: usize) -> Option<f64> {
        let scale = self.scale(axis, input, output);
        (self.antialias && scale < 1.0).then_some(scale)
    }

    fn scale(&self, axis: usize, input: usize, output: usize) -> f64 {
        match self.targets[axis] {
            Target::Scale(scale) => f64::from(scale),
            Target::Fitted { scale, .. } => scale,
            Target::Keep | Target::Size(_) => output as f64 / input as f64,
        }
    }

    /// The input coordinate that output index `x` along `axis` stands for.
    fn coordinate(&self, axis: usize, x: usize, input: usize, output: usize) -> f64 {
        let (n, m, x) = (input as f64, output as f64, x as f64);
        let scale = self.scale(axis, input, output);
        let half_pixel = (x + 0.5) / scale - 0.5;
        match self.coordinates {
            Coordinates::HalfPixel => half_pixel,
            Coordinates::HalfPixelSymmetric => {
                let exact = match self.targets[axis] {
                    Target::Scale(scale) => f64::from(scale) * n,
                    Target::Fitted { scale, .. } => scale * n,
                    Target::Keep | Target::Size(_) => m,
                };
                n / 2.0 * (1.0 - m / exact) + half_pixel
            }
            Coordinates::PytorchHalfPixel => {
                if output == 1 {
                    0.0
                } else {
                    half_pixel
                }
            }
            Coordinates::AlignCorners => {
                if output == 1 {
                    0.0
                } else {
                    x * (n - 1.0) / (m - 1.0)
                }
            }
            Coordinates::Asymmetric => x / scale,
            Coordinates::TfHalfPixelForNn => (x + 0.5) / scale,
            Coordinates::TfCropAndResize => {
                let [first, last] = self.regions.get(axis).copied().unwrap_or([0.0, 1.0]).map(f64::from);
                if output == 1 {
                    (first + last) / 2.0 * (n - 1.0)
                } else {
                    first * (n - 1.0) + x * (last - first) * (n - 1.0) / (m - 1.0)
                }
            }
        }
    }

    /// The elements that join in output index `x` along `axis`, with their weights; `None` for one outside.
    fn taps(&self, axis: usize, x: usize, input: usize, output: usize) -> Option<Vec<(usize, f64)>> {
        let at = self.coordinate(axis, x, input, output);
        let last = input.saturating_sub(1) as f64;
        if self.coordinates == Coordinates::TfCropAndResize && !(0.0..=last).contains(&at) {
            return None;
        }
        let (base, fraction) = (at.floor(), at - at.floor());
        let (weights, first, exclude_outside) = match self.interpolation {
            Interpolation::Nearest(nearest) => {
                let index = match nearest {
                    Nearest::RoundPreferFloor if fraction > 0.5 => base + 1.0,
                    Nearest::RoundPreferCeil if fraction >= 0.5 => base + 1.0,
                    Nearest::Ceil => at.ceil(),
                    Nearest::RoundPreferFloor | Nearest::RoundPreferCeil | Nearest::Floor => base,
                };
                return Some(vec![(index.clamp(0.0, last) as usize, 1.0)]);
            }
            Interpolation::Linear { exclude_outside } => match self.shrinks(axis, input, output) {
                Some(scale) => wide(fraction, scale, 1.0, base, exclude_outside, |x| 1.0 - x),
                None => (vec![1.0 - fraction, fraction], base, exclude_outside),
            },
            Interpolation::Cubic { a, exclude_outside } => match self.shrinks(axis, input, output) {
                Some(scale) => wide(fraction, scale, 2.0, base, exclude_outside, |x| keys(x, a.into())),
                None => (cubic(fraction, a.into()), base - 1.0, exclude_outside),
            },
        };
        let places = (0..weights.len()).map(|i| first + i as f64);
        let mut taps = Vec::with_capacity(weights.len());
        for (place, weight) in places.zip(weights) {
            if !exclude_outside || (0.0..=last).contains(&place) {
                taps.push((place.clamp(0.0, last) as usize, weight));
            }
        }
        if exclude_outside {
            let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
            taps.iter_mut().for_each(|(_, weight)| *weight /= sum);
        }
        Some(taps)
    }
}

/// The weights of all elements that a kernel of `radius`, drawn out by `1 / scale`, reaches around `base + fraction`, whose
/// sum is 1; the first of these elements, and whether those outside count nothing.
fn wide(
    fraction: f64,
    scale: f64,
    radius: f64,
    base: f64,
    exclude_outside: bool,
    kernel: impl Fn(f64) -> f64,
) -> (Vec<f64>, f64, bool) {
    let reach = radius / scale;
    let (first, last) = ((fraction - reach).floor() as i64, (fraction + reach).ceil() as i64);
    let weight = |place: i64| {
        let distance = (place as f64 - fraction).abs() * scale;
        if distance < radius { kernel(distance) } else { 0.0 }
    };
    let mut weights: Vec<f64> = (first..=last).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    (weights, base + first as f64, exclude_outside)
}

/// The cubic kernel at a distance of up to 2.
fn keys(x: f64, a: f64) -> f64 {
    if x <= 1.0 { ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0 } else { ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a }
}

/// The weights of the neighbours −1, 0, 1 and 2 (Keys, "Cubic convolution interpolation for digital image processing",
/// 1981).
fn cubic(x: f64, a: f64) -> Vec<f64> {
    [x + 1.0, x, 1.0 - x, 2.0 - x].map(|distance| keys(distance, a)).to_vec()
}

impl Operator for Resize {
    facts!(Pools, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        if !matches!(self.interpolation, Interpolation::Nearest(_)) {
            signature.float()?;
        }
        if self.targets.len() != x.shape.len() {
            let n = self.targets.len();
            return Err(signature.invalid(format!("has {n} scales or sizes for {} dims", x.shape.len())));
        }
        let shape: Vec<usize> = x.shape.iter().enumerate().map(|(axis, &n)| self.output_extent(axis, n)).collect();
        for (axis, (&input, &output)) in x.shape.iter().zip(&shape).enumerate() {
            let is_scale = |scale: &f32| scale.is_finite() && *scale > 0.0;
            if let Target::Scale(scale) = self.targets[axis]
                && !is_scale(&scale)
            {
                return Err(signature.invalid(format!("axis {axis} is scaled by {scale}, expected a number above 0")));
            }
            if input == 0 && output > 0 {
                return Err(signature.invalid(format!("axis {axis} of extent 0 becomes one of {output}")));
            }
        }
        Ok(shaped(x, shape))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        if matches!(self.interpolation, Interpolation::Nearest(_)) && self.coordinates != Coordinates::TfCropAndResize {
            return for_any!(call.input(0).data(), x => Ok(vec![nearest(call, x, self)?.into()]));
        }
        for_float!(
            call.input(0).data(),
            x => Ok(vec![interpolate(call, x, self)?.into()]),
            Err(call.unsupported_type())
        )
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        self.targets.first() == Some(&Target::Keep)
    }

    fn carries(&self, _rank: usize, axis: usize) -> Result<usize, &'static str> {
        match self.targets.get(axis) {
            Some(Target::Keep) => Ok(axis),
            // Exactly 1 only: the extent is the input's then.
            Some(Target::Scale(factor)) if factor.to_bits() == 1.0_f32.to_bits() => Ok(axis),
            Some(_) | None => Err("it gives that axis another extent"),
        }
    }

    fn rounding(&self) -> Rounding {
        match self.interpolation {
            Interpolation::Nearest(_) => Rounding::Exact,
            Interpolation::Linear { .. } | Interpolation::Cubic { .. } => Rounding::Rounds,
        }
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        // It goes along one axis after the other, and rounds on the way.
        let is_resized = |axis: usize| self.targets.get(axis) != Some(&Target::Keep) || !self.regions.is_empty();
        let targets = order::entries(&self.targets, order).filter(|_| order::keeps_sequence(order, is_resized))?;
        Some(order::first(order, ranks)?.with(Op::Resize(Self { targets, ..self.clone() })))
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let (mode, exclude_outside) = match self.interpolation {
            Interpolation::Nearest(_) => ("nearest", false),
            Interpolation::Linear { exclude_outside } => ("linear", exclude_outside),
            Interpolation::Cubic { exclude_outside, .. } => ("cubic", exclude_outside),
        };
        let mut form = form.since(13).string("mode", mode);
        form = form.string("coordinate_transformation_mode", coordinates_name(self.coordinates));
        form = match self.interpolation {
            Interpolation::Nearest(nearest) => form.string("nearest_mode", nearest_name(nearest)),
            Interpolation::Cubic { a, .. } => form.float("cubic_coeff_a", a),
            Interpolation::Linear { .. } => form,
        };
        if exclude_outside {
            form = form.int("exclude_outside", 1);
        }
        if self.antialias {
            form = form.since(18).int("antialias", 1);
        }
        if self.coordinates == Coordinates::HalfPixelSymmetric {
            form = form.since(19);
        }
        if self.coordinates == Coordinates::TfHalfPixelForNn {
            return Err("tf_half_pixel_for_nn, which operator sets after 11 lack".to_owned());
        }
        let changed: Vec<usize> = (0..self.targets.len()).filter(|&axis| self.targets[axis] != Target::Keep).collect();
        if self.coordinates == Coordinates::TfCropAndResize {
            let ends = |end: usize| self.regions.iter().map(move |region| region[end]);
            let regions: Vec<f32> = ends(0).chain(ends(1)).collect();
            form = form.float("extrapolation_value", self.extrapolation);
            form = form.parameter(1, "roi", Tensor::from_f32(vec![regions.len()], regions));
        }
        let sizes: Option<Vec<usize>> = changed
            .iter()
            .map(|&axis| match self.targets[axis] {
                Target::Size(size) => Some(size),
                // The axis that the scale comes from is smaller in proportion.
                Target::Fitted { size, .. } => Some(size + 1),
                Target::Keep | Target::Scale(_) => None,
            })
            .collect();
        if changed.iter().any(|&axis| matches!(self.targets[axis], Target::Fitted { .. })) {
            if !changed.iter().any(|&axis| matches!(self.targets[axis], Target::Size(_))) {
                return Err("extents that were all rounded to keep an aspect ratio".to_owned());
            }
            form = form.string("keep_aspect_ratio_policy", "not_larger");
        }
        match sizes.filter(|sizes| !sizes.is_empty()) {
            Some(sizes) => {
                if self.coordinates == Coordinates::TfCropAndResize && changed.len() < self.targets.len() {
                    return Err("a region of interest with sizes of some axes only".to_owned());
                }
                Ok(form.since(18).ints("axes", signed(&changed)).int_vector(3, "sizes", &signed(&sizes)))
            }
            None => {
                let scales = self.targets.iter().map(|target| match target {
                    Target::Keep => Ok(1.0),
                    Target::Scale(scale) => Ok(*scale),
                    Target::Size(_) | Target::Fitted { .. } => {
                        Err("scales of some axes and sizes of others".to_owned())
                    }
                });
                let scales: Vec<f32> = scales.collect::<Result<_, _>>()?;
                Ok(form.parameter(2, "scales", Tensor::from_f32(vec![scales.len()], scales)))
            }
        }
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let x = inputs.first()?.as_ref().filter(|x| x.len() == self.targets.len())?;
        let extent = |(axis, &extent): (usize, &Extent)| match (self.targets[axis], extent) {
            (Target::Keep, extent) => extent,
            (Target::Size(size) | Target::Fitted { size, .. }, _) => Extent::Known(size),
            (Target::Scale(_), Extent::Known(n)) => Extent::Known(self.output_extent(axis, n)),
            (Target::Scale(_), Extent::Symbol(_)) => Extent::Symbol(symbols.fresh()),
        };
        Some(x.iter().enumerate().map(extent).collect())
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs == [true] && !matches!(self.interpolation, Interpolation::Cubic { .. }) && self.extrapolation >= 0.0
    }
}

fn nearest<T: Element>(call: &Call<'_>, x: &[T], op: &Resize) -> Result<Vec<T>, GraphError> {
    let mut data = x.to_vec();
    let mut shape = call.input(0).shape().to_vec();
    for axis in (0..shape.len()).rev().filter(|&axis| op.targets[axis] != Target::Keep) {
        let (outer, input, inner) = around_axis(&shape, axis);
        let output = call.output_shape()[axis];
        let mut next = call.allocate(outer * output * inner)?;
        for block in 0..outer {
            for x in 0..output {
                let index = op.taps(axis, x, input, output).and_then(|taps| taps.first().map(|tap| tap.0)).unwrap_or(0);
                next.extend_from_slice(&data[(block * input + index) * inner..][..inner]);
            }
        }
        data = next;
        shape[axis] = output;
    }
    Ok(data)
}

fn interpolate<T: Float>(call: &Call<'_>, x: &[T], op: &Resize) -> Result<Vec<T>, GraphError> {
    let mut data: Vec<f64> = call.allocate(x.len())?;
    data.extend(x.iter().map(|x| x.to_f64()));
    let mut shape = call.input(0).shape().to_vec();
    let crops = op.coordinates == Coordinates::TfCropAndResize;
    for axis in (0..shape.len()).rev().filter(|&axis| crops || op.targets[axis] != Target::Keep) {
        let (outer, input, inner) = around_axis(&shape, axis);
        let output = call.output_shape()[axis];
        let mut next: Vec<f64> = call.allocate(outer * output * inner)?;
        for block in 0..outer {
            for x in 0..output {
                let taps = op.taps(axis, x, input, output);
                for lane in 0..inner {
                    let tap = |(index, weight): &(usize, f64)| data[(block * input + index) * inner + lane] * weight;
                    let sum = taps.as_ref().map(|taps| taps.iter().map(tap).sum());
                    next.push(sum.unwrap_or(f64::from(op.extrapolation)));
                }
            }
        }
        data = next;
        shape[axis] = output;
    }
    let mut y = call.allocate_output()?;
    y.extend(data.into_iter().map(T::from_f64));
    Ok(y)
}

fn coordinates_name(coordinates: Coordinates) -> &'static str {
    match coordinates {
        Coordinates::HalfPixel => "half_pixel",
        Coordinates::HalfPixelSymmetric => "half_pixel_symmetric",
        Coordinates::PytorchHalfPixel => "pytorch_half_pixel",
        Coordinates::AlignCorners => "align_corners",
        Coordinates::Asymmetric => "asymmetric",
        Coordinates::TfHalfPixelForNn => "tf_half_pixel_for_nn",
        Coordinates::TfCropAndResize => "tf_crop_and_resize",
    }
}

fn nearest_name(nearest: Nearest) -> &'static str {
    match nearest {
        Nearest::RoundPreferFloor => "round_prefer_floor",
        Nearest::RoundPreferCeil => "round_prefer_ceil",
        Nearest::Floor => "floor",
        Nearest::Ceil => "ceil",
    }
}

fn interpolation(node: &NodeView<'_>) -> Result<Interpolation, GraphError> {
    let exclude_outside = node.flag("exclude_outside", false)?;
    let default = if node.opset() < 11 { Nearest::Floor } else { Nearest::RoundPreferFloor };
    let nearest = match node.string("nearest_mode")? {
        None => default,
        Some("round_prefer_floor") => Nearest::RoundPreferFloor,
        Some("round_prefer_ceil") => Nearest::RoundPreferCeil,
        Some("floor") => Nearest::Floor,
        Some("ceil") => Nearest::Ceil,
        Some(other) => return Err(node.invalid(format!("attribute \"nearest_mode\" is \"{other}\""))),
    };
    match node.string("mode")? {
        None | Some("nearest") => Ok(Interpolation::Nearest(nearest)),
        Some("linear") => Ok(Interpolation::Linear { exclude_outside }),
        Some("cubic") => Ok(Interpolation::Cubic { a: node.float_or("cubic_coeff_a", -0.75)?, exclude_outside }),
        Some(other) => Err(node.invalid(format!("attribute \"mode\" is \"{other}\""))),
    }
}

fn coordinates(node: &NodeView<'_>) -> Result<Coordinates, GraphError> {
    use Coordinates as C;
    if node.opset() < 11 {
        return Ok(C::Asymmetric);
    }
    let stated = node.string("coordinate_transformation_mode")?.unwrap_or("half_pixel");
    let known = [
        C::HalfPixel,
        C::HalfPixelSymmetric,
        C::PytorchHalfPixel,
        C::AlignCorners,
        C::Asymmetric,
        C::TfHalfPixelForNn,
        C::TfCropAndResize,
    ];
    let found = known.into_iter().find(|mode| coordinates_name(*mode) == stated);
    found.ok_or_else(|| node.invalid(format!("attribute \"coordinate_transformation_mode\" is \"{stated}\"")))
}

/// What becomes of the listed axes, by scales or by sizes.
fn targets(
    node: &NodeView<'_>,
    importer: &mut Importer,
    x: &[Extent],
    axes: &[usize],
) -> Result<Vec<Target>, GraphError> {
    let scales_at = if node.opset() < 11 { 1 } else { 2 };
    let scales = importer.parameter(node, scales_at)?.filter(|scales| !scales.is_empty());
    let mut targets = vec![Target::Keep; x.len()];
    let check = |n: usize| {
        if n == axes.len() {
            return Ok(());
        }
        Err(node.invalid(format!("{n} scales or sizes for {} axes", axes.len())))
    };
    if let Some(scales) = scales {
        let scales = as_f32(&scales).ok_or_else(|| node.invalid("scales that are not floating point"))?;
        check(scales.len())?;
        for (&axis, &scale) in axes.iter().zip(&scales) {
            // By 1 exactly: the axis stays.
            targets[axis] = if scale.to_bits() == 1_f32.to_bits() { Target::Keep } else { Target::Scale(scale) };
        }
        return Ok(targets);
    }
    let sizes = importer.symbolic_ints(node, 3)?.ok_or_else(|| node.invalid("neither scales nor sizes"))?;
    check(sizes.len())?;
    let policy = node.string("keep_aspect_ratio_policy")?.unwrap_or("stretch");
    for (&axis, size) in axes.iter().zip(&sizes) {
        targets[axis] = match *size {
            Err(symbol) if x[axis] == Extent::Symbol(symbol) => Target::Keep,
            Err(_) => return Err(node.unsupported(format!("a size of axis {axis} that is not known at import"))),
            Ok(size) => match usize::try_from(size) {
                Ok(size) if x[axis] == Extent::Known(size) => Target::Keep,
                Ok(size) => Target::Size(size),
                Err(_) => return Err(node.invalid(format!("a size of {size}"))),
            },
        };
    }
    if policy != "stretch" {
        keep_aspect_ratio(node, policy, x, axes, &sizes, &mut targets)?;
    }
    Ok(targets)
}

/// One scale for all axes, that of the smallest or of the largest ratio.
fn keep_aspect_ratio(
    node: &NodeView<'_>,
    policy: &str,
    x: &[Extent],
    axes: &[usize],
    sizes: &[Result<i64, crate::onnx::symbolic::Symbol>],
    targets: &mut [Target],
) -> Result<(), GraphError> {
    let open = || node.unsupported("an aspect ratio of open extents");
    let mut ratios = Vec::with_capacity(axes.len());
    for (&axis, size) in axes.iter().zip(sizes) {
        let size = size.map_err(|_| open())?;
        ratios.push(size as f64 / x[axis].known().ok_or_else(open)? as f64);
    }
    let ratio = match policy {
        "not_larger" => ratios.into_iter().fold(f64::INFINITY, f64::min),
        "not_smaller" => ratios.into_iter().fold(0.0, f64::max),
        other => return Err(node.invalid(format!("attribute \"keep_aspect_ratio_policy\" is \"{other}\""))),
    };
    for &axis in axes {
        // Rounded half up, as the specification says.
        let exact = x[axis].known().ok_or_else(open)? as f64 * ratio;
        let size = (exact + 0.5).floor() as usize;
        targets[axis] = match () {
            () if (exact - size as f64).abs() > 1e-9 * exact => Target::Fitted { size, scale: ratio },
            () if x[axis] == Extent::Known(size) => Target::Keep,
            () => Target::Size(size),
        };
    }
    Ok(())
}

impl Definition for Resize {
    const NAME: &'static str = "Resize";
    const ATTRIBUTES: &'static [&'static str] = &[
        "antialias",
        "axes",
        "coordinate_transformation_mode",
        "cubic_coeff_a",
        "exclude_outside",
        "extrapolation_value",
        "keep_aspect_ratio_policy",
        "mode",
        "nearest_mode",
    ];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 4)?;
        let id = importer.value(node, 0)?;
        let x = importer.shape(id).clone().ok_or_else(|| node.unsupported("an input of unknown rank"))?;
        let all: Vec<i64> = (0..).take(x.len()).collect();
        let axes = node.ints("axes")?.unwrap_or(&all);
        let axes: Option<Vec<usize>> = axes.iter().map(|&axis| normalize_axis(axis, x.len())).collect();
        let axes = axes.ok_or_else(|| node.invalid("an axis that the input lacks"))?;
        let targets = targets(node, importer, &x, &axes)?;
        let coordinates = coordinates(node)?;
        let mut regions = Vec::new();
        if coordinates == Coordinates::TfCropAndResize {
            let roi = importer.parameter(node, 1)?.and_then(|roi| as_f32(&roi));
            let roi = roi.filter(|roi| roi.len() == 2 * axes.len());
            let roi =
                roi.ok_or_else(|| node.invalid("a region of interest with other than two numbers for an axis"))?;
            regions = vec![[0.0, 1.0]; x.len()];
            for (i, &axis) in axes.iter().enumerate() {
                regions[axis] = [roi[i], roi[axes.len() + i]];
            }
        }
        let extrapolation = node.float_or("extrapolation_value", 0.0)?;
        let scales: Vec<f32> = targets.iter().map(|t| if let Target::Scale(s) = t { *s } else { 1.0 }).collect();
        let is_nearest = matches!(interpolation(node)?, Interpolation::Nearest(_));
        if node.opset() < 11 && is_nearest && scales.iter().any(|&scale| scale < 1.0) {
            return Steps::new(node, importer).resize_before_modes(&scales);
        }
        // Nearest elements have no kernel.
        let antialias = node.flag("antialias", false)? && !is_nearest;
        let interpolation = interpolation(node)?;
        let op = Op::Resize(Self { targets, interpolation, coordinates, regions, extrapolation, antialias });
        importer.emit(node, op, vec![Some(id)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let rank = generator.shape(x).len();
        let draws = &mut generator.draws;
        let targets = (0..rank).map(|axis| match draws.below(4) {
            _ if axis < 2 && rank > 2 => Target::Keep,
            0 => Target::Keep,
            1 => Target::Scale([0.5, 1.5, 2.0, 1.3][draws.below(4)]),
            _ => Target::Size(draws.between(1, 6)),
        });
        let targets = targets.collect();
        let exclude_outside = draws.chance(0.3);
        let interpolation = match draws.below(3) {
            0 => Interpolation::Nearest([Nearest::RoundPreferFloor, Nearest::Floor, Nearest::Ceil][draws.below(3)]),
            1 => Interpolation::Linear { exclude_outside },
            _ => Interpolation::Cubic { a: -0.75, exclude_outside },
        };
        let coordinates = [Coordinates::HalfPixel, Coordinates::AlignCorners, Coordinates::Asymmetric][draws.below(3)];
        let antialias = draws.chance(0.3) && !matches!(interpolation, Interpolation::Nearest(_));
        let op = Self { targets, interpolation, coordinates, regions: Vec::new(), extrapolation: 0.0, antialias };
        unary::draw(generator, x, Op::Resize(op))
    }

    fn cases() -> Vec<Case> {
        let resize = |targets: Vec<Target>, interpolation, coordinates| {
            let regions = Vec::new();
            Op::Resize(Self { targets, interpolation, coordinates, regions, extrapolation: 0.0, antialias: false })
        };
        let row = f(&[1, 4], &[1.0, 2.0, 3.0, 4.0]);
        let linear = Interpolation::Linear { exclude_outside: false };
        let nearest = Interpolation::Nearest(Nearest::Floor);
        let size = |n| vec![Target::Keep, Target::Size(n)];
        let wide = Op::Resize(Self {
            targets: size(2),
            interpolation: linear,
            coordinates: Coordinates::HalfPixel,
            regions: Vec::new(),
            extrapolation: 0.0,
            antialias: true,
        });
        vec![
            case(
                "nearest",
                resize(vec![Target::Keep, Target::Scale(2.0)], nearest, Coordinates::Asymmetric),
                [t(&[1, 2], &[3_u8, 4])],
                t(&[1, 4], &[3_u8, 3, 4, 4]),
            ),
            case(
                "linear",
                resize(vec![Target::Keep, Target::Scale(2.0)], linear, Coordinates::HalfPixel),
                [row.clone()],
                f(&[1, 8], &[1.0, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4.0]),
            ),
            case(
                "linear, corners aligned",
                resize(size(7), linear, Coordinates::AlignCorners),
                [row.clone()],
                f(&[1, 7], &[1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]),
            ),
            // Half-way between 2 and 3 the kernel is −a/8 · (1, 4) and (4 + a)/8 · (2, 3): symmetric about 2.5.
            case(
                "cubic",
                resize(size(1), Interpolation::Cubic { a: -0.75, exclude_outside: false }, Coordinates::HalfPixel),
                [row.clone()],
                f(&[1, 1], &[2.5]),
            ),
            // Weights 1, 3, 3 and 1 of 8, the first of which lies outside and falls on the edge: 13 / 8.
            case("linear, antialiased", wide, [row], f(&[1, 2], &[1.625, 3.375])),
        ]
    }
}
