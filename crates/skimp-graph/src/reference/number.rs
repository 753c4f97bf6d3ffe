//! Arithmetic over the element types.

use crate::Element;

/// A numeric element type.
pub(crate) trait Number: Element + PartialOrd {
    const ZERO: Self;
    const ONE: Self;
    /// The least value, minus infinity for floating point.
    const LOWEST: Self;
    /// The greatest value, infinity for floating point.
    const HIGHEST: Self;

    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// Truncates integers; their divisor must not be 0.
    fn over(self, other: Self) -> Self;
    /// What is left of a division that truncates; the divisor of integers must not be 0.
    fn remainder(self, other: Self) -> Self;
    /// The bound in this type: integers saturate.
    fn bound(value: f32) -> Self;
    fn is_nan(self) -> bool;
    /// Starts a sum in the accumulator of the type: f64, or wrapping integers.
    fn dot(pairs: impl Iterator<Item = (Self, Self)>) -> Self;
    /// Mean over `n` elements: accumulated in f64, or exactly and truncated.
    fn mean(elements: impl Iterator<Item = Self>, n: usize) -> Self;
}

/// A floating-point element type.
pub(crate) trait Float: Number {
    fn to_f64(self) -> f64;
    fn from_f64(value: f64) -> Self;
}

macro_rules! integer {
    ($($type:ty),*) => {$(
        impl Number for $type {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const LOWEST: Self = <$type>::MIN;
            const HIGHEST: Self = <$type>::MAX;

            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }

            fn over(self, other: Self) -> Self {
                self.wrapping_div(other)
            }

            fn remainder(self, other: Self) -> Self {
                self.wrapping_rem(other)
            }

            fn bound(value: f32) -> Self {
                value as $type
            }

            fn is_nan(self) -> bool {
                false
            }

            fn dot(pairs: impl Iterator<Item = (Self, Self)>) -> Self {
                pairs.fold(0, |sum, (a, b)| sum.wrapping_add(a.wrapping_mul(b)))
            }

            fn mean(elements: impl Iterator<Item = Self>, n: usize) -> Self {
                if n == 0 { 0 } else { (elements.map(i128::from).sum::<i128>() / n as i128) as $type }
            }
        }
    )*};
}

macro_rules! float {
    ($($type:ty),*) => {$(
        impl Number for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LOWEST: Self = <$type>::NEG_INFINITY;
            const HIGHEST: Self = <$type>::INFINITY;

            fn plus(self, other: Self) -> Self {
                self + other
            }

            fn minus(self, other: Self) -> Self {
                self - other
            }

            fn times(self, other: Self) -> Self {
                self * other
            }

            fn over(self, other: Self) -> Self {
                self / other
            }

            fn remainder(self, other: Self) -> Self {
                self % other
            }

            fn bound(value: f32) -> Self {
                value.into()
            }

            fn is_nan(self) -> bool {
                self.is_nan()
            }

            fn dot(pairs: impl Iterator<Item = (Self, Self)>) -> Self {
                pairs.fold(0.0_f64, |sum, (a, b)| sum + a.to_f64() * b.to_f64()) as $type
            }

            fn mean(elements: impl Iterator<Item = Self>, n: usize) -> Self {
                if n == 0 { 0.0 } else { (elements.map(f64::from).sum::<f64>() / n as f64) as $type }
            }
        }

        impl Float for $type {
            fn to_f64(self) -> f64 {
                self.into()
            }

            fn from_f64(value: f64) -> Self {
                value as $type
            }
        }
    )*};
}

integer!(i64, i32, i16, i8, u16, u8);
float!(f32, f64);

/// Evaluates `$body` with `$elements` bound to the typed elements of any `Data`.
macro_rules! for_any {
    ($data:expr, $elements:ident => $body:expr) => {
        match $data {
            $crate::Data::F32($elements) => $body,
            $crate::Data::F64($elements) => $body,
            $crate::Data::I64($elements) => $body,
            $crate::Data::I32($elements) => $body,
            $crate::Data::I16($elements) => $body,
            $crate::Data::I8($elements) => $body,
            $crate::Data::U16($elements) => $body,
            $crate::Data::U8($elements) => $body,
            $crate::Data::Bool($elements) => $body,
        }
    };
}

/// Like `for_any`, over numbers; `$otherwise` for the rest.
macro_rules! for_number {
    ($data:expr, $elements:ident => $body:expr, $otherwise:expr) => {
        match $data {
            $crate::Data::F32($elements) => $body,
            $crate::Data::F64($elements) => $body,
            $crate::Data::I64($elements) => $body,
            $crate::Data::I32($elements) => $body,
            $crate::Data::I16($elements) => $body,
            $crate::Data::I8($elements) => $body,
            $crate::Data::U16($elements) => $body,
            $crate::Data::U8($elements) => $body,
            $crate::Data::Bool(_) => $otherwise,
        }
    };
}

/// Like `for_any`, over floating point; `$otherwise` for the rest.
macro_rules! for_float {
    ($data:expr, $elements:ident => $body:expr, $otherwise:expr) => {
        match $data {
            $crate::Data::F32($elements) => $body,
            $crate::Data::F64($elements) => $body,
            $crate::Data::I64(_)
            | $crate::Data::I32(_)
            | $crate::Data::I16(_)
            | $crate::Data::I8(_)
            | $crate::Data::U16(_)
            | $crate::Data::U8(_)
            | $crate::Data::Bool(_) => $otherwise,
        }
    };
}

pub(crate) use {for_any, for_float, for_number};
