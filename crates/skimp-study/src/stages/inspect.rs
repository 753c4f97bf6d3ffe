//! What a network is made of.

use serde::Serialize;
use skimp_graph::{shape, statistics};
use skimp_report::records::ModelRecord;
use skimp_report::table::{Column, Table};

use crate::error::StudyError;
use crate::inputs::network::Network;
use crate::tabular::Tabular;

/// A network's layers and counts for one image: `skimp.inspect/1`.
#[derive(Clone, Debug, Serialize)]
pub struct InspectRecord {
    /// `skimp.inspect/1`.
    pub schema: &'static str,
    /// Version of the program.
    pub skimp_version: &'static str,
    /// The network.
    pub model: ModelRecord,
    /// Shape of each input, for one image.
    pub inputs: Vec<NamedShape>,
    /// Shape of each output, for one image.
    pub outputs: Vec<NamedShape>,
    /// The nodes, in execution order.
    pub layers: Vec<InspectLayer>,
    /// Sums over the layers.
    pub total: InspectTotal,
}

/// A value and its shape.
#[derive(Clone, Debug, Serialize)]
pub struct NamedShape {
    /// Name of the value.
    pub name: String,
    /// Extents.
    pub shape: Vec<usize>,
}

/// One node.
#[derive(Clone, Debug, Serialize)]
pub struct InspectLayer {
    /// Name of the node.
    pub name: String,
    /// Operator as in ONNX.
    pub operator: &'static str,
    /// Shapes of the inputs that are not constants.
    pub input_shapes: Vec<Vec<usize>>,
    /// Shapes of the outputs.
    pub output_shapes: Vec<Vec<usize>>,
    /// Convolution and dense weights.
    pub weights: u64,
    /// Weights, biases, batch-norm scale and shift.
    pub parameters: u64,
    /// Multiply-accumulates.
    pub macs: u64,
}

/// Sums over a network.
#[derive(Clone, Debug, Serialize)]
pub struct InspectTotal {
    /// Convolution and dense weights (weights only, P_w).
    pub weights: u64,
    /// Weights, biases, batch-norm scale and shift (P_tot).
    pub parameters: u64,
    /// Batch-norm means and variances, which are no parameters.
    pub buffers: u64,
    /// Multiply-accumulates of convolutions and dense layers.
    pub macs: u64,
    /// Multiply-accumulates of convolutions alone.
    pub convolution_macs: u64,
    /// Elements of all convolution and dense outputs (activation size, definition a).
    pub activation_sum: u64,
    /// Most elements alive at once at inference (activation size, definition c).
    pub activation_peak: u64,
}

impl Tabular for InspectRecord {
    fn tables(&self) -> Vec<Table> {
        vec![self.layer_table(), self.total_table()]
    }
}

impl InspectRecord {
    fn layer_table(&self) -> Table {
        let mut table = Table::new(
            format!("{}, one image", self.model.name),
            vec![
                Column::text("name", "layer"),
                Column::text("operator", "operator"),
                Column::text("input", "input"),
                Column::text("output", "output"),
                Column::number("weights", "weights", ""),
                Column::number("parameters", "parameters", ""),
                Column::number("macs", "MACs", ""),
            ],
        );
        for layer in &self.layers {
            table.row(vec![
                layer.name.as_str().into(),
                layer.operator.into(),
                shapes_text(&layer.input_shapes).into(),
                shapes_text(&layer.output_shapes).into(),
                layer.weights.into(),
                layer.parameters.into(),
                layer.macs.into(),
            ]);
        }
        table.footer.push(vec![
            "total".into(),
            "".into(),
            "".into(),
            "".into(),
            self.total.weights.into(),
            self.total.parameters.into(),
            self.total.macs.into(),
        ]);
        table
    }

    fn total_table(&self) -> Table {
        let mut table = Table::new(
            "by convention",
            vec![
                Column::text("quantity", "quantity"),
                Column::number("count", "count", ""),
                Column::text("convention", "convention"),
            ],
        );
        let total = &self.total;
        for (quantity, count, convention) in [
            ("weights only", total.weights, "convolution and dense weights"),
            ("parameters", total.parameters, "weights, biases, batch-norm scale and shift"),
            ("buffers", total.buffers, "batch-norm means and variances; no parameters"),
            ("MACs", total.macs, "multiply-accumulates of convolutions and dense layers"),
            ("MACs, convolutions", total.convolution_macs, "multiply-accumulates of convolutions alone"),
            ("activations, sum", total.activation_sum, "elements of all convolution and dense outputs"),
            ("activations, peak", total.activation_peak, "most elements alive at once at inference"),
        ] {
            table.row(vec![quantity.into(), count.into(), convention.into()]);
        }
        table
    }
}

fn shapes_text(shapes: &[Vec<usize>]) -> String {
    let text = |shape: &Vec<usize>| shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    shapes.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// Counts a network for one image. `input_size` is its height and width, where the network leaves them open.
///
/// # Errors
/// [`StudyError::Graph`] naming the node whose shapes do not fit, or the input that needs a size.
pub fn inspect(network: &Network, input_size: Option<[usize; 2]>) -> Result<InspectRecord, StudyError> {
    let graph = &network.graph;
    let inputs = shape::bind(graph, 1, input_size.map(|[height, width]| (height, width)))?;
    let shapes = shape::infer(graph, &inputs)?;
    let statistics = statistics::compute(graph, &shapes);
    let named = |id| NamedShape { name: graph.value(id).name.clone(), shape: shapes.shape(id).to_vec() };
    Ok(InspectRecord {
        schema: "skimp.inspect/1",
        skimp_version: env!("CARGO_PKG_VERSION"),
        model: network.record(),
        inputs: graph.inputs().iter().map(|input| named(input.value)).collect(),
        outputs: graph.outputs().iter().map(|&id| named(id)).collect(),
        total: InspectTotal {
            weights: statistics.weights,
            parameters: statistics.parameters,
            buffers: statistics.buffers,
            macs: statistics.macs,
            convolution_macs: statistics.conv_macs,
            activation_sum: statistics.activation_sum,
            activation_peak: statistics.activation_peak,
        },
        layers: statistics
            .layers
            .into_iter()
            .map(|layer| InspectLayer {
                name: layer.name,
                operator: layer.op,
                input_shapes: layer.inputs,
                output_shapes: layer.outputs,
                weights: layer.weights,
                parameters: layer.parameters,
                macs: layer.macs,
            })
            .collect(),
    })
}
