//! Training in memory, with losses and hooks of one's own: no folder, no checkpoint, no report.

use std::sync::Arc;

use skimp_train::augment::Augment;
use skimp_train::loader::{LastBatch, Loader, LoaderConfig, Order};
use skimp_train::optimizer::ParamHook;
use skimp_train::quantizer::Quantizer;
use skimp_train::trainer::{EpochRecord, Trainer, TrainerConfig};
use skimp_train::{LossSum, Model, ModelOptions, TargetSource, TensorHook, policy};

use super::config::{Checked, TrainConfig};

use super::observe::Watch;
use super::{exported, freeze, prepared};
use crate::error::StudyError;
use crate::inputs::images::{Images, PREPROCESS_KEY};
use crate::inputs::network::Network;
use crate::monitor::Monitor;

/// A training run that has not begun: what is not said is as the configuration has it.
#[derive(Debug)]
pub struct Training {
    network: Network,
    config: TrainConfig,
    training: Images,
    validation: Option<Images>,
    losses: Option<LossSum>,
    targets: Option<Box<dyn TargetSource>>,
    hooks: Vec<Box<dyn TensorHook>>,
    param_hooks: Vec<Box<dyn ParamHook>>,
}

impl Network {
    /// Prepares to train the network further on `images`, all of them or the first `config.images` of their order. What
    /// `config` says of the network, the data set and the validation does not matter here.
    #[must_use]
    pub fn training(&self, images: &Images, config: &TrainConfig) -> Training {
        Training {
            network: self.clone(),
            config: config.clone(),
            training: images.clone(),
            validation: None,
            losses: None,
            targets: None,
            hooks: Vec::new(),
            param_hooks: Vec::new(),
        }
    }
}

impl Training {
    /// Measures the network after each epoch on these images, all of them or the first `validation_images` of the
    /// configuration.
    #[must_use]
    pub fn validated_on(self, images: &Images) -> Self {
        Self { validation: Some(images.clone()), ..self }
    }

    /// Minimizes these losses in place of the configuration's. Values that they read by name stay readable.
    #[must_use]
    pub fn losses(self, losses: LossSum) -> Self {
        Self { losses: Some(losses), ..self }
    }

    /// Gives the losses tensors beside the labels: a [`Teacher`](skimp_train::Teacher)'s answers, say.
    #[must_use]
    pub fn targets(self, targets: impl TargetSource + 'static) -> Self {
        Self { targets: Some(Box::new(targets)), ..self }
    }

    /// Changes weights, outputs or gradients in every pass.
    #[must_use]
    pub fn hook(mut self, hook: impl TensorHook + 'static) -> Self {
        self.hooks.push(Box::new(hook));
        self
    }

    /// Changes parameters or their gradients around every update.
    #[must_use]
    pub fn param_hook(mut self, hook: impl ParamHook + 'static) -> Self {
        self.param_hooks.push(Box::new(hook));
        self
    }

    /// Trains to the end.
    ///
    /// # Determinism
    /// The trained network is a function of the network, the images, the configuration and what hooks and targets do: the
    /// same bits on any number of threads.
    ///
    /// # Errors
    /// [`StudyError`] naming the setting, image, layer or tensor.
    pub fn run(self, monitor: &dyn Monitor) -> Result<Trained, StudyError> {
        let Self { network, config, training, validation, losses, targets, hooks, param_hooks } = self;
        let Checked { augment, trainer, quantizer } = config.check()?;
        let network = prepared(network, quantizer.as_ref())?;
        let losses = losses.unwrap_or_else(|| trainer.losses.clone());
        let mut policy = policy::create(&config.precision)?;
        let n_images = config.images.unwrap_or(usize::MAX).min(training.len());
        let config = TrainConfig { batch_size: config.batch_size.min(n_images.max(1)), ..config };
        let mut model = model_of(&config, (&network, quantizer.as_ref()), &training, &losses)?;
        freeze(&mut model, &config.freeze)?;
        hooks.into_iter().for_each(|hook| model.add_hook(hook));
        let n_validation = config.validation_images.unwrap_or(usize::MAX);
        let validation =
            validation.map(|images| loader(&config, &images, n_validation, Order::Sequential, Augment::default()));
        let validation = validation.transpose()?;
        let training_loader = loader(&config, &training, n_images, Order::Shuffled, augment)?;
        let steps_per_epoch = training_loader.steps_per_epoch();
        let trainer = TrainerConfig { losses, ..trainer };
        let hook = quantizer.as_ref().map(|quantizer| quantizer.hook(&model)).transpose()?.flatten();
        let mut trainer = Trainer::new(&mut model, &mut *policy, trainer, training_loader, validation)?;
        hook.into_iter().chain(param_hooks).for_each(|hook| trainer.optimizer_mut().add_hook(hook));
        if let Some(targets) = targets {
            trainer.set_targets(targets);
        }
        let watch = Watch::new(monitor, Vec::new(), &|_| Ok(()), config.epochs, steps_per_epoch);
        watch.begin(0);
        let history = trainer.run(&watch)?.to_vec();
        let graph = exported(&model, quantizer.as_ref())?.with_metadata(PREPROCESS_KEY, training.preprocess_name());
        let network = Network { name: network.name, ..Network::from_graph(graph)? };
        Ok(Trained { network, history })
    }
}

pub(crate) fn model_of(
    config: &TrainConfig,
    (network, quantizer): (&Network, Option<&Quantizer>),
    images: &Images,
    losses: &LossSum,
) -> Result<Model, StudyError> {
    let input = images.input();
    let options = ModelOptions {
        batch: config.batch_size,
        input_size: Some(vec![input.channels, input.height, input.width]),
        batch_norm_momentum: config.batch_norm_momentum,
        output: images.answers().chosen().map(str::to_owned),
        keep: losses.terms.iter().filter_map(|term| term.tensor.clone()).collect(),
        ..ModelOptions::default()
    };
    let options = match quantizer {
        Some(quantizer) => quantizer.options(&network.graph, options)?,
        None => options,
    };
    Ok(Model::new(&network.graph, &options)?)
}

pub(crate) fn loader(
    config: &TrainConfig,
    images: &Images,
    n_images: usize,
    order: Order,
    augment: Augment,
) -> Result<Loader, StudyError> {
    let drops = config.drop_last && order == Order::Shuffled;
    let settings = LoaderConfig {
        batch: config.batch_size,
        seed: config.seed,
        order,
        last_batch: if drops { LastBatch::Drop } else { LastBatch::Keep },
        preprocess: images.preprocess().clone(),
        input: images.input(),
        augment,
    };
    Ok(Loader::new(Arc::clone(images.shared()), images.indices(n_images), settings)?)
}

/// A network after training.
#[derive(Clone, Debug)]
pub struct Trained {
    network: Network,
    history: Vec<EpochRecord>,
}

impl Trained {
    /// The trained network: to be run, calibrated, exported.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What each epoch brought.
    #[must_use]
    pub fn history(&self) -> &[EpochRecord] {
        &self.history
    }

    /// Share of the validation images classified correctly after the last epoch; `None` without validation.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        self.history.last()?.validation_accuracy
    }
}
