//! Up and down once.

use super::{Curve, Progress, ScheduleKind, half_wave};
use crate::spec::{Spec, SpecError};

/// Up to the base rate, then down to nearly nothing, each along half a cosine wave.
#[derive(Debug)]
pub(super) struct OneCycle;

impl ScheduleKind for OneCycle {
    fn name(&self) -> &'static str {
        "one-cycle"
    }

    fn summary(&self) -> &'static str {
        "half a cosine wave up over rise (0.3) of the run from 1/div (25), then down to 1/final_div (10000) of that"
    }

    fn source(&self) -> &'static str {
        "Smith, Topin, \"Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates\", \
         arXiv:1708.07120, 2017; as torch.optim.lr_scheduler.OneCycleLR with constant momentum"
    }

    fn curve(&self, spec: &mut Spec) -> Result<Box<dyn Curve>, SpecError> {
        let rise = spec.number("rise", 0.3, 0.0..=1.0)?;
        let first = 1.0 / spec.number("div", 25.0, 1.0..=1e9)?;
        Ok(Box::new(Cycle { rise, first, last: first / spec.number("final_div", 1e4, 1.0..=1e9)? }))
    }
}

#[derive(Debug)]
struct Cycle {
    rise: f64,
    first: f64,
    last: f64,
}

impl Curve for Cycle {
    /// The peak is at step `rise · n − 1`, the end at step `n − 1`, as PyTorch has them.
    fn factor(&self, progress: &Progress) -> f64 {
        let (step, n_steps) = (progress.step as f64, progress.n_steps as f64);
        let peak = (self.rise * n_steps - 1.0).max(0.0);
        if step < peak {
            return 1.0 + (self.first - 1.0) * half_wave(step / peak);
        }
        let fall = (n_steps - 1.0 - peak).max(1.0);
        self.last + (1.0 - self.last) * half_wave(((step - peak) / fall).min(1.0))
    }
}
