//! NumPy's `.npy` files: [`read`] any plain number array, [`write()`] arrays of the common types.
//!
//! Little-endian, C order; half precision becomes f32, exactly. Arrays in Fortran order, big-endian, complex and structured
//! ones are an error that says so.
//!
//! # Source
//! NumPy, "NEP 1: A Simple File Format for NumPy Arrays", format versions 1.0, 2.0 and 3.0.

mod header;
mod reader;
mod writer;

pub use reader::read;
pub use writer::{Element, write};

/// An array as read.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Extents; empty for a scalar.
    pub shape: Vec<usize>,
    /// The values in C order, as many as the product of the extents.
    pub data: Data,
}

/// Values of an array, by type.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Data {
    I8(Vec<i8>),
    /// Also `bool`, as 0 and 1.
    U8(Vec<u8>),
    I16(Vec<i16>),
    U16(Vec<u16>),
    I32(Vec<i32>),
    U32(Vec<u32>),
    I64(Vec<i64>),
    U64(Vec<u64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// Runs `$body` with `$values` bound to the vector inside `$data`.
macro_rules! each {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            Data::I8($values) => $body,
            Data::U8($values) => $body,
            Data::I16($values) => $body,
            Data::U16($values) => $body,
            Data::I32($values) => $body,
            Data::U32($values) => $body,
            Data::I64($values) => $body,
            Data::U64($values) => $body,
            Data::F32($values) => $body,
            Data::F64($values) => $body,
        }
    };
}

impl Data {
    /// Number of values.
    pub fn len(&self) -> usize {
        each!(self, values => values.len())
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// NumPy's name of the type, such as `float32`.
    pub fn dtype(&self) -> &'static str {
        match self {
            Self::I8(_) => "int8",
            Self::U8(_) => "uint8",
            Self::I16(_) => "int16",
            Self::U16(_) => "uint16",
            Self::I32(_) => "int32",
            Self::U32(_) => "uint32",
            Self::I64(_) => "int64",
            Self::U64(_) => "uint64",
            Self::F32(_) => "float32",
            Self::F64(_) => "float64",
        }
    }

    /// The values as f32.
    ///
    /// # Rounding
    /// To nearest, ties to even; `float64` beyond f32's range becomes infinite.
    #[expect(clippy::unnecessary_cast, reason = "one of the types is f32 itself")]
    pub fn into_f32(self) -> Vec<f32> {
        match self {
            Self::F32(values) => values,
            other => each!(other, values => values.into_iter().map(|value| value as f32).collect()),
        }
    }

    /// The values of an integer array, or `None` for floating point.
    pub fn to_integers(&self) -> Option<Vec<i128>> {
        match self {
            Self::F32(_) | Self::F64(_) => None,
            integers => Some(each!(integers, values => values.iter().map(|&value| value as i128).collect())),
        }
    }
}
