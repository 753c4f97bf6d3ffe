//! Gradient clipping.

use rayon::prelude::*;

use crate::Param;

/// Limits on gradients, applied before the update. Both may be set; the norm is limited first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GradientClip {
    /// Greatest Euclidean norm of all gradients together; longer ones are scaled down.
    ///
    /// # Source
    /// Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", ICML 2013, algorithm 1;
    /// as torch.nn.utils.clip_grad_norm_: the factor is `min(1, limit / (norm + 10⁻⁶))`.
    pub norm: Option<f64>,
    /// Greatest magnitude of one element; greater ones are cut.
    pub value: Option<f64>,
}

impl GradientClip {
    /// The factor that brings gradients of length `norm` within the limit.
    pub(super) fn factor(&self, norm: impl FnOnce() -> f64) -> f32 {
        self.norm.map_or(1.0, |limit| (limit / (norm() + 1e-6)).min(1.0) as f32)
    }
}

/// Elements that are summed in one go; part of the definition of [`gradient_norm`].
const CHUNK: usize = 4096;

/// Euclidean norm of the gradients of all trainable parameters, in f64.
///
/// # Determinism
/// Sums run over chunks of 4096 elements, eight interleaved sums each, added in order: the same on any number of
/// threads.
pub fn gradient_norm(params: &[Param]) -> f64 {
    let sums = params.iter().filter(|param| param.is_trainable()).map(|param| {
        let chunks: Vec<f64> = param.grad().par_chunks(CHUNK).map(sum_of_squares).collect();
        chunks.iter().sum::<f64>()
    });
    sums.sum::<f64>().sqrt()
}

fn sum_of_squares(values: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; 8];
    let (eights, rest) = values.as_chunks::<8>();
    for eight in eights {
        for (lane, &value) in lanes.iter_mut().zip(eight) {
            *lane += f64::from(value) * f64::from(value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(value) * f64::from(value);
    }
    lanes.iter().sum()
}
