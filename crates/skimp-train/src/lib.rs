//! The training engine: a [`Graph`](skimp_graph::Graph) compiled for training, explicit gradients, losses at any
//! tensor and precision policies.
//!
//! [`Model`] is the main type: [`Model::forward`], [`Model::backward`] and an optimizer's update of
//! [`Model::params_mut`] make one training step. A [`Policy`] decides in which precision each tensor and each sum of
//! the step is held; [`policy::POLICIES`] lists them. [`mod@reference`] is the naive specification of every trainable
//! operator. This crate does no terminal I/O.

pub mod augment;
pub mod checkpoint;
mod engine;
mod error;
pub mod loader;
pub mod log;
mod loss;
pub mod noise;
pub mod optimizer;
pub mod policy;
pub mod quantizer;
pub mod reference;
pub mod schedule;
pub mod spec;
mod teacher;
pub mod trainer;

pub use engine::{
    Buffer, GaussianNoise, HookCall, HookPlace, Mode, Model, ModelOptions, Param, ParamRole, Storage, TensorHook,
    WeightMask,
};
pub use error::TrainError;
pub use loss::{LossKind, LossReport, LossSum, LossTerm, Target, Targets};
pub use policy::Policy;
pub use skimp_cpu::nhwc::Zeros;
pub use teacher::{TargetSource, Teacher};
