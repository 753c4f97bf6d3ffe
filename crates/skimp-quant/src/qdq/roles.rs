//! Which nodes work on codes, and with which encodings.

use skimp_graph::integer::{Encoding, MacLayout, moves_codes};
use skimp_graph::{Graph, Node, Op, ValueId};

use super::range::{Coding, range};
use super::{LayerChoices, OutputForm, QdqConfig};
use crate::mac::{RealLayer, per_channel, real_layer};
use crate::{Calibration, QuantError};

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Role {
    /// A layer, with the constant additions that it took in.
    Layer(Box<RealLayer>),
    /// An operator on codes without weights.
    Arithmetic,
    /// Inputs and outputs share one encoding.
    Move,
    /// A constant addition or an activation function that joined the node before it.
    Joined,
    /// Real numbers in and out.
    Float,
}

/// The role of every node.
#[derive(Debug)]
pub(super) struct Roles {
    pub(super) nodes: Vec<Role>,
    /// For each node that is no longer in the graph under its own operator, nothing; for each other one, the value that
    /// the node and what joined it make. Indexed by node.
    pub(super) outputs: Vec<Option<ValueId>>,
    /// For each node, the activation function that joined it.
    pub(super) activations: Vec<Option<usize>>,
    /// Whether the value is stored as codes.
    pub(super) is_coded: Vec<bool>,
    /// For each node, whether its first input has more than two axes: what Gemm does not take.
    pub(super) is_stacked: Vec<bool>,
}

/// Finds the roles.
pub(super) fn find(
    graph: &Graph,
    config: &QdqConfig,
    choices: &LayerChoices,
    calibration: &Calibration,
) -> Result<Roles, QuantError> {
    let n_nodes = graph.nodes().len();
    let mut roles = Roles {
        nodes: Vec::with_capacity(n_nodes),
        outputs: vec![None; n_nodes],
        activations: vec![None; n_nodes],
        is_coded: vec![false; graph.values().len()],
        is_stacked: Vec::with_capacity(n_nodes),
    };
    let rank = |id: ValueId| calibration.get(&graph.value(id).name).map_or(0, |s| s.shape().len());
    for node in graph.nodes() {
        let dynamic = |id: &ValueId| graph.constant(*id).is_none() && calibration.get(&graph.value(*id).name).is_some();
        let first = node.inputs.first().copied().flatten();
        let all_dynamic = node.inputs.iter().flatten().all(&dynamic) && first.is_some();
        // The QDQ form has dense layers and convolutions over two axes.
        let has_form = |layer: &RealLayer, rank: usize| match layer.layout {
            MacLayout::Rows => rank >= 2,
            MacLayout::Line => false,
            MacLayout::Planes => true,
        };
        let layer = match first.filter(&dynamic) {
            Some(first) => real_layer(graph, node, rank(first))?.filter(|layer| has_form(layer, rank(first))),
            None => None,
        };
        roles.is_stacked.push(first.is_some_and(|first| rank(first) > 2));
        roles.nodes.push(match layer {
            Some(layer) => Role::Layer(Box::new(layer)),
            None if all_dynamic => role(&node.op, first.map_or(0, rank)),
            None => Role::Float,
        });
    }
    choices.check(graph, &super::layer_names(graph, &roles.nodes))?;
    for (node, role) in graph.nodes().iter().zip(&mut roles.nodes) {
        if choices.is_float(&node.name) {
            *role = Role::Float;
        }
    }
    roles.join(graph);
    roles.code(graph, config);
    Ok(roles)
}

/// The role of an operator whose inputs are all computed.
fn role(op: &Op, rank: usize) -> Role {
    match op {
        Op::Add
        | Op::MatMul
        | Op::Relu
        | Op::Clip(_)
        | Op::LeakyRelu(_)
        | Op::Sigmoid
        | Op::HardSigmoid(_)
        | Op::HardSwish
        | Op::Tanh => Role::Arithmetic,
        Op::AveragePool(_) | Op::GlobalAveragePool if rank == 4 => Role::Arithmetic,
        Op::ReduceMean(mean) if rank == 4 && mean.is_spatial(rank) => Role::Arithmetic,
        op if moves_codes(op) => Role::Move,
        // Other operators stay in floating point.
        _ => Role::Float,
    }
}

impl Roles {
    /// Lets constant additions join layers, and activation functions that only clip join whatever makes their input.
    fn join(&mut self, graph: &Graph) {
        let consumers = graph.consumers();
        let only_reader = |id: ValueId| match consumers[id.0][..] {
            [node_idx] if !graph.outputs().contains(&id) => Some(node_idx),
            _ => None,
        };
        for (node_idx, node) in graph.nodes().iter().enumerate() {
            if matches!(self.nodes[node_idx], Role::Joined) || node.outputs.len() != 1 {
                continue;
            }
            let mut output = node.outputs[0];
            if let Role::Layer(layer) = &mut self.nodes[node_idx] {
                let mut joined = Vec::new();
                while let Some(next) = only_reader(output).filter(|&next| add_constant(graph, layer, next, output)) {
                    joined.push(next);
                    output = graph.nodes()[next].outputs[0];
                }
                joined.into_iter().for_each(|next| self.nodes[next] = Role::Joined);
            }
            let is_clip = |op: &Op| matches!(op, Op::Relu | Op::Clip(_));
            let is_arithmetic = match &self.nodes[node_idx] {
                Role::Layer(_) => true,
                Role::Arithmetic => !is_clip(&node.op),
                Role::Move | Role::Joined | Role::Float => false,
            };
            if let Some(next) = only_reader(output).filter(|&next| is_arithmetic && is_clip(&graph.nodes()[next].op)) {
                self.nodes[next] = Role::Joined;
                self.activations[node_idx] = Some(next);
                output = graph.nodes()[next].outputs[0];
            }
            self.outputs[node_idx] = Some(output);
        }
    }

    /// Decides which values are stored as codes.
    fn code(&mut self, graph: &Graph, config: &QdqConfig) {
        for (node_idx, node) in graph.nodes().iter().enumerate() {
            let is_layer = matches!(self.nodes[node_idx], Role::Layer(_));
            if !is_layer && !matches!(self.nodes[node_idx], Role::Arithmetic) {
                continue;
            }
            let n_inputs = if is_layer { 1 } else { node.inputs.len() };
            for input in node.inputs[..n_inputs].iter().flatten() {
                self.is_coded[input.0] = true;
            }
            let Some(output) = self.outputs[node_idx] else { continue };
            let leaves = graph.outputs().contains(&output) && config.output_form == OutputForm::Codes;
            if !is_layer || self.activations[node_idx].is_some() || leaves {
                self.is_coded[output.0] = true;
            }
        }
        // What a move connects is coded as a whole; one walk there and one back reach everything.
        let mut changed = true;
        while changed {
            changed = false;
            for (node_idx, node) in graph.nodes().iter().enumerate() {
                let ids = || node.inputs.iter().flatten().chain(&node.outputs);
                if matches!(self.nodes[node_idx], Role::Move) && ids().any(|id| self.is_coded[id.0]) {
                    for id in ids() {
                        changed |= !std::mem::replace(&mut self.is_coded[id.0], true);
                    }
                }
            }
        }
        for (node_idx, node) in graph.nodes().iter().enumerate() {
            if matches!(self.nodes[node_idx], Role::Move) && !self.is_coded[node.outputs[0].0] {
                self.nodes[node_idx] = Role::Float;
            }
        }
    }
}

/// Takes the addition at `next`, of a constant per channel to `output`, into the layer's bias.
fn add_constant(graph: &Graph, layer: &mut RealLayer, next: usize, output: ValueId) -> bool {
    let node: &Node = &graph.nodes()[next];
    let other = node.inputs.iter().flatten().copied().find(|&id| id != output);
    let Some(tensor) = other.and_then(|id| graph.constant(id)) else { return false };
    let trailing = layer.layout.n_spatial();
    if !matches!(node.op, Op::Add) || tensor.as_f32().is_none() || tensor.shape().len() > trailing + 2 {
        return false;
    }
    let Some(addend) = per_channel(tensor, layer.weight_shape[0], trailing) else { return false };
    if addend.iter().any(|x| !x.is_finite()) {
        return false;
    }
    layer.bias.iter_mut().zip(addend).for_each(|(bias, x)| *bias += x);
    true
}

/// The encoding of every value that is stored as codes.
pub(super) fn encodings(
    graph: &Graph,
    roles: &Roles,
    config: &QdqConfig,
    calibration: &Calibration,
) -> Result<Vec<Option<Encoding>>, QuantError> {
    let coding = Coding { scheme: config.activation_scheme, code_type: config.activation_type };
    let classes = classes(graph, roles);
    let mut ranges: Vec<Option<[f64; 2]>> = vec![None; classes.len()];
    for (idx, &class) in classes.iter().enumerate() {
        if roles.is_coded[idx] {
            let name = &graph.values()[idx].name;
            let statistics = calibration.get(name).ok_or_else(|| QuantError::NotCalibrated { value: name.clone() })?;
            let [low, high] = range(statistics, config.calibration, coding);
            let whole = ranges[class].unwrap_or([0.0; 2]);
            ranges[class] = Some([whole[0].min(low), whole[1].max(high)]);
        }
    }
    let encoding = |(idx, &class): (usize, &usize)| {
        ranges[class].filter(|_| roles.is_coded[idx]).map(|range| coding.encoding(range))
    };
    Ok(classes.iter().enumerate().map(encoding).collect())
}

/// For each value, the least index among those that moves connect it with.
fn classes(graph: &Graph, roles: &Roles) -> Vec<usize> {
    fn root(classes: &[usize], mut idx: usize) -> usize {
        while classes[idx] != idx {
            idx = classes[idx];
        }
        idx
    }
    let mut classes: Vec<usize> = (0..graph.values().len()).collect();
    for (node, role) in graph.nodes().iter().zip(&roles.nodes) {
        if matches!(role, Role::Move) {
            let members: Vec<usize> = node.inputs.iter().flatten().chain(&node.outputs).map(|id| id.0).collect();
            for pair in members.windows(2) {
                let (a, b) = (root(&classes, pair[0]), root(&classes, pair[1]));
                classes[a.max(b)] = a.min(b);
            }
        }
    }
    (0..classes.len()).map(|idx| root(&classes, idx)).collect()
}
