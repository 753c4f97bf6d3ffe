//! From executed multiply-accumulates to cycles: lanes, PEs and kernels.

/// The array.
#[derive(Clone, Copy, Debug)]
pub(super) struct Array {
    /// Processing elements.
    pub(super) pes: usize,
    /// PEs that share a kernel where it has windows enough for them.
    pub(super) pes_per_kernel: usize,
    /// Lanes of a PE.
    pub(super) lanes: usize,
    /// Whether PEs that share a kernel wait for each other before the next one.
    pub(super) kernel_barrier: bool,
    /// Whether lanes of a PE share one stream of weights, so that they begin their windows together.
    pub(super) lane_barrier: bool,
    /// Which column of PEs takes the next kernel.
    pub(super) assignment: Assignment,
}

/// How kernels come to the columns of PEs that share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Assignment {
    /// In turn.
    Static,
    /// The column that is free first takes the next one.
    Dynamic,
}

/// Sums over the kernels of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ArrayCounts {
    /// Cycles of the slowest PE.
    pub(super) cycles: u64,
    /// Multiply-accumulates that took a lane's cycle.
    pub(super) executed: u64,
    /// Cycles of lanes that waited for a slower lane of their PE.
    pub(super) gated: u64,
    /// Weights (with their indices) that PEs read for their lanes.
    pub(super) weight_reads: u64,
}

impl Array {
    /// PEs that share a kernel of `windows` windows.
    #[must_use]
    pub(super) fn sharers(&self, windows: usize) -> usize {
        self.pes_per_kernel.min(windows.div_ceil(self.lanes)).max(1)
    }

    /// One kernel: cycles of each PE that shares it, and counts without cycles. Consecutive windows go to the lanes of a
    /// PE, groups of them to the PEs in turn.
    #[must_use]
    pub(super) fn kernel(&self, executed: impl IntoIterator<Item = u32>, windows: usize) -> (Vec<u64>, ArrayCounts) {
        let sharers = self.sharers(windows);
        let mut pes = vec![0; sharers];
        let mut lanes = vec![0; sharers * self.lanes];
        let mut counts = ArrayCounts::default();
        let mut executed = executed.into_iter();
        for group in 0..windows.div_ceil(self.lanes) {
            let busy = self.lanes.min(windows - group * self.lanes);
            let (mut slowest, mut sum) = (0, 0);
            for (lane, macs) in executed.by_ref().take(busy).map(u64::from).enumerate() {
                slowest = slowest.max(macs);
                sum += macs;
                lanes[group % sharers * self.lanes + lane] += macs;
            }
            counts.executed += sum;
            if self.lane_barrier {
                pes[group % sharers] += slowest;
                counts.gated += slowest * busy as u64 - sum;
                counts.weight_reads += slowest;
            } else {
                counts.weight_reads += sum;
            }
        }
        if !self.lane_barrier {
            let slowest = |lanes: &[u64]| lanes.iter().copied().max().unwrap_or(0);
            pes = lanes.chunks_exact(self.lanes).map(slowest).collect();
        }
        (pes, counts)
    }

    /// All kernels.
    #[must_use]
    pub(super) fn layer(&self, kernels: &[(Vec<u64>, ArrayCounts)], windows: usize) -> ArrayCounts {
        let columns = (self.pes / self.sharers(windows)).max(1);
        let mut busy = vec![vec![0; self.sharers(windows)]; columns];
        let mut counts = ArrayCounts::default();
        for (kernel, (pes, of_kernel)) in kernels.iter().enumerate() {
            counts.executed += of_kernel.executed;
            counts.gated += of_kernel.gated;
            counts.weight_reads += of_kernel.weight_reads;
            let slowest = pes.iter().copied().max().unwrap_or(0);
            let column = match self.assignment {
                Assignment::Static => kernel % columns,
                Assignment::Dynamic => {
                    (0..columns).min_by_key(|&column| (busy[column].iter().max(), column)).unwrap_or(0)
                }
            };
            for (sum, &cycles) in busy[column].iter_mut().zip(pes) {
                *sum += if self.kernel_barrier { slowest } else { cycles };
            }
        }
        counts.cycles = busy.iter().flatten().copied().max().unwrap_or(0);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRAY: Array = Array {
        pes: 64,
        pes_per_kernel: 8,
        lanes: 4,
        kernel_barrier: true,
        lane_barrier: true,
        assignment: Assignment::Static,
    };

    #[test]
    fn lanes_may_run_ahead() {
        let array = Array { pes: 1, pes_per_kernel: 1, lanes: 2, lane_barrier: false, ..ARRAY };
        // Two groups on one PE: lanes take 1 + 5 and 4 + 2; one weight read for each product.
        let (pes, counts) = array.kernel([1, 4, 5, 2], 4);
        assert_eq!((pes, counts.gated, counts.weight_reads), (vec![6], 0, 12));
        assert_eq!(Array { lane_barrier: true, ..array }.kernel([1, 4, 5, 2], 4).0, [9]);
    }

    #[test]
    fn a_free_column_may_take_the_next_kernel() {
        let array = Array { pes: 2, pes_per_kernel: 1, lanes: 1, ..ARRAY };
        let kernels: Vec<_> = [9, 1, 2, 3].into_iter().map(|macs| array.kernel([macs], 1)).collect();
        assert_eq!(array.layer(&kernels, 1).cycles, 11);
        assert_eq!(Array { assignment: Assignment::Dynamic, ..array }.layer(&kernels, 1).cycles, 9);
    }

    #[test]
    fn a_finished_lane_waits_for_the_slowest() {
        let array = Array { pes: 64, pes_per_kernel: 8, lanes: 4, ..ARRAY };
        let (pes, counts) = array.kernel([3, 9, 5, 9], 4);
        assert_eq!((pes, counts.executed, counts.gated), (vec![9], 26, 10));
        // Ten windows: three groups on three PEs.
        let (pes, counts) = array.kernel([1, 1, 1, 2, 4, 4, 4, 4, 7, 1], 10);
        assert_eq!((pes, counts.weight_reads, counts.gated), (vec![2, 4, 7], 13, 3 + 6));
    }

    #[test]
    fn kernels_take_turns_and_may_wait() {
        let array = Array { pes: 2, pes_per_kernel: 2, lanes: 1, ..ARRAY };
        let kernels = [array.kernel([5, 1], 2), array.kernel([1, 5], 2)];
        assert_eq!(array.layer(&kernels, 2).cycles, 10);
        assert_eq!(Array { kernel_barrier: false, ..array }.layer(&kernels, 2).cycles, 6);
    }
}
