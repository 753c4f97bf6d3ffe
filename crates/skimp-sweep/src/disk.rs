//! What stages made, kept on disk where a run asks for it: what takes long and is small.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use skimp_report::records::InputDigest;
use skimp_report::write_atomic;

use crate::error::SweepError;
use crate::stages::{Key, key};
use skimp_study::StudyError;

/// Results of another form have other names.
const SCHEMA: u32 = 1;

/// Longer files are none of ours.
const MAX_BYTES: u64 = 4 << 30;

/// What stages may keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caching {
    /// Bytes of memory, together.
    pub bytes: u64,
    /// A folder in which reduced networks, ranges and accuracies outlive the run; several runs may share it.
    pub folder: Option<PathBuf>,
}

impl Default for Caching {
    /// A gibibyte of memory, and nothing on disk.
    fn default() -> Self {
        Self { bytes: crate::stages::DEFAULT_CACHE_BYTES, folder: None }
    }
}

/// Bytes of the digest that a file begins with.
const DIGEST: usize = 32;

/// The folder. Each result is a file, named after a digest of all that it depends on: contents, not places. A file is
/// written whole or not at all, so runs may share a folder; it begins with the SHA-256 digest of what follows, and one that is
/// damaged is made again.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    /// The first thing that could not be kept, and why.
    fault: Mutex<Option<String>>,
    /// How many results of each stage were there.
    found: Mutex<BTreeMap<&'static str, u64>>,
}

/// How a result is read from bytes and written as such; neither where it has no such form.
pub(crate) struct Form<'f, T> {
    /// The stage, which begins the file's name.
    pub(crate) stage: &'static str,
    pub(crate) read: &'f dyn Fn(Vec<u8>) -> Option<T>,
    pub(crate) write: &'f dyn Fn(&T) -> Option<Vec<u8>>,
}

impl Disk {
    /// Opens a folder, and makes it where it is not there.
    pub(crate) fn open(folder: &Path) -> Result<Self, SweepError> {
        skimp_files::make_folder(folder)
            .map_err(|source| SweepError::Study(StudyError::Io { path: folder.to_owned(), source }))?;
        Ok(Self { folder: folder.to_owned(), fault: Mutex::default(), found: Mutex::default() })
    }

    /// The result of a stage that depends on `own` and on the content of `inputs`, from its file, or made and kept.
    pub(crate) fn get<T, E>(
        &self,
        own: &Key,
        inputs: &[InputDigest],
        form: &Form<'_, T>,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let contents: Vec<&str> = inputs.iter().map(|input| input.sha256.as_str()).collect();
        let name = key(&(SCHEMA, env!("CARGO_PKG_VERSION"), form.stage, own, contents));
        let path = self.folder.join(format!("{}-{name}", form.stage));
        if let Some(found) = whole(&path).and_then(form.read) {
            *self.found.lock().unwrap_or_else(PoisonError::into_inner).entry(form.stage).or_default() += 1;
            return Ok(found);
        }
        let made = make()?;
        if let Some(bytes) = (form.write)(&made)
            && let Err(error) = write_atomic(&path, &[&Sha256::digest(&bytes)[..], &bytes].concat())
        {
            let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
            fault.get_or_insert_with(|| error.to_string());
        }
        Ok(made)
    }

    /// How many results of a stage were read.
    pub(crate) fn found(&self, stage: &str) -> u64 {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).get(stage).copied().unwrap_or_default()
    }

    /// Why a result could not be kept, if one could not.
    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a file holds behind its digest; `None` where that is another, or there is no file. It is not read as an input of the
/// run, which may not be replaced.
fn whole(path: &Path) -> Option<Vec<u8>> {
    let is_ours = std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= MAX_BYTES);
    let mut bytes = is_ours.then(|| std::fs::read(path).ok()).flatten()?;
    let held = bytes.split_off(DIGEST.min(bytes.len()));
    (Sha256::digest(&held)[..] == bytes[..]).then_some(held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn number(disk: &Disk, own: &str, content: &str, made: &Cell<u32>) -> f64 {
        let form = Form {
            stage: "accuracy",
            read: &|bytes| serde_json::from_slice::<u64>(&bytes).ok().map(f64::from_bits),
            write: &|value: &f64| serde_json::to_vec(&value.to_bits()).ok(),
        };
        let input = InputDigest { path: "somewhere".into(), sha256: content.into(), ..InputDigest::default() };
        let make = || {
            made.set(made.get() + 1);
            Ok::<_, ()>(0.1 * f64::from(made.get()))
        };
        disk.get(&Key::named(own), &[input], &form, make).unwrap()
    }

    #[test]
    fn results_outlive_the_run_and_depend_on_contents() {
        let folder = tempfile::tempdir().unwrap();
        let made = Cell::new(0);
        let disk = Disk::open(&folder.path().join("in/here")).unwrap();
        let first = number(&disk, "a", "x", &made);
        let again = Disk::open(&folder.path().join("in/here")).unwrap();
        assert_eq!(number(&again, "a", "x", &made).to_bits(), first.to_bits());
        number(&again, "a", "y", &made);
        number(&again, "b", "x", &made);
        assert_eq!((made.get(), again.found("accuracy"), again.found("network")), (3, 1, 0));
        // What is damaged is made again: cut, or with another digit.
        for (idx, file) in std::fs::read_dir(folder.path().join("in/here")).unwrap().enumerate() {
            let path = file.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            let last = bytes.pop().unwrap();
            bytes.extend((idx > 0).then_some(last ^ 1));
            std::fs::write(path, bytes).unwrap();
        }
        number(&again, "a", "x", &made);
        assert_eq!((made.get(), again.fault()), (4, None));
        number(&again, "a", "x", &made);
        assert_eq!(made.get(), 4);
        // A folder that is gone: the result is there all the same, and the fault is known.
        std::fs::remove_dir_all(folder.path().join("in")).unwrap();
        number(&again, "a", "x", &made);
        assert!(made.get() == 5 && again.fault().is_some());
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        Disk::open(&file).unwrap_err();
    }
}
