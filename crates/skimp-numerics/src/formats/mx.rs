//! Blocks with a shared scale.

use super::{FP4_E2M1, FP6_E2M3, FP6_E3M2, FP8_E4M3, FP8_E5M2, FormatEntry, FormatKind};
use crate::{MX_BLOCK, MxElement, NVFP4_BLOCK};

/// MXFP8 with E4M3 elements.
pub const MXFP8_E4M3: MxElement = MxElement::Float(FP8_E4M3);

/// MXFP8 with E5M2 elements.
pub const MXFP8_E5M2: MxElement = MxElement::Float(FP8_E5M2);

/// MXFP6 with E3M2 elements.
pub const MXFP6_E3M2: MxElement = MxElement::Float(FP6_E3M2);

/// MXFP6 with E2M3 elements.
pub const MXFP6_E2M3: MxElement = MxElement::Float(FP6_E2M3);

/// MXFP4.
pub const MXFP4_E2M1: MxElement = MxElement::Float(FP4_E2M1);

/// MXINT8.
pub const MXINT8: MxElement = MxElement::Int8;

const MX: &str = "Open Compute Project, OCP Microscaling Formats (MX) Specification v1.0, 2023";

const fn mx(name: &'static str, summary: &'static str, element: MxElement) -> FormatEntry {
    FormatEntry { name, summary, source: MX, kind: FormatKind::Block { element, size: MX_BLOCK, scale_bits: 8 } }
}

pub(super) static E8M0_ENTRY: FormatEntry =
    FormatEntry { name: "e8m0", summary: "power-of-two scale of a block, 0-8-0", source: MX, kind: FormatKind::Scale };

pub(super) static MXFP8_E4M3_ENTRY: FormatEntry = mx("mxfp8-e4m3", "32 E4M3 elements, E8M0 scale", MXFP8_E4M3);
pub(super) static MXFP8_E5M2_ENTRY: FormatEntry = mx("mxfp8-e5m2", "32 E5M2 elements, E8M0 scale", MXFP8_E5M2);
pub(super) static MXFP6_E3M2_ENTRY: FormatEntry = mx("mxfp6-e3m2", "32 E3M2 elements, E8M0 scale", MXFP6_E3M2);
pub(super) static MXFP6_E2M3_ENTRY: FormatEntry = mx("mxfp6-e2m3", "32 E2M3 elements, E8M0 scale", MXFP6_E2M3);
pub(super) static MXFP4_ENTRY: FormatEntry = mx("mxfp4", "32 E2M1 elements, E8M0 scale", MXFP4_E2M1);
pub(super) static MXINT8_ENTRY: FormatEntry =
    mx("mxint8", "32 integers of 8 bits in steps of 1/64, E8M0 scale", MXINT8);

pub(super) static NVFP4_ENTRY: FormatEntry = FormatEntry {
    name: "nvfp4",
    summary: "16 E2M1 elements, E4M3 scale, fp32 scale of the tensor",
    source: "NVIDIA, Pretraining Large Language Models with NVFP4, arXiv:2509.25149, 2025",
    kind: FormatKind::Block { element: MXFP4_E2M1, size: NVFP4_BLOCK, scale_bits: 8 },
};
