//! Which images a run takes, and how they become network inputs.

use std::ops::Range;
use std::sync::Arc;

use skimp_data::{DataError, Dataset, InputSpec, Preprocess, Split};
use skimp_graph::noise::ImageIndices;
use skimp_graph::shape::ImageAxes;
use skimp_graph::{Dim, Graph, Tensor, shape};
use skimp_numerics::rng::permutation;
use skimp_report::records::{DataRecord, InputDigest};

use crate::error::{InputFault, LabelFault, StudyError};
use crate::inputs::answers::{AnswerOutput, Tally};
use crate::inputs::config::DataConfig;
use crate::monitor::Monitor;

/// Key of a network's metadata under which the preprocessing stands that it was trained or calibrated with, as
/// `--preprocess` takes it.
pub(crate) const PREPROCESS_KEY: &str = "skimp.preprocess";

/// Stream of the random choice of images.
const CHOICE_STREAM: u64 = 0x696d_6167_6573;

/// A data set bound to a network's input: which images a run takes, in which order, and how they become numbers. A clone
/// shares the data.
#[derive(Clone, Debug)]
pub struct Images {
    dataset: Arc<Dataset>,
    config: DataConfig,
    preprocess_name: String,
    preprocess: Preprocess,
    input: InputSpec,
    axes: ImageAxes,
    order: Option<Arc<[usize]>>,
    /// Images that the network takes at once, where it fixes their number.
    fixed_batch: Option<usize>,
    answers: AnswerOutput,
}

/// Images in flight at once: enough for both cores, little enough for large images.
const BATCH_ELEMENTS: usize = 1 << 21;

/// Some images as the network takes them.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The network's input. Where the network fixes the number of images and there are fewer, copies of the last one
    /// stand behind them.
    pub(crate) inputs: Tensor,
    /// Classes of the images themselves, without what fills the batch.
    pub(crate) labels: Vec<usize>,
    /// Which images of the data set these are.
    pub(crate) images: ImageIndices,
}

impl Batch {
    /// Images that a run over the batch takes, copies included.
    pub(crate) fn n_run(&self) -> usize {
        self.inputs.shape()[0]
    }
}

impl Images {
    /// Opens the data set of `config` for the only input of `graph`; `input_size` are its height and width where the
    /// network leaves them open (else the images' own).
    ///
    /// # Errors
    /// [`StudyError::Data`] naming the data set, its file or the preprocessing; [`StudyError::Input`] if the network does
    /// not take images, or not of that size.
    pub fn open(config: &DataConfig, graph: &Graph, input_size: Option<[usize; 2]>) -> Result<Self, StudyError> {
        Self::of_shared(config.open(config.split)?, config, graph, input_size)
    }

    /// As [`open`](Self::open), of a data set that is open already: [`Dataset::from_arrays`], say. `config.set` is what
    /// records call it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn of(
        dataset: Dataset,
        config: &DataConfig,
        graph: &Graph,
        input_size: Option<[usize; 2]>,
    ) -> Result<Self, StudyError> {
        Self::of_shared(Arc::new(dataset), config, graph, input_size)
    }

    fn of_shared(
        dataset: Arc<Dataset>,
        config: &DataConfig,
        graph: &Graph,
        input_size: Option<[usize; 2]>,
    ) -> Result<Self, StudyError> {
        let native = dataset.image_shape();
        let (input, axes) = input_spec(graph, input_size, native.map(|[_, height, width]| [height, width]))?;
        let (preprocess_name, preprocess) = resolve_preprocess(config.preprocess.as_deref(), graph, &dataset)?;
        let order = config.seed.map(|seed| permutation(seed, CHOICE_STREAM, dataset.len()).into());
        let fixed_batch = match graph.inputs().first().and_then(|input| input.dims.first()) {
            Some(Dim::Fixed(0)) => {
                return Err(InputFault::NoImages { network: graph.name().to_owned() }.into());
            }
            Some(Dim::Fixed(n)) => Some(*n),
            Some(Dim::Free(_)) | None => None,
        };
        let answers = AnswerOutput::choose(graph, input, dataset.n_classes(), config.output_name.as_deref())?;
        let config = config.clone();
        Ok(Self { dataset, config, preprocess_name, preprocess, input, axes, order, fixed_batch, answers })
    }

    /// Images that set ranges, of `config.split`; of the test split where a training split is wanted and not there.
    ///
    /// # Errors
    /// As [`Images::open`].
    pub(crate) fn open_for_ranges(
        config: &DataConfig,
        graph: &Graph,
        input_size: Option<[usize; 2]>,
        monitor: &dyn Monitor,
    ) -> Result<Self, StudyError> {
        match Self::open(config, graph, input_size) {
            Err(StudyError::Data(absent @ (DataError::MissingSplit { .. } | DataError::MissingFile { .. })))
                if config.split == Split::Train =>
            {
                let images = Self::open(&DataConfig { split: Split::Test, ..config.clone() }, graph, input_size)?;
                monitor.note(&format!("{absent}: images of the test split set the ranges"));
                Ok(images)
            }
            opened => opened,
        }
    }

    /// The images that set ranges where `split` is asked for; `None` where these are the ones.
    ///
    /// # Errors
    /// As [`Images::open`].
    pub(crate) fn for_ranges(&self, split: Option<Split>, monitor: &dyn Monitor) -> Result<Option<Self>, StudyError> {
        let Some(split) = split.filter(|&split| split != self.config.split && self.has_splits()) else {
            return Ok(None);
        };
        let dataset = match self.config.open(split) {
            Ok(dataset) => dataset,
            Err(absent @ (DataError::MissingSplit { .. } | DataError::MissingFile { .. })) => {
                let own = self.config.split.name();
                monitor.note(&format!("{absent}: images of the {own} split set the ranges"));
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let order = self.config.seed.map(|seed| permutation(seed, CHOICE_STREAM, dataset.len()).into());
        let config = DataConfig { split, ..self.config.clone() };
        Ok(Some(Self { dataset, config, order, ..self.clone() }))
    }

    /// Says that the first `n` images set the ranges where accuracy may be measured on the same ones.
    pub(crate) fn note_ranges(&self, n: usize, monitor: &dyn Monitor) {
        let (what, other) = match (self.has_splits(), self.config.split) {
            (true, Split::Train) => return,
            (true, Split::Test) => ("test images", "the calibration split \"train\" takes training images"),
            (false, _) => ("images", "there is no other split to take them from"),
        };
        let which = if self.order.is_some() { "chosen by the seed" } else { "the first ones" };
        let whole = self.len();
        monitor.note(&format!(
            "{n} of {whole} {what} set the ranges ({which}; {other}); accuracy on them is not that on unseen images"
        ));
    }

    /// Images in the split.
    #[must_use]
    pub fn len(&self) -> usize {
        self.dataset.len()
    }

    /// Whether there is none, which no data set allows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dataset.is_empty()
    }

    /// How they were chosen.
    #[must_use]
    pub fn config(&self) -> &DataConfig {
        &self.config
    }

    /// The data set.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The images `range` of the run's order as the network takes them, `[n, c, h, w]` or `[n, h, w, c]`, and their
    /// classes.
    ///
    /// # Errors
    /// [`StudyError::Data`] for a range beyond the data set, or an image that cannot be read.
    pub fn tensors(&self, range: Range<usize>) -> Result<(Tensor, Vec<usize>), StudyError> {
        let order = self.order.as_ref().and_then(|order| order.get(range.clone()));
        let batch = match order {
            Some(indices) => self.dataset.gather(indices, &self.preprocess, self.input)?,
            None => self.dataset.batch(range, &self.preprocess, self.input)?,
        };
        Ok((self.turned(batch.shape, batch.images), batch.labels))
    }

    /// Which of the images with `labels` the network's `outputs` on them get right; ties go to the lower class.
    ///
    /// # Errors
    /// [`StudyError::Answers`] if the output is no list of classes, or a label is out of its range.
    pub fn right_answers(&self, outputs: &[Tensor], labels: &[usize]) -> Result<Vec<bool>, StudyError> {
        let right = |(row, &label): (&[f32], &usize)| {
            let mut tally = Tally::default();
            tally.add_row(row, label).map(|()| tally.top1 == 1)
        };
        self.answers.rows(outputs, labels.len())?.zip(labels).map(right).collect()
    }

    /// The data set, to be kept beside the images.
    pub(crate) fn shared(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// What happens to each pixel.
    pub(crate) fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Places in the data set of the first `n` images of the order, or of all.
    #[must_use]
    pub fn indices(&self, n: usize) -> Vec<usize> {
        let n = n.min(self.len());
        self.order.as_ref().map_or_else(|| (0..n).collect(), |order| order[..n].to_vec())
    }

    /// Whether the other split holds other images.
    pub(crate) fn has_splits(&self) -> bool {
        self.dataset.has_splits()
    }

    /// `n` limited to the images there are.
    ///
    /// # Errors
    /// [`StudyError::Count`] if `n` is 0.
    pub(crate) fn limited(&self, n: usize, what: &'static str) -> Result<usize, StudyError> {
        if n == 0 {
            return Err(StudyError::Count { what, found: 0, expected: "at least 1".to_owned() });
        }
        Ok(n.min(self.len()))
    }

    /// Name of the part of the data set: `all` where both splits are the same images.
    pub(crate) fn split_name(&self) -> &'static str {
        if self.has_splits() { self.config.split.name() } else { "all" }
    }

    /// Part of the data set.
    pub(crate) fn split(&self) -> Split {
        self.config.split
    }

    /// Name of the data set.
    pub(crate) fn name(&self) -> &str {
        self.dataset.name()
    }

    /// Extents of one image as the network gets it.
    pub(crate) fn input(&self) -> InputSpec {
        self.input
    }

    /// Says what of the data set is not used, what is changed in its images, and which preprocessing is in force where
    /// nobody chose one and the choice is not obvious.
    pub(crate) fn note_preprocess(&self, config: &DataConfig, graph: &Graph, monitor: &dyn Monitor) {
        note_data(&self.dataset, &self.preprocess, self.input, monitor);
        if config.preprocess.is_some() || self.name() == "sample" {
            return;
        }
        let carried = if graph.metadata(PREPROCESS_KEY).is_some() { ", which the network names" } else { "" };
        monitor.note(&format!("no --preprocess given, using \"{}\"{carried}", self.preprocess_name));
    }

    /// Checks that the labels may mean the network's answers.
    ///
    /// # Errors
    /// [`StudyError::Labels`] that names the classes on both sides.
    pub(crate) fn check_labels(&self, graph: &Graph, monitor: &dyn Monitor) -> Result<(), StudyError> {
        match LabelFit::of(graph, self.input, &self.dataset) {
            LabelFit::Fits => {}
            LabelFit::Differs(what) => monitor.note(&what),
            LabelFit::Beyond(fault) => return Err(fault.into()),
        }
        Ok(())
    }

    /// What is changed in the images to fit the network, for people; nothing where they fit.
    pub(crate) fn adapted(&self) -> String {
        let adaptations = self.dataset.adaptations(&self.preprocess, self.input);
        adaptations.iter().map(|adaptation| format!(", {adaptation}")).collect()
    }

    /// Name or keys of the preprocessing in force.
    pub(crate) fn preprocess_name(&self) -> &str {
        &self.preprocess_name
    }

    /// The output that holds the network's answers.
    pub(crate) fn answers(&self) -> &AnswerOutput {
        &self.answers
    }

    /// Images that the network takes at once where it fixes their number, else `free`.
    pub(crate) fn images_at_once(&self, free: usize) -> usize {
        self.fixed_batch.unwrap_or(free)
    }

    /// Cuts images into batches of a size that suits the network, or their extents where the network leaves it open.
    pub(crate) fn batches(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let InputSpec { channels, height, width } = self.input;
        self.batches_of(range, (BATCH_ELEMENTS / (channels * height * width).max(1)).clamp(2, 512))
    }

    /// Cuts images into batches of the network's size, or of `free` images where it leaves that open.
    pub(crate) fn batches_of(&self, range: Range<usize>, free: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let batch = self.images_at_once(free);
        range.clone().step_by(batch).map(move |first| first..(first + batch).min(range.end))
    }

    /// `n` without the images that do not fill a batch, where the network fixes its size; all of less than a batch.
    pub(crate) fn in_whole_batches(&self, n: usize) -> usize {
        let at_once = self.images_at_once(1);
        if n < at_once { n } else { n - n % at_once }
    }

    /// Says what fills up the last of the batches over `n` images, where the network fixes their size.
    pub(crate) fn note_batch(&self, n: usize, monitor: &dyn Monitor) {
        if let Some(batch) = self.fixed_batch.filter(|batch| !n.is_multiple_of(*batch)) {
            monitor.note(&format!(
                "the network takes {batch} images at once, of {n}: copies of the last one fill up the last batch and do \
                 not count"
            ));
        }
    }

    /// The images `range` of the run's order, no more than the network takes at once.
    pub(crate) fn batch(&self, range: Range<usize>) -> Result<Batch, StudyError> {
        let n_images = range.len();
        let n_run = self.images_at_once(n_images);
        let batch = match &self.order {
            None if n_run == n_images => self.dataset.batch(range, &self.preprocess, self.input)?,
            order => {
                let last = range.end.saturating_sub(1);
                let filled = range.chain(std::iter::repeat(last)).take(n_run);
                let indices: Vec<usize> = filled.map(|i| order.as_ref().map_or(i, |order| order[i])).collect();
                self.dataset.gather(&indices, &self.preprocess, self.input)?
            }
        };
        let mut labels = batch.labels;
        labels.truncate(n_images);
        let indices = ImageIndices::Each(batch.indices.iter().map(|&index| index as u64).collect());
        Ok(Batch { inputs: self.turned(batch.shape, batch.images), labels, images: indices })
    }

    /// Images `[n, c, h, w]` with their axes as the network takes them.
    fn turned(&self, shape: [usize; 4], images: Vec<f32>) -> Tensor {
        if !self.axes.is_channels_last() {
            return Tensor::from_f32(shape.to_vec(), images);
        }
        let [n, channels, height, width] = shape;
        let plane = height * width;
        let mut turned = Vec::with_capacity(images.len());
        for image in images.chunks_exact((channels * plane).max(1)) {
            for pixel in 0..plane {
                turned.extend((0..channels).map(|channel| image[channel * plane + pixel]));
            }
        }
        Tensor::from_f32(vec![n, height, width, channels], turned)
    }

    /// Bytes that images of one size take in memory, about; 0 for those that are read one by one.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.dataset.image_shape().map_or(0, |shape| shape.iter().product::<usize>() as u64 * self.len() as u64)
    }

    /// The data set, its part and the SHA-256 digest of its content.
    ///
    /// # Errors
    /// [`StudyError::Data`] if its files cannot be read.
    pub fn input_digest(&self) -> Result<InputDigest, StudyError> {
        Ok(self.digest(&self.record()?))
    }

    /// What a record says of the data.
    pub(crate) fn record(&self) -> Result<DataRecord, StudyError> {
        Ok(DataRecord {
            name: self.name().to_owned(),
            spec: Some(self.config.set.clone()),
            split: Some(self.split_name().to_owned()),
            preprocess: Some(self.preprocess_name.clone()),
            adapted: self.dataset.adaptations(&self.preprocess, self.input),
            sha256: Some(self.dataset.digest()?.to_owned()),
        })
    }

    /// The data set as an input of a study.
    pub(crate) fn digest(&self, record: &DataRecord) -> InputDigest {
        InputDigest {
            path: format!("{} ({} split, {} images)", self.config.set, self.split_name(), self.len()),
            sha256: record.sha256.clone().unwrap_or_default(),
            size_bytes: None,
        }
    }
}

/// Says what of a data set's files is not used, and what is changed in the images beside preprocessing.
pub(crate) fn note_data(dataset: &Dataset, preprocess: &Preprocess, input: InputSpec, monitor: &dyn Monitor) {
    let name = dataset.name();
    if let Some(left_out) = dataset.layout().left_out_text() {
        monitor.note(&format!("{name}: {left_out}"));
    }
    if let Some(partial) = dataset.layout().partial_text() {
        monitor.note(&format!("{name}: {partial}"));
    }
    let adaptations = dataset.adaptations(preprocess, input);
    if !adaptations.is_empty() {
        monitor.note(&format!("{name}: images are {}", adaptations.join(", ")));
    }
}

/// Whether the labels of a data set and the answers of a network may mean the same classes.
#[derive(Debug)]
pub(crate) enum LabelFit {
    /// As far as can be told.
    Fits,
    /// There are more answers than classes, or the other way round, but none is missing for a label.
    Differs(String),
    /// There are labels without an answer.
    Beyond(Box<LabelFault>),
}

impl LabelFit {
    /// Compares them where the network has one output whose extents are known.
    pub(crate) fn of(graph: &Graph, input: InputSpec, dataset: &Dataset) -> Self {
        let [output] = graph.outputs() else { return Self::Fits };
        let size = Some((input.height, input.width));
        let Ok(shapes) = shape::bind(graph, 1, size).and_then(|inputs| shape::infer(graph, &inputs)) else {
            return Self::Fits;
        };
        let n_answers: usize = shapes.shape(*output).iter().skip(1).product();
        let skimp_data::Layout { description, class_names, is_numbering_relative, .. } = dataset.layout();
        let (name, n_classes) = (dataset.name(), dataset.n_classes());
        let how = if description.is_empty() { String::new() } else { format!(" ({description})") };
        if let Some(beyond) = dataset.labels().iter().copied().max().filter(|&label| label >= n_answers) {
            let hint = if description.contains("WordNet") {
                "; add ,classes=folders to the place to number the folders that are there"
            } else {
                ""
            };
            return Self::Beyond(Box::new(LabelFault {
                dataset: name.to_owned(),
                largest: beyond,
                class: class_names.get(beyond).cloned(),
                n_classes,
                n_answers,
                layout: how,
                hint,
            }));
        }
        let has_names = !class_names.is_empty() || !dataset.format().class_names().is_empty();
        if n_classes == n_answers || !has_names {
            return Self::Fits;
        }
        let counts = format!("data set \"{name}\" has {n_classes} classes{how}, the network tells {n_answers} apart");
        if is_numbering_relative {
            return Self::Differs(format!(
                "{counts}: the numbers are right only if these are the network's first classes; if others are missing, \
                 list all of them in classes.txt, one a line"
            ));
        }
        Self::Differs(format!("{counts}: check that the labels mean the same classes"))
    }
}

/// Name and rule of the preprocessing in force: the `chosen` one, else the one that the network carries under
/// [`PREPROCESS_KEY`], else the data set's own.
pub(crate) fn resolve_preprocess(
    chosen: Option<&str>,
    graph: &Graph,
    dataset: &Dataset,
) -> Result<(String, Preprocess), StudyError> {
    if let Some(carried) = graph.metadata(PREPROCESS_KEY).filter(|_| chosen.is_none()) {
        let preprocess = carried.parse().map_err(|error| StudyError::NamedPreprocess {
            network: graph.name().to_owned(),
            source: Box::new(error),
        })?;
        return Ok((carried.to_owned(), preprocess));
    }
    let name = chosen.unwrap_or_else(|| dataset.format().default_preprocess());
    Ok((name.to_owned(), name.parse()?))
}

/// Extents of the network's only input; open ones come from `input_size`, else from the images.
pub(crate) fn input_spec(
    graph: &Graph,
    input_size: Option<[usize; 2]>,
    native: Option<[usize; 2]>,
) -> Result<(InputSpec, ImageAxes), StudyError> {
    let [input] = graph.inputs() else {
        return Err(InputFault::Number { network: graph.name().to_owned(), found: graph.inputs().len() }.into());
    };
    let name = || graph.value(input.value).name.clone();
    let Some(axes) = ImageAxes::of(graph, input) else {
        return Err(InputFault::Rank { input: name(), found: input.dims.len() }.into());
    };
    let (height, width) = (&input.dims[axes.height], &input.dims[axes.width]);
    let Dim::Fixed(channels) = &input.dims[axes.channels] else {
        return Err(InputFault::OpenChannels { input: name() }.into());
    };
    let extent = |dim: &Dim, axis: usize| match (dim, input_size, native) {
        (Dim::Fixed(fixed), Some(wanted), _) if *fixed != wanted[axis] => {
            Err(InputFault::Size { input: name(), is_height: axis == 0, fixed: *fixed, given: wanted[axis] })
        }
        (Dim::Fixed(fixed), _, _) => Ok(*fixed),
        (Dim::Free(_), Some(wanted), _) => Ok(wanted[axis]),
        (Dim::Free(_), None, Some(native)) => Ok(native[axis]),
        (Dim::Free(_), None, None) => Err(InputFault::OpenSize { input: name() }),
    };
    Ok((InputSpec { channels: *channels, height: extent(height, 0)?, width: extent(width, 1)? }, axes))
}
