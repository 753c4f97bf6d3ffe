//! A graph compiled for training.

mod compile;
mod fuse;
mod hooks;
mod kernels;
mod losses;
mod model;
mod options;
mod param;
mod plan;
mod step;
mod steps;
mod tensors;

pub use hooks::{GaussianNoise, HookCall, HookPlace, TensorHook, WeightMask};
pub use model::Model;
pub use options::{Mode, ModelOptions};
pub use param::{Buffer, Param, ParamRole, Storage};
