//! Integer networks: the exact arithmetic that hardware would do.
//!
//! An [`IntegerGraph`] computes on codes: `real = code · scale`, zero point 0 everywhere. Convolutions and dense
//! layers are [`MacLayer`]s with an exact accumulator; bias and residual input enter at accumulator scale, before
//! the activation function, which is what early negative detection needs.

pub mod end;
mod types;

pub use types::{
    Activation, CodeTensor, Encoding, IntegerGraph, IntegerNode, IntegerOp, IntegerValue, MacLayer, MacOutput,
    ValueKind,
};
