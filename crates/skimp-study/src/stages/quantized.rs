//! A network with known ranges, and the integer network that these give: each kept by whoever called for it.

use std::sync::Arc;

use skimp_graph::integer::{IntegerGraph, is_quantized};
use skimp_graph::{GraphError, Tensor, shape, statistics};
use skimp_quant::{
    Calibration, Detail, LayerChoices, LayerWidths, QdqConfig, QuantizationConfig, QuantizationReport, QuantizedLayer,
};
use skimp_report::records::Accuracy;

use crate::error::StudyError;
use crate::inputs::answers::Tally;
use crate::inputs::images::{Images, PREPROCESS_KEY};
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::stages::evaluate::classify;
use crate::stages::integer::{calibrate, note_file_codes};
use crate::stages::timed::{OverTime, TimedExecutor};

/// What a file holds of a calibration: all but the network.
#[derive(serde::Serialize, serde::Deserialize)]
struct Saved {
    ranges: Option<Calibration>,
    answers: Tally,
    preprocess: String,
}

/// A network whose values' ranges on some images are known: quantized at any widths without running again. A clone shares
/// what is large.
#[derive(Clone, Debug)]
pub struct Calibrated {
    network: Network,
    /// `None` for a network in QDQ form, whose file says what its codes stand for.
    ranges: Option<Arc<Calibration>>,
    /// How it runs over time, if it does: the ranges are those of all steps.
    time: Option<Arc<OverTime>>,
    /// Answers of the float network on the images that set the ranges.
    answers: Tally,
    /// What was done to these images.
    preprocess: String,
}

impl Network {
    /// Runs the network on the first `n_images` images and keeps the ranges of all values; a network in QDQ form, whose
    /// file holds them, does not run.
    ///
    /// # Errors
    /// [`StudyError`] naming the node or the image.
    pub fn calibrate(&self, images: &Images, n_images: usize, monitor: &dyn Monitor) -> Result<Calibrated, StudyError> {
        images.note_preprocess(images.config(), &self.graph, monitor);
        images.answers().note(images.config().output_name.as_deref(), monitor);
        self.note_untrained(monitor);
        // Any method can set ranges from it.
        Calibrated::new(self, images, n_images, Detail::Histogram, monitor)
    }
}

impl Calibrated {
    /// The ranges that `config` asks for, on its images and of its split, fit for any method and any widths.
    ///
    /// # Errors
    /// As [`Network::calibrate`]; [`StudyError::Quant`] naming a setting.
    pub fn for_config(
        network: &Network,
        images: &Images,
        config: &QuantizationConfig,
        monitor: &dyn Monitor,
    ) -> Result<Self, StudyError> {
        Self::on_images_of(network, images, config, Detail::Histogram, monitor)
    }

    fn on_images_of(
        network: &Network,
        images: &Images,
        config: &QuantizationConfig,
        detail: Detail,
        monitor: &dyn Monitor,
    ) -> Result<Self, StudyError> {
        if is_quantized(&network.graph) {
            return Self::new(network, images, 0, Detail::Extremes, monitor);
        }
        config.check()?;
        let others = images.for_ranges(config.calibration_split, monitor)?;
        Self::new(network, others.as_ref().unwrap_or(images), config.calibration_images, detail, monitor)
    }

    fn new(
        network: &Network,
        images: &Images,
        n_images: usize,
        detail: Detail,
        monitor: &dyn Monitor,
    ) -> Result<Self, StudyError> {
        let preprocess = images.preprocess_name().to_owned();
        if is_quantized(&network.graph) {
            network.check_one_step("the integer engine, from a file in QDQ form,")?;
            let network = network.clone();
            return Ok(Self { network, ranges: None, time: None, answers: Tally::default(), preprocess });
        }
        let n_images = images.limited(n_images, "calibration images")?;
        images.note_ranges(n_images, monitor);
        let network = network.prepared();
        let time = OverTime::of(&network)?;
        let (ranges, answers) = calibrate(&network, time.as_deref(), (images, n_images), detail, monitor)?;
        Ok(Self { network, ranges: Some(Arc::new(ranges)), time, answers, preprocess })
    }

    /// Ranges, and what else calibration found, as the bytes of a file; `None` where they have no such form.
    #[must_use]
    pub fn saved(&self) -> Option<Vec<u8>> {
        let ranges = self.ranges.as_deref().cloned();
        serde_json::to_vec(&Saved { ranges, answers: self.answers, preprocess: self.preprocess.clone() }).ok()
    }

    /// The calibration that [`saved`](Self::saved) wrote, of the same network; `None` where the bytes are none.
    #[must_use]
    pub fn from_saved(network: &Network, bytes: &[u8]) -> Option<Self> {
        let Saved { ranges, answers, preprocess } = serde_json::from_slice(bytes).ok()?;
        let network = if ranges.is_some() { network.prepared() } else { network.clone() };
        let time = OverTime::of(&network).ok()?;
        Some(Self { network, ranges: ranges.map(Arc::new), time, answers, preprocess })
    }

    /// The network that was calibrated: without transposes that cancel, else as it was given.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What was seen of each value, by name; `None` for a network in QDQ form.
    #[must_use]
    pub fn ranges(&self) -> Option<&Calibration> {
        self.ranges.as_deref()
    }

    /// The integer network of these widths; `config.calibration_images` and `config.calibration_split` have no part in it.
    /// A network in QDQ form is taken on the codes that stand in its file, and no width matters.
    ///
    /// # Errors
    /// [`StudyError::Quant`] naming the setting, or the node that cannot be quantized.
    pub fn quantize(&self, config: &QuantizationConfig, monitor: &dyn Monitor) -> Result<Quantized, StudyError> {
        self.quantize_with(config, &LayerWidths::default(), monitor)
    }

    /// As [`Calibrated::quantize`], with layers that have widths of their own; these do not matter either where the codes
    /// stand in a file.
    ///
    /// # Errors
    /// As [`Calibrated::quantize`]; [`StudyError::Quant`] naming a layer that the network does not have.
    pub fn quantize_with(
        &self,
        config: &QuantizationConfig,
        widths: &LayerWidths,
        monitor: &dyn Monitor,
    ) -> Result<Quantized, StudyError> {
        let integer = match &self.ranges {
            Some(ranges) => {
                let graph = self.time.as_ref().map_or(&self.network.graph, |time| &time.step);
                skimp_quant::quantize_with(graph, config, widths, ranges)?
            }
            None => {
                let integer = skimp_quant::read_qdq(&self.network.graph, config.first_layer)?;
                note_file_codes(&integer, monitor);
                integer
            }
        };
        let executor = TimedExecutor::new(&integer.graph, self.time.clone())?;
        let config = that_count(&integer, config, widths);
        let (network, answers) = (self.network.clone(), self.answers);
        Ok(Quantized { network, integer: Arc::new(integer), config, answers, executor })
    }

    /// The network in QDQ form, which other tools run, too: to be [exported](Network::export), or run by
    /// [`Engine::Integer`](crate::Engine::Integer). `choices` are layers in floating point or of other widths.
    ///
    /// # Errors
    /// [`StudyError::AlreadyQuantized`]; [`StudyError::Quant`] naming the setting, the layer or the node.
    pub fn to_qdq(&self, config: &QdqConfig, choices: &LayerChoices) -> Result<Network, StudyError> {
        let Some(ranges) = &self.ranges else {
            return Err(StudyError::AlreadyQuantized { network: self.network.name.clone() });
        };
        self.network.check_one_step("the QDQ form")?;
        let quantized = skimp_quant::quantize_qdq_with(&self.network.graph, config, choices, ranges)?;
        let graph = quantized.graph.with_metadata(PREPROCESS_KEY, self.preprocess.as_str());
        Ok(Network { name: self.network.name.clone(), ..Network::from_graph(graph)? })
    }
}

/// An integer network, ready to run: classifies, is traced. A clone shares it.
#[derive(Clone, Debug)]
pub struct Quantized {
    pub(crate) network: Network,
    pub(crate) integer: Arc<skimp_quant::Quantized>,
    pub(crate) config: QuantizationConfig,
    /// Answers of the float network on the images that set the ranges.
    pub(crate) answers: Tally,
    pub(crate) executor: TimedExecutor,
}

impl Quantized {
    /// Calibrates `network` on the first images, or on those of the split that `config` names, and quantizes it: both
    /// steps at once, with no more kept of the ranges than `config` asks for.
    ///
    /// # Errors
    /// As [`Network::calibrate`] and [`Calibrated::quantize`].
    pub fn new(
        network: &Network,
        images: &Images,
        config: &QuantizationConfig,
        monitor: &dyn Monitor,
    ) -> Result<Self, StudyError> {
        Calibrated::on_images_of(network, images, config, Detail::of(config.calibration), monitor)?
            .quantize(config, monitor)
    }

    /// Bytes that its parameters take: the codes of each integer layer's weights side by side at their width, in whole
    /// bytes, and 4 for each other parameter, biases among them.
    ///
    /// # Errors
    /// [`StudyError::Graph`] if the network's shapes cannot be told.
    pub fn model_bytes(&self, input_size: Option<[usize; 2]>) -> Result<u64, StudyError> {
        let graph = &self.network.graph;
        let extents = shape::bind(graph, 1, input_size.map(|[height, width]| (height, width)))?;
        let parameters = statistics::compute(graph, &shape::infer(graph, &extents)?).parameters;
        let (mut codes, mut bytes) = (0_u64, 0_u64);
        for (_, layer) in self.integer.graph.layers() {
            let n = layer.weight.len() as u64;
            codes += n;
            bytes += (n * u64::from(layer.weight_bits)).div_ceil(8);
        }
        Ok(bytes + 4 * parameters.saturating_sub(codes))
    }

    /// The float network, or the one in QDQ form, that it is made of.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The integer network itself.
    #[must_use]
    pub fn graph(&self) -> &IntegerGraph {
        &self.integer.graph
    }

    /// Its layers with weights, in order.
    #[must_use]
    pub fn layers(&self) -> &[QuantizedLayer] {
        &self.integer.layers
    }

    /// What else there is to know of the quantization.
    #[must_use]
    pub fn report(&self) -> &QuantizationReport {
        &self.integer.report
    }

    /// The settings, with the widths that count: the greatest ones of the file where the codes are its own, and of the
    /// layers where these have widths of their own.
    #[must_use]
    pub fn config(&self) -> &QuantizationConfig {
        &self.config
    }

    /// Runs the network on `inputs` and returns its outputs, both in order; real numbers outside, exact integers within.
    ///
    /// # Errors
    /// [`StudyError::Graph`] naming the input that does not fit, or the node.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, StudyError> {
        Ok(self.executor.run(inputs)?)
    }

    /// Its accuracy on the first `n_images` images.
    ///
    /// # Errors
    /// [`StudyError`] if the answers are no classes or an image cannot be read.
    pub fn accuracy(&self, images: &Images, n_images: usize, monitor: &dyn Monitor) -> Result<Accuracy, StudyError> {
        Ok(self.classify(images, images.limited(n_images, "images to evaluate")?, monitor)?.accuracy())
    }

    pub(crate) fn classify(
        &self,
        images: &Images,
        n_images: usize,
        monitor: &dyn Monitor,
    ) -> Result<Tally, StudyError> {
        monitor.stage("classifying images", n_images as u64);
        let run =
            |inputs: &Tensor| -> Result<Vec<Tensor>, GraphError> { self.executor.run(std::slice::from_ref(inputs)) };
        classify(images, n_images, monitor, run)
    }
}

/// The settings with the widths that count.
fn that_count(
    quantized: &skimp_quant::Quantized,
    settings: &QuantizationConfig,
    widths: &LayerWidths,
) -> QuantizationConfig {
    if !quantized.report.is_from_file && widths.is_empty() {
        return *settings;
    }
    let (weight_bits, activation_bits) = quantized.widths();
    QuantizationConfig { weight_bits, activation_bits, ..*settings }
}
