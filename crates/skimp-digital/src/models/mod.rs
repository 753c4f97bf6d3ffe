//! The registry of accelerators.

use skimp_sim::AcceleratorModel;

mod bit_pragmatic;
mod bitwave;
mod bricks;
mod bsnn_tile;
pub mod cnvlutin;
pub mod compend;
mod compreend;
mod config;
mod crossbar;
mod cuts;
pub mod dadiannao;
mod early_stop;
mod entry;
pub mod eyeriss;
mod given;
mod isaac;
mod kept;
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
mod xnor_rram;
pub mod zena;

pub use entry::Entry;

/// Every accelerator, in the order in which lists print them.
pub static ACCELERATORS: &[&dyn AcceleratorModel] = &[
    &bit_pragmatic::BIT_PRAGMATIC,
    &bitwave::BITWAVE,
    &bsnn_tile::BSNN_TILE,
    &bsnn_tile::BSNN_TILE_CALIBRATED,
    &cnvlutin::CNVLUTIN,
    &compend::COMPEND,
    &compreend::COMPREEND,
    &dadiannao::DADIANNAO,
    &eyeriss::EYERISS,
    &isaac::ISAAC,
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
    &xnor_rram::XNOR_RRAM,
    &zena::ZENA,
];
