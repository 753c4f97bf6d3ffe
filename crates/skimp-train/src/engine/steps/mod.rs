//! The layers, one file each. What has no file of its own runs on [`naive`].

pub(super) mod activation;
pub(super) mod arithmetic;
pub(super) mod codes;
pub(super) mod dropout;
pub(super) mod gather;
pub(super) mod join;
pub(super) mod linear;
pub(super) mod naive;
pub(super) mod neuron;
pub(super) mod noise;
pub(super) mod norm;
pub(super) mod pool;
mod range_norm;
