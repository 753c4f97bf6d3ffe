//! Images read at computed places, and maxima that remember theirs.
//!
//! # Source
//! ONNX's operator texts of `GridSample` (sets 16 to 22), `AffineGrid` (20), `MaxPool` (12) and `MaxUnpool` (11).

use super::{Function, Steps, int};
use crate::onnx::export::Form;
use crate::shape::WindowAxis;
use crate::{DType, GraphError, Tensor};

/// Most indices that the windows of a pool may have together.
const MOST_INDICES: usize = 1 << 24;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        domain: "",
        name: "GridSample",
        attributes: &["align_corners", "mode", "padding_mode"],
        expand: grid_sample,
    },
    Function::microsoft("GridSample", &["align_corners", "mode", "padding_mode"], grid_sample),
    Function { domain: "", name: "AffineGrid", attributes: &["align_corners"], expand: affine_grid },
    Function { domain: "", name: "MaxUnpool", attributes: &["kernel_shape", "pads", "strides"], expand: max_unpool },
];

/// What stands for elements outside of an image.
#[derive(Clone, Copy, PartialEq)]
enum Outside {
    Zeros,
    Border,
    Reflection,
}

/// An axis of the image.
#[derive(Clone, Copy)]
struct Axis {
    extent: usize,
    outside: Outside,
    align_corners: bool,
}

/// A neighbour along an axis: its index, and how much it counts where that is not 1.
struct Neighbour {
    index: String,
    weight: Option<String>,
}

fn grid_sample(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    let node = steps.node;
    node.check_inputs(2, 2)?;
    let (x, grid) = (steps.required(0)?, steps.required(1)?);
    let extents = steps.extents(x)?.ok_or_else(|| node.unsupported("an image of unknown rank"))?;
    let n_axes = extents.len().saturating_sub(2);
    let known: Option<Vec<usize>> = extents.iter().skip(1).copied().collect();
    let Some([channels, spatial @ ..]) = known.as_deref() else {
        return Err(node.unsupported("an image with open channels, height or width: export with fixed ones"));
    };
    if n_axes == 0 || steps.rank(grid)? != n_axes + 2 || steps.known_extent(grid, n_axes + 1)? != Some(n_axes) {
        return Err(node.invalid(format!("a grid that does not give {n_axes} coordinates for each place")));
    }
    let outside = match node.string("padding_mode")?.unwrap_or("zeros") {
        "zeros" => Outside::Zeros,
        "border" => Outside::Border,
        "reflection" => Outside::Reflection,
        other => return Err(node.invalid(format!("attribute \"padding_mode\" is \"{other}\""))),
    };
    let align_corners = node.flag("align_corners", false)?;
    let mode = node.string("mode")?.unwrap_or("linear");
    let [lines, flat_shape] =
        [("lines", vec![0, 0, -1]), ("places_shape", vec![0, 1, -1])].map(|(label, shape)| steps.ints(label, &shape));
    let image = steps.add("image", "Reshape", &[x, &lines], Vec::new())?;
    let mut choices: Vec<Neighbour> = Vec::new();
    for (axis, &extent) in spatial.iter().enumerate() {
        let axis_of = Axis { extent, outside, align_corners };
        // The coordinates of a place begin with that of the last axis.
        let which = (n_axes - 1 - axis) as i64;
        let along = steps.cut(&format!("coordinate{axis}"), grid, [which, which + 1, 1])?;
        let along = steps.add(&format!("line{axis}"), "Reshape", &[&along, &flat_shape], Vec::new())?;
        let neighbours = neighbours(steps, axis_of, mode, &along)?;
        if choices.is_empty() {
            choices = neighbours;
            continue;
        }
        let extent = steps.constant("extent", Tensor::from_i64(Vec::new(), vec![extent as i64]));
        let mut all = Vec::with_capacity(choices.len() * neighbours.len());
        for before in &choices {
            let row = steps.add("row", "Mul", &[&before.index, &extent], Vec::new())?;
            for next in &neighbours {
                let index = steps.sum("place", &row, &next.index)?;
                let weight = match (&before.weight, &next.weight) {
                    (Some(a), Some(b)) => Some(steps.add("weight", "Mul", &[a, b], Vec::new())?),
                    (a, b) => a.clone().or_else(|| b.clone()),
                };
                all.push(Neighbour { index, weight });
            }
        }
        choices = all;
    }
    // One index for each channel.
    let Some(zeros) = Tensor::new(vec![1, *channels, 1], vec![0_i64; *channels].into()) else {
        return Err(node.invalid("so many channels"));
    };
    let channels_of = steps.constant("channels", zeros);
    let mut sum: Option<String> = None;
    for Neighbour { index, weight } in choices {
        let index = steps.sum("index", &index, &channels_of)?;
        let mut term = steps.add("element", "GatherElements", &[&image, &index], int("axis", 2))?;
        if let Some(weight) = weight {
            term = steps.add("share", "Mul", &[&term, &weight], Vec::new())?;
        }
        sum = Some(match sum {
            Some(others) => steps.sum("shares", &others, &term)?,
            None => term,
        });
    }
    let sum = sum.ok_or_else(|| node.invalid("no neighbours"))?;
    let bounds = |start: i64, end: i64| Form::new("").int("start", start).int("end", end).attributes;
    let places = steps.add("places", "Shape", &[grid], bounds(1, n_axes as i64 + 1))?;
    let images = steps.add("images", "Shape", &[x], bounds(0, 2))?;
    let shape = steps.add("shape", "Concat", &[&images, &places], int("axis", 0))?;
    steps.output(0, "sampled", "Reshape", &[&sum, &shape], Vec::new())
}

/// The elements along an axis that count at coordinates from −1 to 1, which lie on its ends or on their borders.
fn neighbours(
    steps: &mut Steps<'_, '_>,
    axis: Axis,
    mode: &str,
    coordinate: &str,
) -> Result<Vec<Neighbour>, GraphError> {
    let n = axis.extent as f32;
    let (factor, offset) =
        if axis.align_corners { ((n - 1.0) / 2.0, (n - 1.0) / 2.0) } else { (n / 2.0, (n - 1.0) / 2.0) };
    let (factor, offset) = (steps.float("factor", factor), steps.float("offset", offset));
    let scaled = steps.add("scaled", "Mul", &[coordinate, &factor], Vec::new())?;
    let mut at = steps.sum("at", &scaled, &offset)?;
    if mode == "nearest" {
        at = steps.add("nearest", "Round", &[&at], Vec::new())?;
    }
    at = match axis.outside {
        Outside::Zeros => at,
        // Neighbours of four are found first, and each is one within.
        Outside::Border if matches!(mode, "cubic" | "bicubic") => at,
        Outside::Border => clamped(steps, &at, axis.extent)?,
        Outside::Reflection => reflected(steps, axis, &at)?,
    };
    let first = match mode {
        "nearest" => return Ok(vec![neighbour(steps, axis, &at, None)?]),
        "linear" | "bilinear" => 0,
        "cubic" | "bicubic" => -1,
        other => return Err(steps.node.invalid(format!("attribute \"mode\" is \"{other}\""))),
    };
    let base = steps.add("base", "Floor", &[&at], Vec::new())?;
    let fraction = steps.add("fraction", "Sub", &[&at, &base], Vec::new())?;
    let one = steps.float("one", 1.0);
    let rest = steps.add("rest", "Sub", &[&one, &fraction], Vec::new())?;
    let weights = if first == 0 {
        vec![rest, fraction]
    } else {
        let (before, behind) = (steps.sum("before", &fraction, &one)?, steps.sum("behind", &rest, &one)?);
        vec![
            polynomial(steps, &before, &[3.0, -6.0, 3.75, -0.75])?,
            polynomial(steps, &fraction, &[1.0, 0.0, -2.25, 1.25])?,
            polynomial(steps, &rest, &[1.0, 0.0, -2.25, 1.25])?,
            polynomial(steps, &behind, &[3.0, -6.0, 3.75, -0.75])?,
        ]
    };
    let mut all = Vec::with_capacity(weights.len());
    for (distance, weight) in (first..).zip(weights) {
        let distance = steps.float("distance", distance as f32);
        let place = steps.sum("neighbour", &base, &distance)?;
        all.push(neighbour(steps, axis, &place, Some(weight))?);
    }
    Ok(all)
}

/// A polynomial, lowest power first.
fn polynomial(steps: &mut Steps<'_, '_>, x: &str, factors: &[f32; 4]) -> Result<String, GraphError> {
    let mut sum = steps.float("power3", factors[3]);
    for &factor in factors[..3].iter().rev() {
        let product = steps.add("product", "Mul", &[&sum, x], Vec::new())?;
        let factor = steps.float("power", factor);
        sum = steps.sum("polynomial", &product, &factor)?;
    }
    Ok(sum)
}

/// The element at a whole coordinate; one outside is 0, or another one.
fn neighbour(
    steps: &mut Steps<'_, '_>,
    axis: Axis,
    place: &str,
    weight: Option<String>,
) -> Result<Neighbour, GraphError> {
    let inside = match axis.outside {
        Outside::Reflection => reflected(steps, axis, place)?,
        Outside::Zeros | Outside::Border => place.to_owned(),
    };
    let inside = clamped(steps, &inside, axis.extent)?;
    let index = steps.cast("index_along", &inside, DType::I64)?;
    if axis.outside != Outside::Zeros {
        return Ok(Neighbour { index, weight });
    }
    let is_inside = steps.add("is_inside", "Equal", &[&inside, place], Vec::new())?;
    let (nothing, one) = (steps.float("nothing", 0.0), steps.float("all", 1.0));
    let weight = weight.unwrap_or(one);
    let weight = steps.add("counts", "Where", &[&is_inside, &weight, &nothing], Vec::new())?;
    Ok(Neighbour { index, weight: Some(weight) })
}

fn clamped(steps: &mut Steps<'_, '_>, at: &str, extent: usize) -> Result<String, GraphError> {
    let (least, greatest) = (steps.float("least", 0.0), steps.float("greatest", extent.saturating_sub(1) as f32));
    steps.add("clamped", "Clip", &[at, &least, &greatest], Vec::new())
}

/// A coordinate mirrored at both ends until it lies within.
fn reflected(steps: &mut Steps<'_, '_>, axis: Axis, at: &str) -> Result<String, GraphError> {
    let n = axis.extent as f32;
    let (least, range) = if axis.align_corners { (0.0, n - 1.0) } else { (-0.5, n) };
    if range <= 0.0 {
        return steps.add("only", "Sub", &[at, at], Vec::new());
    }
    // |((x − least + range) mod 2 · range) − range|, from the other end, is the triangle wave.
    let [shift, period, range_of, least_of] =
        [("shift", range - least), ("period", 2.0 * range), ("range", range), ("least", least)]
            .map(|(label, value)| steps.float(label, value));
    let moved = steps.sum("moved", at, &shift)?;
    let periods = steps.add("periods", "Div", &[&moved, &period], Vec::new())?;
    let whole = steps.add("whole_periods", "Floor", &[&periods], Vec::new())?;
    let whole = steps.add("up_to_here", "Mul", &[&whole, &period], Vec::new())?;
    let within = steps.add("within", "Sub", &[&moved, &whole], Vec::new())?;
    let centred = steps.add("centred", "Sub", &[&within, &range_of], Vec::new())?;
    let folded = steps.add("folded", "Abs", &[&centred], Vec::new())?;
    steps.sum("reflected", &folded, &least_of)
}

/// The coordinates that affine maps `[n, axes, axes + 1]` give the elements of an image.
fn affine_grid(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    let node = steps.node;
    node.check_inputs(2, 2)?;
    let theta = steps.required(0)?;
    let size = steps.importer.ints(node, 1)?.unwrap_or_default();
    let spatial: Option<Vec<usize>> =
        size.iter().skip(2).map(|&n| usize::try_from(n).ok().filter(|&n| n > 0)).collect();
    let Some(spatial) = spatial.filter(|spatial| matches!(spatial.len(), 2 | 3)) else {
        return Err(node.invalid(format!("a size of {size:?}, expected four or five extents")));
    };
    let n = spatial.iter().try_fold(1_usize, |n, &extent| n.checked_mul(extent)).filter(|&n| n <= MOST_INDICES);
    let n = n.ok_or_else(|| node.invalid(format!("a size of {size:?}")))?;
    let align_corners = node.flag("align_corners", false)?;
    let coordinate = |place: usize, extent: usize| match (align_corners, extent) {
        (true, 1) => 0.0,
        (true, _) => 2.0 * place as f64 / (extent - 1) as f64 - 1.0,
        (false, _) => (2.0 * place as f64 + 1.0) / extent as f64 - 1.0,
    };
    let mut places = Vec::with_capacity(n * (spatial.len() + 1));
    for place in 0..n {
        let mut rest = place;
        for &extent in spatial.iter().rev() {
            places.push(coordinate(rest % extent, extent) as f32);
            rest /= extent;
        }
        places.push(1.0);
    }
    let places = steps.constant("places", Tensor::from_f32(vec![n, spatial.len() + 1], places));
    let turned = steps.add("turned", "Transpose", &[theta], Form::new("").ints("perm", vec![0, 2, 1]).attributes)?;
    let grid = steps.main("grid", "MatMul", &[&places, &turned], Vec::new())?;
    let mut shape: Vec<i64> = vec![-1];
    shape.extend(spatial.iter().map(|&extent| extent as i64));
    shape.push(spatial.len() as i64);
    let shape = steps.ints("shape", &shape);
    steps.output(0, "shaped", "Reshape", &[&grid, &shape], Vec::new())
}

/// Elements put back where indices say that a pool found them, among zeros.
fn max_unpool(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    let node = steps.node;
    node.check_inputs(2, 3)?;
    let (x, indices) = (steps.required(0)?, steps.required(1)?);
    let kernel =
        node.counts("kernel_shape", 1)?.ok_or_else(|| node.invalid("attribute \"kernel_shape\" is missing"))?;
    let n = kernel.len();
    let strides = node.counts("strides", 1)?.unwrap_or_else(|| vec![1; n]);
    let pads = node.ints("pads")?.map_or_else(|| vec![0; 2 * n], <[i64]>::to_vec);
    let known: Option<Vec<usize>> =
        steps.extents(x)?.and_then(|extents| extents.iter().skip(1).copied().collect::<Option<_>>());
    let Some([channels, spatial @ ..]) = known.as_deref() else {
        return Err(node.unsupported("an image with open channels, height or width: export with fixed ones"));
    };
    if spatial.len() != n || strides.len() != n || pads.len() != 2 * n {
        return Err(node.invalid(format!("a window of {n} axes for {}", spatial.len())));
    }
    let mut whole = Vec::with_capacity(n);
    for axis in 0..n {
        let extent =
            (spatial[axis] as i64 - 1) * strides[axis] as i64 + kernel[axis] as i64 - pads[axis] - pads[n + axis];
        whole.push(extent.max(0));
    }
    let size: i64 = whole
        .iter()
        .try_fold(1_i64, |n, &extent| n.checked_mul(extent))
        .filter(|&size| size > 0)
        .ok_or_else(|| node.invalid(format!("an image of extents {whole:?}")))?;
    let lines = steps.ints("lines", &[0, 0, -1]);
    let values = steps.add("values", "Reshape", &[x, &lines], Vec::new())?;
    let indices = steps.add("indices", "Reshape", &[indices, &lines], Vec::new())?;
    // An index counts from the first image's first channel.
    let size_of = steps.constant("size", Tensor::from_i64(Vec::new(), vec![size]));
    let indices = steps.add("within_channel", "Mod", &[&indices, &size_of], Vec::new())?;
    let images = steps.add("images", "Shape", &[x], Form::new("").int("start", 0).int("end", 1).attributes)?;
    let rest = steps.ints("channel_shape", &[*channels as i64, size]);
    let shape = steps.add("all", "Concat", &[&images, &rest], int("axis", 0))?;
    let (zero, dtype) = (steps.float("zero", 0.0), steps.dtype(x)?);
    let zero = steps.cast("nothing", &zero, dtype)?;
    let zeros = steps.add("zeros", "Expand", &[&zero, &shape], Vec::new())?;
    let filled = steps.main("filled", "ScatterElements", &[&zeros, &indices, &values], int("axis", 2))?;
    let mut shape = vec![0, 0];
    shape.extend(&whole);
    let shape = steps.ints("shape", &shape);
    let stated = match steps.input(2) {
        "" => None,
        _ => steps.importer.symbolic_ints(node, 2)?,
    };
    let missing: Vec<i64> = match stated {
        None => vec![0; n],
        Some(stated) if stated.len() == n + 2 => {
            let missing = stated[2..].iter().zip(&whole).map(|(extent, whole)| Some(extent.ok()? - whole));
            let missing: Option<Vec<i64>> = missing.map(|missing| missing.filter(|&missing| missing >= 0)).collect();
            missing.ok_or_else(|| node.invalid(format!("an output shape smaller than {whole:?}, or open")))?
        }
        Some(stated) => return Err(node.invalid(format!("an output shape of {} extents", stated.len()))),
    };
    if missing.iter().all(|&missing| missing == 0) {
        return steps.output(0, "unpooled", "Reshape", &[&filled, &shape], Vec::new());
    }
    let y = steps.add("image", "Reshape", &[&filled, &shape], Vec::new())?;
    let mut pads = vec![0; n + 4];
    pads.extend(missing);
    let pads = steps.ints("behind", &pads);
    steps.output(0, "unpooled", "Pad", &[&y, &pads], Vec::new())
}

impl Steps<'_, '_> {
    /// Output 1 of `MaxPool`: where in the whole input each maximum lies.
    pub(crate) fn max_pool_indices(&mut self, axes: &[WindowAxis]) -> Result<(), GraphError> {
        let node = self.node;
        let x = self.required(0)?;
        let known: Option<Vec<usize>> =
            self.extents(x)?.and_then(|extents| extents.iter().skip(1).copied().collect::<Option<_>>());
        let Some([channels, spatial @ ..]) = known.as_deref() else {
            return Err(node.unsupported(
                "its Indices output for an image with open channels, height or width: export with fixed ones",
            ));
        };
        let size: usize = spatial.iter().product();
        let by_columns = node.flag("storage_order", false)?;
        let n_elements: usize = axes.iter().map(|axis| axis.kernel).product();
        let n_windows: usize = axes.iter().map(|axis| axis.output).product();
        if n_elements.saturating_mul(n_windows) > MOST_INDICES {
            return Err(node.unsupported("its Indices output for so large an image: export without it"));
        }
        let (mut sources, mut places) = (Vec::new(), Vec::new());
        for window in 0..n_windows {
            for element in 0..n_elements {
                let (mut window_rest, mut element_rest) = (window, element);
                let mut at = vec![0_i64; axes.len()];
                for (at, axis) in at.iter_mut().zip(axes).rev() {
                    let (w, e) = (window_rest % axis.output, element_rest % axis.kernel);
                    (window_rest, element_rest) = (window_rest / axis.output, element_rest / axis.kernel);
                    *at = (w * axis.stride + e * axis.dilation) as i64 - axis.pad_begin as i64;
                }
                let is_inside = at.iter().zip(spatial).all(|(&at, &extent)| at >= 0 && at < extent as i64);
                let flat = |order: &mut dyn Iterator<Item = usize>| {
                    order.fold(0, |flat, axis| flat * spatial[axis] as i64 + at[axis])
                };
                sources.push(if is_inside { flat(&mut (0..axes.len())) } else { size as i64 });
                places.push(match (is_inside, by_columns) {
                    (false, _) => 0,
                    (true, false) => flat(&mut (0..axes.len())),
                    (true, true) => flat(&mut (0..axes.len()).rev()),
                });
            }
        }
        let lines = self.ints("lines", &[0, 0, -1]);
        let mut values = self.add("lines_of_image", "Reshape", &[x, &lines], Vec::new())?;
        if self.dtype(&values)? != DType::F32 {
            values = self.cast("values", &values, DType::F32)?;
        }
        // Whatever lies outside is one more element, which is never the greatest.
        let (pads, least) = (self.ints("one_more", &[0, 0, 0, 0, 0, 1]), self.float("least", f32::NEG_INFINITY));
        let values = self.add("and_outside", "Pad", &[&values, &pads, &least], Vec::new())?;
        let sources = self.ints("sources", &sources);
        let windows = self.add("windows", "Gather", &[&values, &sources], int("axis", 2))?;
        let shape = self.ints("by_window", &[0, 0, n_windows as i64, n_elements as i64]);
        let windows = self.add("each_window", "Reshape", &[&windows, &shape], Vec::new())?;
        let best = Form::new("").int("axis", -1).int("keepdims", 0).attributes;
        let best = self.add("best", "ArgMax", &[&windows], best)?;
        let starts: Vec<i64> = (0..n_windows).map(|window| (window * n_elements) as i64).collect();
        let starts = self.ints("starts", &starts);
        let best = self.sum("best_of_all", &best, &starts)?;
        let places = self.ints("places", &places);
        let best = self.add("place", "Gather", &[&places, &best], int("axis", 0))?;
        let before: Vec<i64> = (0..*channels).map(|channel| (channel * size) as i64).collect();
        let before = Tensor::from_i64(vec![*channels, 1], before);
        let before = self.constant("channels_before", before);
        let best = self.sum("in_image", &best, &before)?;
        let images = self.indices("images", x, 0)?;
        let (column, image) = (
            self.ints("column", &[-1, 1, 1]),
            self.constant("image", Tensor::from_i64(Vec::new(), vec![(channels * size) as i64])),
        );
        let images = self.add("image_column", "Reshape", &[&images, &column], Vec::new())?;
        let images = self.add("images_before", "Mul", &[&images, &image], Vec::new())?;
        let best = self.sum("in_all", &best, &images)?;
        let mut shape = vec![0, 0];
        shape.extend(axes.iter().map(|axis| axis.output as i64));
        let shape = self.ints("pooled", &shape);
        self.output(1, "indices", "Reshape", &[&best, &shape], Vec::new())
    }
}
