//! Slice: bounds as attributes (opset 1) or inputs (10).

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape, Symbol, Symbols, normalize_axis};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::reference::strided::{Offsets, strides_of};
use crate::shape::{TensorType, normalized_axes, normalized_axis};
use crate::testing::{Case, Generator, case, f};
use crate::{Data, GraphError};

/// A strided cut along some axes, with ONNX's clamping and negative-index rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Axes cut, each once.
    pub axes: Vec<i64>,
    /// First index per axis.
    pub starts: Vec<i64>,
    /// End index (exclusive) per axis.
    pub ends: Vec<i64>,
    /// Step per axis, not 0.
    pub steps: Vec<i64>,
}

impl Slice {
    /// For each axis that is cut, its bounds by ONNX's rules for negative and too large indices.
    pub(crate) fn bounds(&self, shape: &[usize]) -> Result<Vec<(usize, SliceBounds)>, String> {
        let n = self.axes.len();
        if self.starts.len() != n || self.ends.len() != n || self.steps.len() != n {
            let (starts, ends, steps) = (self.starts.len(), self.ends.len(), self.steps.len());
            return Err(format!(
                "has {n} axes, {starts} starts, {ends} ends and {steps} steps, expected as many of each"
            ));
        }
        normalized_axes(&self.axes, shape.len())?;
        let mut bounds = Vec::with_capacity(n);
        for i in 0..n {
            let axis = normalized_axis(self.axes[i], shape.len())?;
            let along = SliceBounds::new(shape[axis], self.starts[i], self.ends[i], self.steps[i]);
            bounds.push((axis, along.ok_or_else(|| format!("step along axis {axis} is 0"))?));
        }
        Ok(bounds)
    }
}

impl Operator for Slice {
    facts!(Moves, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        let mut shape = x.shape.clone();
        for (axis, bounds) in self.bounds(&x.shape).map_err(|cause| signature.invalid(cause))? {
            shape[axis] = bounds.len;
        }
        Ok(shaped(x, shape))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let mut strides = strides_of(call.input(0).shape());
        let mut start = 0;
        let bounds = self.bounds(call.input(0).shape()).map_err(|cause| call.invalid(cause))?;
        for (axis, bounds) in bounds {
            start += bounds.start * strides[axis].unsigned_abs();
            // A cut of one element never steps, so that its step may be anything.
            strides[axis] = if bounds.len > 1 { strides[axis] * bounds.step as isize } else { 0 };
        }
        Ok(vec![call.gather(Offsets::new(call.output_shape(), strides, start))?])
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        self.axes.iter().all(|&axis| !operands.is_first(axis))
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        let axes = order::places(&self.axes, order)?;
        Some(order::first(order, ranks)?.with(Op::Slice(Self { axes, ..self.clone() })))
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form
            .since(10)
            .int_vector(1, "starts", &self.starts)
            .int_vector(2, "ends", &self.ends)
            .int_vector(3, "axes", &self.axes)
            .int_vector(4, "steps", &self.steps))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let mut shape = inputs.first()?.as_ref()?.clone();
        for (i, &axis) in self.axes.iter().enumerate() {
            let axis = normalize_axis(axis, shape.len())?;
            let (start, end, step) = (*self.starts.get(i)?, *self.ends.get(i)?, *self.steps.get(i)?);
            shape[axis] = match shape[axis] {
                Extent::Known(n) => Extent::Known(SliceBounds::new(n, start, end, step)?.len),
                same @ Extent::Symbol(_) if start == 0 && end == i64::MAX && step == 1 => same,
                Extent::Symbol(_) => Extent::Symbol(symbols.fresh()),
            };
        }
        Some(shape)
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for Slice {
    const NAME: &'static str = "Slice";
    const ATTRIBUTES: &'static [&'static str] = &["axes", "ends", "starts"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let bounds = stated(node, importer)?;
        if let Some(inputs) = importer.shape_inputs(node, 1)? {
            let [mut tensor] = <[_; 1]>::try_from(inputs).map_err(|_| node.invalid("input 0 is missing"))?;
            let ends = resolve_ends(node, &bounds, None)?;
            for (i, &end) in ends.iter().enumerate() {
                tensor = tensor
                    .slice(bounds.axes[i], bounds.starts[i], end, bounds.steps[i])
                    .map_err(|cause| node.invalid(cause))?;
            }
            return importer.bind_symbolic(node, tensor);
        }
        let x = importer.value(node, 0)?;
        let ends = resolve_ends(node, &bounds, importer.shape(x).as_deref())?;
        if let Some(shape) = importer.shape(x) {
            check_axes(node, &bounds.axes, shape.len())?;
        }
        let Bounds { starts, axes, steps, .. } = bounds;
        importer.emit(node, Op::Slice(Self { axes, starts, ends, steps }), vec![Some(x)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let axes = generator.axes(shape.len(), 0.4);
        let mut slice = Self { axes: Vec::new(), starts: Vec::new(), ends: Vec::new(), steps: Vec::new() };
        for axis in axes {
            let n = shape[usize::try_from(axis).ok()?] as i64;
            let step = [1, 1, 2, -1][generator.draws.below(4)];
            let (low, high) = (generator.draws.between(0, n as usize / 2) as i64, n - generator.draws.below(2) as i64);
            let (start, end) = if step > 0 { (low, high) } else { (high - 1, low - 1) };
            // Counted from the end, where that says the same.
            let wrap = generator.draws.chance(0.3);
            slice.axes.push(if generator.draws.chance(0.3) { axis - shape.len() as i64 } else { axis });
            slice.starts.push(if wrap && start < n && start >= 0 { start - n } else { start });
            slice.ends.push(match end {
                -1 => i64::MIN,
                end if end == n && wrap => i64::MAX,
                end => end,
            });
            slice.steps.push(step);
        }
        unary::draw(generator, x, Op::Slice(slice))
    }

    fn cases() -> Vec<Case> {
        let x = f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let slice = |axes: &[i64], starts: &[i64], ends: &[i64], steps: &[i64]| {
            Op::Slice(Self { axes: axes.into(), starts: starts.into(), ends: ends.into(), steps: steps.into() })
        };
        vec![
            case("slice", slice(&[1], &[1], &[i64::MAX], &[1]), [x.clone()], f(&[2, 2], &[2.0, 3.0, 5.0, 6.0])),
            case("slice backwards", slice(&[-1], &[-1], &[i64::MIN], &[-2]), [x.clone()], {
                f(&[2, 2], &[3.0, 1.0, 6.0, 4.0])
            }),
            case("slice both", slice(&[1, 0], &[0, 1], &[-1, 2], &[1, 1]), [x.clone()], f(&[1, 2], &[4.0, 5.0])),
            case("slice to nothing", slice(&[1], &[2], &[1], &[1]), [x.clone()], f(&[2, 0], &[])),
            case("slice with a huge step", slice(&[1], &[0], &[3], &[i64::MAX]), [x.clone()], f(&[2, 1], &[1.0, 4.0])),
        ]
    }
}

/// The bounds as the file gives them; an end may be an open extent.
struct Bounds {
    starts: Vec<i64>,
    ends: Vec<Result<i64, Symbol>>,
    axes: Vec<i64>,
    steps: Vec<i64>,
}

fn stated(node: &NodeView<'_>, importer: &mut Importer) -> Result<Bounds, GraphError> {
    let (starts, ends, axes, steps) = if node.opset() < 10 {
        node.check_inputs(1, 1)?;
        let list = |key| node.ints(key).map(|ints| ints.map(<[i64]>::to_vec));
        let ends = list("ends")?.map(|ends| ends.into_iter().map(Ok).collect());
        (list("starts")?, ends, list("axes")?, None)
    } else {
        node.check_inputs(3, 5)?;
        let starts = importer.ints(node, 1)?;
        (starts, importer.symbolic_ints(node, 2)?, importer.ints(node, 3)?, importer.ints(node, 4)?)
    };
    let (Some(starts), Some(ends)) = (starts, ends) else {
        return Err(node.invalid("starts or ends are missing"));
    };
    let n_axes = starts.len();
    let axes = axes.unwrap_or_else(|| (0..).take(n_axes).collect());
    let steps = steps.unwrap_or_else(|| vec![1; n_axes]);
    if [ends.len(), axes.len(), steps.len()] != [n_axes; 3] {
        let found = format!("{n_axes} starts, {} ends, {} axes and {} steps", ends.len(), axes.len(), steps.len());
        return Err(node.invalid(format!("{found}, expected as many of each")));
    }
    if steps.contains(&0) {
        return Err(node.invalid("step 0"));
    }
    Ok(Bounds { starts, ends, axes, steps })
}

/// An end that is the open extent of its own axis means "to the end".
fn resolve_ends(node: &NodeView<'_>, bounds: &Bounds, x: Option<&[Extent]>) -> Result<Vec<i64>, GraphError> {
    let extent = |i: usize| x.and_then(|x| normalize_axis(bounds.axes[i], x.len()).map(|axis| x[axis]));
    let resolve = |(i, end): (usize, &Result<i64, Symbol>)| match *end {
        Ok(end) => Ok(end),
        Err(symbol) if bounds.steps[i] > 0 && extent(i) == Some(Extent::Symbol(symbol)) => Ok(i64::MAX),
        Err(_) => Err(node.unsupported(format!("an end that is not known at import (axis {})", bounds.axes[i]))),
    };
    bounds.ends.iter().enumerate().map(resolve).collect()
}

fn check_axes(node: &NodeView<'_>, axes: &[i64], rank: usize) -> Result<(), GraphError> {
    let mut seen = vec![false; rank];
    for &axis in axes {
        match normalize_axis(axis, rank) {
            Some(at) if !std::mem::replace(&mut seen[at], true) => {}
            _ => return Err(node.invalid(format!("axes {axes:?} are not distinct axes of {rank}"))),
        }
    }
    Ok(())
}

/// A strided cut along one axis, clamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SliceBounds {
    /// First index; meaningless where `len` is 0.
    pub(crate) start: usize,
    /// Step, may be negative.
    pub(crate) step: i64,
    /// Number of elements.
    pub(crate) len: usize,
}

impl SliceBounds {
    /// The cut of an axis of `extent` elements; `None` for a step of 0.
    ///
    /// # Source
    /// ONNX, Slice-13: after a negative index has the extent added, a start is clamped to `[0, extent]`, under a negative
    /// step to `[0, extent - 1]`, an end to `[0, extent]` or `[-1, extent - 1]`. Backwards from before the first element
    /// that is the first element; NumPy gives none.
    pub(crate) fn new(extent: usize, start: i64, end: i64, step: i64) -> Option<Self> {
        let n = extent as i128;
        let absolute = |index: i64| if index < 0 { i128::from(index) + n } else { i128::from(index) };
        let (lowest, highest) = if step > 0 { (0, n) } else { (-1, n - 1) };
        let start = absolute(start).clamp(0, highest.max(0));
        let end = absolute(end).clamp(lowest, highest.max(lowest));
        let distance = if step > 0 { end - start } else { start - end };
        let len = match (extent, step) {
            (_, 0) => return None,
            (0, _) => 0,
            _ if distance <= 0 => 0,
            _ => (distance - 1) / i128::from(step).abs() + 1,
        };
        Some(Self { start: start as usize, step, len: len as usize })
    }

    /// The indices that are cut out, in order.
    pub(crate) fn indices(self) -> impl Iterator<Item = usize> {
        let (start, step) = (self.start as i128, i128::from(self.step));
        (0..self.len).map(move |i| (start + i as i128 * step) as usize)
    }
}
