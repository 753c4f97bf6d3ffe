//! The number formats by name.
//!
//! A format is one constant and one entry in the file of its family, and one line in [`FORMATS`].

mod fnuz;
mod ibm;
mod ieee;
mod integer;
mod mx;
mod ocp;

pub use fnuz::{FP8_E4M3_FNUZ, FP8_E5M2_FNUZ};
pub use ibm::{DLFLOAT16, FP8_152, FP16_169, HFP8_143, HFP8_143_SUBNORMAL};
pub use ieee::{BF16, FP16, FP32, TF32};
pub use mx::{MXFP4_E2M1, MXFP6_E2M3, MXFP6_E3M2, MXFP8_E4M3, MXFP8_E5M2, MXINT8};
pub use ocp::{FP4_E2M1, FP6_E2M3, FP6_E3M2, FP8_E4M3, FP8_E5M2};

use crate::{FloatFormat, MxElement, Specials, ZeroExponent};

/// A registered number format.
#[derive(Clone, Copy, Debug)]
pub struct FormatEntry {
    /// Its name in options and reports.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Authors or body, title, year.
    pub source: &'static str,
    /// What it is.
    pub kind: FormatKind,
}

/// What a format is made of.
#[derive(Clone, Copy, Debug)]
pub enum FormatKind {
    /// A floating-point number.
    Float(FloatFormat),
    /// A power of two without a sign: `2^(code − 127)`.
    Scale,
    /// Signed integers of a width with a scale (and a zero point) for a tensor or channel.
    Affine {
        /// Width.
        bits: u32,
    },
    /// Signed integers times a power of two for a group of values.
    Fixed {
        /// Width; `None` where it is a parameter.
        bits: Option<u32>,
        /// Bits of the shared exponent; `None` where it is unbounded.
        exponent_bits: Option<u32>,
    },
    /// Blocks of elements with a shared scale.
    Block {
        /// The elements.
        element: MxElement,
        /// Elements of a block.
        size: usize,
        /// Bits of a block's scale.
        scale_bits: u32,
    },
}

impl FormatEntry {
    /// Bits of a number, shared scales included; `None` where it is a parameter.
    pub fn bits(&self) -> Option<f64> {
        match self.kind {
            FormatKind::Float(format) => Some(f64::from(format.bits())),
            FormatKind::Scale => Some(8.0),
            FormatKind::Affine { bits } => Some(f64::from(bits)),
            FormatKind::Fixed { bits, .. } => bits.map(f64::from),
            FormatKind::Block { element, size, scale_bits } => {
                Some(f64::from(element_bits(element)) + f64::from(scale_bits) / size as f64)
            }
        }
    }

    /// The largest finite number; of a block its largest element, of integers the largest code, both before scaling.
    pub fn max(&self) -> Option<f64> {
        match self.kind {
            FormatKind::Float(format) | FormatKind::Block { element: MxElement::Float(format), .. } => {
                Some(f64::from(format.max_finite()))
            }
            FormatKind::Scale => Some(2.0_f64.powi(127)),
            FormatKind::Affine { bits } => Some(f64::from((1_u32 << (bits - 1)) - 1)),
            FormatKind::Fixed { bits, .. } => bits.map(|bits| f64::from((1_u32 << (bits - 1)) - 1)),
            FormatKind::Block { element: MxElement::Int8, .. } => Some(127.0 / 64.0),
        }
    }

    /// The smallest positive normal number, where that is a property of the format.
    pub fn min_normal(&self) -> Option<f64> {
        match self.kind {
            FormatKind::Float(format) | FormatKind::Block { element: MxElement::Float(format), .. } => {
                Some(f64::from(format.min_normal()))
            }
            FormatKind::Scale => Some(2.0_f64.powi(-127)),
            FormatKind::Block { element: MxElement::Int8, .. } => Some(1.0 / 64.0),
            FormatKind::Affine { .. } | FormatKind::Fixed { .. } => None,
        }
    }

    /// The smallest positive subnormal number, where the format has any.
    pub fn min_subnormal(&self) -> Option<f64> {
        match self.kind {
            FormatKind::Float(format) | FormatKind::Block { element: MxElement::Float(format), .. } => {
                format.min_subnormal().map(f64::from)
            }
            _ => None,
        }
    }

    /// Infinities and NaN in words.
    pub fn specials(&self) -> &'static str {
        match self.kind {
            FormatKind::Float(format) => match (format.specials(), format.zero_exponent()) {
                (Specials::Ieee, _) => "infinity and NaN",
                (Specials::NanAtTop, ZeroExponent::Subnormal) => "NaN, no infinity",
                (Specials::NanAtTop, ZeroExponent::Normal) => "one code for NaN and infinity, no subnormals",
                (Specials::NanAtNegativeZero, _) => "NaN, no infinity, no negative zero",
                (Specials::None, ZeroExponent::Subnormal) => "none",
                (Specials::None, ZeroExponent::Normal) => "none, no subnormals",
            },
            FormatKind::Scale => "NaN, no zero, no sign",
            FormatKind::Block { .. } => "NaN through the scale",
            FormatKind::Affine { .. } | FormatKind::Fixed { .. } => "none",
        }
    }
}

fn element_bits(element: MxElement) -> u32 {
    match element {
        MxElement::Float(format) => format.bits(),
        MxElement::Int8 => 8,
    }
}

/// Every number format, in the order in which they are listed.
pub static FORMATS: &[&FormatEntry] = &[
    &ieee::FP32_ENTRY,
    &ieee::TF32_ENTRY,
    &ieee::BF16_ENTRY,
    &ieee::FP16_ENTRY,
    &ibm::FP16_169_ENTRY,
    &ibm::DLFLOAT16_ENTRY,
    &ibm::FP8_152_ENTRY,
    &ibm::HFP8_143_ENTRY,
    &ocp::FP8_E4M3_ENTRY,
    &ocp::FP8_E5M2_ENTRY,
    &fnuz::FP8_E4M3_FNUZ_ENTRY,
    &fnuz::FP8_E5M2_FNUZ_ENTRY,
    &ocp::FP6_E3M2_ENTRY,
    &ocp::FP6_E2M3_ENTRY,
    &ocp::FP4_E2M1_ENTRY,
    &mx::E8M0_ENTRY,
    &mx::MXFP8_E4M3_ENTRY,
    &mx::MXFP8_E5M2_ENTRY,
    &mx::MXFP6_E3M2_ENTRY,
    &mx::MXFP6_E2M3_ENTRY,
    &mx::MXFP4_ENTRY,
    &mx::MXINT8_ENTRY,
    &mx::NVFP4_ENTRY,
    &integer::INT8_ENTRY,
    &integer::INT4_ENTRY,
    &integer::DFXP_ENTRY,
    &integer::FLEX16_ENTRY,
];

/// The format of a name.
pub fn by_name(name: &str) -> Option<&'static FormatEntry> {
    FORMATS.iter().copied().find(|entry| entry.name == name)
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "results are compared exactly")]
mod tests {
    use super::*;

    #[test]
    fn entries_are_complete() {
        for (i, entry) in FORMATS.iter().enumerate() {
            assert!(
                entry.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{}",
                entry.name
            );
            assert!(FORMATS[..i].iter().all(|other| other.name != entry.name), "{} twice", entry.name);
            assert!(!entry.summary.is_empty() && !entry.source.is_empty(), "{}", entry.name);
            assert!(by_name(entry.name).is_some());
            assert!(!entry.specials().is_empty());
        }
        assert!(by_name("fp7").is_none());
        assert_eq!(by_name("nvfp4").and_then(FormatEntry::bits), Some(4.5));
        assert_eq!(by_name("mxfp8-e4m3").and_then(FormatEntry::bits), Some(8.25));
        assert_eq!(by_name("dfxp").and_then(FormatEntry::bits), None);
    }

    #[test]
    fn limits_are_the_published_ones() {
        let p = |exponent: i32| 2.0_f64.powi(exponent);
        let cases: &[(&str, f64, f64, Option<f64>)] = &[
            ("fp32", f64::from(f32::MAX), p(-126), Some(p(-149))),
            ("tf32", 2.0 * (1.0 - p(-11)) * p(127), p(-126), Some(p(-136))),
            ("bf16", 2.0 * (1.0 - p(-8)) * p(127), p(-126), Some(p(-133))),
            ("fp16", 65504.0, p(-14), Some(p(-24))),
            ("fp16-169", 4_290_772_992.0, p(-30), Some(p(-39))),
            ("dlfloat16", (2.0 - p(-8)) * p(32), p(-31) + p(-40), None),
            ("fp8-152", 57344.0, p(-14), Some(p(-16))),
            ("hfp8-143", 30.0, 1.125 * p(-11), None),
            ("fp8-e4m3", 448.0, p(-6), Some(p(-9))),
            ("fp8-e5m2", 57344.0, p(-14), Some(p(-16))),
            ("fp8-e4m3fnuz", 240.0, p(-7), Some(p(-10))),
            ("fp8-e5m2fnuz", 57344.0, p(-15), Some(p(-17))),
            ("fp6-e3m2", 28.0, 0.25, Some(0.0625)),
            ("fp6-e2m3", 7.5, 1.0, Some(0.125)),
            ("fp4-e2m1", 6.0, 1.0, Some(0.5)),
            ("e8m0", p(127), p(-127), None),
            ("mxint8", 1.984_375, 1.0 / 64.0, None),
        ];
        for &(name, max, min_normal, min_subnormal) in cases {
            let entry = by_name(name).expect(name);
            assert_eq!(entry.max(), Some(max), "{name}");
            assert_eq!(entry.min_normal(), Some(min_normal), "{name}");
            assert_eq!(entry.min_subnormal(), min_subnormal, "{name}");
        }
        assert_eq!(HFP8_143_SUBNORMAL.min_normal(), 2.0_f32.powi(-10));
    }
}
