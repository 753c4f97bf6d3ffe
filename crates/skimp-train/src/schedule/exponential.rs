//! A factor at every epoch.

use super::{Curve, Progress, ScheduleKind};
use crate::spec::{Spec, SpecError};

/// A factor at every epoch.
#[derive(Debug)]
pub(super) struct Exponential;

impl ScheduleKind for Exponential {
    fn name(&self) -> &'static str {
        "exponential"
    }

    fn summary(&self) -> &'static str {
        "times gamma (0.95) after every epoch"
    }

    fn source(&self) -> &'static str {
        "common; as torch.optim.lr_scheduler.ExponentialLR"
    }

    fn curve(&self, spec: &mut Spec) -> Result<Box<dyn Curve>, SpecError> {
        Ok(Box::new(Decay { gamma: spec.number("gamma", 0.95, 0.0..=1.0)? }))
    }
}

#[derive(Debug)]
struct Decay {
    gamma: f64,
}

impl Curve for Decay {
    fn factor(&self, progress: &Progress) -> f64 {
        (0..progress.epoch()).fold(1.0, |factor, _| factor * self.gamma)
    }
}
