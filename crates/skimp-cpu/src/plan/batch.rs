//! Whether the images of a batch can run apart.

use skimp_graph::ops::{Operand, Operands};
use skimp_graph::shape::{self, Shapes};
use skimp_graph::{Graph, Node, ValueId};

/// Whether running every image alone and stacking the outputs is the same as running the batch of `n_images`.
///
/// `single` holds the shapes for a batch of one, `constants` which values do not depend on the inputs.
pub(crate) fn is_per_image(graph: &Graph, single: &Shapes, constants: &[bool], n_images: usize) -> bool {
    let input_shapes: Option<Vec<Vec<usize>>> = graph
        .inputs()
        .iter()
        .map(|input| match single.shape(input.value).split_first() {
            Some((1, rest)) => Some(std::iter::once(n_images).chain(rest.iter().copied()).collect()),
            _ => None,
        })
        .collect();
    let Some(batch) = input_shapes.and_then(|shapes| shape::infer(graph, &shapes).ok()) else { return false };
    let stacks = |id: ValueId| {
        let (one, all) = (single.shape(id), batch.shape(id));
        constants[id.0]
            || one.len() == all.len()
                && one.first() == Some(&1)
                && all.first() == Some(&n_images)
                && one[1..] == all[1..]
    };
    graph.inputs().iter().all(|input| stacks(input.value))
        && graph.nodes().iter().all(|node| {
            let is_constant = node.outputs.iter().all(|id| constants[id.0]);
            is_constant || node.outputs.iter().all(|&id| stacks(id)) && keeps_images_apart(node, single, constants)
        })
}

fn keeps_images_apart(node: &Node, single: &Shapes, constants: &[bool]) -> bool {
    let operand = |id: ValueId| Operand { shape: single.shape(id), is_constant: constants[id.0] };
    let inputs = node.inputs.iter().map(|input| input.map(operand)).collect();
    let output_rank = node.outputs.first().map_or(0, |&id| single.shape(id).len());
    node.op.keeps_images_apart(&Operands { inputs, output_rank })
}
