//! Where the points of a study are worked out: its name, its store, and whoever watches.

use std::sync::atomic::{AtomicBool, Ordering};

use toml::{Table, Value};

use super::point::Points;
use super::queue;
use super::{KeptPoint, Store, difference};
use crate::error::StudyError;
use crate::monitor::Monitor;

/// The key of the study's name in configurations of points.
const STUDY: &str = "study";

/// What a study works with.
pub struct Desk<'a> {
    study: &'a str,
    store: Option<&'a dyn Store>,
    monitor: &'a dyn Monitor,
    /// Whether what is kept goes before the first point.
    anew: AtomicBool,
}

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("study", &self.study).finish_non_exhaustive()
    }
}

impl<'a> Desk<'a> {
    /// For a study of that name; without a `store`, nothing is kept.
    pub(crate) fn new(study: &'a str, store: Option<&'a dyn Store>, monitor: &'a dyn Monitor) -> Self {
        Self { study, store, monitor, anew: AtomicBool::new(false) }
    }

    /// Lets the study begin anew: what is kept goes when the first outcomes are asked for, so a study that cannot be
    /// opened costs nothing.
    ///
    /// # Errors
    /// [`StudyError::Begun`] if it holds points that are not to be thrown away without asking.
    pub(crate) fn begin_anew(&self) -> Result<(), StudyError> {
        let Some(store) = self.store else { return Ok(()) };
        let names = store.names()?;
        let is_disposable =
            |name: &String| store.read(name).is_ok_and(|point| point.is_some_and(|point| point.disposable));
        if !store.begun()?.is_empty() || !names.iter().all(is_disposable) {
            let (path, folder) = (store.place().to_owned(), store.place().to_owned());
            return Err(StudyError::Begun { path, what: "points of a study that was begun", folder });
        }
        self.anew.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Throws away what a study that begins anew found, once.
    fn clear(&self) -> Result<(), StudyError> {
        match self.store {
            Some(store) if self.anew.swap(false, Ordering::Relaxed) => {
                store.names()?.iter().try_for_each(|name| store.remove(name))
            }
            _ => Ok(()),
        }
    }

    /// Whoever watches.
    pub fn monitor(&self) -> &'a dyn Monitor {
        self.monitor
    }

    /// The outcomes of all points, in their order: those that are kept, and the others worked out and kept.
    ///
    /// # Errors
    /// What a point failed with; [`StudyError::Kept`] if what is kept is damaged, or of another study or configuration;
    /// [`StudyError::InterruptedRuns`] if the user stopped it.
    pub fn outcomes<P: Points>(&self, points: &P) -> Result<Vec<P::Outcome>, StudyError> {
        self.clear()?;
        queue::work(self, points)
    }

    pub(crate) fn store(&self) -> Option<&'a dyn Store> {
        self.store
    }

    /// The configuration of a point as it is kept: its identity and the study's name.
    pub(crate) fn config(&self, mut identity: Table) -> Table {
        identity.insert(STUDY.to_owned(), self.study.into());
        identity
    }

    /// Checks that other points of the store are of this study.
    pub(crate) fn check_others<P: Points>(&self, points: &P) -> Result<(), StudyError> {
        let Some(store) = self.store else { return Ok(()) };
        let is_own = |name: &String| points.points().iter().any(|point| point.name == *name);
        for name in store.names()?.iter().filter(|name| !is_own(name)) {
            let Some(KeptPoint { config, disposable: false, .. }) = store.read(name)? else { continue };
            let other = config.get(STUDY);
            if other.and_then(Value::as_str) != Some(self.study) {
                let other = other.map_or_else(|| "another study".to_owned(), |name| format!("study {name}"));
                let cause = format!("it is of {other}, this is study \"{}\"; write to another folder", self.study);
                return Err(StudyError::Kept { path: store.place_of(name), cause });
            }
        }
        Ok(())
    }

    /// The outcome of a point, if it is kept.
    pub(crate) fn kept<P: Points>(&self, points: &P, idx: usize) -> Result<Option<P::Outcome>, StudyError> {
        let Some(store) = self.store else { return Ok(None) };
        let name = &points.points()[idx].name;
        let Some(kept) = store.read(name)? else { return Ok(None) };
        let path = store.place_of(name);
        let now = self.config(points.identity(idx)?);
        check(store, &path, &now, &kept.config, points.free_keys())?;
        // A process that was killed between the two leaves it.
        store.clear_workspace(name);
        let outcome = kept.outcome.try_into();
        outcome.map(Some).map_err(|error: toml::de::Error| StudyError::Kept { path, cause: error.message().to_owned() })
    }

    /// Keeps a point that is done.
    pub(crate) fn keep<P: Points>(
        &self,
        points: &P,
        idx: usize,
        outcome: &P::Outcome,
        config: impl FnOnce() -> Result<Table, StudyError>,
        seconds: f64,
    ) -> Result<(), StudyError> {
        let Some(store) = self.store else { return Ok(()) };
        let name = &points.points()[idx].name;
        let failed =
            |error: toml::ser::Error| StudyError::Kept { path: store.place_of(name), cause: error.to_string() };
        let point = KeptPoint {
            skimp_version: env!("CARGO_PKG_VERSION").to_owned(),
            disposable: points.is_disposable(),
            seconds: Some(seconds),
            failure: points.failure(outcome),
            figures: points.figures(outcome),
            outcome: Table::try_from(outcome).map_err(failed)?,
            config: config()?,
        };
        store.write(name, &point)?;
        store.clear_workspace(name);
        Ok(())
    }
}

/// Checks that what lies at `path` was written by the point it is read for.
pub(crate) fn check(
    store: &dyn Store,
    path: &std::path::Path,
    now: &Table,
    written: &Table,
    free_keys: &[&str],
) -> Result<(), StudyError> {
    match difference(now, written, free_keys) {
        None => Ok(()),
        Some(cause) => {
            let place = store.place().display();
            let cause = format!("{cause}; remove {place} to begin anew, or write to another folder");
            Err(StudyError::Kept { path: path.to_owned(), cause })
        }
    }
}
