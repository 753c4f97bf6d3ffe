//! The seam between an integer network and the engines that run it.

use super::{CodeTensor, IntegerGraph, MacLayer};
use crate::{GraphError, GraphInput, Tensor, ValueId, shape::LayerShape};

/// What a value holds while a network runs.
#[derive(Clone, Debug, PartialEq)]
pub enum IntegerTensor {
    /// Codes.
    Codes(CodeTensor),
    /// Real numbers, or what operators on them give: f32 but for operators that give another type.
    Real(Tensor),
}

impl IntegerTensor {
    /// Extents.
    pub fn shape(&self) -> &[usize] {
        match self {
            IntegerTensor::Codes(codes) => &codes.shape,
            IntegerTensor::Real(tensor) => tensor.shape(),
        }
    }

    /// The codes, if it holds codes.
    pub fn as_codes(&self) -> Option<&CodeTensor> {
        match self {
            IntegerTensor::Codes(codes) => Some(codes),
            IntegerTensor::Real(_) => None,
        }
    }
}

/// What a multiply-accumulate layer saw and summed, before its activation function.
#[derive(Clone, Copy, Debug)]
pub struct MacObservation<'a> {
    /// Activation codes, without the layer's input offset.
    pub input: &'a CodeTensor,
    /// Residual input at accumulator scale, shaped like the output.
    pub residual: Option<&'a [i64]>,
    /// Accumulators, shaped like the output.
    pub accumulators: &'a [i64],
}

/// One node's work on one or more images.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Index of the node in [`IntegerGraph::nodes`].
    pub node_idx: usize,
    /// Index, within the batch, of the first image that the tensors hold. The interpreter shows the whole batch at
    /// once; another engine may show it in pieces, image after image.
    pub first_image: usize,
    /// The node's outputs.
    pub outputs: &'a [IntegerTensor],
    /// Inside of a multiply-accumulate layer.
    pub mac: Option<MacObservation<'a>>,
}

/// Called with the work of every node, in the order of nodes for each piece of the batch.
pub type IntegerObserver<'a> = dyn FnMut(&Observation<'_>) + 'a;

/// What one multiply-accumulate layer works on, as a [`MacHook`] sees it.
#[derive(Clone, Copy, Debug)]
pub struct MacOperands<'a> {
    /// Index of the node in [`IntegerGraph::nodes`].
    pub node_idx: usize,
    /// Position in the batch of the run of the first image here; an engine may show a batch in pieces.
    pub first_image: usize,
    /// The layer.
    pub layer: &'a MacLayer,
    /// Extents on this input.
    pub shape: &'a LayerShape,
    /// Activation codes as the layer reads them, without its input offset.
    pub input: &'a CodeTensor,
    /// Residual input at accumulator scale, shaped like the output.
    pub residual: Option<&'a [i64]>,
}

/// Changes what multiply-accumulate layers compute: an approximate accelerator.
///
/// Engines may call it from several threads, for one or more images at a time, so a hook keeps no state between images.
pub trait MacHook: std::fmt::Debug + Sync {
    /// Whether the layer at `node_idx` is changed at all; others run at full speed.
    fn applies(&self, node_idx: usize) -> bool;

    /// Changes activation codes before the layer reads them; codes must stay in the range of their encoding.
    ///
    /// # Errors
    /// Whatever keeps the hook from its work.
    fn change_input(&self, _node_idx: usize, _input: &mut CodeTensor) -> Result<(), GraphError> {
        Ok(())
    }

    /// Changes accumulators, shaped like the output, before the activation function.
    ///
    /// # Errors
    /// Whatever keeps the hook from its work.
    fn change_accumulators(&self, _operands: &MacOperands<'_>, _accumulators: &mut [i64]) -> Result<(), GraphError> {
        Ok(())
    }
}

/// An engine bound to one [`IntegerGraph`]. Every engine returns exactly what
/// [`IntegerReference`](super::IntegerReference) returns.
pub trait IntegerEngine: std::fmt::Debug + Send + Sync {
    /// Short name.
    fn name(&self) -> &'static str;

    /// Runs the network on `inputs` and returns the outputs, both in order.
    ///
    /// # Errors
    /// [`GraphError::InvalidInput`] if an input does not fit or holds NaN; the node's error where an operator cannot run.
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError>;

    /// Like [`run`](IntegerEngine::run), and shows the work of every node to `observer`.
    ///
    /// # Errors
    /// As [`run`](IntegerEngine::run).
    fn run_observed(&self, inputs: &[Tensor], observer: &mut IntegerObserver<'_>) -> Result<Vec<Tensor>, GraphError>;

    /// Like [`run`](IntegerEngine::run), with `hook` in the way of multiply-accumulate layers.
    ///
    /// # Errors
    /// As [`run`](IntegerEngine::run), and those of the hook.
    fn run_with(&self, inputs: &[Tensor], hook: &dyn MacHook) -> Result<Vec<Tensor>, GraphError>;
}

impl IntegerGraph {
    /// Pairs every input value with its tensor.
    ///
    /// # Errors
    /// [`GraphError::InvalidInput`] if there are too many or too few, one has another element type, or a fixed extent differs.
    pub fn bind<'t>(&self, inputs: &'t [Tensor]) -> Result<Vec<(ValueId, &'t Tensor)>, GraphError> {
        GraphInput::bind(&self.name, &self.inputs, |id| &self.values[id.0].name, inputs)
    }

    /// The tensor of output `id`, which is no codes.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if nothing made it.
    pub fn real_output(&self, id: ValueId, tensor: Option<&IntegerTensor>) -> Result<Tensor, GraphError> {
        match tensor {
            Some(IntegerTensor::Real(tensor)) => Ok(tensor.clone()),
            _ => Err(GraphError::InvalidGraph {
                graph: self.name.clone(),
                cause: format!("output \"{}\" is not a real value that a node makes", self.values[id.0].name),
            }),
        }
    }

    /// For each value, the last node that reads it; `None` for network outputs and values nobody reads.
    pub fn last_uses(&self) -> Vec<Option<usize>> {
        let mut last = vec![None; self.values.len()];
        for (node_idx, node) in self.nodes.iter().enumerate() {
            for id in &node.inputs {
                last[id.0] = Some(node_idx);
            }
        }
        for id in &self.outputs {
            last[id.0] = None;
        }
        last
    }
}
