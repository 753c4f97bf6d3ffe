//! Slice: bounds as attributes (opset 1) or inputs (10).

use super::OnnxOperator;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Symbol, normalize_axis};
use crate::{GraphError, Op};

pub(super) struct Slice;

/// The bounds as the file gives them; an end may be an open extent.
struct Bounds {
    starts: Vec<i64>,
    ends: Vec<Result<i64, Symbol>>,
    axes: Vec<i64>,
    steps: Vec<i64>,
}

impl OnnxOperator for Slice {
    fn name(&self) -> &'static str {
        "Slice"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["axes", "ends", "starts"]
    }

    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let bounds = bounds(node, importer)?;
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
        importer.emit(node, Op::Slice(crate::Slice { axes, starts, ends, steps }), vec![Some(x)])
    }
}

fn bounds(node: &NodeView<'_>, importer: &mut Importer) -> Result<Bounds, GraphError> {
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

pub(super) fn export(form: Form, slice: &crate::Slice) -> Form {
    form.since(10)
        .int_vector(1, "starts", &slice.starts)
        .int_vector(2, "ends", &slice.ends)
        .int_vector(3, "axes", &slice.axes)
        .int_vector(4, "steps", &slice.steps)
}
