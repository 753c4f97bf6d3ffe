//! Who writes a gradient first, and how long tensors live.
//!
//! Time of one training step: the forward pass of step `s` of `n` is at `s + 1`, the losses at `n + 1`, the backward
//! pass of step `s` at `2 n + 1 − s`. The input is there from 0 on.

use super::step::{GradMode, Planned};
use super::tensors::{Lifetime, TensorSpec};

/// Decides for each input of each step whether its gradient contribution is the first one. Kept tensors get theirs
/// from the losses first.
pub(super) fn assign_grad_modes(steps: &mut [Planned], specs: &[TensorSpec]) {
    let mut is_written: Vec<bool> = specs.iter().map(|spec| spec.kept).collect();
    for planned in steps.iter_mut().rev() {
        for port in &mut planned.place.inputs {
            if specs[port.id.0].needs_grad {
                let earlier = std::mem::replace(&mut is_written[port.id.0], true);
                port.grad = if earlier { GradMode::Add } else { GradMode::Write };
            }
        }
    }
}

/// Lifetimes of values and of gradients.
pub(super) fn lifetimes(steps: &[Planned], specs: &[TensorSpec]) -> (Vec<Lifetime>, Vec<Option<Lifetime>>) {
    let n = steps.len();
    let (end, losses) = (2 * n + 2, n + 1);
    let mut values: Vec<Lifetime> =
        specs.iter().map(|spec| Lifetime { birth: 0, death: if spec.kept { end } else { 0 } }).collect();
    // Until a writer is found, nobody needs the gradient.
    let mut births: Vec<Option<usize>> = specs.iter().map(|s| (s.kept && s.needs_grad).then_some(losses)).collect();
    let mut deaths = vec![losses; specs.len()];
    for (s, planned) in steps.iter().enumerate() {
        let (forward, backward) = (s + 1, 2 * n + 1 - s);
        let keeps = planned.step.keeps();
        for output in &planned.place.outputs {
            let value = &mut values[output.0];
            value.birth = forward;
            value.death = value.death.max(if keeps.outputs { backward } else { forward });
            deaths[output.0] = backward;
        }
        for port in &planned.place.inputs {
            let value = &mut values[port.id.0];
            value.death = value.death.max(if keeps.inputs { backward } else { forward });
            if port.grad != GradMode::None {
                let birth = births[port.id.0].get_or_insert(backward);
                *birth = (*birth).min(backward);
            }
        }
    }
    let grads = births.into_iter().zip(deaths);
    (values, grads.map(|(birth, death)| birth.map(|birth| Lifetime { birth, death: death.max(birth) })).collect())
}

/// Elements per image of the largest gradient that is added to.
pub(super) fn scratch_len(steps: &[Planned], specs: &[TensorSpec]) -> usize {
    let ports = steps.iter().flat_map(|planned| &planned.place.inputs);
    ports.filter(|port| port.grad == GradMode::Add).map(|port| specs[port.id.0].volume()).max().unwrap_or(0)
}
