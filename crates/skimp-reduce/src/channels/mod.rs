//! Channels that are removed for real: what depends on what, and the smaller network.
//!
//! [`Channels`] finds the groups of layers whose channels stay or go together; [`Channels::remove`] gives the network
//! without some of them, [`Channels::mask`] the same network with these channels as zeros wherever they are summed over.
//! Both give the same outputs, bit for bit on the reference.

mod analysis;
mod classes;
mod labelling;
mod moves;
mod removal;

use std::collections::{BTreeMap, BTreeSet};

use skimp_graph::{Graph, GraphError, Tensor, ValueId};

use self::analysis::Labels;
use self::classes::Label;
use crate::Refusal;

pub use self::analysis::Slice;

/// What becomes of channels that statistics run over: those of layer and group normalization, softmax.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Masking {
    /// They stay: without some of them the others would change, and removed would not be masked.
    #[default]
    Exact,
    /// They may go, and the statistics run over those that are left.
    Inexact,
}

/// Channels that stay or go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The channels that layers make, in the order of the layers.
    pub makes: Vec<Slice>,
    /// The channels that layers read.
    pub reads: Vec<Slice>,
    class: Label,
}

/// Layers whose channels stay or go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Indices of the nodes that make the channels, in the order of the network.
    pub layers: Vec<usize>,
    /// The node among them that makes most channels, the first one of equals.
    pub widest: usize,
    /// Channels of that one, those that stay included.
    pub n_channels: usize,
    /// What may go.
    pub units: Vec<Unit>,
}

impl Group {
    /// Channels of the widest layer that one unit holds.
    pub fn channels_per_unit(&self) -> usize {
        let of = |unit: &Unit| unit.makes.iter().filter(|slice| slice.node == self.widest).count();
        self.units.iter().map(of).max().unwrap_or(1).max(1)
    }
}

/// The channels of a network.
#[derive(Debug)]
pub struct Channels<'g> {
    labels: Labels<'g>,
    groups: Vec<Group>,
    refused: Vec<Refusal>,
    /// Group and unit of each class that may go.
    units: BTreeMap<Label, (usize, usize)>,
}

/// The weight of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Weight<'g> {
    /// The constant.
    pub id: ValueId,
    /// What it holds.
    pub tensor: &'g Tensor,
    /// The axis of the channels asked for.
    pub axis: usize,
    /// Groups of the layer.
    pub groups: usize,
}

impl Weight<'_> {
    /// Channels along the axis, of all groups.
    pub fn n_channels(&self) -> usize {
        self.tensor.shape()[self.axis] * if self.axis == 0 { 1 } else { self.groups.max(1) }
    }

    /// Calls `each` with the channel and the value of every element, in memory order. Where the axis holds the channels of
    /// one group, every group has its own.
    pub fn for_each(&self, mut each: impl FnMut(usize, f32)) {
        let shape = self.tensor.shape();
        let inner: usize = shape[self.axis + 1..].iter().product();
        let outer: usize = shape[..self.axis].iter().product();
        let extent = shape[self.axis];
        let rows_per_group = (outer / self.groups.max(1)).max(1);
        for (at, &value) in self.tensor.as_f32().unwrap_or_default().iter().enumerate() {
            let row = at / inner / extent;
            let group = if self.axis == 0 { 0 } else { row / rows_per_group };
            each(group * extent + at / inner % extent, value);
        }
    }
}

/// A unit: its group and its place there.
pub type UnitAt = (usize, usize);

/// Which units go, for each group: their indices, ascending.
pub type Gone = Vec<Vec<usize>>;

impl<'g> Channels<'g> {
    /// Finds the groups of a network. Layers for which `keeps` holds make the channels that they make; they may read
    /// fewer.
    ///
    /// # Errors
    /// What is wrong with the network's shapes.
    pub fn of(graph: &'g Graph, keeps: impl Fn(&str) -> bool) -> Result<Self, GraphError> {
        Self::with(graph, Masking::Exact, keeps)
    }

    /// The same, with a choice of what becomes of channels that statistics run over.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn with(graph: &'g Graph, masking: Masking, keeps: impl Fn(&str) -> bool) -> Result<Self, GraphError> {
        let labels = Labels::of(graph, masking, keeps)?;
        let groups = grouped(&labels);
        let refused = refused(&labels, &groups);
        let numbered = groups.iter().enumerate().flat_map(|(group, held)| {
            held.units.iter().enumerate().map(move |(unit, held)| (held.class, (group, unit)))
        });
        let units = numbered.collect();
        Ok(Self { labels, groups, refused, units })
    }

    /// The network.
    pub fn graph(&self) -> &'g Graph {
        self.labels.graph
    }

    /// The groups, in the order of their first layers.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The layers that can lose none of the channels that they make, and why.
    pub fn refused(&self) -> &[Refusal] {
        &self.refused
    }

    /// The axis of a value along which channels may go, and which unit (of which group) each index belongs to; nothing
    /// where none may, or where they lie along several axes.
    pub fn along(&self, id: ValueId) -> Option<(usize, Vec<Option<UnitAt>>)> {
        let [labelling] = self.labels.of[id.0].as_slice() else { return None };
        let [axis] = labelling.axes.as_slice() else { return None };
        let of = |&label: &Label| self.units.get(&self.labels.classes.root(label)).copied();
        let units: Vec<Option<(usize, usize)>> = labelling.labels.iter().map(of).collect();
        units.iter().any(Option::is_some).then_some((*axis, units))
    }

    /// The parts of a layer's weight: how many lie before, along and behind the axis of the channels that it makes (or,
    /// with `reads`, reads) in the constant, and the constant itself. With groups, the axis holds the channels of all
    /// groups, or those of one.
    pub fn weight(&self, node: usize, reads: bool) -> Option<Weight<'g>> {
        let graph = self.labels.graph;
        let held = &graph.nodes()[node];
        let layer = self.labels.layers[node]?;
        let input = 1 - layer.data.min(1);
        let id = held.inputs[input]?;
        let tensor = graph.constant(id)?;
        let axes = held.op.weight_axes(input, tensor.shape().len())?;
        let axis = if reads { axes.inputs? } else { axes.outputs? };
        Some(Weight { id, tensor, axis, groups: held.op.groups() })
    }

    /// Names of the nodes whose statistics run over fewer channels without these units.
    pub fn inexact(&self, gone: &Gone) -> Vec<String> {
        let (labels, classes) = (&self.labels, self.classes(gone));
        let loses = |&&node: &&usize| {
            let outputs = labels.graph.nodes()[node].outputs.iter().flat_map(|id| &labels.of[id.0]);
            outputs.flat_map(|held| &held.labels).any(|&label| classes.contains(&labels.classes.root(label)))
        };
        labels.inexact.iter().filter(loses).map(|&node| labels.graph.nodes()[node].name.clone()).collect()
    }

    /// The classes of all units that go.
    fn classes(&self, gone: &Gone) -> BTreeSet<Label> {
        let units = self.groups.iter().zip(gone);
        units.flat_map(|(group, gone)| gone.iter().map(|&unit| group.units[unit].class)).collect()
    }

    /// Groups of which units have to stay after all, because nothing would be left of a value: for each such value the
    /// units that it holds.
    pub fn emptied(&self, gone: &Gone) -> Vec<Vec<(usize, usize)>> {
        let classes = self.classes(gone);
        let mut emptied = Vec::new();
        for labelling in self.labels.of.iter().flatten() {
            let held: BTreeSet<Label> = labelling.labels.iter().map(|&label| self.labels.classes.root(label)).collect();
            if held.iter().all(|class| classes.contains(class)) {
                emptied.push(held.iter().filter_map(|class| self.units.get(class).copied()).collect());
            }
        }
        emptied
    }
}

/// Classes that may go, by the layers that make them.
fn grouped(labels: &Labels<'_>) -> Vec<Group> {
    let mut units: BTreeMap<Label, Unit> = BTreeMap::new();
    let empty = |class| Unit { makes: Vec::new(), reads: Vec::new(), class };
    for &(label, slice) in labels.makes.iter().filter(|(label, _)| labels.classes.is_free(*label)) {
        let class = labels.classes.root(label);
        units.entry(class).or_insert_with(|| empty(class)).makes.push(slice);
    }
    for &(label, slice) in labels.reads.iter().filter(|(label, _)| labels.classes.is_free(*label)) {
        if let Some(unit) = units.get_mut(&labels.classes.root(label)) {
            unit.reads.push(slice);
        }
    }
    // Layers that make channels of one unit belong together.
    let mut groups: Vec<(BTreeSet<usize>, Vec<Unit>)> = Vec::new();
    for unit in units.into_values() {
        let layers: BTreeSet<usize> = unit.makes.iter().map(|slice| slice.node).collect();
        let (meeting, others): (Vec<_>, Vec<_>) = groups.into_iter().partition(|(held, _)| !held.is_disjoint(&layers));
        groups = others;
        let mut joined = (layers, Vec::new());
        for (held, units) in meeting {
            joined.0.extend(held);
            joined.1.extend(units);
        }
        joined.1.push(unit);
        groups.push(joined);
    }
    groups.sort_by_key(|(layers, _)| layers.first().copied());
    let n_channels = |node: usize| labels.makes.iter().filter(|(_, slice)| slice.node == node).count();
    let group = |(layers, mut units): (BTreeSet<usize>, Vec<Unit>)| {
        units.sort_by_key(|unit| unit.class);
        let layers: Vec<usize> = layers.into_iter().collect();
        let widest = layers.iter().copied().rev().max_by_key(|&node| n_channels(node)).unwrap_or(layers[0]);
        Group { n_channels: n_channels(widest), widest, layers, units }
    };
    groups.into_iter().map(group).collect()
}

/// Layers that belong to no group, and why.
fn refused(labels: &Labels<'_>, groups: &[Group]) -> Vec<Refusal> {
    let nodes = labels.graph.nodes();
    let grouped: BTreeSet<usize> = groups.iter().flat_map(|group| group.layers.iter().copied()).collect();
    let mut first: BTreeMap<usize, Label> = BTreeMap::new();
    for &(label, slice) in labels.makes.iter().filter(|(_, slice)| !grouped.contains(&slice.node)) {
        first.entry(slice.node).or_insert(label);
    }
    let refusal = |(node, label): (usize, Label)| {
        let reason = match labels.classes.reason(label) {
            Some(fixed) if fixed.node == node => fixed.reason.clone(),
            Some(fixed) => {
                let by = &nodes[fixed.node];
                format!("\"{}\" ({}) requires all of its channels: {}", by.name, by.op.name(), fixed.reason)
            }
            None => "it keeps the channels that it reads apart, and those are the network's input".to_owned(),
        };
        Refusal { node: nodes[node].name.clone(), reason }
    };
    first.into_iter().map(refusal).collect()
}
