//! What is done to one network: counting, running, measuring, quantizing.

pub(crate) mod binarized;
pub(crate) mod coverage;
pub(crate) mod evaluate;
pub(crate) mod fidelity;
pub(crate) mod inspect;
pub(crate) mod integer;
mod nir;
pub(crate) mod qdq;
pub(crate) mod quantized;
pub(crate) mod run;
pub(crate) mod spiking;
mod synapses;
pub(crate) mod timed;
pub(crate) mod topology;
