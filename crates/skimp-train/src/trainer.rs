//! The loop: steps, epochs, validation, checkpoints, and when to stop.

mod evaluate;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use skimp_data::Batch;

pub use self::evaluate::{Evaluation, evaluate, evaluate_with};

use crate::checkpoint::{self, Checkpoint, Parts, RunState};
use crate::loader::Loader;
use crate::optimizer::{Optimizer, OptimizerConfig};
use crate::policy::{Policy, Verdict};
use crate::schedule::Schedule;
use crate::teacher::TargetSource;
use crate::{LossSum, Mode, Model, Target, Targets, TrainError};

/// How long a run is and what it minimizes.
#[derive(Debug)]
pub struct TrainerConfig {
    /// Passes over the training images, at least 1.
    pub epochs: u64,
    /// Base learning rate, which the schedule multiplies.
    pub learning_rate: f64,
    /// The learning rate over the run.
    pub schedule: Schedule,
    /// How parameters are updated.
    pub optimizer: OptimizerConfig,
    /// What is minimized.
    pub losses: LossSum,
    /// Seed of everything random in the network and the policy.
    pub seed: u64,
    /// Where and how often to write checkpoints; `None` for none.
    pub checkpoints: Option<CheckpointConfig>,
}

/// Where and how often to write checkpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointConfig {
    /// Folder of this run's checkpoints.
    pub folder: PathBuf,
    /// Steps between two checkpoints within an epoch; `None` for one at the end of each epoch only.
    pub every_steps: Option<u64>,
    /// The resolved configuration of the run, for [`Checkpoint::config`].
    pub config: toml::Table,
}

/// What one epoch brought. Accuracies are fractions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Steps of the run at its end.
    pub step: u64,
    /// Learning rate of its last step.
    pub learning_rate: f64,
    /// Mean loss over its training images, each at the time of its step.
    pub train_loss: f64,
    /// Share of training images classified correctly, each at the time of its step.
    pub train_accuracy: f64,
    /// Mean loss over the validation images after the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// Share of validation images classified correctly after the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// Steps whose update the precision policy skipped.
    pub skipped_steps: u64,
    /// Wall-clock time of the training steps.
    pub seconds: f64,
    /// Training images per second.
    pub images_per_second: f64,
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Steps of the run that are done.
    pub step: u64,
    /// Steps of the whole run.
    pub n_steps: u64,
    /// The epoch, from 1.
    pub epoch: u64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Mean loss over the epoch so far.
    pub mean_loss: f64,
    /// Share of images classified correctly over the epoch so far.
    pub mean_accuracy: f64,
    /// Images of the step.
    pub n_images: u64,
}

/// Watches a run, and may stop it.
pub trait Observer: Sync {
    /// The run goes on from a checkpoint, after `step` of `n_steps` steps.
    fn resumed(&self, _step: u64, _n_steps: u64) {}

    /// A step is done.
    fn step(&self, _report: &StepReport) {}

    /// `n_images` are about to be validated.
    fn validation(&self, _n_images: usize) {}

    /// An epoch is done; `history` ends with it. Called before its checkpoint is written.
    ///
    /// # Errors
    /// Whatever the observer could not do; it ends the run.
    fn epoch(&self, _history: &[EpochRecord]) -> Result<(), TrainError> {
        Ok(())
    }

    /// Whether the run should stop. Asked before each step; a checkpoint is written then.
    fn interrupted(&self) -> bool {
        false
    }
}

/// An [`Observer`] that sees nothing and never stops a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// One training run.
#[derive(Debug)]
pub struct Trainer<'a> {
    model: &'a mut Model,
    policy: &'a mut dyn Policy,
    optimizer: Optimizer,
    config: TrainerConfig,
    training: Loader,
    validation: Option<Loader>,
    targets: Option<Box<dyn TargetSource>>,
    state: RunState,
    checkpoint: Option<PathBuf>,
}

/// Batches that wait for the model.
const AHEAD: usize = 3;

impl<'a> Trainer<'a> {
    /// A run from the model's present parameters.
    ///
    /// # Errors
    /// [`TrainError::Option`] for no epochs or a learning rate that is no number, [`TrainError::Spec`] for an unknown
    /// optimizer, [`TrainError::OneValue`] if a batch normalization would see a single value in a batch of an epoch.
    pub fn new(
        model: &'a mut Model,
        policy: &'a mut dyn Policy,
        config: TrainerConfig,
        training: Loader,
        validation: Option<Loader>,
    ) -> Result<Self, TrainError> {
        let option = |name: &str, expected: &str, found: String| TrainError::Option {
            name: name.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        if config.epochs == 0 {
            return Err(option("epochs", "at least 1", "0".to_owned()));
        }
        if !(config.learning_rate > 0.0 && config.learning_rate.is_finite()) {
            return Err(option("learning rate", "a number above 0", config.learning_rate.to_string()));
        }
        if config.checkpoints.as_ref().is_some_and(|checkpoints| checkpoints.every_steps == Some(0)) {
            return Err(option("steps between checkpoints", "at least 1", "0".to_owned()));
        }
        // A part of a network that learns another one's values has no classes.
        if config.losses.terms.iter().any(|term| term.target == Target::Labels) {
            for loader in [Some(&training), validation.as_ref()].into_iter().flatten() {
                loader.check_labels(model.n_classes())?;
            }
        }
        check_norms(model, &training)?;
        let optimizer = Optimizer::new(&config.optimizer, model.params())?;
        let state = RunState::default();
        let (targets, checkpoint) = (None, None);
        Ok(Self { model, policy, optimizer, config, training, validation, targets, state, checkpoint })
    }

    /// The optimizer, for hooks.
    pub fn optimizer_mut(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    /// Gives the losses tensors beside the labels: a teacher's answers, in every step and at validation.
    pub fn set_targets(&mut self, targets: Box<dyn TargetSource>) {
        self.targets = Some(targets);
    }

    /// Begins at a later step than the first: learning rate, batches and random numbers are those of that step on, as if
    /// the steps before it had been made.
    ///
    /// # Errors
    /// [`TrainError::Option`] for a step beyond the end of the run.
    pub fn start_at(&mut self, step: u64) -> Result<(), TrainError> {
        if step >= self.n_steps() {
            return Err(TrainError::Option {
                name: "first step".to_owned(),
                expected: format!("below {}, the steps of the run", self.n_steps()),
                found: step.to_string(),
            });
        }
        self.state.step = step;
        Ok(())
    }

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    /// As [`Checkpoint::restore`]; [`TrainError::Checkpoint`] if it is from beyond the end of this run.
    pub fn resume(&mut self, checkpoint: Checkpoint) -> Result<(), TrainError> {
        let path = checkpoint.path().to_owned();
        let mut parts = Parts { model: self.model, optimizer: &mut self.optimizer, policy: self.policy };
        let state = checkpoint.restore(&mut parts)?;
        let per_epoch = self.training.steps_per_epoch();
        let n_epochs = (state.step / per_epoch).checked_sub(self.state.step / per_epoch);
        if state.step > self.n_steps() || Some(state.history.len() as u64) != n_epochs {
            let cause = format!(
                "step {} in epoch {} does not lie within this run of {} epochs of {} steps",
                state.step,
                state.history.len() + 1,
                self.config.epochs,
                per_epoch
            );
            return Err(TrainError::Checkpoint { path, cause });
        }
        self.state = state;
        self.checkpoint = Some(path);
        Ok(())
    }

    /// Steps of the whole run.
    pub fn n_steps(&self) -> u64 {
        self.config.epochs * self.training.steps_per_epoch()
    }

    /// Where the run stands.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// Trains to the end and gives the record of every epoch.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] with the layer, [`TrainError::Interrupted`], a checkpoint that cannot be written, an
    /// image that cannot be read. The last good checkpoint stays in all cases.
    pub fn run(&mut self, observer: &dyn Observer) -> Result<&[EpochRecord], TrainError> {
        let (n_steps, per_epoch) = (self.n_steps(), self.training.steps_per_epoch());
        let mut batches = self.training.stream(self.state.step..n_steps, AHEAD);
        while self.state.step < n_steps {
            if observer.interrupted() {
                self.save()?;
                return Err(TrainError::Interrupted { epoch: self.epoch(), checkpoint: self.checkpoint.clone() });
            }
            let start = Instant::now();
            let Some(batch) = batches.next() else { return Err(TrainError::Sequence("the loader ended early")) };
            let batch = batch?;
            let learning_rate = self.step(&batch)?;
            batches.recycle(batch);
            self.state.epoch.seconds += start.elapsed().as_secs_f64();
            observer.step(&self.report(learning_rate));
            if self.state.step.is_multiple_of(per_epoch) {
                self.end_epoch(learning_rate, observer)?;
            } else if self.is_checkpoint_due() {
                self.save()?;
            }
        }
        Ok(&self.state.history)
    }

    /// One step; gives its learning rate.
    fn step(&mut self, batch: &Batch) -> Result<f64, TrainError> {
        let step = self.state.step;
        let factor = self.config.schedule.factor(step, self.n_steps(), self.training.steps_per_epoch());
        let learning_rate = self.config.learning_rate * factor;
        let n_images = batch.labels.len();
        let mode = Mode::Train { step, seed: self.config.seed };
        self.model.forward_images(&batch.images, &batch.indices, mode, self.policy)?;
        let tensors = tensors(self.targets.as_deref_mut(), batch)?;
        let targets = Targets { labels: &batch.labels, tensors: &tensors };
        let report = self.model.backward(&self.config.losses, &targets, self.policy)?;
        let (loss, n_correct) = (report.total, report.n_correct);
        if !loss.is_finite() {
            return Err(self.diverged(format!("the loss is {loss}")));
        }
        match self.policy.after_backward(self.model.params_mut()) {
            Verdict::Step => self.optimizer.step(self.model.params_mut(), learning_rate, self.policy),
            Verdict::SkipStep => self.state.epoch.skipped_steps += 1,
        }
        self.state.step += 1;
        self.state.n_updates = self.optimizer.n_updates();
        let sums = &mut self.state.epoch;
        sums.loss += loss * n_images as f64;
        sums.n_correct += n_correct as u64;
        sums.n_images += n_images as u64;
        Ok(learning_rate)
    }

    fn report(&self, learning_rate: f64) -> StepReport {
        let sums = &self.state.epoch;
        let n_images = sums.n_images.max(1) as f64;
        StepReport {
            step: self.state.step,
            n_steps: self.n_steps(),
            epoch: self.epoch(),
            learning_rate,
            mean_loss: sums.loss / n_images,
            mean_accuracy: sums.n_correct as f64 / n_images,
            n_images: self.training.batch_len(self.state.step - 1) as u64,
        }
    }

    /// Validates, records and keeps the epoch that has just ended.
    fn end_epoch(&mut self, learning_rate: f64, observer: &dyn Observer) -> Result<(), TrainError> {
        let validation = match &self.validation {
            None => None,
            Some(loader) => {
                observer.validation(loader.n_images());
                let targets = self.targets.as_deref_mut();
                Some(evaluate_with(self.model, self.policy, loader, &self.config.losses, targets)?)
            }
        };
        let sums = std::mem::take(&mut self.state.epoch);
        let n_images = sums.n_images.max(1) as f64;
        self.state.history.push(EpochRecord {
            epoch: self.epoch(),
            step: self.state.step,
            learning_rate,
            train_loss: sums.loss / n_images,
            train_accuracy: sums.n_correct as f64 / n_images,
            validation_loss: validation.map(|validation| validation.loss),
            validation_accuracy: validation.map(|validation| validation.accuracy()),
            skipped_steps: sums.skipped_steps,
            seconds: sums.seconds,
            images_per_second: n_images / sums.seconds.max(1e-9),
        });
        self.check_params()?;
        observer.epoch(&self.state.history)?;
        self.save()
    }

    /// The present epoch, from 1.
    fn epoch(&self) -> u64 {
        self.state.step.saturating_sub(1) / self.training.steps_per_epoch() + 1
    }

    fn is_checkpoint_due(&self) -> bool {
        let every = self.config.checkpoints.as_ref().and_then(|checkpoints| checkpoints.every_steps);
        every.is_some_and(|every| self.state.step.is_multiple_of(every))
    }

    /// Writes a checkpoint, but never one of a network that is broken.
    fn save(&mut self) -> Result<(), TrainError> {
        if self.config.checkpoints.is_none() {
            return Ok(());
        }
        self.check_params()?;
        let Some(checkpoints) = &self.config.checkpoints else { return Ok(()) };
        let parts = Parts { model: self.model, optimizer: &mut self.optimizer, policy: self.policy };
        self.checkpoint = Some(checkpoint::save(&checkpoints.folder, &parts, &self.state, &checkpoints.config)?);
        Ok(())
    }

    fn check_params(&self) -> Result<(), TrainError> {
        let bad = self.model.params().iter().find(|param| !param.values().iter().all(|value| value.is_finite()));
        match bad {
            None => Ok(()),
            Some(param) => Err(self.diverged(format!("parameter \"{}\" is not finite", param.name()))),
        }
    }

    fn diverged(&self, what: String) -> TrainError {
        TrainError::Diverged {
            epoch: self.state.step / self.training.steps_per_epoch() + 1,
            step: self.state.step,
            what,
            layer: self.model.first_bad_layer(),
            checkpoint: self.checkpoint.clone(),
        }
    }
}

/// A batch's tensors beside the labels.
fn tensors<'t>(
    source: Option<&'t mut (dyn TargetSource + 'static)>,
    batch: &Batch,
) -> Result<Vec<(&'t str, &'t [f32])>, TrainError> {
    let Some(source) = source else { return Ok(Vec::new()) };
    let named = source.targets(batch)?.iter().map(|(name, tensor)| (name.as_str(), tensor.as_slice()));
    Ok(named.collect())
}

/// Refuses batches, the last of an epoch among them, that give a batch normalization one value per channel.
fn check_norms(model: &Model, training: &Loader) -> Result<(), TrainError> {
    let last = training.batch_len(training.steps_per_epoch() - 1);
    let Some(layer) = model.norm_of_one_value(last) else { return Ok(()) };
    let cause = if training.steps_per_epoch() == 1 || training.batch_len(0) == last {
        format!("batches of {last} image have no more; use larger ones (--batch-size)")
    } else {
        format!(
            "the last batch of each epoch, {last} of {} images, has no more; leave it out (--drop-last) or use another \
             --batch-size",
            training.n_images()
        )
    };
    Err(TrainError::OneValue { layer: layer.to_owned(), cause })
}

/// The checkpoint folder that belongs to an output file: `net.onnx` → `net.train`.
pub fn folder_beside(output: &Path) -> PathBuf {
    output.with_extension("train")
}

#[cfg(test)]
mod tests;
