//! Which images a run takes, and how they become network inputs.

use std::ops::Range;

use skimp_data::{Dataset, InputSpec, Preprocess, Split};
use skimp_graph::{Dim, Graph, Tensor};
use skimp_numerics::rng::permutation;
use skimp_report::records::{DataRecord, InputDigest};

use crate::{DataConfig, Monitor, SplitConfig, StudyError};

/// Key of a network's metadata under which the preprocessing stands that it was trained or calibrated with, as
/// `--preprocess` takes it.
pub(crate) const PREPROCESS_KEY: &str = "skimp.preprocess";

/// Stream of the random choice of images.
const CHOICE_STREAM: u64 = 0x696d_6167_6573;

/// A data set bound to a network's input.
#[derive(Debug)]
pub(crate) struct Images {
    dataset: Dataset,
    spec: String,
    split: SplitConfig,
    preprocess_name: String,
    preprocess: Preprocess,
    input: InputSpec,
    order: Option<Vec<usize>>,
}

impl Images {
    /// Opens the data set of `config` for `graph`'s only input.
    pub(crate) fn open(config: &DataConfig, graph: &Graph, input_size: Option<[usize; 2]>) -> Result<Self, StudyError> {
        let split = match config.split {
            SplitConfig::Train => Split::Train,
            SplitConfig::Test => Split::Test,
        };
        let dataset = Dataset::open(&config.set, split)?;
        let native = dataset.image_shape();
        let input = input_spec(graph, input_size, native.map(|[_, height, width]| [height, width]))?;
        let (preprocess_name, preprocess) = resolve_preprocess(config.preprocess.as_deref(), graph, &dataset)?;
        let order = config.seed.map(|seed| permutation(seed, CHOICE_STREAM, dataset.len()));
        Ok(Self { dataset, spec: config.set.clone(), split: config.split, preprocess_name, preprocess, input, order })
    }

    /// Images in the split.
    pub(crate) fn len(&self) -> usize {
        self.dataset.len()
    }

    /// `n` limited to the images there are.
    ///
    /// # Errors
    /// [`StudyError::Usage`] if `n` is 0.
    pub(crate) fn limited(&self, n: usize, what: &str) -> Result<usize, StudyError> {
        if n == 0 {
            return Err(StudyError::Usage(format!("0 {what}, expected at least 1")));
        }
        Ok(n.min(self.len()))
    }

    /// Part of the data set.
    pub(crate) fn split(&self) -> SplitConfig {
        self.split
    }

    /// Name of the data set.
    pub(crate) fn name(&self) -> &str {
        self.dataset.name()
    }

    /// Extents of one image as the network gets it.
    pub(crate) fn input(&self) -> InputSpec {
        self.input
    }

    /// Says which preprocessing is in force where nobody chose one and the choice is not obvious.
    pub(crate) fn note_preprocess(&self, config: &DataConfig, graph: &Graph, monitor: &dyn Monitor) {
        if config.preprocess.is_some() || self.name() == "sample" {
            return;
        }
        let carried = if graph.metadata(PREPROCESS_KEY).is_some() { ", which the network names" } else { "" };
        monitor.note(&format!("no --preprocess given, using \"{}\"{carried}", self.preprocess_name));
    }

    /// Name or keys of the preprocessing in force.
    pub(crate) fn preprocess_name(&self) -> &str {
        &self.preprocess_name
    }

    /// The images `range` of the run's order: the network's input, and the labels.
    pub(crate) fn batch(&self, range: Range<usize>) -> Result<(Tensor, Vec<usize>), StudyError> {
        let batch = match &self.order {
            None => self.dataset.batch(range, &self.preprocess, self.input)?,
            Some(order) => self.dataset.gather(&order[range], &self.preprocess, self.input)?,
        };
        Ok((Tensor::from_f32(batch.shape.to_vec(), batch.images), batch.labels))
    }

    /// What a record says of the data.
    pub(crate) fn record(&self) -> Result<DataRecord, StudyError> {
        Ok(DataRecord {
            name: self.name().to_owned(),
            spec: Some(self.spec.clone()),
            split: Some(split_name(self.split).to_owned()),
            preprocess: Some(self.preprocess_name.clone()),
            sha256: Some(self.dataset.digest()?.to_owned()),
        })
    }

    /// The data set as an input of a study.
    pub(crate) fn digest(&self, record: &DataRecord) -> InputDigest {
        InputDigest {
            path: format!("{} ({} split, {} images)", self.spec, split_name(self.split), self.len()),
            sha256: record.sha256.clone().unwrap_or_default(),
            size_bytes: None,
        }
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
        let preprocess = carried.parse().map_err(|error| {
            let name = graph.name();
            StudyError::Usage(format!("network \"{name}\": metadata {PREPROCESS_KEY}: {error}; give --preprocess"))
        })?;
        return Ok((carried.to_owned(), preprocess));
    }
    let name = chosen.unwrap_or_else(|| dataset.format().default_preprocess());
    Ok((name.to_owned(), name.parse()?))
}

pub(crate) fn split_name(split: SplitConfig) -> &'static str {
    match split {
        SplitConfig::Train => "train",
        SplitConfig::Test => "test",
    }
}

/// Extents of the network's only input; open ones come from `input_size`, else from the images.
pub(crate) fn input_spec(
    graph: &Graph,
    input_size: Option<[usize; 2]>,
    native: Option<[usize; 2]>,
) -> Result<InputSpec, StudyError> {
    let [input] = graph.inputs() else {
        return Err(StudyError::Usage(format!(
            "network \"{}\" has {} inputs, expected one image input",
            graph.name(),
            graph.inputs().len()
        )));
    };
    let name = &graph.value(input.value).name;
    let [_, channels, height, width] = input.dims.as_slice() else {
        return Err(StudyError::Usage(format!(
            "input \"{name}\" has {} dims, expected 4 (n, c, h, w)",
            input.dims.len()
        )));
    };
    let Dim::Fixed(channels) = channels else {
        return Err(StudyError::Usage(format!("input \"{name}\" leaves its channels open, expected a fixed number")));
    };
    let extent = |dim: &Dim, axis: usize| match (dim, input_size, native) {
        (Dim::Fixed(fixed), Some(wanted), _) if *fixed != wanted[axis] => Err(StudyError::Usage(format!(
            "input \"{name}\" is {fixed} {} by the network, which --input-size {} contradicts",
            if axis == 0 { "high" } else { "wide" },
            wanted[axis]
        ))),
        (Dim::Fixed(fixed), _, _) => Ok(*fixed),
        (Dim::Free(_), Some(wanted), _) => Ok(wanted[axis]),
        (Dim::Free(_), None, Some(native)) => Ok(native[axis]),
        (Dim::Free(_), None, None) => Err(StudyError::Usage(format!(
            "input \"{name}\" leaves its height or width open; give --input-size N or HxW"
        ))),
    };
    Ok(InputSpec { channels: *channels, height: extent(height, 0)?, width: extent(width, 1)? })
}
