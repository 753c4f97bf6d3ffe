//! What can go wrong in training.

use std::path::PathBuf;

use skimp_data::DataError;
use skimp_graph::GraphError;

use crate::spec::SpecError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Something needs more memory than the run may take.
    #[error(transparent)]
    Memory(#[from] skimp_memory::OutOfMemory),
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
    /// A batch normalization has the mean and variance of a single value: 0 whatever the value is.
    #[error("layer \"{layer}\": batch normalization needs more than 1 value per channel in training, {cause}")]
    OneValue {
        /// Name of the layer.
        layer: String,
        /// Which batch has one, and what to do.
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
    /// An optimizer, a schedule or an augmentation is written wrongly.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A device, a cell or a layer on cells that cannot be.
    #[error(transparent)]
    Analog(#[from] skimp_analog::AnalogError),
    /// The data set cannot be read or does not fit the network's input.
    #[error(transparent)]
    Images(#[from] DataError),
    /// A file could not be read or written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A checkpoint is damaged, or is not one of this run.
    #[error("{path}: {cause}", path = .path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Which tensor or key, what was expected and what was found.
        cause: String,
    },
    /// A loss or a parameter became NaN or infinite.
    #[error("training diverged in epoch {epoch} at step {step}: {what}{}{}", at(.layer.as_deref()), good(.checkpoint.as_ref()))]
    Diverged {
        /// The epoch, from 1.
        epoch: u64,
        /// Steps of the whole run that were done.
        step: u64,
        /// What was found where.
        what: String,
        /// The first layer, in graph order, with a number that is not finite.
        layer: Option<String>,
        /// The last good checkpoint.
        checkpoint: Option<PathBuf>,
    },
    /// The run was asked to stop.
    #[error("interrupted in epoch {epoch}; {}", kept(.checkpoint.as_ref()))]
    Interrupted {
        /// The epoch, from 1.
        epoch: u64,
        /// The checkpoint to resume from.
        checkpoint: Option<PathBuf>,
    },
    /// The calls came in an order that makes no sense (`backward` before a training `forward`, ...).
    #[error("{0}")]
    Sequence(&'static str),
}

fn at(layer: Option<&str>) -> String {
    layer.map_or_else(String::new, |layer| format!(", first in layer \"{layer}\""))
}

fn good(checkpoint: Option<&PathBuf>) -> String {
    checkpoint.map_or_else(String::new, |path| format!("; the last good checkpoint is {}", path.display()))
}

fn kept(checkpoint: Option<&PathBuf>) -> String {
    match checkpoint {
        Some(path) => format!("the checkpoint is {}", path.display()),
        None => "there is no checkpoint yet".to_owned(),
    }
}
