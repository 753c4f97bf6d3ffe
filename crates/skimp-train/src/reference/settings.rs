//! How training differs from inference.

use skimp_numerics::rng;

use crate::policy::BatchNormKind;
use crate::quantizer::Surrogate;

/// How operators behave in training.
///
/// The default trains what inference computes: batch statistics, no dropout, `Sign` with its ONNX values and the clipped
/// straight-through estimator.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Training {
    /// Statistics of `BatchNormalization`.
    pub batch_norm: BatchNorm,
    /// `Sign`.
    pub sign: SignTraining,
    /// `Dropout`; `None` for the identity.
    pub dropout: Option<DropoutKey>,
}

/// What `BatchNormalization` normalizes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BatchNorm {
    /// The mean and variance that are inputs of the operator: as at inference, or frozen while fine-tuning.
    Frozen,
    /// Statistics of each channel over the batch.
    ///
    /// - [`BatchNormKind::Standard`]: mean and biased variance.
    /// - [`BatchNormKind::Range`]: mean, and the constant times the mean range of chunks of the channel's elements in
    ///   memory order, plus epsilon. The gradient reaches the extreme elements of each chunk.
    ///
    /// # Source
    /// Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
    /// Shift", ICML 2015, algorithm 1; Banner, Hubara, Hoffer and Soudry, "Scalable Methods for 8-bit Training of
    /// Neural Networks", NeurIPS 2018, and its code.
    /// Differs: chunks of a range need not be of equal size (of `m` chunks the `i`-th ends at element
    /// `(i + 1) · n / m`, rounded down; the constant is that of the mean size), and there are fewer where a chunk would
    /// have less than two elements. Epsilon is added with either constant.
    Batch(BatchNormKind),
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self::Batch(BatchNormKind::Standard)
    }
}

/// `Sign` in training: what it computes and what passes backward through it.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct SignTraining {
    /// Its values.
    pub values: SignValues,
    /// Its stand-in for a derivative.
    pub estimator: SignEstimator,
}

/// The values of a binarization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SignValues {
    /// ONNX: −1, 0 at 0, +1.
    #[default]
    Onnx,
    /// −1 and +1, with +1 at 0.
    PlusMinusOne,
    /// 0 and 1, with 1 at 0: a neuron that is silent or fires.
    ZeroOne,
}

/// A straight-through estimator.
///
/// # Source
/// Bengio, Léonard and Courville, "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
/// Computation", 2013 (identity); Hubara et al., "Binarized Neural Networks", NIPS 2016 (clipped).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SignEstimator {
    /// The error passes unchanged.
    Identity,
    /// The error passes times `slope` where `|x| ≤ 1`.
    Clipped {
        /// Slope of the pass band.
        slope: f64,
    },
    /// The error passes times a surrogate gradient.
    Surrogate(Surrogate),
}

impl Default for SignEstimator {
    fn default() -> Self {
        Self::Clipped { slope: 1.0 }
    }
}

impl SignTraining {
    /// The binary sigmoid of BinaryNet: 0 or 1, slope 1/2 where `|x| ≤ 1`.
    pub const BINARY_SIGMOID: Self =
        Self { values: SignValues::ZeroOne, estimator: SignEstimator::Clipped { slope: 0.5 } };

    /// The value at `x`; NaN stays.
    pub fn value(&self, x: f64) -> f64 {
        if x.is_nan() {
            return x;
        }
        let [low, middle] = match self.values {
            SignValues::Onnx => [-1.0, 0.0],
            SignValues::PlusMinusOne => [-1.0, 1.0],
            SignValues::ZeroOne => [0.0, 1.0],
        };
        if x > 0.0 {
            1.0
        } else if x < 0.0 {
            low
        } else {
            middle
        }
    }

    /// What the error at `x` is multiplied by.
    pub fn slope(&self, x: f64) -> f64 {
        match self.estimator {
            SignEstimator::Identity => 1.0,
            SignEstimator::Clipped { slope } if x.abs() <= 1.0 => slope,
            SignEstimator::Clipped { .. } => 0.0,
            SignEstimator::Surrogate(surrogate) => surrogate.slope(x),
        }
    }
}

/// The key of the masks of one training step.
///
/// # Determinism
/// Whether an element is kept depends on seed, step, node name and row-major index alone.
///
/// # Source
/// Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: A Simple Way to Prevent Neural Networks from
/// Overfitting", JMLR 15, 2014.
/// Differs: scales by `1 / (1 − ratio)` in training, not at inference ("inverted").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropoutKey {
    /// Seed of the run.
    pub seed: u64,
    /// Training step.
    pub step: u64,
}

impl DropoutKey {
    /// The random stream of a node.
    pub fn stream(node: &str) -> u64 {
        rng::stream(&format!("dropout/{node}"))
    }

    /// Whether the element at a row-major index is kept where the share `ratio` is dropped.
    pub fn keeps(&self, stream: u64, idx: usize, ratio: f32) -> bool {
        // A step has a seed of its own, so that (step, index) is not squeezed into one counter.
        let seed = rng::random_u64(self.seed, rng::stream("dropout/step"), self.step);
        rng::uniform_f32(seed, stream, idx as u64) >= ratio
    }
}
