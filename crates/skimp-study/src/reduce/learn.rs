//! What reductions learn from.

use skimp_reduce::{Learning, Recipe};
use skimp_train::augment::Augment;
use skimp_train::loader::{Loader, Order};
use skimp_train::trainer::EpochRecord;

use crate::error::StudyError;
use crate::inputs::config::DataConfig;
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::train::config::{Checked, TrainConfig};
use crate::train::observe::Watch;
use crate::train::trained::loader;

/// Images to measure accuracy on; a note where there are none.
pub(crate) fn test_images(
    data: &DataConfig,
    network: &Network,
    input_size: Option<[usize; 2]>,
    monitor: &dyn Monitor,
) -> Result<Option<Images>, StudyError> {
    let data = DataConfig { split: skimp_data::Split::Test, ..data.clone() };
    match Images::open(&data, &network.graph, input_size) {
        Ok(images) => Ok(Some(images)),
        Err(error) => {
            monitor.note(&format!("accuracy is not measured, the test split cannot be opened: {error}"));
            Ok(None)
        }
    }
}

/// Calls `work` with what there is to learn from: nothing without images.
pub(super) fn with_learning<T>(
    config: &TrainConfig,
    images: Option<&Images>,
    validation: Option<&Images>,
    monitor: &dyn Monitor,
    work: impl FnOnce(Option<&Learning<'_>>) -> Result<T, StudyError>,
) -> Result<T, StudyError> {
    let Checked { augment, trainer } = config.check()?;
    let Some(images) = images else { return work(None) };
    let n_images = config.images.unwrap_or(usize::MAX).min(images.len());
    let fitted = TrainConfig { batch_size: config.batch_size.min(n_images.max(1)), ..config.clone() };
    let training: Loader = loader(&fitted, images, n_images, Order::Shuffled, augment)?;
    let n_validation = config.validation_images.unwrap_or(usize::MAX);
    let validation = validation
        .map(|images| loader(&fitted, images, n_validation.min(images.len()), Order::Sequential, Augment::default()));
    let report = |_: &[EpochRecord]| Ok(());
    let watch = Watch::new(monitor, Vec::new(), &report, config.epochs, training.steps_per_epoch());
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
    };
    work(Some(&learning))
}
