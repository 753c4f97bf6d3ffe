//! Integer networks: the exact arithmetic that hardware would do.
//!
//! An [`IntegerGraph`] computes on codes: `real = code · scale`, zero point 0 everywhere. Convolutions and dense
//! layers are [`MacLayer`]s with an exact accumulator; bias and residual input enter at accumulator scale, before
//! the activation function, which is what early negative detection needs.

mod check;
pub mod end;
mod engine;
mod mac;
mod moves;
mod nodes;
mod pool;
mod reference;
mod shapes;
mod types;

pub use check::check;
pub use engine::{IntegerEngine, IntegerObserver, IntegerTensor, MacHook, MacObservation, MacOperands, Observation};
pub use nodes::evaluate;
pub use pool::IntegerMeans;
pub use reference::IntegerReference;
pub use shapes::node_output_shapes;
pub use types::{
    Activation, CodeTensor, Encoding, IntegerGraph, IntegerNode, IntegerOp, IntegerValue, MacLayer, MacLayout,
    MacOutput, ValueKind,
};
