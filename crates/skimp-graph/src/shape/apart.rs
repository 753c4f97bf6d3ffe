//! Whether the images of a batch can be computed apart.

use super::{Shapes, infer};
use crate::ops::{Operand, Operands};
use crate::{Graph, Node, ValueId};

/// Whether running `n_parts` parts of a batch apart and stacking what they give is the same as running the batch.
///
/// `part` holds the shapes of one part, `constants` says which values do not depend on the inputs. Values may have several
/// rows for each image, such as the windows that an image is cut into.
pub fn images_stay_apart(graph: &Graph, part: &Shapes, constants: &[bool], n_parts: usize) -> bool {
    let stacked = |shape: &[usize]| match shape.split_first() {
        Some((&rows, rest)) if rows > 0 => Some(std::iter::once(rows * n_parts).chain(rest.iter().copied()).collect()),
        _ => None,
    };
    let inputs: Option<Vec<Vec<usize>>> = graph.inputs().iter().map(|input| stacked(part.shape(input.value))).collect();
    let Some(batch) = inputs.and_then(|inputs| infer(graph, &inputs).ok()) else { return false };
    let stacks = |id: ValueId| {
        constants[id.0] || stacked(part.shape(id)).is_some_and(|shape: Vec<usize>| shape == batch.shape(id))
    };
    graph.nodes().iter().all(|node| {
        let is_constant = node.outputs.iter().all(|id| constants[id.0]);
        is_constant || node.outputs.iter().all(|&id| stacks(id)) && keeps_images_apart(node, part, constants)
    })
}

fn keeps_images_apart(node: &Node, part: &Shapes, constants: &[bool]) -> bool {
    let operand = |id: ValueId| Operand { shape: part.shape(id), is_constant: constants[id.0] };
    let inputs = node.inputs.iter().map(|input| input.map(operand)).collect();
    let output_rank = node.outputs.first().map_or(0, |&id| part.shape(id).len());
    node.op.keeps_images_apart(&Operands { inputs, output_rank })
}
