//! Operators without a fast kernel, on the reference.
//!
//! Slow (naive loops in double precision, on one thread, with memory of their own), but every operator that the
//! reference trains is trained here.

use skimp_cpu::nhwc::{nchw_to_nhwc, nhwc_to_nchw};
use skimp_graph::{Op, Tensor};

use crate::TrainError;
use crate::engine::Mode;
use crate::engine::hooks::HookPlace;
use crate::engine::step::{Keeps, Place, Run, Step};
use crate::engine::tensors::TensorId;
use crate::policy::{Arithmetic, Pass, Role, SiteKind};
use crate::reference::{self, BatchNorm, Call, DropoutKey, SignTraining, Training, View};

/// Where an input of the operator comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The step's input with this number.
    Port(usize),
    /// The model's parameter with this index.
    Param(usize),
    /// A constant that is not trained.
    Constant(Tensor),
}

/// Any operator.
#[derive(Debug)]
pub(crate) struct Naive {
    pub(crate) op: Op,
    pub(crate) sources: Vec<Option<Source>>,
    pub(crate) sign: SignTraining,
}

/// A tensor in the graph's order, with the batch as its first axis.
struct Planar {
    shape: Vec<usize>,
    elements: Vec<f32>,
}

fn planar(run: &Run<'_>, id: TensorId, interleaved: &[f32]) -> Planar {
    let spec = run.tensors.spec(id);
    let mut elements = vec![0.0; interleaved.len()];
    nhwc_to_nchw(interleaved, spec.channels(), spec.pixels(), &mut elements);
    Planar { shape: std::iter::once(run.batch).chain(spec.dims.iter().copied()).collect(), elements }
}

impl Naive {
    fn inputs(&self, place: &Place, run: &Run<'_>) -> Result<Vec<Option<Planar>>, TrainError> {
        let of = |source: &Source| {
            Ok(match source {
                Source::Port(port) => planar(run, place.inputs[*port].id, run.value(place.inputs[*port].id)),
                Source::Param(idx) => {
                    Planar { shape: run.params[*idx].shape().to_vec(), elements: run.params[*idx].graph_values() }
                }
                Source::Constant(tensor) => {
                    let elements = tensor.as_f32().map(<[f32]>::to_vec).ok_or_else(|| TrainError::Untrainable {
                        node: place.site.name.clone(),
                        op: self.op.name().to_owned(),
                        cause: format!("a constant of type {}, expected f32", tensor.dtype()),
                    })?;
                    Planar { shape: tensor.shape().to_vec(), elements }
                }
            })
        };
        self.sources.iter().map(|source| source.as_ref().map(of).transpose()).collect()
    }

    /// Matrix products that are computed here know no precision but f32.
    fn check_precision(&self, place: &Place, run: &Run<'_>) -> Result<(), TrainError> {
        let site = &place.site;
        let operands = [Role::Activation, Role::Weight, Role::Error, Role::WeightGradient, Role::Bias];
        let passes = [Pass::Forward, Pass::InputGrad, Pass::WeightGrad];
        let is_plain = |pass: Pass| {
            run.policy.arithmetic(site, pass) == Arithmetic::F32
                && !operands.into_iter().any(|role| run.policy.casts(site, role, pass))
        };
        if !matches!(site.kind, SiteKind::Conv | SiteKind::Dense) {
            return Ok(());
        }
        if run.hooks.acts(site, HookPlace::Weight) {
            return Err(TrainError::Untrainable {
                node: site.name.clone(),
                op: self.op.name().to_owned(),
                cause: "with a hook on its weight, which is not possible in this form".to_owned(),
            });
        }
        if passes.into_iter().all(is_plain) {
            return Ok(());
        }
        Err(TrainError::Untrainable {
            node: site.name.clone(),
            op: self.op.name().to_owned(),
            cause: format!("in the precision of policy {}; only fp32 is possible in this form", run.policy.name()),
        })
    }

    fn training(&self, run: &Run<'_>) -> Training {
        let batch_norm = if run.is_training() { BatchNorm::Batch(run.policy.batch_norm()) } else { BatchNorm::Frozen };
        let dropout = match run.mode {
            Mode::Train { seed, step } => Some(DropoutKey { seed, step }),
            Mode::Eval => None,
        };
        Training { batch_norm, sign: self.sign, dropout }
    }
}

impl Step for Naive {
    fn keeps(&self) -> Keeps {
        Keeps { inputs: true, outputs: false }
    }

    fn forward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        self.check_precision(place, run)?;
        let inputs = self.inputs(place, run)?;
        let inputs: Vec<Option<View<'_, f32>>> = inputs.iter().map(|x| x.as_ref().map(Planar::view)).collect();
        let training = self.training(run);
        let call = Call { op: &self.op, node: &place.site.name, training: &training, inputs: &inputs };
        let result = reference::forward(&call)?;
        for (&output, elements) in place.outputs.iter().zip(&result.outputs) {
            run.produce(output, |y, run| {
                let spec = run.tensors.spec(output);
                nchw_to_nhwc(elements, spec.channels(), spec.pixels(), y);
            });
        }
        Ok(())
    }

    fn backward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        let inputs = self.inputs(place, run)?;
        let inputs: Vec<Option<View<'_, f32>>> = inputs.iter().map(|x| x.as_ref().map(Planar::view)).collect();
        let training = self.training(run);
        let call = Call { op: &self.op, node: &place.site.name, training: &training, inputs: &inputs };
        let errors: Vec<Option<Planar>> = place
            .outputs
            .iter()
            .map(|&output| Some(run.grad(output)).filter(|dy| !dy.is_empty()).map(|dy| planar(run, output, dy)))
            .collect();
        let errors: Vec<Option<&[f32]>> = errors.iter().map(|e| e.as_ref().map(|e| e.elements.as_slice())).collect();
        let gradients = reference::backward(&call, &errors)?;
        for (source, gradient) in self.sources.iter().zip(&gradients) {
            let Some(source) = source else { continue };
            let Some(gradient) = gradient else {
                // The operator takes it for a constant; others may add to the gradient.
                if let Source::Port(port) = source {
                    run.contribute(&place.inputs[*port], |dx, _| dx.fill(0.0));
                }
                continue;
            };
            match source {
                Source::Port(port) => {
                    let port = &place.inputs[*port];
                    run.contribute(port, |dx, run| {
                        let spec = run.tensors.spec(port.id);
                        nchw_to_nhwc(gradient, spec.channels(), spec.pixels(), dx);
                    });
                }
                Source::Param(idx) => {
                    run.param_grad(*idx, |grad, run| {
                        grad.copy_from_slice(&run.params[*idx].in_storage_order(gradient));
                    });
                }
                Source::Constant(_) => {}
            }
        }
        Ok(())
    }
}

impl Planar {
    fn view(&self) -> View<'_, f32> {
        View { shape: &self.shape, data: &self.elements }
    }
}
