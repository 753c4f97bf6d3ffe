//! Adam.

use super::{Assign, Hyper, OptimizerKind, UpdateRule, axpy};
use crate::policy::Assignment;
use crate::spec::{Spec, SpecError};

/// Adam with weight decay as part of the gradient.
#[derive(Debug)]
pub(super) struct Adam;

impl OptimizerKind for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn summary(&self) -> &'static str {
        "adaptive moments, weight decay added to the gradient (beta1=0.9, beta2=0.999, eps=1e-8)"
    }

    fn source(&self) -> &'static str {
        "Kingma, Ba, \"Adam: A Method for Stochastic Optimization\", ICLR 2015, algorithm 1; as torch.optim.Adam"
    }

    fn rule(&self, spec: &mut Spec) -> Result<Box<dyn UpdateRule>, SpecError> {
        Ok(Box::new(Rule { moments: Moments::read(spec)? }))
    }
}

#[derive(Debug)]
struct Rule {
    moments: Moments,
}

impl UpdateRule for Rule {
    fn slots(&self) -> &'static [&'static str] {
        SLOTS
    }

    fn update(
        &self,
        values: &mut [f32],
        grad: &mut [f32],
        slots: &mut [&mut [f32]],
        hyper: &Hyper,
        assign: Assign<'_>,
    ) {
        if hyper.weight_decay > 0.0 {
            axpy(grad, hyper.weight_decay as f32, values);
            assign(grad, Assignment::Gradient);
        }
        self.moments.update(values, grad, slots, hyper, assign);
    }
}

pub(super) const SLOTS: &[&str] = &["mean", "square"];

/// The running moments and the step they give, shared with AdamW.
#[derive(Debug)]
pub(super) struct Moments {
    beta1: f64,
    beta2: f64,
    eps: f64,
}

impl Moments {
    pub(super) fn read(spec: &mut Spec) -> Result<Self, SpecError> {
        let below_one = |text: &str| text.parse().ok().filter(|beta| (0.0..1.0).contains(beta));
        Ok(Self {
            beta1: spec.read("beta1", 0.9, "a number from 0 to below 1", below_one)?,
            beta2: spec.read("beta2", 0.999, "a number from 0 to below 1", below_one)?,
            eps: spec.number("eps", 1e-8, 1e-30..=1.0)?,
        })
    }

    /// `m ← m + (1 − β₁)(g − m)`, `v ← β₂ v + (1 − β₂) g²`,
    /// `w ← w − η / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)`. Scalars are computed in f64.
    pub(super) fn update(
        &self,
        values: &mut [f32],
        grad: &[f32],
        slots: &mut [&mut [f32]],
        hyper: &Hyper,
        assign: Assign<'_>,
    ) {
        let [mean, square] = slots else { return };
        let n = values.len();
        let (mean, square, grad) = (&mut mean[..n], &mut square[..n], &grad[..n]);
        let (mix, beta2, rest) = ((1.0 - self.beta1) as f32, self.beta2 as f32, (1.0 - self.beta2) as f32);
        for (mean, &grad) in mean.iter_mut().zip(grad) {
            *mean += mix * (grad - *mean);
        }
        assign(mean, Assignment::Moment1);
        for (square, &grad) in square.iter_mut().zip(grad) {
            *square = beta2 * *square + rest * grad * grad;
        }
        assign(square, Assignment::Moment2);
        let rate = -(hyper.learning_rate / (1.0 - power(self.beta1, hyper.update))) as f32;
        let root = ((1.0 - power(self.beta2, hyper.update)).sqrt()) as f32;
        let eps = self.eps as f32;
        for ((value, &mean), &square) in values.iter_mut().zip(mean.iter()).zip(square.iter()) {
            *value += rate * mean / (square.sqrt() / root + eps);
        }
        assign(values, Assignment::Value);
    }
}

/// `base` to a whole power, by squaring: the same bits on every platform, which `powf` does not promise.
fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    result
}
