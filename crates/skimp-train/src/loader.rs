//! Batches for training: shuffled by seed and epoch, augmented, prepared ahead of time.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rayon::prelude::*;
use skimp_data::{Batch, Dataset, InputSpec, Prepared, Preprocess};
use skimp_numerics::rng::{permutation, random_u64, stream};

use crate::TrainError;
use crate::augment::{Augment, Picture};

/// Stream of the order of each epoch.
const SHUFFLE: u64 = stream("loader/shuffle");

/// In which order an epoch takes its images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Another random order in every epoch.
    #[default]
    Shuffled,
    /// As given.
    Sequential,
}

/// What happens to images that do not fill a batch at the end of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastBatch {
    /// They make a smaller one.
    #[default]
    Keep,
    /// They are left out.
    Drop,
}

/// How batches are made.
#[derive(Debug)]
pub struct LoaderConfig {
    /// Images of a batch.
    pub batch: usize,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Order of the images.
    pub order: Order,
    /// The last batch of an epoch.
    pub last_batch: LastBatch,
    /// How stored pixels become numbers.
    pub preprocess: Preprocess,
    /// Extents of the network's input.
    pub input: InputSpec,
    /// Random changes.
    pub augment: Augment,
}

/// Gives the batches of every epoch; any batch can be had at any time, so a run can begin anywhere.
///
/// # Determinism
/// A batch is a function of the configuration, the images and its position.
#[derive(Clone, Debug)]
pub struct Loader {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    images: Prepared<Arc<Dataset>>,
    indices: Vec<usize>,
    config: LoaderConfig,
    black: Vec<f32>,
}

impl Loader {
    /// A loader of the images `indices` of `dataset`.
    ///
    /// # Errors
    /// [`TrainError::Option`] for a batch of 0 or without any full batch where partial ones are left out,
    /// [`TrainError::Data`] for no images, [`TrainError::Images`] if the images do not fit the input or an index is
    /// out of range.
    pub fn new(dataset: Arc<Dataset>, indices: Vec<usize>, config: LoaderConfig) -> Result<Self, TrainError> {
        let option = |name: &str, expected: String, found: usize| TrainError::Option {
            name: name.to_owned(),
            expected,
            found: found.to_string(),
        };
        if config.batch == 0 {
            return Err(option("batch size", "at least 1".to_owned(), 0));
        }
        let Some(first) = indices.first() else {
            return Err(TrainError::Data {
                what: format!("data set \"{}\"", dataset.name()),
                expected: "at least 1 image".to_owned(),
                found: "none".to_owned(),
            });
        };
        if config.last_batch == LastBatch::Drop && indices.len() < config.batch {
            return Err(option("batch size", format!("at most {}, the number of images", indices.len()), config.batch));
        }
        if let Some(&beyond) = indices.iter().find(|&&index| index >= dataset.len()) {
            dataset.image(beyond)?;
        }
        // Fails at once where channels or preprocessing do not fit, or files cannot be read.
        let images = Prepared::new(dataset, &config.preprocess, config.input)?;
        images.gather(&[*first], &mut Batch::default())?;
        let black = (0..config.input.channels).map(|channel| config.preprocess.value(0.0, channel)).collect();
        Ok(Self { shared: Arc::new(Shared { images, indices, config, black }) })
    }

    /// Images of an epoch, before the last batch is left out.
    pub fn n_images(&self) -> usize {
        self.shared.indices.len()
    }

    /// Batches of an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        let (images, batch) = (self.shared.indices.len(), self.shared.config.batch);
        let steps = match self.shared.config.last_batch {
            LastBatch::Keep => images.div_ceil(batch),
            LastBatch::Drop => images / batch,
        };
        steps as u64
    }

    /// Images of the batch `step`, counted from 0 over all epochs.
    pub fn batch_len(&self, step: u64) -> usize {
        let (images, batch) = (self.shared.indices.len(), self.shared.config.batch);
        let first = (step % self.steps_per_epoch()) as usize * batch;
        batch.min(images - first)
    }

    /// Checks that the labels of all images name one of `n_classes` classes.
    ///
    /// # Errors
    /// [`TrainError::Data`] with the first that does not.
    pub fn check_labels(&self, n_classes: usize) -> Result<(), TrainError> {
        let dataset = self.shared.images.dataset();
        let labels = dataset.labels();
        let beyond = self.shared.indices.iter().find(|&&index| labels[index] >= n_classes);
        beyond.map_or(Ok(()), |&index| {
            Err(TrainError::Data {
                what: format!("data set \"{}\", image {index}", dataset.name()),
                expected: format!("a label below {n_classes}, the network's number of classes"),
                found: labels[index].to_string(),
            })
        })
    }

    /// The batch `step`, counted from 0 over all epochs.
    ///
    /// # Errors
    /// [`TrainError::Images`] if an image cannot be read.
    pub fn batch(&self, step: u64) -> Result<Batch, TrainError> {
        let epoch = step / self.steps_per_epoch();
        let mut batch = Batch::default();
        self.shared.fill(&mut batch, &self.shared.order(epoch), epoch, step % self.steps_per_epoch())?;
        Ok(batch)
    }

    /// The batches `steps`, made ahead of time by a thread of their own: `ahead` of them wait at most. Where they are
    /// given back ([`Stream::recycle`]), nothing is allocated after the first ones but the order of each epoch.
    pub fn stream(&self, steps: Range<u64>, ahead: usize) -> Stream {
        let (loader, per_epoch) = (self.clone(), self.steps_per_epoch());
        let (sender, receiver) = sync_channel(ahead);
        let (back, empty) = sync_channel::<Batch>(ahead + 2);
        let work = move || {
            let mut current = None;
            for step in steps {
                let epoch = step / per_epoch;
                let (_, order) = match current.take() {
                    Some((known, order)) if known == epoch => current.insert((known, order)),
                    _ => current.insert((epoch, loader.shared.order(epoch))),
                };
                let mut batch = empty.try_recv().unwrap_or_default();
                let filled = loader.shared.fill(&mut batch, order, epoch, step % per_epoch).map(|()| batch);
                let failed = filled.is_err();
                // Nobody receives any more: the run has ended.
                if sender.send(filled).is_err() || failed {
                    return;
                }
            }
        };
        // A pool of one thread: images are prepared beside the training, not in place of it.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let thread = std::thread::Builder::new().name("loader".to_owned()).spawn(move || match pool {
            Ok(pool) => pool.install(work),
            Err(_) => work(),
        });
        Stream { receiver: Some(receiver), back, thread: thread.ok() }
    }
}

impl Shared {
    fn order(&self, epoch: u64) -> Vec<usize> {
        match self.config.order {
            Order::Sequential => self.indices.clone(),
            Order::Shuffled => {
                let order = permutation(random_u64(self.config.seed, SHUFFLE, epoch), SHUFFLE, self.indices.len());
                order.into_iter().map(|position| self.indices[position]).collect()
            }
        }
    }

    fn fill(&self, batch: &mut Batch, order: &[usize], epoch: u64, step: u64) -> Result<(), TrainError> {
        let LoaderConfig { batch: size, seed, input, augment, .. } = &self.config;
        let first = (step as usize * size).min(order.len());
        let chosen = &order[first..(first + size).min(order.len())];
        self.images.gather(chosen, batch)?;
        if !augment.is_empty() {
            let len = input.channels * input.height * input.width;
            batch.images.par_chunks_mut(len).zip(chosen).for_each(|(values, &index)| {
                augment.apply(&mut Picture { values, shape: *input, black: &self.black }, *seed, epoch, index);
            });
        }
        Ok(())
    }
}

/// Batches in order; see [`Loader::stream`]. Dropping it ends its thread.
#[derive(Debug)]
pub struct Stream {
    receiver: Option<Receiver<Result<Batch, TrainError>>>,
    back: SyncSender<Batch>,
    thread: Option<JoinHandle<()>>,
}

impl Stream {
    /// Gives a batch back, whose memory then holds a later one.
    pub fn recycle(&self, batch: Batch) {
        // There is room for all batches of this stream; where there is none, or nobody takes them, the batch just goes.
        let _ = self.back.try_send(batch);
    }
}

impl Iterator for Stream {
    type Item = Result<Batch, TrainError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.receiver.as_ref()?.recv().ok()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has already been reported; there is nothing left to lose here.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
