//! Reading `.npy` files.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use skimp_numerics::formats::FP16;

use super::{Array, Data, header};
use crate::{DataError, files};

pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longer headers are damaged: what we read has a short type and at most a few dozen extents.
const MAX_HEADER_BYTES: u64 = 1 << 16;

/// Reads an array.
///
/// # Errors
/// [`DataError::BadMagic`], [`DataError::Truncated`], [`DataError::InvalidFile`] for a damaged header or bytes after
/// the last value, [`DataError::UnsupportedFile`] for a type or order that is not read.
pub fn read(path: impl AsRef<Path>) -> Result<Array, DataError> {
    let path = path.as_ref();
    files::check_regular(path)?;
    let file = File::open(path).map_err(DataError::io(path))?;
    skimp_files::note_input(path);
    read_from(&mut BufReader::new(file), path)
}

/// Reads an array; `path` is for messages only.
fn read_from(reader: &mut dyn Read, path: &Path) -> Result<Array, DataError> {
    let start = files::read_exactly(reader, 8, 0, path)?;
    if start[..6] != MAGIC[..] {
        return Err(DataError::BadMagic {
            path: path.to_path_buf(),
            expected: MAGIC.escape_ascii().to_string(),
            found: start[..6].escape_ascii().to_string(),
        });
    }
    let length_bytes = match start[6] {
        1 => 2,
        2 | 3 => 4,
        other => return Err(DataError::unsupported(path, format!("format version {other}"))),
    };
    let length = files::read_exactly(reader, length_bytes, 8, path)?;
    let header_len = length.iter().rev().fold(0u64, |len, &byte| len << 8 | u64::from(byte));
    if header_len > MAX_HEADER_BYTES {
        return Err(DataError::invalid(path, format!("expected a header of at most 65536 bytes, found {header_len}")));
    }
    let header_bytes = files::read_exactly(reader, header_len, 8 + length_bytes, path)?;
    let text = String::from_utf8_lossy(&header_bytes);
    let header = header::parse(&text).map_err(|cause| DataError::invalid(path, cause))?;
    if header.fortran_order && header.shape.len() > 1 {
        return Err(DataError::unsupported(path, "Fortran order (save numpy.ascontiguousarray of the array)"));
    }
    let data_start = 8 + length_bytes + header_len;
    let data = read_data(reader, &header, data_start, path)?;
    Ok(Array { shape: header.shape, data })
}

fn read_data(reader: &mut dyn Read, header: &header::Header, already: u64, path: &Path) -> Result<Data, DataError> {
    let size: u64 = match header.descr.as_str() {
        "|b1" | "|u1" | "|i1" | "<u1" | "<i1" => 1,
        "<i2" | "<u2" | "<f2" => 2,
        "<i4" | "<u4" | "<f4" => 4,
        "<i8" | "<u8" | "<f8" => 8,
        other => {
            return Err(DataError::unsupported(
                path,
                format!("type \"{other}\" (little-endian integers, float16, float32, float64 and bool are read)"),
            ));
        }
    };
    let too_large = || DataError::invalid(path, format!("shape {:?} does not fit into memory", header.shape));
    let len =
        header.shape.iter().try_fold(size, |len, &extent| len.checked_mul(extent as u64)).ok_or_else(too_large)?;
    let end = already.checked_add(len).ok_or_else(too_large)?;
    // The bytes and the values are there at once.
    skimp_memory::check(len.saturating_mul(2), || path.display().to_string())?;
    let bytes = files::read_exactly(reader, len, already, path)?;
    files::check_end(reader, end, path)?;
    Ok(match header.descr.as_str() {
        "|b1" => Data::U8(bytes.into_iter().map(|byte| u8::from(byte != 0)).collect()),
        "|u1" | "<u1" => Data::U8(bytes),
        "|i1" | "<i1" => Data::I8(bytes.into_iter().map(|byte| i8::from_le_bytes([byte])).collect()),
        "<i2" => Data::I16(decode(&bytes, i16::from_le_bytes)),
        "<u2" => Data::U16(decode(&bytes, u16::from_le_bytes)),
        "<i4" => Data::I32(decode(&bytes, i32::from_le_bytes)),
        "<u4" => Data::U32(decode(&bytes, u32::from_le_bytes)),
        "<f2" => Data::F32(decode(&bytes, |code| FP16.decode(u32::from(u16::from_le_bytes(code))))),
        "<f4" => Data::F32(decode(&bytes, f32::from_le_bytes)),
        "<i8" => Data::I64(decode(&bytes, i64::from_le_bytes)),
        "<u8" => Data::U64(decode(&bytes, u64::from_le_bytes)),
        _ => Data::F64(decode(&bytes, f64::from_le_bytes)),
    })
}

fn decode<const N: usize, T>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| from(chunk)).collect()
}
