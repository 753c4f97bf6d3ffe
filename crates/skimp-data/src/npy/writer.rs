//! Writing `.npy` files.

use std::path::Path;

use super::{header, reader::MAGIC};
use crate::DataError;

/// A number type that can be written.
pub trait Element: Copy {
    /// NumPy's type code, such as `<f4`.
    const DESCR: &'static str;

    /// Appends the value's little-endian bytes.
    fn push(self, bytes: &mut Vec<u8>);
}

macro_rules! element {
    ($($type:ty: $descr:literal),*) => {$(
        impl Element for $type {
            const DESCR: &'static str = $descr;

            fn push(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

element!(u8: "|u1", i8: "|i1", u16: "<u2", i16: "<i2", u32: "<u4", i32: "<i4", u64: "<u8", i64: "<i8");
element!(f32: "<f4", f64: "<f8");

impl Element for bool {
    const DESCR: &'static str = "|b1";

    fn push(self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self));
    }
}

/// Values encoded at a time.
const CHUNK: usize = 1 << 16;

/// Writes `data` in C order as format version 1.0 (2.0 if the header needs it), as `numpy.save` does.
///
/// The file is written under another name beside `path` and renamed at the end, so a file named `path` is complete.
///
/// # Errors
/// [`DataError::ArrayShape`] if `shape` does not have as many values as `data`; [`DataError::Io`].
///
/// # Examples
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("codes.npy");
/// skimp_data::npy::write(&path, &[2, 3], &[1i32, 2, 3, 4, 5, 6])?;
/// assert_eq!(skimp_data::npy::read(&path)?.shape, [2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write<T: Element>(path: impl AsRef<Path>, shape: &[usize], data: &[T]) -> Result<(), DataError> {
    let path = path.as_ref();
    if shape.iter().try_fold(1usize, |len, &extent| len.checked_mul(extent)) != Some(data.len()) {
        return Err(DataError::ArrayShape { path: path.to_path_buf(), shape: shape.to_vec(), len: data.len() });
    }
    let start = file_start(&header::format(T::DESCR, shape));
    skimp_files::write(path, |writer| {
        writer.write_all(&start)?;
        let mut bytes = Vec::with_capacity(CHUNK.min(data.len()) * size_of::<T>());
        data.chunks(CHUNK).try_for_each(|chunk| {
            bytes.clear();
            chunk.iter().for_each(|&value| value.push(&mut bytes));
            writer.write_all(&bytes)
        })
    })
    .map_err(DataError::io(path))
}

/// Magic number, version, length and the header padded with spaces so that the values start at a multiple of 64.
fn file_start(header: &str) -> Vec<u8> {
    let length_bytes = if header.len() + 64 > usize::from(u16::MAX) { 4 } else { 2 };
    let unpadded = MAGIC.len() + 2 + length_bytes + header.len() + 1;
    let padding = unpadded.next_multiple_of(64) - unpadded;
    let length = (header.len() + padding + 1) as u32;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&[if length_bytes == 2 { 1 } else { 2 }, 0]);
    bytes.extend_from_slice(&length.to_le_bytes()[..length_bytes]);
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + padding, b' ');
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_start_at_a_multiple_of_64() {
        for len in [0, 1, 60, 117, 118, 200, 70_000] {
            let start = file_start(&"x".repeat(len));
            assert_eq!(start.len() % 64, 0, "{len}");
            assert_eq!(start.last(), Some(&b'\n'));
        }
    }
}
