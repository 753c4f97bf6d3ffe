//! What is kept of a study's runs: `NAME.toml` of each finished one, and a folder `NAME` with the checkpoint of each one
//! that has begun.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skimp_report::write_atomic;
use skimp_train::TrainError;
use skimp_train::checkpoint::{Checkpoint, seal, unseal};
use skimp_train::trainer::CheckpointConfig;
use toml::Table;

use super::Place;
use super::run::{Outcome, Run};
use crate::error::StudyError;
use crate::train::data::Data;
use crate::train::identity::{Identity, difference};

/// The schema of a finished run's file.
const RUN_SCHEMA: &str = "skimp.study-run/2";

/// The most bytes of a finished run's file: an epoch takes some hundred.
const MAX_BYTES: u64 = 1 << 26;

/// The key of the study's name in configurations.
const STUDY: &str = "study";

/// The file of a finished run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunFile {
    schema: String,
    skimp_version: String,
    outcome: Outcome,
    /// The resolved configuration of the run, with the digests of its inputs and the study's name.
    config: Table,
}

/// The folder `runs` of a study.
#[derive(Debug)]
pub(crate) struct Kept {
    folder: PathBuf,
    study: String,
}

impl Kept {
    /// Looks at the folder: empty unless the study is resumed, and then of this study.
    pub(crate) fn open(study: &str, place: Place<'_>, runs: &[Run]) -> Result<Self, StudyError> {
        let kept = Self { folder: place.folder.join("runs"), study: study.to_owned() };
        let present = kept.entries()?;
        if !place.resume && !present.is_empty() {
            return Err(StudyError::Usage(format!(
                "{}: there are runs of a study that was begun; use --resume to go on, or remove the folder to begin anew",
                kept.folder.display()
            )));
        }
        let own = |path: &PathBuf| runs.iter().any(|run| *path == kept.file(run));
        for path in present.iter().filter(|path| path.extension().is_some_and(|end| end == "toml") && !own(path)) {
            let written = read(path)?.config;
            if written.get(STUDY).and_then(toml::Value::as_str) != Some(study) {
                let other =
                    written.get(STUDY).map_or_else(|| "another study".to_owned(), |name| format!("study {name}"));
                let cause = format!("it is of {other}, this is study \"{study}\"; write to another folder");
                return Err(TrainError::Checkpoint { path: path.clone(), cause }.into());
            }
        }
        Ok(kept)
    }

    fn entries(&self) -> Result<Vec<PathBuf>, StudyError> {
        let failed = |source| StudyError::Io { path: self.folder.clone(), source };
        let mut paths = match std::fs::read_dir(&self.folder) {
            Ok(entries) => {
                entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        paths.sort();
        Ok(paths)
    }

    /// Where the run files lie.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn file(&self, run: &Run) -> PathBuf {
        self.folder.join(format!("{}.toml", run.name))
    }

    /// The folder of a run's checkpoint.
    fn checkpoints(&self, run: &Run) -> PathBuf {
        self.folder.join(&run.name)
    }

    /// Configuration and inputs of a run, as its files hold them.
    fn table(&self, identity: &Identity) -> Result<Table, StudyError> {
        let mut table = identity.table()?;
        table.insert(STUDY.to_owned(), self.study.clone().into());
        Ok(table)
    }

    /// Checks that a file was written by the run it is read for. Network and data may have moved.
    fn check(&self, path: &Path, now: &Table, written: &Table) -> Result<(), StudyError> {
        match difference(now, written, &["data", "network"]) {
            None => Ok(()),
            Some(cause) => {
                let folder = self.folder.display();
                let cause = format!("{cause}; remove {folder} to begin anew, or write to another folder");
                Err(TrainError::Checkpoint { path: path.to_owned(), cause }.into())
            }
        }
    }

    /// Where a run puts its checkpoints, and the one that it left there.
    pub(crate) fn begin(
        &self,
        run: &Run,
        identity: &Identity,
    ) -> Result<(CheckpointConfig, Option<Checkpoint>), StudyError> {
        let place =
            CheckpointConfig { folder: self.checkpoints(run), every_steps: None, config: self.table(identity)? };
        let checkpoint = Checkpoint::load(&place.folder)?;
        if let Some(checkpoint) = &checkpoint {
            self.check(checkpoint.path(), &place.config, checkpoint.config())?;
        }
        Ok((place, checkpoint))
    }

    /// The outcome of a run that is finished.
    pub(crate) fn finished(&self, run: &Run, data: &Data) -> Result<Option<Outcome>, StudyError> {
        let path = self.file(run);
        if !path.exists() {
            return Ok(None);
        }
        let file = read(&path)?;
        let (_, _, identity) = run.inputs(data)?;
        self.check(&path, &self.table(&identity)?, &file.config)?;
        // A process that was killed between the two leaves it. Best effort, as in `finish`.
        let _ = std::fs::remove_dir_all(self.checkpoints(run));
        Ok(Some(file.outcome))
    }

    /// Keeps a finished run; its checkpoint is needed no more.
    pub(crate) fn finish(&self, run: &Run, identity: &Identity, outcome: &Outcome) -> Result<(), StudyError> {
        let path = self.file(run);
        std::fs::create_dir_all(&self.folder).map_err(|source| StudyError::Io { path: self.folder.clone(), source })?;
        let file = RunFile {
            schema: RUN_SCHEMA.to_owned(),
            skimp_version: env!("CARGO_PKG_VERSION").to_owned(),
            outcome: outcome.clone(),
            config: self.table(identity)?,
        };
        let text = toml::to_string(&file)
            .map_err(|error| TrainError::Checkpoint { path: path.clone(), cause: error.to_string() })?;
        write_atomic(&path, seal(&text).as_bytes())?;
        // Best effort: what stays costs space, nothing else.
        let _ = std::fs::remove_dir_all(self.checkpoints(run));
        Ok(())
    }
}

fn read(path: &Path) -> Result<RunFile, StudyError> {
    let text = skimp_files::read_own_to_string(path, MAX_BYTES)
        .map_err(|source| StudyError::Io { path: path.to_owned(), source })?;
    let damaged = |cause: String| TrainError::Checkpoint { path: path.to_owned(), cause };
    let table: Table = toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
    let schema = table.get("schema").and_then(toml::Value::as_str).unwrap_or("nothing");
    if schema != RUN_SCHEMA {
        return Err(damaged(format!("schema: expected {RUN_SCHEMA}, found {schema}")).into());
    }
    let body = unseal(&text).map_err(damaged)?;
    Ok(toml::from_str(body).map_err(|error| damaged(error.message().to_owned()))?)
}
