//! Rewrites: from a graph to an equivalent one, and surgery with an [`Editor`].
//!
//! Every rewrite keeps the graph's inputs and outputs with their names and order, and the names of the values and
//! nodes that remain; value ids change. [`fold_constants`], [`remove_identities`], [`remove_dead`] and [`cancel_transposes`]
//! keep every result bit for bit, as [`free_batch`] does for every image; [`fold_batch_norm`] and [`fold_arithmetic`] keep it up to
//! rounding, [`fold_pads`] up to the sign of a zero.

mod arithmetic;
mod batch;
mod batch_norm;
mod block;
mod channels;
mod constants;
mod dead;
mod editor;
mod identities;
mod layout;
mod pads;

#[cfg(test)]
mod tests;

use crate::Graph;

pub use arithmetic::fold_arithmetic;
pub use batch::free_batch;
pub use batch_norm::{BatchNormFolding, FoldedBatchNorm, KeptBatchNorm, KeptReason, fold_batch_norm};
pub use channels::spread;
pub use constants::fold_constants;
pub(crate) use constants::folded;
pub use dead::remove_dead;
pub(crate) use editor::free_name;
pub use editor::{Edge, Editor, batch_shapes, trial_shapes};
pub use identities::remove_identities;
pub use layout::cancel_transposes;
pub(crate) use layout::takes_channels_last;
pub use pads::fold_pads;

/// What every engine may do first: [`simplify`], then [`cancel_transposes`], [`fold_pads`] and [`fold_arithmetic`].
/// Results stay the same up to the rounding of the latter.
pub fn prepare(graph: &Graph) -> Graph {
    fold_arithmetic(&fold_pads(&cancel_transposes(&simplify(graph))))
}

/// Folds constants, then removes identities and whatever no output needs.
pub fn simplify(graph: &Graph) -> Graph {
    remove_dead(&remove_identities(&fold_constants(graph)))
}
