//! Which images are trained on, and which ones the network is measured on.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use rayon::prelude::*;
use skimp_data::{DataError, Dataset, InputSpec, Preprocess, Split};
use skimp_graph::Graph;
use skimp_numerics::rng::{permutation, stream};
use skimp_train::augment::Augment;
use skimp_train::loader::{LastBatch, Loader, LoaderConfig, Order};

use super::config::{TrainConfig, Validation};
use crate::error::{InputFault, StudyError, ValidationFault};
use crate::inputs::answers::AnswerOutput;
use crate::inputs::images::{LabelFit, input_spec, note_data, resolve_preprocess};
use crate::monitor::Monitor;

/// Stream of the choice of training and held-out images.
const CHOICE: u64 = stream("train/images");

/// Share of the images that is held out where a data set has no split to measure on, and nobody chose another.
const DEFAULT_SHARE: f64 = 0.2;

/// The images of a run.
#[derive(Debug)]
pub(crate) struct Data {
    training: Arc<Dataset>,
    training_indices: Vec<usize>,
    validation: Option<(Arc<Dataset>, Vec<usize>)>,
    test: Option<Arc<Dataset>>,
    /// Share of the training images that is held out in place of the test split.
    share: Option<f64>,
    pub(crate) input: InputSpec,
    /// Name or keys of the preprocessing.
    pub(crate) preprocess: String,
    rule: Preprocess,
    /// The output that holds the network's answers.
    pub(crate) answers: AnswerOutput,
}

impl Data {
    /// Opens the data set for `graph`'s only input and chooses the images.
    pub(crate) fn open(config: &TrainConfig, graph: &Graph, monitor: &dyn Monitor) -> Result<Self, StudyError> {
        let training = Arc::new(Dataset::open(&config.data, Split::Train)?);
        let native = training.image_shape().map(|[_, height, width]| [height, width]);
        let (input, axes) = input_spec(graph, config.input_size, native)?;
        if axes.is_channels_last() {
            let input = graph.inputs().first().map(|input| graph.value(input.value).name.clone());
            return Err(InputFault::ChannelsLast { input: input.unwrap_or_default() }.into());
        }
        let (preprocess, rule) = resolve_preprocess(config.preprocess.as_deref(), graph, &training)?;
        let answers = AnswerOutput::choose(graph, input, training.n_classes(), config.output_name.as_deref())?;
        answers.note(config.output_name.as_deref(), monitor);
        let (share, test) = measured_on(config, &training, monitor)?;
        note_data(&training, &rule, input, monitor);
        match LabelFit::of(graph, input, &training) {
            LabelFit::Fits => {}
            // Whatever the numbers are, they are what is learned.
            LabelFit::Differs(what) => monitor.note(&what),
            LabelFit::Beyond(fault) => return Err(fault.into()),
        }
        let validation = None;
        let training_indices = Vec::new();
        let data = Self { training, training_indices, validation, test, share, input, preprocess, rule, answers };
        let data = data.chosen(config)?;
        data.check_overlap(monitor)?;
        Ok(data)
    }

    /// The configuration with what was decided when the data set was opened.
    pub(crate) fn resolved(&self, config: &TrainConfig) -> TrainConfig {
        TrainConfig {
            preprocess: Some(self.preprocess.clone()),
            output_name: self.answers.chosen().map(str::to_owned),
            validation_share: self.share,
            ..config.clone()
        }
    }

    /// The images of the same files that a run with another seed takes.
    pub(crate) fn chosen(&self, config: &TrainConfig) -> Result<Self, StudyError> {
        let n_held_out = match (config.validation, self.share) {
            (Validation::HeldOut(n), _) => n,
            (Validation::Test, Some(share)) => share_of(self.training.len(), share)?,
            (Validation::Test | Validation::None, _) => 0,
        };
        let (training_indices, held_out) = choose(config, self.training.len(), n_held_out)?;
        let validation = match &self.test {
            _ if n_held_out > 0 => Some((Arc::clone(&self.training), held_out)),
            Some(test) => Some((Arc::clone(test), (0..test.len()).collect::<Vec<usize>>())),
            None => None,
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
            share: self.share,
            input: self.input,
            preprocess: self.preprocess.clone(),
            rule: self.rule.clone(),
            answers: self.answers.clone(),
        })
    }

    /// Refuses to measure on nothing but training images, and says so where some are: copies of files and arrays count,
    /// not places.
    fn check_overlap(&self, monitor: &dyn Monitor) -> Result<(), StudyError> {
        let Some((dataset, indices)) = &self.validation else { return Ok(()) };
        if self.training_indices.len() + indices.len() > MAX_COMPARED {
            return Ok(());
        }
        let known: HashSet<u64> = fingerprints(&self.training, &self.training_indices)?.into_iter().collect();
        let twice = fingerprints(dataset, indices)?.iter().filter(|print| known.contains(print)).count();
        let n = indices.len();
        if twice == n && n > 0 {
            return Err(ValidationFault::Shared { n_images: n }.into());
        }
        if twice > 0 {
            monitor.note(&format!(
                "{twice} of {n} validation images occur among the training images, too (the same bytes): accuracy on \
                 them says nothing"
            ));
        }
        Ok(())
    }

    /// Loaders of the training and of the validation images.
    pub(crate) fn loaders(
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

    /// What is changed in the images of `dataset`, one of this run, to fit the network.
    pub(crate) fn adapted(&self, dataset: &Dataset) -> Vec<String> {
        dataset.adaptations(&self.rule, self.input)
    }

    /// Number of images that are trained on.
    pub(crate) fn n_training(&self) -> usize {
        self.training_indices.len()
    }

    /// The data set that is trained on.
    pub(crate) fn training(&self) -> &Dataset {
        &self.training
    }

    /// The data set that the network is measured on, where it is another split.
    pub(crate) fn test(&self) -> Option<&Dataset> {
        self.test.as_deref()
    }
}

/// The share of the training images to hold out, or the test split.
fn measured_on(
    config: &TrainConfig,
    training: &Dataset,
    monitor: &dyn Monitor,
) -> Result<(Option<f64>, Option<Arc<Dataset>>), StudyError> {
    match (config.validation, config.validation_share) {
        (Validation::Test, Some(share)) => Ok((Some(share), None)),
        (Validation::Test, None) => {
            let missing = match training.has_splits().then(|| Dataset::open(&config.data, Split::Test)) {
                Some(Ok(test)) => return Ok((None, Some(Arc::new(test)))),
                Some(Err(error @ DataError::MissingSplit { .. })) => error.to_string(),
                Some(Err(error)) => return Err(error.into()),
                None => format!("data set \"{}\" has the same images for both splits", config.data),
            };
            let n = share_of(training.len(), DEFAULT_SHARE)?;
            monitor.note(&format!(
                "{missing}: {n} of {} images, chosen by the seed, are held out to measure on and not trained on \
                 (--validation-share {DEFAULT_SHARE})",
                training.len()
            ));
            Ok((Some(DEFAULT_SHARE), None))
        }
        (Validation::HeldOut(_) | Validation::None, Some(_)) => Err(ValidationFault::TwoWays.into()),
        (Validation::HeldOut(_) | Validation::None, None) => Ok((None, None)),
    }
}

/// That share of `n_images`, rounded to nearest, at least 1 and not all.
fn share_of(n_images: usize, share: f64) -> Result<usize, StudyError> {
    if !(share > 0.0 && share < 1.0) {
        let expected = "a share above 0 and below 1".to_owned();
        return Err(StudyError::Setting { setting: "validation_share", found: share.to_string(), expected });
    }
    if n_images < 2 {
        return Err(ValidationFault::SingleImage.into());
    }
    Ok(((n_images as f64 * share).round() as usize).clamp(1, n_images - 1))
}

/// Sets with more images are not searched for images that occur twice.
const MAX_COMPARED: usize = 200_000;

/// A number that tells the content of images apart.
fn fingerprints(dataset: &Dataset, indices: &[usize]) -> Result<Vec<u64>, StudyError> {
    let print = |&index: &usize| {
        let mut hasher = DefaultHasher::new();
        dataset.hash_image(index, &mut |bytes| hasher.write(bytes))?;
        Ok(hasher.finish())
    };
    indices.par_iter().map(print).collect()
}

/// Training images in rising order, and held-out ones.
fn choose(config: &TrainConfig, n_images: usize, n_held_out: usize) -> Result<(Vec<usize>, Vec<usize>), StudyError> {
    if n_held_out >= n_images {
        return Err(ValidationFault::TooMany { n_training: n_images, found: n_held_out }.into());
    }
    let wanted = config.images.unwrap_or(usize::MAX);
    if wanted == 0 {
        return Err(StudyError::Count { what: "training images", found: 0, expected: "at least 1".to_owned() });
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
    use crate::inputs::network::Network;

    #[test]
    fn held_out_images_are_not_trained_on() {
        let config = |images| TrainConfig { images, seed: 4, ..TrainConfig::default() };
        let (training, held_out) = choose(&config(Some(50)), 100, 30).unwrap();
        assert_eq!((training.len(), held_out.len()), (50, 30));
        assert!(held_out.iter().all(|index| !training.contains(index)));
        let (all, none) = choose(&config(None), 100, 0).unwrap();
        assert_eq!((all, none), ((0..100).collect(), vec![]));
        assert!(choose(&config(None), 100, 100).is_err());
        assert!(choose(&config(Some(0)), 100, 0).is_err());
    }

    #[test]
    fn a_share_leaves_images_on_both_sides() {
        for (n, share, expected) in [(10, 0.2, 2), (3, 0.01, 1), (3, 0.99, 2), (2, 0.5, 1), (200, 0.2, 40)] {
            assert_eq!(share_of(n, share).unwrap(), expected, "{n} {share}");
        }
        for (n, share) in [(10, 0.0), (10, 1.0), (10, -0.5), (10, f64::NAN), (1, 0.5)] {
            assert!(share_of(n, share).is_err(), "{n} {share}");
        }
    }

    /// Notes, one a line.
    #[derive(Default)]
    struct Notes(std::sync::Mutex<Vec<String>>);

    impl Monitor for Notes {
        fn stage(&self, _name: &str, _n_steps: u64) {}
        fn advance(&self, _n: u64) {}
        fn note(&self, text: &str) {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }

    /// 20 images whose first value is their number, as the only images of a set.
    fn one_set(folder: &std::path::Path, distinct: usize) -> String {
        let (x, y) = (folder.join("x.npy"), folder.join("y.npy"));
        let pixels: Vec<u8> = (0..20 * 28 * 28).map(|at| (at / 784 % distinct) as u8).collect();
        skimp_data::npy::write(&x, &[20, 1, 28, 28], &pixels).unwrap();
        skimp_data::npy::write(&y, &[20], &[0i64; 20]).unwrap();
        format!("npy:{},{}", x.display(), y.display())
    }

    fn open(config: &TrainConfig) -> (Result<Data, StudyError>, Vec<String>) {
        let notes = Notes::default();
        let network = Network::open_for_training("sample-resnet", 0).unwrap();
        let data = Data::open(config, &network.graph, &notes);
        (data, notes.0.into_inner().unwrap())
    }

    #[test]
    fn one_set_for_both_splits_is_split_by_the_seed() {
        let folder = tempfile::tempdir().unwrap();
        let config = |share, seed| TrainConfig {
            data: one_set(folder.path(), 20),
            validation_share: share,
            seed,
            ..TrainConfig::default()
        };
        let indices = |config: &TrainConfig| {
            let (data, notes) = open(config);
            let data = data.unwrap();
            let held_out = data.validation.as_ref().unwrap().1.clone();
            assert!(held_out.iter().all(|index| !data.training_indices.contains(index)));
            assert_eq!(data.training_indices.len() + held_out.len(), 20);
            (held_out, data.resolved(config).validation_share, notes)
        };
        let (held_out, share, notes) = indices(&config(None, 0));
        assert_eq!((held_out.len(), share), (4, Some(0.2)));
        assert!(notes.iter().any(|note| note.contains("--validation-share")), "{notes:?}");
        assert_eq!(indices(&config(Some(0.2), 0)).0, held_out);
        assert_ne!(indices(&config(None, 1)).0, held_out);
        assert_eq!(indices(&config(Some(0.5), 0)).0.len(), 10);
        let held_out = TrainConfig { validation: Validation::HeldOut(3), ..config(Some(0.5), 0) };
        assert!(open(&held_out).0.unwrap_err().to_string().contains("--validation-share"));
    }

    #[test]
    fn images_that_occur_twice_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig { data: one_set(folder.path(), 1), ..TrainConfig::default() };
        let error = open(&config).0.unwrap_err().to_string();
        assert!(error.starts_with("all 4 validation images are training images"), "{error}");
        // Ten pairs of equal images: which are torn apart is the seed's choice, and with some seeds all four are.
        let spec = one_set(folder.path(), 10);
        let config = |seed| TrainConfig { data: spec.clone(), seed, ..TrainConfig::default() };
        let (data, notes) = (0..100).map(|seed| open(&config(seed))).find(|(data, _)| data.is_ok()).unwrap();
        let data = data.unwrap();
        let torn = data.validation.as_ref().unwrap().1.iter();
        let torn = torn.filter(|&&index| data.training_indices.contains(&((index + 10) % 20))).count();
        let expected = format!("{torn} of 4 validation images occur among the training images, too");
        assert!(notes.iter().any(|note| note.starts_with(&expected)), "{notes:?}");
    }
}
