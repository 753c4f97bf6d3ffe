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

pub use skimp_files::is_waiting;
pub use skimp_memory::{OutOfMemory, Size};

/// Most threads that [`set_threads`] starts: each takes memory and a handle of the system.
pub const MAX_THREADS: usize = 1024;

/// Uses `n_threads` threads for everything that runs in parallel. Results do not depend on it.
///
/// # Errors
/// [`StudyError::Usage`] if the threads were set or used before, or for 0 or more than [`MAX_THREADS`].
pub fn set_threads(n_threads: usize) -> Result<(), StudyError> {
    if !(1..=MAX_THREADS).contains(&n_threads) {
        return Err(StudyError::Usage(format!("{n_threads} threads, expected 1 to {MAX_THREADS}")));
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .build_global()
        .map_err(|error| StudyError::Usage(format!("cannot use {n_threads} threads: {error}")))
}

/// Sets what memory a run may take; by default three quarters of the machine, or of the container it runs in.
pub fn set_memory(budget: Size) {
    skimp_memory::set_budget(budget);
}

/// Turns on, for the rest of the process, that no result replaces a file that was read, a result of the same run, or a
/// file of the user's in a folder of results; with `force`, only that no two results are one file. For programs; a
/// library that does not call it writes what it is told to.
pub fn guard_files(force: bool) {
    skimp_files::guard(force);
}

/// Notes what a run will read before it does, so that [`claim_file`] knows: a network, a configuration, or any file. What
/// is no file, such as the name of a network, is nobody's input.
pub fn note_input(path: &Path) {
    skimp_files::note_input(path);
}

/// [`note_input`] for a data set as it is named, `NAME:DIR` or `NAME:FILE,FILE`.
pub fn note_data(spec: &str) {
    let Some((_, places)) = spec.split_once(':') else { return };
    // A folder's name may hold commas.
    for place in [places].into_iter().chain(places.split(',')).map(Path::new) {
        if place.is_dir() {
            skimp_files::note_input_folder(place);
        } else {
            skimp_files::note_input(place);
        }
    }
}

/// Says before a run that its result `what` will be written to `path`, and checks that it can be.
///
/// # Errors
/// [`StudyError::Io`] naming the path: a folder that is missing or cannot be written to, or where files are guarded
/// ([`guard_files`]) an input or another result in its place.
pub fn claim_file(path: &Path, what: &str) -> Result<(), StudyError> {
    let failed = |source| StudyError::Io { path: path.to_owned(), source };
    skimp_files::claim(path, what).map_err(failed)?;
    skimp_files::check(path).map_err(failed)
}

/// Writes a file whole or not at all.
///
/// # Errors
/// [`StudyError::Report`] naming the path.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), StudyError> {
    Ok(skimp_report::write_atomic(path, bytes)?)
}

/// The HTML report of a finished study, from its results.json or its folder.
///
/// # Errors
/// [`StudyError`] if the file cannot be read or is no study record.
pub fn report(results: &Path) -> Result<String, StudyError> {
    let path = if results.is_dir() { results.join("results.json") } else { results.to_owned() };
    let text = skimp_files::read_to_string(&path, skimp_memory::budget().0)
        .map_err(|source| StudyError::Io { path: path.clone(), source })?;
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
