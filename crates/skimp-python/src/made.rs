//! Networks made of networks: quantized, reduced, trained.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use skimp::flags::{DataFlags, RecipeFlags};
use skimp::graph::ops::{Reset, ResetTime};
use skimp::graph::spiking::{Coding, Conversion, InputCoding, MaxPools};
use skimp::reduction::recast::{NewKind, parse_blocks};
use skimp::{
    ConvertSnnConfig, DataConfig, DistillConfig, LayerChoices, Monitor, PruneConfig, PruneScope, PruneTarget,
    QuantizeConfig, RecastConfig, ReduceRun, StudyError, Tabular, TrainConfig, TrainRun,
};

use crate::errors::{raised, usage};
use crate::network::Network;
use crate::options::Options;
use crate::record::Record;
use crate::work::work;

/// A network, if one was written, and the record of how it was made.
type Made = (Option<Network>, Record);

/// Where the network goes: a file of the user's, or a folder that is removed once the network was read.
enum Place {
    File(PathBuf),
    /// Kept until then, and the file in it.
    Folder(#[expect(dead_code, reason = "it is kept, not read")] tempfile::TempDir, PathBuf),
}

impl Place {
    fn new(options: &Options<'_>, name: &str) -> PyResult<Self> {
        if let Some(path) = options.get("output")? {
            return Ok(Self::File(path));
        }
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        Ok(Self::Folder(folder, path))
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Folder(_, path) => path,
        }
    }

    /// The network that was written.
    fn read(&self) -> Result<Network, StudyError> {
        let model = self.path().to_str().unwrap_or_default().to_owned();
        let mut network = skimp::Network::open(&model)?;
        if matches!(self, Self::Folder(..)) {
            network.path = None;
        }
        Ok(Network::of(network, model))
    }

    /// A run of a reduction.
    fn run(&self, options: &Options<'_>) -> PyResult<ReduceRun> {
        let beside = || match self {
            Self::File(path) => Some(skimp::training::trainer::folder_beside(path)),
            Self::Folder(..) => None,
        };
        Ok(ReduceRun {
            output: Some(self.path().to_owned()),
            folder: options.get("folder")?.or_else(beside),
            resume: options.or("resume", false)?,
            checkpoint_every: options.get("checkpoint_every")?,
        })
    }

    fn make<R: Tabular + Send + Sync + 'static>(
        &self,
        py: Python<'_>,
        make: impl FnOnce(&Path, &dyn Monitor) -> Result<R, StudyError> + Send,
    ) -> PyResult<Made> {
        work(py, |monitor| {
            let record = make(self.path(), monitor)?;
            Ok((Some(self.read()?), Record::new(record)))
        })
    }
}

/// Images that set ranges and judge, or none where none are given.
fn images(py: Python<'_>, data: &DataFlags, judging: usize) -> PyResult<Option<DataConfig>> {
    let config = data.is_given().then(|| data.ranges_config(judging)).transpose();
    config.map_err(|error| raised(py, &error))
}

fn needed(py: Python<'_>, data: &DataFlags, judging: usize) -> PyResult<DataConfig> {
    data.ranges_config(judging).map_err(|error| raised(py, &error))
}

/// How a network is trained further.
fn recipe(options: &Options<'_>) -> PyResult<TrainConfig> {
    let default = RecipeFlags::default();
    Ok(RecipeFlags {
        train_images: options.get("train_images")?,
        batch_size: options.or("batch_size", default.batch_size)?,
        learning_rate: options.or("learning_rate", default.learning_rate)?,
        schedule: options.or("schedule", default.schedule)?,
        optimizer: options.or("optimizer", default.optimizer)?,
        weight_decay: options.or("weight_decay", default.weight_decay)?,
        augment: options.or("augment", default.augment)?,
        training_seed: options.or("training_seed", default.training_seed)?,
    }
    .config())
}

/// A text that a type of Rust reads.
fn parsed<T: std::str::FromStr>(key: &str, text: &str) -> PyResult<T>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| usage(format!("{key}: {error}")))
}

/// The network in QDQ form.
#[pyfunction]
pub(crate) fn quantize(py: Python<'_>, network: &Bound<'_, Network>, options: Options<'_>) -> PyResult<Made> {
    let network = &network.get().network;
    let data = options.data()?;
    let config = QuantizeConfig {
        data: needed(py, &data, options.or("accuracy_images", 200)?)?,
        input_size: data.input_size,
        qdq: options.settings()?,
        choices: LayerChoices {
            keep_float: options.or("keep_float", Vec::new())?,
            layer_weight_bits: options.or("layer_weight_bits", Vec::new())?,
        },
    };
    let place = Place::new(&options, "network.onnx")?;
    place.make(py, |path, monitor| skimp::quantize(network, &config, path, monitor))
}

/// Fewer channels, or more zeros.
#[pyfunction]
pub(crate) fn prune(py: Python<'_>, network: &Bound<'_, Network>, options: Options<'_>) -> PyResult<Made> {
    let network = &network.get().network;
    let data = options.data()?;
    let target: PruneTarget = parsed("target", &options.or("target", String::new())?)?;
    let mut settings = std::collections::BTreeMap::new();
    for setting in options.or("set", Vec::<String>::new())? {
        let (key, value) = skimp::flags::setting(&setting).map_err(usage)?;
        settings.insert(key, value);
    }
    let config = PruneConfig {
        method: options.or("method", String::new())?,
        target,
        scope: options.word("scope")?.unwrap_or(PruneScope::Uniform),
        keep: options.or("keep", Vec::new())?,
        round_to: options.or("round_to", 8)?,
        inexact: options.or("inexact", false)?,
        settings: settings.into_iter().collect(),
        data: images(py, &data, options.or("accuracy_images", 1000)?)?,
        input_size: data.input_size,
        batch_norm_images: options.or("batch_norm_images", 0)?,
        finetune: options.or("finetune", 0)?,
        training: recipe(&options)?,
        latency_batch: options.get("latency")?,
    };
    if options.or("dry_run", false)? {
        let record = work(py, |monitor| skimp::prune(network, &config, ReduceRun::default(), monitor))?;
        return Ok((None, Record::new(record)));
    }
    let place = Place::new(&options, "network.onnx")?;
    let run = place.run(&options)?;
    place.make(py, |_, monitor| skimp::prune(network, &config, run, monitor))
}

/// Blocks become others; without blocks they are listed.
#[pyfunction]
pub(crate) fn recast(py: Python<'_>, network: &Bound<'_, Network>, options: Options<'_>) -> PyResult<Made> {
    let network = &network.get().network;
    let data = options.data()?;
    let blocks = match options.get::<String>("blocks")? {
        Some(text) => parse_blocks(&text).map_err(|error| usage(format!("blocks: {error}")))?,
        None => Vec::new(),
    };
    let is_listing = blocks.is_empty();
    if !is_listing && options.or("structure_only", false)? == data.is_given() {
        let text = "new blocks learn from images: give data, or structure_only=True to leave their weights random";
        return Err(usage(text.to_owned()));
    }
    let config = RecastConfig {
        blocks,
        into: parsed::<NewKind>("into", &options.or("into", "conv".to_owned())?)?,
        ratios: options.or("ratio", Vec::new())?,
        data: images(py, &data, options.or("accuracy_images", 1000)?)?,
        input_size: data.input_size,
        finetune: options.or("finetune", 0)?,
        training: TrainConfig { epochs: options.or("epochs", 10)?, ..recipe(&options)? },
    };
    if is_listing {
        let record = work(py, |monitor| skimp::recast(network, &config, ReduceRun::default(), monitor))?;
        return Ok((None, Record::new(record)));
    }
    let place = Place::new(&options, "network.onnx")?;
    let run = place.run(&options)?;
    place.make(py, |_, monitor| skimp::recast(network, &config, run, monitor))
}

/// One bit a weight.
#[pyfunction]
pub(crate) fn binarize(py: Python<'_>, network: &Bound<'_, Network>, options: Options<'_>) -> PyResult<Made> {
    let network = &network.get().network;
    let (place, size) = (Place::new(&options, "network.skz")?, options.data()?.input_size);
    place.make(py, |path, _| skimp::binarize(network, size, path))
}

/// A network of spikes.
#[pyfunction]
pub(crate) fn convert_snn(py: Python<'_>, network: &Bound<'_, Network>, options: Options<'_>) -> PyResult<Made> {
    let network = &network.get().network;
    let data = options.data()?;
    let conversion = Conversion {
        steps: options.or("steps", 32)?,
        coding: options.one_of("coding", &Coding::ALL, Coding::name)?.unwrap_or(Coding::Rate),
        reset: options
            .one_of("reset", &[Reset::Subtract, Reset::Zero, Reset::Clear], Reset::name)?
            .unwrap_or(Reset::Subtract),
        reset_time: match options.or("delay", 0)? {
            0 => ResetTime::SameStep,
            1 => ResetTime::NextStep,
            other => return Err(usage(format!("delay: {other}, expected 0 or 1"))),
        },
        is_strict: options.or("strict", false)?,
        initial: options.or("initial", 0.5)?,
        max_pools: options.one_of("max_pools", &MaxPools::ALL, MaxPools::name)?.unwrap_or(MaxPools::Refuse),
        input: options.one_of("input_coding", &InputCoding::ALL, InputCoding::name)?.unwrap_or(InputCoding::Direct),
        seed: options.or("input_seed", 0)?,
    };
    let config = ConvertSnnConfig {
        data: needed(py, &data, options.or("accuracy_images", 200)?)?,
        input_size: data.input_size,
        conversion,
        percentile: options.or("percentile", 99.9)?,
        fraction: options.or("fraction", 1.0)?,
        calibration_images: options.or("calibration_images", 256)?,
        sweep: options.or("sweep", Vec::new())?,
        is_plain: options.or("plain", false)?,
    };
    let place = Place::new(&options, "network.onnx")?;
    place.make(py, |path, monitor| {
        let converted = skimp::convert_snn(network, &config, monitor)?;
        converted.network.export(path)?;
        Ok(converted.record)
    })
}

/// A student learns from a teacher.
#[pyfunction]
pub(crate) fn distill(py: Python<'_>, student: String, teacher: String, options: Options<'_>) -> PyResult<Made> {
    let data = options.data()?;
    let read = |key: &'static str| -> PyResult<Option<skimp::DistillValues>> {
        options.get::<String>(key)?.map(|text| parsed(key, &text)).transpose()
    };
    let config = DistillConfig {
        temperature: options.or("temperature", 4.0)?,
        alpha: options.or("alpha", 0.9)?,
        hint: read("hint")?,
        hint_epochs: options.get("hint_epochs")?,
        attention: read("attention")?,
        beta: options.or("beta", 1000.0)?,
        data: needed(py, &data, options.or("accuracy_images", 1000)?)?,
        input_size: data.input_size,
        training: TrainConfig { epochs: options.or("epochs", 10)?, ..recipe(&options)? },
    };
    let place = Place::new(&options, "network.onnx")?;
    let run = place.run(&options)?;
    place.make(py, |_, monitor| {
        let student = skimp::Network::open_for_training(&student, config.training.seed)?;
        let teacher = skimp::Network::open(&teacher)?;
        skimp::distill(&student, &teacher, &config, run, monitor)
    })
}

/// Trains a network.
#[pyfunction]
pub(crate) fn train(
    py: Python<'_>,
    network: String,
    data: Options<'_>,
    settings: Options<'_>,
    options: Options<'_>,
) -> PyResult<Made> {
    let flags = data.data()?;
    let Some(set) = flags.data else {
        return Err(usage(
            "training takes a data set by name: arrays go to .npy files, \"npy:X.npy,Y.npy\"".to_owned(),
        ));
    };
    let config = TrainConfig {
        network,
        input_size: flags.input_size,
        data: set,
        preprocess: flags.preprocess,
        validation: parsed("validation", &data.or("validation", "test".to_owned())?)?,
        ..settings.settings()?
    };
    let place = Place::new(&options, "network.onnx")?;
    let run = TrainRun {
        output: place.path().to_owned(),
        folder: options.get("folder")?,
        resume: options.or("resume", false)?,
        checkpoint_every: options.get("checkpoint_every")?,
        logs: options.or("log", vec!["csv".to_owned(), "tensorboard".to_owned()])?,
    };
    place.make(py, |_, monitor| skimp::train(&config, &run, monitor))
}
