//! The element formats of the Open Compute Project.

use super::{FormatEntry, FormatKind};
use crate::{FloatFormat, Overflow, Specials};

/// E4M3 ("E4M3FN"): bias 7, no infinity, NaN at the code of all ones.
pub const FP8_E4M3: FloatFormat = FloatFormat::table(4, 3, 7, Specials::NanAtTop, Overflow::Special);

/// E5M2: bias 15, infinity and NaN as in IEEE 754.
pub const FP8_E5M2: FloatFormat = FloatFormat::table(5, 2, 15, Specials::Ieee, Overflow::Special);

/// E3M2: bias 3, finite numbers only.
pub const FP6_E3M2: FloatFormat = FloatFormat::table(3, 2, 3, Specials::None, Overflow::Saturate);

/// E2M3: bias 1, finite numbers only.
pub const FP6_E2M3: FloatFormat = FloatFormat::table(2, 3, 1, Specials::None, Overflow::Saturate);

/// E2M1: bias 1, finite numbers only.
pub const FP4_E2M1: FloatFormat = FloatFormat::table(2, 1, 1, Specials::None, Overflow::Saturate);

const OFP8: &str = "Open Compute Project, OCP 8-bit Floating Point Specification (OFP8) v1.0, 2023";
const MX: &str = "Open Compute Project, OCP Microscaling Formats (MX) Specification v1.0, 2023";

pub(super) static FP8_E4M3_ENTRY: FormatEntry = FormatEntry {
    name: "fp8-e4m3",
    summary: "OCP E4M3 for weights and activations, 1-4-3",
    source: OFP8,
    kind: FormatKind::Float(FP8_E4M3),
};

pub(super) static FP8_E5M2_ENTRY: FormatEntry = FormatEntry {
    name: "fp8-e5m2",
    summary: "OCP E5M2 for gradients, 1-5-2",
    source: OFP8,
    kind: FormatKind::Float(FP8_E5M2),
};

pub(super) static FP6_E3M2_ENTRY: FormatEntry =
    FormatEntry { name: "fp6-e3m2", summary: "6-bit element, 1-3-2", source: MX, kind: FormatKind::Float(FP6_E3M2) };

pub(super) static FP6_E2M3_ENTRY: FormatEntry =
    FormatEntry { name: "fp6-e2m3", summary: "6-bit element, 1-2-3", source: MX, kind: FormatKind::Float(FP6_E2M3) };

pub(super) static FP4_E2M1_ENTRY: FormatEntry =
    FormatEntry { name: "fp4-e2m1", summary: "4-bit element, 1-2-1", source: MX, kind: FormatKind::Float(FP4_E2M1) };
