//! MXFP4.

use skimp_numerics::formats::MXFP4_E2M1;

use super::mx::{self, Switches, switches};
use super::{Policy, PolicyEntry};
use crate::TrainError;
use crate::spec::Spec;

/// The registration.
#[derive(Debug)]
pub(super) struct Mxfp4Entry;

impl PolicyEntry for Mxfp4Entry {
    fn name(&self) -> &'static str {
        "mxfp4"
    }

    fn summary(&self) -> &'static str {
        "4-bit floats in blocks of 32 with a power-of-two scale along each product's axis, f32 sums and updates"
    }

    fn source(&self) -> &'static str {
        mx::SOURCE
    }

    fn switches(&self) -> Switches {
        switches![]
    }

    fn create(&self, spec: &mut Spec) -> Result<Box<dyn Policy>, TrainError> {
        mx::create("mxfp4", MXFP4_E2M1, MXFP4_E2M1, spec)
    }
}
