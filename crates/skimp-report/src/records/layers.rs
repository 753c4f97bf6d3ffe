//! Shapes, work and sparsity by layer: the section `layers` of a study.

use serde::{Deserialize, Serialize};

use super::{SectionRecord, StudyRecord, Verdict};

/// The layers of a network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LayersRecord {
    /// One entry per layer with multiply-accumulates, in execution order.
    pub layers: Vec<LayerStatistics>,
}

impl SectionRecord for LayersRecord {
    const NAME: &'static str = "layers";
    const SCHEMA: &'static str = "skimp.layers/1";
}

impl StudyRecord {
    /// One entry per layer with multiply-accumulates, in execution order; empty where none were looked at.
    pub fn layers(&self) -> &[LayerStatistics] {
        self.sections.get::<LayersRecord>().map_or(&[], |record| &record.layers)
    }
}

/// Shape, work and sparsity of one layer.
///
/// # Units
/// Densities are fractions of non-zero elements in `[0, 1]`, over all images of the study. `macs` and shapes are of
/// one image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerStatistics {
    /// Name of the layer in the network.
    pub name: String,
    /// Operator, such as `Conv`.
    pub operator: String,
    /// `[n, c, h, w]` of a convolution's input, `[n, c]` of a fully connected layer's.
    pub input_shape: Vec<u64>,
    /// `[k, c / groups, r, s]` or `[k, c]`.
    pub weight_shape: Vec<u64>,
    /// `[n, k, p, q]` or `[n, k]`.
    pub output_shape: Vec<u64>,
    /// Dense multiply-accumulates of one image.
    pub macs: u64,
    /// Number of weights, without biases.
    pub weights: u64,
    /// Share of input activations that are not zero.
    pub activation_density: f64,
    /// Share of integer weights that are not zero.
    pub weight_density: f64,
    /// Share of one bits in the magnitudes of the input activations' codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_bit_density: Option<f64>,
    /// Share of one bits in the magnitudes of the weights' codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_bit_density: Option<f64>,
    /// Share of outputs that are not zero after ReLU; `None` where no ReLU follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_density: Option<f64>,
    /// Whether nobody sees that a sum of the layer is negative, and if not, why: a ReLU makes it 0 for every reader, and
    /// operands are not negative.
    pub negative_sums_unseen: Verdict,
}
