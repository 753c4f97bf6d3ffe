//! Work without the interpreter's lock, on a thread of its own, while the calling thread waits for signals.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use skimp::{Monitor, StudyError};

use crate::errors::{broken, raised};

/// How often the waiting thread looks for signals and passes notes on.
const LOOK: Duration = Duration::from_millis(50);

/// As much as the main thread of a program has.
const STACK: usize = 8 << 20;

/// Nanoseconds that the last job took, for measurements of what Python adds to it.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Seconds that the last job of this process took in Rust.
#[pyfunction]
pub(crate) fn last_seconds() -> f64 {
    LAST.load(Ordering::Relaxed) as f64 * 1e-9
}

/// Does a job and notes how long it took.
fn timed<R>(job: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = job();
    LAST.store(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
    result
}

/// Stops a run, and keeps what it says until it can be told.
#[derive(Debug, Default)]
struct Watch {
    stop: AtomicBool,
    said: Mutex<Vec<(&'static str, String)>>,
}

impl Watch {
    fn say(&self, level: &'static str, text: &str) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push((level, text.to_owned()));
    }

    /// Hands what was said to `logging`.
    fn tell(&self, py: Python<'_>) -> PyResult<()> {
        let said = std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner));
        if said.is_empty() {
            return Ok(());
        }
        let logger = py.import("logging")?.call_method1("getLogger", ("skimp",))?;
        // A text may hold "%".
        said.iter().try_for_each(|(level, text)| logger.call_method1(*level, ("%s", text)).map(drop))
    }
}

impl Monitor for Watch {
    fn stage(&self, name: &str, _n_steps: u64) {
        self.say("debug", name);
    }

    fn advance(&self, _n: u64) {}

    fn milestone(&self, text: &str) {
        self.say("info", text);
    }

    fn note(&self, text: &str) {
        self.say("info", text);
    }

    fn interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Waits for the end of `done`; a signal that Python raises an exception for stops the watched run.
fn wait(done: &Receiver<()>, watch: &Watch) -> PyResult<()> {
    loop {
        match done.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) => {
                let looked = Python::attach(|py| py.check_signals().and_then(|()| watch.tell(py)));
                if let Err(error) = looked {
                    watch.stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// Does `job` without the interpreter's lock. A signal stops it after the image, layer or step that it is at.
pub(crate) fn work<R: Send>(
    py: Python<'_>,
    job: impl FnOnce(&dyn Monitor) -> Result<R, StudyError> + Send,
) -> PyResult<R> {
    let watch = Watch::default();
    let (outcome, signal) = py.detach(|| {
        std::thread::scope(|scope| {
            let (end, done) = channel();
            let run = || {
                // Dropped at the end of the job, whichever it is.
                let _end = end;
                timed(|| job(&watch))
            };
            let worker = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, run);
            let signal = wait(&done, &watch);
            (worker.map(std::thread::ScopedJoinHandle::join), signal)
        })
    });
    let told = watch.tell(py);
    signal?;
    match outcome.map_err(|error| broken(&format!("no thread: {error}")))? {
        Ok(Ok(result)) => told.map(|()| result),
        Ok(Err(error)) => Err(raised(py, &error)),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// As [`work`], of a job that writes nothing: at a signal nobody waits for the step that it is at.
pub(crate) fn leave<R: Send + 'static>(
    py: Python<'_>,
    job: impl FnOnce(&dyn Monitor) -> Result<R, StudyError> + Send + 'static,
) -> PyResult<R> {
    let watch = Arc::new(Watch::default());
    let worker = py.detach(|| -> PyResult<_> {
        let (end, done) = channel();
        let watched = Arc::clone(&watch);
        let run = move || {
            let _end = end;
            timed(|| job(&*watched))
        };
        let worker = std::thread::Builder::new().stack_size(STACK).spawn(run);
        wait(&done, &watch)?;
        Ok(worker.map(std::thread::JoinHandle::join))
    })?;
    let told = watch.tell(py);
    match worker.map_err(|error| broken(&format!("no thread: {error}")))? {
        Ok(Ok(result)) => told.map(|()| result),
        Ok(Err(error)) => Err(raised(py, &error)),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
