//! Which values are codes, and with which encoding.

use skimp_graph::integer::{Encoding, moves_codes};
use skimp_graph::{Graph, Node, Op, ValueId};

use crate::{
    Calibration, LayerWidths, QuantError, QuantizationConfig,
    pattern::{Fused, Patterns},
};

/// How an integer network runs a node that no layer took in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A move of codes: inputs and outputs share one encoding.
    Move,
    /// Codes in, other codes out.
    Arithmetic,
    /// Codes in, codes or real numbers out.
    Mean,
    /// The same, of two values, which become codes where they are none.
    Product,
    /// Real numbers in and out.
    Float,
}

/// The role of `node` as far as its operator decides; `rank` is that of its first input.
pub(crate) fn role(graph: &Graph, node: &Node, rank: usize) -> Role {
    let dynamic = node.inputs.iter().flatten().all(|&id| graph.constant(id).is_none());
    if !dynamic {
        return Role::Float;
    }
    match &node.op {
        Op::GlobalMaxPool => Role::Move,
        op if moves_codes(op) => Role::Move,
        Op::Add | Op::Sub | Op::Relu | Op::Clip(_) | Op::Sign => Role::Arithmetic,
        Op::MatMul => Role::Product,
        Op::AveragePool(_) | Op::GlobalAveragePool => Role::Mean,
        Op::ReduceMean(mean) if mean.is_spatial(rank) => Role::Mean,
        // Other operators stay in floating point.
        _ => Role::Float,
    }
}

/// The form and encoding of every value.
#[derive(Debug)]
pub(crate) struct Forms {
    /// Role of each node that no layer took in, after its surroundings are known.
    pub(crate) roles: Vec<Role>,
    /// Whether somebody reads the value as codes.
    pub(crate) wanted_as_codes: Vec<bool>,
    /// Whether the value comes from the network's input without passing a layer.
    pub(crate) from_input: Vec<bool>,
    encodings: Vec<Encoding>,
}

impl Forms {
    pub(crate) fn encoding(&self, id: ValueId) -> Encoding {
        self.encodings[id.0]
    }
}

/// Decides forms and encodings.
pub(crate) fn decide(
    graph: &Graph,
    patterns: &Patterns,
    calibration: &Calibration,
    config: &QuantizationConfig,
    widths: &LayerWidths,
) -> Result<Forms, QuantError> {
    let rank = |node: &Node| {
        let first = node.inputs.first().copied().flatten();
        first.and_then(|id| calibration.get(&graph.value(id).name)).map_or(0, |s| s.shape().len())
    };
    let mut roles: Vec<Role> = graph.nodes().iter().map(|node| role(graph, node, rank(node))).collect();
    let is_known = |id: &ValueId| calibration.get(&graph.value(*id).name).is_some();
    for (node, role) in graph.nodes().iter().zip(&mut roles) {
        // Whole numbers are not calibrated.
        if *role == Role::Product && !node.inputs.iter().flatten().chain(&node.outputs).all(is_known) {
            *role = Role::Float;
        }
    }
    let wanted_as_codes = wanted(graph, patterns, &roles);
    let (is_codes, from_input) = settle(graph, patterns, &mut roles, &wanted_as_codes);
    let bits = asked(graph, patterns, config, widths);
    let encoder = Encoder { graph, patterns, calibration, config, bits: &bits, roles: &roles, is_codes: &is_codes };
    let encodings = encoder.encodings()?;
    Ok(Forms { roles, wanted_as_codes, from_input, encodings })
}

/// The width of each value that a layer reads: the greatest of what its readers ask for.
fn asked(graph: &Graph, patterns: &Patterns, config: &QuantizationConfig, widths: &LayerWidths) -> Vec<Option<u32>> {
    let mut bits = vec![None; graph.values().len()];
    for group in patterns.groups.iter().flatten() {
        let own = widths.config(config, &graph.nodes()[group.node_idx].name).activation_bits;
        let bits = &mut bits[group.input.0];
        *bits = (*bits).max(Some(own));
    }
    bits
}

/// Backwards: a layer and a mean want codes; a move and an addition want them if somebody wants theirs.
fn wanted(graph: &Graph, patterns: &Patterns, roles: &[Role]) -> Vec<bool> {
    let mut wanted = vec![false; graph.values().len()];
    for (node_idx, node) in graph.nodes().iter().enumerate().rev() {
        if let Some(group) = &patterns.groups[node_idx] {
            wanted[group.input.0] = true;
            if let Some(residual) = group.residual {
                wanted[residual.0] = true;
            }
        } else if !patterns.taken[node_idx] {
            let wants = match roles[node_idx] {
                Role::Mean | Role::Product => true,
                Role::Move | Role::Arithmetic => node.outputs.iter().any(|id| wanted[id.0]),
                Role::Float => false,
            };
            if wants {
                node.inputs.iter().flatten().for_each(|id| wanted[id.0] = true);
            }
        }
    }
    wanted
}

/// Forwards: a node none of whose inputs are codes stays real; so does one whose codes nobody wants.
fn settle(graph: &Graph, patterns: &Patterns, roles: &mut [Role], wanted: &[bool]) -> (Vec<bool>, Vec<bool>) {
    let mut is_codes = vec![false; graph.values().len()];
    let mut from_input = vec![false; graph.values().len()];
    for input in graph.inputs() {
        from_input[input.value.0] = true;
    }
    for (node_idx, node) in graph.nodes().iter().enumerate() {
        if let Some(group) = &patterns.groups[node_idx] {
            is_codes[group.output.0] = wanted[group.output.0];
        } else if !patterns.taken[node_idx] {
            let any_codes = node.inputs.iter().flatten().any(|id| is_codes[id.0]);
            let any_wanted = node.outputs.iter().any(|id| wanted[id.0]);
            let stays = match roles[node_idx] {
                Role::Mean => any_codes,
                Role::Product => true,
                Role::Move | Role::Arithmetic => any_codes && any_wanted,
                Role::Float => false,
            };
            if !stays {
                roles[node_idx] = Role::Float;
            }
            let mut sources = node.inputs.iter().flatten().filter(|&&id| graph.constant(id).is_none());
            let all_from_input = sources.all(|id| from_input[id.0]);
            for id in &node.outputs {
                is_codes[id.0] = stays && (!matches!(roles[node_idx], Role::Mean | Role::Product) || any_wanted);
                from_input[id.0] = all_from_input;
            }
        }
    }
    (is_codes, from_input)
}

struct Encoder<'a> {
    graph: &'a Graph,
    patterns: &'a Patterns,
    calibration: &'a Calibration,
    config: &'a QuantizationConfig,
    /// Widths that layers ask for.
    bits: &'a [Option<u32>],
    roles: &'a [Role],
    is_codes: &'a [bool],
}

/// What the members of one class of values agree on.
#[derive(Clone, Copy, Debug)]
struct Class {
    magnitude: f32,
    non_negative: bool,
    /// Whether every member is −1, 0 or 1.
    signs: bool,
    /// Whether every member is 0 or 1.
    spikes: bool,
    /// The greatest width that a layer asks for.
    bits: Option<u32>,
}

impl Encoder<'_> {
    /// Values that moves connect share one encoding, so that moves stay moves.
    fn encodings(&self) -> Result<Vec<Encoding>, QuantError> {
        let n_values = self.graph.values().len();
        let mut classes = Classes::new(n_values);
        for (node_idx, node) in self.graph.nodes().iter().enumerate() {
            if !self.patterns.taken[node_idx] && self.roles[node_idx] == Role::Move {
                let mut members = node.inputs.iter().flatten().chain(&node.outputs);
                if let Some(first) = members.next() {
                    members.for_each(|other| classes.join(first.0, other.0));
                }
            }
        }
        let facts = self.facts();
        let mut merged: Vec<Option<Class>> = vec![None; n_values];
        for id in 0..n_values {
            // A value that is never calibrated is taken into a layer, or a constant.
            let Some(fact) = facts[id] else { continue };
            let class = &mut merged[classes.find(id)];
            *class = Some(match *class {
                None => fact,
                Some(known) => Class {
                    magnitude: known.magnitude.max(fact.magnitude),
                    non_negative: known.non_negative && fact.non_negative,
                    signs: known.signs && fact.signs,
                    spikes: known.spikes && fact.spikes,
                    bits: known.bits.max(fact.bits),
                },
            });
        }
        (0..n_values)
            .map(|id| match merged[classes.find(id)] {
                Some(class) => Ok(self.encoding(&class)),
                None if self.is_codes[id] => {
                    Err(QuantError::NotCalibrated { value: self.graph.values()[id].name.clone() })
                }
                None => Ok(Encoding::symmetric(2, true, 1.0)),
            })
            .collect()
    }

    fn encoding(&self, class: &Class) -> Encoding {
        if class.signs {
            return Encoding::symmetric(2, true, 1.0);
        }
        if class.spikes {
            // Of the least width that codes have.
            return Encoding::symmetric(2, false, 1.0);
        }
        let mut encoding =
            Encoding::symmetric(class.bits.unwrap_or(self.config.activation_bits), !class.non_negative, 1.0);
        // A range below 2^-80 is as good as no range.
        let magnitude = if class.magnitude < 2_f32.powi(-80) { 1.0 } else { f64::from(class.magnitude) };
        encoding.scale = magnitude / f64::from(encoding.max_code());
        encoding
    }

    /// What is known of each value on its own.
    fn facts(&self) -> Vec<Option<Class>> {
        let graph = self.graph;
        let mut facts: Vec<Option<Class>> = vec![None; graph.values().len()];
        for input in graph.inputs() {
            facts[input.value.0] = self.measured(input.value, |min| min >= 0.0, false);
        }
        for (node_idx, node) in graph.nodes().iter().enumerate() {
            if let Some(group) = &self.patterns.groups[node_idx] {
                let non_negative = match group.activation {
                    Some(Fused::Relu) => true,
                    Some(Fused::Clip { min, .. }) => min.is_some_and(|min| min >= 0.0),
                    Some(Fused::Sign) | None => false,
                };
                let signs = group.activation == Some(Fused::Sign);
                facts[group.output.0] = self.measured(group.output, |_| non_negative, signs);
            } else if !self.patterns.taken[node_idx] {
                let operands: Vec<bool> = node
                    .inputs
                    .iter()
                    .flatten()
                    .map(|&id| match graph.constant(id) {
                        Some(tensor) => tensor.as_f32().is_some_and(|x| x.iter().all(|&x| x >= 0.0)),
                        None => facts[id.0].is_some_and(|fact| fact.non_negative),
                    })
                    .collect();
                let non_negative = node.op.keeps_non_negative(&operands);
                let inherits = self.roles[node_idx] == Role::Move && !matches!(node.op, Op::Pad(_));
                let all_signs = node.inputs.iter().flatten().all(|id| facts[id.0].is_some_and(|fact| fact.signs));
                let signs = node.op == Op::Sign || (inherits && all_signs);
                for &id in &node.outputs {
                    facts[id.0] = self.measured(id, |_| non_negative, signs);
                }
                if let (Some(&id), Some(spikes)) = (node.outputs.first(), self.spikes(node, node_idx, &facts)) {
                    facts[id.0] = facts[id.0].map(|fact| Class { non_negative: true, spikes, ..fact });
                }
            }
        }
        facts
    }

    /// Whether the first output of a node that gives what neurons fire, or moves it, is 0 or 1; `None` for other nodes.
    fn spikes(&self, node: &Node, node_idx: usize, facts: &[Option<Class>]) -> Option<bool> {
        match &node.op {
            Op::Neuron(neuron) => Some(neuron.first_spike.is_none()),
            Op::Pad(pad) if ![0.0, 1.0].contains(&pad.value) => None,
            _ if self.roles[node_idx] != Role::Move => None,
            _ => {
                let mut inputs = node.inputs.iter().flatten().filter(|&&id| self.graph.constant(id).is_none());
                inputs.all(|id| facts[id.0].is_some_and(|fact| fact.spikes)).then_some(true)
            }
        }
    }

    fn measured(&self, id: ValueId, non_negative: impl Fn(f32) -> bool, signs: bool) -> Option<Class> {
        let statistics = self.calibration.get(&self.graph.value(id).name)?;
        Some(Class {
            magnitude: statistics.magnitude(self.config.calibration),
            non_negative: non_negative(statistics.min()),
            signs,
            spikes: false,
            bits: self.bits[id.0],
        })
    }
}

/// Disjoint sets of values.
struct Classes(Vec<usize>);

impl Classes {
    fn new(n: usize) -> Self {
        Self((0..n).collect())
    }

    fn find(&mut self, mut i: usize) -> usize {
        while self.0[i] != i {
            self.0[i] = self.0[self.0[i]];
            i = self.0[i];
        }
        i
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.0[a.max(b)] = a.min(b);
    }
}
