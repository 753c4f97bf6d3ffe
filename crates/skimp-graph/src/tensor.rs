//! Dense row-major tensors.

use std::sync::Arc;

use crate::reference::number::for_any;
use crate::reference::strided::around_axis;

/// Element type of a [`Tensor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 16-bit signed integer.
    I16,
    /// 8-bit signed integer.
    I8,
    /// 16-bit unsigned integer.
    U16,
    /// 8-bit unsigned integer.
    U8,
    /// Truth value.
    Bool,
}

/// Elements of a [`Tensor`], shared and copied on write.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant is named like its element type")]
pub enum Data {
    F32(Arc<Vec<f32>>),
    F64(Arc<Vec<f64>>),
    I64(Arc<Vec<i64>>),
    I32(Arc<Vec<i32>>),
    I16(Arc<Vec<i16>>),
    I8(Arc<Vec<i8>>),
    U16(Arc<Vec<u16>>),
    U8(Arc<Vec<u8>>),
    Bool(Arc<Vec<bool>>),
}

/// A dense row-major tensor. Cloning shares the elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

/// A type that a [`Tensor`] can hold.
pub trait Element: Copy + PartialEq + std::fmt::Debug + sealed::Sealed + 'static {
    /// The element type that this type stands for.
    const DTYPE: DType;

    /// The elements of `data` if they are of this type.
    fn slice(data: &Data) -> Option<&[Self]>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! element {
    ($($rust:ty => $variant:ident),*) => {$(
        impl sealed::Sealed for $rust {}

        impl Element for $rust {
            const DTYPE: DType = DType::$variant;

            fn slice(data: &Data) -> Option<&[Self]> {
                if let Data::$variant(v) = data { Some(v) } else { None }
            }
        }

        impl From<Vec<$rust>> for Data {
            fn from(elements: Vec<$rust>) -> Self {
                Data::$variant(Arc::new(elements))
            }
        }
    )*};
}

element!(
    f32 => F32, f64 => F64, i64 => I64, i32 => I32, i16 => I16, i8 => I8, u16 => U16, u8 => U8, bool => Bool
);

impl DType {
    /// Bytes of one element.
    pub fn n_bytes(self) -> usize {
        match self {
            DType::F64 | DType::I64 => 8,
            DType::F32 | DType::I32 => 4,
            DType::I16 | DType::U16 => 2,
            DType::I8 | DType::U8 | DType::Bool => 1,
        }
    }

    /// Whether the type is floating-point.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::I64 => "i64",
            DType::I32 => "i32",
            DType::I16 => "i16",
            DType::I8 => "i8",
            DType::U16 => "u16",
            DType::U8 => "u8",
            DType::Bool => "bool",
        })
    }
}

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::F32(v) => v.len(),
            Data::F64(v) => v.len(),
            Data::I64(v) => v.len(),
            Data::I32(v) => v.len(),
            Data::I16(v) => v.len(),
            Data::I8(v) => v.len(),
            Data::U16(v) => v.len(),
            Data::U8(v) => v.len(),
            Data::Bool(v) => v.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        match self {
            Data::F32(_) => DType::F32,
            Data::F64(_) => DType::F64,
            Data::I64(_) => DType::I64,
            Data::I32(_) => DType::I32,
            Data::I16(_) => DType::I16,
            Data::I8(_) => DType::I8,
            Data::U16(_) => DType::U16,
            Data::U8(_) => DType::U8,
            Data::Bool(_) => DType::Bool,
        }
    }
}

impl Tensor {
    /// A tensor of `shape` over `data`, or `None` if the element count does not match or overflows.
    pub fn new(shape: Vec<usize>, data: Data) -> Option<Self> {
        let n_elements = shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))?;
        (n_elements == data.len()).then_some(Self { shape, data })
    }

    /// An f32 tensor.
    ///
    /// # Panics
    /// If `data` does not have the number of elements that `shape` says.
    pub fn from_f32(shape: Vec<usize>, data: Vec<f32>) -> Self {
        Self::new(shape, Data::F32(Arc::new(data))).expect("element count matches shape")
    }

    /// An i64 tensor.
    ///
    /// # Panics
    /// If `data` does not have the number of elements that `shape` says.
    pub fn from_i64(shape: Vec<usize>, data: Vec<i64>) -> Self {
        Self::new(shape, Data::I64(Arc::new(data))).expect("element count matches shape")
    }

    /// Extents, outermost first. Empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements, row-major.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// The elements if they are f32.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(v) => Some(v),
            _ => None,
        }
    }

    /// The elements if they are i64.
    pub fn as_i64(&self) -> Option<&[i64]> {
        match &self.data {
            Data::I64(v) => Some(v),
            _ => None,
        }
    }

    /// The elements if they are of type `T`.
    pub fn elements<T: Element>(&self) -> Option<&[T]> {
        T::slice(&self.data)
    }

    /// The same elements under another shape, or `None` if the counts differ.
    pub fn reshaped(&self, shape: Vec<usize>) -> Option<Self> {
        Self::new(shape, self.data.clone())
    }

    /// The parts along `axis` with the indices `kept`, in that order.
    ///
    /// # Panics
    /// If there is no such axis or an index is out of range.
    #[must_use]
    pub fn keep(&self, axis: usize, kept: &[usize]) -> Self {
        self.keep_of(axis, kept.len(), |_| kept)
    }

    /// As [`keep`](Self::keep), with `n_kept` indices for each combination of indices of the axes before `axis`.
    pub(crate) fn keep_of<'k>(&self, axis: usize, n_kept: usize, kept: impl Fn(usize) -> &'k [usize]) -> Self {
        let (outer, extent, inner) = around_axis(&self.shape, axis);
        let mut shape = self.shape.clone();
        shape[axis] = n_kept;
        let data = for_any!(&self.data, elements => {
            let mut parts = Vec::with_capacity(outer * n_kept * inner);
            for row in 0..outer {
                for &index in kept(row) {
                    assert!(index < extent, "index {index} of {extent}");
                    parts.extend_from_slice(&elements[(row * extent + index) * inner..][..inner]);
                }
            }
            Data::from(parts)
        });
        Self { shape, data }
    }

    /// The f32 elements, taken without a copy when nobody else shares them.
    pub fn into_f32(self) -> Option<Vec<f32>> {
        match self.data {
            Data::F32(v) => Some(Arc::try_unwrap(v).unwrap_or_else(|shared| shared.as_ref().clone())),
            _ => None,
        }
    }
}
