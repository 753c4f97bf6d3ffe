//! A network of one-bit weights as a file of bits.

use std::path::Path;

use serde::Serialize;
use skimp_graph::binary::{BinaryOutput, BitPadding, lower};
use skimp_report::records::{Coverage, ModelRecord};
use skimp_report::table::{Cell, Column, Table};
use skimp_report::views::left_out_table;

use crate::error::StudyError;
use crate::inputs::network::Network;
use crate::stages::coverage::NetworkWork;
use crate::tabular::Tabular;

/// A packed network: `skimp.binarize/1`.
#[derive(Clone, Debug, Serialize)]
pub struct BinarizeRecord {
    /// `skimp.binarize/1`.
    pub schema: &'static str,
    /// Version of the program.
    pub skimp_version: &'static str,
    /// The network.
    pub model: ModelRecord,
    /// Size of the network as ONNX, with weights of 32 bits.
    pub onnx_bytes: u64,
    /// Size of the file written.
    pub bytes: u64,
    /// The part of the network's work that is on packed bits.
    pub in_bits: Coverage,
    /// Layers on bits.
    pub layers: Vec<BinaryLayerRecord>,
}

/// A layer on bits.
#[derive(Clone, Debug, Serialize)]
pub struct BinaryLayerRecord {
    /// Name of its node.
    pub name: String,
    /// `k, c, r, s`.
    pub weight_shape: [usize; 4],
    /// What its inputs are: `±1` or `1/0`, perhaps times a number.
    pub activations: String,
    /// What its padding holds.
    pub padding: &'static str,
    /// What it gives: `bits` by integer thresholds, or `sums`.
    pub gives: &'static str,
    /// Multiply-accumulates for one image.
    pub macs: u64,
}

impl Tabular for BinarizeRecord {
    fn tables(&self) -> Vec<Table> {
        let columns = vec![
            Column::number("onnx_bytes", "as ONNX", "bytes"),
            Column::number("bytes", "packed", "bytes"),
            Column::number("ratio", "smaller", "times"),
            Column::number("bit_percent", "on packed bits", "% of MACs"),
        ];
        let mut sizes = Table::new(format!("{}, packed", self.model.name), columns);
        let ratio = self.onnx_bytes as f64 / self.bytes.max(1) as f64;
        sizes.row(vec![
            self.onnx_bytes.into(),
            self.bytes.into(),
            Cell::real(ratio, 1),
            self.in_bits.percent_text().into(),
        ]);
        let columns = vec![
            Column::text("layer", "layer"),
            Column::text("weights", "weights"),
            Column::text("activations", "activations"),
            Column::text("padding", "padding"),
            Column::text("gives", "gives"),
            Column::number("macs", "MACs", "per image"),
        ];
        let mut layers = Table::new("Layers on bits".to_owned(), columns);
        for layer in &self.layers {
            let [k, c, r, s] = layer.weight_shape;
            layers.row(vec![
                layer.name.as_str().into(),
                format!("{k} x {c} x {r} x {s}").into(),
                layer.activations.as_str().into(),
                layer.padding.into(),
                layer.gives.into(),
                layer.macs.into(),
            ]);
        }
        let mut tables = vec![sizes, layers];
        if !self.in_bits.is_whole() {
            tables.push(left_out_table(&self.in_bits, "that stays in floating point"));
        }
        tables
    }
}

/// Writes a network that is binary already to `output`; work is counted for `input_size` where it leaves height and width open. Its one-bit weights as bits ([`Network::export`]'s `.skz`, whatever
/// the file is called). The network stays the same.
///
/// # Errors
/// [`StudyError::NotBinary`] if no layer multiplies bits; [`StudyError::Graph`] or [`StudyError::Io`].
pub fn binarize(
    network: &Network,
    input_size: Option<[usize; 2]>,
    output: &Path,
) -> Result<BinarizeRecord, StudyError> {
    let binary = lower(&network.graph)
        .map_err(|error| StudyError::NotBinary { network: network.name.clone(), cause: error.to_string() })?;
    let work = NetworkWork::on(network, input_size.map(|[height, width]| (height, width)))?;
    let layers = binary.layers().map(|(node, layer)| BinaryLayerRecord {
        name: node.name.clone(),
        weight_shape: layer.weight_shape,
        activations: {
            let form = if layer.input.is_signed { "±1" } else { "1/0" };
            if layer.input.scale.to_bits() == 1.0_f32.to_bits() {
                form.to_owned()
            } else {
                format!("{form} x {}", layer.input.scale)
            }
        },
        padding: match layer.padding {
            _ if layer.window.pads_begin.iter().chain(&layer.window.pads_end).all(|&pad| pad == 0) => "none",
            BitPadding::Zero => "0, a third value",
            BitPadding::Bit(true) => "1",
            BitPadding::Bit(false) if layer.input.is_signed => "-1",
            BitPadding::Bit(false) => "0",
        },
        gives: match layer.output {
            BinaryOutput::Bits(..) => "bits",
            BinaryOutput::Real => "sums",
        },
        macs: work.macs_of(&node.name),
    });
    let layers = layers.collect();
    let in_bits = work.in_bits(&binary);
    let sizes = network.write_coded(output)?;
    Ok(BinarizeRecord {
        schema: "skimp.binarize/1",
        skimp_version: env!("CARGO_PKG_VERSION"),
        model: network.record(),
        onnx_bytes: sizes.onnx_bytes as u64,
        bytes: sizes.file_bytes as u64,
        in_bits,
        layers,
    })
}
