//! The public API of skimp: one type for each stage, one call for each command.
//!
//! A [`Network`] is bound to [`Images`]; it becomes [`Calibrated`], then [`Quantized`], [`Traced`] and [`Simulated`], and a
//! simulation under a cost table is [`Priced`]. Whoever calls keeps each result and uses it again: ranges give networks of
//! many widths, a traced network is simulated on many designs without running again, and a simulation is priced under many
//! tables without simulating again.
//!
//! ```
//! use skimp::{CostsConfig, DataConfig, Design, LayersConfig, Network, QuantizationConfig, Silent};
//!
//! let network = Network::open("sample-resnet")?;
//! let images = network.images(&DataConfig { set: "sample".into(), ..DataConfig::default() })?;
//! let calibrated = network.calibrate(&images, 16, &Silent)?;
//! let bits = |bits| QuantizationConfig { weight_bits: bits, activation_bits: bits, ..QuantizationConfig::default() };
//! let quantized = calibrated.quantize(&bits(8), &Silent)?;
//! assert!(quantized.accuracy(&images, 100, &Silent)?.top1 > 0.8);
//!
//! let traced = quantized.trace(&images, 1, &LayersConfig::default(), &Silent)?;
//! let simulated = traced.simulate(&[Design::named("dadiannao")?, Design::named("cnvlutin")?], &Silent)?;
//! for costs in [CostsConfig::Paper, CostsConfig::Common] {
//!     let priced = simulated.price(&costs)?;
//!     let [dense, sparse] = [0, 1].map(|idx| priced.record.accelerators[idx].total.energy_mj);
//!     assert!(sparse < dense);
//! }
//! # Ok::<(), skimp::StudyError>(())
//! ```
//!
//! [`Network::training`] trains in memory. [`inspect()`], [`evaluate()`], [`simulate()`], [`train()`] and [`run_study`] do
//! what the commands of these names do, several stages at once: [`simulate()`] keeps nothing of an image that all designs
//! have seen, so it takes less memory than [`Traced`].
//!
//! Every call that may take long has a [`Monitor`]: [`Silent`], a closure as [`Callback`], or a [`Cancel`] that stops it.
//! [`with_threads`] limits the threads of one call. Errors are [`StudyError`]s, whose variants carry what a program needs to
//! act on them; the errors inside it are re-exported, too.
//!
//! Programs to begin with are in `examples/programs`. The crates below are re-exported under short names for those who need
//! more than the stages.

mod catalog;
pub mod flags;
mod progress;
mod threads;

use std::path::Path;

pub use skimp_cpu as cpu;
pub use skimp_data as data;
pub use skimp_digital as digital;
pub use skimp_graph as graph;
pub use skimp_numerics as numerics;
pub use skimp_quant as quant;
pub use skimp_reduce as reduction;
pub use skimp_report as reporting;
pub use skimp_sim as sim;
pub use skimp_study::*;
pub use skimp_sweep as sweeps;
pub use skimp_train as training;

pub use crate::catalog::{list, lists, names, show, shown_names};
pub use crate::progress::{Callback, Cancel, Progress};
pub use crate::threads::{MAX_THREADS, set_threads, threads, with_threads};
pub use skimp_data::{DataError, Dataset, Preprocess, Samples};
pub use skimp_graph::{Graph, GraphError, Tensor};
pub use skimp_quant::QuantError;
pub use skimp_report::{ReportError, SimulationRecord, StudyRecord};
pub use skimp_sim::{CostTable, SimError};
pub use skimp_sweep::{OptimizeConfig, SweepConfig, SweepError, SweepRun, SweepSummary, optimize, sweep};
pub use skimp_train::TrainError;

pub use skimp_files::is_waiting;
pub use skimp_memory::{OutOfMemory, Size};

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

/// The HTML report of a finished study, from its results.json or its folder, or of a sweep, from its folder.
///
/// # Errors
/// [`StudyError`] if the file cannot be read or is no study record; [`SweepError`] if a sweep's store cannot be read.
pub fn report(results: &Path) -> Result<String, SweepError> {
    if results.join(sweeps::STORE_FILE).is_file() || results.file_name().is_some_and(|name| name == sweeps::STORE_FILE)
    {
        return Ok(skimp_report::html::render_sweep(&sweeps::stored_sweep(results)?));
    }
    Ok(study_report(results)?)
}

fn study_report(results: &Path) -> Result<String, StudyError> {
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

/// A study as one CSV table: of a simulation cycles and energies by layer, of another study its first table.
///
/// # Errors
/// [`StudyError::Report`] if the table cannot be written.
pub fn study_csv(record: &StudyRecord) -> Result<String, StudyError> {
    Ok(skimp_report::views::study_csv(record)?)
}

/// An error with its causes, as the command line prints it.
#[must_use]
pub fn error_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        // Library messages already quote their cause; add only what is new.
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
        source = error.source();
    }
    message
}
