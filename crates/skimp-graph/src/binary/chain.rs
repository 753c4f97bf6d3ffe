//! From the sums of a layer to the bits behind them, as integer thresholds.
//!
//! Between a layer and its activation stand a bias, a batch norm, factors, clamps, a pool: functions of one number for each channel that
//! never turn back. The threshold of a filter is found by bisection over its integer sums, with the operators' own
//! reference, so that rounding is that of the float network.

use super::find::{Found, Mac, moves};
use super::{BinaryLayout, BitPadding, BitPool, Step, Threshold};
use crate::reference::evaluate;
use crate::shape::Shapes;
use crate::{Graph, Node, Op, Tensor, ValueId, Window};

/// What stands between a layer and its activation.
#[derive(Debug)]
pub(super) struct Chain {
    /// The node of the layer.
    pub(super) mac_idx: usize,
    /// From the layer on.
    links: Vec<Link>,
}

#[derive(Clone, Copy, Debug)]
enum Link {
    /// A function of each number: its node, and which input is computed.
    Function { node_idx: usize, input: usize },
    /// A pool.
    Pool(usize),
    /// A move after which each channel still is one channel (`true`), or not.
    Move(usize, bool),
}

/// An operator on the bits behind a layer.
#[derive(Debug)]
pub(super) enum Behind {
    Pool(Window, BitPool),
    Move(Op),
}

/// A layer whose sums become bits.
#[derive(Debug)]
pub(super) struct Folded {
    pub(super) mac_idx: usize,
    pub(super) thresholds: Vec<Threshold>,
    /// The nodes that follow on bits.
    pub(super) behind: Vec<(usize, Behind)>,
}

/// The chain that ends in `value`, if there is one.
pub(super) fn behind_layer(
    graph: &Graph,
    shapes: &Shapes,
    producers: &[Option<usize>],
    found: &Found,
    value: ValueId,
) -> Option<Chain> {
    let (mut links, mut value) = (Vec::new(), value);
    loop {
        let node_idx = producers[value.0]?;
        if let Some(mac) = &found.macs[node_idx] {
            mac.as_ref().ok()?;
            links.reverse();
            return Some(Chain { mac_idx: node_idx, links });
        }
        let node = &graph.nodes()[node_idx];
        let mut computed = node.inputs.iter().enumerate().filter_map(|(idx, id)| {
            let id = (*id)?;
            graph.constant(id).is_none().then_some((idx, id))
        });
        let (Some((input, source)), None) = (computed.next(), computed.next()) else { return None };
        let (before, after) = (shapes.shape(source), shapes.shape(value));
        let link = match &node.op {
            Op::MaxPool(_) if after.len() == 4 => Link::Pool(node_idx),
            op if moves(op) => {
                let is_one = |shape: &[usize]| shape.len() >= 2 && shape[2..].iter().all(|&extent| extent == 1);
                let stays = is_one(before) && is_one(after) && before[..2] == after[..2];
                Link::Move(node_idx, stays)
            }
            op if before == after && is_monotone(op, input) => Link::Function { node_idx, input },
            _ => return None,
        };
        links.push(link);
        value = source;
    }
}

/// Whether the operator never turns back as its only computed input grows, whatever its other operands are.
fn is_monotone(op: &Op, input: usize) -> bool {
    match op {
        Op::Add | Op::Sub | Op::Mul | Op::Min | Op::Max => true,
        Op::BatchNormalization(_) | Op::Div => input == 0,
        Op::LeakyRelu(leaky) => leaky.alpha >= 0.0,
        Op::Relu | Op::Clip(_) | Op::Tanh | Op::Sigmoid | Op::Neg => true,
        Op::HardSigmoid(hard) => hard.alpha >= 0.0,
        _ => false,
    }
}

impl Chain {
    /// Thresholds and what follows on bits; nothing where the chain cannot be computed channel by channel.
    pub(super) fn folded(&self, graph: &Graph, mac: &Mac, step: Step) -> Option<Folded> {
        let run = Run { graph, mac, links: &self.links, step };
        let thresholds = run.thresholds()?.into_iter().collect::<Option<_>>()?;
        let behind = run.behind()?;
        Some(Folded { mac_idx: self.mac_idx, thresholds, behind })
    }

    /// Whether a sum may fall on the threshold, where the step has a third value.
    pub(super) fn has_third_value(&self, graph: &Graph, mac: &Mac, step: Step) -> bool {
        let run = Run { graph, mac, links: &self.links, step };
        step.at.is_none() && run.thresholds().is_some_and(|thresholds| thresholds.contains(&None))
    }
}

struct Run<'a> {
    graph: &'a Graph,
    mac: &'a Mac,
    links: &'a [Link],
    step: Step,
}

impl Run<'_> {
    fn n_filters(&self) -> usize {
        self.mac.weight_shape[0]
    }

    /// What the layer gives for a sum of each filter.
    fn reals(&self, sums: &[i32]) -> Tensor {
        let (bias, scales) = (&self.mac.bias, &self.mac.scales);
        let data = sums.iter().enumerate().map(|(k, &sum)| (bias[k] + scales[k] * f64::from(sum)) as f32).collect();
        let shape = match self.mac.layout {
            BinaryLayout::Planes => vec![1, self.n_filters(), 1, 1],
            BinaryLayout::Rows => vec![1, self.n_filters()],
        };
        Tensor::from_f32(shape, data)
    }

    /// `x` behind `links`; pools hand on what they are given.
    fn through(&self, links: &[Link], mut x: Tensor) -> Option<Tensor> {
        let mut is_scattered = false;
        for link in links {
            match *link {
                Link::Pool(_) => {}
                Link::Move(_, false) => is_scattered = true,
                Link::Move(node_idx, true) => {
                    // The extents beside the channels are 1; how many they are may change.
                    let output = evaluate(&self.node(node_idx).op, "", &[Some(&x)]).ok()?.into_iter().next()?;
                    x = output;
                }
                Link::Function { node_idx, input } => {
                    let node = self.node(node_idx);
                    let others = node.inputs.iter().enumerate().map(|(idx, id)| match id {
                        _ if idx == input => Some(Some(&x)),
                        None => Some(None),
                        // Behind a move that mixes channels only what is the same for all of them can be told apart.
                        Some(id) => {
                            let constant = self.graph.constant(*id)?;
                            (!is_scattered || constant.len() == 1).then_some(Some(constant))
                        }
                    });
                    let operands: Vec<Option<&Tensor>> = others.collect::<Option<_>>()?;
                    let output = evaluate(&node.op, &node.name, &operands).ok()?.into_iter().next()?;
                    if output.shape() != x.shape() {
                        return None;
                    }
                    x = output;
                }
            }
        }
        Some(x)
    }

    fn node(&self, idx: usize) -> &Node {
        &self.graph.nodes()[idx]
    }

    /// For each filter, the number in front of the step and the bit behind it, where a number on the threshold counts as
    /// above it if it is a third value. Nothing where a number is none.
    fn bits(&self, x: &Tensor) -> Option<Vec<(f32, bool)>> {
        let bit = |x: f32| {
            let is_above = x > self.step.threshold;
            let is_at = !is_above && x >= self.step.threshold;
            if is_at { self.step.at.unwrap_or(!self.step.below) } else { is_above != self.step.below }
        };
        let data = x.as_f32()?;
        (!data.iter().any(|x| x.is_nan())).then(|| data.iter().map(|&x| (x, bit(x))).collect())
    }

    fn at(&self, sums: &[i32]) -> Option<Vec<(f32, bool)>> {
        self.bits(&self.through(self.links, self.reals(sums))?)
    }

    /// For each filter its threshold, `None` where a sum may give a third value; nothing where the chain cannot be computed.
    fn thresholds(&self) -> Option<Vec<Option<Threshold>>> {
        let fan_in = i32::try_from(self.mac.weight_shape[1..].iter().product::<usize>()).ok()?;
        // Sums of signs are as odd as their number is, unless zeros are among them.
        let has_zeros = self.mac.padding == BitPadding::Zero && has_pads(&self.mac.window);
        let stride = if self.mac.alphabet.is_signed && !has_zeros { 2 } else { 1 };
        let n = self.n_filters();
        let (mut low, mut high) = (vec![-fan_in; n], vec![fan_in; n]);
        let (mut at_low, mut at_high) = (self.at(&low)?, self.at(&high)?);
        loop {
            let middle: Vec<i32> = (0..n).map(|k| low[k] + (high[k] - low[k]) / stride / 2 * stride).collect();
            let open: Vec<usize> = (0..n).filter(|&k| at_low[k].1 != at_high[k].1 && middle[k] != low[k]).collect();
            if open.is_empty() {
                break;
            }
            let found = self.at(&middle)?;
            for k in open {
                if found[k].1 == at_low[k].1 {
                    (low[k], at_low[k]) = (middle[k], found[k]);
                } else {
                    (high[k], at_high[k]) = (middle[k], found[k]);
                }
            }
        }
        let is_third = |x: f32| self.step.at.is_none() && x >= self.step.threshold && x <= self.step.threshold;
        let threshold = |k: usize| {
            let ((x_low, bit_low), (x_high, bit_high)) = (at_low[k], at_high[k]);
            if is_third(x_low) || is_third(x_high) {
                return None;
            }
            Some(match (bit_low, bit_high) {
                (false, true) => Threshold::AtLeast(high[k]),
                (true, false) => Threshold::AtMost(low[k]),
                (true, true) => Threshold::ALWAYS,
                (false, false) => Threshold::NEVER,
            })
        };
        Some((0..n).map(threshold).collect())
    }

    fn behind(&self) -> Option<Vec<(usize, Behind)>> {
        let fan_in = i32::try_from(self.mac.weight_shape[1..].iter().product::<usize>()).ok()?;
        let n = self.n_filters();
        let mut behind = Vec::new();
        for (idx, link) in self.links.iter().enumerate() {
            match *link {
                Link::Function { .. } => {}
                Link::Move(node_idx, _) => behind.push((node_idx, Behind::Move(self.node(node_idx).op.clone()))),
                Link::Pool(node_idx) => {
                    if self.links[..idx].iter().any(|link| matches!(link, Link::Move(_, false))) {
                        return None;
                    }
                    let Op::MaxPool(pool) = &self.node(node_idx).op else { return None };
                    // Which way the rest of the chain goes, between the least and the greatest number that the pool may see.
                    let ends = [-fan_in, fan_in].map(|sum| self.through(&self.links[..idx], self.reals(&vec![sum; n])));
                    let [Some(a), Some(b)] = ends else { return None };
                    let (a_data, b_data) = (a.as_f32()?, b.as_f32()?);
                    let pick = |pick: fn(f32, f32) -> f32| {
                        let data = a_data.iter().zip(b_data).map(|(&a, &b)| pick(a, b)).collect();
                        self.bits(&self.through(&self.links[idx + 1..], Tensor::from_f32(a.shape().to_vec(), data))?)
                    };
                    let (least, greatest) = (pick(f32::min)?, pick(f32::max)?);
                    let each: Vec<bool> =
                        least.iter().zip(&greatest).map(|(least, greatest)| !least.1 || greatest.1).collect();
                    let pool_bits = if each.iter().all(|&is_any| is_any) { BitPool::Any } else { BitPool::Each(each) };
                    behind.push((node_idx, Behind::Pool(pool.window.clone(), pool_bits)));
                }
            }
        }
        Some(behind)
    }
}

/// Whether a window may read outside of its input.
fn has_pads(window: &Window) -> bool {
    window.auto_pad != crate::AutoPad::NotSet || window.pads_begin.iter().chain(&window.pads_end).any(|&pad| pad > 0)
}
