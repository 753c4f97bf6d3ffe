//! The points of a study at work, side by side where they may.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use skimp_train::TrainError;
use toml::Table;

use super::Store;
use super::desk::{Desk, check};
use super::point::{Pace, Points};
use super::progress::Progress;
use crate::error::StudyError;
use crate::monitor::Monitor;

/// Memory that points side by side may take together. One that needs more gets all threads for itself.
const MEMORY: u64 = 4 << 30;

/// The outcomes of all points, in their order.
///
/// Small work gains more from a point per thread than from threads within a point. How many go side by side changes no
/// outcome.
pub(crate) fn work<P: Points>(desk: &Desk<'_>, points: &P) -> Result<Vec<P::Outcome>, StudyError> {
    desk.check_others(points)?;
    let n_points = points.points().len();
    let kept = (0..n_points).map(|idx| desk.kept(points, idx)).collect::<Result<Vec<_>, _>>()?;
    let open: Vec<usize> = (0..n_points).filter(|&idx| kept[idx].is_none()).collect();
    let progress = Progress::new(desk.monitor(), points.points(), open.len(), points.pace());
    let configs = std::iter::repeat_with(OnceLock::new).take(n_points).collect();
    let shared = Shared { desk, points, progress: &progress, outcomes: Mutex::new(kept), configs };
    let jobs = points.jobs(open);
    let n_threads = rayon::current_num_threads();
    let n_workers = match points.pace() {
        Pace::InTurn => 1,
        Pace::SideBySide { memory, .. } => n_workers(n_threads, jobs.len(), memory),
    };
    let next = AtomicUsize::new(0);
    let errors = Mutex::new(Vec::new());
    let labor = || {
        while !progress.is_stopped()
            && let idx = next.fetch_add(1, Ordering::Relaxed)
            && let Some(job) = jobs.get(idx)
        {
            let done = points.run(job, &Bench { shared: &shared, begun: Instant::now() });
            job.iter().for_each(|&point| progress.leave(point));
            if let Err(error) = done {
                errors.lock().unwrap_or_else(PoisonError::into_inner).push((idx, error));
                return progress.stop();
            }
        }
    };
    if n_workers <= 1 {
        labor();
    } else {
        side_by_side(n_workers, n_threads, labor)?;
    }
    let mut errors = errors.into_inner().unwrap_or_else(PoisonError::into_inner);
    errors.sort_by_key(|&(idx, _)| idx);
    // Points that stop because another one failed are interrupted: they are not the cause.
    if let Some((_, error)) = errors.into_iter().find(|(_, error)| !is_stop(error)) {
        return Err(error);
    }
    let outcomes = shared.outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let n_finished = outcomes.iter().flatten().count();
    match desk.store() {
        _ if n_finished == n_points => Ok(outcomes.into_iter().flatten().collect()),
        Some(store) if n_finished > 0 || !points.is_disposable() => {
            Err(StudyError::InterruptedRuns { n_finished, n_runs: n_points, folder: store.place().to_owned() })
        }
        Some(_) | None => Err(StudyError::Interrupted),
    }
}

/// Whether a point ended because it was told to.
fn is_stop(error: &StudyError) -> bool {
    matches!(error, StudyError::Interrupted | StudyError::Train(TrainError::Interrupted { .. }))
}

/// What the jobs of a study share.
struct Shared<'a, P: Points> {
    desk: &'a Desk<'a>,
    points: &'a P,
    progress: &'a Progress<'a>,
    outcomes: Mutex<Vec<Option<P::Outcome>>>,
    /// The configurations of points as they are kept, once they are known.
    configs: Vec<OnceLock<Table>>,
}

/// Where a job works: it tells how far its points are and hands them in.
pub struct Bench<'a, P: Points> {
    shared: &'a Shared<'a, P>,
    begun: Instant,
}

/// Where a point puts what it needs to go on.
#[derive(Clone, Debug)]
pub struct Workspace<'a> {
    /// The folder; it may not exist yet.
    pub folder: PathBuf,
    /// The configuration of the point, to be written there.
    pub config: Table,
    store: StoreRef<'a>,
    free_keys: &'static [&'static str],
}

#[derive(Clone, Copy)]
struct StoreRef<'a>(&'a dyn Store);

impl std::fmt::Debug for StoreRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.place().display())
    }
}

impl Workspace<'_> {
    /// Checks that what lies at `path` was written by this point.
    ///
    /// # Errors
    /// [`StudyError::Kept`] with the first key that differs.
    pub fn check(&self, path: &Path, written: &Table) -> Result<(), StudyError> {
        check(self.store.0, path, &self.config, written, self.free_keys)
    }
}

impl<P: Points> std::fmt::Debug for Bench<'_, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench").field("desk", self.shared.desk).finish_non_exhaustive()
    }
}

impl<'a, P: Points> Bench<'a, P> {
    /// Whoever watches; for jobs [`Pace::InTurn`].
    pub fn monitor(&self) -> &'a dyn Monitor {
        self.shared.desk.monitor()
    }

    /// Whether all points are asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.shared.progress.is_stopped()
    }

    /// A point begins at `step`.
    pub fn begin(&self, idx: usize, step: u64) {
        self.shared.progress.begin(idx, step);
    }

    /// A step of a point is made, which is now at `text`.
    pub fn step(&self, idx: usize, text: &str) {
        self.shared.progress.step(idx, text);
    }

    /// Where a point finds what it left when it was stopped, and leaves it; `None` where nothing is kept.
    ///
    /// # Errors
    /// As [`Points::identity`].
    pub fn workspace(&self, idx: usize) -> Result<Option<Workspace<'a>>, StudyError> {
        let Shared { desk, points, .. } = self.shared;
        let Some(store) = desk.store() else { return Ok(None) };
        let Some(folder) = store.workspace(&points.points()[idx].name) else { return Ok(None) };
        let (store, free_keys) = (StoreRef(store), points.free_keys());
        Ok(Some(Workspace { folder, config: self.config(idx)?, store, free_keys }))
    }

    /// A point is done.
    ///
    /// # Errors
    /// [`StudyError`] if it cannot be kept.
    pub fn finish(&self, idx: usize, outcome: P::Outcome) -> Result<(), StudyError> {
        let Shared { desk, points, progress, outcomes, .. } = self.shared;
        desk.keep(*points, idx, &outcome, || self.config(idx), self.begun.elapsed().as_secs_f64())?;
        progress.end(idx, &points.said(&outcome));
        outcomes.lock().unwrap_or_else(PoisonError::into_inner)[idx] = Some(outcome);
        Ok(())
    }

    fn config(&self, idx: usize) -> Result<Table, StudyError> {
        let Shared { desk, points, configs, .. } = self.shared;
        if let Some(known) = configs[idx].get() {
            return Ok(known.clone());
        }
        let config = desk.config(points.identity(idx)?);
        Ok(configs[idx].get_or_init(|| config).clone())
    }
}

/// Points that go side by side: one per thread while there are some, and memory for them. Copies may be made, hence 2.
fn n_workers(n_threads: usize, n_jobs: usize, memory: u64) -> usize {
    let fitting = MEMORY / (2 * memory).max(1);
    n_threads.min(n_jobs).min(usize::try_from(fitting).unwrap_or(usize::MAX)).max(1)
}

/// Does the same work on `n_workers` threads, each of which has its share of the `n_threads`.
fn side_by_side(n_workers: usize, n_threads: usize, labor: impl Fn() + Sync) -> Result<(), StudyError> {
    let pool = |worker| {
        let share = n_threads / n_workers + usize::from(worker < n_threads % n_workers);
        rayon::ThreadPoolBuilder::new().num_threads(share).build()
    };
    let pools: Result<Vec<_>, _> = (0..n_workers).map(pool).collect();
    let pools = pools.map_err(|error| StudyError::Threads { n_threads, cause: error.to_string() })?;
    std::thread::scope(|scope| {
        for pool in &pools {
            scope.spawn(|| pool.install(&labor));
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_share_threads_and_memory() {
        assert_eq!(n_workers(2, 6, 1 << 20), 2);
        assert_eq!(n_workers(8, 3, 1 << 20), 3);
        assert_eq!(n_workers(16, 60, 1 << 30), 2);
        assert_eq!(n_workers(16, 60, 1 << 40), 1);
        assert_eq!(n_workers(4, 0, 0), 1);
        let shares = Mutex::new(Vec::new());
        side_by_side(3, 8, || shares.lock().unwrap().push(rayon::current_num_threads())).unwrap();
        let mut shares = shares.into_inner().unwrap();
        shares.sort_unstable();
        assert_eq!(shares, [2, 3, 3]);
    }
}
