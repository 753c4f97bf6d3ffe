//! Fast CPU kernels and executors, checked against the reference interpreters.
//!
//! [`CpuExecutor`] runs f32 networks, [`binary`] packed bits; [`integer`] holds the exact integer kernels, [`nhwc`] the training kernels. The only crate with `unsafe` code:
//! in kernel modules, each with a safe twin that it is tested against.

pub mod binary;
mod executor;
mod huge_pages;
pub mod integer;
mod kernels;
pub mod nhwc;
mod plan;

pub use executor::CpuExecutor;
pub use huge_pages::HugePages;
pub use kernels::sparse::Zeros;
pub use kernels::winograd::Order;
