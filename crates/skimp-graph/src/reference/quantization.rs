//! Conversions between element types.

use super::Call;
use super::number::for_any;
use super::strided::around_axis;
use crate::shape::normalized_axis;
use crate::{DType, Data, GraphError};

/// An element on its way to another type.
#[derive(Clone, Copy)]
enum Number {
    Float(f64),
    Integer(i64),
}

trait IntoNumber: Copy {
    fn number(self) -> Number;
}

macro_rules! into_number {
    ($($type:ty => $variant:ident),*) => {$(
        impl IntoNumber for $type {
            fn number(self) -> Number {
                Number::$variant(self.into())
            }
        }
    )*};
}

into_number!(
    f32 => Float, f64 => Float, i64 => Integer, i32 => Integer, i16 => Integer, i8 => Integer, u16 => Integer,
    u8 => Integer, bool => Integer
);

/// Floats saturate to integers (NaN gives 0), integers wrap.
pub(super) fn cast(call: &Call<'_>, to: DType) -> Result<Data, GraphError> {
    fn typed<T: IntoNumber>(call: &Call<'_>, x: &[T], to: DType) -> Result<Data, GraphError> {
        macro_rules! to {
            ($type:ty) => {{
                let mut y: Vec<$type> = call.allocate(x.len())?;
                y.extend(x.iter().map(|x| match x.number() {
                    Number::Float(x) => x as $type,
                    Number::Integer(x) => x as $type,
                }));
                Ok(y.into())
            }};
        }
        match to {
            DType::F32 => to!(f32),
            DType::F64 => to!(f64),
            DType::I64 => to!(i64),
            DType::I32 => to!(i32),
            DType::I16 => to!(i16),
            DType::I8 => to!(i8),
            DType::U16 => to!(u16),
            DType::U8 => to!(u8),
            DType::Bool => {
                let mut y: Vec<bool> = call.allocate(x.len())?;
                y.extend(x.iter().map(|x| match x.number() {
                    Number::Float(x) => x.is_nan() || x.abs() > 0.0,
                    Number::Integer(x) => x != 0,
                }));
                Ok(y.into())
            }
        }
    }
    if call.input(0).dtype() == to {
        return Ok(call.input(0).data().clone());
    }
    for_any!(call.input(0).data(), x => typed(call, x, to))
}

/// The slice of a per-axis scale that an element belongs to.
fn channels(call: &Call<'_>, axis: i64) -> Result<impl Fn(usize) -> usize, GraphError> {
    let shape = call.input(0).shape();
    let (extent, inner) = if call.input(1).len() == 1 {
        (1, 1)
    } else {
        let axis = normalized_axis(axis, shape.len()).map_err(|cause| call.invalid(cause))?;
        let (_, extent, inner) = around_axis(shape, axis);
        (extent, inner)
    };
    Ok(move |idx: usize| idx / inner % extent)
}

/// `saturate(round_half_even(x / scale) + zero_point)`.
pub(super) fn quantize(call: &Call<'_>, axis: i64) -> Result<Data, GraphError> {
    let scale: &[f32] = call.elements(1);
    let channel = channels(call, axis)?;
    // i32 goes through f32 as ONNX's type rule says, so that the quotient is an f32.
    let quotient = |x: f32, idx: usize| (x / scale[channel(idx)]).round_ties_even();
    let mut rounded: Vec<f32> = call.allocate(call.input(0).len())?;
    match call.input(0).data() {
        Data::F32(x) => rounded.extend(x.iter().enumerate().map(|(idx, &x)| quotient(x, idx))),
        Data::I32(x) => rounded.extend(x.iter().enumerate().map(|(idx, &x)| quotient(x as f32, idx))),
        _ => return Err(call.unsupported_type()),
    }
    macro_rules! saturated {
        ($type:ty, $zero_point:expr) => {{
            let zero_point: Option<&[$type]> = $zero_point;
            let mut y: Vec<$type> = call.allocate(rounded.len())?;
            y.extend(rounded.iter().enumerate().map(|(idx, &quotient)| {
                let zero_point = zero_point.map_or(0, |z| i64::from(z[channel(idx)]));
                let sum = (quotient as i64).saturating_add(zero_point);
                sum.clamp(i64::from(<$type>::MIN), i64::from(<$type>::MAX)) as $type
            }));
            Ok(y.into())
        }};
    }
    match call.optional(2).map(|zero_point| zero_point.data()) {
        None => saturated!(u8, None),
        Some(Data::U8(zero_point)) => saturated!(u8, Some(zero_point)),
        Some(Data::I8(zero_point)) => saturated!(i8, Some(zero_point)),
        Some(Data::U16(zero_point)) => saturated!(u16, Some(zero_point)),
        Some(Data::I16(zero_point)) => saturated!(i16, Some(zero_point)),
        Some(_) => Err(call.unsupported_type()),
    }
}

/// `(x − zero_point) · scale`, the difference exact, the product in f32.
pub(super) fn dequantize(call: &Call<'_>, axis: i64) -> Result<Data, GraphError> {
    fn typed<T: crate::Element + Into<i64>>(
        call: &Call<'_>,
        x: &[T],
        channel: impl Fn(usize) -> usize,
    ) -> Result<Data, GraphError> {
        let scale: &[f32] = call.elements(1);
        let zero_point: Option<&[T]> = call.optional(2).map(|_| call.elements(2));
        let mut y: Vec<f32> = call.allocate(x.len())?;
        y.extend(x.iter().enumerate().map(|(idx, &x)| {
            let channel = channel(idx);
            let difference: i64 = x.into() - zero_point.map_or(0, |z| z[channel].into());
            difference as f32 * scale[channel]
        }));
        Ok(y.into())
    }
    let channel = channels(call, axis)?;
    match call.input(0).data() {
        Data::U8(x) => typed(call, x, channel),
        Data::I8(x) => typed(call, x, channel),
        Data::U16(x) => typed(call, x, channel),
        Data::I16(x) => typed(call, x, channel),
        Data::I32(x) => typed(call, x, channel),
        _ => Err(call.unsupported_type()),
    }
}
