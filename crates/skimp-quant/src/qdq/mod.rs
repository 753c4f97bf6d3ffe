//! Quantization to 8-bit codes with zero points, as a plain ONNX network in QDQ form.
//!
//! [`quantize_qdq`] rewrites a float network: batch normalization is folded, every value that an operator on codes reads
//! or makes gets a pair of `QuantizeLinear` and `DequantizeLinear`, weights become int8 constants and biases int32
//! constants behind a `DequantizeLinear`. Any runtime of ONNX runs the result;
//! [`integer::lower`](skimp_graph::integer::lower) turns it into integer arithmetic.

mod choices;
mod config;
mod range;
mod read;
mod roles;
mod weights;
mod write;

use std::collections::BTreeSet;

use skimp_graph::integer::Encoding;
use skimp_graph::{Graph, rewrite};

use crate::{Calibration, FloatNode, QuantError};

pub use choices::LayerChoices;
pub use config::{OutputForm, QdqConfig, Scheme};
pub use read::read_qdq;

/// A convolution or dense layer with 8-bit weights.
#[derive(Clone, Debug, PartialEq)]
pub struct QdqLayer {
    /// Name of its node.
    pub name: String,
    /// Operator it was: `Conv`, `Gemm`, `MatMul`, or `BatchNormalization` that no convolution took in.
    pub op: &'static str,
    /// `k, c / groups, r, s`.
    pub weight_shape: [usize; 4],
    /// Width of the weight codes.
    pub weight_bits: u32,
    /// One, or one for each output channel.
    pub weight_scales: Vec<f32>,
    /// As many; all 0 in the symmetric scheme.
    pub weight_zero_points: Vec<i32>,
    /// What its input codes stand for.
    pub input: Encoding,
    /// What its output codes stand for; `None` where it gives real numbers.
    pub output: Option<Encoding>,
}

/// A value that is stored as codes.
#[derive(Clone, Debug, PartialEq)]
pub struct QdqValue {
    /// Its name in the float network.
    pub name: String,
    /// What its codes stand for.
    pub encoding: Encoding,
}

/// A network in QDQ form.
#[derive(Clone, Debug, PartialEq)]
pub struct QdqNetwork {
    /// The network.
    pub graph: Graph,
    /// Its layers, in order.
    pub layers: Vec<QdqLayer>,
    /// Names of its products of two values, both of which are stored as codes, in order.
    pub products: Vec<String>,
    /// Its values that are stored as codes, in order.
    pub values: Vec<QdqValue>,
    /// Nodes that compute in floating point.
    pub float_nodes: Vec<FloatNode>,
    /// Number of images the ranges come from.
    pub n_calibration_images: usize,
}

/// Quantizes `graph` with ranges from `calibration`, which was taken on the same graph.
///
/// Operators on codes are: convolutions and dense layers with constant weights, products and additions of two values, means over
/// positions (`AveragePool`, `GlobalAveragePool`, `ReduceMean` over both spatial axes), and functions of one value
/// (`Relu`, `Clip`, `LeakyRelu`, `Sigmoid`, `HardSigmoid`, `HardSwish`, `Tanh`). A `Relu` or `Clip` that alone reads such an
/// operator's output joins it. Values that `MaxPool`, `Concat`, `Split`, `Slice`, `Pad` and reshapes connect share one
/// encoding, that of the union of their ranges. Everything else stays in floating point and is listed. Metadata of the
/// result name the settings and the rounding.
///
/// # Rounding
/// Weights and biases round half to even in f64. `scale = max|W| / (2^(bits−1) − 1)`, or, asymmetric,
/// `(max − min) / (2^bits − 1)` over a range that holds 0; a channel of zeros takes the scale of the layer. Biases are
/// int32 in units of `scale(input) · scale(weight)`, an f32 product; a weight scale is raised where a bias would exceed
/// 2^30 units. All scales are f32.
///
/// # Errors
/// [`QuantError::InvalidConfig`], [`QuantError::NotCalibrated`], and errors that name the node that cannot be quantized.
///
/// # Source
/// Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
/// 2018, sections 2.1, 2.4 and 3.2; ONNX operator specifications of `QuantizeLinear` and `DequantizeLinear`, opset 13.
pub fn quantize_qdq(graph: &Graph, config: &QdqConfig, calibration: &Calibration) -> Result<QdqNetwork, QuantError> {
    quantize_qdq_with(graph, config, &LayerChoices::default(), calibration)
}

/// [`quantize_qdq`] with some layers in floating point or in other widths.
///
/// # Errors
/// As [`quantize_qdq`]; [`QuantError::UnknownLayer`] if a choice is of no node.
pub fn quantize_qdq_with(
    graph: &Graph,
    config: &QdqConfig,
    choices: &LayerChoices,
    calibration: &Calibration,
) -> Result<QdqNetwork, QuantError> {
    config.check()?;
    let (folded, _) = rewrite::fold_batch_norm(&rewrite::simplify(graph));
    let roles = roles::find(&folded, config, choices, calibration)?;
    let encodings = roles::encodings(&folded, &roles, config, calibration)?;
    write::write(&folded, &roles, &encodings, (config, choices), calibration.n_images())
}

/// Names of the nodes that are layers.
fn layer_names<'g>(graph: &'g Graph, roles: &[roles::Role]) -> BTreeSet<&'g str> {
    let layers = graph.nodes().iter().zip(roles).filter(|(_, role)| matches!(role, roles::Role::Layer(_)));
    layers.map(|(node, _)| node.name.as_str()).collect()
}
