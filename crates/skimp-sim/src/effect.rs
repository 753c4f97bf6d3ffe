//! Accelerators that change values: what they change, and how their parameters are searched.

use std::fmt;

use crate::{LayerTrace, LayerWorkload, SimError};

/// What an approximate accelerator does to the values of a layer. An exact accelerator has none.
///
/// A pipeline runs the integer network under an effect to measure its accuracy. The traces that cycles are counted from
/// are those of the exact network: what an effect does in earlier layers is not propagated into them.
pub trait LayerEffect: fmt::Debug + Send + Sync {
    /// Whether anything changes in `layer`; layers that do not change are computed exactly and faster.
    fn applies(&self, layer: &LayerWorkload) -> bool;

    /// Changes activation codes `[c, h, w]` before the layer reads them (a reduced precision, a threshold). They are
    /// what [`LayerTrace::activation`] gives, and must stay within their width.
    fn activations(&self, _layer: &LayerWorkload, _codes: &mut [i32]) {}

    /// Changes exact sums `[k, p, q]` before the nonlinearity (an output that was predicted negative gets a negative
    /// sum). `operands` are those of one image, after [`activations`](Self::activations).
    ///
    /// # Errors
    /// [`SimError`] if an operand that it needs cannot be had.
    fn sums(&self, _layer: &LayerWorkload, _operands: &LayerTrace, _sums: &mut [i64]) -> Result<(), SimError> {
        Ok(())
    }
}

/// What a search for parameters may ask: operands of a few images, and the accuracy of the network under an effect.
pub trait Tuner {
    /// The layers in execution order, with weight codes.
    fn layers(&self) -> &[LayerWorkload];

    /// Traces of a few images at layer `layer_idx` of [`layers`](Self::layers), the same images at every layer.
    fn traces(&self, layer_idx: usize) -> &[LayerTrace];

    /// Share of labeled images that the integer network classifies right under `effect`; `None` is the exact network.
    ///
    /// # Errors
    /// [`SimError::Tuning`] if the network cannot be run, and the errors of the effect.
    fn accuracy(&self, effect: Option<&dyn LayerEffect>) -> Result<f64, SimError>;
}
