//! Between points that go side by side and whoever watches the study.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::point::{Pace, Point};
use crate::monitor::Monitor;

/// Tells a [`Monitor`] of all points, as one stage where they go side by side, and may stop them all.
pub(crate) struct Progress<'a> {
    monitor: &'a dyn Monitor,
    points: &'a [Point],
    n_steps: u64,
    stopped: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// Points under way, and where they are.
    active: Vec<(usize, String)>,
    /// Steps that each point has not reported.
    left: Vec<u64>,
    n_done: usize,
    start: Instant,
    /// Steps made here, and those that were still to be made when they began.
    n_made: u64,
    n_open: u64,
}

impl<'a> Progress<'a> {
    /// `n_open` of the points are not done.
    pub(crate) fn new(monitor: &'a dyn Monitor, points: &'a [Point], n_open: usize, pace: Pace) -> Self {
        let n_points = points.len();
        if n_open < n_points {
            monitor.note(&format!("{} of {n_points} runs are finished", n_points - n_open));
        }
        let n_steps = match pace {
            Pace::InTurn => 0,
            Pace::SideBySide { n_steps, .. } => n_steps,
        };
        let total = n_open as u64 * n_steps;
        if let Pace::SideBySide { what, .. } = pace
            && n_open > 0
        {
            monitor.stage(&format!("{what}, {n_open} runs"), total);
        }
        let (n_done, start, left) = (n_points - n_open, Instant::now(), vec![n_steps; n_points]);
        let state = Mutex::new(State { active: Vec::new(), left, n_done, start, n_made: 0, n_open: total });
        Self { monitor, points, n_steps, stopped: AtomicBool::new(false), state }
    }

    /// Asks all points to stop.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Whether all points are asked to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst) || self.monitor.interrupted()
    }

    /// A point begins at `step`.
    pub(crate) fn begin(&self, idx: usize, step: u64) {
        let mut state = self.state();
        self.advance(&mut state, idx, step);
        // Steps that were made earlier say nothing of the time that remains.
        state.n_open -= step.min(state.n_open);
        if step > 0 {
            let (label, n_steps) = (&self.points[idx].label, self.n_steps);
            self.monitor.note(&format!("{label} goes on from step {step} of {n_steps}"));
        }
    }

    /// A step of a point is made, which is now at `text`.
    pub(crate) fn step(&self, idx: usize, text: &str) {
        let mut state = self.state();
        self.advance(&mut state, idx, 1);
        state.n_made += 1;
        match state.active.iter_mut().find(|(known, _)| *known == idx) {
            Some((_, known)) => text.clone_into(known),
            None => state.active.push((idx, text.to_owned())),
        }
        // Two fit beside a bar.
        let shown: Vec<&str> = state.active.iter().take(2).map(|(_, text)| text.as_str()).collect();
        let more = state.active.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        self.monitor.status(&format!("{}/{} done, {}{more}", state.n_done, self.points.len(), shown.join(", ")));
    }

    /// A point is done, with that result.
    pub(crate) fn end(&self, idx: usize, result: &str) {
        let mut state = self.state();
        let left = state.left[idx];
        self.advance(&mut state, idx, left);
        state.n_open -= left.min(state.n_open);
        state.n_done += 1;
        state.active.retain(|(known, _)| *known != idx);
        self.monitor.milestone(&format!(
            "run {} of {}: {}: {result}{}",
            state.n_done,
            self.points.len(),
            self.points[idx].label,
            state.remaining()
        ));
    }

    /// A point is worked on no more.
    pub(crate) fn leave(&self, idx: usize) {
        self.state().active.retain(|(known, _)| *known != idx);
    }

    fn advance(&self, state: &mut State, idx: usize, n: u64) {
        state.left[idx] -= n.min(state.left[idx]);
        if n > 0 {
            self.monitor.advance(n);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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
