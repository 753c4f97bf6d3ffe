//! Which nodes join into one multiply-accumulate layer.

use skimp_graph::ops;
use skimp_graph::{Graph, Node, Op, ValueId};

use crate::{
    Calibration, NegativeSums, QuantError,
    mac::{RealLayer, per_channel, real_layer},
};

/// The activation function that a layer takes in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fused {
    Relu,
    Clip { min: Option<f32>, max: Option<f32> },
    Sign,
}

/// A multiply-accumulate node with what follows it: `[+ constant] [+ residual] [activation]`.
#[derive(Clone, Debug)]
pub(crate) struct MacGroup {
    pub(crate) layer: RealLayer,
    /// The multiply-accumulate node.
    pub(crate) node_idx: usize,
    /// The nodes taken in, in order.
    pub(crate) fused: Vec<usize>,
    pub(crate) input: ValueId,
    pub(crate) residual: Option<ValueId>,
    pub(crate) activation: Option<Fused>,
    pub(crate) output: ValueId,
    /// Whether negative sums are unseen, as far as the surroundings decide; signed inputs are judged later.
    pub(crate) negatives: NegativeSums,
}

impl MacGroup {
    /// The node whose place in the order the layer takes, where all inputs are there.
    pub(crate) fn last_node(&self) -> usize {
        self.fused.last().copied().unwrap_or(self.node_idx)
    }
}

/// What becomes of each node.
#[derive(Debug)]
pub(crate) struct Patterns {
    /// Layers, keyed by the index of their last node.
    pub(crate) groups: Vec<Option<MacGroup>>,
    /// Nodes that some group holds.
    pub(crate) taken: Vec<bool>,
}

struct Matcher<'a> {
    graph: &'a Graph,
    calibration: &'a Calibration,
    consumers: Vec<Vec<usize>>,
    taken: Vec<bool>,
}

/// Finds the layers of `graph`.
///
/// Where both operands of an addition come from layers, it joins the one with more products behind an output (the later
/// one where they are equal): that is the layer whose early ends save most.
pub(crate) fn find(graph: &Graph, calibration: &Calibration) -> Result<Patterns, QuantError> {
    let mut matcher =
        Matcher { graph, calibration, consumers: graph.consumers(), taken: vec![false; graph.nodes().len()] };
    let mut layers = Vec::new();
    for (node_idx, node) in graph.nodes().iter().enumerate() {
        let Some(Some(input)) = node.inputs.first().copied() else { continue };
        if graph.constant(input).is_some() {
            continue;
        }
        let rank = matcher.shape(input).map_or(0, <[usize]>::len);
        if let Some(layer) = real_layer(graph, node, rank)? {
            matcher.taken[node_idx] = true;
            layers.push((node_idx, input, layer));
        }
    }
    layers.sort_by_key(|(node_idx, _, layer)| std::cmp::Reverse((layer.depth(), *node_idx)));
    let mut groups: Vec<Option<MacGroup>> = graph.nodes().iter().map(|_| None).collect();
    for (node_idx, input, layer) in layers {
        let group = matcher.extend(node_idx, input, layer);
        let last = group.last_node();
        groups[last] = Some(group);
    }
    Ok(Patterns { groups, taken: matcher.taken })
}

impl Matcher<'_> {
    fn shape(&self, id: ValueId) -> Option<&[usize]> {
        Some(self.calibration.get(&self.graph.value(id).name)?.shape())
    }

    /// The only node that reads `id`, unless `id` leaves the network.
    fn only_consumer(&self, id: ValueId) -> Option<(usize, &Node)> {
        match self.consumers[id.0][..] {
            [node_idx] if !self.graph.outputs().contains(&id) => Some((node_idx, &self.graph.nodes()[node_idx])),
            _ => None,
        }
    }

    fn extend(&mut self, node_idx: usize, input: ValueId, layer: RealLayer) -> MacGroup {
        let output = self.graph.nodes()[node_idx].outputs[0];
        let mut group = MacGroup {
            layer,
            node_idx,
            fused: Vec::new(),
            input,
            residual: None,
            activation: None,
            output,
            negatives: NegativeSums::Unseen,
        };
        while group.activation.is_none() {
            let Some((next_idx, next)) = self.only_consumer(group.output) else { break };
            let output = next.outputs[0];
            match &next.op {
                Op::Add if !self.taken[next_idx] && group.residual.is_none() => {
                    let next = next.clone();
                    if !self.join(&mut group, &next) {
                        break;
                    }
                }
                Op::Relu => group.activation = Some(Fused::Relu),
                Op::Clip(ops::Clip { min: None, max: None }) => {}
                Op::Clip(ops::Clip { min, max }) => group.activation = Some(Fused::Clip { min: *min, max: *max }),
                Op::Sign => group.activation = Some(Fused::Sign),
                _ => break,
            }
            self.taken[next_idx] = true;
            group.fused.push(next_idx);
            group.output = output;
        }
        group.negatives = self.negative_sums(&group);
        group
    }

    /// Takes the addition `add` of the group's output into the group, if its other operand is a constant per channel or
    /// a tensor of the same shape.
    fn join(&self, group: &mut MacGroup, add: &Node) -> bool {
        let other = add.inputs.iter().flatten().copied().find(|&id| id != group.output);
        let Some(other) = other else { return false };
        if let Some(tensor) = self.graph.constant(other) {
            let trailing = group.layer.layout.n_spatial();
            // A constant of more axes adds axes to the sum.
            if self.shape(group.output).is_none_or(|output| output.len() < tensor.shape().len()) {
                return false;
            }
            let Some(addend) = per_channel(tensor, group.layer.weight_shape[0], trailing) else { return false };
            if tensor.as_f32().is_none() || addend.iter().any(|x| !x.is_finite()) {
                return false;
            }
            group.layer.bias.iter_mut().zip(addend).for_each(|(bias, x)| *bias += x);
            return true;
        }
        let same_shape = match (self.shape(other), self.shape(add.outputs[0]), self.shape(group.output)) {
            (Some(other), Some(sum), Some(output)) => other == sum && output == sum,
            _ => false,
        };
        if same_shape {
            group.residual = Some(other);
        }
        same_shape
    }

    fn negative_sums(&self, group: &MacGroup) -> NegativeSums {
        let stops_at_zero = |min: Option<f32>| min == Some(0.0);
        match group.activation {
            Some(Fused::Relu) => return NegativeSums::Unseen,
            Some(Fused::Clip { min, .. }) if stops_at_zero(min) => return NegativeSums::Unseen,
            Some(Fused::Clip { .. }) => return NegativeSums::NoRelu { next: self.last_op(group) },
            Some(Fused::Sign) => return NegativeSums::NoRelu { next: self.last_op(group) },
            None => {}
        }
        let readers: Vec<&Node> = self.consumers[group.output.0].iter().map(|&i| &self.graph.nodes()[i]).collect();
        let is_output = self.graph.outputs().contains(&group.output);
        let is_relu = |node: &&&Node| match &node.op {
            Op::Relu => true,
            Op::Clip(ops::Clip { min, .. }) => stops_at_zero(*min),
            _ => false,
        };
        let describe = |node: &Node| format!("{} \"{}\"", node.op.name(), node.name);
        if readers.iter().any(|node| is_relu(&node)) {
            let other = readers.iter().find(|node| !is_relu(node));
            let consumer = match other {
                Some(node) => describe(node),
                None if is_output => "network output".to_owned(),
                // Only several ReLUs: each of them would have to be taken in.
                None => describe(readers[0]),
            };
            return NegativeSums::ValueNeededElsewhere { consumer };
        }
        let next = readers.first().map_or_else(|| "network output".to_owned(), |node| describe(node));
        match group.residual {
            Some(_) => NegativeSums::ResidualWithoutRelu { next },
            None => NegativeSums::NoRelu { next },
        }
    }

    fn last_op(&self, group: &MacGroup) -> String {
        let node = &self.graph.nodes()[group.last_node()];
        format!("{} \"{}\"", node.op.name(), node.name)
    }
}
