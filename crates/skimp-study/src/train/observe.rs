//! Between the training loop and whoever watches it.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use skimp_report::ReportError;
use skimp_train::TrainError;
use skimp_train::log::Log;
use skimp_train::trainer::{EpochRecord, Observer, StepReport};

use crate::monitor::Monitor;

/// Writes the report of the epochs so far.
pub(crate) type Report<'a> = &'a (dyn Fn(&[EpochRecord]) -> Result<(), ReportError> + Sync);

/// Tells a [`Monitor`] where the run is, and writes the logs and the report of the epochs so far.
pub(crate) struct Watch<'a> {
    monitor: &'a dyn Monitor,
    report: Report<'a>,
    n_epochs: u64,
    steps_per_epoch: u64,
    state: Mutex<State>,
}

struct State {
    logs: Vec<Box<dyn Log>>,
    epoch: u64,
    /// When the present epoch began here, and its images since.
    start: Instant,
    n_images: u64,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(
        monitor: &'a dyn Monitor,
        logs: Vec<Box<dyn Log>>,
        report: Report<'a>,
        n_epochs: u64,
        steps_per_epoch: u64,
    ) -> Self {
        let state = Mutex::new(State { logs, epoch: 0, start: Instant::now(), n_images: 0 });
        Self { monitor, report, n_epochs, steps_per_epoch, state }
    }

    /// Begins the stage of the epoch after `step` steps.
    pub(crate) fn begin(&self, step: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin_epoch(&mut state, step);
    }

    fn begin_epoch(&self, state: &mut State, step: u64) {
        state.epoch = step / self.steps_per_epoch + 1;
        (state.start, state.n_images) = (Instant::now(), 0);
        self.monitor.stage(&format!("epoch {}/{}", state.epoch, self.n_epochs), self.steps_per_epoch);
        self.monitor.advance(step % self.steps_per_epoch);
    }
}

impl Observer for Watch<'_> {
    fn resumed(&self, step: u64, n_steps: u64) {
        // A run that had come to its end is only read again.
        if step < n_steps {
            self.monitor.note(&format!("going on from step {step} of {n_steps}"));
            self.begin(step);
        }
    }

    fn step(&self, report: &StepReport) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if report.epoch != state.epoch {
            self.begin_epoch(&mut state, report.step - 1);
        }
        state.n_images += report.n_images;
        let rate = state.n_images as f64 / state.start.elapsed().as_secs_f64().max(1e-9);
        self.monitor.advance(1);
        self.monitor.status(&format!(
            "loss {:.4}  accuracy {:.2} %  {rate:.0} images/s",
            report.mean_loss,
            100.0 * report.mean_accuracy
        ));
    }

    fn validation(&self, n_images: usize) {
        self.monitor.status(&format!("validating on {n_images} images"));
    }

    fn epoch(&self, history: &[EpochRecord]) -> Result<(), TrainError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The run is worth more than a look at it: the report is written again after the next epoch.
        if let Err(error) = (self.report)(history) {
            self.monitor.note(&format!("the report was not written: {error}"));
        }
        state.logs.iter_mut().try_for_each(|log| log.epoch(history))
    }

    fn interrupted(&self) -> bool {
        self.monitor.interrupted()
    }
}
