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
        let mut counts = ArrayCounts::default();
        let mut executed = executed.into_iter();
        for group in 0..windows.div_ceil(self.lanes) {
            let lanes = self.lanes.min(windows - group * self.lanes);
            let (mut slowest, mut sum) = (0, 0);
            for macs in executed.by_ref().take(lanes).map(u64::from) {
                slowest = slowest.max(macs);
                sum += macs;
            }
            pes[group % sharers] += slowest;
            counts.executed += sum;
            counts.gated += slowest * lanes as u64 - sum;
            counts.weight_reads += slowest;
        }
        (pes, counts)
    }

    /// All kernels: columns of PEs take them in turn.
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
            for (sum, &cycles) in busy[kernel % columns].iter_mut().zip(pes) {
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

    #[test]
    fn a_finished_lane_waits_for_the_slowest() {
        let array = Array { pes: 64, pes_per_kernel: 8, lanes: 4, kernel_barrier: true };
        let (pes, counts) = array.kernel([3, 9, 5, 9], 4);
        assert_eq!((pes, counts.executed, counts.gated), (vec![9], 26, 10));
        // Ten windows: three groups on three PEs.
        let (pes, counts) = array.kernel([1, 1, 1, 2, 4, 4, 4, 4, 7, 1], 10);
        assert_eq!((pes, counts.weight_reads, counts.gated), (vec![2, 4, 7], 13, 3 + 6));
    }

    #[test]
    fn kernels_take_turns_and_may_wait() {
        let array = Array { pes: 2, pes_per_kernel: 2, lanes: 1, kernel_barrier: true };
        let kernels = [array.kernel([5, 1], 2), array.kernel([1, 5], 2)];
        assert_eq!(array.layer(&kernels, 2).cycles, 10);
        assert_eq!(Array { kernel_barrier: false, ..array }.layer(&kernels, 2).cycles, 6);
    }
}
