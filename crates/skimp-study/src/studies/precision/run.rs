//! One run of a study: one policy, one seed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skimp_report::records::CastRecord;
use skimp_train::TrainError;
use skimp_train::checkpoint::Checkpoint;
use skimp_train::policy::{self, Policy};
use skimp_train::trainer::{CheckpointConfig, EpochRecord, Observer, StepReport, Trainer, TrainerConfig};
use toml::Table;

use super::{PolicyConfig, PrecisionConfig};
use crate::error::StudyError;
use crate::inputs::network::Network;
use crate::store::point::{Pace, Point, Points, slugs};
use crate::store::queue::Bench;
use crate::train::config::{Checked, TrainConfig};
use crate::train::data::Data;
use crate::train::identity::Identity;
use crate::train::{freeze, new_model};

/// A run that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Label of its policy.
    pub(crate) label: String,
    /// Name of its files.
    pub(crate) name: String,
    pub(crate) config: TrainConfig,
}

/// What one run brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    /// Why it ended early, if its numbers left the finite ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) diverged: Option<String>,
    /// Finished epochs.
    #[serde(default)]
    pub(crate) history: Vec<EpochRecord>,
    /// What rounding lost.
    #[serde(default)]
    pub(crate) casts: Vec<CastRecord>,
}

impl Run {
    /// All runs of a study, in the order of the report: policies, and the seeds of each one.
    pub(crate) fn all(training: &PrecisionConfig, base: &TrainConfig) -> Vec<Self> {
        let slugs = slugs(training.policies.iter().map(PolicyConfig::label), "policy");
        let mut runs = Vec::new();
        for (policy, slug) in training.policies.iter().zip(slugs) {
            runs.extend(training.seeds.iter().map(|&seed| Self {
                label: policy.label().to_owned(),
                name: format!("{slug}-seed{seed}"),
                config: TrainConfig { precision: policy.precision.clone(), seed, ..base.clone() },
            }));
        }
        runs
    }

    /// Its initial network, and its images.
    fn inputs(&self, data: &Data) -> Result<(Network, Data), StudyError> {
        let network = Network::open_for_training(&self.config.network, self.config.seed)?;
        Ok((network, data.chosen(&self.config)?))
    }
}

/// The runs of a study of policies as points: a run is minutes to hours of work, so it leaves a checkpoint after each epoch.
pub(crate) struct PrecisionPoints<'a> {
    runs: Vec<Run>,
    points: Vec<Point>,
    data: &'a Data,
    pace: Pace,
}

impl<'a> PrecisionPoints<'a> {
    /// Each run has `n_steps` and takes `memory` bytes for activations and parameters.
    pub(crate) fn new(runs: Vec<Run>, data: &'a Data, n_steps: u64, memory: u64) -> Self {
        let label = |run: &Run| format!("{}, seed {}", run.label, run.config.seed);
        let points = runs.iter().map(|run| Point { name: run.name.clone(), label: label(run) }).collect();
        Self { runs, points, data, pace: Pace::SideBySide { what: "training", n_steps, memory } }
    }
}

impl Points for PrecisionPoints<'_> {
    type Outcome = Outcome;

    fn points(&self) -> &[Point] {
        &self.points
    }

    fn identity(&self, idx: usize) -> Result<Table, StudyError> {
        let (network, data) = self.runs[idx].inputs(self.data)?;
        Identity::new(&self.runs[idx].config, &network, &data)?.table()
    }

    fn free_keys(&self) -> &'static [&'static str] {
        &["data", "network"]
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn run(&self, job: &[usize], bench: &Bench<'_, Self>) -> Result<(), StudyError> {
        job.iter().try_for_each(|&idx| bench.finish(idx, self.train(idx, bench)?))
    }

    fn said(&self, outcome: &Outcome) -> String {
        let accuracy = outcome.history.last().and_then(|epoch| epoch.validation_accuracy);
        match (&outcome.diverged, accuracy) {
            (Some(_), _) => "diverged".to_owned(),
            (None, Some(accuracy)) => format!("{:.2} %", 100.0 * accuracy),
            (None, None) => "done".to_owned(),
        }
    }

    fn figures(&self, outcome: &Outcome) -> BTreeMap<String, f64> {
        let last = outcome.history.last().filter(|_| outcome.diverged.is_none());
        let top1 = last.and_then(|epoch| epoch.validation_accuracy);
        top1.map(|top1| ("top1".to_owned(), top1)).into_iter().collect()
    }

    fn failure(&self, outcome: &Outcome) -> Option<String> {
        outcome.diverged.clone()
    }
}

impl PrecisionPoints<'_> {
    /// Trains from the initial weights of its seed, or from its checkpoint. Divergence is a result, not an error.
    fn train(&self, idx: usize, bench: &Bench<'_, Self>) -> Result<Outcome, StudyError> {
        let config = &self.runs[idx].config;
        let Checked { augment, trainer, .. } = config.check()?;
        let (network, data) = self.runs[idx].inputs(self.data)?;
        let (loader, validation) = data.loaders(config, augment)?;
        let mut model = new_model(config, (&network, None), &data)?;
        freeze(&mut model, &config.freeze)?;
        let mut precision = policy::create(&config.precision)?;
        let (mut checkpoints, mut checkpoint) = (None, None);
        if let Some(workspace) = bench.workspace(idx)? {
            checkpoint = Checkpoint::load(&workspace.folder)?;
            if let Some(checkpoint) = &checkpoint {
                workspace.check(checkpoint.path(), checkpoint.config())?;
            }
            let (folder, config) = (workspace.folder, workspace.config);
            checkpoints = Some(CheckpointConfig { folder, every_steps: None, config });
        }
        let trainer = TrainerConfig { checkpoints, ..trainer };
        let mut trainer = Trainer::new(&mut model, &mut *precision, trainer, loader, validation)?;
        if let Some(checkpoint) = checkpoint {
            trainer.resume(checkpoint)?;
        }
        bench.begin(idx, trainer.state().step);
        let diverged = match trainer.run(&Watch { run: &self.runs[idx], bench, idx }) {
            Ok(_) => None,
            // A run that is asked to stop looks at its parameters earlier than others do. It is to find out by itself.
            Err(TrainError::Diverged { .. } | TrainError::Interrupted { .. }) if bench.is_stopped() => {
                return Err(StudyError::Interrupted);
            }
            Err(TrainError::Diverged { epoch, step, what, layer, .. }) => {
                Some(TrainError::Diverged { epoch, step, what, layer, checkpoint: None }.to_string())
            }
            Err(error) => return Err(error.into()),
        };
        let history = trainer.state().history.clone();
        Ok(Outcome { history, diverged, casts: casts(&*precision) })
    }
}

/// Watches one run.
struct Watch<'a, 'b, 'd> {
    run: &'a Run,
    bench: &'a Bench<'b, PrecisionPoints<'d>>,
    idx: usize,
}

impl Observer for Watch<'_, '_, '_> {
    fn step(&self, report: &StepReport) {
        let Run { label, config, .. } = self.run;
        self.bench.step(self.idx, &format!("{label} seed {} {}/{}", config.seed, report.epoch, config.epochs));
    }

    fn interrupted(&self) -> bool {
        self.bench.is_stopped()
    }
}

fn casts(policy: &dyn Policy) -> Vec<CastRecord> {
    let classes = policy.counts().map_or(&[][..], |counts| &counts.classes);
    let record = |(class, count): &(&'static str, policy::CastCount)| CastRecord {
        class: (*class).to_owned(),
        elements: count.elements,
        overflows: count.overflows,
        underflows: count.underflows,
        flushed: count.flushed,
    };
    classes.iter().map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runs_differ() {
        let policy = |label: &str| format!("[[policies]]\nprecision = \"fp32\"\nlabel = \"{label}\"\n");
        let text = format!("baseline = \"a\"\nseeds = [7, 1]\n{}{}{}", policy("a"), policy("A"), policy("a-2"));
        let runs = Run::all(&toml::from_str(&text).unwrap(), &TrainConfig::default());
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["a-seed7", "a-seed1", "a-2-seed7", "a-2-seed1", "a-2-2-seed7", "a-2-2-seed1"]);
    }
}
