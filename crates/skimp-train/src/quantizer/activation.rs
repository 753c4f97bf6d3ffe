//! Activations in codes of few bits.

/// Activations in whole numbers times a step: `s · clamp(round(x / s), low, high)`, one step for the tensor.
///
/// The error passes where `x / s` lies within the codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActivationCodes {
    /// Bits of a code.
    pub bits: u32,
    /// Whether codes are `−n` to `n`, as images need, or `0` to `2^bits − 1`, which is a rectifier at once.
    pub is_signed: bool,
    /// Where the step comes from.
    pub step: ActivationStep,
}

/// Where the step of [`ActivationCodes`] comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ActivationStep {
    /// Learned like a weight's, begun at `2 · mean |x| / sqrt(high)` of the first batch; `N` is the number of elements in an
    /// image.
    ///
    /// # Source
    /// Esser et al., "Learned Step Size Quantization", ICLR 2020.
    Learned,
    /// `alpha / high`, with `alpha` learned from the errors beyond it.
    ///
    /// # Source
    /// Choi, Wang, Venkataramani, Chuang, Srinivasan and Gopalakrishnan, "PACT: Parameterized Clipping Activation for
    /// Quantized Neural Networks", arXiv:1805.06085, 2018, equations 1 to 3.
    Pact {
        /// `alpha` to begin with.
        first: f32,
    },
    /// The running mean of the batches' greatest magnitudes, over `high`.
    ///
    /// # Source
    /// Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
    /// 2018, section 3.1.
    Range {
        /// Share of the new batch.
        momentum: f32,
    },
}

impl ActivationCodes {
    /// The smallest and the greatest code.
    pub fn ends(&self) -> [f32; 2] {
        if self.is_signed {
            let n = super::max_code(self.bits);
            [-n, n]
        } else {
            [0.0, ((1_u32 << self.bits) - 1) as f32]
        }
    }

    /// The value of the parameter before the first batch; 0 where that batch decides.
    pub(crate) fn first(&self) -> f32 {
        match self.step {
            ActivationStep::Pact { first } => first,
            ActivationStep::Learned | ActivationStep::Range { .. } => 0.0,
        }
    }

    /// The step that belongs to the value of the parameter.
    pub fn step_of(&self, value: f32) -> f32 {
        let step = match self.step {
            ActivationStep::Learned => value,
            ActivationStep::Pact { .. } | ActivationStep::Range { .. } => value / self.ends()[1],
        };
        step.max(f32::MIN_POSITIVE)
    }
}
