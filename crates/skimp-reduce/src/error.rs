//! What can go wrong in reducing a network.

use skimp_graph::GraphError;
use skimp_train::TrainError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReduceError {
    /// The network is malformed, or an edit does not fit it.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The network cannot be trained, or a run of it failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A setting is unknown or out of its range.
    #[error("setting \"{setting}\" of method {method}: expected {expected}, found {found}")]
    Setting {
        /// Name of the method.
        method: String,
        /// Name of the setting.
        setting: String,
        /// What it takes.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The target cannot be met.
    #[error("target {target}: {cause}; the most that was reached: {reached}")]
    Target {
        /// The target, as written.
        target: String,
        /// Why no more was possible.
        cause: String,
        /// How far it got.
        reached: String,
    },
    /// What a target names could not be measured.
    #[error(transparent)]
    Measure(Box<dyn std::error::Error + Send + Sync>),
    /// A method does not take that target.
    #[error("method {method} takes {expected}, found target {target}")]
    WrongTarget {
        /// Name of the method.
        method: String,
        /// What it takes.
        expected: String,
        /// The target, as written.
        target: String,
    },
    /// The method needs images, and there are none or too few.
    #[error("method {method} needs {expected}, found {found}")]
    Data {
        /// Name of the method.
        method: String,
        /// What it needs.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The network has nothing that the method could act on.
    #[error("network \"{network}\": {cause}")]
    Nothing {
        /// Name of the network.
        network: String,
        /// What was looked for, and why nothing serves.
        cause: String,
    },
    /// A node does not exist, or cannot be treated as asked.
    #[error("network \"{network}\", node \"{node}\": {cause}")]
    Node {
        /// Name of the network.
        network: String,
        /// Name of the node.
        node: String,
        /// What is wrong, and the way out.
        cause: String,
    },
}
