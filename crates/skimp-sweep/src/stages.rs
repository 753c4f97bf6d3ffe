//! A point as a path through stages, each worked out once for all points that share what it depends on.

use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};
use skimp_report::records::InputDigest;
use skimp_study::{
    Calibrated, DataConfig, Design, DesignFigures, Images, JudgeBy, Monitor, Network, Quantized, Simulated, Split,
    StudyError, Traced, TrainConfig, latency_ms, reduce_steps,
};

use crate::cache::Cache;
use crate::disk::{Caching, Disk, Form};
use crate::error::SweepError;
use crate::point::PointConfig;

/// What stages keep in memory together unless a run says otherwise.
pub const DEFAULT_CACHE_BYTES: u64 = 1 << 30;

/// A network with its images.
#[derive(Clone, Debug)]
struct Opened {
    network: Arc<Network>,
    images: Arc<Images>,
    digests: Arc<Vec<InputDigest>>,
}

/// What the stages made so far.
#[derive(Debug)]
pub(crate) struct Stages {
    networks: Cache<Arc<Network>>,
    opened: Cache<Opened>,
    calibrated: Cache<Arc<Calibrated>>,
    quantized: Cache<Arc<Quantized>>,
    accuracies: Cache<f64>,
    sizes: Cache<u64>,
    traced: Cache<Arc<Traced>>,
    simulated: Cache<Arc<Simulated>>,
    latencies: Cache<f64>,
    disk: Option<Disk>,
}

/// Results made, and how often one that was there was taken instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageCount {
    /// The stage.
    pub stage: &'static str,
    /// Results that were worked out.
    pub made: u64,
    /// Results that were read from the folder that outlives the run.
    pub from_disk: u64,
    /// Times that one was there.
    pub shared: u64,
}

/// Keys of the stages of a point: each holds all that the stage depends on. That of its simulation comes with its design.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    network: Key,
    opened: Key,
    calibrated: Key,
    quantized: Key,
    pub(crate) traced: Key,
    pub(crate) simulated: Key,
}

/// What a stage depends on, as a digest of its JSON. A configuration has such a form; were it not so, stages would fail.
pub(crate) fn key<T: Serialize>(parts: &T) -> Key {
    let mut hasher = Hashing(Sha256::new());
    if let Err(error) = serde_json::to_writer(&mut hasher, parts) {
        hasher.0.update(error.to_string());
    }
    Key(hasher.0.finalize().into())
}

impl std::fmt::Display for Key {
    /// The first half of it, in hexadecimal digits.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().take(16).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A digest of all that a stage depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(crate) struct Key([u8; 32]);

#[cfg(test)]
impl Key {
    pub(crate) fn named(name: &str) -> Self {
        key(&name)
    }
}

/// A digest that is written to.
struct Hashing(Sha256);

impl std::io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Keys {
    pub(crate) fn of(config: &PointConfig) -> Self {
        let PointConfig { network, reduction, training, data, quantization, widths, layers, .. } = config;
        // Ranges depend on the images, not on how many others are simulated or judged.
        let default = DataConfig::default();
        let ranges = DataConfig {
            images: default.images,
            accuracy_images: default.accuracy_images,
            tuning_images: default.tuning_images,
            tuning_split: None,
            judge_by: JudgeBy::default(),
            ..data.clone()
        };
        // What a step needs of images to learn.
        let lesson = (!reduction.is_empty()).then_some((reduction, training, data));
        let reduced = key(&(network, lesson));
        let opened = key(&(&reduced, data));
        let calibrated = key(&(&reduced, ranges, quantization.calibration_images, quantization.calibration_split));
        let widths = (!widths.is_empty()).then_some(widths);
        let quantized = key(&(&calibrated, quantization, widths));
        let traced = key(&(&quantized, data, layers));
        Self { network: reduced, opened, calibrated, quantized, traced, simulated: traced }
    }

    /// The keys of a point with a design, with which `hasher` has begun.
    pub(crate) fn of_design(&self, mut hasher: Sha256) -> Self {
        hasher.update(self.traced.0);
        Self { simulated: Key(hasher.finalize().into()), ..self.clone() }
    }
}

/// What a sweep asks of all its points.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Whether some objective or constraint is a measured latency.
    pub(crate) measures_latency: bool,
    /// Whether points may differ in what does not change their simulation, such as their prices.
    pub(crate) shares_simulations: bool,
}

/// What a point came to.
#[derive(Clone, Debug)]
pub(crate) struct Brought {
    pub(crate) figures: DesignFigures,
    pub(crate) top1: Option<f64>,
    pub(crate) model_bytes: u64,
    pub(crate) measured_latency: Option<f64>,
}

impl Stages {
    /// Stages that keep half of their memory for traces, the rest for networks and their codes.
    pub(crate) fn new(caching: &Caching) -> Result<Self, SweepError> {
        let bytes = caching.bytes;
        // Of small things very many.
        let small = bytes / 64;
        Ok(Self {
            networks: Cache::new(bytes / 8),
            opened: Cache::new(bytes / 8),
            calibrated: Cache::new(bytes / 8),
            quantized: Cache::new(bytes / 8),
            accuracies: Cache::new(small),
            sizes: Cache::new(small),
            traced: Cache::new(bytes / 2),
            simulated: Cache::new(small),
            latencies: Cache::new(small),
            disk: caching.folder.as_deref().map(Disk::open).transpose()?,
        })
    }

    /// Why a result could not be kept on disk, if one could not.
    pub(crate) fn disk_fault(&self) -> Option<String> {
        self.disk.as_ref()?.fault()
    }

    /// A result from the disk, where one is kept, or made: `own` is what it depends on beside the contents of network and
    /// images.
    fn kept<T>(
        &self,
        config: &PointConfig,
        own: impl FnOnce(Keys) -> Key,
        form: &Form<'_, T>,
        make: impl FnOnce() -> Result<T, StudyError>,
        monitor: &dyn Monitor,
    ) -> Result<T, StudyError> {
        let Some(disk) = &self.disk else { return make() };
        let mut inputs = self.digests(config, monitor)?.to_vec();
        if !config.reduction.is_empty() {
            // What a step learns from.
            let lesson = DataConfig { split: Split::Train, ..config.data.clone() };
            let network = self.network(&Keys::of(&plain(config)), &plain(config), monitor)?;
            inputs.push(Images::open(&lesson, &network.graph, config.network.input_size)?.input_digest()?);
        }
        // Contents, wherever they lie.
        let mut placeless = config.clone();
        placeless.network.model.clear();
        placeless.data.set.clear();
        disk.get(&own(Keys::of(&placeless)), &inputs, form, make)
    }

    fn network(&self, keys: &Keys, config: &PointConfig, monitor: &dyn Monitor) -> Result<Arc<Network>, StudyError> {
        let bytes = |network: &Arc<Network>| 4 * skimp_study::parameters(network);
        let plain = key(&(&config.network, Option::<()>::None));
        let open = || Ok::<_, StudyError>(Arc::new(Network::open(&config.network.model)?.any_batch()));
        let network = self.networks.get(&plain, open, bytes)?;
        if config.reduction.is_empty() {
            return Ok(network);
        }
        let reduce = || {
            let training = config.training.clone().unwrap_or_else(|| TrainConfig {
                // A reduction that learns says for how long; how it does has the defaults of `skimp prune`.
                data: config.data.set.clone(),
                ..TrainConfig::default()
            });
            let input_size = config.network.input_size;
            reduce_steps(&network, &config.reduction, &config.data, input_size, &training, monitor).map(Arc::new)
        };
        let name = network.name.clone();
        let read = |bytes: Vec<u8>| Network::from_bytes(&name, bytes).ok();
        let form = Form {
            stage: "network",
            read: &|bytes| read(bytes).map(Arc::new),
            // A network that a file does not hold to the last bit is not kept.
            write: &|network: &Arc<Network>| {
                let bytes = network.to_bytes().ok()?;
                read(bytes.clone()).is_some_and(|again| again.graph == network.graph).then_some(bytes)
            },
        };
        let reduced = || self.kept(config, |keys| keys.network, &form, reduce, monitor);
        self.networks.get(&keys.network, reduced, bytes)
    }

    fn opened(&self, keys: &Keys, config: &PointConfig, monitor: &dyn Monitor) -> Result<Opened, StudyError> {
        let open = || {
            let network = self.network(keys, config, monitor)?;
            let images = Images::open(&config.data, &network.graph, config.network.input_size)?;
            let digests = vec![network.input_digest(), images.input_digest()?];
            Ok::<_, StudyError>(Opened { network, images: Arc::new(images), digests: Arc::new(digests) })
        };
        self.opened.get(&keys.opened, open, |opened| opened.images.bytes())
    }

    fn quantized(
        &self,
        keys: &Keys,
        config: &PointConfig,
        opened: &Opened,
        monitor: &dyn Monitor,
    ) -> Result<Arc<Quantized>, StudyError> {
        let bytes = 4 * skimp_study::parameters(&opened.network);
        let calibrate =
            || Calibrated::for_config(&opened.network, &opened.images, &config.quantization, monitor).map(Arc::new);
        let form = Form {
            stage: "calibrated",
            read: &|bytes| Calibrated::from_saved(&opened.network, &bytes).map(Arc::new),
            write: &|calibrated: &Arc<Calibrated>| calibrated.saved(),
        };
        let calibrate = || self.kept(config, |keys| keys.calibrated, &form, calibrate, monitor);
        let quantize = || {
            let calibrated = self.calibrated.get(&keys.calibrated, calibrate, |_| bytes)?;
            calibrated.quantize_with(&config.quantization, &config.widths, monitor).map(Arc::new)
        };
        // Codes, and their forms for kernels.
        self.quantized.get(&keys.quantized, quantize, |_| 2 * bytes)
    }

    /// The shared stages of a point, up to its codes.
    pub(crate) fn coded(&self, keys: &Keys, config: &PointConfig, monitor: &dyn Monitor) -> Result<(), StudyError> {
        let opened = self.opened(keys, config, monitor)?;
        self.quantized(keys, config, &opened, monitor).map(drop)
    }

    /// The shared stages of a point, up to the trace, so that points that share it find it.
    pub(crate) fn prepare(
        &self,
        keys: &Keys,
        config: &PointConfig,
        monitor: &dyn Monitor,
    ) -> Result<Arc<Traced>, StudyError> {
        let opened = self.opened(keys, config, monitor)?;
        let quantized = self.quantized(keys, config, &opened, monitor)?;
        let trace = || quantized.trace(&opened.images, config.data.images, &config.layers, monitor).map(Arc::new);
        self.traced.get(&keys.traced, trace, |traced| traced.bytes())
    }

    /// Works out a point.
    pub(crate) fn run(
        &self,
        keys: &Keys,
        config: &PointConfig,
        design: &Design,
        asked: Asked,
        monitor: &dyn Monitor,
    ) -> Result<Brought, StudyError> {
        let traced = self.prepare(keys, config, monitor)?;
        let simulate = || traced.simulate(std::slice::from_ref(design), monitor).map(Arc::new);
        // A layer's result has some hundred bytes of counts.
        let bytes = |simulated: &Arc<Simulated>| {
            2048 * simulated.runs().iter().map(|run| run.results().count() as u64).sum::<u64>()
        };
        let simulated = match asked.shares_simulations {
            true => self.simulated.get(&keys.simulated, simulate, bytes)?,
            false => self.simulated.pass(simulate)?,
        };
        let mut all = simulated.figures(&config.costs)?;
        let figures = all.swap_remove(0);
        let opened = self.opened(keys, config, monitor)?;
        let quantized = traced.quantized();
        let top1 = match &figures.accuracy {
            Some(accuracy) => Some(accuracy.top1),
            None if config.data.accuracy_images > 0 => {
                let n_images = config.data.accuracy_images.min(opened.images.len());
                let judge = || quantized.accuracy(&opened.images, n_images, monitor).map(|accuracy| accuracy.top1);
                let form = Form {
                    stage: "accuracy",
                    read: &|bytes| serde_json::from_slice(&bytes).ok().map(f64::from_bits),
                    write: &|top1: &f64| serde_json::to_vec(&top1.to_bits()).ok(),
                };
                let own = |keys: &Keys| key(&(&keys.quantized, n_images));
                // Of the same data set other images may be judged.
                let of_data = |keys: Keys| key(&(own(&keys), &keys.opened));
                let judge = || self.kept(config, of_data, &form, judge, monitor);
                Some(self.accuracies.get(&own(keys), judge, |_| 64)?)
            }
            None => None,
        };
        let measured_latency = match asked.measures_latency {
            true => {
                let measure = || latency_ms(&opened.network.graph, 1, config.network.input_size, monitor);
                Some(self.latencies.get(&keys.network, measure, |_| 64)?)
            }
            false => None,
        };
        let size = || quantized.model_bytes(config.network.input_size);
        let model_bytes = self.sizes.get(&keys.quantized, size, |_| 64)?;
        Ok(Brought { figures, top1, model_bytes, measured_latency })
    }

    /// Digests of what a point reads: the network before any reduction, and the images.
    pub(crate) fn digests(
        &self,
        config: &PointConfig,
        monitor: &dyn Monitor,
    ) -> Result<Arc<Vec<InputDigest>>, StudyError> {
        let plain = plain(config);
        Ok(self.opened(&Keys::of(&plain), &plain, monitor)?.digests)
    }

    /// What each stage made and shared.
    pub(crate) fn counts(&self) -> Vec<StageCount> {
        let count = |stage, (there, shared): (u64, u64)| {
            let from_disk = self.disk.as_ref().map_or(0, |disk| disk.found(stage));
            StageCount { stage, made: there.saturating_sub(from_disk), from_disk, shared }
        };
        vec![
            count("network", self.networks.counts()),
            count("calibrated", self.calibrated.counts()),
            count("quantized", self.quantized.counts()),
            count("accuracy", self.accuracies.counts()),
            count("traced", self.traced.counts()),
            count("simulated", self.simulated.counts()),
        ]
    }
}

/// The point without its reductions: figures of images that are given, whatever else it asks of them.
fn plain(config: &PointConfig) -> PointConfig {
    PointConfig { reduction: Vec::new(), training: None, ..config.clone() }
}
