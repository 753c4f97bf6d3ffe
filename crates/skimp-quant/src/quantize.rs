//! From a real network to an integer network.

use skimp_graph::{
    Graph,
    integer::{self, Encoding, IntegerGraph, ValueKind},
    rewrite,
};

use crate::{Calibration, LayerWidths, NegativeSums, QuantError, QuantizationConfig, emit, encode, pattern};

/// A multiply-accumulate layer of a quantized network.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedLayer {
    /// Name of the convolution or dense node.
    pub name: String,
    /// Operator it was: `Conv`, `Gemm`, `MatMul`, or `BatchNormalization` that no convolution took in.
    pub op: &'static str,
    /// Index of its node in the integer graph.
    pub node_idx: usize,
    /// Names of the nodes it took in after itself: additions and the activation function.
    pub fused: Vec<String>,
    /// Encoding of the activations.
    pub input: Encoding,
    /// Whether an operand of its products, code plus input offset, may be negative.
    pub operands_signed: bool,
    /// Encoding of the residual input, if there is one.
    pub residual: Option<Encoding>,
    /// What the output holds.
    pub output: ValueKind,
    /// Whether its negative sums need not be known.
    pub negatives: NegativeSums,
}

/// A node that stays in floating point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloatNode {
    /// Name of the node.
    pub name: String,
    /// Its operator.
    pub op: &'static str,
}

/// What quantization did, beyond the layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantizationReport {
    /// Number of images the ranges come from.
    pub n_calibration_images: usize,
    /// Nodes that compute in floating point, between conversions. Moves of real numbers are not listed.
    pub float_nodes: Vec<FloatNode>,
    /// Whether the codes are those of a file in QDQ form.
    pub is_from_file: bool,
}

/// A quantized network.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// The integer network.
    pub graph: IntegerGraph,
    /// Its multiply-accumulate layers, in order.
    pub layers: Vec<QuantizedLayer>,
    /// What else there is to know.
    pub report: QuantizationReport,
}

impl Quantized {
    /// The greatest widths of its layers' weights and input codes.
    pub fn widths(&self) -> (u32, u32) {
        let weights = self.graph.layers().map(|(_, layer)| layer.weight_bits).max();
        let inputs = self.layers.iter().map(|layer| layer.input.bits).max();
        (weights.unwrap_or(0), inputs.unwrap_or(0))
    }
}

/// Quantizes `graph` with ranges from `calibration`, which was taken on the same graph.
///
/// Batch normalization is folded first. A convolution or dense layer takes in the constant or residual addition and the
/// ReLU, Clip or Sign that follow it. Values that MaxPool, Concat, Slice, Pad and moves connect share one encoding.
/// Values that cannot be negative (after ReLU, a Clip from 0, and what pools and moves make of them) are unsigned, all
/// others signed, both with zero point 0. An operator without an integer form runs on real numbers and is listed in the
/// report. A layer whose output only leaves the network, or feeds such operators, gives real numbers straight from its
/// accumulator.
///
/// # Rounding
/// Weights, biases and clip bounds round half to even in f64; see the integer types for the run-time conversions.
///
/// # Errors
/// [`QuantError::InvalidConfig`], [`QuantError::NotCalibrated`], and errors that name the node that cannot be quantized.
pub fn quantize(
    graph: &Graph,
    config: &QuantizationConfig,
    calibration: &Calibration,
) -> Result<Quantized, QuantError> {
    quantize_with(graph, config, &LayerWidths::default(), calibration)
}

/// As [`quantize`], with layers that have widths of their own.
///
/// # Errors
/// As [`quantize`]; [`QuantError::UnknownLayer`] for a layer that the network does not have.
pub fn quantize_with(
    graph: &Graph,
    config: &QuantizationConfig,
    widths: &LayerWidths,
    calibration: &Calibration,
) -> Result<Quantized, QuantError> {
    config.check()?;
    let (folded, _) = rewrite::fold_batch_norm(&rewrite::simplify(graph));
    let patterns = pattern::find(&folded, calibration)?;
    let groups = patterns.groups.iter().flatten();
    widths.check(groups.map(|group| folded.nodes()[group.node_idx].name.as_str()))?;
    let forms = encode::decide(&folded, &patterns, calibration, config, widths)?;
    let mut quantized = emit::emit(&folded, &patterns, &forms, config, widths)?;
    quantized.report.n_calibration_images = calibration.n_images();
    integer::check(&quantized.graph)?;
    Ok(quantized)
}
