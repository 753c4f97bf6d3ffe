//! Digital accelerator models, one file (or folder) each.
//!
//! [`ACCELERATORS`] lists them; each turns a [`LayerWorkload`](skimp_sim::LayerWorkload) and, where it needs operand
//! values, a [`LayerTrace`](skimp_sim::LayerTrace) into integer cycles and events. Nothing here computes a network.

mod comparison;
pub mod costs;
mod models;

pub use comparison::comparison_table;
pub use models::{
    ACCELERATORS, Entry, cnvlutin, compend, dadiannao, eyeriss, selective_gradients, stripes, systolic, tetris, zena,
};
