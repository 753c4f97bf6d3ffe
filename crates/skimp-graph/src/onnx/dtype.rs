//! Element types: their ONNX numbers, and which type an operator returns.

use super::proto::elem;
use crate::{DType, Op};

/// The element type behind an ONNX number, if skimp has it.
pub(crate) fn from_onnx(number: i32) -> Option<DType> {
    Some(match number {
        elem::FLOAT => DType::F32,
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
    const NAMES: [&str; 24] = [
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
    ];
    usize::try_from(number)
        .ok()
        .and_then(|i| NAMES.get(i))
        .map_or_else(|| format!("number {number}"), |name| (*name).to_owned())
}

/// Which element types an operator's inputs may have.
enum Domain {
    /// f32 and f64.
    Float,
    /// Everything but truth values.
    Number,
    /// Everything.
    Any,
}

fn domain(op: &Op) -> Domain {
    match op {
        Op::Conv { .. }
        | Op::BatchNormalization { .. }
        | Op::LeakyRelu { .. }
        | Op::Sigmoid
        | Op::HardSigmoid { .. }
        | Op::HardSwish
        | Op::Tanh
        | Op::Softmax { .. }
        | Op::AveragePool { .. }
        | Op::GlobalAveragePool
        | Op::GlobalMaxPool
        | Op::Lrn { .. }
        | Op::Dropout { .. } => Domain::Float,
        Op::Gemm(_)
        | Op::MatMul
        | Op::Relu
        | Op::PRelu
        | Op::Clip { .. }
        | Op::Sign
        | Op::Add
        | Op::Sub
        | Op::Mul
        | Op::Div
        | Op::MaxPool(_)
        | Op::ReduceMean { .. } => Domain::Number,
        Op::Concat { .. }
        | Op::Split { .. }
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::Flatten { .. }
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Squeeze { .. }
        | Op::Unsqueeze { .. }
        | Op::Identity
        | Op::Cast { .. }
        | Op::QuantizeLinear { .. }
        | Op::DequantizeLinear { .. } => Domain::Any,
    }
}

/// The element type of the outputs of `op`, or what is wrong with the types of its inputs.
pub(crate) fn output_dtype(op: &Op, inputs: &[Option<DType>]) -> Result<DType, String> {
    let Some(first) = inputs.first().copied().flatten() else {
        return Err("the first input is missing".to_owned());
    };
    match op {
        Op::QuantizeLinear { .. } => quantized(first, inputs),
        Op::DequantizeLinear { .. } => dequantized(first, inputs),
        Op::Cast { to } => Ok(*to),
        _ => {
            let allowed = match domain(op) {
                Domain::Float => matches!(first, DType::F32 | DType::F64),
                Domain::Number => first != DType::Bool,
                Domain::Any => true,
            };
            if !allowed {
                return Err(format!("inputs of element type {first:?} are not allowed"));
            }
            match inputs.iter().flatten().find(|&&other| other != first) {
                Some(other) => Err(format!("inputs mix the element types {first:?} and {other:?}")),
                None => Ok(first),
            }
        }
    }
}

fn quantized(x: DType, inputs: &[Option<DType>]) -> Result<DType, String> {
    if !matches!(x, DType::F32 | DType::I32) {
        return Err(format!("input of element type {x:?}, expected F32 or I32"));
    }
    if inputs.get(1).copied().flatten() != Some(DType::F32) {
        return Err("the scale must have element type F32".to_owned());
    }
    match inputs.get(2).copied().flatten() {
        None => Ok(DType::U8),
        Some(to @ (DType::I8 | DType::U8 | DType::I16 | DType::U16)) => Ok(to),
        Some(other) => Err(format!("zero point of element type {other:?}, expected an integer of 8 or 16 bits")),
    }
}

fn dequantized(x: DType, inputs: &[Option<DType>]) -> Result<DType, String> {
    if !matches!(x, DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::I32) {
        return Err(format!("input of element type {x:?}, expected an integer of 8, 16 or 32 bits"));
    }
    if inputs.get(1).copied().flatten() != Some(DType::F32) {
        return Err("the scale must have element type F32".to_owned());
    }
    match inputs.get(2).copied().flatten() {
        Some(zero_point) if zero_point != x => {
            Err(format!("zero point of element type {zero_point:?} for an input of element type {x:?}"))
        }
        _ => Ok(DType::F32),
    }
}
