//! Plain single precision.

use super::{Policy, PolicyEntry};
use crate::TrainError;
use crate::spec::Spec;

/// The registration.
#[derive(Debug)]
pub(super) struct Fp32Entry;

/// Rounds nothing beyond f32.
#[derive(Debug)]
struct Fp32;

impl PolicyEntry for Fp32Entry {
    fn name(&self) -> &'static str {
        "fp32"
    }

    fn summary(&self) -> &'static str {
        "IEEE single precision everywhere"
    }

    fn source(&self) -> &'static str {
        "IEEE Standard for Floating-Point Arithmetic, IEEE 754-2019, binary32"
    }

    fn create(&self, _spec: &mut Spec) -> Result<Box<dyn Policy>, TrainError> {
        Ok(Box::new(Fp32))
    }
}

impl Policy for Fp32 {
    fn name(&self) -> &'static str {
        "fp32"
    }
}
