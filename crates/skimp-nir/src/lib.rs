//! Spiking networks in NIR files (the Neuromorphic Intermediate Representation), in and out.
//!
//! [`read`] makes a graph of one time step out of a file, and [`write()`] the other way round. NIR states differential equations: how
//! long a time step is and what a spike takes off the potential it does not say, so that [`Reading`] must. This crate
//! touches no files, only their bytes (HDF5).
//!
//! # Source
//! J. Pedersen et al., "Neuromorphic intermediate representation: A unified instruction set for interoperable
//! brain-inspired computing", Nature Communications 15, 2024; the package `nir` 1.0.8.

mod error;
mod file;
mod read;
mod units;
mod write;

#[cfg(test)]
mod tests;

pub use error::NirError;
pub use read::{Reading, read};
pub use write::{Written, write};
