//! Single weights that become zero: which tensors are pruned, how the zeros are shared out, what masks mean in training.
//!
//! [`tensors::find`] lists the weight tensors of a network, [`Scope`] says how many weights of each go, [`select`] which
//! ones. Shapes never change here, so a dense kernel takes as long as before: only a sparse kernel or a compressed file
//! gains, and every [`Reduction`](crate::Reduction) says so.

pub mod compressed;
pub(crate) mod inputs;
pub(crate) mod linear_algebra;
pub mod neurons;
mod outcome;
pub mod scope;
pub mod select;
pub mod sensitivity;
pub mod tensors;
pub(crate) mod training;

#[cfg(test)]
pub(crate) mod testing;

pub use neurons::{DeadNeurons, dead_neurons};
pub(crate) use outcome::Start;
pub use outcome::{apply, reduction, sparsity_target};
pub use scope::{Scope, ScopeSettings};
pub use sensitivity::{Sensitivity, sensitivity};
pub use tensors::{Found, Matrix, WeightTensor};
