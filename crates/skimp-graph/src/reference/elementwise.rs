//! Elementwise operators.

use super::Call;
use super::number::{Float, Number, for_float, for_number};
use super::strided::Offsets;
use crate::{Data, GraphError};

/// `function`, evaluated in f64.
pub(super) fn float(call: &Call<'_>, function: impl Fn(f64) -> f64) -> Result<Data, GraphError> {
    fn map<T: Float>(call: &Call<'_>, x: &[T], function: impl Fn(f64) -> f64) -> Result<Vec<T>, GraphError> {
        let mut y = call.allocate(x.len())?;
        y.extend(x.iter().map(|&x| T::from_f64(function(x.to_f64()))));
        Ok(y)
    }
    for_float!(call.input(0).data(), x => Ok(map(call, x, function)?.into()), Err(call.unsupported_type()))
}

fn map<T: Number>(call: &Call<'_>, x: &[T], function: impl Fn(T) -> T) -> Result<Vec<T>, GraphError> {
    let mut y = call.allocate(x.len())?;
    y.extend(x.iter().map(|&x| function(x)));
    Ok(y)
}

pub(super) fn relu(call: &Call<'_>) -> Result<Data, GraphError> {
    fn function<T: Number>(x: T) -> T {
        if x < T::ZERO { T::ZERO } else { x }
    }
    for_number!(call.input(0).data(), x => Ok(map(call, x, function)?.into()), Err(call.unsupported_type()))
}

pub(super) fn sign(call: &Call<'_>) -> Result<Data, GraphError> {
    fn function<T: Number>(x: T) -> T {
        if x > T::ZERO {
            T::ONE
        } else if x < T::ZERO {
            T::ZERO.minus(T::ONE)
        } else if x.is_nan() {
            x
        } else {
            T::ZERO
        }
    }
    for_number!(call.input(0).data(), x => Ok(map(call, x, function)?.into()), Err(call.unsupported_type()))
}

pub(super) fn clip(call: &Call<'_>, min: Option<f32>, max: Option<f32>) -> Result<Data, GraphError> {
    fn function<T: Number>(x: T, min: Option<f32>, max: Option<f32>) -> T {
        let at_least = min.map(T::bound).filter(|&min| x < min).unwrap_or(x);
        max.map(T::bound).filter(|&max| at_least > max).unwrap_or(at_least)
    }
    for_number!(
        call.input(0).data(),
        x => Ok(map(call, x, |x| function(x, min, max))?.into()),
        Err(call.unsupported_type())
    )
}

fn zip<T: Number>(call: &Call<'_>, a: &[T], function: impl Fn(T, T) -> T) -> Result<Data, GraphError>
where
    Data: From<Vec<T>>,
{
    let b: &[T] = call.elements(1);
    let mut y = call.allocate_output()?;
    if call.input(0).shape() == call.input(1).shape() {
        y.extend(a.iter().zip(b).map(|(&a, &b)| function(a, b)));
    } else {
        let a_offsets = Offsets::broadcast(call.input(0).shape(), call.output_shape());
        let b_offsets = Offsets::broadcast(call.input(1).shape(), call.output_shape());
        y.extend(a_offsets.zip(b_offsets).map(|(i, j)| function(a[i], b[j])));
    }
    Ok(y.into())
}

pub(super) fn prelu(call: &Call<'_>) -> Result<Data, GraphError> {
    fn function<T: Number>(x: T, slope: T) -> T {
        if x < T::ZERO { slope.times(x) } else { x }
    }
    for_number!(call.input(0).data(), x => zip(call, x, function), Err(call.unsupported_type()))
}

/// The four operations of arithmetic.
#[derive(Clone, Copy)]
pub(super) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
}

pub(super) fn binary(call: &Call<'_>, operation: Arithmetic) -> Result<Data, GraphError> {
    fn typed<T: Number>(call: &Call<'_>, a: &[T], operation: Arithmetic) -> Result<Data, GraphError>
    where
        Data: From<Vec<T>>,
    {
        match operation {
            Arithmetic::Add => zip(call, a, T::plus),
            Arithmetic::Sub => zip(call, a, T::minus),
            Arithmetic::Mul => zip(call, a, T::times),
            Arithmetic::Div => {
                if !T::DTYPE.is_float() && call.elements::<T>(1).contains(&T::ZERO) {
                    return Err(call.invalid("integer division by zero"));
                }
                zip(call, a, T::over)
            }
        }
    }
    for_number!(call.input(0).data(), a => typed(call, a, operation), Err(call.unsupported_type()))
}
