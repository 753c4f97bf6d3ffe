//! AdamW.

use super::adam::{Moments, SLOTS};
use super::{Assign, Hyper, OptimizerKind, UpdateRule};
use crate::policy::Assignment;
use crate::spec::{Spec, SpecError};

/// Adam with weight decay apart from the gradient.
#[derive(Debug)]
pub(super) struct AdamW;

impl OptimizerKind for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn summary(&self) -> &'static str {
        "adaptive moments, weight decay apart from the gradient (beta1=0.9, beta2=0.999, eps=1e-8)"
    }

    fn source(&self) -> &'static str {
        "Loshchilov, Hutter, \"Decoupled Weight Decay Regularization\", ICLR 2019, algorithm 2; as torch.optim.AdamW: \
         the decay is scaled by the learning rate"
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
            let kept = (1.0 - hyper.learning_rate * hyper.weight_decay) as f32;
            values.iter_mut().for_each(|value| *value *= kept);
            assign(values, Assignment::Value);
        }
        self.moments.update(values, grad, slots, hyper, assign);
    }
}
