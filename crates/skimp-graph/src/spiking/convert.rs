//! From a network of rectified values to one of spikes.

use std::collections::{HashMap, HashSet};

use super::parts::Parts;
use super::{InputCoding, Join, Temporal};
use crate::ops::{AveragePool, Class, FirstSpike, Neuron, Reset, ResetTime};
use crate::{Graph, GraphError, Node, Op, ValueId};

/// What tells a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// How often a neuron fires.
    Rate,
    /// When a neuron fires: once, the earlier the larger the value. Each layer waits for the ones before it.
    FirstSpike,
}

impl Coding {
    /// Every coding.
    pub const ALL: [Self; 2] = [Self::Rate, Self::FirstSpike];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::FirstSpike => "first-spike",
        }
    }
}

/// What becomes of maximum pools behind rectifiers. (The greatest of several rates is not the rate of the greatest: a pool of
/// spikes fires whenever one of them does.)
///
/// Where currents are the same in each step, as in a first layer with direct input, a pool before the neuron is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxPools {
    /// They are refused, but for those that can go before the neuron exactly.
    Refuse,
    /// They become average pools.
    Average,
    /// They pool the currents before the neuron. The mean of the greatest current of each step is at least the greatest mean.
    Before,
}

impl MaxPools {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Refuse, Self::Average, Self::Before];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Average => "average",
            Self::Before => "before",
        }
    }
}

/// How a network becomes a spiking one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conversion {
    /// Time steps; those of one layer for [`Coding::FirstSpike`].
    pub steps: usize,
    /// What tells a value.
    pub coding: Coding,
    /// What a spike does to the potential, for [`Coding::Rate`].
    pub reset: Reset,
    /// When it does that.
    pub reset_time: ResetTime,
    /// Whether a potential must be above the threshold.
    pub is_strict: bool,
    /// The potential before the first step, as a share of the threshold: a half rounds to the nearest rate where 0 rounds down.
    /// For [`Coding::FirstSpike`] a share of the last step's threshold.
    pub initial: f32,
    /// What becomes of maximum pools.
    pub max_pools: MaxPools,
    /// What the network is fed.
    pub input: InputCoding,
    /// Seed of [`InputCoding::Bernoulli`].
    pub seed: u64,
}

/// A spiking network, and what it was made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    /// The network, with its [`Temporal`] in the metadata.
    pub graph: Graph,
    /// The neurons in order: name, and the value that a rate of 1, or the earliest spike, stands for.
    pub neurons: Vec<(String, f32)>,
    /// What the conversion changed besides, in words.
    pub notes: Vec<String>,
}

/// A spiking network whose rates, or times of spikes, approximate the values of `graph`.
///
/// A rectifier becomes a neuron whose threshold is the greatest value, as `greatest` knows it by the value's name (a maximum or
/// a percentile over images; 0 and none count as 1). A spike stands for that value; the weights behind it are multiplied by
/// it, so that layers take spikes of 0 and 1, and where a sum takes spikes of several layers they are scaled first. A layer
/// that no neuron follows does not spike: its mean current is the network's output. A softmax at the end is left out.
///
/// # Source
/// P. Diehl et al., "Fast-classifying, high-accuracy spiking deep networks through weight and threshold balancing", IJCNN 2015;
/// B. Rueckauer et al., "Conversion of continuous-valued deep networks to efficient event-driven networks for image
/// classification", Frontiers in Neuroscience 11, 2017 (percentiles, biases as currents, reset by subtraction).
/// Differs: thresholds are balanced and the next layer's weights take the factor of a spike; both multiplied into one layer's
/// weights give theirs.
///
/// # Errors
/// [`GraphError::UnsupportedNode`] naming a node that has no spiking form, [`GraphError::InvalidGraph`] for a number of steps that
/// cannot be, or a network that spikes already.
pub fn convert(
    graph: &Graph,
    conversion: &Conversion,
    greatest: &dyn Fn(&str) -> Option<f32>,
) -> Result<Converted, GraphError> {
    let invalid = |cause: String| GraphError::InvalidGraph { graph: graph.name().to_owned(), cause };
    let mut temporal = Temporal::new(conversion.steps).map_err(invalid)?;
    if graph.nodes().iter().any(|node| matches!(node.op, Op::Neuron(_))) {
        return Err(invalid("has spiking neurons already".to_owned()));
    }
    let mut work = Work {
        graph,
        parts: Parts::new(graph),
        conversion,
        is_constant: constants(graph),
        is_steady: steady(graph, conversion.input),
        pooled: HashSet::new(),
        notes: Vec::new(),
        neurons: Vec::new(),
        factors: HashMap::new(),
        scaled: HashMap::new(),
    };
    let waits = match conversion.coding {
        Coding::Rate => HashMap::new(),
        Coding::FirstSpike => {
            if conversion.input == InputCoding::Bernoulli {
                return Err(invalid("first spikes take direct input, not random spikes".to_owned()));
            }
            let (waits, steps) = waits(graph, conversion.steps);
            temporal = Temporal::new(steps).map_err(invalid)?;
            temporal.join = Join::Sum;
            waits
        }
    };
    for node in graph.nodes() {
        work.node(node, greatest, &waits)?;
    }
    if conversion.coding == Coding::FirstSpike {
        work.spread_constants(&waits, temporal.steps)?;
    }
    if work.neurons.is_empty() {
        return Err(invalid("has no rectifier (Relu, or Clip from 0) that could become a neuron".to_owned()));
    }
    (temporal.input, temporal.seed) = (conversion.input, conversion.seed);
    let (neurons, notes) = (work.neurons, work.notes);
    Ok(Converted { graph: temporal.on(work.parts.finish(graph)?), neurons, notes })
}

/// Which values do not depend on the inputs.
fn constants(graph: &Graph) -> Vec<bool> {
    let mut constants: Vec<bool> = graph.values().iter().map(|value| value.constant.is_some()).collect();
    for node in graph.nodes() {
        let is_constant = node.inputs.iter().flatten().all(|id| constants[id.0]);
        node.outputs.iter().for_each(|id| constants[id.0] = is_constant);
    }
    constants
}

/// Which values are the same in each step: those that no neuron is before.
fn steady(graph: &Graph, input: InputCoding) -> Vec<bool> {
    let mut steady = vec![true; graph.values().len()];
    graph.inputs().iter().for_each(|given| steady[given.value.0] = input == InputCoding::Direct);
    for node in graph.nodes() {
        let is_steady = !rectifies(&node.op) && node.inputs.iter().flatten().all(|id| steady[id.0]);
        node.outputs.iter().for_each(|id| steady[id.0] = is_steady);
    }
    steady
}

/// Whether a node becomes a neuron.
fn rectifies(op: &Op) -> bool {
    match op {
        Op::Relu => true,
        Op::Clip(clip) => clip.min == Some(0.0),
        _ => false,
    }
}

/// The steps that each rectifier waits for its inputs, by its name, and the steps of the whole network: one layer fires
/// when all before it have had their `window` steps.
fn waits(graph: &Graph, window: usize) -> (HashMap<String, usize>, usize) {
    let mut ends = vec![1; graph.values().len()];
    let mut waits = HashMap::new();
    for node in graph.nodes() {
        let mut end = node.inputs.iter().flatten().map(|id| ends[id.0]).max().unwrap_or(1);
        if rectifies(&node.op) {
            waits.insert(node.name.clone(), end);
            end += window;
        }
        node.outputs.iter().for_each(|id| ends[id.0] = end);
    }
    (waits, graph.outputs().iter().map(|id| ends[id.0]).max().unwrap_or(1))
}

struct Work<'g> {
    graph: &'g Graph,
    parts: Parts,
    conversion: &'g Conversion,
    is_constant: Vec<bool>,
    /// Which values are the same in each step.
    is_steady: Vec<bool>,
    /// Pools that stand before neurons now.
    pooled: HashSet<ValueId>,
    notes: Vec<String>,
    neurons: Vec<(String, f32)>,
    /// Of a value that is spikes, or means of them, times a factor: the spikes and the factor.
    factors: HashMap<ValueId, (ValueId, f32)>,
    /// Of such a value, where it has been computed.
    scaled: HashMap<ValueId, ValueId>,
}

impl Work<'_> {
    fn node(
        &mut self,
        node: &Node,
        greatest: &dyn Fn(&str) -> Option<f32>,
        waits: &HashMap<String, usize>,
    ) -> Result<(), GraphError> {
        let (Some(&Some(x)), Some(&y)) = (node.inputs.first(), node.outputs.first()) else {
            self.parts.nodes.push(node.clone());
            return Ok(());
        };
        if node.outputs.iter().all(|id| self.is_constant[id.0]) {
            self.parts.nodes.push(node.clone());
            return Ok(());
        }
        if rectifies(&node.op) {
            return self.rectifier(node, (x, y), greatest, waits);
        }
        if self.pooled.contains(&y) {
            return Ok(());
        }
        let mut node = node.clone();
        match &node.op {
            Op::Softmax(_) | Op::LogSoftmax(_) if self.graph.outputs().contains(&y) => {
                self.notes.push(format!(
                    "{} ({}) at the end is left out: classes keep their order",
                    node.name,
                    node.op.name()
                ));
                node.op = Op::Identity;
            }
            Op::MaxPool(_) | Op::GlobalMaxPool => {
                if self.conversion.max_pools != MaxPools::Average {
                    let feature = "a maximum of spikes is no spike of the maximum; --max-pools average puts an average pool in \
                                   its place, --max-pools before pools currents where it stands behind a rectifier; both change \
                                   the network";
                    return Err(GraphError::unsupported_node(&node.name, node.op.name(), feature));
                }
                self.notes.push(format!("{} ({}) has become an average pool", node.name, node.op.name()));
                node.op = match node.op {
                    Op::MaxPool(pool) => Op::AveragePool(AveragePool { window: pool.window, count_include_pad: false }),
                    _ => Op::GlobalAveragePool,
                };
                node.outputs.truncate(1);
            }
            _ => self.check_linear(&node)?,
        }
        let Some(&(spikes, factor)) = self.factors.get(&x) else {
            let node = self.with_scaled(node);
            self.parts.nodes.push(node);
            return Ok(());
        };
        match &node.op {
            Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::MatMul
                if self.is_weight(&node, 1)
                    && node.inputs.iter().skip(1).flatten().all(|id| self.is_constant[id.0]) =>
            {
                node.inputs[0] = Some(spikes);
                self.parts.scale_constant(&mut node, 1, factor);
                self.parts.nodes.push(node);
            }
            Op::AveragePool(_)
            | Op::GlobalAveragePool
            | Op::ReduceMean(_)
            | Op::Flatten(_)
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Squeeze(_)
            | Op::Unsqueeze(_)
            | Op::Dropout(_)
            | Op::Identity
                if !self.graph.outputs().contains(&y) =>
            {
                node.inputs[0] = Some(spikes);
                self.factors.insert(y, (y, factor));
                self.parts.nodes.push(node);
            }
            _ => {
                let node = self.with_scaled(node);
                self.parts.nodes.push(node);
            }
        }
        Ok(())
    }

    /// A neuron in the place of a rectifier.
    fn rectifier(
        &mut self,
        node: &Node,
        (x, y): (ValueId, ValueId),
        greatest: &dyn Fn(&str) -> Option<f32>,
        waits: &HashMap<String, usize>,
    ) -> Result<(), GraphError> {
        let pool = self.pool_behind(x, y);
        let known = greatest(&self.graph.value(pool.as_ref().map_or(y, |pool| pool.outputs[0])).name)
            .filter(|value| value.is_finite() && *value > 0.0);
        let mut value = known.unwrap_or(1.0);
        if let Op::Clip(clip) = &node.op {
            value = clip.max.map_or(value, |max| value.min(max));
        }
        if !(value.is_finite() && value > 0.0) {
            return Err(GraphError::unsupported_node(
                &node.name,
                node.op.name(),
                "a rectifier that lets nothing through",
            ));
        }
        let mut x = self.scaled(x);
        let mut y = y;
        if let Some(pool) = pool {
            let currents = self.parts.value(&format!("{}.currents", pool.name), None);
            let (inputs, outputs) = (vec![Some(x)], vec![currents]);
            self.parts.nodes.push(Node { name: pool.name, op: pool.op, inputs, outputs });
            y = pool.outputs[0];
            x = currents;
            self.pooled.insert(y);
        }
        let conversion = self.conversion;
        let neuron = match conversion.coding {
            Coding::Rate => Neuron {
                threshold: value,
                reset: conversion.reset,
                reset_time: conversion.reset_time,
                is_strict: conversion.is_strict,
                initial: conversion.initial * value,
                ..Neuron::default()
            },
            Coding::FirstSpike => Neuron {
                threshold: value,
                initial: conversion.initial * value / conversion.steps as f32,
                first_spike: Some(FirstSpike {
                    start: waits.get(&node.name).copied().unwrap_or(1),
                    window: conversion.steps,
                }),
                ..Neuron::default()
            },
        };
        let spikes = self.parts.value(&format!("{}.spikes", self.graph.value(y).name), None);
        let (inputs, outputs) = (vec![Some(x)], vec![spikes]);
        self.parts.nodes.push(Node { name: node.name.clone(), op: Op::Neuron(neuron), inputs, outputs });
        self.neurons.push((node.name.clone(), value));
        self.factors.insert(y, (spikes, value));
        if self.graph.outputs().contains(&y) {
            self.scaled(y);
        }
        Ok(())
    }

    /// The pool that alone takes what a rectifier of `x` makes, if it may go before it.
    fn pool_behind(&self, x: ValueId, y: ValueId) -> Option<Node> {
        let goes_before = match self.conversion.max_pools {
            MaxPools::Refuse => self.is_steady[x.0],
            MaxPools::Average => false,
            MaxPools::Before => true,
        };
        if !goes_before || self.graph.outputs().contains(&y) {
            return None;
        }
        let mut readers = self.graph.nodes().iter().filter(|node| node.inputs.contains(&Some(y)));
        let pool = readers.next().filter(|_| readers.next().is_none())?;
        (matches!(pool.op, Op::MaxPool(_) | Op::GlobalMaxPool) && pool.outputs.len() == 1).then(|| pool.clone())
    }

    /// The node with values in the place of spikes.
    fn with_scaled(&mut self, mut node: Node) -> Node {
        for input in node.inputs.iter_mut().flatten() {
            *input = self.scaled(*input);
        }
        node
    }

    /// The value itself, where only its spikes are known.
    fn scaled(&mut self, id: ValueId) -> ValueId {
        let Some(&(spikes, factor)) = self.factors.get(&id) else { return id };
        if let Some(&known) = self.scaled.get(&id) {
            return known;
        }
        let name = self.graph.value(id).name.clone();
        // What pools spikes bears the value's name already.
        let target = if spikes == id { self.parts.value(&format!("{name}.scaled"), None) } else { id };
        let factor = self.parts.scalar(&format!("{name}.of_a_spike"), factor);
        self.parts.multiply(&format!("{name}.scale"), spikes, factor, target);
        self.scaled.insert(id, target);
        target
    }

    fn is_weight(&self, node: &Node, input: usize) -> bool {
        let constant = node.inputs.get(input).copied().flatten().and_then(|id| self.graph.constant(id));
        constant.is_some_and(|tensor| tensor.as_f32().is_some())
    }

    /// Sums and multiples of spikes only: means over time are those of the values then.
    fn check_linear(&self, node: &Node) -> Result<(), GraphError> {
        let refused = |feature: &str| Err(GraphError::unsupported_node(&node.name, node.op.name(), feature));
        let is_constant = |idx: usize| node.inputs.get(idx).copied().flatten().is_none_or(|id| self.is_constant[id.0]);
        let others = || (1..node.inputs.len()).all(is_constant);
        let is_linear = match &node.op {
            Op::Add | Op::Sub | Op::Sum | Op::Mean | Op::Neg | Op::Concat(_) => true,
            Op::AveragePool(_) | Op::GlobalAveragePool | Op::ReduceMean(_) | Op::ReduceSum(_) => true,
            Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::BatchNormalization(_) | Op::Div => others(),
            Op::MatMul | Op::Mul => is_constant(0) || is_constant(1),
            op => op.class() == Class::Moves && others(),
        };
        if is_linear {
            return Ok(());
        }
        match node.op.class() {
            Class::Multiplies => refused("a product of two values that the network computes has no spiking form"),
            _ => refused(
                "has no spiking form: rectifiers (Relu, Clip from 0) become neurons, sums, products with constants and average \
                 pools stay",
            ),
        }
    }

    /// Biases and the input come in every step: what each neuron shall take in all its steps together is spread over them.
    fn spread_constants(&mut self, waits: &HashMap<String, usize>, steps: usize) -> Result<(), GraphError> {
        let spans = self.spans(waits, steps);
        let inputs: HashSet<ValueId> = self.graph.inputs().iter().map(|input| input.value).collect();
        let mut spread = Vec::with_capacity(self.parts.nodes.len());
        for (mut node, span) in std::mem::take(&mut self.parts.nodes).into_iter().zip(spans) {
            let refused = |feature: &str| Err(GraphError::unsupported_node(&node.name, node.op.name(), feature));
            let is_constant = |id: ValueId| self.parts.values[id.0].constant.is_some();
            let places = match &node.op {
                Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) => 2..3,
                Op::Add | Op::Sub | Op::Sum | Op::Mean | Op::Concat(_) => 0..node.inputs.len(),
                Op::BatchNormalization(_) => 2..4,
                Op::Pad(pad) if pad.value != 0.0 => return refused("padding other than 0 in first spikes"),
                _ => 0..0,
            };
            let holds = |place: &usize, what: &dyn Fn(ValueId) -> bool| {
                node.inputs.get(*place).copied().flatten().is_some_and(what)
            };
            let biases: Vec<usize> = places.filter(|place| holds(place, &is_constant)).collect();
            let taken: Vec<usize> =
                (0..node.inputs.len()).filter(|place| holds(place, &|id| inputs.contains(&id))).collect();
            if !(biases.is_empty() && taken.is_empty()) {
                let Some(span) = span else {
                    return refused(
                        "feeds neurons that fire at different times, over which its bias or input cannot be spread",
                    );
                };
                let share = 1.0 / span as f32;
                biases.into_iter().for_each(|place| self.parts.scale_constant(&mut node, place, share));
                for place in taken {
                    let Some(id) = node.inputs[place] else { continue };
                    let factor = self.parts.scalar(&format!("{}.share", node.name), share);
                    let target = self.parts.value(&format!("{}.input_of_a_step", node.name), None);
                    self.parts.multiply(&format!("{}.spread", node.name), id, factor, target);
                    node.inputs[place] = Some(target);
                }
                spread.append(&mut self.parts.nodes);
            }
            spread.push(node);
        }
        self.parts.nodes = spread;
        Ok(())
    }

    /// For each node, the steps in which what it feeds takes input; `None` where these are several numbers.
    fn spans(&self, waits: &HashMap<String, usize>, steps: usize) -> Vec<Option<usize>> {
        let outputs = self.graph.outputs().iter();
        let mut of_values: HashMap<ValueId, Option<usize>> = outputs.map(|&id| (id, Some(steps))).collect();
        let mut of_nodes = Vec::with_capacity(self.parts.nodes.len());
        for node in self.parts.nodes.iter().rev() {
            let span = match (&node.op, waits.get(&node.name)) {
                (Op::Neuron(_), Some(&wait)) => Some(wait),
                _ => node.outputs.iter().find_map(|id| of_values.get(id).copied()).flatten(),
            };
            for &id in node.inputs.iter().flatten() {
                let known = of_values.entry(id).or_insert(span);
                if *known != span {
                    *known = None;
                }
            }
            of_nodes.push(span);
        }
        of_nodes.reverse();
        of_nodes
    }
}
