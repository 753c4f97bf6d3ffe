//! What reductions learn from.

use skimp_graph::Graph;
use skimp_reduce::{Learning, Lesson, Recipe};
use skimp_train::Model;
use skimp_train::augment::Augment;
use skimp_train::loader::{Loader, Order};
use skimp_train::trainer::EpochRecord;

use super::run::OpenRuns;
use crate::error::StudyError;
use crate::inputs::images::{Images, PREPROCESS_KEY};
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::train::config::{Checked, TrainConfig};
use crate::train::freeze;
use crate::train::observe::Watch;
use crate::train::trained::loader;

/// What reductions learn from.
#[derive(Clone, Copy)]
pub(super) struct School<'a> {
    /// The training images; nothing is learned without.
    pub(super) images: Option<&'a Images>,
    /// Images to measure on.
    pub(super) validation: Option<&'a Images>,
    /// Where training runs write their checkpoints.
    pub(super) runs: Option<&'a OpenRuns>,
    pub(super) monitor: &'a dyn Monitor,
}

impl School<'_> {
    /// Calls `work` with what there is to learn from: nothing without images.
    pub(super) fn with_learning<T>(
        &self,
        config: &TrainConfig,
        work: impl FnOnce(Option<&Learning<'_>>) -> Result<T, StudyError>,
    ) -> Result<T, StudyError> {
        config.check_plain("a reduction")?;
        let Checked { augment, trainer, .. } = config.check()?;
        let Some(images) = self.images else { return work(None) };
        let n_images = config.images.unwrap_or(usize::MAX).min(images.len());
        let fitted = TrainConfig { batch_size: config.batch_size.min(n_images.max(1)), ..config.clone() };
        let training: Loader = loader(&fitted, images, n_images, Order::Shuffled, augment)?;
        let n_validation = config.validation_images.unwrap_or(usize::MAX);
        let validation = self.validation.map(|images| {
            loader(&fitted, images, n_validation.min(images.len()), Order::Sequential, Augment::default())
        });
        let report = |_: &[EpochRecord]| Ok(());
        let watch = Watch::new(self.monitor, Vec::new(), &report, config.epochs, training.steps_per_epoch());
        let input = images.input();
        let learning = Learning {
            training,
            validation: validation.transpose()?,
            recipe: Recipe {
                learning_rate: config.learning_rate,
                schedule: config.schedule.clone(),
                optimizer: trainer.optimizer.clone(),
                losses: trainer.losses.clone(),
                precision: config.precision.clone(),
                batch_norm_momentum: config.batch_norm_momentum,
                output: images.answers().chosen().map(str::to_owned),
                input_size: Some(vec![input.channels, input.height, input.width]),
                seed: config.seed,
            },
            observer: &watch,
            runs: self.runs.map(|open| &open.runs),
        };
        work(Some(&learning))
    }

    /// A network trained by `config` and `lesson`, with the name of its preprocessing, and the record of every epoch. Losses
    /// can read the values that `keep` names.
    pub(super) fn trained(
        &self,
        (graph, keep): (&Graph, &[String]),
        config: &TrainConfig,
        lesson: impl FnOnce(&Model) -> Result<Lesson, StudyError>,
    ) -> Result<(Network, Vec<EpochRecord>), StudyError> {
        self.with_learning(config, |learning| {
            let (Some(learning), Some(images)) = (learning, self.images) else {
                return Err(StudyError::ReduceNeedsData { what: "training" });
            };
            let mut model = learning.model(graph, keep)?;
            freeze(&mut model, &config.freeze)?;
            let lesson = lesson(&model)?;
            let history = learning.train_model(&mut model, Lesson { epochs: config.epochs, ..lesson })?;
            let graph = model.to_graph()?.with_metadata(PREPROCESS_KEY, images.preprocess_name());
            Ok((Network::from_graph(graph)?, history))
        })
    }
}
