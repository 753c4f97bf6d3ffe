//! What may be done to a parameter around its update.

use std::fmt;

use crate::Param;

/// Called for each trainable parameter at each update, in the order of the parameters.
pub trait ParamHook: fmt::Debug + Send {
    /// Before the update; the gradient is unscaled and not yet clipped.
    fn before_update(&mut self, _param_idx: usize, _param: &mut Param) {}

    /// After the update.
    fn after_update(&mut self, _param_idx: usize, _param: &mut Param) {}
}

/// Keeps pruned elements at zero: gradients and values are multiplied by the mask of their parameter.
#[derive(Clone, Debug)]
pub struct Mask {
    /// One entry per parameter: 0 or 1 for each element in storage order, or `None` for no mask.
    pub masks: Vec<Option<Vec<f32>>>,
}

impl ParamHook for Mask {
    fn before_update(&mut self, param_idx: usize, param: &mut Param) {
        if let Some(Some(mask)) = self.masks.get(param_idx) {
            multiply(param.grad_mut(), mask);
        }
    }

    fn after_update(&mut self, param_idx: usize, param: &mut Param) {
        if let Some(Some(mask)) = self.masks.get(param_idx) {
            multiply(param.values_mut(), mask);
        }
    }
}

fn multiply(values: &mut [f32], mask: &[f32]) {
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
    fn after_update(&mut self, param_idx: usize, param: &mut Param) {
        if let Some(&Some(limit)) = self.limits.get(param_idx) {
            param.values_mut().iter_mut().for_each(|value| *value = value.clamp(-limit, limit));
        }
    }
}
