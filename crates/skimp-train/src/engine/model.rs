//! The compiled network.

use skimp_cpu::nhwc::{Workspace, nchw_to_nhwc, nhwc_to_nchw};
use skimp_graph::rewrite::Editor;
use skimp_graph::{Graph, Tensor, ValueId};

use super::compile::{Compiled, compile};
use super::hooks::{Hooks, TensorHook};
use super::losses::{Prediction, Seed};
use super::step::{Planned, Run};
use super::tensors::{TensorId, Tensors, zeros};
use super::{Buffer, Mode, ModelOptions, Param, plan};
use crate::TrainError;
use crate::loss::{LossReport, LossSum, Targets};
use crate::policy::{Policy, Site, SiteKind};

/// A network compiled for training: parameters, steps and planned memory.
///
/// Activations lie channels-last inside; everything that crosses the interface is in the graph's order (NCHW).
///
/// # Determinism
/// Every sum has a fixed order, whatever the number of threads of the rayon pool.
#[derive(Debug)]
pub struct Model {
    graph: Graph,
    layers: Vec<String>,
    steps: Vec<Planned>,
    tensors: Tensors,
    workspace: Workspace,
    params: Vec<Param>,
    buffers: Vec<Buffer>,
    param_values: Vec<Option<ValueId>>,
    buffer_values: Vec<ValueId>,
    input: TensorId,
    logits: TensorId,
    max_batch: usize,
    /// For each tensor, whether a trainable parameter lies upstream.
    live: Vec<bool>,
    /// For each parameter, whether its gradient has been written in this pass.
    written: Vec<bool>,
    /// For each tensor, whether its value is still there when the losses are computed.
    lasting: Vec<bool>,
    /// The first layer that made a NaN or an infinity in the last forward pass whose loss was one.
    bad_output: Option<usize>,
    last: Option<Last>,
    report: LossReport,
    hooks: Hooks,
}

/// The last forward pass.
#[derive(Clone, Copy, Debug)]
struct Last {
    batch: usize,
    mode: Mode,
    /// Whether the values that the backward pass reads are still there.
    is_fresh: bool,
}

impl Model {
    /// Compiles a network with one input whose first axis is the batch.
    ///
    /// Constants that layers read as weights, biases, scales, shifts and slopes become parameters; running means and
    /// variances become buffers. A constant operand of an addition or multiplication is a parameter if it is more than
    /// one number and something trainable lies before it. Losses read the logits: what lies before a softmax at the end,
    /// which is left out where nothing else needs it.
    ///
    /// # Errors
    /// [`TrainError::Untrainable`] names a node without a gradient, [`TrainError::Network`] a network of another form,
    /// [`TrainError::Option`] a bad option, [`TrainError::Graph`] shapes that do not fit.
    pub fn new(graph: &Graph, options: &ModelOptions) -> Result<Self, TrainError> {
        let Compiled { graph, mut steps, specs, params, buffers, param_values, buffer_values, input, logits } =
            compile(graph, options)?;
        let max_batch = options.batch;
        plan::assign_grad_modes(&mut steps, &specs);
        let (values, grads) = plan::lifetimes(&steps, &specs);
        let scratch_len = plan::scratch_len(&steps, &specs);
        let live = vec![false; specs.len()];
        let lasting = values.iter().map(|value| value.death > steps.len()).collect();
        let written = vec![false; params.len()];
        let mut tensors = Tensors::new(specs, &values, &grads, max_batch, graph.name())?;
        tensors.scratch = zeros(scratch_len, max_batch, graph.name())?;
        let layers = graph.nodes().iter().map(|node| node.name.clone()).collect();
        let (last, report) = (None, LossReport::default());
        Ok(Self {
            graph,
            layers,
            steps,
            tensors,
            workspace: Workspace::new(),
            params,
            buffers,
            param_values,
            buffer_values,
            input,
            logits,
            max_batch,
            live,
            written,
            lasting,
            bad_output: None,
            last,
            report,
            hooks: Hooks::default(),
        })
    }

    /// Adds something to be done to tensors in every pass, after the hooks that are there.
    pub fn add_hook(&mut self, hook: Box<dyn TensorHook>) {
        self.hooks.list.push(hook);
    }

    /// Removes all hooks and gives them back, in order.
    pub fn take_hooks(&mut self) -> Vec<Box<dyn TensorHook>> {
        std::mem::take(&mut self.hooks.list)
    }

    /// The layers as policies and hooks see them, in the order in which they run. A layer that is part of another one
    /// (a `Relu` behind a batch normalization) is not among them, unless [`ModelOptions::keep`] names what it reads.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.steps.iter().map(|planned| &planned.place.site)
    }

    /// Runs the network on `batch` images, NCHW. Hooks take their positions in the batch for their indices.
    ///
    /// # Errors
    /// [`TrainError::Data`] if the number of elements does not fit, or `batch` is 0 or above the planned one.
    pub fn forward(
        &mut self,
        input: &[f32],
        batch: usize,
        mode: Mode,
        policy: &mut dyn Policy,
    ) -> Result<(), TrainError> {
        self.hooks.images.clear();
        self.hooks.images.extend(0..batch.min(self.max_batch));
        self.forward_batch(input, batch, mode, policy)
    }

    /// As [`forward`](Model::forward), on the images with these indices in their data set.
    ///
    /// # Errors
    /// As [`forward`](Model::forward).
    pub fn forward_images(
        &mut self,
        input: &[f32],
        images: &[usize],
        mode: Mode,
        policy: &mut dyn Policy,
    ) -> Result<(), TrainError> {
        self.hooks.images.clear();
        self.hooks.images.extend_from_slice(images);
        self.forward_batch(input, images.len(), mode, policy)
    }

    fn forward_batch(
        &mut self,
        input: &[f32],
        batch: usize,
        mode: Mode,
        policy: &mut dyn Policy,
    ) -> Result<(), TrainError> {
        (self.last, self.bad_output) = (None, None);
        if batch == 0 || batch > self.max_batch {
            return Err(TrainError::Data {
                what: "batch".to_owned(),
                expected: format!("1 to {} images", self.max_batch),
                found: batch.to_string(),
            });
        }
        let spec = self.tensors.spec(self.input);
        if input.len() != spec.len() * batch {
            return Err(TrainError::Data {
                what: "images".to_owned(),
                expected: format!("{batch} of shape {:?}, {} elements", spec.dims, spec.len() * batch),
                found: format!("{} elements", input.len()),
            });
        }
        // On a worker thread at once, so that the pieces of work need not be handed over one by one.
        rayon::scope(|_| self.run_forward(input, batch, mode, policy))?;
        self.last = Some(Last { batch, mode, is_fresh: true });
        Ok(())
    }

    fn run_forward(
        &mut self,
        input: &[f32],
        batch: usize,
        mode: Mode,
        policy: &mut dyn Policy,
    ) -> Result<(), TrainError> {
        if let Mode::Train { step, seed } = mode {
            policy.begin_step(seed, step, batch);
        }
        let mut memory = self.tensors.take_value(self.input);
        let spec = self.tensors.spec(self.input);
        nchw_to_nhwc(input, spec.channels(), spec.pixels(), &mut memory[..input.len()]);
        self.tensors.put_value(self.input, memory);
        let mut run = Run {
            images: batch,
            batch,
            mode,
            policy,
            hooks: &mut self.hooks,
            params: &mut self.params,
            buffers: &mut self.buffers,
            tensors: &mut self.tensors,
            workspace: &mut self.workspace,
            live: &self.live,
            written: &mut self.written,
        };
        for Planned { place, step } in &mut self.steps {
            run.batch = batch * place.n_steps;
            step.forward(place, &mut run)?;
            if step.moves_only() {
                continue;
            }
            for &output in &place.outputs {
                run.cast_output(&place.site, output);
                run.hook_output(&place.site, output);
            }
        }
        Ok(())
    }

    /// Computes the losses of the last training forward pass and the gradient of every trainable parameter.
    ///
    /// Gradients are multiplied by [`Policy::loss_scale`]; [`Policy::after_backward`] is left to the caller. Losses are
    /// not.
    ///
    /// # Errors
    /// [`TrainError::Sequence`] without such a pass, [`TrainError::Data`] if labels or target tensors do not fit,
    /// [`TrainError::Option`] for a bad loss.
    pub fn backward(
        &mut self,
        losses: &LossSum,
        targets: &Targets<'_>,
        policy: &mut dyn Policy,
    ) -> Result<&LossReport, TrainError> {
        let Some(Last { batch, mode: mode @ Mode::Train { .. }, is_fresh: true }) = self.last else {
            return Err(TrainError::Sequence("a backward pass needs a training forward pass right before it"));
        };
        self.measure(losses, targets, batch, Some(f64::from(policy.loss_scale())))?;
        self.last = Some(Last { batch, mode, is_fresh: false });
        rayon::scope(|_| self.run_backward(batch, mode, policy))?;
        Ok(&self.report)
    }

    /// The losses of the last forward pass, of any mode, without gradients.
    ///
    /// # Errors
    /// [`TrainError::Sequence`] without such a pass, otherwise as [`backward`](Model::backward).
    pub fn evaluate(&mut self, losses: &LossSum, targets: &Targets<'_>) -> Result<&LossReport, TrainError> {
        let last = self.last.ok_or(TrainError::Sequence("losses need a forward pass before them"))?;
        self.measure(losses, targets, last.batch, None)?;
        Ok(&self.report)
    }

    /// Fills the report; with a loss scale, sets the gradients of all kept tensors too.
    fn measure(
        &mut self,
        losses: &LossSum,
        targets: &Targets<'_>,
        batch: usize,
        loss_scale: Option<f64>,
    ) -> Result<(), TrainError> {
        losses.check()?;
        if loss_scale.is_some() {
            for idx in 0..self.tensors.specs().len() {
                if self.tensors.specs()[idx].kept {
                    let mut memory = self.tensors.take_grad(TensorId(idx));
                    memory.fill(0.0);
                    self.tensors.put_grad(TensorId(idx), memory);
                }
            }
        }
        self.report.terms.clear();
        self.report.total = 0.0;
        for term in &losses.terms {
            let id = match &term.tensor {
                None => self.logits,
                Some(name) => self.kept(name).ok_or_else(|| TrainError::Option {
                    name: "loss tensor".to_owned(),
                    expected: "the name of a kept value".to_owned(),
                    found: format!("\"{name}\""),
                })?,
            };
            let mut memory = self.tensors.take_grad(id);
            let spec = self.tensors.spec(id);
            let batch = batch * spec.n_steps;
            let prediction = Prediction { spec, values: self.tensors.value(id, batch), batch };
            let factor = f64::from(term.factor);
            // A kept tensor without anything trainable before it has no gradient.
            let seed = loss_scale.filter(|_| !memory.is_empty());
            let seed = seed.map(|scale| Seed { gradient: &mut memory, factor: factor * scale });
            let value = prediction.loss(term, targets, seed);
            self.tensors.put_grad(id, memory);
            let value = value?;
            self.report.terms.push(value);
            self.report.total += factor * value;
        }
        let values = self.tensors.value(self.logits, batch);
        let prediction = Prediction { spec: self.tensors.spec(self.logits), values, batch };
        self.report.n_correct = prediction.n_correct(targets.labels);
        self.report.n_images = batch;
        if !self.report.total.is_finite() {
            self.bad_output = self.first_bad_output(batch);
        }
        Ok(())
    }

    /// The first layer with an output that is still there and has a NaN or an infinity.
    fn first_bad_output(&self, batch: usize) -> Option<usize> {
        let frames = |id: TensorId| batch * self.tensors.spec(id).n_steps;
        let is_bad =
            |id: &TensorId| self.lasting[id.0] && self.tensors.value(*id, frames(*id)).iter().any(|x| !x.is_finite());
        let bad = self.steps.iter().find(|planned| planned.place.outputs.iter().any(is_bad));
        bad.map(|planned| planned.place.site.layer)
    }

    fn run_backward(&mut self, batch: usize, mode: Mode, policy: &mut dyn Policy) -> Result<(), TrainError> {
        self.live.fill(false);
        for Planned { place, .. } in &self.steps {
            let is_live = place.params.iter().any(|&param| self.params[param].is_trainable())
                || place.inputs.iter().any(|port| self.live[port.id.0]);
            for output in &place.outputs {
                self.live[output.0] = is_live;
            }
        }
        self.written.fill(false);
        let mut run = Run {
            images: batch,
            batch,
            mode,
            policy,
            hooks: &mut self.hooks,
            params: &mut self.params,
            buffers: &mut self.buffers,
            tensors: &mut self.tensors,
            workspace: &mut self.workspace,
            live: &self.live,
            written: &mut self.written,
        };
        for Planned { place, step } in self.steps.iter_mut().rev() {
            if place.outputs.iter().all(|output| !run.live[output.0]) {
                continue;
            }
            run.batch = batch * place.n_steps;
            for &output in &place.outputs {
                run.hook_output_grad(&place.site, output);
            }
            step.backward(place, &mut run)?;
            for port in &place.inputs {
                run.cast_input_grad(&place.site, port);
            }
        }
        Ok(())
    }

    /// What the last [`backward`](Model::backward) or [`evaluate`](Model::evaluate) found.
    pub fn report(&self) -> &LossReport {
        &self.report
    }

    fn kept(&self, name: &str) -> Option<TensorId> {
        self.tensors.find(name).filter(|&id| self.tensors.spec(id).kept)
    }

    /// A copy of a kept value of the last forward pass, NCHW, the time steps of an image one behind the other; `None` if the
    /// name is unknown or not kept.
    pub fn tensor(&self, name: &str) -> Option<Vec<f32>> {
        let (last, id) = (self.last?, self.kept(name)?);
        let spec = self.tensors.spec(id);
        let values = self.tensors.value(id, last.batch * spec.n_steps);
        let mut planar = vec![0.0; values.len()];
        nhwc_to_nchw(values, spec.channels(), spec.pixels(), &mut planar);
        Some(planar)
    }

    /// Extents of one image of a kept value, without the batch.
    pub fn tensor_shape(&self, name: &str) -> Option<&[usize]> {
        self.kept(name).map(|id| self.tensors.spec(id).dims.as_slice())
    }

    /// The first batch normalization that a training batch of so many images gives a single value per channel, by name.
    pub fn norm_of_one_value(&self, batch: usize) -> Option<&str> {
        let pixels = |planned: &Planned| self.tensors.spec(planned.place.inputs[0].id).pixels() * planned.place.n_steps;
        let is_norm = |planned: &&Planned| planned.place.site.kind == SiteKind::BatchNorm;
        let found = self.steps.iter().filter(is_norm).find(|planned| pixels(planned) * batch <= 1);
        found.map(|planned| planned.place.site.name.as_str())
    }

    /// The answers of the last forward pass ([`ModelOptions::output`]), without a final softmax: `[n, classes]`; empty
    /// before any pass.
    pub fn logits(&self) -> &[f32] {
        self.last.map_or(&[], |last| self.tensors.value(self.logits, last.batch))
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

    /// Names of the layers (the graph's nodes), by index.
    pub fn layers(&self) -> &[String] {
        &self.layers
    }

    /// Extents of one input image, without the batch: `[c, h, w]`.
    pub fn input_shape(&self) -> &[usize] {
        &self.tensors.spec(self.input).dims
    }

    /// Number of classes: the extent of the logits' second axis.
    pub fn n_classes(&self) -> usize {
        self.tensors.spec(self.logits).channels()
    }

    /// The largest batch.
    pub fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// Bytes of activations, gradients of activations and scratch memory, without a policy's rounded copies.
    pub fn n_activation_bytes(&self) -> usize {
        self.tensors.n_bytes() + self.workspace.bytes()
    }

    /// The network with its present parameters and running statistics, for inference and export. Constants are folded
    /// as [`skimp_graph::rewrite::fold_constants`] does; nothing else differs from the graph given.
    ///
    /// # Errors
    /// [`TrainError::Graph`] if the graph cannot be put together.
    pub fn to_graph(&self) -> Result<Graph, TrainError> {
        let mut editor = Editor::new(&self.graph);
        let mut set = |id: ValueId, elements: Vec<f32>| {
            let shape = self.graph.constant(id).map(|tensor| tensor.shape().to_vec()).unwrap_or_default();
            editor.set_constant(id, Tensor::from_f32(shape, elements))
        };
        for (param, id) in self.params.iter().zip(&self.param_values) {
            if let &Some(id) = id {
                set(id, param.graph_values())?;
            }
        }
        for (buffer, &id) in self.buffers.iter().zip(&self.buffer_values) {
            set(id, buffer.values.clone())?;
        }
        Ok(editor.finish()?)
    }

    /// The layer to blame for a NaN or an infinity, if there is one: the first one, in graph order, with such a
    /// parameter; else the first one that made such an output in the last forward pass (known where the loss became NaN
    /// or infinite, and of the values that the backward pass needs); else the last one with such a gradient, where
    /// gradients come from.
    pub fn first_bad_layer(&self) -> Option<String> {
        let is_bad = |values: &[f32]| values.iter().any(|x| !x.is_finite());
        let of_params = self.params.iter().filter(|p| is_bad(p.values())).map(Param::layer).min();
        let of_grads = || self.params.iter().filter(|p| is_bad(p.grad())).map(Param::layer).max();
        of_params.or(self.bad_output).or_else(of_grads).map(|layer| self.layers[layer].clone())
    }
}
