//! Arena memory: buffers whose lives do not overlap share space.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::{Buffer, BufferId, Step};
use crate::kernels::{LANES, Planes};

/// Elements to a cache line; every buffer starts on one.
const LINE: usize = 16;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// Cache-aligned working memory.
#[derive(Debug)]
pub(super) struct Arena {
    memory: Vec<f32>,
    /// Elements before the first cache line boundary.
    skip: usize,
}

impl Arena {
    /// Zeroed memory for `len` elements, `None` where the system has not as much.
    pub(super) fn new(len: usize) -> Option<Self> {
        let len = len.checked_add(LINE)?;
        // Asked for first, because a failing `vec!` ends the process.
        Vec::<f32>::new().try_reserve_exact(len).ok()?;
        let memory = vec![0.0; len];
        let skip = memory.as_ptr().align_offset(std::mem::align_of::<Line>());
        // `align_offset` may give up; alignment is for speed only.
        Some(Self { skip: if skip <= LINE { skip } else { 0 }, memory })
    }

    /// The elements, of which there are at least as many as were asked for.
    pub(super) fn elements(&mut self) -> &mut [f32] {
        &mut self.memory[self.skip..]
    }

    fn holds(&self, len: usize) -> bool {
        self.memory.len() >= len.saturating_add(LINE)
    }
}

/// Arenas not in use, for all plans of an executor: there are as many as threads ran at a time, and each is as large as
/// the largest plan that it served.
#[derive(Debug, Default)]
pub(crate) struct Arenas(Mutex<Vec<Arena>>);

impl Arenas {
    /// An arena of at least `len` elements, whatever these are; `None` where the system has not as much.
    pub(super) fn take(&self, len: usize) -> Option<Arena> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // One that is too small goes before a larger one comes.
        spare.filter(|arena| arena.holds(len)).or_else(|| Arena::new(len))
    }

    /// Takes an arena back.
    pub(super) fn give(&self, arena: Arena) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(arena);
    }
}

/// Whose memory a buffer uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// Its own.
    Own,
    /// That of another, younger buffer, from this block of channels on.
    Part {
        /// The other buffer.
        whole: BufferId,
        /// Its first block.
        block: usize,
    },
    /// All of that of an older buffer with memory of its own.
    Same(BufferId),
}

/// A buffer without a place in the arena.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft {
    pub(super) planes: Planes,
    pub(super) memory: Memory,
}

/// The element range of a buffer: whole cache lines, and room for one padded vector of channels.
pub(super) fn reserved(planes: &Planes) -> usize {
    planes.len().next_multiple_of(LANES).max(LANES)
}

/// Lets elementwise steps write where they read, where nothing reads that afterwards.
pub(super) fn share_in_place(drafts: &mut [Draft], steps: &[Step], kept: &[BufferId]) {
    let mut last_readers = vec![0; drafts.len()];
    for (idx, (read, written)) in steps.iter().map(Step::buffers).enumerate() {
        read.into_iter().for_each(|buffer| last_readers[buffer] = idx);
        debug_assert!(written.iter().all(|&buffer| buffer < drafts.len()), "buffers of this plan");
    }
    kept.iter().for_each(|&buffer| last_readers[buffer] = steps.len());
    // Of memory that others use, too, nothing is known here.
    let mut shared = vec![false; drafts.len()];
    for (buffer, draft) in drafts.iter().enumerate() {
        if let Memory::Part { whole, .. } | Memory::Same(whole) = draft.memory {
            (shared[buffer], shared[whole]) = (true, true);
        }
    }
    let mut roots: Vec<BufferId> = (0..drafts.len()).collect();
    for (idx, step) in steps.iter().enumerate() {
        let Step::Elementwise { x, operands, out, .. } = step else { continue };
        let alike = drafts[*x].planes == drafts[*out].planes;
        if alike && last_readers[*x] == idx && !shared[*x] && !shared[*out] && !operands.contains(x) {
            roots[*out] = roots[*x];
            drafts[*out].memory = Memory::Same(roots[*x]);
        }
    }
}

/// Places the buffers; returns them and the arena length, `None` if that is beyond what can be addressed.
///
/// A buffer lives from the step that writes it (inputs: from the start) to its last reader (`kept`: to the end), and
/// keeps the one alive whose memory it uses. In the order of their first use, the largest first, each gets the
/// smallest free range that holds it, the first one of several.
pub(super) fn place(
    drafts: &[Draft],
    steps: &[Step],
    inputs: &[BufferId],
    kept: &[BufferId],
) -> Option<(Vec<Buffer>, usize)> {
    // A whole is younger than its parts, and views are of buffers that are nobody's part.
    let mut roots: Vec<BufferId> = (0..drafts.len()).collect();
    for (buffer, draft) in drafts.iter().enumerate().rev() {
        roots[buffer] = match draft.memory {
            Memory::Own => buffer,
            Memory::Part { whole, .. } => roots[whole],
            Memory::Same(whole) => whole,
        };
    }
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; drafts.len()];
    let mut touch = |buffer: BufferId, time: usize| {
        let (first, last) = lives[roots[buffer]].unwrap_or((time, time));
        lives[roots[buffer]] = Some((first.min(time), last.max(time)));
    };
    inputs.iter().for_each(|&buffer| touch(buffer, 0));
    for (step_idx, step) in steps.iter().enumerate() {
        let (read, written) = step.buffers();
        read.into_iter().chain(written).for_each(|buffer| touch(buffer, step_idx + 1));
    }
    kept.iter().for_each(|&buffer| touch(buffer, steps.len() + 1));

    let (mut begins, mut ends) = (Vec::new(), Vec::new());
    for (buffer, life) in lives.iter().enumerate() {
        if let Some((first, last)) = *life {
            drafts[buffer].planes.checked_len()?.checked_next_multiple_of(LANES)?;
            begins.push((first, std::cmp::Reverse(reserved(&drafts[buffer].planes)), buffer));
            ends.push((last, buffer));
        }
    }
    begins.sort_unstable();
    ends.sort_unstable();
    let mut offsets = vec![0; drafts.len()];
    let mut free = FreeRanges::default();
    let mut ends = ends.into_iter().peekable();
    for (first, std::cmp::Reverse(len), buffer) in begins {
        while let Some((_, dead)) = ends.next_if(|&(last, _)| last < first) {
            free.give(offsets[dead], reserved(&drafts[dead].planes));
        }
        offsets[buffer] = free.take(len)?;
    }
    for (buffer, draft) in drafts.iter().enumerate().rev() {
        if let Memory::Part { whole, block } = draft.memory {
            offsets[buffer] = offsets[whole] + block * drafts[whole].planes.plane();
        }
    }
    let offset = |buffer: BufferId| match drafts[buffer].memory {
        Memory::Same(whole) => offsets[whole],
        Memory::Own | Memory::Part { .. } => offsets[buffer],
    };
    let buffers = drafts.iter().enumerate().map(|(idx, draft)| Buffer { planes: draft.planes, offset: offset(idx) });
    Some((buffers.collect(), free.end))
}

/// The free ranges below `end`; whatever is taken while none is large enough moves the end.
#[derive(Debug, Default)]
struct FreeRanges {
    /// Length by start, no two adjacent.
    by_start: BTreeMap<usize, usize>,
    /// (length, start).
    by_len: BTreeSet<(usize, usize)>,
    end: usize,
}

impl FreeRanges {
    fn remove(&mut self, start: usize) -> Option<usize> {
        let len = self.by_start.remove(&start)?;
        self.by_len.remove(&(len, start));
        Some(len)
    }

    fn insert(&mut self, start: usize, len: usize) {
        if len > 0 {
            self.by_start.insert(start, len);
            self.by_len.insert((len, start));
        }
    }

    /// The start of a range of `len` elements.
    fn take(&mut self, len: usize) -> Option<usize> {
        if let Some(&(found, start)) = self.by_len.range((len, 0)..).next() {
            self.remove(start);
            self.insert(start + len, found - len);
            return Some(start);
        }
        let last = self.by_start.last_key_value().map(|(&start, &found)| (start, found));
        let start = match last {
            Some((start, found)) if start + found == self.end => {
                self.remove(start);
                start
            }
            _ => self.end,
        };
        self.end = start.checked_add(len)?;
        Some(start)
    }

    /// Takes a range back.
    fn give(&mut self, start: usize, len: usize) {
        let (mut start, mut len) = (start, len);
        if let Some(next) = self.remove(start + len) {
            len += next;
        }
        let before = self.by_start.range(..start).next_back().map(|(&start, &found)| (start, found));
        if let Some((other, found)) = before
            && other + found == start
        {
            self.remove(other);
            (start, len) = (other, len + found);
        }
        self.insert(start, len);
    }
}

#[cfg(test)]
mod tests {
    use skimp_numerics::rng::{Draws, stream};

    use super::*;

    #[test]
    fn ranges_in_use_never_overlap() {
        let mut draws = Draws::new(1, stream("plan/memory"));
        let mut free = FreeRanges::default();
        let mut used: Vec<(usize, usize)> = Vec::new();
        for _ in 0..2000 {
            if used.len() < 20 && draws.chance(0.55) {
                let len = draws.between(1, 50);
                let start = free.take(len).expect("small");
                assert!(used.iter().all(|&(other, n)| start + len <= other || other + n <= start));
                assert!(start + len <= free.end);
                used.push((start, len));
            } else if !used.is_empty() {
                let (start, len) = used.swap_remove(draws.below(used.len()));
                free.give(start, len);
            }
        }
        used.drain(..).for_each(|(start, len)| free.give(start, len));
        assert_eq!(free.by_start.into_iter().collect::<Vec<_>>(), [(0, free.end)], "all is one range again");
        assert_eq!(free.by_len.into_iter().collect::<Vec<_>>(), [(free.end, 0)]);
    }

    fn chain(n_steps: usize, planes: Planes) -> (Vec<Draft>, Vec<Step>) {
        let steps = (0..n_steps).map(|i| Step::Convert { x: i, out: i + 1 }).collect();
        (vec![Draft { planes, memory: Memory::Own }; n_steps + 1], steps)
    }

    #[test]
    fn a_long_chain_takes_two_buffers() {
        let planes = Planes::plain(3, 5, 7);
        let (drafts, steps) = chain(100_000, planes);
        let (buffers, len) = place(&drafts, &steps, &[0], &[100_000]).expect("small");
        assert_eq!((buffers.len(), len), (100_001, 2 * reserved(&planes)));
    }

    #[test]
    fn elementwise_steps_write_in_place_where_they_may() {
        use crate::kernels::Isa;
        use crate::kernels::program::Program;
        let planes = Planes::plain(3, 5, 7);
        let program = Program { loads: Vec::new(), instructions: Vec::new(), output: 0 };
        let step =
            |x, operands, out| Step::Elementwise { program: program.clone(), isa: Isa::Portable, x, operands, out };
        let own = Draft { planes, memory: Memory::Own };
        let offsets = |mut drafts: Vec<Draft>, steps: &[Step], kept: &[BufferId]| {
            share_in_place(&mut drafts, steps, kept);
            let (buffers, len) = place(&drafts, steps, &[0], kept).expect("small");
            (buffers.iter().map(|buffer| buffer.offset).collect::<Vec<_>>(), len)
        };
        let one = reserved(&planes);
        // A chain takes one buffer.
        assert_eq!(offsets(vec![own; 4], &[step(0, vec![], 1), step(1, vec![], 2), step(2, vec![], 3)], &[3]).1, one);
        // What is read again, or is an output, or is an operand, too, stays.
        let (found, _) = offsets(vec![own; 4], &[step(0, vec![], 1), step(1, vec![], 2), step(2, vec![1], 3)], &[3]);
        assert_eq!((found[0], found[2]), (found[1], found[3]));
        assert_ne!(found[1], found[2]);
        let (found, _) = offsets(vec![own; 3], &[step(0, vec![], 1), step(1, vec![], 2)], &[1, 2]);
        assert_ne!(found[1], found[2]);
        let (found, _) = offsets(vec![own; 2], &[step(0, vec![0], 1)], &[1]);
        assert_ne!(found[0], found[1]);
        // What was read before is free, too.
        let (found, _) = offsets(vec![own; 3], &[step(0, vec![], 1), step(0, vec![], 2)], &[1, 2]);
        assert_eq!(found[0], found[2]);
        assert_ne!(found[0], found[1]);
        // Another layout is another place, and so is memory that others use.
        let wide = Draft { planes: Planes::plain(3, 5, 8), ..own };
        let (found, _) = offsets(vec![own, wide], &[step(0, vec![], 1)], &[1]);
        assert_ne!(found[0], found[1]);
        let view = Draft { memory: Memory::Same(0), ..own };
        let (found, _) = offsets(vec![own, view, own], &[step(0, vec![], 2), Step::Convert { x: 2, out: 1 }], &[1]);
        assert_ne!(found[0], found[2]);
    }

    #[test]
    fn sizes_beyond_the_address_space_are_noticed() {
        let (drafts, steps) = chain(1, Planes::plain(1 << 40, 1 << 20, 1 << 20));
        assert!(place(&drafts, &steps, &[0], &[1]).is_none());
    }

    #[test]
    fn parts_and_views_lie_in_their_wholes() {
        let own = |channels| Draft { planes: Planes::blocked(channels, 2, 3), memory: Memory::Own };
        let part = |block| Draft { memory: Memory::Part { whole: 2, block }, ..own(16) };
        let view = Draft { planes: Planes::plain(1, 1, 96), memory: Memory::Same(3) };
        let plain = Draft { planes: Planes::plain(16, 2, 3), memory: Memory::Own };
        let step = |x, out| Step::Convert { x, out };
        let steps = [step(3, 0), step(4, 1), step(2, 5)];
        let (buffers, _) =
            place(&[part(0), part(1), own(32), plain, view, own(32)], &steps, &[3], &[5]).expect("small");
        assert_eq!(buffers[0].offset, buffers[2].offset);
        assert_eq!(buffers[1].offset, buffers[2].offset + 96);
        assert_eq!(buffers[3].offset, buffers[4].offset);
    }
}
