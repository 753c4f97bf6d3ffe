//! Shapes of graph operators with open extents.
//!
//! Lenient on purpose: a shape that does not fit gives `None` or a fresh symbol here, and an error in `crate::shape`
//! or the interpreter. Only what is certain is claimed.

use super::{Arithmetic, Extent, Shape, Symbols, normalize_axis};
use crate::{AutoPad, Op, Pad, Slice, Window};

/// The shapes of the outputs of `op`.
pub(crate) fn infer(op: &Op, inputs: &[&Shape], n_outputs: usize, symbols: &mut Symbols) -> Vec<Shape> {
    if let Op::Split { axis, sizes } = op {
        return split(*axis, sizes, inputs, n_outputs);
    }
    let first = one(op, inputs, symbols);
    let mut shapes = vec![None; n_outputs];
    if let Some(slot) = shapes.first_mut() {
        *slot = first;
    }
    shapes
}

fn split(axis: i64, sizes: &[usize], inputs: &[&Shape], n_outputs: usize) -> Vec<Shape> {
    let part = |i: usize| -> Shape {
        let mut shape = inputs.first().copied()?.clone()?;
        let axis = normalize_axis(axis, shape.len())?;
        shape[axis] = Extent::Known(*sizes.get(i)?);
        Some(shape)
    };
    (0..n_outputs).map(part).collect()
}

fn one(op: &Op, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
    let x = inputs.first().copied()?.as_ref()?;
    match op {
        Op::BatchNormalization { .. }
        | Op::Relu
        | Op::LeakyRelu { .. }
        | Op::PRelu
        | Op::Clip { .. }
        | Op::Sigmoid
        | Op::HardSigmoid { .. }
        | Op::HardSwish
        | Op::Tanh
        | Op::Sign
        | Op::Softmax { .. }
        | Op::Lrn { .. }
        | Op::Dropout { .. }
        | Op::Identity
        | Op::Cast { .. }
        | Op::QuantizeLinear { .. }
        | Op::DequantizeLinear { .. } => Some(x.clone()),
        Op::Conv { window, .. } => {
            let channels = *inputs.get(1)?.as_ref()?.first()?;
            windowed(x, window, channels, symbols)
        }
        Op::MaxPool(window) | Op::AveragePool { window, .. } => windowed(x, window, *x.get(1)?, symbols),
        Op::GlobalAveragePool | Op::GlobalMaxPool => {
            let mut shape = x.clone();
            shape.iter_mut().skip(2).for_each(|extent| *extent = Extent::Known(1));
            Some(shape)
        }
        Op::Gemm(gemm) => {
            let b = inputs.get(1)?.as_ref()?;
            let (&[a_rows, a_cols], &[b_rows, b_cols]) = (x.as_slice(), b.as_slice()) else { return None };
            Some(vec![if gemm.trans_a { a_cols } else { a_rows }, if gemm.trans_b { b_rows } else { b_cols }])
        }
        Op::MatMul => matmul(x, inputs.get(1)?.as_ref()?, symbols),
        Op::Add | Op::Sub | Op::Mul | Op::Div => broadcast(x, inputs.get(1)?.as_ref()?, symbols),
        Op::Concat { axis } => concat(*axis, inputs, symbols),
        Op::Split { .. } => None,
        Op::Slice(slice) => sliced(x, slice, symbols),
        Op::Pad(pad) => padded(x, pad, symbols),
        Op::ReduceMean { axes, keep_dims } => reduced(x, axes, *keep_dims),
        Op::Flatten { axis } => {
            let rank = i64::try_from(x.len()).ok()?;
            let axis = usize::try_from(if *axis < 0 { axis.checked_add(rank)? } else { *axis }).ok()?;
            let (rows, cols) = x.split_at_checked(axis)?;
            Some(vec![symbols.product(rows), symbols.product(cols)])
        }
        Op::Reshape { shape, allow_zero } => reshaped(x, shape, *allow_zero, symbols),
        Op::Transpose { perm } => perm.iter().map(|&p| x.get(p).copied()).collect(),
        Op::Squeeze { axes } => squeezed(x, axes),
        Op::Unsqueeze { axes } => unsqueezed(x, axes),
    }
}

fn windowed(x: &[Extent], window: &Window, channels: Extent, symbols: &mut Symbols) -> Shape {
    let (batch, spatial) = (*x.first()?, x.get(2..)?);
    if window.kernel.len() != spatial.len() {
        return None;
    }
    let mut shape = vec![batch, channels];
    for (i, &extent) in spatial.iter().enumerate() {
        shape.push(output_extent(extent, window, i, symbols)?);
    }
    Some(shape)
}

fn output_extent(input: Extent, window: &Window, i: usize, symbols: &mut Symbols) -> Option<Extent> {
    let (stride, dilation) = (*window.strides.get(i)?, *window.dilations.get(i)?);
    let reach = window.kernel[i].checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
    let padding = match window.auto_pad {
        AutoPad::SameUpper | AutoPad::SameLower => {
            return Some(match input {
                Extent::Known(n) => Extent::Known(n.div_ceil(stride)),
                same @ Extent::Symbol(_) if stride == 1 => same,
                Extent::Symbol(_) => Extent::Symbol(symbols.fresh()),
            });
        }
        AutoPad::Valid => 0,
        AutoPad::NotSet => window.pads_begin.get(i)?.checked_add(*window.pads_end.get(i)?)?,
    };
    match input {
        Extent::Symbol(_) if window.ceil_mode || stride == 0 => Some(Extent::Symbol(symbols.fresh())),
        same @ Extent::Symbol(_) => {
            let padded = symbols.extent(Arithmetic::Add, same, Extent::Known(padding));
            let room = symbols.extent(Arithmetic::Sub, padded, Extent::Known(reach));
            let steps = symbols.extent(Arithmetic::Div, room, Extent::Known(stride));
            Some(symbols.extent(Arithmetic::Add, steps, Extent::Known(1)))
        }
        Extent::Known(n) => {
            let room = n.checked_add(padding)?.checked_sub(reach)?;
            let steps = if window.ceil_mode { room.div_ceil(stride) } else { room / stride };
            // A last window that starts in the end padding is dropped, as by the ONNX reference implementation.
            let begin = if window.auto_pad == AutoPad::NotSet { window.pads_begin[i] } else { 0 };
            let dropped = window.ceil_mode && steps.checked_mul(stride)? >= n.checked_add(begin)?;
            Some(Extent::Known(steps + usize::from(!dropped)))
        }
    }
}

fn broadcast_extent(a: Extent, b: Extent, symbols: &mut Symbols) -> Option<Extent> {
    match (a, b) {
        (a, b) if a == b => Some(a),
        (Extent::Known(1), other) | (other, Extent::Known(1)) => Some(other),
        (Extent::Known(_), Extent::Known(_)) => None,
        (known @ Extent::Known(_), Extent::Symbol(_)) | (Extent::Symbol(_), known @ Extent::Known(_)) => Some(known),
        (Extent::Symbol(_), Extent::Symbol(_)) => Some(Extent::Symbol(symbols.fresh())),
    }
}

fn broadcast(a: &[Extent], b: &[Extent], symbols: &mut Symbols) -> Shape {
    let rank = a.len().max(b.len());
    let of = |t: &[Extent], axis: usize| (axis + t.len()).checked_sub(rank).map_or(Extent::Known(1), |i| t[i]);
    (0..rank).map(|axis| broadcast_extent(of(a, axis), of(b, axis), symbols)).collect()
}

fn matmul(a: &[Extent], b: &[Extent], symbols: &mut Symbols) -> Shape {
    let (a_batch, rows) = match a {
        [] => return None,
        [_] => (&a[..0], None),
        [batch @ .., rows, _] => (batch, Some(*rows)),
    };
    let (b_batch, cols) = match b {
        [] => return None,
        [_] => (&b[..0], None),
        [batch @ .., _, cols] => (batch, Some(*cols)),
    };
    let mut shape = broadcast(a_batch, b_batch, symbols)?;
    shape.extend(rows);
    shape.extend(cols);
    Some(shape)
}

fn concat(axis: i64, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
    let mut shape = inputs.first().copied()?.clone()?;
    let axis = normalize_axis(axis, shape.len())?;
    let mut total = Extent::Known(0);
    for input in inputs {
        total = symbols.extent(Arithmetic::Add, total, *input.as_ref()?.get(axis)?);
    }
    shape[axis] = total;
    Some(shape)
}

fn sliced(x: &[Extent], slice: &Slice, symbols: &mut Symbols) -> Shape {
    let mut shape = x.to_vec();
    for (i, &axis) in slice.axes.iter().enumerate() {
        let axis = normalize_axis(axis, shape.len())?;
        let (start, end, step) = (*slice.starts.get(i)?, *slice.ends.get(i)?, *slice.steps.get(i)?);
        shape[axis] = match shape[axis] {
            Extent::Known(n) => {
                let n = i64::try_from(n).ok()?;
                let wrap = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
                let distance = if step > 0 {
                    wrap(end).clamp(0, n) - wrap(start).clamp(0, n)
                } else {
                    wrap(start).clamp(-1, n - 1) - wrap(end).clamp(-1, n - 1)
                };
                let length = u64::try_from(distance).unwrap_or(0).div_ceil(step.unsigned_abs().max(1));
                Extent::Known(usize::try_from(length).ok()?)
            }
            same @ Extent::Symbol(_) if start == 0 && end == i64::MAX && step == 1 => same,
            Extent::Symbol(_) => Extent::Symbol(symbols.fresh()),
        };
    }
    Some(shape)
}

fn padded(x: &[Extent], pad: &Pad, symbols: &mut Symbols) -> Shape {
    let mut shape = x.to_vec();
    for (i, extent) in shape.iter_mut().enumerate() {
        let added = pad.begin.get(i)?.checked_add(*pad.end.get(i)?)?;
        if added != 0 {
            *extent = match *extent {
                Extent::Known(n) => Extent::Known(usize::try_from(i64::try_from(n).ok()?.checked_add(added)?).ok()?),
                open @ Extent::Symbol(_) => match usize::try_from(added) {
                    Ok(more) => symbols.extent(Arithmetic::Add, open, Extent::Known(more)),
                    Err(_) => {
                        let fewer = usize::try_from(added.unsigned_abs()).ok()?;
                        symbols.extent(Arithmetic::Sub, open, Extent::Known(fewer))
                    }
                },
            };
        }
    }
    Some(shape)
}

fn reduced(x: &[Extent], axes: &[i64], keep_dims: bool) -> Shape {
    let mut removed = vec![axes.is_empty(); x.len()];
    for &axis in axes {
        removed[normalize_axis(axis, x.len())?] = true;
    }
    let kept = x.iter().zip(removed).filter_map(|(&extent, removed)| match (removed, keep_dims) {
        (false, _) => Some(extent),
        (true, true) => Some(Extent::Known(1)),
        (true, false) => None,
    });
    Some(kept.collect())
}

fn reshaped(x: &[Extent], target: &[i64], allow_zero: bool, symbols: &mut Symbols) -> Shape {
    let mut shape = Vec::with_capacity(target.len());
    let mut inferred = None;
    for (i, &extent) in target.iter().enumerate() {
        shape.push(match extent {
            -1 => {
                inferred = Some(i);
                Extent::Known(1)
            }
            0 if !allow_zero => *x.get(i)?,
            ..=-2 => *x.get(usize::try_from(-2 - extent).ok()?)?,
            _ => Extent::Known(usize::try_from(extent).ok()?),
        });
    }
    if let Some(i) = inferred {
        shape[i] = missing_factor(x, &shape, symbols);
    }
    Some(shape)
}

/// The extent that makes the product of `shape` that of `x`: symbols that both have cancel out.
pub(crate) fn missing_factor(x: &[Extent], shape: &[Extent], symbols: &mut Symbols) -> Extent {
    let (all, rest) = (symbols.product(x), symbols.product(shape));
    match (all, rest) {
        (_, Extent::Known(0)) => Extent::Symbol(symbols.fresh()),
        (Extent::Known(n), Extent::Known(rest)) if n % rest != 0 => Extent::Symbol(symbols.fresh()),
        (all, rest) => symbols.extent(Arithmetic::Div, all, rest),
    }
}

fn squeezed(x: &[Extent], axes: &[i64]) -> Shape {
    if axes.is_empty() {
        // Whether an open extent is 1 cannot be known, and so neither the number of axes.
        let known = x.iter().map(|e| e.known()).collect::<Option<Vec<usize>>>()?;
        return Some(known.into_iter().filter(|&n| n != 1).map(Extent::Known).collect());
    }
    reduced(x, axes, false)
}

fn unsqueezed(x: &[Extent], axes: &[i64]) -> Shape {
    let rank = x.len().checked_add(axes.len())?;
    let mut inserted = vec![false; rank];
    for &axis in axes {
        inserted[normalize_axis(axis, rank)?] = true;
    }
    let mut rest = x.iter();
    inserted.into_iter().map(|new| if new { Some(Extent::Known(1)) } else { rest.next().copied() }).collect()
}
