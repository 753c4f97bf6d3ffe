//! The registry of digital accelerators.

use skimp_sim::AcceleratorModel;

mod bricks;
pub mod cnvlutin;
pub mod compend;
mod config;
pub mod dadiannao;
pub mod eyeriss;
pub mod selective_gradients;
pub mod stripes;
pub mod systolic;
pub mod tetris;
pub mod zena;

/// Every digital accelerator, in the order in which lists print them.
pub static ACCELERATORS: &[&dyn AcceleratorModel] = &[
    &cnvlutin::Cnvlutin,
    &compend::Compend,
    &dadiannao::DaDianNao,
    &stripes::Stripes,
    &zena::Zena,
    &systolic::Systolic,
    &systolic::TpuV1,
    &eyeriss::Eyeriss,
    &selective_gradients::SelectiveGradients,
    &tetris::TETRIS,
    &tetris::TETRIS_L1,
];
