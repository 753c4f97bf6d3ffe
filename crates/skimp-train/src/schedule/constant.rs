//! No change.

use super::{Curve, Progress, ScheduleKind};
use crate::spec::{Spec, SpecError};

/// The base rate throughout.
#[derive(Debug)]
pub(super) struct Constant;

impl ScheduleKind for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn summary(&self) -> &'static str {
        "the base rate throughout"
    }

    fn source(&self) -> &'static str {
        "common"
    }

    fn curve(&self, _spec: &mut Spec) -> Result<Box<dyn Curve>, SpecError> {
        Ok(Box::new(One))
    }
}

#[derive(Debug)]
struct One;

impl Curve for One {
    fn factor(&self, _progress: &Progress) -> f64 {
        1.0
    }
}
