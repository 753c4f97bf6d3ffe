//! What may be done to a parameter around its update.

use std::fmt;

use crate::Param;

/// Which update of which parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateOf {
    /// Index of the parameter.
    pub param: usize,
    /// Number of the update, from 1.
    pub update: u64,
}

/// Numbers that a hook remembers, under a name.
pub type Memory = (String, Vec<f64>);

/// Called for each trainable parameter at each update, in the order of the parameters.
///
/// What one remembers from update to update it gives to checkpoints ([`memory`](Self::memory)); without that, a resumed run
/// has other bits than one that was never stopped.
pub trait ParamHook: fmt::Debug + Send {
    /// Before the update; the gradient is unscaled and not yet clipped.
    fn before_update(&mut self, _of: UpdateOf, _param: &mut Param) {}

    /// After the update. `slots` is the optimizer's state of the parameter (momentum, ...), in the order of
    /// [`UpdateRule::slots`](super::UpdateRule::slots), each in the parameter's storage order.
    fn after_update(&mut self, _of: UpdateOf, _param: &mut Param, _slots: &mut [Vec<f32>]) {}

    /// What it remembers between two updates, in an order of its own; nothing by default.
    fn memory(&self) -> Vec<Memory> {
        Vec::new()
    }

    /// Takes a memory back.
    ///
    /// # Errors
    /// What was expected and found, if it is not one of such a hook.
    fn recall(&mut self, memory: Vec<Memory>) -> Result<(), String> {
        match memory.first() {
            None => Ok(()),
            Some((name, _)) => Err(format!("expected nothing, found \"{name}\"")),
        }
    }
}

/// Takes the next tensor of a memory, of `n` numbers.
///
/// # Errors
/// What was expected and found.
pub fn recalled(memory: &mut impl Iterator<Item = Memory>, name: &str, n: usize) -> Result<Vec<f64>, String> {
    match memory.next() {
        Some((found, values)) if found == name && values.len() == n => Ok(values),
        Some((found, values)) => {
            Err(format!("expected \"{name}\" of {n} numbers, found \"{found}\" of {}", values.len()))
        }
        None => Err(format!("expected \"{name}\", found nothing")),
    }
}

/// Keeps pruned elements at zero: gradients, values and the optimizer's state are multiplied by the mask of their
/// parameter, so that nothing of an element that is cut later lives on in its momentum.
#[derive(Clone, Debug)]
pub struct Mask {
    /// One entry per parameter: 0 or 1 for each element in storage order, or `None` for no mask.
    pub masks: Vec<Option<Vec<f32>>>,
}

impl Mask {
    /// Sets the masked elements to zero, as they have to be before the first step.
    pub fn apply(&self, params: &mut [Param]) {
        for (param, mask) in params.iter_mut().zip(&self.masks) {
            if let Some(mask) = mask {
                mask_out(param.values_mut(), mask);
            }
        }
    }
}

impl ParamHook for Mask {
    fn before_update(&mut self, of: UpdateOf, param: &mut Param) {
        if let Some(Some(mask)) = self.masks.get(of.param) {
            mask_out(param.grad_mut(), mask);
        }
    }

    fn after_update(&mut self, of: UpdateOf, param: &mut Param, slots: &mut [Vec<f32>]) {
        if let Some(Some(mask)) = self.masks.get(of.param) {
            mask_out(param.values_mut(), mask);
            slots.iter_mut().for_each(|slot| mask_out(slot, mask));
        }
    }
}

/// Sets elements whose mask is not above 0 to zero.
pub(crate) fn mask_out(values: &mut [f32], mask: &[f32]) {
    for (value, &mask) in values.iter_mut().zip(mask) {
        // Not a product: an infinite gradient of a removed element must not become NaN.
        *value = if mask > 0.0 { *value } else { 0.0 };
    }
}

/// Keeps values within `-limit ..= limit`, as latent weights of binary networks are.
///
/// # Source
/// Courbariaux, Hubara, Soudry, El-Yaniv, Bengio, "Binarized Neural Networks", arXiv:1602.02830, 2016, algorithm 1.
#[derive(Clone, Debug)]
pub struct Clamp {
    /// The limit for each parameter, `None` for none.
    pub limits: Vec<Option<f32>>,
}

impl ParamHook for Clamp {
    fn after_update(&mut self, of: UpdateOf, param: &mut Param, _slots: &mut [Vec<f32>]) {
        if let Some(&Some(limit)) = self.limits.get(of.param) {
            param.values_mut().iter_mut().for_each(|value| *value = value.clamp(-limit, limit));
        }
    }
}
