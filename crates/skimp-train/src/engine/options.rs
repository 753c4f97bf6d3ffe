//! How a network is compiled and run.

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
    /// Share of the new batch in batch normalization's running mean and variance, in `[0, 1]`.
    pub batch_norm_momentum: f32,
    /// The gradient of `Sign`.
    pub sign_gradient: SignGradient,
    /// What `Sign` makes of 0.
    pub sign_zero: SignZero,
}

impl Default for ModelOptions {
    /// Batch 64, momentum 0.1, [`SignGradient::Clipped`], [`SignZero::Zero`].
    fn default() -> Self {
        Self {
            batch: 64,
            input_size: None,
            keep: Vec::new(),
            batch_norm_momentum: 0.1,
            sign_gradient: SignGradient::default(),
            sign_zero: SignZero::default(),
        }
    }
}

/// Straight-through estimators of the derivative of `Sign`.
///
/// # Source
/// Bengio, Léonard and Courville, "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
/// Computation", 2013 (identity); Hubara, Courbariaux, Soudry, El-Yaniv and Bengio, "Binarized Neural Networks",
/// NIPS 2016, equation 4 (clipped).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignGradient {
    /// 1 where |x| ≤ 1, else 0.
    #[default]
    Clipped,
    /// 1 everywhere.
    Identity,
}

/// What `Sign` makes of 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignZero {
    /// 0, as ONNX has it.
    #[default]
    Zero,
    /// +1, as binarization has it. The exported graph still has ONNX's `Sign`, which differs at exactly 0.
    PlusOne,
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
