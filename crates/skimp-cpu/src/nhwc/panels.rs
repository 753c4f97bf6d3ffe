//! Weights in the order that the register tiles read them.

#![allow(unsafe_code, reason = "vector instructions")]

use rayon::prelude::*;

use super::arith::{self, Arith, Arithmetic, LANES, Task};
use super::conv::taps;
use super::pack::{pair_lanes, transpose_words, vectors};
use super::shape::ConvShape;
use crate::kernels::Isa;

/// Panels of weights: for each group, `per_panel` vectors of lanes (the last panel fewer) for each depth index; lanes
/// that do not exist are zeros.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panels<'a> {
    pub(super) isa: Isa,
    pub(super) arithmetic: Arithmetic,
    pub(super) shape: &'a ConvShape,
    pub(super) weight: &'a [f32],
    pub(super) product: Product,
    /// Words of a lane.
    pub(super) depth: usize,
    pub(super) per_panel: usize,
}

/// What the weights are read for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Product {
    /// Lanes are output channels, depth runs over the taps, then input channels.
    Forward,
    /// Lanes are input channels, depth runs over the taps in the order of their output pixels, then output channels.
    InputGrad {
        /// Input rows and columns within the strides.
        phase: [usize; 2],
    },
}

impl Panels<'_> {
    /// Lanes of a group.
    fn lanes(&self) -> usize {
        match self.product {
            Product::Forward => self.shape.group_k(),
            Product::InputGrad { .. } => self.shape.group_c(),
        }
    }

    /// Words of all panels of a group.
    fn group_words(&self) -> usize {
        vectors(self.lanes()) * LANES * self.depth
    }

    /// Words of all panels of all groups.
    pub(super) fn words(&self) -> usize {
        self.shape.groups * self.group_words()
    }

    /// Words of a group's first panel, which no panel exceeds.
    pub(super) fn panel_words(&self) -> usize {
        self.per_panel.min(vectors(self.lanes())) * LANES * self.depth
    }

    /// The panel of a group that begins with the lane `first`, to be filled by running it as a task.
    pub(super) fn panel<'a>(&'a self, group: usize, first: usize, to: &'a mut [f32]) -> Panel<'a> {
        let n_lanes = (to.len() / self.depth).min(self.lanes() - first);
        Panel { panels: self, group, first, n_lanes, to }
    }

    /// Fills all panels of all groups.
    pub(super) fn fill(&self, packed: &mut [f32]) {
        let group_words = self.group_words();
        if group_words == 0 {
            return;
        }
        packed.par_chunks_exact_mut(group_words).enumerate().take(self.shape.groups).for_each(|(group, packed)| {
            packed.par_chunks_mut(self.panel_words()).enumerate().for_each(|(idx, to)| {
                let first = idx * self.per_panel * LANES;
                arith::run(self.isa, self.arithmetic, self.panel(group, first, to));
            });
        });
    }
}

/// One panel.
pub(super) struct Panel<'a> {
    panels: &'a Panels<'a>,
    group: usize,
    /// First lane.
    first: usize,
    /// Lanes that exist.
    n_lanes: usize,
    to: &'a mut [f32],
}

impl Task for Panel<'_> {
    #[inline(always)]
    unsafe fn run<A: Arith>(self, _: A) {
        // SAFETY: the features are the caller's.
        unsafe {
            match self.panels.product {
                Product::Forward => self.forward::<A>(),
                Product::InputGrad { phase } => self.input_grad::<A>(phase),
            }
        }
    }
}

impl Panel<'_> {
    /// # Safety
    /// The processor features of `A`.
    #[inline(always)]
    unsafe fn forward<A: Arith>(self) {
        let Panels { shape, weight, depth, .. } = *self.panels;
        let (k, cg) = (shape.k, shape.group_c());
        let width = self.to.len() / depth;
        let run = if A::PAIRS { cg.div_ceil(2) } else { cg };
        for (row, to) in self.to.chunks_exact_mut(width).enumerate() {
            let (to, rest) = to.split_at_mut(self.n_lanes);
            rest.fill(0.0);
            let channel = |c: usize| {
                &weight[(row / run * cg + c) * k + self.group * shape.group_k() + self.first..][..self.n_lanes]
            };
            if A::PAIRS {
                let c = row % run * 2;
                let odd = if c + 1 < cg { Some(channel(c + 1)) } else { None };
                // SAFETY: the caller's contract.
                unsafe { pair_lanes::<A>(channel(c), odd, to) };
            } else {
                to.copy_from_slice(channel(row % run));
            }
        }
    }

    /// # Safety
    /// The processor features of `A`.
    #[inline(always)]
    unsafe fn input_grad<A: Arith>(self, phase: [usize; 2]) {
        let Panels { shape, weight, depth, .. } = *self.panels;
        let (k, cg, kg) = (shape.k, shape.group_c(), shape.group_k());
        let width = self.to.len() / depth;
        let per_word = if A::PAIRS { 2 } else { 1 };
        let run = kg.div_ceil(per_word);
        for (tap, block) in taps(shape, phase).zip(self.to.chunks_exact_mut(width * run)) {
            for (part, rows) in block.chunks_mut(width * LANES).enumerate() {
                let n_rows = rows.len() / width;
                let (start, end) = (part * LANES * per_word, kg.min((part + 1) * LANES * per_word));
                for lane in (0..width).step_by(LANES) {
                    let lanes = lane.min(self.n_lanes)..self.n_lanes.min(lane + LANES);
                    let columns =
                        lanes.map(|lane| &weight[(tap * cg + self.first + lane) * k + self.group * kg..][start..end]);
                    // SAFETY: the caller's contract; rows have whole vectors.
                    unsafe { transpose_words::<A>(columns, n_rows, &mut rows[lane..], width) };
                }
            }
        }
    }
}
