//! MXFP8.

use skimp_numerics::formats::{MXFP8_E4M3, MXFP8_E5M2};

use super::mx::{self, Switches, switches};
use super::switches::choice;
use super::{Policy, PolicyEntry, Switch};
use crate::TrainError;
use crate::spec::Spec;

/// The registration.
#[derive(Debug)]
pub(super) struct Mxfp8Entry;

impl PolicyEntry for Mxfp8Entry {
    fn name(&self) -> &'static str {
        "mxfp8"
    }

    fn summary(&self) -> &'static str {
        "8-bit floats in blocks of 32 with a power-of-two scale along each product's axis, f32 sums and updates"
    }

    fn source(&self) -> &'static str {
        mx::SOURCE
    }

    fn switches(&self) -> Switches {
        switches![
            Switch { name: "forward", default: "e4m3", summary: "weights and activations: e4m3 or e5m2" },
            Switch { name: "backward", default: "e4m3", summary: "errors: e4m3 or e5m2" },
        ]
    }

    fn create(&self, spec: &mut Spec) -> Result<Box<dyn Policy>, TrainError> {
        let elements = [("e4m3", MXFP8_E4M3), ("e5m2", MXFP8_E5M2)];
        let (forward, backward) = (choice(spec, "forward", &elements)?, choice(spec, "backward", &elements)?);
        mx::create("mxfp8", forward, backward, spec)
    }
}
