//! The runs of a study, side by side.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::kept::Kept;
use super::progress::Progress;
use super::run::{Outcome, Run};
use crate::error::StudyError;
use crate::monitor::Monitor;
use crate::train::data::Data;

/// Memory that runs side by side may take together. A run that needs more gets all threads for itself.
const MEMORY: u64 = 4 << 30;

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    pub(crate) runs: &'a [Run],
    /// Steps of each run.
    pub(crate) n_steps: u64,
    /// Bytes of a run's activations and parameters.
    pub(crate) memory: u64,
    pub(crate) data: &'a Data,
    pub(crate) kept: Option<&'a Kept>,
}

/// The outcomes of all runs, in their order.
///
/// Small networks gain more from a run per thread than from threads within a run. How many runs go side by side changes
/// no outcome.
pub(crate) fn work(work: &Work<'_>, monitor: &dyn Monitor) -> Result<Vec<Outcome>, StudyError> {
    let mut outcomes = match work.kept {
        Some(kept) => work.runs.iter().map(|run| kept.finished(run, work.data)).collect::<Result<Vec<_>, _>>()?,
        None => vec![None; work.runs.len()],
    };
    let open: Vec<usize> = (0..outcomes.len()).filter(|&idx| outcomes[idx].is_none()).collect();
    let n_threads = rayon::current_num_threads();
    let n_workers = n_workers(n_threads, open.len(), work.memory);
    let progress = Progress::new(monitor, work.runs.len(), open.len(), work.n_steps);
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let labor = || {
        while !progress.is_stopped()
            && let Some(&idx) = open.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let run = &work.runs[idx];
            let watch = progress.watch(run);
            let outcome = run.train(work.data, work.kept, |step| watch.begin(step), &watch);
            let failed = outcome.is_err();
            watch.end(outcome.as_ref().ok());
            found.lock().unwrap_or_else(PoisonError::into_inner).push((idx, outcome));
            if failed {
                return progress.stop();
            }
        }
    };
    if n_workers <= 1 {
        labor();
    } else {
        side_by_side(n_workers, n_threads, labor)?;
    }
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|&(idx, _)| idx);
    for (idx, outcome) in found {
        match outcome {
            Ok(outcome) => outcomes[idx] = Some(outcome),
            // Runs that stop because another one failed are interrupted: they are not the cause.
            Err(StudyError::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    let (n_runs, n_finished) = (outcomes.len(), outcomes.iter().flatten().count());
    match work.kept {
        _ if n_finished == n_runs => Ok(outcomes.into_iter().flatten().collect()),
        None => Err(StudyError::Interrupted),
        Some(kept) => Err(StudyError::InterruptedRuns { n_finished, n_runs, folder: kept.folder().to_owned() }),
    }
}

/// Runs that go side by side: one per thread while there are runs, and memory for them. Policies round copies, hence 2.
fn n_workers(n_threads: usize, n_runs: usize, memory: u64) -> usize {
    let fitting = MEMORY / (2 * memory).max(1);
    n_threads.min(n_runs).min(usize::try_from(fitting).unwrap_or(usize::MAX)).max(1)
}

/// Does the same work on `n_workers` threads, each of which has its share of the `n_threads`.
fn side_by_side(n_workers: usize, n_threads: usize, labor: impl Fn() + Sync) -> Result<(), StudyError> {
    let pool = |worker| {
        let share = n_threads / n_workers + usize::from(worker < n_threads % n_workers);
        rayon::ThreadPoolBuilder::new().num_threads(share).build()
    };
    let pools: Result<Vec<_>, _> = (0..n_workers).map(pool).collect();
    let pools = pools.map_err(|error| StudyError::Usage(format!("threads: {error}")))?;
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
    fn runs_share_threads_and_memory() {
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
