//! One layer of the compiled network, as the driver sees it.

use skimp_cpu::nhwc::{Workspace, accumulate};

use super::hooks::{HookPlace, Hooks};
use super::tensors::{TensorId, Tensors};
use super::{Buffer, Mode, Param};
use crate::TrainError;
use crate::policy::{Contraction, Operand, Pass, Policy, Role, Site};

/// How a step's contribution to an input's gradient is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GradMode {
    /// Nobody needs the gradient.
    None,
    /// It is the first contribution.
    Write,
    /// It is added to earlier ones.
    Add,
}

/// A tensor that a step reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    pub(crate) id: TensorId,
    pub(crate) grad: GradMode,
}

/// Where a step stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) site: Site,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<TensorId>,
    /// Indices of the parameters it reads.
    pub(crate) params: Vec<usize>,
    /// Time steps that it computes one like the other, as if they were images.
    pub(crate) n_steps: usize,
}

/// What a step's backward pass reads besides the gradients of its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keeps {
    pub(crate) inputs: bool,
    pub(crate) outputs: bool,
}

/// One layer.
pub(crate) trait Step: Send + std::fmt::Debug {
    /// What must live until the backward pass.
    fn keeps(&self) -> Keeps;

    /// Whether the outputs hold nothing but elements of the inputs and padding: rounded there, or images yet to be rounded
    /// by whatever reads them.
    fn moves_only(&self) -> bool {
        false
    }

    /// Computes the outputs.
    fn forward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError>;

    /// Computes the gradients of the inputs that are wanted and of the parameters.
    fn backward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError>;
}

/// A step and its place.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) place: Place,
    pub(crate) step: Box<dyn Step>,
}

/// What steps work on during a pass.
pub(crate) struct Run<'a> {
    /// Images.
    pub(crate) images: usize,
    /// Images times the time steps of the present step: what kernels take for the batch.
    pub(crate) batch: usize,
    pub(crate) mode: Mode,
    pub(crate) policy: &'a mut dyn Policy,
    pub(crate) hooks: &'a mut Hooks,
    pub(crate) params: &'a mut [Param],
    pub(crate) buffers: &'a mut [Buffer],
    pub(crate) tensors: &'a mut Tensors,
    pub(crate) workspace: &'a mut Workspace,
    /// For each tensor, whether a trainable parameter lies upstream.
    pub(crate) live: &'a [bool],
    /// For each parameter, whether its gradient has a contribution already.
    pub(crate) written: &'a mut [bool],
}

impl Run<'_> {
    pub(crate) fn is_training(&self) -> bool {
        matches!(self.mode, Mode::Train { .. })
    }

    /// Time steps of all images of a tensor.
    pub(crate) fn frames(&self, id: TensorId) -> usize {
        self.images * self.tensors.spec(id).n_steps
    }

    /// The value of a tensor.
    pub(crate) fn value(&self, id: TensorId) -> &[f32] {
        self.tensors.value(id, self.frames(id))
    }

    /// The gradient of a tensor.
    pub(crate) fn grad(&self, id: TensorId) -> &[f32] {
        self.tensors.grad(id, self.frames(id))
    }

    /// Writes a tensor's value.
    pub(crate) fn produce<R>(&mut self, id: TensorId, write: impl FnOnce(&mut [f32], &mut Self) -> R) -> R {
        let mut memory = self.tensors.take_value(id);
        let len = self.tensors.spec(id).volume() * self.images;
        let result = write(&mut memory[..len], self);
        self.tensors.put_value(id, memory);
        result
    }

    /// Whether the gradient of an input is wanted.
    pub(crate) fn wants(&self, port: &Port) -> bool {
        port.grad != GradMode::None && self.live[port.id.0]
    }

    /// Contributes to an input's gradient: `write` fills its argument, whose old content means nothing.
    pub(crate) fn contribute<R>(&mut self, port: &Port, write: impl FnOnce(&mut [f32], &mut Self) -> R) -> Option<R> {
        if !self.wants(port) {
            return None;
        }
        let len = self.tensors.spec(port.id).volume() * self.images;
        let mut memory = self.tensors.take_grad(port.id);
        let result = if port.grad == GradMode::Write {
            write(&mut memory[..len], self)
        } else {
            let mut scratch = std::mem::take(&mut self.tensors.scratch);
            let result = write(&mut scratch[..len], self);
            accumulate(&mut memory[..len], &scratch[..len], self.workspace);
            self.tensors.scratch = scratch;
            result
        };
        self.tensors.put_grad(port.id, memory);
        Some(result)
    }

    /// Adds a contribution to a tensor's gradient.
    pub(crate) fn add_to_grad(&mut self, id: TensorId, part: &[f32]) {
        let mut memory = self.tensors.take_grad(id);
        accumulate(&mut memory[..part.len()], part, self.workspace);
        self.tensors.put_grad(id, memory);
    }

    /// Contributes to a parameter's gradient: `write` fills its argument, whose old content means nothing.
    pub(crate) fn param_grad<R>(&mut self, idx: usize, write: impl FnOnce(&mut [f32], &mut Self) -> R) -> Option<R> {
        if !self.params[idx].is_trainable() {
            return None;
        }
        let mut memory = self.params[idx].take_grad();
        let result = if std::mem::replace(&mut self.written[idx], true) {
            let mut sum = memory.clone();
            let result = write(&mut memory, self);
            accumulate(&mut sum, &memory, self.workspace);
            memory.copy_from_slice(&sum);
            result
        } else {
            write(&mut memory, self)
        };
        self.params[idx].put_grad(memory);
        Some(result)
    }

    /// Lets the policy round a step's stored output.
    pub(crate) fn cast_output(&mut self, site: &Site, id: TensorId) {
        if self.policy.casts(site, Role::Output, Pass::Forward) {
            let (rows, columns) = self.matrix(id);
            self.produce(id, |values, run| {
                let contraction = Contraction::None;
                let operand = Operand { role: Role::Output, pass: Pass::Forward, values, rows, columns, contraction };
                run.policy.cast(site, operand);
            });
        }
    }

    /// Lets hooks change a step's stored output.
    pub(crate) fn hook_output(&mut self, site: &Site, id: TensorId) {
        if self.hooks.acts(site, HookPlace::Output) {
            self.produce(id, |values, run| run.hooks.apply(site, HookPlace::Output, run.mode, values));
        }
    }

    /// Lets hooks change the whole gradient of a step's output.
    pub(crate) fn hook_output_grad(&mut self, site: &Site, id: TensorId) {
        if self.live[id.0] && self.hooks.acts(site, HookPlace::OutputGradient) {
            let len = self.grad(id).len();
            let mut memory = self.tensors.take_grad(id);
            self.hooks.apply(site, HookPlace::OutputGradient, self.mode, &mut memory[..len]);
            self.tensors.put_grad(id, memory);
        }
    }

    /// Lets the policy round the gradient of a step's input.
    pub(crate) fn cast_input_grad(&mut self, site: &Site, port: &Port) {
        if self.wants(port) && self.policy.casts(site, Role::InputGradient, Pass::InputGrad) {
            let (rows, columns) = self.matrix(port.id);
            let mut memory = self.tensors.take_grad(port.id);
            let values = &mut memory[..rows * columns];
            let (role, pass, contraction) = (Role::InputGradient, Pass::InputGrad, Contraction::None);
            self.policy.cast(site, Operand { role, pass, values, rows, columns, contraction });
            self.tensors.put_grad(port.id, memory);
        }
    }

    /// Rows and columns of a tensor seen as a matrix with the channels as columns.
    pub(crate) fn matrix(&self, id: TensorId) -> (usize, usize) {
        let spec = self.tensors.spec(id);
        (spec.pixels() * self.frames(id), spec.channels())
    }
}
