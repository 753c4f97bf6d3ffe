//! What methods learn from.

use skimp_graph::{Graph, Tensor};
use skimp_train::checkpoint::Checkpoint;
use skimp_train::loader::Loader;
use skimp_train::optimizer::{OptimizerConfig, ParamHook};
use skimp_train::schedule::Schedule;
use skimp_train::trainer::{EpochRecord, Observer, Trainer, TrainerConfig, evaluate};
use skimp_train::{LossSum, Model, ModelOptions, TargetSource, TensorHook, TrainError, policy};

use crate::{ReduceError, Runs};

/// How a network is trained.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Base learning rate.
    pub learning_rate: f64,
    /// The learning rate over a run, as [`Schedule::parse`] reads it.
    pub schedule: String,
    /// How parameters are updated.
    pub optimizer: OptimizerConfig,
    /// What is minimized.
    pub losses: LossSum,
    /// The precision policy, as [`policy::create`] reads it.
    pub precision: String,
    /// Share of the new batch in batch normalization's running statistics.
    pub batch_norm_momentum: f32,
    /// The output that holds the answers, where there are several.
    pub output: Option<String>,
    /// Extents of an image, where the network leaves some open.
    pub input_size: Option<Vec<usize>>,
    /// Seed of dropout and rounding.
    pub seed: u64,
}

/// Images to learn from and to measure on, and how to train.
pub struct Learning<'a> {
    /// The training images.
    pub training: Loader,
    /// Images to measure on.
    pub validation: Option<Loader>,
    /// How to train.
    pub recipe: Recipe,
    /// Watches every training run, and may stop it.
    pub observer: &'a (dyn Observer + 'a),
    /// Where every training run writes its checkpoints, if any.
    pub runs: Option<&'a Runs>,
}

/// One training run of a method.
#[derive(Debug, Default)]
pub struct Lesson {
    /// Passes over the training images, at least 1.
    pub epochs: u64,
    /// Base learning rate; the recipe's where none is given.
    pub learning_rate: Option<f64>,
    /// What is minimized; the recipe's where nothing is given.
    pub losses: Option<LossSum>,
    /// What the losses compare with, beside labels.
    pub targets: Option<Box<dyn TargetSource>>,
    /// Values that are kept for losses.
    pub keep: Vec<String>,
    /// Names of parameters that do not move.
    pub frozen: Vec<String>,
    /// What is done to tensors in each step.
    pub tensor_hooks: Vec<Box<dyn TensorHook>>,
    /// What is done to parameters around each update.
    pub param_hooks: Vec<Box<dyn ParamHook>>,
    /// The step that training begins with, as if those before it had been made.
    pub first_step: u64,
}

impl std::fmt::Debug for Learning<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { training, validation, recipe, observer: _, runs } = self;
        let mut parts = f.debug_struct("Learning");
        parts.field("training", training).field("validation", validation).field("recipe", recipe).field("runs", runs);
        parts.finish_non_exhaustive()
    }
}

impl Learning<'_> {
    /// A model of the network for this recipe.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn model(&self, graph: &Graph, keep: &[String]) -> Result<Model, TrainError> {
        let options = ModelOptions {
            batch: self.batch(),
            input_size: self.recipe.input_size.clone(),
            keep: keep.to_vec(),
            output: self.recipe.output.clone(),
            batch_norm_momentum: self.recipe.batch_norm_momentum,
            ..ModelOptions::default()
        };
        Model::new(graph, &options)
    }

    /// Calls `each` with the first `n_images` training images, batch by batch in the order of the first epoch, and their
    /// classes; with all where there are no more.
    ///
    /// # Errors
    /// An image that cannot be read, and what `each` says.
    pub fn each_batch(
        &self,
        n_images: usize,
        mut each: impl FnMut(Tensor, &[usize]) -> Result<(), ReduceError>,
    ) -> Result<(), ReduceError> {
        let mut left = n_images;
        for step in 0..self.training.steps_per_epoch() {
            let mut batch = self.training.batch(step)?;
            let n = batch.labels.len().min(left);
            if n == 0 {
                break;
            }
            let [_, c, h, w] = batch.shape;
            batch.images.truncate(n * c * h * w);
            each(Tensor::from_f32(vec![n, c, h, w], batch.images), &batch.labels[..n])?;
            left -= n;
        }
        Ok(())
    }

    fn batch(&self) -> usize {
        self.training.batch_len(0).max(self.validation.as_ref().map_or(0, |loader| loader.batch_len(0)))
    }

    /// Trains a network from its present weights.
    ///
    /// # Errors
    /// As [`Trainer::new`] and [`Trainer::run`].
    pub fn train(&self, graph: &Graph, lesson: Lesson) -> Result<Graph, ReduceError> {
        let mut model = self.model(graph, &lesson.keep)?;
        self.train_model(&mut model, lesson)?;
        Ok(model.to_graph()?)
    }

    /// Trains a model that has been made already, with hooks that know its parameters, and gives the record of every epoch.
    ///
    /// Where checkpoints are kept ([`Runs`]), the run goes on from its own. One that had come to its end is not made again:
    /// the model and the hooks are as they were then.
    ///
    /// # Errors
    /// As [`train`](Self::train).
    pub fn train_model(&self, model: &mut Model, lesson: Lesson) -> Result<Vec<EpochRecord>, ReduceError> {
        for param in model.params_mut() {
            if lesson.frozen.iter().any(|name| name == param.name()) {
                param.set_trainable(false);
            }
        }
        lesson.tensor_hooks.into_iter().for_each(|hook| model.add_hook(hook));
        let mut policy = policy::create(&self.recipe.precision)?;
        let config = TrainerConfig {
            epochs: lesson.epochs,
            learning_rate: lesson.learning_rate.unwrap_or(self.recipe.learning_rate),
            schedule: Schedule::parse(&self.recipe.schedule).map_err(TrainError::from)?,
            optimizer: self.recipe.optimizer.clone(),
            losses: lesson.losses.unwrap_or_else(|| self.recipe.losses.clone()),
            seed: self.recipe.seed,
            checkpoints: self.runs.map(Runs::next),
        };
        let earlier = match &config.checkpoints {
            Some(checkpoints) => Checkpoint::load(&checkpoints.folder)?,
            None => None,
        };
        let (training, validation) = (self.training.clone(), self.validation.clone());
        let mut trainer = Trainer::new(model, &mut *policy, config, training, validation)?;
        lesson.param_hooks.into_iter().for_each(|hook| trainer.optimizer_mut().add_hook(hook));
        if let Some(targets) = lesson.targets {
            trainer.set_targets(targets);
        }
        if lesson.first_step > 0 {
            trainer.start_at(lesson.first_step)?;
        }
        if let Some(checkpoint) = earlier {
            trainer.resume(checkpoint)?;
            self.observer.resumed(trainer.state().step, trainer.n_steps());
        }
        Ok(trainer.run(self.observer)?.to_vec())
    }

    /// Share of the validation images that a network classifies correctly; `None` without any.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn accuracy(&self, graph: &Graph) -> Result<Option<f64>, ReduceError> {
        let Some(validation) = &self.validation else { return Ok(None) };
        let mut model = self.model(graph, &[])?;
        let mut policy = policy::create(&self.recipe.precision)?;
        Ok(Some(evaluate(&mut model, &mut *policy, validation, &self.recipe.losses)?.accuracy()))
    }
}
