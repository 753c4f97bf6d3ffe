//! Disjoint sets of images: to calibrate and to train on, of the training split; to search and to judge, of the test split,
//! which the network has not learned from: on images that it knows, losses look smaller than they are.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use skimp_data::{DataError, Dataset, Image, ImageSource, Layout};
use skimp_graph::Graph;
use skimp_report::records::SetRecord;
use skimp_study::{DataConfig, HeldData, Images, Split, StudyError};

use super::config::OptimizeConfig;
use crate::error::SweepError;

/// The least images of a set on which accuracy says anything.
const LEAST: usize = 50;

/// A part of a data set.
#[derive(Debug)]
struct Part {
    whole: Arc<Dataset>,
    indices: Vec<usize>,
    labels: Vec<usize>,
}

impl Part {
    fn held(whole: &Arc<Dataset>, indices: &[usize]) -> HeldData {
        let labels = indices.iter().map(|&index| whole.labels()[index]).collect();
        let part = Self { whole: Arc::clone(whole), indices: indices.to_vec(), labels };
        HeldData::new(Dataset::from_source(whole.format(), whole.split(), Box::new(part)))
    }
}

impl ImageSource for Part {
    fn labels(&self) -> &[usize] {
        &self.labels
    }

    fn n_classes(&self) -> usize {
        self.whole.n_classes()
    }

    fn channels(&self) -> usize {
        self.whole.channels()
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        self.whole.image_shape()
    }

    fn layout(&self) -> Layout {
        self.whole.layout()
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        self.whole.image(self.indices[index])
    }

    fn hash_image(&self, index: usize, sink: &mut dyn FnMut(&[u8])) -> Result<(), DataError> {
        self.whole.hash_image(self.indices[index], sink)
    }
}

/// One set, as the record has it.
fn set(name: &str, split: Split, indices: Vec<usize>) -> SetRecord {
    let mut hasher = Sha256::new();
    indices.iter().for_each(|&index| hasher.update((index as u64).to_le_bytes()));
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    SetRecord { name: name.to_owned(), split: split.name().to_owned(), images: indices.len(), sha256, indices }
}

/// The sets of a run.
#[derive(Debug)]
pub(super) struct Sets {
    pub(super) calibration: Images,
    pub(super) search: Images,
    pub(super) n_search: usize,
    /// What fine-tuning learns from.
    pub(super) training: DataConfig,
    pub(super) judging: Images,
    pub(super) n_judging: usize,
    pub(super) records: Vec<SetRecord>,
}

impl Sets {
    pub(super) fn open(config: &OptimizeConfig, graph: &Graph) -> Result<Self, SweepError> {
        let seeded = DataConfig { seed: Some(config.seed), ..config.data.clone() };
        let open = |split: Split, accuracy_images: usize| {
            let data = DataConfig { split, accuracy_images, ..seeded.clone() };
            Images::open(&data, graph, config.input_size)
        };
        let named = &config.data.set;
        let no_split = |cause: String| SweepError::Optimize {
            setting: "data",
            cause: format!(
                "{cause}; calibration, search and final images must be three disjoint sets, the first of the training \
                 split and the others of the test split: give a data set with both (skimp list datasets), such as \
                 cifar10:DIR, or a folder with images for both"
            ),
        };
        let calibration = match open(Split::Train, 0) {
            Ok(images) => images,
            Err(StudyError::Data(error @ (DataError::MissingSplit { .. } | DataError::MissingFile { .. }))) => {
                return Err(no_split(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        if config.data.held.is_some() || !calibration.dataset().has_splits() {
            return Err(no_split(format!("data set \"{named}\" has the same images for both splits")));
        }
        let test = open(Split::Test, 0)?;
        let (order, tests) = (calibration.indices(calibration.len()), test.indices(test.len()));
        // Designs that fit parameters of their own look at images after those that judge.
        let n_fitted = config.data.tuning_images;
        if config.search_images < LEAST {
            return Err(SweepError::Optimize {
                setting: "search-images",
                cause: format!("{}, expected at least {LEAST}", config.search_images),
            });
        }
        let n_search = config.search_images.min(tests.len().saturating_sub(n_fitted) / 2);
        let n_judging = config.final_images.min(tests.len().saturating_sub(n_search + n_fitted));
        // Designs that change answers judge them themselves.
        let judging = open(Split::Test, n_judging)?;
        if n_search < LEAST {
            return Err(SweepError::Optimize {
                setting: "data",
                cause: format!(
                    "the test split of \"{named}\" has {} images, too few for at least {LEAST} to search on beside as many \
                     to judge",
                    tests.len()
                ),
            });
        }
        let n_calibration = config.calibration_images;
        if order.len() < n_calibration + LEAST {
            return Err(SweepError::Optimize {
                setting: "data",
                cause: format!(
                    "the training split of \"{named}\" has {} images, too few for {n_calibration} of calibration and at \
                     least {LEAST} to train on: ask for fewer calibration images",
                    order.len()
                ),
            });
        }
        let (first, rest) = order.split_at(n_calibration);
        let n_training = config.training.images.unwrap_or(rest.len()).min(rest.len());
        let training = &rest[..n_training];
        let search_all = &tests[n_judging..n_judging + n_search + n_fitted];
        let part = |split: Split, indices: &[usize], accuracy_images: usize| -> Result<DataConfig, SweepError> {
            let whole = Arc::new(Dataset::open(named, split).map_err(StudyError::from)?);
            Ok(DataConfig {
                held: Some(Part::held(&whole, indices)),
                split,
                seed: None,
                accuracy_images,
                ..config.data.clone()
            })
        };
        let search = Images::open(&part(Split::Test, search_all, n_search)?, graph, config.input_size)?;
        let records = vec![
            set("calibration", Split::Train, first.to_vec()),
            set("search", Split::Test, search_all[..n_search].to_vec()),
            set("fitting", Split::Test, search_all[n_search..].to_vec()),
            set("training", Split::Train, training.to_vec()),
            set("final", Split::Test, tests[..n_judging].to_vec()),
        ];
        let training = part(Split::Train, training, 0)?;
        Ok(Self { calibration, search, n_search, training, judging, n_judging, records })
    }
}
