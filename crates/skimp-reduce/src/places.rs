//! Where channels of a group may be switched off on their way, image by image or batch by batch.

use skimp_graph::ops::Class;
use skimp_graph::{Graph, Op, ValueId};
use skimp_train::Model;

use crate::ReduceError;
use crate::channels::{Channels, UnitAt};

/// Where the gate of a group is: the value that it multiplies, and the unit of each of its channels.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) value: ValueId,
    /// The node that makes it.
    pub(crate) node: usize,
    pub(crate) units: Vec<UnitAt>,
}

/// Where the gate of a group may be: on the last value before the layers that read it, of one layer's channels in a chain.
pub(crate) fn gated(channels: &Channels<'_>, at: usize) -> Result<Place, &'static str> {
    let (graph, group) = (channels.graph(), &channels.groups()[at]);
    let consumers = graph.consumers();
    let mut made: Vec<usize> = vec![group.layers[0]];
    let (mut node, mut gate, mut is_moved) = (group.layers[0], (ValueId(0), 0), false);
    loop {
        let &[value] = graph.nodes()[node].outputs.as_slice() else {
            return Err("a layer behind it has several outputs");
        };
        if !is_moved {
            gate = (value, node);
        }
        let mut next = consumers[value.0].clone();
        next.dedup();
        let reads = |node: &usize| {
            !group.layers.contains(node)
                && group.units.iter().any(|unit| unit.reads.iter().any(|slice| slice.node == *node))
        };
        if !next.is_empty() && next.iter().all(reads) {
            break;
        }
        let &[one] = next.as_slice() else { return Err("its channels are read in several places") };
        let behind = &graph.nodes()[one];
        if behind.inputs.iter().flatten().filter(|id| graph.constant(**id).is_none()).count() != 1 {
            return Err("its channels are joined with others");
        }
        let class = behind.op.class();
        // Zeros stay zeros behind the gate.
        is_moved |= class == Class::Moves && !matches!(behind.op, Op::Identity);
        if is_moved && !matches!(class, Class::Moves | Class::Pools) {
            return Err("it is computed with behind the place where its channels are moved to");
        }
        if class == Class::Multiplies {
            if !group.layers.contains(&one) {
                return Err("its channels are read in several places");
            }
            made.push(one);
        }
        node = one;
    }
    if made.len() != group.layers.len() {
        return Err("several layers make its channels");
    }
    let units = match channels.along(gate.0) {
        Some((1, units)) => units.into_iter().map(|unit| unit.filter(|&(group, _)| group == at)).collect(),
        _ => None,
    };
    let units: Vec<UnitAt> = units.ok_or("some channels beside its own stay")?;
    Ok(Place { value: gate.0, node: gate.1, units })
}

/// Names of the values around these places: a model that keeps them fuses nothing over a place.
pub(crate) fn unfused<'p>(graph: &Graph, places: impl Iterator<Item = &'p Place>) -> Vec<String> {
    let is_computed =
        |id: &ValueId| graph.constant(*id).is_none() && !graph.inputs().iter().any(|input| input.value == *id);
    let around = places.flat_map(|place| {
        graph.nodes()[place.node].inputs.iter().flatten().copied().chain([place.value]).collect::<Vec<ValueId>>()
    });
    around.filter(is_computed).map(|id| graph.value(id).name.clone()).collect()
}

/// Channels, rows and columns of an image of a gate's value.
pub(crate) fn extents(model: &Model, graph: &Graph, place: &Place) -> Result<[usize; 3], ReduceError> {
    let shape = model.tensor_shape(&graph.value(place.value).name).unwrap_or_default();
    let is_hooked = model.sites().any(|site| site.name == graph.nodes()[place.node].name);
    match *shape {
        [c] if is_hooked => Ok([c, 1, 1]),
        [c, h, w] if is_hooked => Ok([c, h, w]),
        _ => Err(ReduceError::Node {
            network: graph.name().to_owned(),
            node: graph.nodes()[place.node].name.clone(),
            cause: format!(
                "a gate on values of extents {shape:?} is not known; keep the layer whose channels it has (--keep)"
            ),
        }),
    }
}
