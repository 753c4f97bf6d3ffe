//! Element types and their ONNX numbers.

use super::proto::elem;
use crate::DType;

/// The element type behind an ONNX number, if skimp has it. Half precision is computed in f32.
pub(crate) fn from_onnx(number: i32) -> Option<DType> {
    Some(match number {
        elem::FLOAT | elem::FLOAT16 | elem::BFLOAT16 => DType::F32,
        elem::DOUBLE => DType::F64,
        elem::INT64 => DType::I64,
        elem::INT32 => DType::I32,
        elem::INT16 => DType::I16,
        elem::INT8 => DType::I8,
        elem::UINT16 => DType::U16,
        elem::UINT8 => DType::U8,
        elem::BOOL => DType::Bool,
        _ => return None,
    })
}

/// Whether the elements are floats of 16 bits.
pub(crate) fn is_half(number: i32) -> bool {
    matches!(number, elem::FLOAT16 | elem::BFLOAT16)
}

/// The ONNX number of an element type.
pub(crate) fn to_onnx(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => elem::FLOAT,
        DType::F64 => elem::DOUBLE,
        DType::I64 => elem::INT64,
        DType::I32 => elem::INT32,
        DType::I16 => elem::INT16,
        DType::I8 => elem::INT8,
        DType::U16 => elem::UINT16,
        DType::U8 => elem::UINT8,
        DType::Bool => elem::BOOL,
    }
}

/// ONNX's name of an element type number, for messages.
pub(crate) fn onnx_name(number: i32) -> String {
    const NAMES: [&str; 27] = [
        "UNDEFINED",
        "FLOAT",
        "UINT8",
        "INT8",
        "UINT16",
        "INT16",
        "INT32",
        "INT64",
        "STRING",
        "BOOL",
        "FLOAT16",
        "DOUBLE",
        "UINT32",
        "UINT64",
        "COMPLEX64",
        "COMPLEX128",
        "BFLOAT16",
        "FLOAT8E4M3FN",
        "FLOAT8E4M3FNUZ",
        "FLOAT8E5M2",
        "FLOAT8E5M2FNUZ",
        "UINT4",
        "INT4",
        "FLOAT4E2M1",
        "FLOAT8E8M0",
        "UINT2",
        "INT2",
    ];
    usize::try_from(number)
        .ok()
        .and_then(|i| NAMES.get(i))
        .map_or_else(|| format!("number {number}"), |name| (*name).to_owned())
}
