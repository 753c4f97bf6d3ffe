//! IBM's 8-bit floating point.

use skimp_numerics::FloatCast;
use skimp_numerics::formats::FP8_152;

use super::chunked_fp8::{self, Formats, Switches, switches};
use super::switches::choice;
use super::{Policy, PolicyEntry, Switch};
use crate::TrainError;
use crate::spec::Spec;

/// The registration.
#[derive(Debug)]
pub(super) struct Fp8IbmEntry;

impl PolicyEntry for Fp8IbmEntry {
    fn name(&self) -> &'static str {
        "fp8-ibm"
    }

    fn summary(&self) -> &'static str {
        "1-5-2 operands, sums in 1-6-9 by chunks of 64, 1-6-9 updates with stochastic rounding, loss scale 1000"
    }

    fn source(&self) -> &'static str {
        "Wang et al., Training Deep Neural Networks with 8-bit Floating Point Numbers, NeurIPS 2018. Differs: what the paper \
         leaves open is IEEE-like with saturating casts; a chunk runs over the kernels' order of terms; the gradients of \
         batch norm and biases reach the update in f32"
    }

    fn switches(&self) -> Switches {
        switches![Switch { name: "weight-gradient", default: "8", summary: "bits of weight gradients: 8 or 16" }]
    }

    fn create(&self, spec: &mut Spec) -> Result<Box<dyn Policy>, TrainError> {
        let fp8 = FloatCast::new(FP8_152);
        let weight_gradient = choice(spec, "weight-gradient", &[("8", Some(fp8)), ("16", None)])?;
        chunked_fp8::create("fp8-ibm", Formats { forward: fp8, backward: fp8, weight_gradient }, spec)
    }
}
