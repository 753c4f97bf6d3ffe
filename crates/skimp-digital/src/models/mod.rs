//! The registry of digital accelerators.

use skimp_sim::AcceleratorModel;

pub mod compend;
mod config;
pub mod dadiannao;

/// Every digital accelerator, in the order in which lists print them.
pub static ACCELERATORS: &[&dyn AcceleratorModel] = &[&compend::Compend, &dadiannao::DaDianNao];
