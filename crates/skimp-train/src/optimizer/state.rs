//! One run's optimizer: its rule, its settings and the state of every parameter.

use rayon::prelude::*;

use super::{GradientClip, Hyper, Memory, ParamHook, UpdateOf, UpdateRule, gradient_norm, parse_rule};
use crate::policy::Policy;
use crate::spec::Spec;
use crate::{Param, ParamRole, TrainError};

/// How parameters are updated.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerConfig {
    /// The rule, such as `sgd:momentum=0.9,nesterov=true`.
    pub rule: String,
    /// Weight decay, 0 for none.
    pub weight_decay: f64,
    /// Parameters that do not decay.
    pub no_decay: Vec<ParamRole>,
    /// Limits on gradients.
    pub clip: GradientClip,
}

impl Default for OptimizerConfig {
    /// Gradient descent with momentum 0.9, without weight decay and limits.
    fn default() -> Self {
        Self { rule: "sgd".to_owned(), weight_decay: 0.0, no_decay: Vec::new(), clip: GradientClip::default() }
    }
}

/// The optimizer of one run.
#[derive(Debug)]
pub struct Optimizer {
    rule: Box<dyn UpdateRule>,
    config: OptimizerConfig,
    /// For each parameter the tensors named by [`UpdateRule::slots`], in the parameter's storage order; empty for
    /// frozen parameters.
    slots: Vec<Vec<Vec<f32>>>,
    update: u64,
    hooks: Vec<Box<dyn ParamHook>>,
    scratch: Vec<f32>,
}

/// Elements that one rule call works on: three or four such blocks fit into the first-level cache.
const BLOCK: usize = 2048;

/// Parameters with fewer elements are not worth splitting among threads.
const PARALLEL: usize = 1 << 16;

impl Optimizer {
    /// The optimizer for `params`, all state zero.
    ///
    /// # Errors
    /// [`TrainError::Spec`] for an unknown rule or setting, [`TrainError::Option`] for a weight decay or limit that is
    /// not a number in range.
    pub fn new(config: &OptimizerConfig, params: &[Param]) -> Result<Self, TrainError> {
        let rule = parse_rule(Spec::parse("optimizer", &config.rule)?)?;
        let limit = |name: &str, value: f64, positive: bool| {
            if value.is_finite() && value >= 0.0 && (value > 0.0 || !positive) {
                return Ok(());
            }
            let expected = if positive { "a number above 0" } else { "a number from 0" };
            Err(TrainError::Option { name: name.to_owned(), expected: expected.to_owned(), found: value.to_string() })
        };
        limit("weight decay", config.weight_decay, false)?;
        limit("gradient norm limit", config.clip.norm.unwrap_or(1.0), true)?;
        limit("gradient value limit", config.clip.value.unwrap_or(1.0), true)?;
        let slots = params.iter().map(|param| {
            let n = if param.is_trainable() { param.len() } else { 0 };
            rule.slots().iter().map(|_| vec![0.0; n]).collect()
        });
        let slots = slots.collect();
        Ok(Self { rule, config: config.clone(), slots, update: 0, hooks: Vec::new(), scratch: Vec::new() })
    }

    /// Adds something to be done around every update.
    pub fn add_hook(&mut self, hook: Box<dyn ParamHook>) {
        self.hooks.push(hook);
    }

    /// What each hook remembers, in the order in which they were added.
    pub fn memories(&self) -> Vec<Vec<Memory>> {
        self.hooks.iter().map(|hook| hook.memory()).collect()
    }

    /// Gives each hook its memory back.
    ///
    /// # Errors
    /// The number of the hook that does not take its own, and what it expected.
    pub fn recall(&mut self, mut memories: Vec<Vec<Memory>>) -> Result<(), String> {
        memories.resize(self.hooks.len().max(memories.len()), Vec::new());
        for (idx, memory) in memories.into_iter().enumerate() {
            match self.hooks.get_mut(idx) {
                Some(hook) => hook.recall(memory).map_err(|cause| format!("memory of hook {idx}: {cause}"))?,
                None => return Err(format!("memory of hook {idx}: expected {} hooks", self.hooks.len())),
            }
        }
        Ok(())
    }

    /// Updates made so far.
    pub fn n_updates(&self) -> u64 {
        self.update
    }

    /// Moves every trainable parameter against its gradient. Gradients are left as they are.
    ///
    /// # Rounding
    /// Every assignment in f32; where `policy` rounds updates, by it as well, parameter by parameter.
    ///
    /// # Determinism
    /// The same bits on any number of threads: all but the norm of the gradients (see [`gradient_norm`]) is
    /// element-wise.
    pub fn step(&mut self, params: &mut [Param], learning_rate: f64, policy: &mut dyn Policy) {
        self.update += 1;
        for (idx, param) in params.iter_mut().enumerate().filter(|(_, param)| param.is_trainable()) {
            let of = UpdateOf { param: idx, update: self.update };
            self.hooks.iter_mut().for_each(|hook| hook.before_update(of, param));
        }
        let scale = self.config.clip.factor(|| gradient_norm(params));
        let limit = self.config.clip.value.map(|limit| limit as f32);
        for (idx, (param, slots)) in params.iter_mut().zip(&mut self.slots).enumerate() {
            if !param.is_trainable() {
                continue;
            }
            let decays = !self.config.no_decay.contains(&param.role());
            let weight_decay = if decays { self.config.weight_decay } else { 0.0 };
            let hyper = Hyper { learning_rate, weight_decay, update: self.update };
            if policy.rounds_updates() {
                self.scratch.resize(param.len(), 0.0);
                clip_into(&mut self.scratch, param.grad(), scale, limit);
                let role = param.role();
                let mut assign = |values: &mut [f32], kind| policy.round_update(idx, role, kind, values);
                let (mut slots, n) = cut(slots, 0..param.len());
                self.rule.update(param.values_mut(), &mut self.scratch, &mut slots[..n], &hyper, &mut assign);
            } else {
                let (values, grad) = param.values_and_grad_mut();
                exact(&*self.rule, values, grad, slots, &hyper, (scale, limit));
            }
        }
        for (idx, (param, slots)) in params.iter_mut().zip(&mut self.slots).enumerate() {
            if param.is_trainable() {
                let of = UpdateOf { param: idx, update: self.update };
                self.hooks.iter_mut().for_each(|hook| hook.after_update(of, param, slots));
            }
        }
    }

    /// The state as tensors named `SLOT/PARAMETER`, with their parameters, in the graph's order of elements.
    pub fn state<'a>(&self, params: &'a [Param]) -> Vec<(String, &'a Param, Vec<f32>)> {
        let trainable = params.iter().zip(&self.slots).filter(|(param, _)| param.is_trainable());
        let named = trainable.flat_map(|(param, slots)| {
            let slots = self.rule.slots().iter().zip(slots);
            slots.map(move |(slot, values)| (format!("{slot}/{}", param.name()), param, param.in_graph_order(values)))
        });
        named.collect()
    }

    /// Takes over a state. `tensor` gives the elements of a name of [`Optimizer::state`]; it is told the parameter.
    ///
    /// # Errors
    /// Those of `tensor`.
    pub fn restore<E>(
        &mut self,
        params: &[Param],
        n_updates: u64,
        mut tensor: impl FnMut(&str, &Param) -> Result<Vec<f32>, E>,
    ) -> Result<(), E> {
        let names = self.rule.slots();
        for (param, slots) in params.iter().zip(&mut self.slots).filter(|(param, _)| param.is_trainable()) {
            for (name, values) in names.iter().zip(slots) {
                *values = param.in_storage_order(&tensor(&format!("{name}/{}", param.name()), param)?);
            }
        }
        self.update = n_updates;
        Ok(())
    }
}

/// Gradient blocks are copied, so that scaling, clipping and decay leave the gradients alone.
fn clip_into(to: &mut [f32], grad: &[f32], scale: f32, limit: Option<f32>) {
    to.iter_mut().zip(grad).for_each(|(to, &grad)| *to = grad * scale);
    if let Some(limit) = limit {
        to.iter_mut().for_each(|grad| *grad = grad.clamp(-limit, limit));
    }
}

/// The update without rounding beyond f32: one pass over memory, in blocks.
fn exact(
    rule: &dyn UpdateRule,
    values: &mut [f32],
    grad: &[f32],
    slots: &mut [Vec<f32>],
    hyper: &Hyper,
    (scale, limit): (f32, Option<f32>),
) {
    let run = |values: &mut [f32], grad: &[f32], slots: &mut [&mut [f32]]| {
        let mut scratch = [0.0; BLOCK];
        for start in (0..values.len()).step_by(BLOCK) {
            let range = start..(start + BLOCK).min(values.len());
            let scratch = &mut scratch[..range.len()];
            clip_into(scratch, &grad[range.clone()], scale, limit);
            let (mut slots, n) = cut(slots, range.clone());
            rule.update(&mut values[range], scratch, &mut slots[..n], hyper, &mut |_, _| {});
        }
    };
    if values.len() < PARALLEL {
        let (mut slots, n) = cut(slots, 0..values.len());
        return run(values, grad, &mut slots[..n]);
    }
    let size = PARALLEL / 4;
    let pieces = values.par_chunks_mut(size).zip(grad.par_chunks(size));
    match slots {
        [] => pieces.for_each(|(values, grad)| run(values, grad, &mut [])),
        [one] => pieces.zip(one.par_chunks_mut(size)).for_each(|((values, grad), one)| run(values, grad, &mut [one])),
        [one, two] => pieces
            .zip(one.par_chunks_mut(size))
            .zip(two.par_chunks_mut(size))
            .for_each(|(((values, grad), one), two)| run(values, grad, &mut [one, two])),
        more => {
            let (mut slots, n) = cut(more, 0..values.len());
            run(values, grad, &mut slots[..n]);
        }
    }
}

/// State tensors that a rule may have.
const MAX_SLOTS: usize = 4;

/// The range of each state tensor, and their number; no allocation.
fn cut<S: AsMut<[f32]>>(slots: &mut [S], range: std::ops::Range<usize>) -> ([&mut [f32]; MAX_SLOTS], usize) {
    let n = slots.len().min(MAX_SLOTS);
    let mut rest = slots.iter_mut();
    let cut = std::array::from_fn(|_| match rest.next() {
        Some(slot) => &mut slot.as_mut()[range.clone()],
        None => &mut [],
    });
    (cut, n)
}
