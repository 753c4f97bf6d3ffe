//! Binary networks: layers whose weights and activations are one bit each.
//!
//! A [`BinaryGraph`] holds layers of weights ±1 on bits that stand for −1 and 1, or for 0 and 1, with integer thresholds; what is
//! real stays in floating point around them. [`lower`] finds them in a float network, whoever wrote it: activations are
//! recognised by what they compute, weights by their values. [`BinaryReference`] is the specification of what such a network
//! computes, and equals the float reference of the network it was found in.
//!
//! Of a spiking network ([`spiking`](crate::spiking)), one step with its state as inputs and outputs is lowered: the spikes of its
//! neurons are bits, and layers of real weights behind them add what each spike meets.
//!
//! # Source
//! Hubara, Courbariaux, Soudry, El-Yaniv and Bengio, "Binarized Neural Networks", NIPS 2016, sections 1 and 4; Umuroglu et al.,
//! "FINN", FPGA 2017, section 4.2, for batch norms and activations as thresholds.

mod chain;
mod find;
mod lower;
mod reference;
mod steps;
mod types;

#[cfg(test)]
mod tests;

pub use lower::lower;
pub use reference::{BinaryObserver, BinaryReference, BinaryTensor, BitTensor, LayerCall, LayerSums};
pub use types::{
    Alphabet, BinaryGraph, BinaryKind, BinaryLayer, BinaryLayout, BinaryNode, BinaryOp, BinaryOutput, BinaryValue,
    BitNeuron, BitPadding, BitPool, EventLayer, Step, Threshold,
};
