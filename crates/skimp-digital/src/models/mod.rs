//! The registry of digital accelerators.

use skimp_sim::AcceleratorModel;

mod bit_pragmatic;
mod bitwave;
mod bricks;
pub mod cnvlutin;
pub mod compend;
mod compreend;
mod config;
mod cuts;
pub mod dadiannao;
mod early_stop;
mod entry;
pub mod eyeriss;
mod given;
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

pub use entry::Entry;

/// Every digital accelerator, in the order in which lists print them.
pub static ACCELERATORS: &[&dyn AcceleratorModel] = &[
    &bit_pragmatic::BIT_PRAGMATIC,
    &bitwave::BITWAVE,
    &cnvlutin::CNVLUTIN,
    &compend::COMPEND,
    &compreend::COMPREEND,
    &dadiannao::DADIANNAO,
    &eyeriss::EYERISS,
    &laconic::LACONIC,
    &scnn::SCNN,
    &selective_gradients::SELECTIVE_GRADIENTS,
    &snapea::SNAPEA,
    &stripes::STRIPES,
    &structured_2_4::STRUCTURED_2_4,
    &systolic::SYSTOLIC,
    &systolic::TPU_V1,
    &tetris::TETRIS,
    &tetris::TETRIS_L1,
    &zena::ZENA,
];
