//! An opened data set and the seam behind which each format lives.

use std::fmt;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::OnceLock;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::layout::Layout;
use crate::nearest::nearest;
use crate::preprocess::{Pipeline, Preprocess};
use crate::{DATASETS, DataError, Image, Samples, datasets, resize};

/// Which part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Images held out for measuring accuracy.
    #[default]
    Test,
    /// Images to learn from.
    Train,
}

impl Split {
    /// `test` or `train`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Train => "train",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Extents of one image as the network takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InputSpec {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl From<[usize; 3]> for InputSpec {
    fn from([channels, height, width]: [usize; 3]) -> Self {
        Self { channels, height, width }
    }
}

/// Preprocessed images and their labels. The default is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Values in NCHW order.
    pub images: Vec<f32>,
    /// `[n, c, h, w]`.
    pub shape: [usize; 4],
    /// The class of each image.
    pub labels: Vec<usize>,
    /// The index of each image in its data set.
    pub indices: Vec<usize>,
}

/// A kind of data set: one entry of [`DATASETS`].
pub trait DatasetFormat: fmt::Debug + Sync {
    /// Name before the colon of `NAME:DIR`, in kebab-case.
    fn name(&self) -> &'static str;

    /// One line on what it is.
    fn summary(&self) -> &'static str;

    /// Who made it or where the format is described.
    fn source(&self) -> &'static str;

    /// How it is written, such as `cifar10:DIR`.
    fn example(&self) -> &'static str;

    /// The preprocessing to use where none is asked for.
    fn default_preprocess(&self) -> &'static str;

    /// Names of the classes, in order, where they are fixed; empty otherwise.
    fn class_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// Opens one split. `location` is the text after the colon.
    ///
    /// # Errors
    /// Any file that is missing or invalid. Image files may be checked no earlier than [`ImageSource::image`].
    fn open(&self, location: Option<&str>, split: Split) -> Result<Box<dyn ImageSource>, DataError>;
}

/// The images of one split, as stored.
pub trait ImageSource: fmt::Debug + Send + Sync {
    /// The class of each image; each lies below [`ImageSource::n_classes`].
    fn labels(&self) -> &[usize];

    /// Number of classes.
    fn n_classes(&self) -> usize;

    /// Number of channels of every image.
    fn channels(&self) -> usize;

    /// `[channels, height, width]` where all images share them.
    fn image_shape(&self) -> Option<[usize; 3]>;

    /// Whether the other split holds other images; if not, both are the same.
    fn has_splits(&self) -> bool {
        true
    }

    /// How the files lie, and what of them is not used.
    fn layout(&self) -> Layout {
        Layout::default()
    }

    /// Decodes the image at `index`, which lies below the number of labels.
    ///
    /// # Errors
    /// If a file cannot be read or decoded.
    fn image(&self, index: usize) -> Result<Image<'_>, DataError>;

    /// Gives `sink` the bytes that stand for the image at `index` in the digest.
    ///
    /// # Errors
    /// As [`ImageSource::image`].
    fn hash_image(&self, index: usize, sink: &mut dyn FnMut(&[u8])) -> Result<(), DataError> {
        let image = self.image(index)?;
        for extent in [image.channels, image.height, image.width] {
            sink(&(extent as u64).to_le_bytes());
        }
        match &image.samples {
            Samples::U8(values) => {
                sink(b"u");
                sink(values);
            }
            Samples::F32(values) => {
                sink(b"f");
                values.iter().for_each(|value| sink(&value.to_le_bytes()));
            }
        }
        Ok(())
    }
}

/// One split of a data set, ready to be read.
#[derive(Debug)]
pub struct Dataset {
    format: &'static dyn DatasetFormat,
    split: Split,
    source: Box<dyn ImageSource>,
    digest: OnceLock<String>,
}

impl Dataset {
    /// Opens `NAME` or `NAME:PLACE`, with `NAME` from [`DATASETS`].
    ///
    /// # Errors
    /// [`DataError::UnknownDataset`], and whatever is wrong with the files.
    pub fn open(text: &str, split: Split) -> Result<Self, DataError> {
        let (name, location) = match text.split_once(':') {
            Some((name, location)) => (name, Some(location).filter(|l| !l.is_empty())),
            None => (text, None),
        };
        let names = || DATASETS.iter().map(|format| format.name());
        let format =
            *DATASETS.iter().find(|format| format.name() == name).ok_or_else(|| DataError::UnknownDataset {
                name: name.to_owned(),
                nearest: nearest(name, names()),
                valid: names().collect::<Vec<_>>().join(", "),
            })?;
        Ok(Self::from_source(format, split, format.open(location, split)?))
    }

    /// Images that a program holds in memory, row-major `[n, c, h, w]` of extents `shape` = `[c, h, w]`, and the class of
    /// each: the data set `arrays`, without splits. It has one class more than the greatest label. Pixels are bytes or
    /// numbers as the preprocessing expects them, which is `raw` (unchanged) unless one is chosen.
    ///
    /// # Errors
    /// [`DataError::CountMismatch`] or [`DataError::InvalidFile`] naming what does not fit.
    pub fn from_arrays(
        shape: [usize; 3],
        samples: impl Into<Samples<'static>>,
        labels: &[usize],
    ) -> Result<Self, DataError> {
        let source = datasets::arrays::source(shape, samples.into(), labels)?;
        Ok(Self::from_source(&datasets::arrays::Arrays, Split::Test, Box::new(source)))
    }

    /// One split of a data set in a format of one's own.
    pub fn from_source(format: &'static dyn DatasetFormat, split: Split, source: Box<dyn ImageSource>) -> Self {
        Self { format, split, source, digest: OnceLock::new() }
    }

    /// Name of the format, such as `cifar10`.
    pub fn name(&self) -> &'static str {
        self.format.name()
    }

    /// The registered format: its summary, source, class names and default preprocessing.
    pub fn format(&self) -> &'static dyn DatasetFormat {
        self.format
    }

    /// Which split was opened.
    pub fn split(&self) -> Split {
        self.split
    }

    /// Number of images; never 0.
    pub fn len(&self) -> usize {
        self.source.labels().len()
    }

    /// Whether there is no image. Opening fails in that case, so this is always false.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.source.n_classes()
    }

    /// The class of each image.
    pub fn labels(&self) -> &[usize] {
        self.source.labels()
    }

    /// Number of channels of every image.
    pub fn channels(&self) -> usize {
        self.source.channels()
    }

    /// `[channels, height, width]`, or `None` where images differ.
    pub fn image_shape(&self) -> Option<[usize; 3]> {
        self.source.image_shape()
    }

    /// Whether the other split holds other images; if not, opening it gives the same ones.
    pub fn has_splits(&self) -> bool {
        self.source.has_splits()
    }

    /// How the files lie, and what of them is not used.
    pub fn layout(&self) -> Layout {
        self.source.layout()
    }

    /// The image at `index` as stored, without preprocessing.
    ///
    /// # Errors
    /// [`DataError::IndexOutOfRange`], or an image file that cannot be decoded.
    pub fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        self.check_index(index)?;
        self.source.image(index)
    }

    /// Gives `sink` the bytes that stand for the image at `index`: the file's where it is one, else extents and samples.
    ///
    /// # Errors
    /// As [`Dataset::image`].
    pub fn hash_image(&self, index: usize, sink: &mut dyn FnMut(&[u8])) -> Result<(), DataError> {
        self.check_index(index)?;
        self.source.hash_image(index, sink)
    }

    /// Decodes the images at `indices`, in parallel, and keeps none.
    ///
    /// # Errors
    /// [`DataError::Damaged`] if any cannot be decoded, with the first of them in the order of `indices`.
    pub fn check(&self, indices: &[usize]) -> Result<(), DataError> {
        let mut failed: Vec<DataError> = indices.par_iter().filter_map(|&index| self.image(index).err()).collect();
        match failed.len() {
            0 => Ok(()),
            1 => Err(failed.remove(0)),
            n_damaged => {
                let list = failed.iter().take(MAX_LISTED).map(DataError::to_string).collect();
                Err(DataError::Damaged { n_damaged, n_checked: indices.len(), list })
            }
        }
    }

    /// SHA-256 of the content, in lower-case hexadecimal; computed at the first call.
    ///
    /// It covers, in order: the line `skimp-data/1`, the number of images, then for each image its label, its extents
    /// and its samples (the file's bytes for image folders). Numbers are little-endian u64. Names and packing of files
    /// do not count: the same images in `.gz` files or another folder have the same digest.
    ///
    /// # Errors
    /// An image file that cannot be read.
    pub fn digest(&self) -> Result<&str, DataError> {
        if let Some(digest) = self.digest.get() {
            return Ok(digest);
        }
        let mut hasher = Sha256::new();
        hasher.update(b"skimp-data/1\n");
        hasher.update((self.len() as u64).to_le_bytes());
        for (index, &label) in self.labels().iter().enumerate() {
            hasher.update((label as u64).to_le_bytes());
            self.source.hash_image(index, &mut |bytes| hasher.update(bytes))?;
        }
        let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(self.digest.get_or_init(|| hex))
    }

    /// Preprocesses the images `range` for an input of the extents `target`, in parallel on rayon's current pool.
    ///
    /// # Errors
    /// As [`Dataset::gather`].
    ///
    /// # Determinism
    /// The result does not depend on the number of threads, nor does the choice of the error.
    pub fn batch(
        &self,
        range: Range<usize>,
        preprocess: &Preprocess,
        target: impl Into<InputSpec>,
    ) -> Result<Batch, DataError> {
        if !range.is_empty() {
            self.check_index(range.end - 1)?;
        }
        self.gather(&range.collect::<Vec<_>>(), preprocess, target)
    }

    /// Preprocesses the images at `indices`, in that order; an index may occur more than once.
    ///
    /// # Errors
    /// [`DataError::IndexOutOfRange`]; [`DataError::Channels`] and [`DataError::PreprocessChannels`] if the data or
    /// the preprocessing does not fit the channels of `target`; [`DataError::InvalidShape`]; or the first image, in the
    /// order of `indices`, that cannot be decoded.
    pub fn gather(
        &self,
        indices: &[usize],
        preprocess: &Preprocess,
        target: impl Into<InputSpec>,
    ) -> Result<Batch, DataError> {
        let mut batch = Batch::default();
        self.prepare(preprocess, target)?.gather(indices, &mut batch)?;
        Ok(batch)
    }

    /// What [`gather`](Dataset::gather) sets up for a preprocessing and an input, to be used for many batches.
    ///
    /// # Errors
    /// [`DataError::Channels`], [`DataError::PreprocessChannels`], [`DataError::InvalidShape`].
    pub fn prepare(&self, preprocess: &Preprocess, target: impl Into<InputSpec>) -> Result<Prepared<&Self>, DataError> {
        Prepared::new(self, preprocess, target)
    }

    /// What [`gather`](Dataset::gather) changes in the images beside preprocessing each value, one sentence part each:
    /// extents that are scaled or cropped, gray that becomes color. Empty where images are taken as they are.
    pub fn adaptations(&self, preprocess: &Preprocess, target: impl Into<InputSpec>) -> Vec<String> {
        let input = target.into();
        let (extents, short_side) = ([input.height, input.width], preprocess.short_side());
        let scaled = match self.image_shape() {
            Some([_, height, width]) => resize::describe([height, width], extents, short_side),
            None => Some(resize::describe_any(extents, short_side)),
        };
        let gray = (self.channels() == 1 && input.channels > 1)
            .then(|| format!("gray repeated to {} channels", input.channels));
        scaled.into_iter().chain(gray).collect()
    }

    fn check_index(&self, index: usize) -> Result<(), DataError> {
        if index < self.len() {
            return Ok(());
        }
        Err(DataError::IndexOutOfRange { dataset: self.name().to_owned(), index, len: self.len() })
    }
}

/// A data set (borrowed or owned), a preprocessing and an input that fit each other; see [`Dataset::prepare`].
pub struct Prepared<D> {
    dataset: D,
    pipeline: Pipeline,
    input: InputSpec,
}

impl<D: Deref<Target = Dataset>> Prepared<D> {
    /// Prepares `dataset`.
    ///
    /// # Errors
    /// As [`Dataset::prepare`].
    pub fn new(dataset: D, preprocess: &Preprocess, target: impl Into<InputSpec>) -> Result<Self, DataError> {
        let input = target.into();
        image_len([1, input.channels, input.height, input.width])?;
        let (data, fixed) = (dataset.source.channels(), dataset.image_shape().is_some());
        let pipeline =
            preprocess.compile(dataset.name(), data, input.channels, fixed).map_err(|error| match error {
                DataError::Channels { dataset: name, data, input, .. } => {
                    let last_axis = dataset.image_shape().is_some_and(|[.., width]| width == input);
                    DataError::Channels { dataset: name, data, input, last_axis }
                }
                other => other,
            })?;
        Ok(Self { dataset, pipeline, input })
    }

    /// The data set.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// As [`Dataset::gather`], into a batch whose memory is used again. Nothing is allocated where it suffices and the
    /// images lie in memory in the input's extents.
    ///
    /// # Errors
    /// As [`Dataset::gather`]; the batch is of no use then.
    pub fn gather(&self, indices: &[usize], batch: &mut Batch) -> Result<(), DataError> {
        let InputSpec { channels, height, width } = self.input;
        indices.iter().try_for_each(|&index| self.dataset.check_index(index))?;
        batch.shape = [indices.len(), channels, height, width];
        let len = image_len(batch.shape)?;
        let bytes = skimp_memory::bytes_of::<f32>((indices.len() * len) as u64);
        if indices.len() * len > batch.images.capacity() {
            skimp_memory::check(bytes, || format!("a batch of {} images", indices.len()))?;
        }
        batch.images.resize(indices.len() * len, 0.0);
        batch.indices.clear();
        batch.indices.extend_from_slice(indices);
        batch.labels.clear();
        batch.labels.extend(indices.iter().map(|&index| self.dataset.labels()[index]));
        let (source, pipeline) = (&self.dataset.source, &self.pipeline);
        let images = batch.images.par_chunks_mut(len).zip(indices).enumerate();
        let failed = images.filter_map(|(position, (out, &index))| match source.image(index) {
            Ok(image) => {
                pipeline.apply(image, height, width, out);
                None
            }
            Err(error) => Some((position, error)),
        });
        failed.min_by_key(|&(position, _)| position).map_or(Ok(()), |(_, error)| Err(error))
    }
}

impl<D: Deref<Target = Dataset>> fmt::Debug for Prepared<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("dataset", &*self.dataset).field("input", &self.input).finish_non_exhaustive()
    }
}

/// Values of one image, after checking that all of them fit into memory's address range.
fn image_len(shape: [usize; 4]) -> Result<usize, DataError> {
    if shape[1..].contains(&0) {
        return Err(DataError::InvalidShape { shape, cause: "channels, height and width must not be 0" });
    }
    if shape[1..].iter().any(|&extent| extent > MAX_EXTENT) {
        return Err(DataError::InvalidShape { shape, cause: "channels, height and width must not exceed 2^24" });
    }
    let bytes = shape.iter().try_fold(size_of::<f32>(), |product, &extent| product.checked_mul(extent));
    match bytes {
        Some(bytes) if bytes <= MAX_BATCH_BYTES => Ok(shape[1] * shape[2] * shape[3]),
        _ => Err(DataError::InvalidShape { shape, cause: "it needs more than 64 GiB" }),
    }
}

/// Damaged images that an error names.
const MAX_LISTED: usize = 5;

/// No batch is larger than this: a wrong input extent should be an error, not an allocation failure.
const MAX_BATCH_BYTES: usize = 64 << 30;

/// No extent of an image is larger, so that products of two extents never overflow.
const MAX_EXTENT: usize = 1 << 24;

/// The greatest number of classes of sets that do not fix it themselves.
pub(crate) const MAX_CLASSES: usize = 100_000;

/// Images of equal extents, held in memory.
#[derive(Debug)]
pub(crate) struct MemorySource {
    shape: [usize; 3],
    samples: Samples<'static>,
    labels: Vec<usize>,
    n_classes: usize,
    has_splits: bool,
    layout: Layout,
}

impl MemorySource {
    /// Checks and keeps the images. Without `n_classes` it is one more than the greatest label.
    ///
    /// `samples` holds a whole number of images of `shape`, as many as `labels`; the caller has checked that.
    pub(crate) fn new(
        shape: [usize; 3],
        samples: Samples<'static>,
        images_path: &Path,
        labels: &[i128],
        labels_path: &Path,
        n_classes: Option<usize>,
    ) -> Result<Self, DataError> {
        if shape.iter().any(|extent| !(1..=MAX_EXTENT).contains(extent)) {
            let cause = format!("expected image extents from 1 to {MAX_EXTENT}, found {shape:?}");
            return Err(DataError::invalid(images_path, cause));
        }
        if labels.is_empty() {
            return Err(DataError::Empty { path: images_path.to_path_buf(), expected: "at least one" });
        }
        let max = n_classes.unwrap_or(MAX_CLASSES) - 1;
        let labels = labels
            .iter()
            .enumerate()
            .map(|(record, &label)| check_label(label, max, record, labels_path))
            .collect::<Result<Vec<_>, _>>()?;
        let n_classes = n_classes.unwrap_or_else(|| labels.iter().max().map_or(0, |max| max + 1));
        debug_assert_eq!(samples.len(), labels.len() * shape.iter().product::<usize>());
        Ok(Self { shape, samples, labels, n_classes, has_splits: true, layout: Layout::default() })
    }

    /// The same images for both splits.
    pub(crate) fn without_splits(self) -> Self {
        Self { has_splits: false, ..self }
    }

    /// With what opening found out about the files.
    pub(crate) fn with_layout(self, layout: Layout) -> Self {
        Self { layout, ..self }
    }
}

/// The label as an index, if it lies in `0..=max`.
pub(crate) fn check_label(label: i128, max: usize, record: usize, path: &Path) -> Result<usize, DataError> {
    usize::try_from(label).ok().filter(|&label| label <= max).ok_or_else(|| DataError::LabelOutOfRange {
        path: path.to_path_buf(),
        record,
        label,
        max,
    })
}

impl ImageSource for MemorySource {
    fn labels(&self) -> &[usize] {
        &self.labels
    }

    fn n_classes(&self) -> usize {
        self.n_classes
    }

    fn channels(&self) -> usize {
        self.shape[0]
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        Some(self.shape)
    }

    fn has_splits(&self) -> bool {
        self.has_splits
    }

    fn layout(&self) -> Layout {
        self.layout.clone()
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        let [channels, height, width] = self.shape;
        let len = channels * height * width;
        Ok(Image { channels, height, width, samples: self.samples.slice(index * len, len) })
    }
}
