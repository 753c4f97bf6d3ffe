//! The shape rule of every operator.

use super::{TensorType, WindowAxis, window_axes};
use crate::{DType, Gemm, GraphError, Op, Pad, PadMode, Slice, Window};

/// Inputs of one node, with errors that name it.
struct Context<'a> {
    op: &'a Op,
    node: &'a str,
    inputs: &'a [Option<&'a TensorType>],
}

impl<'a> Context<'a> {
    fn invalid(&self, cause: impl Into<String>) -> GraphError {
        GraphError::invalid_node(self.node, self.op.name(), cause)
    }

    fn input(&self, idx: usize) -> Result<&'a TensorType, GraphError> {
        self.optional(idx).ok_or_else(|| self.invalid(format!("input {idx} is missing")))
    }

    fn optional(&self, idx: usize) -> Option<&'a TensorType> {
        self.inputs.get(idx).copied().flatten()
    }

    /// Input `idx`, which must have the element type of `like`.
    fn input_like(&self, idx: usize, like: &TensorType) -> Result<&'a TensorType, GraphError> {
        let input = self.input(idx)?;
        if input.dtype == like.dtype {
            return Ok(input);
        }
        Err(self.invalid(format!("input {idx} has element type {}, expected {}", input.dtype, like.dtype)))
    }

    fn check_arity(&self) -> Result<(), GraphError> {
        let (least, most) = match self.op {
            Op::Conv { .. } | Op::Gemm(_) | Op::QuantizeLinear { .. } | Op::DequantizeLinear { .. } => (2, 3),
            Op::MatMul | Op::PRelu | Op::Add | Op::Sub | Op::Mul | Op::Div => (2, 2),
            Op::BatchNormalization { .. } => (5, 5),
            Op::Concat { .. } => (1, usize::MAX),
            Op::Relu
            | Op::LeakyRelu { .. }
            | Op::Clip { .. }
            | Op::Sigmoid
            | Op::HardSigmoid { .. }
            | Op::HardSwish
            | Op::Tanh
            | Op::Sign
            | Op::Softmax { .. }
            | Op::Split { .. }
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::MaxPool(_)
            | Op::AveragePool { .. }
            | Op::GlobalAveragePool
            | Op::GlobalMaxPool
            | Op::ReduceMean { .. }
            | Op::Flatten { .. }
            | Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Squeeze { .. }
            | Op::Unsqueeze { .. }
            | Op::Lrn { .. }
            | Op::Dropout { .. }
            | Op::Identity
            | Op::Cast { .. } => (1, 1),
        };
        let n = self.inputs.len();
        let n_given = n - self.inputs.iter().rev().take_while(|input| input.is_none()).count();
        if n_given < least || n_given > most {
            let expected = if most == usize::MAX {
                format!("at least {least}")
            } else if least == most {
                least.to_string()
            } else {
                format!("{least} to {most}")
            };
            return Err(self.invalid(format!("has {n_given} inputs, expected {expected}")));
        }
        Ok(())
    }

    fn check_float(&self, x: &TensorType) -> Result<(), GraphError> {
        if x.dtype.is_float() {
            return Ok(());
        }
        Err(GraphError::unsupported_node(self.node, self.op.name(), format!("element type {}", x.dtype)))
    }

    fn check_number(&self, x: &TensorType) -> Result<(), GraphError> {
        if x.dtype == DType::Bool {
            return Err(self.invalid("has element type bool, expected a number"));
        }
        Ok(())
    }

    fn check_rank(&self, what: &str, x: &TensorType, rank: usize, meaning: &str) -> Result<(), GraphError> {
        if x.shape.len() == rank {
            return Ok(());
        }
        Err(self.invalid(format!("{what} has {} dims, expected {rank} {meaning}", x.shape.len())))
    }

    /// The spatial extents of a `[n, c, ..]` tensor with one to three of them.
    fn spatial(&self, x: &'a TensorType) -> Result<&'a [usize], GraphError> {
        match x.shape.len() {
            0..=2 => Err(self.invalid(format!("input has {} dims, expected 3 or more (n, c, ..)", x.shape.len()))),
            3..=5 => Ok(&x.shape[2..]),
            n => Err(GraphError::unsupported_node(
                self.node,
                self.op.name(),
                format!("{} spatial axes (up to 3 work)", n - 2),
            )),
        }
    }

    fn axis(&self, axis: i64, rank: usize) -> Result<usize, GraphError> {
        normalized_axis(axis, rank).map_err(|cause| self.invalid(cause))
    }
}

/// Types of the outputs, without a limit on their size.
pub(super) fn outputs(op: &Op, node: &str, inputs: &[Option<&TensorType>]) -> Result<Vec<TensorType>, GraphError> {
    let context = Context { op, node, inputs };
    context.check_arity()?;
    let x = context.input(0)?;
    let same = |x: &TensorType| Ok(vec![x.clone()]);
    let shaped = |shape: Vec<usize>| Ok(vec![TensorType { dtype: x.dtype, shape }]);
    match op {
        Op::Conv { window, groups } => shaped(conv(&context, x, window, *groups)?),
        Op::Gemm(attributes) => shaped(gemm(&context, x, attributes)?),
        Op::MatMul => {
            let b = context.input_like(1, x)?;
            context.check_number(x)?;
            shaped(matmul_operands(&x.shape, &b.shape).map_err(|cause| context.invalid(cause))?.shape)
        }
        Op::BatchNormalization { .. } => {
            batch_norm(&context, x)?;
            same(x)
        }
        Op::Relu | Op::Clip { .. } | Op::Sign => {
            context.check_number(x)?;
            same(x)
        }
        Op::LeakyRelu { .. } | Op::Sigmoid | Op::HardSigmoid { .. } | Op::HardSwish | Op::Tanh => {
            context.check_float(x)?;
            same(x)
        }
        Op::PRelu => {
            let slope = context.input_like(1, x)?;
            context.check_number(x)?;
            if broadcast(&x.shape, &slope.shape).as_deref() != Some(&x.shape) {
                return Err(
                    context.invalid(format!("slope {:?} does not broadcast to the input's {:?}", slope.shape, x.shape))
                );
            }
            same(x)
        }
        Op::Softmax { axis } => {
            context.check_float(x)?;
            context.axis(*axis, x.shape.len())?;
            same(x)
        }
        Op::Add | Op::Sub | Op::Mul | Op::Div => {
            let b = context.input_like(1, x)?;
            context.check_number(x)?;
            let shape = broadcast(&x.shape, &b.shape);
            shaped(
                shape.ok_or_else(|| {
                    context.invalid(format!("shapes {:?} and {:?} do not broadcast", x.shape, b.shape))
                })?,
            )
        }
        Op::Concat { axis } => shaped(concat(&context, x, *axis)?),
        Op::Split { axis, sizes } => split(&context, x, *axis, sizes),
        Op::Slice(attributes) => {
            let mut shape = x.shape.clone();
            for (axis, bounds) in slice_bounds(attributes, &x.shape).map_err(|cause| context.invalid(cause))? {
                shape[axis] = bounds.len;
            }
            shaped(shape)
        }
        Op::Pad(attributes) => shaped(pad(&context, x, attributes)?),
        Op::MaxPool(window) => {
            context.check_number(x)?;
            shaped(pool(&context, x, window)?)
        }
        Op::AveragePool { window, .. } => {
            context.check_float(x)?;
            shaped(pool(&context, x, window)?)
        }
        Op::GlobalAveragePool | Op::GlobalMaxPool => {
            context.check_float(x)?;
            if x.shape.len() < 2 {
                return Err(context.invalid(format!("input has {} dims, expected 2 or more (n, c, ..)", x.shape.len())));
            }
            shaped(x.shape.iter().enumerate().map(|(axis, &n)| if axis < 2 { n } else { 1 }).collect())
        }
        Op::ReduceMean { axes, keep_dims } => shaped(reduce(&context, x, axes, *keep_dims)?),
        Op::Flatten { axis } => shaped(flatten(&context, x, *axis)?),
        Op::Reshape { shape, allow_zero } => shaped(reshape(&context, x, shape, *allow_zero)?),
        Op::Transpose { perm } => shaped(transpose(&context, x, perm)?),
        Op::Squeeze { axes } => shaped(squeeze(&context, x, axes)?),
        Op::Unsqueeze { axes } => shaped(unsqueeze(&context, x, axes)?),
        Op::Lrn { size, .. } => {
            context.check_float(x)?;
            if x.shape.len() < 2 || *size == 0 {
                let n_dims = x.shape.len();
                return Err(
                    context.invalid(format!("has {n_dims} dims and size {size}, expected 2 or more and 1 or more"))
                );
            }
            same(x)
        }
        Op::Dropout { .. } | Op::Identity => same(x),
        Op::Cast { to } => Ok(vec![TensorType { dtype: *to, shape: x.shape.clone() }]),
        Op::QuantizeLinear { axis } => quantize(&context, x, *axis),
        Op::DequantizeLinear { axis } => dequantize(&context, x, *axis),
    }
}

/// An axis of a tensor of the given rank; a negative one counts from the end.
///
/// # Errors
/// What is wrong, if the axis is out of range.
pub fn normalized_axis(axis: i64, rank: usize) -> Result<usize, String> {
    let rank_i64 = i64::try_from(rank).map_err(|_| "rank is too large".to_owned())?;
    if axis < -rank_i64 || axis >= rank_i64 {
        return Err(format!("axis {axis} is out of range for {rank} dims"));
    }
    Ok(if axis < 0 { axis + rank_i64 } else { axis } as usize)
}

/// A mark for every axis that is among `axes`; negative ones count from the end.
///
/// # Errors
/// What is wrong, if an axis is out of range or occurs twice.
pub fn normalized_axes(axes: &[i64], rank: usize) -> Result<Vec<bool>, String> {
    let mut marked = vec![false; rank];
    for &axis in axes {
        if std::mem::replace(&mut marked[normalized_axis(axis, rank)?], true) {
            return Err(format!("axis {axis} occurs twice"));
        }
    }
    Ok(marked)
}

/// The shape that two shapes broadcast to, by NumPy's rules.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (m, n) if m == n => Some(m),
            (1, n) => Some(n),
            (m, 1) => Some(m),
            _ => None,
        })
        .collect()
}

fn conv(context: &Context<'_>, x: &TensorType, window: &Window, groups: usize) -> Result<Vec<usize>, GraphError> {
    context.check_float(x)?;
    let extents = context.spatial(x)?;
    let weight = context.input_like(1, x)?;
    context.check_rank("weight", weight, x.shape.len(), "(k, c / groups, ..)")?;
    if window.ceil_mode {
        return Err(context.invalid("ceil_mode is for pooling only"));
    }
    let (c, k) = (x.shape[1], weight.shape[0]);
    if groups == 0 || !c.is_multiple_of(groups) || !k.is_multiple_of(groups) {
        return Err(context.invalid(format!("{groups} groups do not divide {c} input and {k} output channels")));
    }
    if weight.shape[1] != c / groups {
        let (found, expected) = (weight.shape[1], c / groups);
        return Err(context.invalid(format!(
            "weight has {found} channels, expected {expected} ({c} input channels in {groups} groups)"
        )));
    }
    if weight.shape[2..] != window.kernel {
        return Err(context.invalid(format!(
            "kernel_shape is {:?}, the weight has {:?}",
            window.kernel,
            &weight.shape[2..]
        )));
    }
    if context.optional(2).is_some() {
        let bias = context.input_like(2, x)?;
        if bias.shape != [k] {
            return Err(context.invalid(format!("bias has shape {:?}, expected [{k}]", bias.shape)));
        }
    }
    let axes = window_axes(context.op, context.node, window, extents)?;
    Ok(spatial_shape(x.shape[0], k, &axes))
}

fn pool(context: &Context<'_>, x: &TensorType, window: &Window) -> Result<Vec<usize>, GraphError> {
    let axes = window_axes(context.op, context.node, window, context.spatial(x)?)?;
    for (idx, axis) in axes.iter().enumerate() {
        let reach = (axis.kernel - 1) * axis.dilation + 1;
        let pad = axis.pad_begin.max(axis.pad_end);
        if pad >= reach {
            return Err(context.invalid(format!(
                "spatial axis {idx}: padding {pad}, expected less than the {reach} that the kernel spans"
            )));
        }
    }
    Ok(spatial_shape(x.shape[0], x.shape[1], &axes))
}

fn spatial_shape(n: usize, channels: usize, axes: &[WindowAxis]) -> Vec<usize> {
    [n, channels].into_iter().chain(axes.iter().map(|axis| axis.output)).collect()
}

fn gemm(context: &Context<'_>, a: &TensorType, attributes: &Gemm) -> Result<Vec<usize>, GraphError> {
    context.check_float(a)?;
    let b = context.input_like(1, a)?;
    context.check_rank("input 0", a, 2, "(m, k)")?;
    context.check_rank("input 1", b, 2, "(k, n)")?;
    let (m, k) = if attributes.trans_a { (a.shape[1], a.shape[0]) } else { (a.shape[0], a.shape[1]) };
    let (k_b, n) = if attributes.trans_b { (b.shape[1], b.shape[0]) } else { (b.shape[0], b.shape[1]) };
    if k != k_b {
        return Err(context.invalid(format!("inner extents differ: {k} of {:?}, {k_b} of {:?}", a.shape, b.shape)));
    }
    if context.optional(2).is_some() {
        let c = context.input_like(2, a)?;
        if broadcast(&[m, n], &c.shape).as_deref() != Some(&[m, n]) {
            return Err(context.invalid(format!("addend {:?} does not broadcast to [{m}, {n}]", c.shape)));
        }
    }
    Ok(vec![m, n])
}

/// How a matrix product is taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatMulOperands {
    /// Shape of the result.
    pub shape: Vec<usize>,
    /// Batch axes of the operands and of the result.
    pub batch: [Vec<usize>; 3],
    /// Rows of a.
    pub m: usize,
    /// Columns of a, rows of b.
    pub k: usize,
    /// Columns of b.
    pub n: usize,
}

/// NumPy's `matmul`: a vector counts as a row on the left and as a column on the right.
///
/// # Errors
/// What is wrong, if an operand is a scalar or the extents do not match.
pub fn matmul_operands(a: &[usize], b: &[usize]) -> Result<MatMulOperands, String> {
    if a.is_empty() || b.is_empty() {
        return Err("an operand is a scalar, expected a vector or matrix".to_owned());
    }
    let (batch_a, m, k) = match a {
        [k] => (&a[..0], 1, *k),
        [batch @ .., m, k] => (batch, *m, *k),
        [] => (a, 1, 1),
    };
    let (batch_b, k_b, n) = match b {
        [k] => (&b[..0], *k, 1),
        [batch @ .., k, n] => (batch, *k, *n),
        [] => (b, 1, 1),
    };
    if k != k_b {
        return Err(format!("inner extents differ: {k} of {a:?}, {k_b} of {b:?}"));
    }
    let batch = broadcast(batch_a, batch_b).ok_or_else(|| format!("batch axes of {a:?} and {b:?} do not broadcast"))?;
    let mut shape = batch.clone();
    shape.extend((a.len() > 1).then_some(m));
    shape.extend((b.len() > 1).then_some(n));
    Ok(MatMulOperands { shape, batch: [batch_a.to_vec(), batch_b.to_vec(), batch], m, k, n })
}

fn batch_norm(context: &Context<'_>, x: &TensorType) -> Result<(), GraphError> {
    context.check_float(x)?;
    let Some(&c) = x.shape.get(1) else {
        return Err(context.invalid(format!("input has {} dims, expected 2 or more (n, c, ..)", x.shape.len())));
    };
    for (idx, name) in ["scale", "bias", "mean", "variance"].into_iter().enumerate() {
        let parameter = context.input_like(idx + 1, x)?;
        if parameter.shape != [c] {
            return Err(context.invalid(format!("{name} has shape {:?}, expected [{c}]", parameter.shape)));
        }
    }
    Ok(())
}

fn concat(context: &Context<'_>, x: &TensorType, axis: i64) -> Result<Vec<usize>, GraphError> {
    let axis = context.axis(axis, x.shape.len())?;
    let mut shape = x.shape.clone();
    for idx in 1..context.inputs.len() {
        let input = context.input_like(idx, x)?;
        let fits = input.shape.len() == shape.len()
            && input.shape.iter().zip(&shape).enumerate().all(|(i, (a, b))| i == axis || a == b);
        if !fits {
            return Err(context.invalid(format!(
                "input {idx} has shape {:?}, which does not join {:?} along axis {axis}",
                input.shape, x.shape
            )));
        }
        shape[axis] =
            shape[axis].checked_add(input.shape[axis]).ok_or_else(|| context.invalid("extents are too large"))?;
    }
    Ok(shape)
}

fn split(context: &Context<'_>, x: &TensorType, axis: i64, sizes: &[usize]) -> Result<Vec<TensorType>, GraphError> {
    let axis = context.axis(axis, x.shape.len())?;
    let total = sizes.iter().try_fold(0_usize, |sum, &size| sum.checked_add(size));
    if total != Some(x.shape[axis]) {
        return Err(context.invalid(format!("sizes {sizes:?} do not add up to the extent {}", x.shape[axis])));
    }
    let part = |&size: &usize| {
        let mut shape = x.shape.clone();
        shape[axis] = size;
        TensorType { dtype: x.dtype, shape }
    };
    Ok(sizes.iter().map(part).collect())
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

/// For each axis that is cut, its bounds by ONNX's rules for negative and too large indices.
pub(crate) fn slice_bounds(slice: &Slice, shape: &[usize]) -> Result<Vec<(usize, SliceBounds)>, String> {
    let n = slice.axes.len();
    if slice.starts.len() != n || slice.ends.len() != n || slice.steps.len() != n {
        let (starts, ends, steps) = (slice.starts.len(), slice.ends.len(), slice.steps.len());
        return Err(format!("has {n} axes, {starts} starts, {ends} ends and {steps} steps, expected as many of each"));
    }
    normalized_axes(&slice.axes, shape.len())?;
    let mut bounds = Vec::with_capacity(n);
    for i in 0..n {
        let axis = normalized_axis(slice.axes[i], shape.len())?;
        let extent = shape[axis] as i128;
        let step = i128::from(slice.steps[i]);
        if step == 0 {
            return Err(format!("step along axis {axis} is 0"));
        }
        let absolute = |index: i64| if index < 0 { i128::from(index) + extent } else { i128::from(index) };
        let (lowest, highest) = if step > 0 { (0, extent) } else { (-1, extent - 1) };
        let start = absolute(slice.starts[i]).clamp(0, highest.max(0));
        let end = absolute(slice.ends[i]).clamp(lowest, highest.max(lowest));
        let distance = if step > 0 { end - start } else { start - end };
        let len = if extent == 0 || distance <= 0 { 0 } else { (distance - 1) / step.abs() + 1 };
        bounds.push((axis, SliceBounds { start: start as usize, step: slice.steps[i], len: len as usize }));
    }
    Ok(bounds)
}

fn pad(context: &Context<'_>, x: &TensorType, pad: &Pad) -> Result<Vec<usize>, GraphError> {
    let rank = x.shape.len();
    if pad.begin.len() != rank || pad.end.len() != rank {
        let (begin, end) = (pad.begin.len(), pad.end.len());
        return Err(context.invalid(format!("has {begin} begin and {end} end pads, expected {rank} of each")));
    }
    let mut shape = Vec::with_capacity(rank);
    for (axis, &extent) in x.shape.iter().enumerate() {
        let padded = extent as i128 + i128::from(pad.begin[axis]) + i128::from(pad.end[axis]);
        let padded = usize::try_from(padded)
            .map_err(|_| context.invalid(format!("padding of axis {axis} turns its extent {extent} into {padded}")))?;
        if extent == 0 && padded > 0 && pad.mode != PadMode::Constant {
            return Err(context.invalid(format!("axis {axis} is empty, there is nothing to repeat")));
        }
        shape.push(padded);
    }
    Ok(shape)
}

fn reduce(context: &Context<'_>, x: &TensorType, axes: &[i64], keep_dims: bool) -> Result<Vec<usize>, GraphError> {
    context.check_number(x)?;
    let rank = x.shape.len();
    let mut reduced = normalized_axes(axes, rank).map_err(|cause| context.invalid(cause))?;
    if axes.is_empty() {
        reduced.fill(true);
    }
    let extents = x.shape.iter().zip(reduced);
    Ok(extents
        .filter_map(|(&extent, reduced)| match (reduced, keep_dims) {
            (false, _) => Some(extent),
            (true, true) => Some(1),
            (true, false) => None,
        })
        .collect())
}

fn product(context: &Context<'_>, extents: &[usize]) -> Result<usize, GraphError> {
    let product = extents.iter().try_fold(1_usize, |n, &extent| n.checked_mul(extent));
    product.ok_or_else(|| context.invalid("extents are too large"))
}

fn flatten(context: &Context<'_>, x: &TensorType, axis: i64) -> Result<Vec<usize>, GraphError> {
    let rank = x.shape.len();
    let axis = if axis == rank as i64 { rank } else { context.axis(axis, rank)? };
    Ok(vec![product(context, &x.shape[..axis])?, product(context, &x.shape[axis..])?])
}

fn reshape(context: &Context<'_>, x: &TensorType, target: &[i64], allow_zero: bool) -> Result<Vec<usize>, GraphError> {
    let n_elements = product(context, &x.shape)?;
    let mut inferred = None;
    let mut shape = Vec::with_capacity(target.len());
    for (axis, &extent) in target.iter().enumerate() {
        shape.push(match extent {
            -1 if inferred.is_some() => return Err(context.invalid("shape has more than one -1")),
            -1 => {
                inferred = Some(axis);
                1
            }
            0 if !allow_zero => *x.shape.get(axis).ok_or_else(|| {
                context.invalid(format!("shape copies axis {axis}, the input has {} dims", x.shape.len()))
            })?,
            ..=-2 => {
                let copied = usize::try_from(-2 - extent).ok().and_then(|axis| x.shape.get(axis));
                *copied.ok_or_else(|| {
                    let (n, axis) = (x.shape.len(), i128::from(-2) - i128::from(extent));
                    context.invalid(format!("shape copies axis {axis}, the input has {n} dims"))
                })?
            }
            _ => usize::try_from(extent)
                .map_err(|_| context.invalid(format!("shape has extent {extent} on axis {axis}")))?,
        });
    }
    let n_known = product(context, &shape)?;
    let mismatch = || context.invalid(format!("cannot reshape {:?} to {target:?}: element counts differ", x.shape));
    match inferred {
        Some(axis) if n_known != 0 && n_elements.is_multiple_of(n_known) => shape[axis] = n_elements / n_known,
        None if n_known == n_elements => {}
        Some(_) | None => return Err(mismatch()),
    }
    Ok(shape)
}

fn transpose(context: &Context<'_>, x: &TensorType, perm: &[usize]) -> Result<Vec<usize>, GraphError> {
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    if sorted.iter().copied().ne(0..x.shape.len()) {
        return Err(context.invalid(format!("perm {perm:?} is not an order of {} axes", x.shape.len())));
    }
    Ok(perm.iter().map(|&axis| x.shape[axis]).collect())
}

fn squeeze(context: &Context<'_>, x: &TensorType, axes: &[i64]) -> Result<Vec<usize>, GraphError> {
    let dropped = normalized_axes(axes, x.shape.len()).map_err(|cause| context.invalid(cause))?;
    let mut shape = Vec::new();
    for (axis, (&extent, dropped)) in x.shape.iter().zip(dropped).enumerate() {
        if dropped && extent != 1 {
            return Err(context.invalid(format!("axis {axis} has extent {extent}, expected 1")));
        }
        let dropped = dropped || (axes.is_empty() && extent == 1);
        shape.extend((!dropped).then_some(extent));
    }
    Ok(shape)
}

fn unsqueeze(context: &Context<'_>, x: &TensorType, axes: &[i64]) -> Result<Vec<usize>, GraphError> {
    let inserted = normalized_axes(axes, x.shape.len() + axes.len()).map_err(|cause| context.invalid(cause))?;
    let mut extents = x.shape.iter().copied();
    Ok(inserted.into_iter().map(|inserted| if inserted { 1 } else { extents.next().unwrap_or(1) }).collect())
}

/// Checks that `parameter` is a scalar, has one element, or one element per slice of `axis`.
fn check_quantization(
    context: &Context<'_>,
    x: &TensorType,
    what: &str,
    parameter: &TensorType,
    axis: i64,
) -> Result<(), GraphError> {
    match parameter.shape.as_slice() {
        [] | [1] => Ok(()),
        [n] => {
            let axis = context.axis(axis, x.shape.len())?;
            if *n == x.shape[axis] {
                return Ok(());
            }
            Err(context.invalid(format!("{what} has {n} elements, expected 1 or {} (axis {axis})", x.shape[axis])))
        }
        _ => Err(GraphError::unsupported_node(
            context.node,
            context.op.name(),
            format!("{what} of shape {:?} (blocked quantization)", parameter.shape),
        )),
    }
}

fn quantize(context: &Context<'_>, x: &TensorType, axis: i64) -> Result<Vec<TensorType>, GraphError> {
    let scale = context.input(1)?;
    if !matches!(x.dtype, DType::F32 | DType::I32) || scale.dtype != DType::F32 {
        let feature = format!("element type {} with a scale of {}", x.dtype, scale.dtype);
        return Err(GraphError::unsupported_node(context.node, context.op.name(), feature));
    }
    check_quantization(context, x, "scale", scale, axis)?;
    let dtype = match context.optional(2) {
        None => DType::U8,
        Some(zero_point) => {
            check_zero_point(context, scale, zero_point)?;
            zero_point.dtype
        }
    };
    if !matches!(dtype, DType::U8 | DType::I8 | DType::U16 | DType::I16) {
        return Err(context.invalid(format!("zero point has element type {dtype}, expected u8, i8, u16 or i16")));
    }
    Ok(vec![TensorType { dtype, shape: x.shape.clone() }])
}

fn dequantize(context: &Context<'_>, x: &TensorType, axis: i64) -> Result<Vec<TensorType>, GraphError> {
    if !matches!(x.dtype, DType::U8 | DType::I8 | DType::U16 | DType::I16 | DType::I32) {
        return Err(context.invalid(format!("input has element type {}, expected u8, i8, u16, i16 or i32", x.dtype)));
    }
    let scale = context.input(1)?;
    if scale.dtype != DType::F32 {
        let feature = format!("a scale of {}", scale.dtype);
        return Err(GraphError::unsupported_node(context.node, context.op.name(), feature));
    }
    check_quantization(context, x, "scale", scale, axis)?;
    if context.optional(2).is_some() {
        check_zero_point(context, scale, context.input_like(2, x)?)?;
    }
    Ok(vec![TensorType { dtype: DType::F32, shape: x.shape.clone() }])
}

fn check_zero_point(context: &Context<'_>, scale: &TensorType, zero_point: &TensorType) -> Result<(), GraphError> {
    if scale.shape.len() <= 1 && zero_point.shape.len() <= 1 && scale.n_elements() == zero_point.n_elements() {
        return Ok(());
    }
    Err(context.invalid(format!("zero point has shape {:?}, the scale {:?}", zero_point.shape, scale.shape)))
}
