//! Which nodes a convolution swallows.

use skimp_graph::ops;
use skimp_graph::{Op, ValueId};

use super::cones::{Cone, Cones, Layout};
use crate::kernels::Bounds;

/// A convolution with the nodes that become its epilogue: `Conv [BatchNormalization] [Add] [Relu | Clip]`
/// and elementwise ones.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    /// Index of the convolution.
    pub(super) conv: usize,
    /// Index of the batch normalization folded into the weights.
    pub(super) norm: Option<usize>,
    /// The other operand of the addition.
    pub(super) residual: Option<ValueId>,
    /// What the activation clamps to.
    pub(super) bounds: Bounds,
    /// What runs on each row of the result.
    pub(super) cone: Option<Cone>,
    /// Indices of the nodes after the convolution. The whole chain runs at the place of the last one, so that the
    /// residual is there.
    pub(super) followers: Vec<usize>,
}

impl Chain {
    /// Index of the last node.
    pub(super) fn last(&self) -> usize {
        self.followers.last().copied().unwrap_or(self.conv)
    }
}

/// The role of each node.
#[derive(Clone, Debug)]
pub(super) enum Role {
    /// Runs by itself.
    Alone,
    /// Inside a chain, before its last node.
    Swallowed,
    /// The last node of this chain.
    Ends(Chain),
    /// The last node of this cone.
    EndsCone(Cone),
    /// The last node of a cone over the product of matrices with this index.
    EndsProduct(usize, Cone),
    /// The transpose behind the layer normalization with this index, which has another one before it: together they normalize
    /// the channels of an image.
    EndsNorm(usize),
}

/// What a kernel for a convolution can do after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    pub(super) adds_residual: bool,
    pub(super) runs_programs: bool,
}

/// Bounds of a node that clamps.
pub(super) fn clamps(op: &Op) -> Option<Bounds> {
    match op {
        Op::Relu => Some(Bounds::RELU),
        Op::Clip(ops::Clip { min, max }) => {
            Some(Bounds { low: min.unwrap_or(f32::NEG_INFINITY), high: max.unwrap_or(f32::INFINITY) })
        }
        _ => None,
    }
}

/// Finds the chains, then the cones among what is left. `anchor(conv)` tells what the kernel of a convolution can do.
///
/// Later convolutions choose first: of two that feed one addition, the later one adds the earlier one's result.
pub(super) fn roles(
    cones: &Cones<'_>,
    constants: &[bool],
    anchor: impl Fn(usize) -> Anchor,
    multiplies: impl Fn(usize) -> bool,
) -> Vec<Role> {
    let (graph, shapes) = (cones.graph, cones.shapes);
    let consumers = graph.consumers();
    let mut is_output = vec![false; graph.values().len()];
    graph.outputs().iter().for_each(|id| is_output[id.0] = true);
    let next = |id: ValueId| match consumers[id.0].as_slice() {
        [only] if !is_output[id.0] => Some(*only),
        _ => None,
    };
    let mut roles = vec![Role::Alone; graph.nodes().len()];
    for conv in (0..graph.nodes().len()).rev() {
        if !matches!(graph.nodes()[conv].op, Op::Conv(_)) || constants[graph.nodes()[conv].outputs[0].0] {
            continue;
        }
        let anchor = anchor(conv);
        let (bounds, followers) = (Bounds::NONE, Vec::new());
        let mut chain = Chain { conv, norm: None, residual: None, bounds, cone: None, followers };
        while let Some(idx) = next(graph.nodes()[chain.last()].outputs[0]) {
            let node = &graph.nodes()[idx];
            let value = graph.nodes()[chain.last()].outputs[0];
            if !matches!(roles[idx], Role::Alone) || chain.bounds != Bounds::NONE {
                break;
            }
            let others: Vec<ValueId> = node.inputs.iter().flatten().copied().filter(|&id| id != value).collect();
            match &node.op {
                Op::BatchNormalization(_) if chain.norm.is_none() && chain.residual.is_none() => {
                    if node.inputs[0] != Some(value) || !others.iter().all(|id| constants[id.0]) {
                        break;
                    }
                    chain.norm = Some(idx);
                }
                Op::Add if chain.residual.is_none() && anchor.adds_residual => match others.as_slice() {
                    [other] if !constants[other.0] && shapes.get(*other) == shapes.get(value) => {
                        chain.residual = Some(*other);
                    }
                    _ => break,
                },
                op => match clamps(op) {
                    Some(bounds) => chain.bounds = bounds,
                    None => break,
                },
            }
            roles[chain.last()] = Role::Swallowed;
            chain.followers.push(idx);
        }
        if anchor.runs_programs {
            let value = graph.nodes()[chain.last()].outputs[0];
            let free = |idx: usize| matches!(roles[idx], Role::Alone);
            chain.cone = cones.after(value, free, &[Layout::Any, Layout::Blocked]);
        }
        for &idx in chain.cone.iter().flat_map(|cone| &cone.nodes) {
            roles[chain.last()] = Role::Swallowed;
            chain.followers.push(idx);
        }
        let last = chain.last();
        roles[last] = Role::Ends(chain);
    }
    for idx in (0..graph.nodes().len()).rev() {
        let free = |idx: usize| matches!(roles[idx], Role::Alone);
        if !free(idx) {
            continue;
        }
        if let Some([before, after]) = cones.turned_norm(idx) {
            roles[before] = Role::Swallowed;
            roles[idx] = Role::Swallowed;
            roles[after] = Role::EndsNorm(idx);
        } else if multiplies(idx)
            && let Some(cone) = cones.after(graph.nodes()[idx].outputs[0], free, &[Layout::Any, Layout::Plain])
        {
            roles[idx] = Role::Swallowed;
            cone.nodes.iter().for_each(|&idx| roles[idx] = Role::Swallowed);
            let last = cone.nodes.last().copied().unwrap_or(idx);
            roles[last] = Role::EndsProduct(idx, cone);
        }
    }
    for idx in 0..graph.nodes().len() {
        let free = |idx: usize| matches!(roles[idx], Role::Alone);
        if free(idx)
            && let Some(cone) = cones.from(idx, free)
        {
            cone.nodes.iter().for_each(|&idx| roles[idx] = Role::Swallowed);
            let last = cone.nodes.last().copied().unwrap_or(idx);
            roles[last] = Role::EndsCone(cone);
        }
    }
    roles
}
