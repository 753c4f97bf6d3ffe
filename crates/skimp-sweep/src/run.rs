//! A sweep from its file to its folder.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use skimp_report::write_atomic;
use skimp_study::{Designs, Monitor, StudyError};

use crate::config::SweepConfig;
use crate::disk::Caching;
use crate::engine::Engine;
use crate::error::SweepError;
use crate::figure::Figures;
use crate::record::{REPORT_FILE, record, write_report};
use crate::search::{Aims, dominates, find};
use crate::store::{PointRow, STORE_FILE, SqliteStore, Status, StoreMeta};
use crate::summary::SweepSummary;

/// Name of the resolved sweep in its folder.
const RESOLVED_FILE: &str = "sweep.toml";

/// Points that are planned and looked up at once.
const AT_ONCE: usize = 4096;

/// Where a sweep writes, and how: nothing here changes a row.
#[derive(Clone, Debug)]
pub struct SweepRun {
    /// The folder of store, report and resolved sweep.
    pub folder: PathBuf,
    /// Go on with the points that are there.
    pub resume: bool,
    /// The part of the points to run.
    pub shard: Option<Shard>,
    /// The models that names of accelerators stand for.
    pub designs: Designs,
    /// What stages keep.
    pub caching: Caching,
}

impl SweepRun {
    /// All points, anew, into `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            resume: false,
            shard: None,
            designs: Designs::embedded(),
            caching: Caching::default(),
        }
    }

    /// Opens the folder's store for this run, and says whose it is: for those who bring rows from elsewhere, which a run that
    /// resumes then finds.
    ///
    /// # Errors
    /// [`SweepError::Begun`] if it holds points and this run does not resume, [`SweepError::Store`] if it is another sweep's.
    pub fn open_store(&self, config: &SweepConfig) -> Result<SqliteStore, SweepError> {
        let failed = |source| SweepError::Study(StudyError::Io { path: self.folder.clone(), source });
        skimp_files::make_folder(&self.folder).map_err(failed)?;
        check_files(&self.folder, config)?;
        let store = SqliteStore::create(&self.folder)?;
        let n_points = store.n_points()?;
        if n_points > 0 && !self.resume {
            return Err(SweepError::Begun { path: store.path().to_owned(), n_points });
        }
        let meta = StoreMeta {
            name: config.name.clone(),
            sweep: config.to_toml()?,
            base: toml::to_string(&config.base()).unwrap_or_default(),
        };
        if let Some(known) = store.meta()?.filter(|_| n_points > 0) {
            check_same(store.path(), &meta, &known)?;
        }
        store.set_meta(&meta)?;
        Ok(store)
    }
}

/// One of several equal parts of a sweep's points: `2/5`. The parts are disjoint and together all points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    number: usize,
    of: usize,
}

impl Shard {
    /// The points of this part, of `n` points. Neighbours, which share stages, stay together.
    #[must_use]
    pub fn range(self, n: usize) -> std::ops::Range<usize> {
        let at = |part: usize| (n as u128 * part as u128 / self.of as u128) as usize;
        at(self.number - 1)..at(self.number)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err(format!("\"{text}\" is no shard, expected I/N with I from 1 to N")),
        }
    }
}

/// Runs a sweep and writes its folder: the store, `sweep.toml` and `report.html`.
///
/// Each point is in the store as soon as it is done. A run that is stopped or killed goes on with `resume`, and ends with the
/// same rows but for their times.
///
/// # Errors
/// [`SweepError`]; what is stored stays. [`SweepError::Begun`] if the folder holds points and `resume` is not set,
/// [`SweepError::Store`] if the store is another sweep's or cannot be written.
pub fn sweep(config: &SweepConfig, run: &SweepRun, monitor: &dyn Monitor) -> Result<SweepSummary, SweepError> {
    let begun = Instant::now();
    let engine = Engine::new(config, &run.designs, &run.caching)?;
    let method = find(&config.search.method)
        .map_err(|cause| SweepError::Invalid { path: PathBuf::from(&config.name), cause })?;
    if run.shard.is_some() && !method.is_planned() {
        let cause = format!("search.method \"{}\" chooses its points as it goes, and has no shards", method.name());
        return Err(SweepError::Invalid { path: PathBuf::from(&config.name), cause });
    }
    let mut search = method.begin(engine.space(), &config.search, engine.aims())?;
    // What is wrong with all points leaves no folder behind.
    engine.check(monitor)?;
    let mut all = search.ask();
    engine.plan(&all[..all.len().min(1)], monitor)?;
    let store = run.open_store(config)?;
    let of_shard = |n: usize| run.shard.map_or(0..n, |shard| shard.range(n));
    let n_points = of_shard(search.n_points()).len();
    monitor.stage("sweeping", n_points as u64);
    let progress = Progress::new(engine.aims(), monitor);
    let (mut n_done, mut n_new, mut interrupted) = (0, 0, false);
    'search: while !all.is_empty() {
        let mut told = Vec::with_capacity(all.len());
        for points in all[of_shard(all.len())].chunks(AT_ONCE) {
            let batch = run_batch(&engine, &store, points, &progress, monitor);
            let (rows, new) = match batch.map_err(|stopped| *stopped) {
                Ok(done) => done,
                Err(Stopped { error: SweepError::Study(StudyError::Interrupted), n_done: done, n_new: new }) => {
                    (n_done, n_new, interrupted) = (n_done + done, n_new + new, true);
                    break 'search;
                }
                Err(Stopped { error, .. }) => return Err(error),
            };
            n_done += rows.len();
            n_new += new;
            told.extend(rows);
        }
        search.tell(&told);
        all = search.ask();
    }
    store.flush()?;
    let rows = store.rows()?;
    let record = record(config, engine.space(), &rows)?;
    if let Some(fault) = engine.disk_fault() {
        monitor.note(&format!("not all results could be kept on disk, rows are as they would be: {fault}"));
    }
    if !interrupted {
        monitor.stage("writing the report", 1);
    }
    write_resolved(&run.folder, config)?;
    write_report(&run.folder, &record)?;
    let front = front_of(engine.aims(), &rows);
    Ok(SweepSummary {
        record,
        n_done,
        n_points,
        n_new,
        front,
        interrupted,
        seconds: begun.elapsed().as_secs_f64(),
        stages: engine.stages(),
    })
}

/// A batch that ended early, and what it had done.
struct Stopped {
    error: SweepError,
    n_done: usize,
    n_new: usize,
}

/// Figures of points that run, in the order of points, and how many were worked out now.
type Batch = (Vec<Option<Figures>>, usize);

/// What a search is told of a row: its figures, if it ran.
fn told_of(row: &PointRow) -> Option<Figures> {
    (row.status != Status::Failed).then_some(row.figures)
}

/// Points that are in the store are taken from there, the others worked out.
fn run_batch(
    engine: &Engine,
    store: &SqliteStore,
    points: &[crate::space::Assignment],
    progress: &Progress<'_>,
    monitor: &dyn Monitor,
) -> Result<Batch, Box<Stopped>> {
    let at_first = |error| Box::new(Stopped { error, n_done: 0, n_new: 0 });
    let planned = engine.plan(points, monitor).map_err(at_first)?;
    let mut seen = HashSet::new();
    let mut kept = std::collections::HashMap::new();
    let mut open = Vec::new();
    let done = store.done().map_err(at_first)?;
    for (idx, point) in planned.iter().enumerate() {
        let row = match done.contains(&point.id) {
            true => store.row(&point.id).map_err(at_first)?,
            false => None,
        };
        match row {
            Some(row) => {
                progress.point(&row);
                kept.insert(point.id.clone(), told_of(&row));
            }
            // Two settings may come to the same point.
            None if !seen.insert(point.id.clone()) => progress.again(),
            None => open.push(idx),
        }
    }
    let n_kept = kept.len();
    let fresh = Mutex::new(kept);
    let n_new = std::sync::atomic::AtomicUsize::new(0);
    let worked = engine.work(&planned, &open, monitor, &|_, row| {
        progress.point(&row);
        let (id, told) = (row.point_id.clone(), told_of(&row));
        store.add(row)?;
        n_new.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        fresh.lock().unwrap_or_else(PoisonError::into_inner).insert(id, told);
        Ok(())
    });
    let n_new = n_new.into_inner();
    let flushed = store.flush();
    worked.and(flushed).map_err(|error| Stopped { error, n_done: n_kept + n_new, n_new })?;
    let rows = fresh.into_inner().unwrap_or_else(PoisonError::into_inner);
    let figures = |point: &crate::engine::Planned| rows.get(&point.id).copied().flatten();
    Ok((planned.iter().map(figures).collect(), n_new))
}

/// Checks before the run that what it ends with can be written: neither over an input nor, in a folder that is not a sweep's,
/// over a file of the user's.
fn check_files(folder: &Path, config: &SweepConfig) -> Result<(), SweepError> {
    let is_sweeps = folder.join(STORE_FILE).exists();
    for name in [REPORT_FILE, RESOLVED_FILE] {
        let path = folder.join(name);
        if name == RESOLVED_FILE && holds(&path, config) {
            continue;
        }
        let checked = skimp_files::check_own(&path, |_| is_sweeps).and_then(|()| skimp_files::check(&path));
        checked.map_err(|source| StudyError::Io { path: path.clone(), source })?;
    }
    Ok(())
}

/// Whether the file is the resolved sweep already, such as one that is run again in its own folder.
fn holds(path: &Path, config: &SweepConfig) -> bool {
    config.to_toml().is_ok_and(|text| std::fs::read_to_string(path).is_ok_and(|own| own == text))
}

/// Writes the resolved sweep, unless it is there.
fn write_resolved(folder: &Path, config: &SweepConfig) -> Result<(), SweepError> {
    let path = folder.join(RESOLVED_FILE);
    if !holds(&path, config) {
        write_atomic(&path, config.to_toml()?.as_bytes()).map_err(StudyError::from)?;
    }
    Ok(())
}

/// Refuses a store of another sweep: of another name, or with another base. Axes may grow.
pub(crate) fn check_same(path: &Path, now: &StoreMeta, known: &StoreMeta) -> Result<(), SweepError> {
    let cause = if now.name != known.name {
        format!("it holds points of sweep \"{}\", this is sweep \"{}\"; write to another folder", known.name, now.name)
    } else if now.base != known.base {
        let lines: HashSet<&str> = known.base.lines().collect();
        let line = now.base.lines().find(|line| !lines.contains(line)).unwrap_or("less");
        format!(
            "it holds points of a sweep \"{}\" with another base: this one has {line}; write to another folder",
            known.name
        )
    } else {
        return Ok(());
    };
    Err(SweepError::Store { path: path.to_owned(), cause })
}

/// Names of the rows that no other one within the constraints dominates, in the order of the first objective.
pub(crate) fn front_of(aims: &Aims, rows: &[PointRow]) -> Vec<String> {
    let ok = rows.iter().filter(|row| row.status == Status::Ok);
    skimp_report::front(ok.filter_map(|row| Some((aims.costs(&row.figures)?, row.point_id.clone()))).collect())
}

/// Points that none dominates so far.
#[derive(Debug, Default)]
struct Front(Vec<(Vec<f64>, String)>);

impl Front {
    fn add(&mut self, costs: Vec<f64>, id: &str) {
        if !self.0.iter().any(|(other, _)| dominates(other, &costs)) {
            self.0.retain(|(other, _)| !dominates(&costs, other));
            self.0.push((costs, id.to_owned()));
        }
    }
}

/// The line of progress: points a second and points on the front.
struct Progress<'a> {
    aims: &'a Aims,
    monitor: &'a dyn Monitor,
    state: Mutex<State>,
}

struct State {
    front: Front,
    begun: Instant,
    told: Instant,
    n: u64,
}

impl<'a> Progress<'a> {
    fn new(aims: &'a Aims, monitor: &'a dyn Monitor) -> Self {
        let now = Instant::now();
        let state = Mutex::new(State { front: Front::default(), begun: now, told: now, n: 0 });
        Self { aims, monitor, state }
    }

    /// A point that is there again under another setting.
    fn again(&self) {
        self.monitor.advance(1);
    }

    fn point(&self, row: &PointRow) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.n += 1;
        if let Some(costs) = self.aims.costs(&row.figures).filter(|_| row.status == Status::Ok) {
            state.front.add(costs, &row.point_id);
        }
        if state.told.elapsed().as_millis() >= 100 {
            state.told = Instant::now();
            let rate = state.n as f64 / state.begun.elapsed().as_secs_f64();
            let digits = usize::from(rate < 10.0);
            self.monitor.status(&format!("{rate:.digits$} points/s, {} on the front", state.front.0.len()));
        }
        drop(state);
        self.monitor.advance(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_disjoint_and_complete() {
        for n in [0, 1, 7, 100] {
            for of in [1, 2, 3, 8] {
                let parts = (1..=of).map(|number| Shard { number, of }.range(n));
                assert_eq!(parts.flatten().collect::<Vec<_>>(), (0..n).collect::<Vec<_>>());
            }
        }
        assert_eq!("2/5".parse(), Ok(Shard { number: 2, of: 5 }));
        for text in ["0/5", "6/5", "5", "a/b", "1/0"] {
            text.parse::<Shard>().unwrap_err();
        }
    }
}
