//! Row-stationary mapping of a convolution on the array of one vault.
//!
//! A logical set is `r` filter rows by `p` output rows; a processing element computes one row convolution. Sets are
//! folded if they are larger than the array and replicated over channels if they are smaller.
//!
//! # Source
//! Y.-H. Chen, J. Emer, V. Sze, "Eyeriss: A Spatial Architecture for Energy-Efficient Dataflow for Convolutional Neural
//! Networks", ISCA 2016; folding and replication as in the open model stanford-mast/nn_dataflow (version 2.1).
//! Differs: narrow groups (depthwise layers) share the array, as many as replication leaves room for.

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// The mappings on an array of `rows` by `columns`: all splits of spare rows between ifmaps and ofmaps.
#[must_use]
pub fn mappings(part: &Part, rows: u64, columns: u64) -> Vec<Mapping> {
    let fold_rows = part.r.div_ceil(rows);
    let mut spare_rows = if fold_rows > 1 { 1 } else { rows / part.r };
    let mut fold_columns = part.p.div_ceil(columns);
    let spare_columns = if fold_columns > 1 { 1 } else { columns / part.p };
    // Spare rows take folds of output rows first.
    let moved = spare_rows.min(fold_columns);
    fold_columns = fold_columns.div_ceil(moved);
    spare_rows /= moved;
    let set_pes = part.r.div_ceil(fold_rows) * part.p.div_ceil(fold_columns);
    let mut found: Vec<Mapping> = Vec::new();
    for ifmap_rows in divisors(spare_rows) {
        let ifmaps = ifmap_rows.min(part.c);
        let ofmaps = (spare_rows / ifmap_rows * spare_columns).min(part.k);
        let groups = (spare_rows * spare_columns / (ifmaps * ofmaps)).clamp(1, part.groups);
        let mapping = Mapping {
            fold_rows,
            fold_columns,
            replicated: [ifmaps, ofmaps, groups],
            set_pes,
            counts: [part.c.div_ceil(ifmaps), part.k.div_ceil(ofmaps), part.n * fold_columns],
            group_rounds: part.groups.div_ceil(groups),
            pass_cycles: fold_rows * part.s * part.q,
        };
        if !found.contains(&mapping) {
            found.push(mapping);
        }
    }
    found
}
