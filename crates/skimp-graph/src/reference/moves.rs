//! Operators that move elements and compute nothing. They work for every element type.

use super::Call;
use super::number::for_any;
use super::strided::{Offsets, around_axis, strides_of};
use crate::shape::{normalized_axis, slice_bounds};
use crate::{Data, Element, GraphError, Pad, PadMode, Slice};

fn gather(call: &Call<'_>, offsets: Offsets) -> Result<Data, GraphError> {
    fn typed<T: Element>(call: &Call<'_>, x: &[T], offsets: Offsets) -> Result<Vec<T>, GraphError> {
        let mut y = call.allocate(offsets.size_hint().0)?;
        y.extend(offsets.map(|offset| x[offset]));
        Ok(y)
    }
    for_any!(call.input(0).data(), x => Ok(typed(call, x, offsets)?.into()))
}

pub(super) fn transpose(call: &Call<'_>, perm: &[usize]) -> Result<Data, GraphError> {
    let strides = strides_of(call.input(0).shape());
    gather(call, Offsets::new(call.output_shape(), perm.iter().map(|&axis| strides[axis]).collect(), 0))
}

pub(super) fn slice(call: &Call<'_>, slice: &Slice) -> Result<Data, GraphError> {
    let mut strides = strides_of(call.input(0).shape());
    let mut start = 0;
    let bounds = slice_bounds(slice, call.input(0).shape()).map_err(|cause| call.invalid(cause))?;
    for (axis, bounds) in bounds {
        start += bounds.start * strides[axis].unsigned_abs();
        // A cut of one element never steps, so that its step may be anything.
        strides[axis] = if bounds.len > 1 { strides[axis] * bounds.step as isize } else { 0 };
    }
    gather(call, Offsets::new(call.output_shape(), strides, start))
}

pub(super) fn split(call: &Call<'_>, axis: i64, sizes: &[usize]) -> Result<Vec<Data>, GraphError> {
    let shape = call.input(0).shape();
    let axis = normalized_axis(axis, shape.len()).map_err(|cause| call.invalid(cause))?;
    let strides = strides_of(shape);
    let mut start = 0;
    let mut parts = Vec::with_capacity(sizes.len());
    for (output, &size) in call.outputs.iter().zip(sizes) {
        parts.push(gather(call, Offsets::new(&output.shape, strides.clone(), start))?);
        start += size * strides[axis].unsigned_abs();
    }
    Ok(parts)
}

pub(super) fn concat(call: &Call<'_>, axis: i64) -> Result<Data, GraphError> {
    fn typed<T: Element>(call: &Call<'_>, _first: &[T], axis: usize) -> Result<Vec<T>, GraphError> {
        let (outer, _, inner) = around_axis(call.output_shape(), axis);
        let mut y = call.allocate_output()?;
        for block in 0..outer {
            for idx in 0..call.inputs.len() {
                let len = call.input(idx).shape()[axis] * inner;
                y.extend_from_slice(&call.elements::<T>(idx)[block * len..][..len]);
            }
        }
        Ok(y)
    }
    let axis = normalized_axis(axis, call.input(0).shape().len()).map_err(|cause| call.invalid(cause))?;
    for_any!(call.input(0).data(), x => Ok(typed(call, x, axis)?.into()))
}

/// Index along an axis of `extent` that an output index reads, `None` for the constant.
fn source(index: i128, extent: i128, mode: PadMode) -> Option<i128> {
    match mode {
        _ if (0..extent).contains(&index) => Some(index),
        PadMode::Constant => None,
        PadMode::Edge => Some(index.clamp(0, extent - 1)),
        PadMode::Wrap => Some(index.rem_euclid(extent)),
        PadMode::Reflect if extent == 1 => Some(0),
        PadMode::Reflect => {
            let folded = index.rem_euclid(2 * (extent - 1));
            Some(folded.min(2 * (extent - 1) - folded))
        }
    }
}

pub(super) fn pad(call: &Call<'_>, pad: &Pad) -> Result<Data, GraphError> {
    fn typed<T: Element>(
        call: &Call<'_>,
        x: &[T],
        sources: &[Vec<Option<usize>>],
        value: T,
    ) -> Result<Vec<T>, GraphError> {
        let mut y = call.allocate_output()?;
        let mut index = vec![0_usize; sources.len()];
        let n_elements = call.outputs[0].n_elements();
        for _ in 0..n_elements {
            let offset = index.iter().zip(sources).try_fold(0, |sum, (&i, sources)| Some(sum + sources[i]?));
            y.push(offset.map_or(value, |offset: usize| x[offset]));
            for (i, sources) in index.iter_mut().zip(sources).rev() {
                *i += 1;
                if *i < sources.len() {
                    break;
                }
                *i = 0;
            }
        }
        Ok(y)
    }
    let shape = call.input(0).shape();
    let mut sources = Vec::with_capacity(shape.len());
    for ((axis, stride), &extent) in strides_of(shape).into_iter().enumerate().zip(call.output_shape()) {
        let mut axis_sources = call.allocate(extent)?;
        axis_sources.extend((0..extent).map(|i| {
            let found = source(i as i128 - i128::from(pad.begin[axis]), shape[axis] as i128, pad.mode)?;
            Some(found as usize * stride.unsigned_abs())
        }));
        sources.push(axis_sources);
    }
    match call.input(0).data() {
        Data::F32(x) => Ok(typed(call, x, &sources, pad.value)?.into()),
        Data::F64(x) => Ok(typed(call, x, &sources, f64::from(pad.value))?.into()),
        Data::I64(x) => Ok(typed(call, x, &sources, pad.value as i64)?.into()),
        Data::I32(x) => Ok(typed(call, x, &sources, pad.value as i32)?.into()),
        Data::I16(x) => Ok(typed(call, x, &sources, pad.value as i16)?.into()),
        Data::I8(x) => Ok(typed(call, x, &sources, pad.value as i8)?.into()),
        Data::U16(x) => Ok(typed(call, x, &sources, pad.value as u16)?.into()),
        Data::U8(x) => Ok(typed(call, x, &sources, pad.value as u8)?.into()),
        Data::Bool(x) => Ok(typed(call, x, &sources, pad.value.is_nan() || pad.value.abs() > 0.0)?.into()),
    }
}
