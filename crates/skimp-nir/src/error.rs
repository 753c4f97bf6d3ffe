//! What can be wrong with a NIR file.

use skimp_graph::GraphError;
use skimp_memory::OutOfMemory;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NirError {
    /// The file is no HDF5 file, or holds no NIR graph.
    #[error("{file}: {cause}")]
    InvalidFile {
        /// Name of the file.
        file: String,
        /// What was expected and what was found.
        cause: String,
    },
    /// A node of a NIR graph is wrong, or needs something that skimp does not do.
    #[error("{file}: NIR node \"{node}\" ({kind}): {cause}")]
    Node {
        /// Name of the file.
        file: String,
        /// Name of the node.
        node: String,
        /// Its type in NIR.
        kind: String,
        /// What was expected and what was found.
        cause: String,
    },
    /// A node of a network has no form in NIR.
    #[error("node \"{node}\" ({op}): NIR has no form of it: {cause}")]
    NoForm {
        /// Name of the node.
        node: String,
        /// Its operator.
        op: String,
        /// Why.
        cause: String,
    },
    /// The graph that results, or that was given, is wrong.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The arrays of the file do not fit into memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
}
