//! The points of a study.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Table;

use super::queue::Bench;
use crate::error::StudyError;

/// One point: what is computed, kept and found again on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Unique name, fit for a file; see [`slug`].
    pub name: String,
    /// Name for people.
    pub label: String,
}

/// How the points of a study run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One job after the other; each tells the monitor its own stages.
    InTurn,
    /// Side by side, as one stage.
    SideBySide {
        /// What is done, for people: `training`.
        what: &'static str,
        /// Steps of each point.
        n_steps: u64,
        /// Bytes that a point takes while it runs.
        memory: u64,
    },
}

/// The points of a study that is about to run: its inputs are open.
pub trait Points: Sync {
    /// What a point brings.
    type Outcome: Serialize + DeserializeOwned + Send;

    /// The points, in the order of the report.
    fn points(&self) -> &[Point];

    /// All that the outcome of a point depends on: its resolved configuration and the digests of its inputs. A kept outcome
    /// is taken for the point's only where it was written with the same.
    ///
    /// # Errors
    /// [`StudyError`] if an input cannot be read.
    fn identity(&self, idx: usize) -> Result<Table, StudyError>;

    /// Keys of the identity that may differ, dotted: where inputs lie, whose digests stand beside.
    fn free_keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether what is kept is soon made again: a study that begins anew throws it away without asking.
    fn is_disposable(&self) -> bool {
        false
    }

    /// How they run.
    fn pace(&self) -> Pace {
        Pace::InTurn
    }

    /// The points `open` in groups that are worked out together; each on its own unless a kind says otherwise.
    fn jobs(&self, open: Vec<usize>) -> Vec<Vec<usize>> {
        open.into_iter().map(|idx| vec![idx]).collect()
    }

    /// Works out a group of points and hands each in at the `bench` as soon as it is done.
    ///
    /// # Errors
    /// [`StudyError`] if the study cannot go on. The failure of a point that others do not share is an outcome.
    fn run(&self, job: &[usize], bench: &Bench<'_, Self>) -> Result<(), StudyError>
    where
        Self: Sized;

    /// A point's result in a word or two, for a line of progress.
    fn said(&self, _outcome: &Self::Outcome) -> String {
        "done".to_owned()
    }

    /// The figures that a store may sort points by.
    fn figures(&self, _outcome: &Self::Outcome) -> BTreeMap<String, f64> {
        BTreeMap::new()
    }

    /// Why a point failed, where its outcome is a failure.
    fn failure(&self, _outcome: &Self::Outcome) -> Option<String> {
        None
    }
}

/// A label as part of a point's name: lower-case letters, digits, dots and single dashes, letters beyond ASCII by their code
/// points, so that labels that differ by them keep their names whatever else is there; `empty` where nothing is left.
#[must_use]
pub fn slug(label: &str, empty: &str) -> String {
    let mut slug = String::new();
    for c in label.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' | '.' if !slug.is_empty() || c != '.' => slug.push(c),
            _ if c.is_alphanumeric() => slug.push_str(&format!("u{:04x}", u32::from(c))),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { empty.to_owned() } else { slug.to_owned() }
}

/// [`slug`]s of `labels`, each of its own.
pub(crate) fn slugs<'l>(labels: impl IntoIterator<Item = &'l str>, empty: &str) -> Vec<String> {
    let mut slugs: Vec<String> = Vec::new();
    for label in labels {
        let mut slug = slug(label, empty);
        while slugs.contains(&slug) {
            slug.push_str("-2");
        }
        slugs.push(slug);
    }
    slugs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_plain_and_differ() {
        for (label, expected) in [
            ("fp8-ibm, no chunks", "fp8-ibm-no-chunks"),
            ("fp16:loss-scale=1", "fp16-loss-scale-1"),
            ("../x y/", "x-y"),
            ("(0.5)", "0.5"),
            ("é", "u00e9"),
            ("Б 2", "u0431-2"),
            ("±", "policy"),
        ] {
            assert_eq!(slug(label, "policy"), expected, "{label}");
        }
        assert_eq!(slugs(["a", "A", "a-2", "b"], ""), ["a", "a-2", "a-2-2", "b"]);
    }
}
