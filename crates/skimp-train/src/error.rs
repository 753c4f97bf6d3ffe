//! What can go wrong in training.

use skimp_graph::GraphError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The network is malformed or its shapes do not fit.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A node cannot be trained: its operator has no gradient here, or is used in a form that has none.
    #[error("node \"{node}\" ({op}): cannot be trained: {cause}")]
    Untrainable {
        /// Name of the node.
        node: String,
        /// Its operator.
        op: String,
        /// What is missing.
        cause: String,
    },
    /// The network as a whole does not fit training (no input, several inputs, a free extent, ...).
    #[error("network \"{network}\": {cause}")]
    Network {
        /// Name of the network.
        network: String,
        /// What was expected and what was found.
        cause: String,
    },
    /// A batch, a label or a target does not fit the network.
    #[error("{what}: expected {expected}, found {found}")]
    Data {
        /// Which part of the data.
        what: String,
        /// What the network needs.
        expected: String,
        /// What was given.
        found: String,
    },
    /// An option or a setting is out of its range.
    #[error("{name}: expected {expected}, found {found}")]
    Option {
        /// Name of the setting.
        name: String,
        /// Valid values.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A name that no registry knows.
    #[error("unknown {kind} \"{name}\", expected one of: {known}")]
    Unknown {
        /// What was looked up (`policy`, `optimizer`, ...).
        kind: &'static str,
        /// The name.
        name: String,
        /// The registered names, separated by commas.
        known: String,
    },
    /// The calls came in an order that makes no sense (`backward` before a training `forward`, ...).
    #[error("{0}")]
    Sequence(&'static str),
}
