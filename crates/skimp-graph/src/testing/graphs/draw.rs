//! One random node of each kind.

use skimp_numerics::rng::Draws;

use super::{Generator, Source};
use crate::ops::{BatchNormalization, Clip, Conv, Definition as _, ENTRIES, Reshape, Transpose};
use crate::{AutoPad, Op, Window};

impl Generator {
    /// Draws a node, or a few that belong together; returns how many there are.
    pub(super) fn draw_node(&mut self) -> usize {
        let x = self.pick();
        if self.draws.chance(0.12) {
            return self.conv_chain(x);
        }
        if self.draws.chance(0.05) {
            return self.shuffle(x);
        }
        let entry = &ENTRIES[self.draws.below(ENTRIES.len())];
        usize::from((entry.draw)(self, x).is_some())
    }

    /// A value, the newest ones more often.
    fn pick(&mut self) -> usize {
        let n = self.known.len();
        if self.draws.chance(0.7) { n - 1 - self.draws.below(n.min(2)) } else { self.draws.below(n) }
    }

    pub(crate) fn shape(&self, x: usize) -> Vec<usize> {
        self.known[x].tensor.shape().to_vec()
    }

    /// An axis of `rank`, from either end.
    pub(crate) fn axis(&mut self, rank: usize) -> Option<i64> {
        (rank > 0).then(|| self.draws.below(2 * rank) as i64 - rank as i64)
    }

    /// Some of the axes.
    pub(crate) fn axes(&mut self, rank: usize, share: f64) -> Vec<i64> {
        (0..rank as i64).filter(|_| self.draws.chance(share)).collect()
    }

    pub(crate) fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut permutation: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            permutation.swap(i, self.draws.below(i + 1));
        }
        permutation
    }

    /// A shape that broadcasts with `shape`; `wider` ones may have extents where `shape` has 1, or more axes.
    pub(crate) fn broadcastable(&mut self, shape: &[usize], wider: bool) -> Vec<usize> {
        let rank = shape.len();
        if rank > 1 && self.draws.chance(0.3) {
            // One parameter for each channel.
            let mut per_channel = vec![1; rank - 1];
            per_channel[0] = shape[1];
            return per_channel;
        }
        let mut other: Vec<usize> = shape.iter().map(|&n| if self.draws.chance(0.5) { n } else { 1 }).collect();
        other.drain(..self.draws.below(rank + 1));
        if wider && self.draws.chance(0.15) {
            other.iter_mut().filter(|n| **n == 1).for_each(|n| *n = self.draws.between(1, 3));
        }
        if wider && other.len() == rank && self.draws.chance(0.15) {
            other.insert(0, self.draws.between(1, 2));
        }
        other
    }

    pub(crate) fn window(&mut self, shape: &[usize], is_pool: bool) -> Option<Window> {
        let spatial = shape.get(2..).filter(|extents| !extents.is_empty())?;
        let same_kernel = self.draws.between(1, 3);
        let n = spatial.len();
        let kernel: Vec<usize> =
            (0..n).map(|_| if self.draws.chance(0.6) { same_kernel } else { self.draws.between(1, 4) }).collect();
        let some = |low: usize, draws: &mut Draws| -> Vec<usize> {
            (0..n).map(|_| if draws.chance(0.7) { low } else { low + 1 }).collect()
        };
        let auto_pad = match self.draws.below(10) {
            0 => AutoPad::SameUpper,
            1 => AutoPad::SameLower,
            2 => AutoPad::Valid,
            _ => AutoPad::NotSet,
        };
        let pads = |draws: &mut Draws| -> Vec<usize> {
            let pad = |&k: &usize| if draws.chance(0.5) { k / 2 } else { draws.between(0, k - 1) };
            if auto_pad == AutoPad::NotSet { kernel.iter().map(pad).collect() } else { vec![0; n] }
        };
        let (pads_begin, pads_end) = (pads(&mut self.draws), pads(&mut self.draws));
        let is_same = matches!(auto_pad, AutoPad::SameUpper | AutoPad::SameLower);
        let dilations = if is_same { vec![1; n] } else { some(1, &mut self.draws) };
        let strides = some(1, &mut self.draws);
        let ceil_mode = is_pool && self.draws.chance(0.4);
        Some(Window { kernel, strides, dilations, pads_begin, pads_end, auto_pad, ceil_mode })
    }

    /// A convolution with what engines fuse into it.
    fn conv_chain(&mut self, x: usize) -> usize {
        let Some(made) = Conv::draw(self, x) else { return 0 };
        let mut y = made[0];
        let mut n = 1;
        if self.draws.chance(0.5)
            && let Some(made) = BatchNormalization::draw(self, y)
        {
            (y, n) = (made[0], n + 1);
        }
        if self.draws.chance(0.5) {
            let shape = self.shape(y);
            let others: Vec<usize> =
                (0..self.known.len()).filter(|&other| self.known[other].tensor.shape() == shape).collect();
            let other = others[self.draws.below(others.len())];
            let operands = if self.draws.chance(0.5) { [y, other] } else { [other, y] };
            if let Some(made) = self.try_node(Op::Add, operands.map(Source::Known).into()) {
                (y, n) = (made[0], n + 1);
            }
        }
        if self.draws.chance(0.6) {
            let op = if self.draws.chance(0.7) { Op::Relu } else { Op::Clip(Clip { min: Some(-1.0), max: Some(6.0) }) };
            n += usize::from(self.try_node(op, vec![Source::Known(y)]).is_some());
        }
        n
    }

    /// A channel shuffle: Reshape, Transpose, Reshape.
    fn shuffle(&mut self, x: usize) -> usize {
        let shape = self.shape(x);
        let &[_, channels, ref spatial @ ..] = shape.as_slice() else { return 0 };
        let groups = if channels.is_multiple_of(2) { 2 } else { channels };
        let spatial: Vec<i64> = spatial.iter().map(|&n| n as i64).collect();
        let batch = if self.draws.chance(0.5) { -1 } else { shape[0] as i64 };
        let split = [&[batch, groups as i64, (channels / groups) as i64][..], &spatial].concat();
        let merged = [&[batch, channels as i64][..], &spatial].concat();
        let mut perm: Vec<usize> = (0..split.len()).collect();
        perm.swap(1, 2);
        let ops = [
            Op::Reshape(Reshape { shape: split, allow_zero: false }),
            Op::Transpose(Transpose { perm }),
            Op::Reshape(Reshape { shape: merged, allow_zero: false }),
        ];
        let (mut y, mut n) = (x, 0);
        for op in ops {
            let Some(made) = self.try_node(op, vec![Source::Known(y)]) else { break };
            (y, n) = (made[0], n + 1);
        }
        n
    }
}
