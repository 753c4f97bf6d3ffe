//! Stochastic gradient descent.

use super::{Assign, Hyper, OptimizerKind, UpdateRule, axpy};
use crate::policy::Assignment;
use crate::spec::{Spec, SpecError};

/// Stochastic gradient descent with momentum.
#[derive(Debug)]
pub(super) struct Sgd;

impl OptimizerKind for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn summary(&self) -> &'static str {
        "gradient descent with momentum (momentum=0.9, dampening=0, nesterov=false)"
    }

    fn source(&self) -> &'static str {
        "Sutskever, Martens, Dahl, Hinton, \"On the importance of initialization and momentum in deep learning\", \
         ICML 2013; as torch.optim.SGD"
    }

    fn rule(&self, spec: &mut Spec) -> Result<Box<dyn UpdateRule>, SpecError> {
        let momentum = spec.number("momentum", 0.9, 0.0..=1.0)?;
        let dampening = spec.number("dampening", 0.0, 0.0..=1.0)?;
        let nesterov = spec.flag("nesterov", false)?;
        if nesterov && (momentum <= 0.0 || dampening > 0.0) {
            return Err(spec.invalid("nesterov", "true", "momentum above 0 and no dampening beside it"));
        }
        Ok(Box::new(Rule { momentum: momentum as f32, dampening: dampening as f32, nesterov }))
    }
}

/// `g ← g + λ w`, `v ← μ v + (1 − d) g` (`v ← g` at the first update), `g ← g + μ v` or `v`, `w ← w − η g`.
#[derive(Debug)]
struct Rule {
    momentum: f32,
    dampening: f32,
    nesterov: bool,
}

impl UpdateRule for Rule {
    fn slots(&self) -> &'static [&'static str] {
        if self.momentum > 0.0 { &["momentum"] } else { &[] }
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
        let rate = -hyper.learning_rate as f32;
        let [momentum] = slots else {
            axpy(values, rate, grad);
            assign(values, Assignment::Value);
            return;
        };
        let kept = if hyper.update == 1 { 1.0 } else { 1.0 - self.dampening };
        for (momentum, &grad) in momentum.iter_mut().zip(grad.iter()) {
            *momentum = self.momentum * *momentum + kept * grad;
        }
        assign(momentum, Assignment::Moment1);
        if self.nesterov {
            axpy(grad, self.momentum, momentum);
            assign(grad, Assignment::Gradient);
            axpy(values, rate, grad);
        } else {
            axpy(values, rate, momentum);
        }
        assign(values, Assignment::Value);
    }
}
