//! Scratch memory that kernels share from call to call.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::aligned::AlignedVec;
use super::gather::{Phase, Segment};
use crate::kernels::Isa;

/// Scratch memory for the kernels: grows to what the largest call needs, then stays.
///
/// One workspace serves any sequence of calls, of any shapes, from one caller at a time. It holds nothing that a later
/// call reads, so results never depend on what ran before.
#[derive(Debug)]
pub struct Workspace {
    pub(super) isa: Isa,
    /// Weights in panels.
    pub(super) packed: AlignedVec,
    /// Biases, padded to whole vectors.
    pub(super) bias: AlignedVec,
    pub(super) segments: Vec<Segment>,
    pub(super) phases: Vec<Phase>,
    /// Weight gradients of the batch slices.
    pub(super) partial: AlignedVec,
    /// Sums of the batch norm's blocks.
    pub(super) sums: Vec<f64>,
    pub(super) scratch: ThreadScratch,
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        Self::with_isa(Isa::detect())
    }

    /// A workspace whose kernels use these instructions only.
    pub(crate) fn with_isa(isa: Isa) -> Self {
        Self {
            isa,
            packed: AlignedVec::default(),
            bias: AlignedVec::default(),
            segments: Vec::new(),
            phases: Vec::new(),
            partial: AlignedVec::default(),
            sums: Vec::new(),
            scratch: ThreadScratch::default(),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let elements = self.packed.len() + self.bias.len() + self.partial.len();
        let slots: usize = self.scratch.slots.iter().map(|slot| lock(slot).len()).sum();
        (elements + slots) * size_of::<f32>() + self.sums.capacity() * size_of::<f64>()
    }
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}

/// One buffer for each thread of the current pool.
#[derive(Debug, Default)]
pub(super) struct ThreadScratch {
    slots: Vec<Mutex<AlignedVec>>,
}

impl ThreadScratch {
    /// Makes a buffer for every thread that may ask for one.
    pub(super) fn prepare(&mut self) {
        let n_threads = rayon::current_num_threads();
        if self.slots.len() < n_threads {
            self.slots.resize_with(n_threads, Mutex::default);
        }
    }

    /// The buffer of the calling thread.
    pub(super) fn get(&self) -> MutexGuard<'_, AlignedVec> {
        lock(&self.slots[rayon::current_thread_index().unwrap_or(0) % self.slots.len()])
    }
}

fn lock(slot: &Mutex<AlignedVec>) -> MutexGuard<'_, AlignedVec> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first `len` elements, after growing the buffer if it must; they hold anything.
pub(super) fn grown(buffer: &mut AlignedVec, len: usize) -> &mut [f32] {
    buffer.grow(len);
    &mut buffer[..len]
}
