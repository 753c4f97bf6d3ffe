//! Whether a batch may be cut into images.

use skimp_graph::integer::IntegerGraph;

/// Whether every node treats the images of a batch separately, so that a batch of `n` may be cut along its first axis;
/// `batch` are the shapes of all values for the batch, `single` those for one image.
pub(super) fn is_separable(graph: &IntegerGraph, batch: &[Vec<usize>], single: &[Vec<usize>], n: usize) -> bool {
    let stacks = |id: usize| match (single[id].split_first(), batch[id].split_first()) {
        (Some((1, one)), Some((first, all))) => *first == n && one == all,
        _ => false,
    };
    graph.inputs.iter().all(|input| stacks(input.value.0))
        && graph.nodes.iter().all(|node| {
            let inputs: Vec<&[usize]> = node.inputs.iter().map(|id| single[id.0].as_slice()).collect();
            let output_rank = node.outputs.first().map_or(0, |id| single[id.0].len());
            node.outputs.iter().all(|id| stacks(id.0)) && node.keeps_images_apart(&inputs, output_rank)
        })
}
