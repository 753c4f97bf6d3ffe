//! Schedules: the learning rate over a run.
//!
//! A schedule gives a factor of the base learning rate; each is one file, registered in [`SCHEDULES`], and is chosen by
//! text such as `cosine` or `step:at=80/120,gamma=0.1`. Every schedule also takes `warmup=EPOCHS`: a straight line from
//! `warmup_start` (default 0) of the base rate up to it, after which the schedule itself begins and spans what remains
//! of the run.

mod constant;
mod cosine;
mod exponential;
mod one_cycle;
mod step;

use std::fmt;

use crate::spec::{Spec, SpecError};

/// Every schedule, in the order `skimp list schedules` prints them.
pub static SCHEDULES: &[&dyn ScheduleKind] =
    &[&constant::Constant, &step::Step, &cosine::Cosine, &exponential::Exponential, &one_cycle::OneCycle];

/// One entry of [`SCHEDULES`].
pub trait ScheduleKind: fmt::Debug + Sync {
    /// Name, in kebab-case.
    fn name(&self) -> &'static str;

    /// One line on what it does.
    fn summary(&self) -> &'static str;

    /// Who proposed it, or who else computes it so.
    fn source(&self) -> &'static str;

    /// The curve with the settings of `spec`, which is emptied of them.
    ///
    /// # Errors
    /// [`SpecError::InvalidValue`].
    fn curve(&self, spec: &mut Spec) -> Result<Box<dyn Curve>, SpecError>;
}

/// Where a run is, in epochs; a step within an epoch counts as a fraction of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Steps done since the schedule began.
    pub step: u64,
    /// Steps of the whole schedule, at least 1.
    pub n_steps: u64,
    /// Steps of one epoch, at least 1.
    pub steps_per_epoch: u64,
}

impl Progress {
    /// Whole epochs done.
    pub fn epoch(&self) -> u64 {
        self.step / self.steps_per_epoch.max(1)
    }

    /// The share of the run that is done, in `[0, 1]`.
    pub fn share(&self) -> f64 {
        (self.step as f64 / self.n_steps.max(1) as f64).min(1.0)
    }
}

/// The learning rate over a run, relative to the base rate.
pub trait Curve: fmt::Debug + Send + Sync {
    /// The factor at `progress`.
    fn factor(&self, progress: &Progress) -> f64;
}

/// A schedule with its warm-up.
#[derive(Debug)]
pub struct Schedule {
    curve: Box<dyn Curve>,
    warmup_epochs: f64,
    warmup_start: f64,
}

impl Schedule {
    /// A schedule from text such as `cosine:warmup=5`.
    ///
    /// # Errors
    /// [`SpecError`] naming the schedule and the setting.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let mut spec = Spec::parse("schedule", text)?;
        let kind = spec.find(SCHEDULES, |kind| kind.name())?;
        let curve = kind.curve(&mut spec)?;
        let warmup_epochs = spec.number("warmup", 0.0, 0.0..=1e6)?;
        let warmup_start = spec.number("warmup_start", 0.0, 0.0..=1.0)?;
        spec.finish()?;
        Ok(Self { curve, warmup_epochs, warmup_start })
    }

    /// The factor of the base learning rate at step `step` (from 0) of a run of `n_steps` steps.
    pub fn factor(&self, step: u64, n_steps: u64, steps_per_epoch: u64) -> f64 {
        let warmup = ((self.warmup_epochs * steps_per_epoch as f64).round() as u64).min(n_steps);
        if step < warmup {
            return self.warmup_start + (1.0 - self.warmup_start) * step as f64 / warmup as f64;
        }
        let n_steps = (n_steps - warmup).max(1);
        self.curve.factor(&Progress { step: step - warmup, n_steps, steps_per_epoch: steps_per_epoch.max(1) })
    }
}

/// Half a wave from 1 at `share` 0 down to 0 at `share` 1.
fn half_wave(share: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * share).cos())
}

#[cfg(test)]
mod tests;
