//! Network recasting: a trained network becomes one of other blocks, block after block.
//!
//! A network is a list of blocks ([`blocks`]). Each that is recast is replaced by one of another type or with fewer
//! filters, and the block behind it is rebuilt for what it now reads, of its own type and output width
//! ([`Student::replace`]); no adapter is ever added. [`recast`] does so for several and leaves their weights random;
//! [`train`] lets each new pair learn what the teacher's blocks answer, and then tunes the whole network.
//! [`Activations`] counts what the method is for: less activation traffic, sometimes at more multiplications.
//!
//! # Source
//! Yu, Kang and Choi, "Network Recasting: A Universal Method for Network Architecture Transformation", AAAI 2019
//! (arXiv 1809.05262), and the code released with it; what the text leaves open follows the code.
//! Differs:
//! - Blocks are found by structure in any network; the release builds its networks from a list.
//! - A shortcut is a 1x1 convolution also where only the stride asks for one; shortcuts without weights (cut, and
//!   channels of zeros) stay as long as their widths do.
//! - A convolution that is recast, or rebuilt, keeps its form (bias, batch norm, activation, as it has them); new
//!   blocks are convolution, batch norm and rectifier, without biases.
//! - A dense layer reads as many features as the layer before makes, not a rounded product: kept channels times height
//!   times width.
//! - Dense targets, whose code in the release does not run, have `(out − in) / growth` layers; each has a 1x1
//!   convolution of four times the growth, as dense sources have.
//! - Bottleneck blocks are kept and rebuilt, never made.

mod block;
mod build;
mod count;
mod detect;
mod lesson;
mod refit;
mod regions;
mod student;
mod target;

#[cfg(test)]
mod tests;

use skimp_graph::Graph;

use crate::ReduceError;

pub use self::block::{Block, BlockKind};
pub use self::count::Activations;
pub use self::detect::blocks;
pub use self::lesson::{Course, Recasting, Schooling, Scope, StepRecord, train};
pub use self::student::{Recast, Student};
pub use self::target::{Change, NewKind, RecastTextError, parse_blocks};

/// The network with the blocks `indices` recast into one type, in ascending order, with random weights in them and in
/// the blocks behind them. `ratios` are the factors of their widths: one for each index, one for all, or none for 1.
///
/// # Errors
/// [`ReduceError::Setting`] for indices or ratios that do not fit, [`ReduceError::Node`] for a block that cannot be
/// recast, otherwise as [`Student::new`].
///
/// # Determinism
/// `seed` fixes the weights; see [`Student`].
///
/// # Examples
/// ```
/// use skimp_graph::networks::{self, Weights};
/// use skimp_reduce::recast::{BlockKind, NewKind, recast};
///
/// let teacher = networks::build("resnet20", Weights::Seeded(1))?;
/// let plain = recast(&teacher, &[1, 2, 3, 4, 5, 6, 7, 8, 9], NewKind::Conv, &[], 1)?;
/// assert_eq!(plain.blocks.len(), 11);
/// assert!(plain.blocks[..10].iter().all(|block| block.kind == BlockKind::Conv));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn recast(
    graph: &Graph,
    indices: &[usize],
    into: NewKind,
    ratios: &[f64],
    seed: u64,
) -> Result<Recast, ReduceError> {
    let changes = Change::each(indices, into, ratios).map_err(|error| ReduceError::Setting {
        method: "recast".to_owned(),
        setting: "blocks".to_owned(),
        expected: error.expected,
        found: error.text,
    })?;
    let mut student = Student::new(graph, seed)?;
    changes.iter().try_for_each(|change| student.replace(change))?;
    Ok(student.finish())
}
