//! IEEE 754 formats, and those that only shorten its fields.

use super::{FormatEntry, FormatKind};
use crate::{FloatFormat, Overflow, Specials};

/// IEEE 754 binary32.
pub const FP32: FloatFormat = FloatFormat::table(8, 23, 127, Specials::Ieee, Overflow::Special);

/// TensorFloat-32: 10 mantissa bits in a 32-bit container.
pub const TF32: FloatFormat = FloatFormat::table(8, 10, 127, Specials::Ieee, Overflow::Special);

/// bfloat16.
pub const BF16: FloatFormat = FloatFormat::table(8, 7, 127, Specials::Ieee, Overflow::Special);

/// IEEE 754 binary16.
pub const FP16: FloatFormat = FloatFormat::table(5, 10, 15, Specials::Ieee, Overflow::Special);

pub(super) static FP32_ENTRY: FormatEntry = FormatEntry {
    name: "fp32",
    summary: "IEEE single precision, 1-8-23",
    source: "IEEE 754-2008",
    kind: FormatKind::Float(FP32),
};

pub(super) static TF32_ENTRY: FormatEntry = FormatEntry {
    name: "tf32",
    summary: "TensorFloat-32, 1-8-10, stored as fp32",
    source: "NVIDIA, A100 Tensor Core GPU Architecture, 2020",
    kind: FormatKind::Float(TF32),
};

pub(super) static BF16_ENTRY: FormatEntry = FormatEntry {
    name: "bf16",
    summary: "bfloat16, 1-8-7",
    source: "Kalamkar et al., A Study of BFLOAT16 for Deep Learning Training, arXiv:1905.12322, 2019",
    kind: FormatKind::Float(BF16),
};

pub(super) static FP16_ENTRY: FormatEntry = FormatEntry {
    name: "fp16",
    summary: "IEEE half precision, 1-5-10",
    source: "IEEE 754-2008",
    kind: FormatKind::Float(FP16),
};
