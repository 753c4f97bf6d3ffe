//! Layouts: transposes that can be left out.
//!
//! Exporters from frameworks whose images lie channels last put a `Transpose` before and behind every convolution. What
//! lies between two of them mostly computes the same in any order of axes, as it says itself (`Operator::reordered`), so
//! that it can run in the order of the convolutions.
//!
//! The graph is seen without its transposes: each value has readers that want it in some order, and is made in one. A
//! conversion costs its elements. For whole groups of nodes whose orders hang together a minimum cut finds which of them
//! to turn, exactly for one turn of each group, so that the elements that are moved only ever get fewer.

mod choose;
mod cut;
mod emit;
mod view;

#[cfg(test)]
mod tests;

use self::choose::Choice;
use self::view::View;
use super::{remove_dead, remove_identities};
use crate::ops::Class;
use crate::{Graph, Op, ValueId};

/// Removes transposes that change the order of axes and change it back: what lies between them runs in the order that
/// moves the fewest elements.
///
/// Inputs and outputs of the network keep their axes, so that a network with images channels last keeps one `Transpose`
/// of its input, and what still needs one has one. A value between may have its axes in another order than before; it
/// keeps its name. Constants that such nodes read get their axes in the same order.
///
/// The elements that all transposes of the graph move get fewer or the graph stays as it is; those that move nothing but
/// axes of extent 1 become a `Reshape`. Sums keep their sequence, so that every result is the same bit for bit; a
/// reduction whose sequence would change keeps its transpose, and so does a matrix product over flattened images.
pub fn cancel_transposes(graph: &Graph) -> Graph {
    let mut best = graph.clone();
    let mut cost = View::new(&best).map_or(0, |view| view.cost_of_transposes());
    while let Some(view) = View::new(&best) {
        let mut choice = Choice::new(&view);
        choice.improve();
        let turned = remove_dead(&remove_identities(&emit::emit(&view, &choice)));
        let found =
            if has_transposes(&turned) { View::new(&turned).map(|view| view.cost_of_transposes()) } else { Some(0) };
        match found {
            Some(found) if found < cost => cost = found,
            Some(_) | None => break,
        }
        best = turned;
    }
    best
}

/// Whether the first layers behind a value of four axes take its last one as channels: they lie behind a transpose that
/// makes it the second. `None` where no layer tells.
pub(crate) fn takes_channels_last(graph: &Graph, value: ValueId) -> Option<bool> {
    const ORDER: [usize; 4] = [0, 3, 1, 2];
    let ranks: Vec<Option<usize>> = view::shapes(graph).iter().map(|shape| shape.as_ref().map(Vec::len)).collect();
    let mut is_reached = vec![false; graph.values().len()];
    is_reached[value.0] = true;
    // Every node comes after those that it reads.
    for node in graph.nodes() {
        if !node.inputs.iter().flatten().any(|id| is_reached[id.0]) {
            continue;
        }
        if let Some((_, perm)) = view::transposed(node) {
            return Some(perm == ORDER);
        }
        let takes_any = view::reorderable(graph, node, &ranks).and_then(|ranks| node.op.reordered(&ORDER, &ranks));
        if takes_any.is_some() {
            node.outputs.iter().for_each(|id| is_reached[id.0] = true);
        } else if matches!(node.op.class(), Class::Multiplies | Class::Pools | Class::Normalizes)
            || matches!(node.op, Op::GlobalAveragePool | Op::GlobalMaxPool)
        {
            return Some(false);
        }
    }
    None
}

/// Whether a graph has a transpose at all.
fn has_transposes(graph: &Graph) -> bool {
    graph.nodes().iter().any(|node| matches!(node.op, Op::Transpose(_)))
}
