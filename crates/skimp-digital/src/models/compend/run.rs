//! The processing phase: slot counts of all windows and blocks.

use std::ops::Range;

use rayon::prelude::*;

use super::ends::EndPlanes;
use super::mapping::{Layout, Part};
use super::slots::{SlotCounts, WindowRun, run_division};

/// Windows that one task handles; their end planes are transposed to filter-contiguous order first.
const WINDOWS_PER_TASK: usize = 128;

/// Sums over the processing phase of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RunCounts {
    pub(super) slots: SlotCounts,
    /// Accesses to weight buffers: one per row of units that hold inputs.
    pub(super) wb_accesses: u64,
    pub(super) leaf_accesses: u64,
    /// Planes at roots, each times the divisions: the published count.
    pub(super) root_planes_by_division: u64,
    /// Planes that the layer has, padding filters included.
    pub(super) planes_dense: u64,
    /// Planes that the outputs use.
    pub(super) planes_useful: u64,
}

impl RunCounts {
    fn add(&mut self, part: &Part, pass: usize, pus_per_row: u64, slots: &SlotCounts) {
        let leaves = part.leaves[pass];
        let rows = (leaves * part.divisions as u64).div_ceil(pus_per_row);
        self.slots.add(slots);
        self.wb_accesses += rows * slots.wb_active;
        self.leaf_accesses += leaves * slots.leaf_planes;
        self.root_planes_by_division += part.divisions as u64 * slots.root_planes;
    }
}

/// Every output takes all planes, in every pass.
pub(super) fn run_all_planes(layout: &Layout, planes: u8, pus_per_row: u64) -> RunCounts {
    let mut counts = RunCounts::default();
    for part in &layout.parts {
        for block in part.blocks() {
            let ends = vec![planes; block.len()];
            let window = run_window(part, &ends, planes).times(part.windows);
            for pass in 0..part.leaves.len() {
                counts.add(part, pass, pus_per_row, &window);
            }
            let dense = block.len() as u64 * u64::from(planes) * part.windows * part.leaves.len() as u64;
            counts.planes_dense += dense;
            counts.planes_useful += dense;
        }
    }
    counts
}

/// Output `o` of filter `k` at window `x` takes `ends[k * windows + x]` planes; padding filters take all.
pub(super) fn run_with_ends(layout: &Layout, ends: &EndPlanes, planes: u8, pus_per_row: u64) -> RunCounts {
    let mut counts = RunCounts::default();
    for part in &layout.parts {
        for block in part.blocks() {
            let walk = (block.clone(), part.divisions, part.windows, planes);
            let (slots, useful) = ends.walked(walk, || run_block(part, block.clone(), ends.planes(), planes));
            counts.add(part, 0, pus_per_row, &slots);
            counts.planes_dense += block.len() as u64 * u64::from(planes) * part.windows;
            counts.planes_useful += useful;
        }
    }
    counts
}

fn run_block(part: &Part, block: Range<usize>, ends: &[u8], planes: u8) -> (SlotCounts, u64) {
    let windows = part.windows as usize;
    let filters = block.len();
    (0..windows.div_ceil(WINDOWS_PER_TASK))
        .into_par_iter()
        .map(|task| {
            let first = task * WINDOWS_PER_TASK;
            let here = WINDOWS_PER_TASK.min(windows - first);
            let mut by_window = vec![planes; here * filters];
            for (filter, channel) in block.clone().enumerate() {
                let start = channel * windows + first;
                // Padding filters lie beyond the last channel.
                let Some(column) = ends.get(start..start + here) else { break };
                for (window, &end) in column.iter().enumerate() {
                    by_window[window * filters + filter] = end;
                }
            }
            let useful = by_window.iter().map(|&end| u64::from(end)).sum::<u64>();
            let mut slots = SlotCounts::default();
            for window in by_window.chunks_exact(filters) {
                slots.add(&run_window(part, window, planes));
            }
            (slots, useful)
        })
        .reduce(
            || (SlotCounts::default(), 0),
            |(mut slots, useful), (more, more_useful)| {
                slots.add(&more);
                (slots, useful + more_useful)
            },
        )
}

fn run_window(part: &Part, ends: &[u8], planes: u8) -> SlotCounts {
    let mut window = WindowRun::default();
    let mut start = 0;
    for length in part.runs(ends.len()) {
        if let Some(run) = run_division(&ends[start..start + length], planes) {
            window.add_division(run);
        }
        start += length;
    }
    window.finish()
}
