//! What a study leaves in its folder, one file here per kind.

use std::path::{Path, PathBuf};

mod config;
mod csv;
mod html;
mod json;

use crate::{ReportError, StudyRecord, write_atomic};

/// Turns a study into files.
pub trait Writer: Sync {
    /// Unique name, kebab-case.
    fn name(&self) -> &'static str;

    /// What it writes, in one line.
    fn summary(&self) -> &'static str;

    /// Names of all files that it may write.
    fn file_names(&self) -> Vec<&'static str>;

    /// The files, in the order in which they are written.
    ///
    /// # Errors
    /// [`ReportError::Encode`] if the record cannot be expressed in the format.
    fn files(&self, study: &StudyRecord) -> Result<Vec<OutputFile>, ReportError>;
}

/// A file that a writer made, still in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Name inside the study's folder.
    pub name: &'static str,
    /// The content.
    pub text: String,
}

/// Every writer. The record comes first: it makes the folder skimp's ([`check_folder`]). The report comes last: once it is
/// there, everything is.
pub static WRITERS: &[&dyn Writer] = &[&json::Json, &config::Config, &csv::Csv, &html::Html];

/// Writes everything that [`WRITERS`] make of a study into an existing folder and returns the paths.
///
/// Files of the same names are replaced, and those that another study left under names of [`WRITERS`] go. Each file is either
/// complete or absent.
///
/// # Errors
/// [`ReportError::Encode`] before anything is written, [`ReportError::Io`] naming the file that failed.
pub fn write_study(folder: &Path, study: &StudyRecord) -> Result<Vec<PathBuf>, ReportError> {
    let paths = write_files(folder, study, write_atomic)?;
    let names = WRITERS.iter().flat_map(|writer| writer.file_names());
    for path in names.map(|name| folder.join(name)).filter(|path| !paths.contains(path)) {
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(ReportError::Io { path, source });
            }
            _ => {}
        }
    }
    Ok(paths)
}

/// As [`write_study`], for a study that goes on and is looked at meanwhile: does not wait for the disk
/// ([`skimp_files::refresh`]).
///
/// # Errors
/// As [`write_study`].
pub fn refresh_study(folder: &Path, study: &StudyRecord) -> Result<Vec<PathBuf>, ReportError> {
    write_files(folder, study, |path, bytes| {
        skimp_files::refresh(path, |out| out.write_all(bytes))
            .map_err(|source| ReportError::Io { path: path.to_owned(), source })
    })
}

/// Checks before a run that [`write_study`] replaces no input of the run, and nothing that skimp did not write: where
/// `folder` holds a study's record, its files are of a study.
///
/// # Errors
/// [`ReportError::Io`] naming the file, with a [`skimp_files::Refusal`].
pub fn check_folder(folder: &Path) -> Result<(), ReportError> {
    let is_of_study = skimp_files::is_record(&folder.join(json::FILE));
    let is_own =
        |path: &Path| is_of_study && (path.extension().is_none_or(|end| end != "html") || html::is_report(path));
    for name in WRITERS.iter().flat_map(|writer| writer.file_names()) {
        let path = folder.join(name);
        if path.symlink_metadata().is_err() {
            continue;
        }
        let checked = skimp_files::check_own(&path, is_own).and_then(|()| skimp_files::check(&path));
        checked.map_err(|source| ReportError::Io { path, source })?;
    }
    Ok(())
}

fn write_files(
    folder: &Path,
    study: &StudyRecord,
    write: impl Fn(&Path, &[u8]) -> Result<(), ReportError>,
) -> Result<Vec<PathBuf>, ReportError> {
    let mut files = Vec::new();
    for writer in WRITERS {
        files.extend(writer.files(study)?);
    }
    let mut paths = Vec::with_capacity(files.len());
    for file in files {
        let path = folder.join(file.name);
        write(&path, file.text.as_bytes())?;
        paths.push(path);
    }
    Ok(paths)
}
