//! Logs of a run, one line or event per epoch, for people and other programs.
//!
//! Each format is one file, registered in [`LOG_FORMATS`]. Logs lie beside the checkpoints; a resumed run goes on with
//! them.

mod csv;
mod record_file;
mod tensorboard;

use std::fmt;
use std::path::Path;

use crate::TrainError;
use crate::trainer::EpochRecord;

/// Every log format, in the order `skimp list logs` prints them.
pub static LOG_FORMATS: &[&dyn LogFormat] = &[&csv::Csv, &tensorboard::TensorBoard];

/// One entry of [`LOG_FORMATS`].
pub trait LogFormat: fmt::Debug + Sync {
    /// Name, in kebab-case.
    fn name(&self) -> &'static str;

    /// One line on what it is.
    fn summary(&self) -> &'static str;

    /// Who reads it.
    fn source(&self) -> &'static str;

    /// A log in `folder`. `step` is the step at which the run begins or goes on.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    fn open(&self, folder: &Path, step: u64) -> Result<Box<dyn Log>, TrainError>;
}

/// A log being written.
pub trait Log: fmt::Debug + Send {
    /// Writes the last of `history`, which holds every epoch of the run so far.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    fn epoch(&mut self, history: &[EpochRecord]) -> Result<(), TrainError>;
}

#[cfg(test)]
mod tests;
