//! Hybrid 8-bit floating point.

use skimp_numerics::FloatCast;
use skimp_numerics::formats::{FP8_152, HFP8_143, HFP8_143_SUBNORMAL};

use super::chunked_fp8::{self, Formats, Switches, switches};
use super::switches::choice;
use super::{Policy, PolicyEntry, Switch};
use crate::TrainError;
use crate::spec::Spec;

/// The registration.
#[derive(Debug)]
pub(super) struct Hfp8Entry;

impl PolicyEntry for Hfp8Entry {
    fn name(&self) -> &'static str {
        "hfp8"
    }

    fn summary(&self) -> &'static str {
        "1-4-3 (bias 11) weights and activations, 1-5-2 errors, chunked 1-6-9 sums and updates"
    }

    fn source(&self) -> &'static str {
        "Sun et al., Hybrid 8-bit Floating Point (HFP8) Training and Inference for Deep Neural Networks, NeurIPS 2019. \
         Differs: images and the last layer in the 16-bit format, the loss scale of the earlier paper"
    }

    fn switches(&self) -> Switches {
        switches![
            Switch { name: "weight-gradient", default: "16", summary: "bits of weight gradients: 16 or 8" },
            Switch {
                name: "code0",
                default: "normal",
                summary: "1-4-3 numbers with exponent zero: normal, or subnormal as in IEEE 754",
            },
        ]
    }

    fn create(&self, spec: &mut Spec) -> Result<Box<dyn Policy>, TrainError> {
        let backward = FloatCast::new(FP8_152);
        let weight_gradient = choice(spec, "weight-gradient", &[("16", None), ("8", Some(backward))])?;
        let forward = choice(spec, "code0", &[("normal", HFP8_143), ("subnormal", HFP8_143_SUBNORMAL)])?;
        chunked_fp8::create("hfp8", Formats { forward: FloatCast::new(forward), backward, weight_gradient }, spec)
    }
}
