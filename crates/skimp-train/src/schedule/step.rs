//! Drops at given epochs.

use super::{Curve, Progress, ScheduleKind};
use crate::spec::{Spec, SpecError};

/// A factor at given epochs.
#[derive(Debug)]
pub(super) struct Step;

impl ScheduleKind for Step {
    fn name(&self) -> &'static str {
        "step"
    }

    fn summary(&self) -> &'static str {
        "times gamma (0.1) at each of the epochs at=80/120, or after every=N epochs"
    }

    fn source(&self) -> &'static str {
        "He, Zhang, Ren, Sun, \"Deep Residual Learning for Image Recognition\", CVPR 2016, section 4.2; as \
         torch.optim.lr_scheduler.MultiStepLR and StepLR"
    }

    fn curve(&self, spec: &mut Spec) -> Result<Box<dyn Curve>, SpecError> {
        let gamma = spec.number("gamma", 0.1, 0.0..=1.0)?;
        let epochs = |text: &str| {
            let list: Option<Vec<u64>> = text.split('/').map(|part| part.trim().parse().ok()).collect();
            list.filter(|list| list.is_sorted_by(|a, b| a < b))
        };
        let at = spec.read("at", Vec::new(), "rising epochs such as 80/120", epochs)?;
        let every = spec.read("every", 0, "a whole number above 0", |text| text.parse().ok().filter(|&n| n > 0))?;
        match (at.is_empty(), every) {
            (false, 0) => Ok(Box::new(At { gamma, at })),
            (true, 1..) => Ok(Box::new(Every { gamma, every })),
            _ => Err(spec.invalid("at", "", "epochs such as at=80/120, or every=N, and not both")),
        }
    }
}

#[derive(Debug)]
struct At {
    gamma: f64,
    at: Vec<u64>,
}

impl Curve for At {
    fn factor(&self, progress: &Progress) -> f64 {
        self.at.iter().filter(|&&at| at <= progress.epoch()).fold(1.0, |factor, _| factor * self.gamma)
    }
}

#[derive(Debug)]
struct Every {
    gamma: f64,
    every: u64,
}

impl Curve for Every {
    fn factor(&self, progress: &Progress) -> f64 {
        (0..progress.epoch() / self.every).fold(1.0, |factor, _| factor * self.gamma)
    }
}
