//! Binary networks on packed bits.
//!
//! Activations lie as bits from the first binarization to the last layer. A layer counts the bits in which 64 activations and 64
//! weights differ (or, of spikes, meet) with one instruction, for eight filters at once, and compares the counts with integer
//! limits into which batch norm, bias and border corrections are folded; a pool is a few `or`s. Layers of real weights on spikes
//! add the weights that each spike meets, and neurons over time make bits of potentials. What is real runs on
//! [`CpuExecutor`](crate::CpuExecutor). Every result on bits is that of [`BinaryReference`](skimp_graph::binary::BinaryReference), bit for bit.

mod events;
mod executor;
mod kernel;
mod layer;
mod neuron;
mod planes;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;

pub use executor::BinaryExecutor;
