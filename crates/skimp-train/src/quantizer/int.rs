//! Weights and activations in codes of 2 to 8 bits: quantization-aware training.

use super::settings::{Activations, Ends, Weights};
use super::{ActivationStep, Quantizer, QuantizerEntry, WeightStep};
use crate::TrainError;
use crate::policy::Switch;
use crate::spec::Spec;

/// The registration of a width in bits.
#[derive(Debug)]
pub(super) struct IntEntry(pub(super) u32);

/// Names and summaries, from 2 bits on.
const TEXTS: [(&str, &str, &str, &str); 7] = [
    ("int2", "2-bit weights and activations, as QDQ", "-1 to 1, for each filter", "0 to 3"),
    ("int3", "3-bit weights and activations, as QDQ", "-3 to 3, for each filter", "0 to 7"),
    ("int4", "4-bit weights and activations, as QDQ", "-7 to 7, for each filter", "0 to 15"),
    ("int5", "5-bit weights and activations, as QDQ", "-15 to 15, for each filter", "0 to 31"),
    ("int6", "6-bit weights and activations, as QDQ", "-31 to 31, for each filter", "0 to 63"),
    ("int7", "7-bit weights and activations, as QDQ", "-63 to 63, for each filter", "0 to 127"),
    ("int8", "8-bit weights and activations, as QDQ", "-127 to 127, for each filter", "0 to 255"),
];

impl IntEntry {
    fn texts(&self) -> (&'static str, &'static str, &'static str, &'static str) {
        TEXTS[self.0 as usize - 2]
    }
}

impl QuantizerEntry for IntEntry {
    fn name(&self) -> &'static str {
        self.texts().0
    }

    fn summary(&self) -> &'static str {
        self.texts().1
    }

    fn source(&self) -> &'static str {
        "LSQ: Esser et al., ICLR 2020; PACT: Choi et al., arXiv:1805.06085; straight through: Jacob et al., CVPR 2018"
    }

    fn weights(&self) -> &'static str {
        self.texts().2
    }

    fn activations(&self) -> &'static str {
        self.texts().3
    }

    fn switches(&self) -> Vec<Switch> {
        vec![
            Switch {
                name: "method",
                default: "lsq",
                summary: "steps between codes: lsq (learned), pact (learned ranges of activations, greatest weights) or ste (ranges as measured)",
            },
            Switch { name: "range", default: "6", summary: "range of activations that pact begins with, above 0" },
            Switch {
                name: "activations",
                default: "same",
                summary: "bits of activations, 2 to 8, or same as the weights'",
            },
            Switch {
                name: "ends",
                default: "8",
                summary: "bits of the weights of the first and the last layer, 2 to 8, or same as the others",
            },
            Switch {
                name: "layers",
                default: "none",
                summary: "bits of the weights of single layers, NAME=BITS/NAME=BITS; `*` at the end of a name stands for any ending",
            },
        ]
    }

    fn create(&self, spec: &mut Spec) -> Result<Quantizer, TrainError> {
        let methods = ["lsq", "pact", "ste"];
        let method =
            spec.read("method", 0, "lsq, pact or ste", |text| methods.iter().position(|name| *name == text))?;
        let first = spec.read("range", 6.0, "a number above 0", super::settings::positive)? as f32;
        let bits = |text: &str| match text {
            "same" => Some(None),
            _ => text.parse().ok().filter(|bits| (2..=8).contains(bits)).map(Some),
        };
        let activation_bits = spec.read("activations", None, "2 to 8, or same", bits)?.unwrap_or(self.0);
        let ends = spec.read("ends", Some(8), "2 to 8, or same", bits)?;
        let layer_bits = spec.read("layers", Vec::new(), "none, or NAME=BITS/NAME=BITS with 2 to 8 bits", layers)?;
        let (weight_step, activation_step) = match method {
            0 => (WeightStep::Learned, ActivationStep::Learned),
            1 => (WeightStep::MaxAbs, ActivationStep::Pact { first }),
            _ => (WeightStep::MaxAbs, ActivationStep::Range { momentum: 0.1 }),
        };
        Ok(Quantizer {
            weights: Weights::Codes { bits: self.0, step: weight_step },
            activations: Activations::Codes { bits: activation_bits, step: activation_step },
            ends: ends.map_or(Ends::Same, Ends::Bits),
            layer_bits,
            ..Quantizer::float(self.name())
        })
    }
}

/// Widths of single layers.
fn layers(text: &str) -> Option<Vec<(String, u32)>> {
    let one = |item: &str| {
        let (name, bits) = item.rsplit_once('=')?;
        let bits = bits.trim().parse().ok().filter(|bits| (2..=8).contains(bits))?;
        (!name.trim().is_empty()).then(|| (name.trim().to_owned(), bits))
    };
    if text == "none" { Some(Vec::new()) } else { text.split('/').map(one).collect() }
}
