//! Row-stationary mapping of a convolution on the array of one vault.
//!
//! A logical set is `r` filter rows by `p` output rows; a processing element computes one row convolution. Sets are
//! folded if they are larger than the array and replicated over channels if they are smaller.
//!
//! # Source
//! Y.-H. Chen, J. Emer, V. Sze, "Eyeriss: A Spatial Architecture for Energy-Efficient Dataflow for Convolutional Neural
//! Networks", ISCA 2016; folding and replication as in the open model stanford-mast/nn_dataflow (version 2.1).
//! Differs: narrow groups (depthwise layers) share the array, as many as replication leaves room for.

use std::collections::HashSet;

use super::super::cuts::cuts;
use super::blocking::divisors;

/// The part of a layer that one vault computes: extents of the largest part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Groups.
    pub groups: u64,
    /// Input channels of one group.
    pub c: u64,
    /// Filters of one group.
    pub k: u64,
    /// Filter rows.
    pub r: u64,
    /// Filter columns.
    pub s: u64,
    /// Output rows.
    pub p: u64,
    /// Output columns.
    pub q: u64,
    /// Images.
    pub n: u64,
}

/// How a part lies on the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// Folds of filter rows, run one after another in a pass.
    pub fold_rows: u64,
    /// Folds of output rows, run as if they were images.
    pub fold_columns: u64,
    /// Ifmaps, ofmaps and groups that a pass computes side by side.
    pub replicated: [u64; 3],
    /// Processing elements of one folded set.
    pub set_pes: u64,
    /// Passes over ifmaps, ofmaps, and images (with folds).
    pub counts: [u64; 3],
    /// Repetitions of all passes for the remaining groups.
    pub group_rounds: u64,
    /// Cycles of one pass.
    pub pass_cycles: u64,
}

impl Mapping {
    /// Cycles of all passes.
    #[must_use]
    pub fn cycles(&self) -> u128 {
        let passes: u128 = self.counts.iter().map(|&count| u128::from(count)).product();
        passes * u128::from(self.group_rounds) * u128::from(self.pass_cycles)
    }
}

/// Whether a mapping may leave rows and columns of an array idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Where that is better: a larger array is never worse.
    Any,
    /// Never, as in the open model.
    Whole,
}

/// The mappings on an array of `rows` by `columns`: those that fill it first, then those of smaller arrays.
#[must_use]
pub fn mappings(part: &Part, rows: u64, columns: u64, fill: Fill) -> Vec<Mapping> {
    wanted_mappings(part, [rows, columns], fill, [None; 2], |_| true)
}

/// Those of [`mappings`] that have these folds of rows and columns, where they are given, and are `wanted`.
pub(super) fn wanted_mappings(
    part: &Part,
    [rows, columns]: [u64; 2],
    fill: Fill,
    folds: [Option<u64>; 2],
    wanted: impl Fn(&Mapping) -> bool,
) -> Vec<Mapping> {
    let mut known = HashSet::new();
    let mut found = Vec::new();
    let all = |most: u64| (1..=most).rev().take(if fill == Fill::Whole { 1 } else { usize::MAX });
    for filter_rows in cuts(part.r, rows) {
        let most_rows = if filter_rows.parts == 1 { rows / filter_rows.share } else { 1 };
        for output_rows in cuts(part.p, columns) {
            let most_columns = if output_rows.parts == 1 { columns / part.p } else { 1 };
            for spare_rows in all(most_rows) {
                for spare_columns in all(most_columns) {
                    let fold = Fold::new([filter_rows.parts, output_rows.parts], spare_rows);
                    if folds.iter().zip([fold.rows, fold.columns]).any(|(given, own)| given.is_some_and(|f| f != own)) {
                        continue;
                    }
                    let fills = filled(part, &fold, spare_columns);
                    found.extend(fills.filter(|mapping| wanted(mapping) && known.insert(*mapping)));
                }
            }
            if fill == Fill::Whole {
                return found;
            }
        }
    }
    found
}

/// Folds of a set, and the rows of sets that they leave.
struct Fold {
    rows: u64,
    columns: u64,
    spare_rows: u64,
}

impl Fold {
    /// Filter rows and output rows in these folds, with so many spare rows of sets, which take folds of output rows first.
    fn new([rows, columns]: [u64; 2], spare_rows: u64) -> Self {
        let moved = spare_rows.min(columns);
        Fold { rows, columns: columns.div_ceil(moved), spare_rows: spare_rows / moved }
    }
}

/// The mappings that fill the room of spare sets: all splits of the rows between ifmaps and ofmaps.
fn filled(part: &Part, fold: &Fold, spare_columns: u64) -> impl Iterator<Item = Mapping> {
    let Fold { rows: fold_rows, columns: fold_columns, spare_rows } = *fold;
    let of_split = move |ifmap_rows: u64| {
        let ifmaps = ifmap_rows.min(part.c);
        let ofmaps = (spare_rows / ifmap_rows * spare_columns).min(part.k);
        let groups = (spare_rows * spare_columns / (ifmaps * ofmaps)).clamp(1, part.groups);
        Mapping {
            fold_rows,
            fold_columns,
            replicated: [ifmaps, ofmaps, groups],
            set_pes: part.r.div_ceil(fold_rows) * part.p.div_ceil(fold_columns),
            counts: [part.c.div_ceil(ifmaps), part.k.div_ceil(ofmaps), part.n * fold_columns],
            group_rounds: part.groups.div_ceil(groups),
            pass_cycles: fold_rows * part.s * part.q,
        }
    };
    divisors(spare_rows).into_iter().map(of_split)
}
