//! 8-bit formats without infinity and without negative zero, whose code is NaN.

use super::{FormatEntry, FormatKind};
use crate::{FloatFormat, Overflow, Specials};

/// E4M3 FNUZ: bias 8.
pub const FP8_E4M3_FNUZ: FloatFormat = FloatFormat::table(4, 3, 8, Specials::NanAtNegativeZero, Overflow::Special);

/// E5M2 FNUZ: bias 16.
pub const FP8_E5M2_FNUZ: FloatFormat = FloatFormat::table(5, 2, 16, Specials::NanAtNegativeZero, Overflow::Special);

const SOURCE: &str = "Noune et al., 8-bit Numerical Formats for Deep Neural Networks, arXiv:2206.02915, 2022";

pub(super) static FP8_E4M3_FNUZ_ENTRY: FormatEntry = FormatEntry {
    name: "fp8-e4m3fnuz",
    summary: "E4M3 with bias 8 and a single special code",
    source: SOURCE,
    kind: FormatKind::Float(FP8_E4M3_FNUZ),
};

pub(super) static FP8_E5M2_FNUZ_ENTRY: FormatEntry = FormatEntry {
    name: "fp8-e5m2fnuz",
    summary: "E5M2 with bias 16 and a single special code",
    source: SOURCE,
    kind: FormatKind::Float(FP8_E5M2_FNUZ),
};
