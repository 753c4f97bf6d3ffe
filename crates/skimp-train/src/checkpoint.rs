//! Checkpoints: everything that a run needs to go on to the bit.
//!
//! A checkpoint is two files in one folder. `step-N.safetensors` holds the tensors: `param/NAME` and
//! `optimizer/SLOT/NAME` in the graph's order of elements, `buffer/NAME`, `policy/NUMBER/NAME` in f64, and what hooks of
//! parameters remember as `hook/NUMBER/NUMBER/NAME`. `checkpoint.toml` holds the rest, names the tensor file with its
//! digest, and has a digest of itself in its first line. Both are written whole or not at all, the second one last: until
//! it is replaced, the checkpoint before stands, and only then are its tensors removed. A full disk or a killed program
//! therefore never costs the last good checkpoint.

mod tensors;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::tensors::TensorFile;
use crate::optimizer::Optimizer;
use crate::policy::Policy;
use crate::trainer::EpochRecord;
use crate::{Model, TrainError};

/// The schema of `checkpoint.toml`.
pub const CHECKPOINT_SCHEMA: &str = "skimp.checkpoint/2";

/// The most bytes of `checkpoint.toml`: an epoch takes some hundred.
const MAX_HEADER_BYTES: u64 = 1 << 26;

/// Name of the file that makes a folder a checkpoint.
pub const CHECKPOINT_FILE: &str = "checkpoint.toml";

/// Where a run stands; all of a checkpoint but the tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunState {
    /// Steps done since the run began: the loader's position.
    pub step: u64,
    /// Updates the optimizer made; fewer than steps where a policy skipped some.
    pub n_updates: u64,
    /// Sums over the steps of the present epoch.
    pub epoch: EpochSums,
    /// Finished epochs.
    #[serde(default)]
    pub history: Vec<EpochRecord>,
}

/// Sums over the steps of an unfinished epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochSums {
    /// Sum over images of the loss.
    pub loss: f64,
    /// Images whose greatest logit is their label's.
    pub n_correct: u64,
    /// Images seen.
    pub n_images: u64,
    /// Steps that the policy skipped.
    pub skipped_steps: u64,
    /// Wall-clock time.
    pub seconds: f64,
}

/// `checkpoint.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    schema: String,
    skimp_version: String,
    /// Name of the tensor file, in the same folder.
    tensors: String,
    /// SHA-256 of the tensor file.
    tensors_sha256: String,
    /// Name of the precision policy.
    policy: String,
    state: RunState,
    /// The resolved configuration of the run.
    config: toml::Table,
}

/// A checkpoint that was read.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    header: Header,
    tensors: TensorFile,
}

/// The parts of a run whose tensors a checkpoint holds.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Parameters and buffers.
    pub model: &'a mut Model,
    /// State of the update rule.
    pub optimizer: &'a mut Optimizer,
    /// Scales and histories.
    pub policy: &'a mut dyn Policy,
}

/// Writes a checkpoint into `folder`, which is made if it is missing, and removes the one before.
///
/// # Errors
/// [`TrainError::Io`]; the checkpoint before is untouched then.
pub fn save(folder: &Path, parts: &Parts<'_>, state: &RunState, config: &toml::Table) -> Result<PathBuf, TrainError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| TrainError::Io { path, source }
    };
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    let bytes = tensors::encode(parts)?;
    let name = format!("step-{:08}.safetensors", state.step);
    let tensor_path = folder.join(&name);
    let was_there = tensor_path.exists();
    skimp_files::write(&tensor_path, |out| out.write_all(&bytes)).map_err(io(&tensor_path))?;
    let header = Header {
        schema: CHECKPOINT_SCHEMA.to_owned(),
        skimp_version: env!("CARGO_PKG_VERSION").to_owned(),
        tensors: name.clone(),
        tensors_sha256: sha256(&bytes),
        policy: parts.policy.name().to_owned(),
        state: state.clone(),
        config: config.clone(),
    };
    let path = folder.join(CHECKPOINT_FILE);
    let text = toml::to_string(&header)
        .map_err(|error| TrainError::Checkpoint { path: path.clone(), cause: error.to_string() })?;
    let written = skimp_files::write(&path, |out| out.write_all(seal(&text).as_bytes())).map_err(io(&path));
    if let Err(error) = written {
        if !was_there {
            // Best effort: the error that is reported is the one that matters.
            let _ = std::fs::remove_file(&tensor_path);
        }
        return Err(error);
    }
    remove_others(folder, &name);
    Ok(path)
}

/// Removes the tensor files of earlier checkpoints. Best effort: one that stays costs space, nothing else.
fn remove_others(folder: &Path, keep: &str) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let number = name.strip_prefix("step-").and_then(|name| name.strip_suffix(".safetensors"));
        let is_own = number.is_some_and(|n| n.len() >= 8 && n.bytes().all(|byte| byte.is_ascii_digit()));
        if is_own && name != keep {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

impl Checkpoint {
    /// Reads the checkpoint of `folder`; `None` if there is none.
    ///
    /// # Errors
    /// [`TrainError::Io`], or [`TrainError::Checkpoint`] naming the key or the tensor at which a file is damaged.
    pub fn load(folder: &Path) -> Result<Option<Self>, TrainError> {
        let path = folder.join(CHECKPOINT_FILE);
        let text = match skimp_files::read_own_to_string(&path, MAX_HEADER_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(TrainError::Io { path, source }),
        };
        let damaged = |path: &Path, cause: String| TrainError::Checkpoint { path: path.to_owned(), cause };
        let schema = toml::from_str::<toml::Table>(&text)
            .map_err(|error| damaged(&path, error.message().to_owned()))?
            .get("schema")
            .and_then(toml::Value::as_str)
            .unwrap_or("nothing")
            .to_owned();
        if schema != CHECKPOINT_SCHEMA {
            return Err(damaged(&path, format!("schema: expected {CHECKPOINT_SCHEMA}, found {schema}")));
        }
        let body = unseal(&text).map_err(|cause| damaged(&path, cause))?;
        let header: Header = toml::from_str(body).map_err(|error| damaged(&path, error.message().to_owned()))?;
        if header.tensors.contains(['/', '\\']) {
            return Err(damaged(&path, format!("tensors: expected a file beside it, found \"{}\"", header.tensors)));
        }
        let tensor_path = folder.join(&header.tensors);
        let bytes = skimp_files::read_own(&tensor_path, skimp_memory::budget().0)
            .map_err(|source| TrainError::Io { path: tensor_path.clone(), source })?;
        let tensors = TensorFile::parse(&bytes).map_err(|cause| damaged(&tensor_path, cause))?;
        let digest = sha256(&bytes);
        if digest != header.tensors_sha256 {
            let cause = format!("content has changed: expected SHA-256 {}, found {digest}", header.tensors_sha256);
            return Err(damaged(&tensor_path, cause));
        }
        // A process that was killed between the two files of a checkpoint leaves tensors that nothing names.
        remove_others(folder, &header.tensors);
        Ok(Some(Self { path, header, tensors }))
    }

    /// The file that was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved configuration of the run that wrote it.
    pub fn config(&self) -> &toml::Table {
        &self.header.config
    }

    /// Where that run stood.
    pub fn state(&self) -> &RunState {
        &self.header.state
    }

    /// Puts everything back.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] naming the tensor that is missing, too many or of another shape, as in a checkpoint
    /// of another network, optimizer or policy. `parts` may be half restored then.
    pub fn restore(mut self, parts: &mut Parts<'_>) -> Result<RunState, TrainError> {
        let path = self.path.with_file_name(&self.header.tensors);
        let damaged = |cause: String| TrainError::Checkpoint { path: path.clone(), cause };
        if self.header.policy != parts.policy.name() {
            let cause = format!("policy: expected {}, found {}", parts.policy.name(), self.header.policy);
            return Err(TrainError::Checkpoint { path: self.path, cause });
        }
        tensors::decode(&mut self.tensors, parts, self.header.state.n_updates).map_err(|error| match error {
            tensors::DecodeError::Tensor(cause) => damaged(cause),
            tensors::DecodeError::Policy(error) => *error,
        })?;
        Ok(self.header.state)
    }
}

/// A state file in TOML with its digest as the first line.
pub fn seal(body: &str) -> String {
    format!("{SEAL}{}\"\n{body}", sha256(body.as_bytes()))
}

/// What a state file holds, without the digest in its first line.
///
/// # Errors
/// What is wrong, if the digest is missing or not that of the rest: a number was changed, a line was lost.
pub fn unseal(text: &str) -> Result<&str, String> {
    let parts = text.strip_prefix(SEAL).and_then(|rest| rest.split_once("\"\n"));
    let (expected, body) = parts.ok_or("the first line is not the digest of the others")?;
    let found = sha256(body.as_bytes());
    if expected == found {
        return Ok(body);
    }
    Err(format!("content has changed: expected SHA-256 {expected}, found {found}"))
}

/// How the first line of a sealed file begins.
const SEAL: &str = "sha256 = \"";

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
