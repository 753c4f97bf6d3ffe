//! Optimizers: how gradients move parameters.
//!
//! [`Optimizer`] keeps the state of one run and walks over the parameters; what it does to each element is an
//! [`UpdateRule`], one file each, registered in [`OPTIMIZERS`]. A rule is written as a sequence of assignments over
//! short blocks that stay in the first-level cache, so one pass over memory does everything, and a rounding that
//! belongs to a precision policy can be put behind every assignment.

mod adam;
mod adamw;
mod clip;
mod hooks;
mod sgd;
mod state;

use std::fmt;

pub use self::clip::{GradientClip, gradient_norm};
pub(crate) use self::hooks::mask_out;
pub use self::hooks::{Clamp, Mask, Memory, ParamHook, UpdateOf, recalled};
pub use self::state::{Optimizer, OptimizerConfig};

use crate::policy::Assignment;
use crate::spec::{Spec, SpecError};

/// Every optimizer, in the order `skimp list optimizers` prints them.
pub static OPTIMIZERS: &[&dyn OptimizerKind] = &[&sgd::Sgd, &adam::Adam, &adamw::AdamW];

/// One entry of [`OPTIMIZERS`].
pub trait OptimizerKind: fmt::Debug + Sync {
    /// Name, in kebab-case.
    fn name(&self) -> &'static str;

    /// One line on what it is.
    fn summary(&self) -> &'static str;

    /// Who proposed it.
    fn source(&self) -> &'static str;

    /// The rule with the settings of `spec`, which is emptied of them.
    ///
    /// # Errors
    /// [`SpecError::InvalidValue`].
    fn rule(&self, spec: &mut Spec) -> Result<Box<dyn UpdateRule>, SpecError>;
}

/// The numbers of one update that do not belong to the rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper {
    /// Learning rate.
    pub learning_rate: f64,
    /// Weight decay of this parameter; 0 for none.
    pub weight_decay: f64,
    /// Number of this update, from 1.
    pub update: u64,
}

/// Rounds what an update has just assigned.
pub type Assign<'a> = &'a mut dyn FnMut(&mut [f32], Assignment);

/// What an optimizer does to a block of elements.
///
/// After each assignment to a slice the rule calls `assign` with it, so that a policy can round what is stored.
pub trait UpdateRule: fmt::Debug + Send + Sync {
    /// Names of the state tensors, one of each for every parameter. All start at 0.
    fn slots(&self) -> &'static [&'static str];

    /// Moves `values` against `grad`, which it may overwrite. `slots` are in the order of [`UpdateRule::slots`], and all
    /// slices are equally long.
    fn update(&self, values: &mut [f32], grad: &mut [f32], slots: &mut [&mut [f32]], hyper: &Hyper, assign: Assign<'_>);
}

/// A rule from text such as `sgd:momentum=0.9,nesterov=true`.
///
/// # Errors
/// [`SpecError`] naming the optimizer and the setting.
pub fn parse_rule(mut spec: Spec) -> Result<Box<dyn UpdateRule>, SpecError> {
    let kind = spec.find(OPTIMIZERS, |kind| kind.name())?;
    let rule = kind.rule(&mut spec)?;
    spec.finish()?;
    Ok(rule)
}

/// Adds `factor · from` to `to`.
fn axpy(to: &mut [f32], factor: f32, from: &[f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

#[cfg(test)]
mod tests;
