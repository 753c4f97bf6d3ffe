//! Plain single precision.

use super::{Policy, PolicyEntry};
use crate::TrainError;

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

    fn create(&self, switches: &[(String, String)]) -> Result<Box<dyn Policy>, TrainError> {
        match switches.first() {
            None => Ok(Box::new(Fp32)),
            Some((name, _)) => {
                Err(TrainError::Unknown { kind: "switch of policy fp32", name: name.clone(), known: "none".to_owned() })
            }
        }
    }
}

impl Policy for Fp32 {
    fn name(&self) -> &'static str {
        "fp32"
    }
}
