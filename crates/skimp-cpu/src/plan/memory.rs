//! Arena memory: buffers whose lives do not overlap share space.

use std::collections::BTreeMap;

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
    /// Zeroed memory for `len` elements.
    pub(super) fn new(len: usize) -> Self {
        let memory = vec![0.0; len + LINE];
        let skip = memory.as_ptr().align_offset(std::mem::align_of::<Line>());
        // `align_offset` may give up; alignment is for speed only.
        Self { skip: if skip <= LINE { skip } else { 0 }, memory }
    }

    /// The elements.
    pub(super) fn elements(&mut self) -> &mut [f32] {
        &mut self.memory[self.skip..]
    }
}

/// The element range of a buffer: whole cache lines, and room for one padded vector of channels.
pub(super) fn reserved(planes: &Planes) -> usize {
    planes.len().next_multiple_of(LANES).max(LANES)
}

/// Places the buffers; returns them and the arena length.
///
/// A buffer lives from the step that writes it (inputs: from the start) to its last reader (`kept`: to the end). The
/// largest are placed first, each at the lowest place that no buffer alive at the same time holds. A
/// buffer in `views` lies inside another one, from the given block on, and keeps that one alive.
pub(super) fn place(
    planes: &[Planes],
    views: &BTreeMap<BufferId, (BufferId, usize)>,
    steps: &[Step],
    inputs: &[BufferId],
    kept: &[BufferId],
) -> (Vec<Buffer>, usize) {
    let mut lives: Vec<(usize, usize)> = vec![(usize::MAX, 0); planes.len()];
    let mut touch = |mut buffer: BufferId, time: usize| {
        while let Some(&(whole, _)) = views.get(&buffer) {
            buffer = whole;
        }
        lives[buffer] = (lives[buffer].0.min(time), lives[buffer].1.max(time));
    };
    inputs.iter().for_each(|&buffer| touch(buffer, 0));
    for (step_idx, step) in steps.iter().enumerate() {
        let (read, written) = step.buffers();
        read.into_iter().chain(written).for_each(|buffer| touch(buffer, step_idx + 1));
    }
    kept.iter().for_each(|&buffer| touch(buffer, steps.len() + 1));

    let mut order: Vec<BufferId> = (0..planes.len()).filter(|buffer| !views.contains_key(buffer)).collect();
    order.sort_by_key(|&buffer| (std::cmp::Reverse(reserved(&planes[buffer])), buffer));
    let mut offsets = vec![0; planes.len()];
    let mut placed: Vec<BufferId> = Vec::new();
    let mut arena_len = 0;
    for buffer in order {
        let (first, last) = lives[buffer];
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&other| lives[other].0 <= last && first <= lives[other].1)
            .map(|&other| (offsets[other], offsets[other] + reserved(&planes[other])))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if offset + reserved(&planes[buffer]) <= start {
                break;
            }
            offset = offset.max(end);
        }
        offsets[buffer] = offset;
        arena_len = arena_len.max(offset + reserved(&planes[buffer]));
        placed.push(buffer);
    }
    // A whole is younger than its parts.
    for (&part, &(whole, block)) in views.iter().rev() {
        offsets[part] = offsets[whole] + block * planes[whole].plane();
    }
    let buffers = planes.iter().zip(offsets).map(|(&planes, offset)| Buffer { planes, offset }).collect();
    (buffers, arena_len)
}
