//! A study of any kind, run and written.

use std::path::PathBuf;

use skimp_report::{StudyRecord, check_folder, write_study};

use crate::error::StudyError;
use crate::monitor::Monitor;
use crate::store::Store;
use crate::store::desk::Desk;
use crate::store::folder::FolderStore;
use crate::studies::config::StudyConfig;
use crate::train::LOCK_FILE;

/// Where a study writes, and whether it goes on: nothing here changes the results.
#[derive(Clone, Debug, Default)]
pub struct StudyRun {
    /// Folder of the report. The study keeps its points in the folder `runs` in it.
    pub folder: PathBuf,
    /// Take up what is kept in the folder, or start if there is nothing.
    pub resume: bool,
}

/// Runs a study and writes its folder: report.html, results.json, CSV tables and the resolved configuration.
///
/// Each point is written as soon as it is done: killed and resumed, a study ends with the same record as one that was not,
/// except for the time it took.
///
/// # Errors
/// [`StudyError`]; the folder is checked before the run starts, and each file is written whole or not at all.
/// [`StudyError::Io`] if another run writes there, or if a file of the folder is an input of the study or not of skimp's.
/// [`StudyError::Begun`] if the folder holds points that took long to make and `resume` is not set, [`StudyError::Kept`] if
/// those that are kept are of another study or another configuration.
pub fn run_study(config: &StudyConfig, run: &StudyRun, monitor: &dyn Monitor) -> Result<StudyRecord, StudyError> {
    // Better now than after the run.
    let failed = |source| StudyError::Io { path: run.folder.clone(), source };
    skimp_files::make_folder(&run.folder).map_err(failed)?;
    let _lock = skimp_files::lock(&run.folder.join(LOCK_FILE)).map_err(failed)?;
    check_folder(&run.folder)?;
    let store = FolderStore::new(run.folder.join("runs"));
    let record = study_in(config, &store, run.resume, monitor)?;
    monitor.stage("writing the report", 1);
    write_study(&run.folder, &record)?;
    monitor.advance(1);
    Ok(record)
}

/// Runs a study in memory.
///
/// # Errors
/// [`StudyError`] naming the file, node, layer or setting.
pub fn study(config: &StudyConfig, monitor: &dyn Monitor) -> Result<StudyRecord, StudyError> {
    run_at(config, &Desk::new(&config.header.name, None, monitor))
}

/// Runs a study whose points are kept in `store`, and found there if it is to `resume`.
///
/// # Errors
/// As [`run_study`].
pub fn study_in(
    config: &StudyConfig,
    store: &dyn Store,
    resume: bool,
    monitor: &dyn Monitor,
) -> Result<StudyRecord, StudyError> {
    let desk = Desk::new(&config.header.name, Some(store), monitor);
    if !resume {
        desk.begin_anew()?;
    }
    run_at(config, &desk)
}

fn run_at(config: &StudyConfig, desk: &Desk<'_>) -> Result<StudyRecord, StudyError> {
    let record = config.plan.run(&config.header, desk)?;
    filled_in(config, record)
}

/// The record with what is the same for all kinds.
pub(crate) fn filled_in(config: &StudyConfig, record: StudyRecord) -> Result<StudyRecord, StudyError> {
    let header = &config.header;
    Ok(StudyRecord {
        kind: config.plan.kind().to_owned(),
        name: header.name.clone(),
        title: header.title_of(&record.model_name, &record.data_name),
        subject: header.subject.clone(),
        config_toml: config.to_toml()?,
        ..record
    })
}
