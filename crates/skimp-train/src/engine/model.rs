//! The compiled network.

use skimp_graph::Graph;

use super::{Buffer, Mode, ModelOptions, Param};
use crate::TrainError;
use crate::loss::{LossReport, LossSum, Targets};
use crate::policy::Policy;

/// A network compiled for training: parameters, steps and planned memory.
///
/// Activations lie channels-last inside; everything that crosses the interface is in the graph's order (NCHW).
///
/// # Determinism
/// Every sum has a fixed order, whatever the number of threads of the rayon pool.
#[derive(Debug)]
pub struct Model {
    graph: Graph,
    params: Vec<Param>,
    buffers: Vec<Buffer>,
    report: LossReport,
}

impl Model {
    /// Compiles a network with one input whose first axis is the batch.
    ///
    /// Constants that layers read as weights, biases, scales, shifts and slopes become parameters; running means and
    /// variances become buffers. A softmax at the end is left out, so that the logits are what losses read.
    ///
    /// # Errors
    /// [`TrainError::Untrainable`] names a node without a gradient, [`TrainError::Network`] a network of another form,
    /// [`TrainError::Option`] a bad option, [`TrainError::Graph`] shapes that do not fit.
    pub fn new(graph: &Graph, _options: &ModelOptions) -> Result<Self, TrainError> {
        Ok(Self { graph: graph.clone(), params: Vec::new(), buffers: Vec::new(), report: LossReport::default() })
    }

    /// Runs the network on `batch` images, NCHW.
    ///
    /// # Errors
    /// [`TrainError::Data`] if the number of elements does not fit, or `batch` is 0 or above the planned one.
    pub fn forward(
        &mut self,
        _input: &[f32],
        _batch: usize,
        _mode: Mode,
        _policy: &mut dyn Policy,
    ) -> Result<(), TrainError> {
        Err(self.unfinished())
    }

    /// Computes the losses of the last training forward pass and the gradient of every trainable parameter.
    ///
    /// # Errors
    /// [`TrainError::Sequence`] without such a pass, [`TrainError::Data`] if labels or target tensors do not fit,
    /// [`TrainError::Option`] for a bad loss.
    pub fn backward(
        &mut self,
        losses: &LossSum,
        _targets: &Targets<'_>,
        _policy: &mut dyn Policy,
    ) -> Result<&LossReport, TrainError> {
        losses.check()?;
        Err(self.unfinished())
    }

    /// The losses of the last forward pass, of any mode, without gradients.
    ///
    /// # Errors
    /// As [`backward`](Model::backward).
    pub fn evaluate(&mut self, losses: &LossSum, _targets: &Targets<'_>) -> Result<&LossReport, TrainError> {
        losses.check()?;
        Err(self.unfinished())
    }

    /// What the last [`backward`](Model::backward) or [`evaluate`](Model::evaluate) found.
    pub fn report(&self) -> &LossReport {
        &self.report
    }

    /// A copy of a kept value of the last forward pass, NCHW; `None` if the name is unknown or not kept.
    pub fn tensor(&self, _name: &str) -> Option<Vec<f32>> {
        None
    }

    /// The first output of the last forward pass, without a final softmax: `[n, classes]`.
    pub fn logits(&self) -> &[f32] {
        &[]
    }

    /// Every parameter, in the order of the layers that read them first.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// Every parameter, to be updated.
    pub fn params_mut(&mut self) -> &mut [Param] {
        &mut self.params
    }

    /// Running means and variances.
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// Running means and variances, to be restored.
    pub fn buffers_mut(&mut self) -> &mut [Buffer] {
        &mut self.buffers
    }

    /// Names of the layers, by index.
    pub fn layers(&self) -> Vec<&str> {
        self.graph.nodes().iter().map(|node| node.name.as_str()).collect()
    }

    /// Extents of one input image, without the batch: `[c, h, w]`.
    pub fn input_shape(&self) -> &[usize] {
        &[]
    }

    /// Number of classes: the extent of the logits' second axis.
    pub fn n_classes(&self) -> usize {
        0
    }

    /// The network with its present parameters and running statistics, for inference and export.
    ///
    /// # Errors
    /// [`TrainError::Graph`] if the graph cannot be put together.
    pub fn to_graph(&self) -> Result<Graph, TrainError> {
        Ok(self.graph.clone())
    }

    /// The first layer, in graph order, whose last output, parameters or gradients have a NaN or an infinity.
    pub fn first_bad_layer(&self) -> Option<String> {
        None
    }

    fn unfinished(&self) -> TrainError {
        TrainError::Network { network: self.graph.name().to_owned(), cause: "training is not built yet".to_owned() }
    }
}
