//! Half a cosine wave.

use super::{Curve, Progress, ScheduleKind, half_wave};
use crate::spec::{Spec, SpecError};

/// From the base rate to `min` of it along half a cosine wave.
#[derive(Debug)]
pub(super) struct Cosine;

impl ScheduleKind for Cosine {
    fn name(&self) -> &'static str {
        "cosine"
    }

    fn summary(&self) -> &'static str {
        "half a cosine wave, step by step, down to min (0) of the base rate"
    }

    fn source(&self) -> &'static str {
        "Loshchilov, Hutter, \"SGDR: Stochastic Gradient Descent with Warm Restarts\", ICLR 2017, equation 5, without \
         restarts; as torch.optim.lr_scheduler.CosineAnnealingLR called at every step"
    }

    fn curve(&self, spec: &mut Spec) -> Result<Box<dyn Curve>, SpecError> {
        Ok(Box::new(Wave { min: spec.number("min", 0.0, 0.0..=1.0)? }))
    }
}

#[derive(Debug)]
struct Wave {
    min: f64,
}

impl Curve for Wave {
    fn factor(&self, progress: &Progress) -> f64 {
        self.min + (1.0 - self.min) * half_wave(progress.share())
    }
}
