//! Memory that vectors of 64 bytes do not straddle.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest vectors.
const LINE: usize = 64;

/// Elements of a cache line.
const LINE_ELEMENTS: usize = LINE / size_of::<f32>();

/// f32 memory that begins with a cache line, so that loads of 16 elements from multiples of 16 touch one line each.
///
/// A clone has the same elements, but begins anywhere.
#[derive(Clone, Debug, Default)]
pub struct AlignedVec {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl AlignedVec {
    /// So many zeros.
    pub fn zeros(len: usize) -> Self {
        if len == 0 {
            return Self::default();
        }
        let memory = vec![0.0; len + LINE_ELEMENTS - 1];
        let start = memory.as_ptr().align_offset(LINE).min(LINE_ELEMENTS - 1);
        Self { memory, start, len }
    }

    /// Makes sure of so many elements; if there were fewer, all are zero now.
    pub fn grow(&mut self, len: usize) {
        if self.len < len {
            *self = Self::zeros(len);
        }
    }
}

impl Deref for AlignedVec {
    type Target = [f32];

    #[inline]
    fn deref(&self) -> &[f32] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedVec {
    #[inline]
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_begins_with_a_line_and_grows() {
        for len in [1, 15, 16, 1000, 100_000] {
            let mut memory = AlignedVec::zeros(len);
            assert_eq!(memory.as_ptr() as usize % LINE, 0, "{len}");
            memory.fill(1.0);
            memory.grow(len);
            assert!(memory.len() == len && memory.iter().all(|&x| x > 0.0), "{len}");
            memory.grow(len + 1);
            assert!(memory.len() == len + 1 && memory.iter().all(|&x| x == 0.0), "{len}");
        }
        assert!(AlignedVec::default().is_empty() && AlignedVec::zeros(0).is_empty());
    }
}
