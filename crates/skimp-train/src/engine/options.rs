//! How a network is compiled and run.

use std::collections::BTreeMap;

use skimp_cpu::nhwc::Zeros;

use crate::noise::LayerNoise;
use crate::quantizer::{ActivationCodes, WeightForm};
use crate::reference::SignTraining;

/// Settings of a [`Model`](super::Model).
#[derive(Clone, Debug, PartialEq)]
pub struct ModelOptions {
    /// The largest batch. Smaller ones are allowed in any step.
    pub batch: usize,
    /// Extents of the input's other axes, for those that the network leaves open; `None` where it fixes all.
    pub input_size: Option<Vec<usize>>,
    /// Names of values that stay readable through [`Model::tensor`](super::Model::tensor) and for losses, so that no
    /// fusion hides them. (The output always stays.)
    pub keep: Vec<String>,
    /// Name of the network's output that holds the logits, or the classes' probabilities right behind them; `None` for
    /// the first one.
    pub output: Option<String>,
    /// Share of the new batch in batch normalization's running mean and variance, in `[0, 1]`.
    pub batch_norm_momentum: f32,
    /// Values and gradient of `Sign`. An exported graph has ONNX's `Sign`, whatever is set here.
    pub sign: SignTraining,
    /// Whether no gradient passes through what a spike takes off the potential of its neuron. The gradient of spikes themselves
    /// is that of [`sign`](Self::sign), at the distance from the threshold.
    pub detaches_reset: bool,
    /// What stands for the weight of a convolution or dense layer, by the name of its node; layers that are not named take
    /// their weight as it is. An exported graph has the weight that learns.
    pub weights: BTreeMap<String, WeightForm>,
    /// What cells add to the sums of layers of binary weights in training, by the name of the node: their weights' form has to be
    /// one of signs.
    pub noise: BTreeMap<String, LayerNoise>,
    /// Nodes of one input whose output is rounded to codes, by name. Their operator (`Clip` or `Identity`) is what an
    /// exported graph has.
    pub codes: BTreeMap<String, ActivationCodes>,
    /// Whether input gradients of convolutions skip zero errors. The results have the same bits; other settings than
    /// [`Zeros::Auto`] are there to measure with.
    pub zero_errors: Zeros,
}

impl Default for ModelOptions {
    /// Batch 64, momentum 0.1, nothing kept, the default [`SignTraining`], zero errors skipped where that is faster.
    fn default() -> Self {
        Self {
            batch: 64,
            input_size: None,
            keep: Vec::new(),
            output: None,
            batch_norm_momentum: 0.1,
            sign: SignTraining::default(),
            detaches_reset: false,
            weights: BTreeMap::new(),
            noise: BTreeMap::new(),
            codes: BTreeMap::new(),
            zero_errors: Zeros::Auto,
        }
    }
}

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics, dropout, everything kept for the backward pass.
    Train {
        /// Number of the step in the run: with the seed, the key of every random number.
        step: u64,
        /// Seed of the run.
        seed: u64,
    },
    /// Running statistics, no dropout.
    Eval,
}
