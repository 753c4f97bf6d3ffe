//! IBM's formats for training.

use super::{FormatEntry, FormatKind};
use crate::{FloatFormat, Overflow, Specials, ZeroExponent};

/// The 16-bit format of additions and updates, 1-6-9 with bias 31.
///
/// Differs: infinity, NaN and subnormal numbers, which the paper leaves open, are as in IEEE 754.
pub const FP16_169: FloatFormat = FloatFormat::table(6, 9, 31, Specials::Ieee, Overflow::Saturate);

/// DLFloat: 1-6-9 with one code for NaN and infinity and no subnormal numbers.
///
/// Its arithmetic rounds to nearest, ties away from zero: ask for [`Rounding::NearestAway`](crate::Rounding::NearestAway).
pub const DLFLOAT16: FloatFormat =
    FloatFormat::table(6, 9, 31, Specials::NanAtTop, Overflow::Special).with_zero_exponent(ZeroExponent::Normal);

/// The 8-bit format of operands, 1-5-2 with bias 15.
///
/// Differs: what the paper leaves open is as in IEEE 754, except that conversions saturate.
pub const FP8_152: FloatFormat = FloatFormat::table(5, 2, 15, Specials::Ieee, Overflow::Saturate);

/// The forward format of hybrid FP8, 1-4-3 with bias 11; exponent zero holds normal numbers.
pub const HFP8_143: FloatFormat =
    FloatFormat::table(4, 3, 11, Specials::None, Overflow::Saturate).with_zero_exponent(ZeroExponent::Normal);

/// The forward format of hybrid FP8 with subnormal numbers.
pub const HFP8_143_SUBNORMAL: FloatFormat = FloatFormat::table(4, 3, 11, Specials::None, Overflow::Saturate);

const FP8_PAPER: &str = "Wang et al., Training Deep Neural Networks with 8-bit Floating Point Numbers, NeurIPS 2018";

pub(super) static FP16_169_ENTRY: FormatEntry = FormatEntry {
    name: "fp16-169",
    summary: "16-bit accumulation and update format, 1-6-9",
    source: FP8_PAPER,
    kind: FormatKind::Float(FP16_169),
};

pub(super) static DLFLOAT16_ENTRY: FormatEntry = FormatEntry {
    name: "dlfloat16",
    summary: "DLFloat, 1-6-9 without subnormals",
    source: "Agrawal et al., DLFloat: A 16-b Floating Point Format Designed for Deep Learning, ARITH 2019",
    kind: FormatKind::Float(DLFLOAT16),
};

pub(super) static FP8_152_ENTRY: FormatEntry = FormatEntry {
    name: "fp8-152",
    summary: "8-bit operand format, 1-5-2, saturating",
    source: FP8_PAPER,
    kind: FormatKind::Float(FP8_152),
};

pub(super) static HFP8_143_ENTRY: FormatEntry = FormatEntry {
    name: "hfp8-143",
    summary: "forward format of hybrid FP8, 1-4-3 with bias 11 (backward: fp8-152)",
    source: "Sun et al., Hybrid 8-bit Floating Point (HFP8) Training and Inference, NeurIPS 2019",
    kind: FormatKind::Float(HFP8_143),
};
