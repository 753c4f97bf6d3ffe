//! Accuracy of a network on a data set.

use std::ops::Range;

use serde::Serialize;
use skimp_cpu::CpuExecutor;
use skimp_cpu::affine::AffineExecutor;
use skimp_cpu::integer::IntegerExecutor;
use skimp_data::InputSpec;
use skimp_graph::affine::is_quantized;
use skimp_graph::integer::IntegerEngine;
use skimp_graph::reference::Reference;
use skimp_graph::{Executor, GraphError, Tensor};
use skimp_report::records::{Accuracy, DataRecord, ModelRecord};
use skimp_report::table::{Cell, Column, Table};

use crate::images::Images;
use crate::monitor::step;
use crate::{DataConfig, Monitor, Network, QuantizationConfig, SplitConfig, StudyError, Tabular, quantize, quantized};

/// Images in flight at once: enough for both cores, little enough for large images.
const BATCH_ELEMENTS: usize = 1 << 21;

/// Which engine computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The f32 reference interpreter: slow, the specification.
    Reference,
    /// The fast f32 executor.
    Cpu,
    /// Integers: a network in QDQ form as its scales and zero points say, any other one exactly, after quantization.
    Integer,
}

impl Engine {
    /// Reads an engine's name.
    ///
    /// # Errors
    /// A message with the valid names.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "reference" => Ok(Engine::Reference),
            "cpu" => Ok(Engine::Cpu),
            "integer" => Ok(Engine::Integer),
            _ => Err(format!("unknown engine \"{name}\", expected reference, cpu or integer")),
        }
    }

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Reference => "reference",
            Engine::Cpu => "cpu",
            Engine::Integer => "integer",
        }
    }
}

/// What to evaluate.
#[derive(Clone, Debug)]
pub struct EvaluateConfig {
    /// Images; `accuracy_images` of them are classified.
    pub data: DataConfig,
    /// Input height and width, where the network leaves them open.
    pub input_size: Option<[usize; 2]>,
    /// Which engine computes; `None` for the integer engine on a network in QDQ form, the fast f32 engine on others.
    pub engine: Option<Engine>,
    /// Widths and calibration of [`Engine::Integer`].
    pub quantization: QuantizationConfig,
}

/// Accuracy of one network: `skimp.evaluate/1`. Accuracies are fractions.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluateRecord {
    /// `skimp.evaluate/1`.
    pub schema: &'static str,
    /// Version of the program.
    pub skimp_version: &'static str,
    /// The network.
    pub model: ModelRecord,
    /// The data.
    pub data: DataRecord,
    /// Engine that computed.
    pub engine: &'static str,
    /// Width of the weights, for the integer engine on a float network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_bits: Option<u32>,
    /// Width of the activations, for the integer engine on a float network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_bits: Option<u32>,
    /// How accumulators become codes, for the integer engine on a network in QDQ form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requantization: Option<&'static str>,
    /// Images classified.
    pub images: u64,
    /// Images whose label is the first guess.
    pub correct: u64,
    /// Images whose label is among the first five guesses; left out for five classes or fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correct_top5: Option<u64>,
    /// Share of images whose label is the first guess.
    pub top1: f64,
    /// Share of images whose label is among the first five guesses; left out for five classes or fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top5: Option<f64>,
    /// Wall-clock time of loading, preprocessing and running.
    pub seconds: f64,
    /// Images per second.
    pub images_per_second: f64,
}

impl Tabular for EvaluateRecord {
    fn tables(&self) -> Vec<Table> {
        let mut table = Table::new(
            format!("{} on {}, measured here", self.model.name, self.data.name),
            vec![
                Column::text("engine", "engine"),
                Column::number("images", "images", ""),
                Column::number("top1_percent", "top-1", "%"),
                Column::number("top5_percent", "top-5", "%"),
                Column::number("seconds", "time", "s"),
                Column::number("images_per_second", "rate", "images/s"),
            ],
        );
        table.row(vec![
            self.engine.into(),
            self.images.into(),
            Cell::real(100.0 * self.correct as f64 / self.images as f64, 2),
            Cell::real(self.correct_top5.map(|correct| 100.0 * correct as f64 / self.images as f64), 2),
            Cell::real(self.seconds, 2),
            Cell::real(self.images_per_second, 0),
        ]);
        vec![table]
    }
}

/// Counts of right guesses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) images: u64,
    pub(crate) top1: u64,
    pub(crate) top5: u64,
    pub(crate) n_classes: usize,
}

impl Tally {
    /// Adds a batch of logits `[n, classes]` (further axes of extent 1 allowed). Ties go to the lower class, as in
    /// NumPy's argmax.
    fn add(&mut self, logits: &Tensor, labels: &[usize]) -> Result<(), StudyError> {
        let n = labels.len();
        let values = logits.as_f32().unwrap_or_default();
        if n == 0 || values.is_empty() || !values.len().is_multiple_of(n) || logits.shape().first() != Some(&n) {
            return Err(StudyError::Usage(format!(
                "the network's first output has shape {:?}, expected [{n}, classes] for classification",
                logits.shape()
            )));
        }
        self.n_classes = values.len() / n;
        for (row, &label) in values.chunks_exact(self.n_classes).zip(labels) {
            let Some(&own) = row.get(label) else {
                return Err(StudyError::Usage(format!(
                    "label {label} is out of range, the network has {} classes",
                    self.n_classes
                )));
            };
            let wins = |(class, &value): (usize, &f32)| value > own || (value >= own && class < label);
            let better = row.iter().enumerate().filter(|&guess| wins(guess)).count();
            self.images += 1;
            self.top1 += u64::from(better == 0 && !own.is_nan());
            self.top5 += u64::from(better < 5 && !own.is_nan());
        }
        Ok(())
    }

    /// Adds a network's outputs for a batch.
    pub(crate) fn add_outputs(&mut self, outputs: &[Tensor], labels: &[usize]) -> Result<(), StudyError> {
        let logits = outputs.first().ok_or_else(|| StudyError::Usage("the network has no output".to_owned()))?;
        self.add(logits, labels)
    }

    pub(crate) fn accuracy(self) -> Accuracy {
        let share = |count: u64| count as f64 / self.images.max(1) as f64;
        Accuracy { top1: share(self.top1), top5: (self.n_classes > 5).then(|| share(self.top5)), n_images: self.images }
    }
}

/// Classifies the first `n_images` images with `run`.
pub(crate) fn classify(
    images: &Images,
    n_images: usize,
    monitor: &dyn Monitor,
    mut run: impl FnMut(&Tensor) -> Result<Vec<Tensor>, GraphError>,
) -> Result<Tally, StudyError> {
    let mut tally = Tally::default();
    for range in batches(0..n_images, images.input()) {
        let n_images = range.len() as u64;
        let (inputs, labels) = images.batch(range)?;
        tally.add_outputs(&run(&inputs)?, &labels)?;
        step(monitor, n_images)?;
    }
    Ok(tally)
}

/// Cuts images into batches of a size that suits their extents.
pub(crate) fn batches(range: Range<usize>, input: InputSpec) -> impl Iterator<Item = Range<usize>> + use<> {
    let batch = (BATCH_ELEMENTS / (input.channels * input.height * input.width).max(1)).clamp(2, 512);
    range.clone().step_by(batch).map(move |first| first..(first + batch).min(range.end))
}

/// The engine that suits a network: integers for one in QDQ form, which they run some 20 times faster than f32 does and
/// as its scales and zero points say; f32 for others. A note says so where the choice is not obvious.
fn suited(network: &Network, monitor: &dyn Monitor) -> Engine {
    if !is_quantized(&network.graph) {
        return Engine::Cpu;
    }
    match skimp_graph::affine::lower(&network.graph) {
        Ok(_) => {
            monitor
                .note("the network is quantized (QDQ form): the integer engine runs it; --engine cpu is the f32 one");
            Engine::Integer
        }
        Err(error) => {
            monitor.note(&format!("the network is quantized, but runs in f32: the integer engine refuses it: {error}"));
            Engine::Cpu
        }
    }
}

/// Measures accuracy.
///
/// # Errors
/// [`StudyError`] naming the file, node or setting.
pub fn evaluate(
    network: &Network,
    config: &EvaluateConfig,
    monitor: &dyn Monitor,
) -> Result<EvaluateRecord, StudyError> {
    let images = Images::open(&config.data, &network.graph, config.input_size)?;
    let n_images = images.limited(config.data.accuracy_images, "images to evaluate")?;
    images.note_preprocess(&config.data, &network.graph, monitor);
    images.check_labels(&network.graph, monitor)?;
    network.note_untrained(monitor);
    let start = std::time::Instant::now();
    let mut requantization = None;
    let engine = config.engine.unwrap_or_else(|| suited(network, monitor));
    let tally = match engine {
        Engine::Integer if is_quantized(&network.graph) => {
            let lowered = quantize::lowered(&network.graph, monitor)?;
            requantization = Some(lowered.rounding.name());
            let executor = AffineExecutor::new(&lowered);
            monitor.stage("classifying images", n_images as u64);
            classify(&images, n_images, monitor, |inputs| executor.run(std::slice::from_ref(inputs)))?
        }
        Engine::Integer => {
            let quantization = on_training_images(&config.quantization);
            let quantized = quantized::quantize_network(network, &images, &quantization, monitor)?;
            let executor = IntegerExecutor::new(&quantized.graph)?;
            monitor.stage("classifying images", n_images as u64);
            classify(&images, n_images, monitor, |inputs| executor.run(std::slice::from_ref(inputs)))?
        }
        Engine::Reference | Engine::Cpu => {
            let executor = float_executor(network, engine)?;
            monitor.stage("classifying images", n_images as u64);
            classify(&images, n_images, monitor, |inputs| executor.run(std::slice::from_ref(inputs)))?
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    let accuracy = tally.accuracy();
    let bits = |width: u32| (engine == Engine::Integer && requantization.is_none()).then_some(width);
    Ok(EvaluateRecord {
        schema: "skimp.evaluate/1",
        skimp_version: env!("CARGO_PKG_VERSION"),
        model: network.record(),
        data: images.record()?,
        engine: engine.name(),
        weight_bits: bits(config.quantization.weight_bits),
        activation_bits: bits(config.quantization.activation_bits),
        requantization,
        images: tally.images,
        correct: tally.top1,
        correct_top5: (tally.n_classes > 5).then_some(tally.top5),
        top1: accuracy.top1,
        top5: accuracy.top5,
        seconds,
        images_per_second: tally.images as f64 / seconds,
    })
}

/// Accuracy is measured on images that did not set the ranges, unless it is asked for.
fn on_training_images(config: &QuantizationConfig) -> QuantizationConfig {
    let calibration_split = config.calibration_split.or(Some(SplitConfig::Train));
    QuantizationConfig { calibration_split, ..config.clone() }
}

/// A float engine for `network`.
pub(crate) fn float_executor(network: &Network, engine: Engine) -> Result<Box<dyn Executor>, StudyError> {
    Ok(match engine {
        Engine::Reference => Box::new(Reference::new(&network.graph)),
        Engine::Cpu | Engine::Integer => Box::new(CpuExecutor::new(&network.graph)?),
    })
}
