//! A graph seen without its transposes.

use crate::onnx::symbolic::{self, Extent, Shape, Symbols};
use crate::ops::Class;
use crate::ops::order::{Ranks, Reordered, is_identity, then};
use crate::rewrite::Editor;
use crate::{Dim, Graph, Node, Op, ValueId};

/// Elements beyond which a value counts no more.
const MAX_ELEMENTS: u64 = 1 << 32;

/// What an element counts, beside 1 for a conversion and 1 for one right behind a layer, which hinder fusion.
const ELEMENT: u64 = 1 << 16;

/// A value as another one in another order.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The value that no transpose makes.
    pub(super) root: ValueId,
    /// Order of the root's axes; empty where nobody knows how many there are.
    pub(super) order: Vec<usize>,
}

/// One use of a value by a node, behind transposes or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    pub(super) node: usize,
    pub(super) input: usize,
}

/// A graph seen without its transposes.
#[derive(Debug)]
pub(super) struct View<'g> {
    pub(super) graph: &'g Graph,
    /// Extents of each value, as far as they are certain.
    shapes: Vec<Shape>,
    /// For each value, where it comes from.
    pub(super) sources: Vec<Source>,
    /// For each root, the nodes that read it; none that are transposes.
    pub(super) readers: Vec<Vec<Reader>>,
    /// For each root, the orders in which it leaves the network.
    pub(super) left: Vec<Vec<Vec<usize>>>,
    /// For each value, the node that makes it and which of its outputs it is.
    pub(super) producers: Vec<Option<(usize, usize)>>,
    /// For each node that can take its operands in another order, how many axes they have.
    pub(super) ranks: Vec<Option<Ranks>>,
    /// What a conversion of each value costs.
    weights: Vec<u64>,
}

impl<'g> View<'g> {
    /// `None` where there is no transpose, or shapes cannot be found.
    pub(super) fn new(graph: &'g Graph) -> Option<Self> {
        if !super::has_transposes(graph) {
            return None;
        }
        let shapes = shapes(graph);
        let mut ranks: Vec<Option<usize>> = shapes.iter().map(|shape| shape.as_ref().map(Vec::len)).collect();
        for node in graph.nodes() {
            if let Some((x, perm)) = transposed(node) {
                let is_order = ranks[x.0].is_none_or(|rank| rank == perm.len()) && {
                    let mut sorted = perm.to_vec();
                    sorted.sort_unstable();
                    is_identity(&sorted)
                };
                if !is_order {
                    return None;
                }
                ranks[x.0] = Some(perm.len());
                ranks[node.outputs[0].0] = Some(perm.len());
            }
        }
        let own = |id: usize| Source { root: ValueId(id), order: (0..ranks[id].unwrap_or(0)).collect() };
        let mut sources: Vec<Source> = (0..graph.values().len()).map(own).collect();
        for node in graph.nodes() {
            if let Some((x, perm)) = transposed(node) {
                let order = then(&sources[x.0].order, perm);
                sources[node.outputs[0].0] = Source { root: sources[x.0].root, order };
            }
        }
        let n_values = graph.values().len();
        let (mut readers, mut producers) = (vec![Vec::new(); n_values], vec![None; n_values]);
        for (idx, node) in graph.nodes().iter().enumerate() {
            node.outputs.iter().enumerate().for_each(|(at, id)| producers[id.0] = Some((idx, at)));
            if matches!(node.op, Op::Transpose(_)) {
                continue;
            }
            for (input, id) in node.inputs.iter().enumerate() {
                let Some(id) = id else { continue };
                readers[sources[id.0].root.0].push(Reader { node: idx, input });
            }
        }
        let mut left: Vec<Vec<Vec<usize>>> = vec![Vec::new(); n_values];
        for id in graph.outputs() {
            let source = &sources[id.0];
            left[source.root.0].push(source.order.clone());
        }
        let weights = weights(graph, &producers)?;
        let ranks = graph.nodes().iter().map(|node| reorderable(graph, node, &ranks)).collect();
        Some(Self { graph, shapes, sources, readers, left, producers, ranks, weights })
    }

    /// What the transposes that stand in the graph cost; one that moves axes of extent 1 only costs least.
    pub(super) fn cost_of_transposes(&self) -> u64 {
        let cost = |node: &Node| {
            let (x, perm) = transposed(node)?;
            let moves = self.effective(x, perm) != self.effective(x, &(0..perm.len()).collect::<Vec<usize>>());
            Some(if moves { self.weights[x.0] } else { 1 })
        };
        self.graph.nodes().iter().filter_map(cost).fold(0, u64::saturating_add)
    }

    /// What it costs to put a root into another order.
    pub(super) fn weight(&self, root: ValueId) -> u64 {
        self.weights[root.0]
    }

    /// Whether the root is a constant, whose order costs nothing.
    pub(super) fn is_constant(&self, root: ValueId) -> bool {
        self.graph.constant(root).is_some()
    }

    /// An order without the axes of extent 1: elements lie alike in orders that agree here.
    pub(super) fn effective(&self, id: ValueId, order: &[usize]) -> Vec<usize> {
        let is_unit = |axis: usize| matches!(self.extent(id, axis), Some(Extent::Known(1)));
        order.iter().copied().filter(|&axis| !is_unit(axis)).collect()
    }

    /// The extent of an axis, if it is certain.
    pub(super) fn extent(&self, id: ValueId, axis: usize) -> Option<Extent> {
        self.shapes[id.0].as_ref()?.get(axis).copied()
    }

    /// The order of its root in which a node takes an input.
    pub(super) fn wanted(&self, form: Option<&Reordered>, reader: Reader) -> Vec<usize> {
        let id = self.graph.nodes()[reader.node].inputs[reader.input];
        let order = id.map_or(&[][..], |id| &self.sources[id.0].order);
        match form.and_then(|form| form.inputs.get(reader.input)?.as_ref()) {
            Some(own) => then(order, own),
            None => order.to_vec(),
        }
    }

    /// The order in which a root is made by its producer in that form.
    pub(super) fn made(&self, form: Option<&Reordered>, root: ValueId) -> Vec<usize> {
        let made = self.producers[root.0].and_then(|(_, at)| form?.outputs.get(at).cloned());
        made.unwrap_or_else(|| self.sources[root.0].order.clone())
    }
}

/// The input and the order of a transpose.
pub(super) fn transposed(node: &Node) -> Option<(ValueId, &[usize])> {
    match (&node.op, node.inputs.first()) {
        (Op::Transpose(transpose), Some(&Some(x))) => Some((x, &transpose.perm)),
        _ => None,
    }
}

pub(super) fn shapes(graph: &Graph) -> Vec<Shape> {
    let mut symbols = Symbols::default();
    let mut of_input = |dims: &[Dim]| {
        let extent = |dim: &Dim| match dim {
            Dim::Fixed(n) => Extent::Known(*n),
            Dim::Free(name) => Extent::Symbol(symbols.named(name)),
        };
        Some(dims.iter().map(extent).collect())
    };
    let inputs: Vec<Shape> = graph.inputs().iter().map(|input| of_input(&input.dims)).collect();
    symbolic::infer(graph, &inputs, &mut symbols)
}

/// The axes of the operands of a node that can take them in another order.
pub(super) fn reorderable(graph: &Graph, node: &Node, ranks: &[Option<usize>]) -> Option<Ranks> {
    if matches!(node.op, Op::Transpose(_)) {
        return None;
    }
    let rank = |id: ValueId| Some((ranks[id.0]?, graph.constant(id).is_some()));
    let mut inputs = Vec::with_capacity(node.inputs.len());
    for id in &node.inputs {
        inputs.push(match id {
            Some(id) => Some(rank(*id)?),
            None => None,
        });
    }
    let outputs = node.outputs.iter().map(|id| ranks[id.0]).collect::<Option<Vec<usize>>>()?;
    let ranks = Ranks { inputs, outputs };
    let as_it_is: Vec<usize> = (0..ranks.frame()).collect();
    node.op.reordered(&as_it_is, &ranks).map(|_| ranks)
}

/// What a conversion of each value costs, for extents that the graph takes.
fn weights(graph: &Graph, producers: &[Option<(usize, usize)>]) -> Option<Vec<u64>> {
    let editor = Editor::new(graph);
    let mut weights = Vec::with_capacity(producers.len());
    for (id, producer) in producers.iter().enumerate() {
        let shape = match graph.constant(ValueId(id)) {
            Some(tensor) => tensor.shape(),
            None if producer.is_none() && graph.inputs().iter().all(|input| input.value.0 != id) => &[],
            None => editor.original_shape(ValueId(id))?,
        };
        let n = shape.iter().map(|&n| n as u64).fold(1, u64::saturating_mul);
        let is_layer = producer.is_some_and(|(node, _)| graph.nodes()[node].op.class() == Class::Multiplies);
        weights.push(n.clamp(1, MAX_ELEMENTS) * ELEMENT + u64::from(is_layer));
    }
    Some(weights)
}
