//! What can go wrong in quantization.

use skimp_graph::GraphError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantError {
    /// Something needs more memory than the run may take.
    #[error(transparent)]
    Memory(#[from] skimp_memory::OutOfMemory),
    /// A setting is out of range.
    #[error("{setting} is {found}, expected {expected}")]
    InvalidConfig {
        /// Name of the setting.
        setting: &'static str,
        /// What was expected.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// A choice for a layer that the network does not have.
    #[error("the network has no layer \"{name}\"; its layers: {known}")]
    UnknownLayer {
        /// What was asked for.
        name: String,
        /// The layers that there are.
        known: String,
    },
    /// Calibration saw no image.
    #[error("calibration saw no image, expected at least one")]
    NoImages,
    /// A value was NaN or infinite during calibration.
    #[error("value \"{value}\" of the network is {found} on a calibration image, expected a finite number")]
    NotFinite {
        /// Name of the value.
        value: String,
        /// The first number that is not finite.
        found: f32,
    },
    /// The calibration does not cover a value of the network.
    #[error("value \"{value}\" has no calibrated range; was another network calibrated?")]
    NotCalibrated {
        /// Name of the value.
        value: String,
    },
    /// A node cannot be quantized. The network is wrong.
    #[error("node \"{node}\" ({op}): {cause}")]
    InvalidNode {
        /// Name of the node.
        node: String,
        /// Operator of the node.
        op: String,
        /// What was expected and what was found.
        cause: String,
    },
    /// A node cannot be quantized. We are behind.
    #[error("node \"{node}\" ({op}): unsupported in an integer network: {feature}")]
    UnsupportedNode {
        /// Name of the node.
        node: String,
        /// Operator of the node.
        op: String,
        /// The missing feature.
        feature: String,
    },
    /// The network itself, or running it, failed.
    #[error(transparent)]
    Graph(#[from] GraphError),
}
