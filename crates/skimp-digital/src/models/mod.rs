//! The registry of digital accelerators.

use skimp_sim::AcceleratorModel;

mod bit_pragmatic;
mod bitwave;
mod bricks;
pub mod cnvlutin;
pub mod compend;
mod config;
pub mod dadiannao;
mod laconic;
mod quick;
mod scnn;
pub mod stripes;
mod structured_2_4;
pub mod systolic;
mod windows;
pub mod zena;

/// Every digital accelerator, in the order in which lists print them.
pub static ACCELERATORS: &[&dyn AcceleratorModel] = &[
    &bit_pragmatic::BitPragmatic,
    &bitwave::BitWave,
    &cnvlutin::Cnvlutin,
    &compend::Compend,
    &dadiannao::DaDianNao,
    &laconic::Laconic,
    &scnn::Scnn,
    &stripes::Stripes,
    &structured_2_4::Structured24,
    &systolic::Systolic,
    &systolic::TpuV1,
    &zena::Zena,
];
