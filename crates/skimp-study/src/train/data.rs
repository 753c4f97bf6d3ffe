//! Which images are trained on, and which ones the network is measured on.

use std::sync::Arc;

use skimp_data::{Dataset, InputSpec, Preprocess, Split};
use skimp_graph::Graph;
use skimp_numerics::rng::{permutation, stream};
use skimp_train::augment::Augment;
use skimp_train::loader::{LastBatch, Loader, LoaderConfig, Order};

use super::config::{TrainConfig, Validation};
use crate::StudyError;
use crate::images::{input_spec, resolve_preprocess};

/// Stream of the choice of training and held-out images.
const CHOICE: u64 = stream("train/images");

/// The images of a run.
#[derive(Debug)]
pub(super) struct Data {
    training: Arc<Dataset>,
    training_indices: Vec<usize>,
    validation: Option<(Arc<Dataset>, Vec<usize>)>,
    test: Option<Arc<Dataset>>,
    pub(super) input: InputSpec,
    /// Name or keys of the preprocessing.
    pub(super) preprocess: String,
    rule: Preprocess,
}

impl Data {
    /// Opens the data set for `graph`'s only input and chooses the images.
    pub(super) fn open(config: &TrainConfig, graph: &Graph) -> Result<Self, StudyError> {
        let training = Arc::new(Dataset::open(&config.data, Split::Train)?);
        let native = training.image_shape().map(|[_, height, width]| [height, width]);
        let input = input_spec(graph, config.input_size, native)?;
        let (preprocess, rule) = resolve_preprocess(config.preprocess.as_deref(), graph, &training)?;
        let test = match config.validation {
            Validation::None | Validation::HeldOut(_) => None,
            Validation::Test => Some(Arc::new(Dataset::open(&config.data, Split::Test)?)),
        };
        let data = Self { training, training_indices: Vec::new(), validation: None, test, input, preprocess, rule };
        data.chosen(config)
    }

    /// The images of the same files that a run with another seed takes.
    pub(super) fn chosen(&self, config: &TrainConfig) -> Result<Self, StudyError> {
        let (training_indices, held_out) = choose(config, self.training.len())?;
        let validation = match (config.validation, &self.test) {
            (Validation::HeldOut(_), _) => Some((Arc::clone(&self.training), held_out)),
            (Validation::Test, Some(test)) => Some((Arc::clone(test), (0..test.len()).collect::<Vec<usize>>())),
            (Validation::Test | Validation::None, _) => None,
        };
        let validation = validation.map(|(dataset, mut indices)| {
            indices.truncate(config.validation_images.unwrap_or(usize::MAX));
            (dataset, indices)
        });
        Ok(Self {
            training: Arc::clone(&self.training),
            training_indices,
            validation,
            test: self.test.clone(),
            input: self.input,
            preprocess: self.preprocess.clone(),
            rule: self.rule.clone(),
        })
    }

    /// Loaders of the training and of the validation images.
    pub(super) fn loaders(
        &self,
        config: &TrainConfig,
        augment: Augment,
    ) -> Result<(Loader, Option<Loader>), StudyError> {
        let loader = |order, augment| LoaderConfig {
            batch: config.batch_size,
            seed: config.seed,
            order,
            last_batch: if config.drop_last && order == Order::Shuffled { LastBatch::Drop } else { LastBatch::Keep },
            preprocess: self.rule.clone(),
            input: self.input,
            augment,
        };
        let shuffled = loader(Order::Shuffled, augment);
        let training = Loader::new(Arc::clone(&self.training), self.training_indices.clone(), shuffled)?;
        let validation = self.validation.as_ref().map(|(dataset, indices)| {
            let sequential = loader(Order::Sequential, Augment::default());
            Loader::new(Arc::clone(dataset), indices.clone(), sequential)
        });
        Ok((training, validation.transpose()?))
    }

    /// The data set that is trained on.
    pub(super) fn training(&self) -> &Dataset {
        &self.training
    }

    /// The data set that the network is measured on, where it is another split.
    pub(super) fn test(&self) -> Option<&Dataset> {
        self.test.as_deref()
    }
}

/// Training images in rising order, and held-out ones.
fn choose(config: &TrainConfig, n_images: usize) -> Result<(Vec<usize>, Vec<usize>), StudyError> {
    let n_held_out = match config.validation {
        Validation::HeldOut(n) => n,
        Validation::Test | Validation::None => 0,
    };
    if n_held_out >= n_images {
        return Err(StudyError::Usage(format!(
            "validation: expected fewer than the {n_images} training images, found {n_held_out}"
        )));
    }
    let wanted = config.images.unwrap_or(usize::MAX);
    if wanted == 0 {
        return Err(StudyError::Usage("training images: expected at least 1, found 0".to_owned()));
    }
    let mut order = permutation(config.seed, CHOICE, n_images);
    let mut training = order.split_off(n_held_out);
    training.truncate(wanted);
    training.sort_unstable();
    order.sort_unstable();
    Ok((training, order))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_images_are_not_trained_on() {
        let config = |validation, images| TrainConfig { validation, images, seed: 4, ..TrainConfig::default() };
        let (training, held_out) = choose(&config(Validation::HeldOut(30), Some(50)), 100).unwrap();
        assert_eq!((training.len(), held_out.len()), (50, 30));
        assert!(held_out.iter().all(|index| !training.contains(index)));
        let (all, none) = choose(&config(Validation::Test, None), 100).unwrap();
        assert_eq!((all, none), ((0..100).collect(), vec![]));
        assert!(choose(&config(Validation::HeldOut(100), None), 100).is_err());
        assert!(choose(&config(Validation::None, Some(0)), 100).is_err());
    }
}
