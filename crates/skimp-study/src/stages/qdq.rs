//! From a float network to a network in QDQ form.

use std::path::Path;

use serde::Serialize;
use skimp_data::Split;
use skimp_graph::integer::{IntegerGraph, is_quantized, lower};
use skimp_graph::{Graph, onnx};
use skimp_quant::{Detail, LayerChoices, QdqConfig, QdqNetwork};
use skimp_report::records::{Coverage, DataRecord, ModelRecord};
use skimp_report::table::{Cell, Column, Table};
use skimp_report::views::left_out_table;

use crate::error::StudyError;
use crate::inputs::answers::chance_warning;
use crate::inputs::config::DataConfig;
use crate::inputs::images::{Images, PREPROCESS_KEY};
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::stages::coverage::NetworkWork;
use crate::stages::fidelity::{ERROR_IMAGES, QuantizedAccuracy, accuracies, layer_errors};
use crate::stages::integer::calibrate;
use crate::tabular::Tabular;

/// What to quantize, and how.
#[derive(Clone, Debug)]
pub struct QuantizeConfig {
    /// Where the images that set the ranges come from. Accuracy is measured on the first `accuracy_images` of the test
    /// split.
    pub data: DataConfig,
    /// Input height and width, where the network leaves them open.
    pub input_size: Option<[usize; 2]>,
    /// Settings of the network in QDQ form.
    pub qdq: QdqConfig,
    /// Layers that are not as the rest.
    pub choices: LayerChoices,
}

/// A quantized network: `skimp.quantize/2`.
#[derive(Clone, Debug, Serialize)]
pub struct QuantizeRecord {
    /// `skimp.quantize/2`.
    pub schema: &'static str,
    /// Version of the program.
    pub skimp_version: &'static str,
    /// The float network.
    pub model: ModelRecord,
    /// The calibration data.
    pub data: DataRecord,
    /// The settings; `calibration_images` is how many there were.
    #[serde(flatten)]
    pub settings: QdqConfig,
    /// Size of the float network.
    pub bytes_before: u64,
    /// Size of the file written.
    pub bytes_after: u64,
    /// The part of the network's work that runs in integers.
    pub in_integers: Coverage,
    /// What to know before using the network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Convolutions and dense layers.
    pub layers: Vec<QuantizedLayerRecord>,
    /// Values that are stored as codes.
    pub values: Vec<EncodingRecord>,
    /// Nodes that compute in floating point.
    pub float_nodes: Vec<FloatNodeRecord>,
    /// Images over which `sqnr_db` of the layers was measured: the first ones of calibration.
    pub error_images: usize,
    /// Accuracy before and after, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<QuantizedAccuracy>,
}

/// A layer with weights in few bits.
#[derive(Clone, Debug, Serialize)]
pub struct QuantizedLayerRecord {
    /// Name of its node.
    pub name: String,
    /// Operator it was.
    pub operator: &'static str,
    /// `k, c / groups, r, s`.
    pub weight_shape: [usize; 4],
    /// The least weight scale.
    pub weight_scale_min: f32,
    /// The greatest weight scale.
    pub weight_scale_max: f32,
    /// Weight scales, one or one for each output channel.
    pub weight_scales: usize,
    /// Scale of its input.
    pub input_scale: f32,
    /// Zero point of its input.
    pub input_zero_point: i32,
    /// Width of its weights.
    pub weight_bits: u32,
    /// Signal-to-quantization-noise ratio of what it computes, in dB, errors of earlier layers included; left out where
    /// nothing differs from the float network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqnr_db: Option<f64>,
}

/// What the codes of a value stand for: `real = (code − zero_point) · scale`.
#[derive(Clone, Debug, Serialize)]
pub struct EncodingRecord {
    /// Name of the value.
    pub name: String,
    /// Scale.
    pub scale: f32,
    /// Zero point.
    pub zero_point: i32,
}

/// A node that computes in floating point.
#[derive(Clone, Debug, Serialize)]
pub struct FloatNodeRecord {
    /// Name of the node.
    pub name: String,
    /// Its operator.
    pub operator: &'static str,
}

impl Tabular for QuantizeRecord {
    fn tables(&self) -> Vec<Table> {
        let mut layers = Table::new(
            format!(
                "{}: weights {} bits {} {}, activations {} {}, {} on {} images, {} requantization; {} of {} bytes; {}",
                self.model.name,
                self.settings.weight_bits,
                self.settings.weight_scheme,
                self.settings.weight_scales,
                self.settings.activation_type_name(),
                self.settings.activation_scheme,
                self.settings.calibration,
                self.settings.calibration_images,
                self.settings.requantization.name(),
                self.bytes_after,
                self.bytes_before,
                self.in_integers.sentence("in integers")
            ),
            vec![
                Column::text("name", "layer"),
                Column::text("operator", "operator"),
                Column::text("weight_shape", "weight"),
                Column::number("weight_bits", "width", "bits"),
                Column::number("sqnr_db", "SQNR", "dB"),
                Column::number("input_scale", "input scale", ""),
                Column::number("input_zero_point", "zero point", ""),
                Column::number("weight_scale_min", "least weight scale", ""),
                Column::number("weight_scale_max", "greatest", ""),
            ],
        );
        for layer in &self.layers {
            let [k, c, r, s] = layer.weight_shape;
            layers.row(vec![
                layer.name.as_str().into(),
                layer.operator.into(),
                format!("{k}x{c}x{r}x{s}").as_str().into(),
                u64::from(layer.weight_bits).into(),
                Cell::real(layer.sqnr_db, 1),
                Cell::real(f64::from(layer.input_scale), 6),
                Cell::real(f64::from(layer.input_zero_point), 0),
                Cell::real(f64::from(layer.weight_scale_min), 6),
                Cell::real(f64::from(layer.weight_scale_max), 6),
            ]);
        }
        let mut tables = vec![layers];
        tables.extend(self.accuracy.as_ref().map(|accuracy| accuracy.table(&self.model.name)));
        if !self.in_integers.is_whole() {
            tables.push(left_out_table(&self.in_integers, "that stay in 32-bit floating point"));
        }
        if !self.float_nodes.is_empty() {
            let columns = vec![Column::text("name", "node"), Column::text("operator", "operator")];
            let mut floats = Table::new("in floating point", columns);
            for node in &self.float_nodes {
                floats.row(vec![node.name.as_str().into(), node.operator.into()]);
            }
            tables.push(floats);
        }
        tables
    }
}

/// Calibrates a network on the first images, quantizes it, and writes it to `output` as ONNX in QDQ form.
///
/// # Errors
/// [`StudyError::Quant`] for a setting that cannot be, [`StudyError::AlreadyQuantized`], otherwise the error of the step
/// that failed. Nothing is written then.
pub fn quantize(
    network: &Network,
    config: &QuantizeConfig,
    output: &Path,
    monitor: &dyn Monitor,
) -> Result<QuantizeRecord, StudyError> {
    let settings = &config.qdq;
    settings.check()?;
    if is_quantized(&network.graph) {
        return Err(StudyError::AlreadyQuantized { network: network.name.clone() });
    }
    let images = Images::open_for_ranges(&config.data, &network.graph, config.input_size, monitor)?;
    let network = &network.prepared();
    let n_images = images.limited(settings.calibration_images, "calibration images")?;
    images.note_ranges(n_images, monitor);
    images.note_preprocess(&config.data, &network.graph, monitor);
    images.answers().note(config.data.output_name.as_deref(), monitor);
    network.check_one_step("the QDQ form")?;
    let detail = Detail::of(settings.calibration);
    let (calibration, answers) = calibrate(network, None, (&images, n_images), detail, monitor)?;
    let warning = chance_warning(answers, images.preprocess_name()).filter(|_| !network.is_untrained);
    warning.iter().for_each(|warning| monitor.note(warning));
    monitor.stage("quantizing", 1);
    let quantized = skimp_quant::quantize_qdq_with(&network.graph, settings, &config.choices, &calibration)?;
    let graph = quantized.graph.with_metadata(PREPROCESS_KEY, images.preprocess_name());
    let quantized = QdqNetwork { graph, ..quantized };
    let n_error_images = n_images.min(ERROR_IMAGES);
    let errors = layer_errors(&network.graph, &quantized, &images, n_error_images, monitor)?;
    let accuracy = match config.data.accuracy_images {
        0 => None,
        n => {
            let data = DataConfig { split: Split::Test, ..config.data.clone() };
            match Images::open(&data, &network.graph, config.input_size) {
                Ok(images) => accuracies(network, &quantized.graph, &images, n, monitor)?,
                // Ranges came from the training split: there may be no other.
                Err(error) => {
                    monitor.note(&format!("accuracy is not measured, the test split cannot be opened: {error}"));
                    None
                }
            }
        }
    };
    onnx::export(&quantized.graph, output)?;
    let io = |source| StudyError::Io { path: output.to_owned(), source };
    let bytes_after = std::fs::metadata(output).map_err(io)?.len();
    let work = NetworkWork::new(network, images.input())?;
    let products = quantized.products.iter().map(String::as_str);
    let in_integers = work.in_integers(quantized.layers.iter().map(|layer| layer.name.as_str()).chain(products));
    let mut record = record(network, settings, &images, &quantized, bytes_after)?;
    record.layers.iter_mut().zip(errors).for_each(|(layer, error)| layer.sqnr_db = error);
    let warnings = warning.into_iter().collect();
    Ok(QuantizeRecord { in_integers, warnings, error_images: n_error_images, accuracy, ..record })
}

fn record(
    network: &Network,
    settings: &QdqConfig,
    images: &Images,
    quantized: &QdqNetwork,
    bytes_after: u64,
) -> Result<QuantizeRecord, StudyError> {
    let layer = |layer: &skimp_quant::QdqLayer| QuantizedLayerRecord {
        name: layer.name.clone(),
        operator: layer.op,
        weight_shape: layer.weight_shape,
        weight_scale_min: layer.weight_scales.iter().copied().fold(f32::INFINITY, f32::min),
        weight_scale_max: layer.weight_scales.iter().copied().fold(0.0, f32::max),
        weight_scales: layer.weight_scales.len(),
        input_scale: layer.input.scale as f32,
        input_zero_point: layer.input.zero_point,
        weight_bits: layer.weight_bits,
        sqnr_db: None,
    };
    let value = |value: &skimp_quant::QdqValue| {
        let (scale, zero_point) = (value.encoding.scale as f32, value.encoding.zero_point);
        EncodingRecord { name: value.name.clone(), scale, zero_point }
    };
    Ok(QuantizeRecord {
        schema: "skimp.quantize/2",
        skimp_version: env!("CARGO_PKG_VERSION"),
        model: network.record(),
        data: images.record()?,
        settings: QdqConfig { calibration_images: quantized.n_calibration_images, ..*settings },
        bytes_before: network.size_bytes,
        bytes_after,
        in_integers: Coverage::default(),
        warnings: Vec::new(),
        layers: quantized.layers.iter().map(layer).collect(),
        values: quantized.values.iter().map(value).collect(),
        float_nodes: quantized
            .float_nodes
            .iter()
            .map(|node| FloatNodeRecord { name: node.name.clone(), operator: node.op })
            .collect(),
        error_images: 0,
        accuracy: None,
    })
}

/// The integer network behind a graph in QDQ form, and a note on what stays in floating point.
pub(crate) fn lowered(graph: &Graph, monitor: &dyn Monitor) -> Result<IntegerGraph, StudyError> {
    let lowered = lower(graph)?;
    let floats: Vec<String> = lowered.float_nodes().map(|node| format!("{} ({})", node.name, node.op.name())).collect();
    if !floats.is_empty() {
        const MAX_LISTED: usize = 5;
        let more = if floats.len() > MAX_LISTED { ", ..." } else { "" };
        let listed = floats[..floats.len().min(MAX_LISTED)].join(", ");
        monitor.note(&format!("{} nodes run in floating point: {listed}{more}", floats.len()));
    }
    Ok(lowered)
}
