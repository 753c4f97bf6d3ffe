//! What a network takes, before and after.

use serde::{Deserialize, Serialize};
use skimp_graph::shape::{self, Shapes};
use skimp_graph::{Graph, onnx, statistics};
use skimp_report::table::{Cell, Column, Table};

use crate::error::StudyError;
use crate::inputs::config::DataConfig;
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::Monitor;

/// Bytes of an element of an activation.
const ELEMENT_BYTES: u64 = 4;

/// What a network takes, for one image where the number is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkMeasures {
    /// Weights, biases, scales and shifts.
    pub parameters: u64,
    /// Weights of convolutions and dense layers alone.
    pub weights: u64,
    /// Weights that are zero.
    pub zero_weights: u64,
    /// Multiply-accumulate operations.
    pub macs: u64,
    /// Elements that layers which multiply put out.
    pub activation_elements: u64,
    /// Bytes of 32-bit activations that nodes read and write where each reads its inputs and writes its outputs once.
    pub activation_bytes_moved: u64,
    /// Bytes of 32-bit activations that are alive at once, at most, where each value goes after its last use.
    pub peak_bytes: u64,
    /// Size of the ONNX file.
    pub file_bytes: u64,
    /// Share of the images classified correctly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
    /// Median time of a batch, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
}

/// How networks are measured: the same for all of a reduction.
#[derive(Debug)]
pub(crate) struct Gauge {
    input_size: Option<[usize; 2]>,
    test: Option<Images>,
    n_images: usize,
}

impl Gauge {
    /// A gauge that measures accuracy on the first `accuracy_images` of the test split; a note where there is none.
    pub(crate) fn open(
        network: &Network,
        data: Option<&DataConfig>,
        input_size: Option<[usize; 2]>,
        monitor: &dyn Monitor,
    ) -> Result<Self, StudyError> {
        let n_images = data.map_or(0, |data| data.accuracy_images);
        let mut test = None;
        if let Some(data) = data.filter(|_| n_images > 0) {
            let data = DataConfig { split: skimp_data::Split::Test, ..data.clone() };
            match Images::open(&data, &network.graph, input_size) {
                Ok(images) => test = Some(images),
                Err(error) => {
                    monitor.note(&format!("accuracy is not measured, the test split cannot be opened: {error}"));
                }
            }
        }
        Ok(Self { input_size, test, n_images })
    }

    /// The images of the test split, and on how many of them accuracy is measured.
    pub(crate) fn test(&self) -> Option<(&Images, usize)> {
        self.test.as_ref().map(|test| (test, self.n_images.min(test.len())))
    }

    /// What a network takes, and what it answers.
    pub(crate) fn measure(&self, network: &Network, monitor: &dyn Monitor) -> Result<NetworkMeasures, StudyError> {
        let file_bytes = onnx::export_bytes(&network.graph)?.len() as u64;
        let mut measures = NetworkMeasures::of(&network.graph, self.input_size, file_bytes)?;
        if let Some((test, n_images)) = self.test() {
            measures.top1 = Some(network.accuracy(test, n_images, monitor)?.top1);
        }
        Ok(measures)
    }
}

impl NetworkMeasures {
    /// Counts a network; `input_size` fills in an open height and width.
    pub(crate) fn of(graph: &Graph, input_size: Option<[usize; 2]>, file_bytes: u64) -> Result<Self, StudyError> {
        let extents = shape::bind(graph, 1, input_size.map(|[height, width]| (height, width)))?;
        let shapes = shape::infer(graph, &extents)?;
        let counts = statistics::compute(graph, &shapes);
        Ok(Self {
            parameters: counts.parameters,
            weights: counts.weights,
            zero_weights: zeros(graph),
            macs: counts.macs,
            activation_elements: counts.activation_sum,
            activation_bytes_moved: ELEMENT_BYTES * moved(graph, &shapes),
            peak_bytes: ELEMENT_BYTES * counts.activation_peak,
            file_bytes,
            top1: None,
            latency_ms: None,
        })
    }
}

/// Elements of all parameters of a network; 0 where its shapes cannot be told.
#[must_use]
pub fn parameters(network: &Network) -> u64 {
    let constants = network.graph.values().len();
    (0..constants)
        .filter_map(|idx| network.graph.constant(skimp_graph::ValueId(idx)))
        .map(|tensor| tensor.shape().iter().product::<usize>() as u64)
        .sum()
}

/// Weights that are zero.
fn zeros(graph: &Graph) -> u64 {
    let zeros = |tensor: &skimp_graph::Tensor| {
        tensor.as_f32().map_or(0, |values| values.iter().filter(|&&value| value == 0.0).count() as u64)
    };
    let mut counted = vec![false; graph.values().len()];
    let mut n = 0;
    for node in graph.nodes() {
        for (input, id) in node.inputs.iter().enumerate() {
            let Some((id, tensor)) = id.and_then(|id| Some((id, graph.constant(id)?))) else { continue };
            let axes = node.op.weight_axes(input, tensor.shape().len());
            if axes.is_some_and(|axes| axes.inputs.is_some()) && !std::mem::replace(&mut counted[id.0], true) {
                n += zeros(tensor);
            }
        }
    }
    n
}

/// Elements that all nodes together read and write, constants left out.
fn moved(graph: &Graph, shapes: &Shapes) -> u64 {
    let of = |id: skimp_graph::ValueId| match graph.constant(id) {
        Some(_) => 0,
        None => shapes.get(id).map_or(0, |found| found.n_elements()),
    };
    let nodes = graph.nodes().iter();
    nodes
        .flat_map(|node| node.inputs.iter().flatten().chain(&node.outputs))
        .map(|&id| of(id))
        .fold(0, u64::saturating_add)
}

/// Both side by side.
pub(crate) fn table(title: String, before: &NetworkMeasures, after: &NetworkMeasures) -> Table {
    let columns = vec![
        Column::text("quantity", "quantity"),
        Column::text("unit", "unit"),
        Column::number("before", "before", ""),
        Column::number("after", "after", ""),
        Column::number("ratio", "after / before", ""),
    ];
    let mut table = Table::new(title, columns);
    let mut count = |name: &str, unit: &str, before: u64, after: u64| {
        let ratio = (before > 0).then(|| after as f64 / before as f64);
        table.row(vec![name.into(), unit.into(), before.into(), after.into(), Cell::real(ratio, 4)]);
    };
    count("parameters", "", before.parameters, after.parameters);
    count("weights", "", before.weights, after.weights);
    count("weights that are zero", "", before.zero_weights, after.zero_weights);
    count("MACs", "per image", before.macs, after.macs);
    count("activation elements", "per image", before.activation_elements, after.activation_elements);
    count("activations moved", "bytes per image", before.activation_bytes_moved, after.activation_bytes_moved);
    count("peak of activations", "bytes per image", before.peak_bytes, after.peak_bytes);
    count("ONNX file", "bytes", before.file_bytes, after.file_bytes);
    let mut real = |name: &str, unit: &str, before: Option<f64>, after: Option<f64>, places: usize| {
        let (Some(before), Some(after)) = (before, after) else { return };
        let ratio = (before > 0.0).then(|| after / before);
        let cells = [Cell::real(before, places), Cell::real(after, places), Cell::real(ratio, 4)];
        table.row([name.into(), unit.into()].into_iter().chain(cells).collect());
    };
    let percent = |top1: Option<f64>| top1.map(|top1| 100.0 * top1);
    real("top-1", "%", percent(before.top1), percent(after.top1), 2);
    real("latency (median)", "ms", before.latency_ms, after.latency_ms, 3);
    table
}
