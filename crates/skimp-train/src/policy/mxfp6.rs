//! MXFP6.

use skimp_numerics::formats::{MXFP6_E2M3, MXFP6_E3M2};

use super::mx::{self, Switches, switches};
use super::switches::choice;
use super::{Policy, PolicyEntry, Switch};
use crate::TrainError;
use crate::spec::Spec;

/// The registration.
#[derive(Debug)]
pub(super) struct Mxfp6Entry;

impl PolicyEntry for Mxfp6Entry {
    fn name(&self) -> &'static str {
        "mxfp6"
    }

    fn summary(&self) -> &'static str {
        "6-bit floats in blocks of 32 with a power-of-two scale along each product's axis, f32 sums and updates"
    }

    fn source(&self) -> &'static str {
        mx::SOURCE
    }

    fn switches(&self) -> Switches {
        switches![
            Switch { name: "forward", default: "e3m2", summary: "weights and activations: e3m2 or e2m3" },
            Switch { name: "backward", default: "e3m2", summary: "errors: e3m2 or e2m3" },
        ]
    }

    fn create(&self, spec: &mut Spec) -> Result<Box<dyn Policy>, TrainError> {
        let elements = [("e3m2", MXFP6_E3M2), ("e2m3", MXFP6_E2M3)];
        let (forward, backward) = (choice(spec, "forward", &elements)?, choice(spec, "backward", &elements)?);
        mx::create("mxfp6", forward, backward, spec)
    }
}
