//! Between runs that go side by side and whoever watches the study.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use skimp_train::trainer::{Observer, StepReport};

use super::run::{Outcome, Run};
use crate::monitor::Monitor;

/// Tells a [`Monitor`] of all runs as one stage, and may stop them all.
pub(crate) struct Progress<'a> {
    monitor: &'a dyn Monitor,
    n_runs: usize,
    n_steps: u64,
    stopped: AtomicBool,
    state: Mutex<State<'a>>,
}

struct State<'a> {
    /// Runs under way, by name.
    active: Vec<(&'a str, String)>,
    n_done: usize,
    start: Instant,
    /// Steps made here, and those that were still to be made when they began.
    n_made: u64,
    n_open: u64,
}

impl<'a> Progress<'a> {
    /// `n_open` of `n_runs` runs of `n_steps` steps each are not finished.
    pub(crate) fn new(monitor: &'a dyn Monitor, n_runs: usize, n_open: usize, n_steps: u64) -> Self {
        if n_open < n_runs {
            monitor.note(&format!("{} of {n_runs} runs are finished", n_runs - n_open));
        }
        let total = n_open as u64 * n_steps;
        if n_open > 0 {
            monitor.stage(&format!("training, {n_open} runs"), total);
        }
        let (n_done, start) = (n_runs - n_open, Instant::now());
        let state = Mutex::new(State { active: Vec::new(), n_done, start, n_made: 0, n_open: total });
        Self { monitor, n_runs, n_steps, stopped: AtomicBool::new(false), state }
    }

    /// Asks all runs to stop.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Whether all runs are asked to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst) || self.monitor.interrupted()
    }

    /// The observer of a run.
    pub(crate) fn watch(&'a self, run: &'a Run) -> Watch<'a> {
        Watch { progress: self, run, left: Mutex::new(self.n_steps) }
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches one run.
pub(crate) struct Watch<'a> {
    progress: &'a Progress<'a>,
    run: &'a Run,
    /// Steps that it has not reported.
    left: Mutex<u64>,
}

impl Watch<'_> {
    /// The run begins at `step`.
    pub(crate) fn begin(&self, step: u64) {
        self.advance(step);
        let mut state = self.progress.state();
        // Steps that were made earlier say nothing of the time that remains.
        state.n_open -= step;
        if step > 0 {
            let Run { label, config, .. } = self.run;
            let n_steps = self.progress.n_steps;
            self.progress.monitor.note(&format!("{label}, seed {} goes on from step {step} of {n_steps}", config.seed));
        }
    }

    /// The run is over, with an outcome or without.
    pub(crate) fn end(&self, outcome: Option<&Outcome>) {
        let mut state = self.progress.state();
        state.active.retain(|(name, _)| *name != self.run.name);
        let Some(outcome) = outcome else { return };
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        self.progress.monitor.advance(left);
        state.n_open -= left.min(state.n_open);
        state.n_done += 1;
        let accuracy = outcome.history.last().and_then(|epoch| epoch.validation_accuracy);
        let result = match (&outcome.diverged, accuracy) {
            (Some(_), _) => "diverged".to_owned(),
            (None, Some(accuracy)) => format!("{:.2} %", 100.0 * accuracy),
            (None, None) => "done".to_owned(),
        };
        let Run { label, config, .. } = self.run;
        self.progress.monitor.milestone(&format!(
            "run {} of {}: {label}, seed {}: {result}{}",
            state.n_done,
            self.progress.n_runs,
            config.seed,
            state.remaining()
        ));
    }

    fn advance(&self, n: u64) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left -= n.min(*left);
        self.progress.monitor.advance(n);
    }
}

impl State<'_> {
    /// The time that remains, if anything does, from the steps made here.
    fn remaining(&self) -> String {
        let open = self.n_open.saturating_sub(self.n_made);
        if open == 0 || self.n_made == 0 {
            return String::new();
        }
        let seconds = (self.start.elapsed().as_secs_f64() * open as f64 / self.n_made as f64).ceil();
        if seconds < 100.0 {
            format!("; about {seconds} s to go")
        } else {
            format!("; about {} min to go", (seconds / 60.0).ceil())
        }
    }
}

impl Observer for Watch<'_> {
    fn step(&self, report: &StepReport) {
        self.advance(1);
        let Run { label, name, config } = self.run;
        let text = format!("{label} seed {} {}/{}", config.seed, report.epoch, config.epochs);
        let mut state = self.progress.state();
        state.n_made += 1;
        match state.active.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = text,
            None => state.active.push((name, text)),
        }
        // Two fit beside a bar.
        let shown: Vec<&str> = state.active.iter().take(2).map(|(_, text)| text.as_str()).collect();
        let more = state.active.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        self.progress.monitor.status(&format!(
            "{}/{} done, {}{more}",
            state.n_done,
            self.progress.n_runs,
            shown.join(", ")
        ));
    }

    fn interrupted(&self) -> bool {
        self.progress.is_stopped()
    }
}
