//! One decoded image.

use std::borrow::Cow;

/// An image as stored, before any preprocessing: channel planes one after the other (CHW), RGB where there are three.
#[derive(Debug, Clone, PartialEq)]
pub struct Image<'a> {
    /// Number of channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `channels · height · width` values.
    pub samples: Samples<'a>,
}

/// Pixel values, by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Samples<'a> {
    /// Bytes, 0 to 255.
    U8(Cow<'a, [u8]>),
    /// Numbers of any range; only `.npy` files have them.
    F32(Cow<'a, [f32]>),
}

impl From<Vec<u8>> for Samples<'_> {
    fn from(values: Vec<u8>) -> Self {
        Samples::U8(Cow::Owned(values))
    }
}

impl From<Vec<f32>> for Samples<'_> {
    fn from(values: Vec<f32>) -> Self {
        Samples::F32(Cow::Owned(values))
    }
}

impl Samples<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Borrows the values `start..start + len`.
    pub(crate) fn slice(&self, start: usize, len: usize) -> Samples<'_> {
        match self {
            Self::U8(values) => Samples::U8(Cow::Borrowed(&values[start..start + len])),
            Self::F32(values) => Samples::F32(Cow::Borrowed(&values[start..start + len])),
        }
    }
}
