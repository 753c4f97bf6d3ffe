//! A graph compiled for training.

mod model;
mod options;
mod param;

pub use model::Model;
pub use options::{Mode, ModelOptions, SignGradient, SignZero};
pub use param::{Buffer, Param, ParamRole, Storage};
