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

/// Every writer. The report comes last: once it is there, everything is.
pub static WRITERS: &[&dyn Writer] = &[&config::Config, &json::Json, &csv::Csv, &html::Html];

/// Writes everything that [`WRITERS`] make of a study into an existing folder and returns the paths.
///
/// Files of the same names are replaced. Each file is either complete or absent.
///
/// # Errors
/// [`ReportError::Encode`] before anything is written, [`ReportError::Io`] naming the file that failed.
pub fn write_study(folder: &Path, study: &StudyRecord) -> Result<Vec<PathBuf>, ReportError> {
    write_files(folder, study, write_atomic)
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
