//! Results that are kept while a study goes, generic over its points: what a point is (name, configuration, how it runs) the
//! kind of study says, where outcomes lie a [`Store`] does.

pub(crate) mod desk;
pub(crate) mod folder;
pub(crate) mod json_text;
pub(crate) mod point;
pub(crate) mod progress;
pub(crate) mod queue;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::error::StudyError;

/// Where the outcomes of points are kept, by the points' names: the file system, a data base, memory.
///
/// A point is written as soon as it is done and whole or not at all, so that a process that is killed loses the points
/// under way and nothing else. Several processes may share a store whose writes are atomic: a point that two of them work
/// out has the same outcome. A store knows nothing of kinds of study.
pub trait Store: Sync {
    /// Where it lies, for messages.
    fn place(&self) -> &Path;

    /// Where a point lies, for messages.
    fn place_of(&self, name: &str) -> PathBuf;

    /// Names of the points that it holds, in order.
    ///
    /// # Errors
    /// [`StudyError::Io`] if the store cannot be read; so in all other methods.
    fn names(&self) -> Result<Vec<String>, StudyError>;

    /// Names of what it holds of points that were begun and are not done.
    ///
    /// # Errors
    /// As [`names`](Self::names).
    fn begun(&self) -> Result<Vec<String>, StudyError> {
        Ok(Vec::new())
    }

    /// A point, if it is there.
    ///
    /// # Errors
    /// As [`names`](Self::names); [`StudyError::Kept`] if it is damaged or of another schema.
    fn read(&self, name: &str) -> Result<Option<KeptPoint>, StudyError>;

    /// Keeps a point, in the place of what was kept under its name.
    ///
    /// # Errors
    /// As [`names`](Self::names).
    fn write(&self, name: &str, point: &KeptPoint) -> Result<(), StudyError>;

    /// Forgets a point.
    ///
    /// # Errors
    /// As [`names`](Self::names).
    fn remove(&self, name: &str) -> Result<(), StudyError>;

    /// A folder for what a point needs to go on from where it was stopped, such as checkpoints; it may not exist yet.
    /// `None`: points that are not done begin anew.
    fn workspace(&self, _name: &str) -> Option<PathBuf> {
        None
    }

    /// Clears the workspace of a point that is done, as well as can be: what stays costs space, nothing else.
    fn clear_workspace(&self, _name: &str) {}
}

/// What is kept of a point.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptPoint {
    /// Version of the program that made it.
    pub skimp_version: String,
    /// Whether a study that begins anew may throw it away without asking.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disposable: bool,
    /// Wall-clock time of the work that it came from, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Why the point failed, where that is its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The figures that points are compared by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
    /// What it brought, in the form of its kind of study.
    pub outcome: Table,
    /// What the outcome depends on: the resolved configuration of the point, digests of its inputs, the study's name.
    pub config: Table,
}

/// The first key at which the configuration of a point and the one that was `written` differ, as a sentence; keys that are
/// `free` may. Keys of tables are dotted.
pub(crate) fn difference(now: &Table, written: &Table, free: &[&str]) -> Option<String> {
    let (key, written, now) = first_difference(now, written, free, "")?;
    let show = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    Some(format!("it is of a run with {key} = {}, this run has {}", show(written), show(now)))
}

type Difference<'t> = (String, Option<&'t Value>, Option<&'t Value>);

fn first_difference<'t>(now: &'t Table, written: &'t Table, free: &[&str], prefix: &str) -> Option<Difference<'t>> {
    for key in now.keys().chain(written.keys().filter(|key| !now.contains_key(*key))) {
        let dotted = format!("{prefix}{key}");
        match (now.get(key), written.get(key)) {
            _ if free.contains(&dotted.as_str()) => {}
            (Some(Value::Table(now)), Some(Value::Table(written))) => {
                let found = first_difference(now, written, free, &format!("{dotted}."));
                if found.is_some() {
                    return found;
                }
            }
            (now, written) if now != written => return Some((dotted, written, now)),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
pub(crate) mod memory {
    //! A store in memory, for tests of what any store does.

    use std::sync::Mutex;

    use super::{BTreeMap, KeptPoint, Path, PathBuf, Store, StudyError};

    /// Points by name, and how many may be written before the power goes.
    #[derive(Debug)]
    pub(crate) struct Memory {
        pub(crate) points: Mutex<BTreeMap<String, KeptPoint>>,
        pub(crate) writes_left: Mutex<usize>,
    }

    impl Memory {
        pub(crate) fn new(writes_left: usize) -> Self {
            Self { points: Mutex::default(), writes_left: Mutex::new(writes_left) }
        }

        pub(crate) fn held(&self) -> Vec<String> {
            self.points.lock().unwrap().keys().cloned().collect()
        }
    }

    impl Store for Memory {
        fn place(&self) -> &Path {
            Path::new("memory")
        }

        fn place_of(&self, name: &str) -> PathBuf {
            self.place().join(name)
        }

        fn names(&self) -> Result<Vec<String>, StudyError> {
            Ok(self.held())
        }

        fn read(&self, name: &str) -> Result<Option<KeptPoint>, StudyError> {
            Ok(self.points.lock().unwrap().get(name).cloned())
        }

        fn write(&self, name: &str, point: &KeptPoint) -> Result<(), StudyError> {
            let mut left = self.writes_left.lock().unwrap();
            if *left == 0 {
                return Err(StudyError::Io { path: self.place_of(name), source: std::io::Error::other("killed") });
            }
            *left -= 1;
            self.points.lock().unwrap().insert(name.to_owned(), point.clone());
            Ok(())
        }

        fn remove(&self, name: &str) -> Result<(), StudyError> {
            self.points.lock().unwrap().remove(name);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_by_dotted_keys() {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let now = table("a = 1\n[data]\nset = \"x\"\nimages = 2\n");
        let found = |text: &str| difference(&now, &table(text), &["data.set"]);
        assert_eq!(found("a = 1\n[data]\nset = \"y\"\nimages = 2\n"), None);
        let text = found("a = 1\n[data]\nset = \"x\"\nimages = 3\n").unwrap();
        assert_eq!(text, "it is of a run with data.images = 3, this run has 2");
        let text = found("a = 1\nb = 2\n[data]\nset = \"x\"\nimages = 2\n").unwrap();
        assert_eq!(text, "it is of a run with b = 2, this run has nothing");
    }
}
