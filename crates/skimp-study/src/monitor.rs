//! How a long run tells where it is, and learns that it should stop.

use crate::error::StudyError;

/// Watches a run. The command line draws progress bars; a library user may pass [`Silent`].
pub trait Monitor: Sync {
    /// A stage of `n_steps` steps begins; it ends the stage before it.
    fn stage(&self, name: &str, n_steps: u64);

    /// `n` more steps of the stage are done.
    fn advance(&self, n: u64);

    /// How the present stage is doing, in a few words that replace the ones before.
    fn status(&self, _text: &str) {}

    /// A part of the stage is done: a line for whoever reads along.
    fn milestone(&self, _text: &str) {}

    /// Something the user should know, once.
    fn note(&self, text: &str);

    /// Whether the user asked to stop. Asked between images and layers.
    fn interrupted(&self) -> bool {
        false
    }
}

/// A [`Monitor`] that shows nothing and never stops a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Monitor for Silent {
    fn stage(&self, _name: &str, _n_steps: u64) {}
    fn advance(&self, _n: u64) {}
    fn note(&self, _text: &str) {}
}

/// Advances `monitor` and stops the run if the user asked for it.
pub(crate) fn step(monitor: &dyn Monitor, n: u64) -> Result<(), StudyError> {
    monitor.advance(n);
    if monitor.interrupted() { Err(StudyError::Interrupted) } else { Ok(()) }
}
