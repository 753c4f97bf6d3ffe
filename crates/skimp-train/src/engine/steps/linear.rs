//! Convolutions and dense layers: three GEMMs, whose operands the policy may round and whose sums it chooses.

use skimp_cpu::nhwc::{ConvShape, Zeros, bias_grad, conv_forward, conv_input_grad_with, conv_weight_grad};
use skimp_numerics::rng::Key;

use super::noise::Noise;
use crate::TrainError;
use crate::engine::Mode;
use crate::engine::hooks::HookPlace;
use crate::engine::kernels::copy;
use crate::engine::step::{Keeps, Place, Run, Step};
use crate::noise::LayerNoise;
use crate::policy::{Contraction, Operand, Pass, Policy, Role, Site};
use crate::quantizer::WeightForm;

/// A convolution; a dense layer is one of a single pixel.
#[derive(Debug)]
pub(crate) struct Linear {
    /// For a batch of one.
    shape: ConvShape,
    weight: usize,
    bias: Option<usize>,
    zero_errors: Zeros,
    /// Rounded copies, made on first need. Those that both passes share live from the forward to the backward pass.
    activation: Vec<f32>,
    weights: Vec<f32>,
    biases: Vec<f32>,
    error: Vec<f32>,
    form: Option<Form>,
    noise: Option<Noise>,
}

/// What stands for the weight.
#[derive(Debug)]
struct Form {
    form: WeightForm,
    /// The parameter of learned steps.
    steps: Option<usize>,
    /// The factor of each output channel in this pass.
    scales: Vec<f32>,
}

/// A tensor's matrix: rows, columns, and the axis that the GEMM sums over.
type Matrix = (usize, usize, Contraction);

impl Linear {
    pub(crate) fn new(shape: ConvShape, weight: usize, bias: Option<usize>, zero_errors: Zeros) -> Self {
        let empty = Vec::new;
        let (activation, weights, biases, error) = (empty(), empty(), empty(), empty());
        Self { shape, weight, bias, zero_errors, activation, weights, biases, error, form: None, noise: None }
    }

    /// Lets `form` stand for the weight; `steps` is the parameter of learned steps.
    pub(crate) fn quantize(&mut self, form: WeightForm, steps: Option<usize>) {
        self.form = Some(Form { form, steps, scales: Vec::new() });
    }

    /// Lets cells deviate that hold the weights, which have a form of signs.
    pub(crate) fn add_noise(&mut self, noise: LayerNoise, name: &str) {
        self.noise = Some(Noise::new(noise, name));
    }

    /// Whether products read a copy of the weight.
    fn copies_weight(&self, site: &Site, run: &Run<'_>, casts: bool) -> bool {
        casts || self.form.is_some() || run.hooks.acts(site, HookPlace::Weight)
    }

    fn activation_form(&self, n: usize, pass: Pass) -> Matrix {
        let rows = n * self.shape.h * self.shape.w;
        let contraction = match pass {
            Pass::Forward => Contraction::Columns { run: self.shape.group_c() },
            Pass::InputGrad | Pass::WeightGrad => Contraction::Rows { run: rows },
        };
        (rows, self.shape.c, contraction)
    }

    fn error_form(&self, n: usize, pass: Pass) -> Matrix {
        let rows = n * self.shape.p() * self.shape.q();
        let contraction = match pass {
            Pass::InputGrad => Contraction::Columns { run: self.shape.group_k() },
            Pass::Forward | Pass::WeightGrad => Contraction::Rows { run: rows },
        };
        (rows, self.shape.k, contraction)
    }

    /// Weights lie `[tap][channel of a group][output channel]`, all groups' output channels in a row.
    fn weight_form(&self, pass: Pass) -> Matrix {
        let (group_c, group_k) = (self.shape.group_c(), self.shape.group_k());
        let contraction = match pass {
            // A sum over the output channels of one group; of a single one, where blocks hold one element either way.
            Pass::InputGrad if (group_c, group_k) != (1, 1) => Contraction::Columns { run: group_k },
            _ => Contraction::Rows { run: group_c },
        };
        (self.shape.kh * self.shape.kw * group_c, self.shape.k, contraction)
    }
}

/// Rounds a copy of `from` in `to`.
fn rounded(
    policy: &mut dyn Policy,
    site: &Site,
    (role, pass): (Role, Pass),
    (rows, columns, contraction): Matrix,
    from: &[f32],
    to: &mut Vec<f32>,
) {
    if to.len() < from.len() {
        to.resize(from.len(), 0.0);
    }
    let values = &mut to[..from.len()];
    copy(values, from);
    policy.cast(site, Operand { role, pass, values, rows, columns, contraction });
}

impl Step for Linear {
    fn keeps(&self) -> Keeps {
        Keeps { inputs: true, outputs: false }
    }

    fn forward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        let (site, x_id, n) = (&place.site, place.inputs[0].id, run.batch);
        let shape = ConvShape { n, ..self.shape };
        let pass = Pass::Forward;
        let casts = |policy: &dyn Policy, role| policy.casts(site, role, pass);
        let cast_x = casts(run.policy, Role::Activation);
        let cast_w = casts(run.policy, Role::Weight);
        let copy_w = self.copies_weight(site, run, cast_w);
        let cast_b = self.bias.filter(|_| casts(run.policy, Role::Bias));
        if cast_x {
            let (form, to) = (self.activation_form(n, pass), &mut self.activation);
            rounded(run.policy, site, (Role::Activation, pass), form, run.tensors.value(x_id, n), to);
        }
        let key = match run.mode {
            Mode::Train { step, seed } => self.noise.as_ref().map(|_| Key { seed, step, stream: 0, image: 0 }),
            Mode::Eval => None,
        };
        if let (Some(key), Some(noise), Some(Form { form, .. })) = (key, &mut self.noise, &self.form) {
            noise.begin(&form.signs(run.params[self.weight].values(), shape.k), shape.k, key)?;
        }
        if copy_w {
            self.copy_weight(site, run, pass, cast_w);
        }
        if let Some(bias) = cast_b {
            let form = (1, shape.k, Contraction::None);
            rounded(run.policy, site, (Role::Bias, pass), form, run.params[bias].values(), &mut self.biases);
        }
        let arithmetic = run.policy.arithmetic(site, pass);
        run.produce(place.outputs[0], |y, run| {
            let x = if cast_x { &self.activation[..shape.x_len()] } else { run.tensors.value(x_id, n) };
            let w = if copy_w { self.weights.as_slice() } else { run.params[self.weight].values() };
            let bias = match (self.bias, cast_b) {
                (None, _) => None,
                (Some(_), Some(_)) => Some(self.biases.as_slice()),
                (Some(bias), None) => Some(run.params[bias].values()),
            };
            conv_forward(&shape, x, w, bias, y, arithmetic, run.workspace);
            if let (Some(key), Some(noise), Some(Form { scales, .. })) = (key, &mut self.noise, &self.form) {
                let x = if cast_x { &self.activation[..shape.x_len()] } else { run.tensors.value(x_id, n) };
                noise.add_to_sums((&shape, x, y), scales, (&run.hooks.images, key), run.workspace);
            }
        });
        Ok(())
    }

    fn backward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        let (site, x_id, y_id, n) = (&place.site, place.inputs[0].id, place.outputs[0], run.batch);
        let shape = ConvShape { n, ..self.shape };
        if let Some(bias) = self.bias {
            run.param_grad(bias, |grad, run| bias_grad(run.tensors.grad(y_id, n), grad, run.workspace));
        }
        let mut shared_error = false;
        if run.wants(&place.inputs[0]) {
            shared_error = self.input_grad(place, run, &shape);
        }
        if !run.params[self.weight].is_trainable() {
            return Ok(());
        }
        let pass = Pass::WeightGrad;
        let casts = |policy: &dyn Policy, role, pass| policy.casts(site, role, pass);
        let cast_e = casts(run.policy, Role::Error, pass);
        if cast_e && !(shared_error && run.policy.shares(site, Role::Error)) {
            let (form, to) = (self.error_form(n, pass), &mut self.error);
            rounded(run.policy, site, (Role::Error, pass), form, run.tensors.grad(y_id, n), to);
        }
        let is_shared = run.policy.shares(site, Role::Activation);
        let cast_x = casts(run.policy, Role::Activation, if is_shared { Pass::Forward } else { pass });
        if cast_x && !is_shared {
            let (form, to) = (self.activation_form(n, pass), &mut self.activation);
            rounded(run.policy, site, (Role::Activation, pass), form, run.tensors.value(x_id, n), to);
        }
        let arithmetic = run.policy.arithmetic(site, pass);
        let cast_result = casts(run.policy, Role::WeightGradient, pass);
        let (rows, columns, _) = self.weight_form(Pass::Forward);
        let mut steps_grad = Vec::new();
        run.param_grad(self.weight, |values, run| {
            let x = if cast_x { &self.activation[..shape.x_len()] } else { run.tensors.value(x_id, n) };
            let dy = if cast_e { &self.error[..shape.y_len()] } else { run.tensors.grad(y_id, n) };
            conv_weight_grad(&shape, x, dy, values, arithmetic, run.workspace);
            if cast_result {
                let (role, contraction) = (Role::WeightGradient, Contraction::None);
                run.policy.cast(site, Operand { role, pass, values, rows, columns, contraction });
            }
            if let Some(Form { form, scales, .. }) = &self.form {
                steps_grad = form.gradient(run.params[self.weight].values(), scales, values);
            }
        });
        if let Some(steps) = self.form.as_ref().and_then(|form| form.steps) {
            run.param_grad(steps, |grad, _| grad.copy_from_slice(&steps_grad));
        }
        Ok(())
    }
}

impl Linear {
    /// Copies the weight, and lets hooks and, with `casts`, the policy change the copy.
    fn copy_weight(&mut self, site: &Site, run: &mut Run<'_>, pass: Pass, casts: bool) {
        let (rows, columns, contraction) = self.weight_form(pass);
        let from = run.params[self.weight].values();
        self.weights.resize(from.len(), 0.0);
        let values = self.weights.as_mut_slice();
        match &mut self.form {
            None => copy(values, from),
            Some(Form { form, steps, scales }) => {
                let learned = steps.map_or(&[][..], |steps| run.params[steps].values());
                *scales = form.scales(from, columns, learned);
                form.quantize(from, scales, values);
                if let (Some(noise), true) = (&self.noise, run.mode != Mode::Eval) {
                    noise.add_to_weights(scales, values);
                }
            }
        }
        run.hooks.apply(site, HookPlace::Weight, run.mode, values);
        if casts {
            run.policy.cast(site, Operand { role: Role::Weight, pass, values, rows, columns, contraction });
        }
    }

    /// The gradient of the input; tells whether the error has been rounded for it.
    fn input_grad(&mut self, place: &Place, run: &mut Run<'_>, shape: &ConvShape) -> bool {
        let (site, y_id, n) = (&place.site, place.outputs[0], run.batch);
        let pass = Pass::InputGrad;
        let cast_e = run.policy.casts(site, Role::Error, pass);
        if cast_e {
            let (form, to) = (self.error_form(n, pass), &mut self.error);
            rounded(run.policy, site, (Role::Error, pass), form, run.tensors.grad(y_id, n), to);
        }
        let is_shared = run.policy.shares(site, Role::Weight);
        let cast_w = run.policy.casts(site, Role::Weight, if is_shared { Pass::Forward } else { pass });
        let copy_w = self.copies_weight(site, run, cast_w);
        if copy_w && !is_shared {
            self.copy_weight(site, run, pass, cast_w);
        }
        let arithmetic = run.policy.arithmetic(site, pass);
        run.contribute(&place.inputs[0], |dx, run| {
            let dy = if cast_e { &self.error[..shape.y_len()] } else { run.tensors.grad(y_id, n) };
            let w = if copy_w { self.weights.as_slice() } else { run.params[self.weight].values() };
            conv_input_grad_with(shape, dy, w, dx, (arithmetic, self.zero_errors), run.workspace);
        });
        cast_e
    }
}
