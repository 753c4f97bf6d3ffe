//! What a block is.

use std::fmt;

/// The type of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// A convolution, its batch norm and its activation, as far as it has them.
    Conv,
    /// A dense layer, its batch norm and its activation, as far as it has them.
    FullyConnected,
    /// Two 3x3 convolutions beside a shortcut, and a rectifier behind the sum.
    Basic,
    /// A 1x1, a 3x3 and a 1x1 convolution beside a shortcut, and a rectifier behind the sum.
    Bottleneck {
        /// Width of the 3x3 convolution.
        mid: usize,
    },
    /// Layers whose outputs are appended to what they read, with the batch norm and the activation behind them.
    Dense {
        /// Channels that each layer adds.
        growth: usize,
        /// Layers.
        n_layers: usize,
    },
    /// A block that recasting took away: the identity. It keeps its number.
    Removed,
    /// Anything else with weights, or with paths beside each other.
    Other {
        /// The node that fits none of the types.
        node: String,
        /// Why it fits none.
        reason: String,
    },
}

impl fmt::Display for BlockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conv => "convolution",
            Self::FullyConnected => "dense layer",
            Self::Basic => "basic residual",
            Self::Bottleneck { .. } => "bottleneck residual",
            Self::Dense { .. } => "dense block",
            Self::Removed => "removed",
            Self::Other { .. } => "other",
        })
    }
}

/// A block of a network.
///
/// Pooling, flattening, dropout and the like have no weights and are no blocks of their own: they ride behind the block
/// before them and stay when it is recast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its type.
    pub kind: BlockKind,
    /// Names of its nodes, in the order of the network.
    pub nodes: Vec<String>,
    /// Names of the nodes without weights that ride behind it.
    pub riders: Vec<String>,
    /// Name of the value that it reads.
    pub input: String,
    /// Name of the value that it makes: behind its activation, before what rides behind it.
    pub output: String,
    /// Channels that it reads.
    pub in_width: usize,
    /// Channels that it makes.
    pub width: usize,
    /// Its stride along both axes; 1 for dense blocks and layers.
    pub stride: usize,
    pub(super) form: Form,
}

/// How a block is built, as far as rebuilding it needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A convolution or dense layer.
    Layer(Layer),
    /// Layers beside a shortcut.
    Residual {
        layers: Vec<Layer>,
        shortcut: Shortcut,
        /// Name of the node that adds both.
        join: String,
        /// Which of its inputs is the shortcut.
        side: usize,
    },
    /// Layers whose outputs are appended.
    Dense {
        /// Width of the 1x1 convolution of each layer, where there is one.
        bottleneck: Option<usize>,
    },
    /// Nothing to rebuild.
    Opaque,
}

/// The path beside the layers of a residual block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shortcut {
    Identity,
    /// A 1x1 convolution.
    Projection(Layer),
    /// Operators without weights, by name: a cut and channels of zeros.
    Padding(Vec<String>),
}

/// A convolution or dense layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// Name of the node.
    pub(super) node: String,
    /// Name of the node that adds the bias, where that is not the layer itself.
    pub(super) addend: Option<String>,
    /// Name of its batch norm.
    pub(super) norm: Option<String>,
    pub(super) kernel: [usize; 2],
    pub(super) stride: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}
