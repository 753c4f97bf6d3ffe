//! What can go wrong with a graph.

use std::path::PathBuf;

/// An error of this crate. Every variant that concerns a node names it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// Something needs more memory than the run may take.
    #[error(transparent)]
    Memory(#[from] skimp_memory::OutOfMemory),
    /// A file could not be read or written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file is not a valid model. The user's file is wrong.
    #[error("{path}: {cause}", path = .path.display())]
    InvalidFile {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        cause: String,
    },
    /// A node breaks a rule of its operator or of the graph. The user's network is wrong.
    #[error("node \"{node}\" ({op}): {cause}")]
    InvalidNode {
        /// Name of the node.
        node: String,
        /// Operator of the node.
        op: String,
        /// What was expected and what was found.
        cause: String,
    },
    /// A node needs something that skimp does not do. The network may be right; we are behind.
    #[error("node \"{node}\" ({op}): unsupported: {feature}")]
    UnsupportedNode {
        /// Name of the node.
        node: String,
        /// Operator of the node.
        op: String,
        /// The missing feature.
        feature: String,
    },
    /// The graph as a whole is malformed (cycle, unknown value, duplicate name, ...).
    #[error("graph \"{graph}\": {cause}")]
    InvalidGraph {
        /// Name of the graph.
        graph: String,
        /// What was expected and what was found.
        cause: String,
    },
    /// No built-in network has this name.
    #[error("no built-in network \"{name}\", expected one of: {known}")]
    UnknownNetwork {
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A setting of a built-in network is wrong.
    #[error("network \"{network}\": {cause}")]
    NetworkSetting {
        /// Name of the network.
        network: String,
        /// What was expected and what was found.
        cause: String,
    },
    /// An input handed to a network does not fit it.
    #[error("input \"{input}\": {cause}")]
    InvalidInput {
        /// Name of the input.
        input: String,
        /// What was expected and what was found.
        cause: String,
    },
}

impl GraphError {
    /// An [`GraphError::InvalidNode`].
    pub fn invalid_node(node: impl Into<String>, op: impl Into<String>, cause: impl Into<String>) -> Self {
        Self::InvalidNode { node: node.into(), op: op.into(), cause: cause.into() }
    }

    /// An [`GraphError::UnsupportedNode`].
    pub fn unsupported_node(node: impl Into<String>, op: impl Into<String>, feature: impl Into<String>) -> Self {
        Self::UnsupportedNode { node: node.into(), op: op.into(), feature: feature.into() }
    }
}
