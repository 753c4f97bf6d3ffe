//! What can go wrong in a sweep.

use std::path::PathBuf;

use skimp_study::StudyError;

/// Why a sweep cannot begin or go on. What goes wrong at one point is a result, not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// A stage that all points share, or a file.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// A sweep file is wrong.
    #[error("{}: {cause}", .path.display())]
    Invalid {
        /// The file, or the name of an embedded sweep.
        path: PathBuf,
        /// What is wrong, with line and key.
        cause: String,
    },
    /// There is no such sweep.
    #[error(
        "there is neither a file nor an embedded sweep \"{name}\"; embedded are: {}",
        .known.join(", ")
    )]
    UnknownSweep {
        /// What was asked for.
        name: String,
        /// The embedded sweeps.
        known: Vec<&'static str>,
    },
    /// A key of an axis or a point names nothing, or has a value that cannot be.
    #[error("axis \"{key}\"{}: {cause}", .value.as_ref().map_or_else(String::new, |value| format!(" = {value}")))]
    Axis {
        /// The dotted key.
        key: String,
        /// The value, where it is one that is wrong.
        value: Option<String>,
        /// What is wrong.
        cause: String,
    },
    /// An optimization is asked for what cannot be.
    #[error("{setting}: {cause}")]
    Optimize {
        /// The setting.
        setting: &'static str,
        /// What is wrong, and the way out.
        cause: String,
    },
    /// The store cannot be read or written.
    #[error("{}: {cause}", .path.display())]
    Store {
        /// The data base.
        path: PathBuf,
        /// What is wrong, and the way out.
        cause: String,
    },
    /// The folder holds points, and the sweep is to begin anew.
    #[error("{}: there are {n_points} points of a sweep; give --resume to go on with them, or write to another folder", .path.display())]
    Begun {
        /// The data base.
        path: PathBuf,
        /// Its points.
        n_points: u64,
    },
}

impl SweepError {
    /// Whether the user asked for something that cannot be (exit code 2), rather than a run that failed (1).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            SweepError::Study(error) => error.is_usage(),
            SweepError::Store { .. } => false,
            _ => true,
        }
    }
}
