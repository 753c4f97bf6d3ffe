//! The registry of digital accelerators.

use skimp_sim::AcceleratorModel;

mod bit_pragmatic;
mod bitwave;
mod bricks;
pub mod cnvlutin;
pub mod compend;
mod compreend;
mod config;
pub mod dadiannao;
pub mod eyeriss;
mod laconic;
mod quick;
mod scnn;
mod search;
pub mod selective_gradients;
mod snapea;
pub mod stripes;
mod structured_2_4;
pub mod systolic;
pub mod tetris;
mod windows;
pub mod zena;

/// Every digital accelerator, in the order in which lists print them.
pub static ACCELERATORS: &[&dyn AcceleratorModel] = &[
    &bit_pragmatic::BitPragmatic,
    &bitwave::BitWave,
    &cnvlutin::Cnvlutin,
    &compend::Compend,
    &compreend::Compreend,
    &dadiannao::DaDianNao,
    &eyeriss::Eyeriss,
    &laconic::Laconic,
    &scnn::Scnn,
    &selective_gradients::SelectiveGradients,
    &snapea::Snapea,
    &stripes::Stripes,
    &structured_2_4::Structured24,
    &systolic::Systolic,
    &systolic::TpuV1,
    &tetris::TETRIS,
    &tetris::TETRIS_L1,
    &zena::Zena,
];
