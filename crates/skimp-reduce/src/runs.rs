//! Training runs that survive the end of their program.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use skimp_train::trainer::CheckpointConfig;

/// Where the training runs of a reduction write their checkpoints: a folder each, numbered in the order in which they are
/// made.
///
/// A reduction that is made again from the start finds them: what does not train is done again, and comes out the same;
/// runs that had ended give what they gave; the one that was stopped goes on. So the result has the bits of a reduction
/// that was never stopped.
#[derive(Debug)]
pub struct Runs {
    folder: PathBuf,
    every_steps: Option<u64>,
    config: toml::Table,
    n_begun: AtomicU64,
}

impl Runs {
    /// Runs with their folders in `folder`, which write a checkpoint after each epoch and after every so many steps.
    /// `config` is written into each: all that decides what comes out.
    pub fn new(folder: PathBuf, every_steps: Option<u64>, config: toml::Table) -> Self {
        Self { folder, every_steps, config, n_begun: AtomicU64::new(0) }
    }

    /// The folder of a run, by its number from 1.
    pub fn folder(folder: &Path, number: u64) -> PathBuf {
        folder.join(format!("run-{number}"))
    }

    /// What all runs have been told to write into their checkpoints.
    pub fn config(&self) -> &toml::Table {
        &self.config
    }

    /// Where the next run writes its checkpoints.
    pub(crate) fn next(&self) -> CheckpointConfig {
        let number = 1 + self.n_begun.fetch_add(1, Ordering::Relaxed);
        CheckpointConfig {
            folder: Self::folder(&self.folder, number),
            every_steps: self.every_steps,
            config: self.config.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use skimp_train::TrainError;
    use skimp_train::trainer::Observer;

    use super::*;
    use crate::weights::testing::{bits, learning, request, small_net};
    use crate::{Learning, METHODS, Method, ReduceError, Reduction, Removes, Request, Target};

    /// Asks to stop after that many steps.
    struct StopAfter(AtomicU64);

    impl Observer for StopAfter {
        fn interrupted(&self) -> bool {
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
        }
    }

    fn reduce(method: &dyn Method, runs: Option<&Runs>, observer: &dyn Observer) -> Result<Reduction, ReduceError> {
        let known = learning();
        let learning = Learning { observer, runs, ..known };
        let target = match method.facts().removes {
            Removes::Weights => Target::Sparsity(0.7),
            Removes::Channels => Target::Channels(0.5),
            Removes::Operations => Target::Macs(1.0),
        };
        let mut settings: toml::Table =
            toml::from_str("epochs = 3\nrounds = 2\nagent_epochs = 1\npenalties = [0.1]").unwrap();
        settings.retain(|name, _| method.settings().contains_key(name));
        let asked = request(target);
        let asked = Request { settings: &settings, learning: Some(&learning), round_to: 1, ..asked };
        method.reduce(&small_net(), &asked)
    }

    /// Every method that trains, stopped after each ten steps and made again from the start by new objects: the same
    /// bits, masks and notes as without a stop.
    #[test]
    fn every_method_goes_on_to_the_bit() {
        let mut n_stopped = 0;
        for method in METHODS {
            let facts = method.facts();
            if !method.trains() {
                continue;
            }
            let whole = reduce(*method, None, &StopAfter(AtomicU64::new(u64::MAX))).expect(facts.name);
            let folder = tempfile::tempdir().expect("a temporary folder");
            let mut n_stops = 0;
            let found = loop {
                let runs = Runs::new(folder.path().to_owned(), None, toml::Table::new());
                match reduce(*method, Some(&runs), &StopAfter(AtomicU64::new(10))) {
                    Ok(reduction) => break reduction,
                    Err(ReduceError::Train(TrainError::Interrupted { .. })) => n_stops += 1,
                    Err(error) => panic!("{}: {error}", facts.name),
                }
                assert!(n_stops < 1000, "{}: no end", facts.name);
            };
            assert!(n_stops > 0, "{}", facts.name);
            assert_eq!(bits(&found.graph), bits(&whole.graph), "{}", facts.name);
            assert_eq!(found.masks, whole.masks, "{}", facts.name);
            assert_eq!(found.notes, whole.notes, "{}", facts.name);
            assert_eq!(found.runtime, whole.runtime, "{}", facts.name);
            n_stopped += 1;
        }
        assert!(n_stopped >= 6, "{n_stopped} methods were stopped");
    }
}
