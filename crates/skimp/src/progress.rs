//! Progress by a callback, and how a run is stopped.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skimp_study::Monitor;

/// What a run tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// A stage begins and ends the one before it.
    Stage {
        /// What is done.
        name: &'a str,
        /// Its steps; 0 where they cannot be told.
        n_steps: u64,
    },
    /// So many more steps of the stage are done.
    Advanced(u64),
    /// How the stage is doing, in words that replace the ones before.
    Status(&'a str),
    /// A part of the stage is done.
    Milestone(&'a str),
    /// Something the user should know, once.
    Note(&'a str),
}

/// Stops runs that it was given to, from any thread. A clone stops the same runs. As a [`Monitor`] it shows nothing.
///
/// ```
/// use skimp::{Cancel, DataConfig, Network, StudyError};
///
/// let network = Network::open("sample-resnet")?;
/// let images = network.images(&DataConfig { set: "sample".into(), ..DataConfig::default() })?;
/// let cancel = Cancel::new();
/// cancel.cancel(); // from a signal handler, another thread, ..
/// assert!(matches!(network.calibrate(&images, 16, &cancel), Err(StudyError::Interrupted)));
/// # Ok::<(), StudyError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// One that has not been used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the runs: each ends with [`StudyError::Interrupted`](crate::StudyError::Interrupted) after the image, layer or
    /// step that it is at.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Monitor for Cancel {
    fn stage(&self, _name: &str, _n_steps: u64) {}
    fn advance(&self, _n: u64) {}
    fn note(&self, _text: &str) {}

    fn interrupted(&self) -> bool {
        self.is_cancelled()
    }
}

/// A [`Monitor`] that hands everything to a closure, which may stop the run by breaking off.
///
/// ```
/// use std::ops::ControlFlow;
/// use skimp::{Callback, DataConfig, Network, Progress};
///
/// let network = Network::open("sample-resnet")?;
/// let images = network.images(&DataConfig { set: "sample".into(), ..DataConfig::default() })?;
/// let monitor = Callback::new(|progress| {
///     if let Progress::Stage { name, n_steps } = progress {
///         println!("{name}: {n_steps} steps");
///     }
///     ControlFlow::Continue(())
/// });
/// network.calibrate(&images, 16, &monitor)?;
/// # Ok::<(), skimp::StudyError>(())
/// ```
#[derive(Debug)]
pub struct Callback<F> {
    call: F,
    cancel: Cancel,
}

impl<F: Fn(Progress<'_>) -> ControlFlow<()> + Sync> Callback<F> {
    /// A monitor that calls `call`, from whichever thread the run is at.
    pub fn new(call: F) -> Self {
        Self { call, cancel: Cancel::new() }
    }

    /// The same, stopped by `cancel`, too.
    #[must_use]
    pub fn stopped_by(self, cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), ..self }
    }

    fn tell(&self, progress: Progress<'_>) {
        if (self.call)(progress).is_break() {
            self.cancel.cancel();
        }
    }
}

impl<F: Fn(Progress<'_>) -> ControlFlow<()> + Sync> Monitor for Callback<F> {
    fn stage(&self, name: &str, n_steps: u64) {
        self.tell(Progress::Stage { name, n_steps });
    }

    fn advance(&self, n: u64) {
        self.tell(Progress::Advanced(n));
    }

    fn status(&self, text: &str) {
        self.tell(Progress::Status(text));
    }

    fn milestone(&self, text: &str) {
        self.tell(Progress::Milestone(text));
    }

    fn note(&self, text: &str) {
        self.tell(Progress::Note(text));
    }

    fn interrupted(&self) -> bool {
        self.cancel.is_cancelled()
    }
}
