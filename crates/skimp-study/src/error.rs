//! What can go wrong in a pipeline.

use std::path::PathBuf;

use skimp_data::DataError;
use skimp_graph::GraphError;
use skimp_memory::OutOfMemory;
use skimp_quant::QuantError;
use skimp_report::ReportError;
use skimp_sim::SimError;
use skimp_train::TrainError;

/// An error of a pipeline: most carry the error of the crate that met it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A setting of the command line or of a call cannot be.
    #[error("{0}")]
    Usage(String),
    /// The data set has labels for which the network has no answer.
    #[error("{0}")]
    Labels(String),
    /// A study file is wrong.
    #[error("{path}: {cause}", path = .path.display())]
    InvalidStudy {
        /// The file, or the name of an embedded study.
        path: PathBuf,
        /// The key and the cause.
        cause: String,
    },
    /// A topology is wrong.
    #[error("{path}:{line}: {cause}", path = .path.display())]
    InvalidTopology {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        cause: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The network is wrong, or wants something that is not supported.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The data set or its preprocessing is wrong.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network cannot be quantized as asked.
    #[error(transparent)]
    Quant(#[from] QuantError),
    /// Training failed, or was asked for something that cannot be.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An accelerator cannot be configured, or cannot run a layer.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// The network cannot be run with what a file says of an accelerator.
    #[error("{path}{of}: as a preset of {accelerator}: {source}", path = .path.display(), of = of_network(network))]
    Preset {
        /// The file.
        path: PathBuf,
        /// The network of the record that it holds.
        network: Option<String>,
        /// Label of the accelerator.
        accelerator: String,
        /// What is wrong.
        #[source]
        source: Box<SimError>,
    },
    /// A record cannot be read or written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The run needs more memory than it may take.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The user stopped the run.
    #[error("interrupted; nothing was left half-written")]
    Interrupted,
    /// The user stopped a study that keeps its runs.
    #[error("interrupted; {n_finished} of {n_runs} runs are finished, --resume goes on from {folder}", folder = .folder.display())]
    InterruptedRuns {
        /// Runs that are finished.
        n_finished: usize,
        /// Runs of the study.
        n_runs: usize,
        /// Where the runs are kept.
        folder: PathBuf,
    },
}

fn of_network(network: &Option<String>) -> String {
    network.as_ref().map_or_else(String::new, |network| format!(" (of {network})"))
}

fn is_usage(error: &SimError) -> bool {
    matches!(
        error,
        SimError::UnknownAccelerator { .. }
            | SimError::UnknownSetting { .. }
            | SimError::UnknownLayer { .. }
            | SimError::SettingType { .. }
            | SimError::SettingValue { .. }
    )
}

impl StudyError {
    /// Whether the user asked for something that cannot be (exit code 2), rather than a run that failed (1).
    pub fn is_usage(&self) -> bool {
        match self {
            StudyError::Usage(_) | StudyError::InvalidStudy { .. } => true,
            StudyError::Sim(error) => is_usage(error),
            StudyError::Preset { source, .. } => is_usage(source),
            StudyError::Data(error) => matches!(
                error,
                DataError::UnknownDataset { .. }
                    | DataError::MissingLocation { .. }
                    | DataError::InvalidLocation { .. }
                    | DataError::UnknownPreprocess { .. }
                    | DataError::InvalidPreprocess { .. }
            ),
            StudyError::Quant(error) => {
                matches!(error, QuantError::InvalidConfig { .. } | QuantError::UnknownLayer { .. })
            }
            StudyError::Graph(error) => {
                matches!(error, GraphError::UnknownNetwork { .. } | GraphError::NetworkSetting { .. })
            }
            StudyError::Train(error) => {
                matches!(error, TrainError::Spec(_) | TrainError::Option { .. } | TrainError::Unknown { .. })
            }
            StudyError::Io { source, .. } | StudyError::Report(ReportError::Io { source, .. }) => {
                skimp_files::refusal(source).is_some()
            }
            StudyError::Labels(_)
            | StudyError::InvalidTopology { .. }
            | StudyError::Memory(_)
            | StudyError::Report(_)
            | StudyError::Interrupted
            | StudyError::InterruptedRuns { .. } => false,
        }
    }
}
