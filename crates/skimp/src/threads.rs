//! How many threads a run takes: for the whole process, or for one call.

use skimp_study::StudyError;

/// Most threads that [`set_threads`] and [`with_threads`] start: each takes memory and a handle of the system.
pub const MAX_THREADS: usize = 1024;

/// Uses `n_threads` threads for everything that runs in parallel in this process and is not under [`with_threads`]. Results
/// do not depend on it.
///
/// # Errors
/// [`StudyError::Threads`] if they were set or used before, [`StudyError::Count`] for 0 or more than [`MAX_THREADS`].
pub fn set_threads(n_threads: usize) -> Result<(), StudyError> {
    builder(n_threads)?.build_global().map_err(|error| refused(n_threads, &error))
}

/// Runs `work` on `n_threads` threads of its own, which end with it. Results do not depend on it.
///
/// ```
/// let n = skimp::with_threads(2, skimp::threads)?;
/// assert_eq!(n, 2);
/// # Ok::<(), skimp::StudyError>(())
/// ```
///
/// # Errors
/// [`StudyError::Count`] for 0 or more than [`MAX_THREADS`], [`StudyError::Threads`] if the system does not give them.
pub fn with_threads<R: Send>(n_threads: usize, work: impl FnOnce() -> R + Send) -> Result<R, StudyError> {
    let pool = builder(n_threads)?.build().map_err(|error| refused(n_threads, &error))?;
    Ok(pool.install(work))
}

/// Threads that a run from here takes.
#[must_use]
pub fn threads() -> usize {
    rayon::current_num_threads()
}

fn builder(n_threads: usize) -> Result<rayon::ThreadPoolBuilder, StudyError> {
    if !(1..=MAX_THREADS).contains(&n_threads) {
        let expected = format!("1 to {MAX_THREADS}");
        return Err(StudyError::Count { what: "threads", found: n_threads, expected });
    }
    Ok(rayon::ThreadPoolBuilder::new().num_threads(n_threads))
}

fn refused(n_threads: usize, error: &rayon::ThreadPoolBuildError) -> StudyError {
    StudyError::Threads { n_threads, cause: error.to_string() }
}
