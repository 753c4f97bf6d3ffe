//! Where a reduction writes, and how it goes on after it was stopped.

use std::path::{Path, PathBuf};

use serde::Serialize;
use skimp_files::Lock;
use skimp_reduce::Runs;
use skimp_report::check_folder;
use skimp_train::TrainError;
use skimp_train::checkpoint::{CHECKPOINT_FILE, Checkpoint};
use toml::{Table, Value};

use crate::error::StudyError;
use crate::inputs::config::DataConfig;
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::store::difference;
use crate::train::LOCK_FILE;
use crate::train::config::TrainConfig;

/// Where a reduction writes, and whether it goes on: nothing here changes the result.
///
/// A path alone stands for a run that keeps no checkpoints.
#[derive(Clone, Debug, Default)]
pub struct ReduceRun {
    /// The reduced network, an ONNX file; nothing is written where none is given.
    pub output: Option<PathBuf>,
    /// Folder of checkpoints, with one in it for each training run; none are kept where none is given.
    pub folder: Option<PathBuf>,
    /// Go on from the folder's checkpoints if there are any.
    pub resume: bool,
    /// Steps between two checkpoints within an epoch; one at the end of each epoch otherwise.
    pub checkpoint_every: Option<u64>,
}

impl From<Option<&Path>> for ReduceRun {
    fn from(output: Option<&Path>) -> Self {
        Self { output: output.map(Path::to_owned), ..Self::default() }
    }
}

impl From<&Path> for ReduceRun {
    fn from(output: &Path) -> Self {
        Some(output).into()
    }
}

/// Keys of an [`identity`] in which a run that goes on may differ from the one that was stopped: lengths of what comes
/// last, and what is only measured.
const FREE: [&str; 2] = ["finetune", "latency_batch"];

/// A folder of checkpoints that is this run's alone until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenRuns {
    pub(crate) runs: Runs,
    _lock: Lock,
}

impl ReduceRun {
    /// Opens the folder, if there is one, and checks that what lies there is of this run: better now than after it.
    ///
    /// # Errors
    /// [`StudyError::Begun`] for checkpoints where none were expected, [`TrainError::Checkpoint`] naming what differs for
    /// those of another run, [`StudyError::Io`] for a folder that is in use or cannot be written to.
    pub(crate) fn open(
        &self,
        free: &[&str],
        identity: impl FnOnce() -> Result<Table, StudyError>,
    ) -> Result<Option<OpenRuns>, StudyError> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let failed = |source| StudyError::Io { path: folder.clone(), source };
        if let Some(output) = &self.output {
            skimp_files::check(output).map_err(|source| StudyError::Io { path: output.clone(), source })?;
        }
        skimp_files::make_folder(folder).map_err(failed)?;
        let lock = skimp_files::lock(&folder.join(LOCK_FILE)).map_err(failed)?;
        let first = Runs::folder(folder, 1);
        let config = identity()?;
        // A run of `skimp train` has its checkpoint in the folder itself.
        let begun = [folder, &first].map(|folder| folder.join(CHECKPOINT_FILE)).into_iter().find(|path| path.exists());
        match begun {
            None => check_folder(folder)?,
            Some(path) if !self.resume => {
                let (what, folder) = ("a checkpoint of another run", folder.clone());
                return Err(StudyError::Begun { path, what, folder });
            }
            Some(path) => {
                let written = path.parent().map(Checkpoint::load).transpose()?.flatten();
                let free: Vec<&str> = FREE.iter().chain(free).copied().collect();
                if let Some(cause) = written.and_then(|written| difference(&config, written.config(), &free)) {
                    return Err(TrainError::Checkpoint { path, cause }.into());
                }
            }
        }
        Ok(Some(OpenRuns { runs: Runs::new(folder.clone(), self.checkpoint_every, config), _lock: lock }))
    }
}

/// All that decides what comes out of a reduction: its configuration, its recipe, how images reach the network, and the
/// digests of what was read. Places of files are left out.
pub(crate) fn identity(
    command: &str,
    config: &impl Serialize,
    training: &TrainConfig,
    data: Option<&DataConfig>,
    networks: &[(&str, &Network)],
    images: &[(&str, &Images)],
) -> Result<Table, StudyError> {
    let mut table = Table::try_from(config)?;
    table.insert("command".to_owned(), command.into());
    table.insert("training".to_owned(), Value::Table(Table::try_from(training)?));
    if let Some(data) = data {
        let data = DataConfig { set: String::new(), ..data.clone() };
        table.insert("data".to_owned(), Value::Table(Table::try_from(data)?));
    }
    let mut inputs = Table::new();
    for (name, network) in networks {
        inputs.insert(format!("{name}_sha256"), network.sha256.clone().into());
    }
    for (name, images) in images {
        inputs.insert(format!("{name}_sha256"), images.dataset().digest()?.into());
        inputs.insert(format!("{name}_preprocess"), images.preprocess_name().into());
    }
    table.insert("inputs".to_owned(), Value::Table(inputs));
    Ok(table)
}
