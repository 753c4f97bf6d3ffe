//! Tensors between their ONNX form and [`Tensor`].

use std::path::Path;
use std::sync::Arc;

use super::proto::{LOCATION_EXTERNAL, TensorProto, elem};
use super::{dtype, external, packed};
use crate::{Data, GraphError, Tensor};

/// Converts a tensor of the model `file`. `what` names it in errors.
///
/// FLOAT16, BFLOAT16 and floats of 8 and 4 bits become f32, integers of 4 and 2 bits those of 8 bits, exactly. Nothing is
/// allocated beyond a small multiple of what the data itself backs.
pub(crate) fn to_tensor(
    proto: TensorProto,
    base_dir: Option<&Path>,
    file: &Path,
    what: &str,
) -> Result<Tensor, GraphError> {
    let invalid = |cause: String| GraphError::InvalidFile { path: file.to_owned(), cause: format!("{what}: {cause}") };
    let (shape, n_elements) = extents(&proto.dims).map_err(invalid)?;
    if let Some(coded) = packed::Coded::of(proto.data_type) {
        let n_bytes = n_elements.div_ceil(coded.per_byte());
        let bytes = if proto.data_location == LOCATION_EXTERNAL {
            external::read(&proto.external_data, n_bytes as u64, base_dir, file, &proto.name)?.to_vec()
        } else if let Some(raw) = proto.raw_data.as_ref().filter(|raw| !raw.is_empty()) {
            raw.to_vec()
        } else {
            let byte = |&v: &i32| u8::try_from(v & 0xff).unwrap_or(0);
            proto.int32_data.iter().map(byte).collect()
        };
        if bytes.len() != n_bytes {
            let name = dtype::onnx_name(proto.data_type);
            return Err(invalid(format!(
                "{} bytes of data, expected {n_bytes} for {n_elements} of {name}",
                bytes.len()
            )));
        }
        let data = coded.unpacked(&bytes, n_elements);
        return Tensor::new(shape, data).ok_or_else(|| invalid("elements do not fill the dimensions".to_owned()));
    }
    let width = element_bytes(proto.data_type)
        .ok_or_else(|| invalid(format!("unsupported element type {}", dtype::onnx_name(proto.data_type))))?;

    let data = if proto.data_location == LOCATION_EXTERNAL {
        let n_bytes = n_elements.checked_mul(width).ok_or_else(|| invalid("its dimensions overflow".to_owned()))?;
        let bytes = external::read(&proto.external_data, n_bytes as u64, base_dir, file, &proto.name)?;
        from_raw(proto.data_type, &bytes)
    } else if let Some(raw) = proto.raw_data.as_ref().filter(|raw| !raw.is_empty()) {
        if n_elements.checked_mul(width) != Some(raw.len()) {
            return Err(invalid(format!(
                "{} bytes of data for the dimensions {:?} of element type {}",
                raw.len(),
                proto.dims,
                dtype::onnx_name(proto.data_type)
            )));
        }
        from_raw(proto.data_type, raw)
    } else {
        from_fields(proto).map_err(invalid)?
    };
    let n_found = data.len();
    Tensor::new(shape, data)
        .ok_or_else(|| invalid(format!("{n_found} elements, expected {n_elements} for its dimensions")))
}

/// The shape and its element count.
fn extents(dims: &[i64]) -> Result<(Vec<usize>, usize), String> {
    let mut shape = Vec::with_capacity(dims.len());
    for &dim in dims {
        shape.push(usize::try_from(dim).map_err(|_| format!("negative dimension {dim}"))?);
    }
    let n_elements = shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
    n_elements.map(|n| (shape, n)).ok_or_else(|| format!("the dimensions {dims:?} overflow"))
}

fn element_bytes(data_type: i32) -> Option<usize> {
    Some(match data_type {
        elem::DOUBLE | elem::INT64 => 8,
        elem::FLOAT | elem::INT32 => 4,
        elem::FLOAT16 | elem::BFLOAT16 | elem::INT16 | elem::UINT16 => 2,
        elem::INT8 | elem::UINT8 | elem::BOOL => 1,
        _ => return None,
    })
}

/// Little-endian bytes, of a length checked by the caller, of a type that [`element_bytes`] knows.
fn from_raw(data_type: i32, raw: &[u8]) -> Data {
    fn convert<const N: usize, T>(raw: &[u8], decode: impl Fn([u8; N]) -> T) -> Arc<Vec<T>> {
        Arc::new(raw.as_chunks::<N>().0.iter().map(|&bytes| decode(bytes)).collect())
    }
    match data_type {
        elem::DOUBLE => Data::F64(convert(raw, f64::from_le_bytes)),
        elem::INT64 => Data::I64(convert(raw, i64::from_le_bytes)),
        elem::INT32 => Data::I32(convert(raw, i32::from_le_bytes)),
        elem::FLOAT16 => Data::F32(convert(raw, |b| half_to_f32(u16::from_le_bytes(b)))),
        elem::BFLOAT16 => Data::F32(convert(raw, |b| bf16_to_f32(u16::from_le_bytes(b)))),
        elem::INT16 => Data::I16(convert(raw, i16::from_le_bytes)),
        elem::UINT16 => Data::U16(convert(raw, u16::from_le_bytes)),
        elem::INT8 => Data::I8(convert(raw, i8::from_le_bytes)),
        elem::UINT8 => Data::U8(Arc::new(raw.to_vec())),
        elem::BOOL => Data::Bool(convert(raw, |[b]: [u8; 1]| b != 0)),
        _ => Data::F32(convert(raw, f32::from_le_bytes)),
    }
}

/// The typed fields. Narrow integers are stored widened in `int32_data`.
fn from_fields(proto: TensorProto) -> Result<Data, String> {
    fn narrow<T: TryFrom<i32>>(wide: &[i32]) -> Result<Arc<Vec<T>>, String> {
        let convert = |&v: &i32| T::try_from(v).map_err(|_| format!("value {v} does not fit its element type"));
        wide.iter().map(convert).collect::<Result<Vec<T>, _>>().map(Arc::new)
    }
    let ints = &proto.int32_data;
    Ok(match proto.data_type {
        elem::DOUBLE => Data::F64(Arc::new(proto.double_data)),
        elem::INT64 => Data::I64(Arc::new(proto.int64_data)),
        elem::INT32 => Data::I32(Arc::new(proto.int32_data)),
        elem::FLOAT16 => Data::F32(Arc::new(narrow::<u16>(ints)?.iter().map(|&bits| half_to_f32(bits)).collect())),
        elem::BFLOAT16 => Data::F32(Arc::new(narrow::<u16>(ints)?.iter().map(|&bits| bf16_to_f32(bits)).collect())),
        elem::INT16 => Data::I16(narrow(ints)?),
        elem::UINT16 => Data::U16(narrow(ints)?),
        elem::INT8 => Data::I8(narrow(ints)?),
        elem::UINT8 => Data::U8(narrow(ints)?),
        elem::BOOL => Data::Bool(Arc::new(ints.iter().map(|&v| v != 0).collect())),
        _ => Data::F32(Arc::new(proto.float_data)),
    })
}

/// IEEE binary16 to binary32, exact.
fn half_to_f32(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = ((bits >> 10) & 0x1f, bits & 0x3ff);
    match exponent {
        0 => sign * f32::from(fraction) * 2.0_f32.powi(-24),
        0x1f if fraction == 0 => sign * f32::INFINITY,
        0x1f => f32::NAN,
        _ => f32::from_bits(
            (u32::from(bits & 0x8000) << 16) | ((u32::from(exponent) + 112) << 23) | (u32::from(fraction) << 13),
        ),
    }
}

fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The first element that no network means, as its index and value: NaN, or an infinite one unless all elements are infinite
/// or 0, as those of masks and of neutral elements of a maximum are.
pub(crate) fn meaningless(tensor: &Tensor) -> Option<(usize, f64)> {
    let found = non_finite(tensor)?;
    // A mask, or what is added to scores and hides some.
    let is_of_mask = match tensor.data() {
        Data::F32(v) => {
            v.iter().all(|x| x.is_infinite() || x.to_bits() << 1 == 0) || v.iter().all(|x| *x < f32::INFINITY)
        }
        Data::F64(v) => {
            v.iter().all(|x| x.is_infinite() || x.to_bits() << 1 == 0) || v.iter().all(|x| *x < f64::INFINITY)
        }
        _ => false,
    };
    if is_of_mask { None } else { Some(found) }
}

/// The first element that is not finite, as its index and value.
fn non_finite(tensor: &Tensor) -> Option<(usize, f64)> {
    match tensor.data() {
        // A fold over all elements vectorizes, an early exit does not; weights are finite nearly always.
        Data::F32(v) => {
            let suspicious = v.iter().fold(0_u32, |any, x| any | u32::from(!x.is_finite())) != 0;
            let position = if suspicious { v.iter().position(|x| !x.is_finite()) } else { None };
            position.map(|i| (i, f64::from(v[i])))
        }
        Data::F64(v) => v.iter().position(|x| !x.is_finite()).map(|i| (i, v[i])),
        Data::I64(_) | Data::I32(_) | Data::I16(_) | Data::I8(_) | Data::U16(_) | Data::U8(_) | Data::Bool(_) => None,
    }
}

/// The ONNX form of `tensor` without its elements.
pub(crate) fn header(name: &str, tensor: &Tensor) -> TensorProto {
    TensorProto {
        dims: tensor.shape().iter().map(|&d| d as i64).collect(),
        data_type: dtype::to_onnx(tensor.dtype()),
        name: name.to_owned(),
        ..TensorProto::default()
    }
}

/// Bytes of the raw form.
pub(crate) fn raw_len(tensor: &Tensor) -> usize {
    tensor.len() * element_bytes(dtype::to_onnx(tensor.dtype())).unwrap_or(1)
}

/// Writes the elements in little-endian order, in blocks.
pub(crate) fn write_raw(tensor: &Tensor, out: &mut impl std::io::Write) -> std::io::Result<()> {
    fn blocks<T: Copy, const N: usize>(
        elements: &[T],
        out: &mut impl std::io::Write,
        encode: impl Fn(T) -> [u8; N],
    ) -> std::io::Result<()> {
        let mut block = Vec::new();
        for chunk in elements.chunks(16 * 1024) {
            block.clear();
            block.extend(chunk.iter().flat_map(|&e| encode(e)));
            out.write_all(&block)?;
        }
        Ok(())
    }
    match tensor.data() {
        Data::F32(v) => blocks(v, out, f32::to_le_bytes),
        Data::F64(v) => blocks(v, out, f64::to_le_bytes),
        Data::I64(v) => blocks(v, out, i64::to_le_bytes),
        Data::I32(v) => blocks(v, out, i32::to_le_bytes),
        Data::I16(v) => blocks(v, out, i16::to_le_bytes),
        Data::I8(v) => blocks(v, out, i8::to_le_bytes),
        Data::U16(v) => blocks(v, out, u16::to_le_bytes),
        Data::U8(v) => out.write_all(v),
        Data::Bool(v) => blocks(v, out, |b| [u8::from(b)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_widens_exactly() {
        let cases: [(u16, f32); 8] = [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
            (0x83ff, -6.097_555e-5),
            (0x7c00, f32::INFINITY),
        ];
        for (bits, expected) in cases {
            assert_eq!(half_to_f32(bits).to_bits(), expected.to_bits(), "{bits:#06x}");
        }
        assert_eq!(half_to_f32(0x8000).to_bits(), (-0.0_f32).to_bits());
        assert!(half_to_f32(0x7e00).is_nan());
        assert_eq!(bf16_to_f32(0x3f80).to_bits(), 1.0_f32.to_bits());
    }

    #[test]
    fn dimensions_are_checked_before_anything_is_allocated() {
        let proto =
            |dims: &[i64]| TensorProto { dims: dims.to_vec(), data_type: elem::FLOAT, ..TensorProto::default() };
        for (dims, fragment) in [
            (&[-1, 2][..], "negative dimension -1"),
            (&[i64::MAX, 3], "overflow"),
            (&[1 << 40], "0 elements, expected 1099511627776"),
        ] {
            let error = to_tensor(proto(dims), None, Path::new("m"), "w").unwrap_err().to_string();
            assert!(error.contains(fragment), "{error}");
        }
    }
}
