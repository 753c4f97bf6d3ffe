//! The public API of skimp: one call for each step.
//!
//! ```
//! use skimp::{DataConfig, Engine, EvaluateConfig, Silent};
//!
//! let network = skimp::Network::open("sample-resnet")?;
//! let config = EvaluateConfig {
//!     data: DataConfig { set: "sample".into(), accuracy_images: 100, ..DataConfig::default() },
//!     input_size: None,
//!     engine: Some(Engine::Cpu),
//!     quantization: Default::default(),
//! };
//! let record = skimp::evaluate(&network, &config, &Silent)?;
//! assert!(record.top1 > 0.8);
//! # Ok::<(), skimp::StudyError>(())
//! ```
//!
//! The crates below are re-exported under short names for those who need more than the steps.

use std::path::Path;

pub use skimp_cpu as cpu;
pub use skimp_data as data;
pub use skimp_digital as digital;
pub use skimp_graph as graph;
pub use skimp_numerics as numerics;
pub use skimp_quant as quant;
pub use skimp_report as reporting;
pub use skimp_sim as sim;
pub use skimp_study::*;

pub use skimp_data::Preprocess;
pub use skimp_report::{SimulationRecord, StudyRecord};

/// Uses `n_threads` threads for everything that runs in parallel. Results do not depend on it.
///
/// # Errors
/// [`StudyError::Usage`] if the threads were set or used before.
pub fn set_threads(n_threads: usize) -> Result<(), StudyError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .build_global()
        .map_err(|error| StudyError::Usage(format!("cannot use {n_threads} threads: {error}")))
}

/// Writes a file whole or not at all.
///
/// # Errors
/// [`StudyError::Report`] naming the path.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), StudyError> {
    Ok(skimp_report::write_atomic(path, bytes)?)
}

/// Checks that [`write_file`] could write `path`: better before a long run than after it.
///
/// # Errors
/// [`StudyError::Io`] naming the path and the folder that is missing or cannot be written to.
pub fn check_file(path: &Path) -> Result<(), StudyError> {
    skimp_files::check(path).map_err(|source| StudyError::Io { path: path.to_owned(), source })
}

/// The HTML report of a finished study, from its results.json or its folder.
///
/// # Errors
/// [`StudyError`] if the file cannot be read or is no study record.
pub fn report(results: &Path) -> Result<String, StudyError> {
    let path = if results.is_dir() { results.join("results.json") } else { results.to_owned() };
    let text = std::fs::read_to_string(&path).map_err(|source| StudyError::Io { path: path.clone(), source })?;
    let record =
        StudyRecord::from_json(&text).map_err(|error| StudyError::InvalidStudy { path, cause: error.to_string() })?;
    Ok(skimp_report::html::render(&record))
}

/// A study as text for a terminal of `width` columns (`None` for as wide as it takes): summary, comparison, layers.
pub fn study_text(record: &StudyRecord, width: Option<usize>) -> String {
    skimp_report::views::study_text(record, width)
}

/// The mappings of a simulation's layers as text for a terminal of `width` columns; empty where no design has any.
pub fn mapping_text(record: &SimulationRecord, width: Option<usize>) -> String {
    skimp_report::views::mapping_text(record, width)
}

/// A study's cycles and energies as CSV.
///
/// # Errors
/// [`StudyError::Report`] if the table cannot be written.
pub fn study_csv(record: &StudyRecord) -> Result<String, StudyError> {
    match &record.simulation {
        Some(simulation) => Ok(skimp_report::views::simulation_csv(simulation)?),
        None => Ok(String::new()),
    }
}
