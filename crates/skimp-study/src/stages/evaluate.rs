//! Accuracy of a network on a data set.

use serde::{Deserialize, Serialize};
use skimp_cpu::binary::BinaryExecutor;
use skimp_cpu::integer::IntegerExecutor;
use skimp_cpu::{CpuExecutor, Order};
use skimp_data::Split;
use skimp_graph::integer::{IntegerEngine, is_quantized, lower};
use skimp_graph::reference::Reference;
use skimp_graph::spiking::{Stepped, TimeLoop};
use skimp_graph::{Executor, Graph, GraphError, Tensor, binary};
use skimp_quant::QuantizationConfig;
use skimp_report::records::{Accuracy, Coverage, DataRecord, ModelRecord};
use skimp_report::table::{Cell, Column, Table};
use skimp_report::views::left_out_table;

use crate::error::{AnswerFault, StudyError};
use crate::inputs::answers::{Tally, chance_warning};
use crate::inputs::config::DataConfig;
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::{Monitor, step};
use crate::stages::coverage::NetworkWork;
use crate::stages::qdq;
use crate::stages::quantized::Quantized;
use crate::stages::spiking;
use crate::tabular::Tabular;

/// Which engine computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// The f32 reference interpreter: slow, the specification.
    Reference,
    /// The fast f32 executor.
    Cpu,
    /// Integers: a network in QDQ form as its scales and zero points say, any other one exactly, after quantization.
    Integer,
    /// Packed bits where weights and activations have two values; the rest in f32.
    Binary,
}

impl Engine {
    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Reference => "reference",
            Engine::Cpu => "cpu",
            Engine::Integer => "integer",
            Engine::Binary => "binary",
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
    /// In which order [`Engine::Cpu`] adds up.
    pub order: Order,
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
    /// In which order sums were added up, for the fast f32 engine: `exact` or `free`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<&'static str>,
    /// Width of the weights, for the integer engine on a float network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_bits: Option<u32>,
    /// Width of the activations, for the integer engine on a float network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_bits: Option<u32>,
    /// How accumulators become codes, for the integer engine on a network in QDQ form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requantization: Option<&'static str>,
    /// Time steps of a spiking network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_steps: Option<usize>,
    /// Spikes of all neurons over all time steps, of a spiking network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spikes_per_image: Option<f64>,
    /// Additions that these spikes make in the layers behind them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synaptic_operations_per_image: Option<f64>,
    /// Nanojoules of these additions, as 32-bit additions of `horowitz-45nm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synaptic_nj_per_image: Option<f64>,
    /// The network's output that held the answers.
    pub output_name: String,
    /// The part of the network's work that ran in integers, for the integer engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_integers: Option<Coverage>,
    /// The part of the network's work that ran on packed bits, for the binary engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_bits: Option<Coverage>,
    /// What to know before believing the accuracy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
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
    /// The same under its short name.
    pub images_per_s: f64,
}

impl Tabular for EvaluateRecord {
    fn tables(&self) -> Vec<Table> {
        let mut columns = vec![
            Column::text("engine", "engine"),
            Column::number("images", "images", ""),
            Column::number("top1_percent", "top-1", "%"),
            Column::number("top5_percent", "top-5", "%"),
            Column::number("seconds", "time", "s"),
            Column::number("images_per_second", "rate", "images/s"),
        ];
        let mut row = vec![
            self.engine.into(),
            self.images.into(),
            Cell::real(100.0 * self.correct as f64 / self.images as f64, 2),
            Cell::real(self.correct_top5.map(|correct| 100.0 * correct as f64 / self.images as f64), 2),
            Cell::real(self.seconds, 2),
            Cell::real(self.images_per_second, 0),
        ];
        if let (Some(steps), Some(spikes)) = (self.time_steps, self.spikes_per_image) {
            columns.push(Column::number("time_steps", "time", "steps"));
            columns.push(Column::number("spikes_per_image", "spikes", "1/image"));
            row.extend([(steps as u64).into(), Cell::real(spikes, 0)]);
            columns.push(Column::number("synaptic_operations_per_image", "synaptic operations", "1/image"));
            columns.push(Column::number("synaptic_nj_per_image", "synaptic energy", "nJ/image"));
            row.extend([Cell::real(self.synaptic_operations_per_image, 0), Cell::real(self.synaptic_nj_per_image, 1)]);
        }
        let mut tables = Vec::new();
        if let Some(coverage) = &self.in_bits {
            columns.push(Column::number("bit_percent", "on packed bits", "% of MACs"));
            row.push(coverage.percent_text().into());
            if !coverage.is_whole() {
                tables.push(left_out_table(coverage, "that ran in 32-bit floating point"));
            }
        }
        if let Some(coverage) = &self.in_integers {
            columns.push(Column::number("integer_percent", "in integers", "% of MACs"));
            row.push(coverage.percent_text().into());
            if !coverage.is_whole() {
                tables.push(left_out_table(coverage, "that ran in 32-bit floating point"));
            }
        }
        let mut table = Table::new(format!("{} on {}, measured here", self.model.name, self.data.name), columns);
        table.row(row);
        tables.insert(0, table);
        tables
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
    for range in images.batches(0..n_images) {
        let n_images = range.len() as u64;
        let batch = images.batch(range)?;
        tally.add(images.answers(), &run(&batch.inputs)?, batch.n_run(), &batch.labels)?;
        step(monitor, n_images)?;
    }
    Ok(tally)
}

/// The engine that suits a network: integers for one in QDQ form, which they run some 20 times faster than f32 does and
/// as its scales and zero points say; f32 for others. A note says so where the choice is not obvious.
fn suited(network: &Network, monitor: &dyn Monitor) -> Engine {
    if !is_quantized(&network.graph) {
        if binary::lower(&network.graph).is_ok() {
            monitor.note("layers of the network multiply bits: --engine binary runs them packed");
        }
        return Engine::Cpu;
    }
    match lower(&network.graph) {
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
    let network = &*network.for_any_batch();
    let images = Images::open(&config.data, &network.graph, config.input_size)?;
    let n_images = images.limited(config.data.accuracy_images, "images to evaluate")?;
    images.note_preprocess(&config.data, &network.graph, monitor);
    images.check_labels(&network.graph, monitor)?;
    images.note_batch(n_images, monitor);
    images.answers().note(config.data.output_name.as_deref(), monitor);
    network.note_untrained(monitor);
    let start = std::time::Instant::now();
    let mut requantization = None;
    let (mut in_integers, mut in_bits, mut float_answers) = (None, None, None);
    let (mut time_steps, mut spikes_per_image) = (None, None);
    let (mut synaptic_operations_per_image, mut synaptic_nj_per_image) = (None, None);
    let engine = config.engine.unwrap_or_else(|| suited(network, monitor));
    let tally = match engine {
        Engine::Integer if is_quantized(&network.graph) => {
            let lowered = qdq::lowered(&network.graph, monitor)?;
            requantization = Some(lowered.rounding.name());
            let work = NetworkWork::new(network, images.input())?;
            in_integers = Some(work.in_integers(lowered.multipliers()));
            let executor = IntegerExecutor::new(&lowered)?;
            monitor.stage("classifying images", n_images as u64);
            classify(&images, n_images, monitor, |inputs| executor.run(std::slice::from_ref(inputs)))?
        }
        Engine::Integer => {
            let quantization = on_training_images(&config.quantization);
            let quantized = Quantized::new(network, &images, &quantization, monitor)?;
            float_answers = Some(quantized.answers);
            let work = NetworkWork::new(network, images.input())?;
            in_integers = Some(work.in_integers(quantized.integer.graph.multipliers()));
            time_steps = network.temporal()?.map(|temporal| temporal.steps);
            quantized.classify(&images, n_images, monitor)?
        }
        Engine::Binary if network.temporal()?.is_none() => {
            let lowered = binary::lower(&network.graph)?;
            in_bits = Some(NetworkWork::new(network, images.input())?.in_bits(&lowered));
            let executor = BinaryExecutor::new(lowered)?;
            monitor.stage("classifying images", n_images as u64);
            classify(&images, n_images, monitor, |inputs| executor.run(std::slice::from_ref(inputs)))?
        }
        Engine::Reference | Engine::Cpu | Engine::Binary if network.temporal()?.is_some() => {
            if engine == Engine::Binary {
                let lowered = binary::lower(&Stepped::new(&network.graph)?.graph)?;
                in_bits = Some(NetworkWork::new(network, images.input())?.in_bits(&lowered));
            }
            let mut measured = spiking::measure(network, engine, &images, n_images, &[], monitor)?;
            let point = measured.pop().ok_or(AnswerFault::NoOutput)?;
            time_steps = Some(point.steps);
            spikes_per_image = Some(point.spikes_per_image);
            synaptic_operations_per_image = point.synaptic_operations_per_image;
            synaptic_nj_per_image = point.energy_nj()?;
            point.tally
        }
        Engine::Reference | Engine::Cpu | Engine::Binary => {
            let executor = float_executor(network, engine, config.order)?;
            monitor.stage("classifying images", n_images as u64);
            classify(&images, n_images, monitor, |inputs| executor.run(std::slice::from_ref(inputs)))?
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    let accuracy = tally.accuracy();
    let warnings = warnings(network, &images, tally, float_answers);
    warnings.iter().for_each(|warning| monitor.note(warning));
    let bits = |width: u32| (engine == Engine::Integer && requantization.is_none()).then_some(width);
    Ok(EvaluateRecord {
        schema: "skimp.evaluate/1",
        skimp_version: env!("CARGO_PKG_VERSION"),
        model: network.record(),
        data: images.record()?,
        engine: engine.name(),
        order: (engine == Engine::Cpu).then(|| order_of(network, config.order).name()),
        weight_bits: bits(config.quantization.weight_bits),
        activation_bits: bits(config.quantization.activation_bits),
        requantization,
        time_steps,
        spikes_per_image,
        synaptic_operations_per_image,
        synaptic_nj_per_image,
        output_name: images.answers().name.clone(),
        in_integers,
        in_bits,
        warnings,
        images: tally.images,
        correct: tally.top1,
        correct_top5: (tally.n_classes > 5).then_some(tally.top5),
        top1: accuracy.top1,
        top5: accuracy.top5,
        seconds,
        images_per_second: tally.images as f64 / seconds,
        images_per_s: tally.images as f64 / seconds,
    })
}

impl Network {
    /// Its accuracy in 32-bit floating point, added up in exact order, on the first `n_images` images.
    ///
    /// # Errors
    /// [`StudyError`] naming the node, or if the answers are no classes or an image cannot be read.
    pub fn accuracy(&self, images: &Images, n_images: usize, monitor: &dyn Monitor) -> Result<Accuracy, StudyError> {
        let n_images = images.limited(n_images, "images to evaluate")?;
        let executor = float_executor(self, Engine::Cpu, Order::Exact)?;
        monitor.stage("classifying images", n_images as u64);
        let run = |inputs: &Tensor| executor.run(std::slice::from_ref(inputs));
        Ok(classify(images, n_images, monitor, run)?.accuracy())
    }
}

/// Accuracy is measured on images that did not set the ranges, unless it is asked for.
fn on_training_images(config: &QuantizationConfig) -> QuantizationConfig {
    let calibration_split = config.calibration_split.or(Some(Split::Train));
    QuantizationConfig { calibration_split, ..*config }
}

/// What stands against an accuracy: answers at chance level, and whether the float network's, on the images that set
/// the ranges, are better.
fn warnings(network: &Network, images: &Images, tally: Tally, float: Option<Tally>) -> Vec<String> {
    if network.is_untrained {
        return Vec::new();
    }
    let warning = match float.filter(|float| float.images > 0 && !float.is_chance() && tally.is_chance()) {
        Some(float) => Some(format!(
            "the integer network classifies {} of {} images right, at or near the chance level of {} classes, but the \
             float network {} of {}: the widths are too small, or the ranges do not fit",
            tally.top1, tally.images, tally.n_classes, float.top1, float.images
        )),
        None => chance_warning(tally, images.preprocess_name()),
    };
    warning.into_iter().collect()
}

/// Operators that jump at a threshold, where the rounding of another order may turn an answer over.
const THRESHOLDS: [&str; 6] = ["Sign", "Round", "Floor", "Ceil", "QuantizeLinear", "Neuron"];

/// In which order a network is added up that may be added up in `order`: exactly, where sums meet thresholds.
fn order_of(network: &Network, order: Order) -> Order {
    let jumps = network.graph.nodes().iter().any(|node| THRESHOLDS.contains(&node.op.name()));
    if jumps { Order::Exact } else { order }
}

/// A float engine for `network`.
pub(crate) fn float_executor(network: &Network, engine: Engine, order: Order) -> Result<Box<dyn Executor>, StudyError> {
    let order = order_of(network, order);
    match network.temporal()? {
        Some(temporal) => Ok(Box::new(TimeLoop::new(&network.graph, temporal, |step| one_step(step, engine, order))?)),
        None => one_step(&network.graph, engine, order),
    }
}

/// A float engine for a graph that runs once.
pub(crate) fn one_step(graph: &Graph, engine: Engine, order: Order) -> Result<Box<dyn Executor>, StudyError> {
    Ok(match engine {
        Engine::Reference => Box::new(Reference::new(graph)),
        Engine::Binary => Box::new(BinaryExecutor::new(binary::lower(graph)?)?),
        Engine::Cpu | Engine::Integer => Box::new(CpuExecutor::with_order(graph, order)?),
    })
}
