//! A folder as a store: `NAME.toml` of each point that is done, and a folder `NAME` of each one that has begun.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skimp_report::write_atomic;
use skimp_train::checkpoint::{CHECKPOINT_FILE, seal, unseal};
use toml::Table;

use super::{KeptPoint, Store};
use crate::error::StudyError;

/// The schema of a point's file.
const SCHEMA: &str = "skimp.study-run/3";

/// Schemas of older versions that can still be read: /2 had neither time, failure nor figures.
const OLDER_SCHEMAS: &[&str] = &["skimp.study-run/2"];

/// The most bytes of a point's file: an epoch takes some hundred, a layer of a design some thousand.
const MAX_BYTES: u64 = 1 << 28;

/// The file of a point.
#[derive(Debug, Serialize, Deserialize)]
struct PointFile {
    schema: String,
    #[serde(flatten)]
    point: KeptPoint,
}

/// Points as files of a folder, each after a digest of all that it holds, so that one that was changed is refused.
#[derive(Clone, Debug)]
pub struct FolderStore {
    folder: PathBuf,
}

impl FolderStore {
    /// The store in that folder, which is made when the first point is done.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Names of the entries, without the ending of files of points, and whether they are such.
    fn entries(&self) -> Result<Vec<(String, bool)>, StudyError> {
        let failed = |source| StudyError::Io { path: self.folder.clone(), source };
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries.collect::<Result<Vec<_>, _>>().map_err(failed)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        let name = |entry: &std::fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            match name.strip_suffix(".toml") {
                Some(stem) => (stem.to_owned(), true),
                None => (name, false),
            }
        };
        let mut names: Vec<_> = entries.iter().map(name).collect();
        names.sort();
        Ok(names)
    }
}

impl Store for FolderStore {
    fn place(&self) -> &Path {
        &self.folder
    }

    fn place_of(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.toml"))
    }

    fn names(&self) -> Result<Vec<String>, StudyError> {
        Ok(self.entries()?.into_iter().filter(|(_, is_point)| *is_point).map(|(name, _)| name).collect())
    }

    /// Folders with a checkpoint; others are nobody's business here.
    fn begun(&self) -> Result<Vec<String>, StudyError> {
        let has_checkpoint = |name: &String| self.folder.join(name).join(CHECKPOINT_FILE).exists();
        let folders = self.entries()?.into_iter().filter(|(_, is_point)| !is_point).map(|(name, _)| name);
        Ok(folders.filter(has_checkpoint).collect())
    }

    fn read(&self, name: &str) -> Result<Option<KeptPoint>, StudyError> {
        let path = self.place_of(name);
        if !path.exists() {
            return Ok(None);
        }
        let text = skimp_files::read_own_to_string(&path, MAX_BYTES)
            .map_err(|source| StudyError::Io { path: path.clone(), source })?;
        let damaged = |cause: String| {
            let cause = format!("{cause}; remove the file to work its point out again");
            StudyError::Kept { path: path.clone(), cause }
        };
        let table: Table = toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
        let schema = table.get("schema").and_then(toml::Value::as_str).unwrap_or("nothing");
        if schema != SCHEMA && !OLDER_SCHEMAS.contains(&schema) {
            return Err(damaged(format!("schema: expected {SCHEMA}, found {schema}")));
        }
        let body = unseal(&text).map_err(damaged)?;
        let file: PointFile = toml::from_str(body).map_err(|error| damaged(error.message().to_owned()))?;
        Ok(Some(file.point))
    }

    fn write(&self, name: &str, point: &KeptPoint) -> Result<(), StudyError> {
        let path = self.place_of(name);
        std::fs::create_dir_all(&self.folder).map_err(|source| StudyError::Io { path: self.folder.clone(), source })?;
        let file = PointFile { schema: SCHEMA.to_owned(), point: point.clone() };
        let text = toml::to_string(&file)
            .map_err(|error| StudyError::Kept { path: path.clone(), cause: error.to_string() })?;
        Ok(write_atomic(&path, seal(&text).as_bytes())?)
    }

    fn remove(&self, name: &str) -> Result<(), StudyError> {
        let path = self.place_of(name);
        std::fs::remove_file(&path).map_err(|source| StudyError::Io { path, source })
    }

    fn workspace(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.join(name))
    }

    fn clear_workspace(&self, name: &str) {
        let _ = std::fs::remove_dir_all(self.folder.join(name));
    }
}
