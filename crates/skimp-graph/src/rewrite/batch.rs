//! An open batch in the place of one that is fixed.

use super::Editor;
use super::editor::{batch_shapes, trial_shapes};
use crate::shape::images_stay_apart;
use crate::{Dim, Graph};

/// Batches that are tried, as multiples of the fixed one.
const TRIALS: [usize; 2] = [2, 3];

/// The network with an open batch where all of its inputs fix the same one, as exporters do where nobody asks for more.
/// `None` where they do not, or where images would not stay apart: each image of a batch gives what it gives alone, which
/// is derived from what every operator says of itself and from the shapes of larger batches.
///
/// Operators that name the batch among their attributes (`Reshape`) take what the other extents leave instead. Value ids stay.
pub fn free_batch(graph: &Graph) -> Option<Graph> {
    let mut batches = graph.inputs().iter().map(|input| input.dims.first());
    let Some(Dim::Fixed(fixed @ 1..)) = batches.next()? else { return None };
    if batches.any(|batch| batch != Some(&Dim::Fixed(*fixed))) {
        return None;
    }
    let part = trial_shapes(graph).ok()?;
    let mut constants: Vec<bool> = graph.values().iter().map(|value| value.constant.is_some()).collect();
    for node in graph.nodes() {
        let is_constant = node.inputs.iter().flatten().all(|id| constants[id.0]);
        node.outputs.iter().for_each(|id| constants[id.0] = is_constant);
    }
    let mut parts = Editor::new(graph);
    for input in &mut parts.inputs {
        input.dims[0] = Dim::Free("N".to_owned());
    }
    for node in &mut parts.nodes {
        let (Some(&Some(input)), Some(&output)) = (node.inputs.first(), node.outputs.first()) else { continue };
        let op = node.op.with_any_batch(part.shape(input), part.shape(output));
        if let Some(op) = op.filter(|_| !constants[output.0]) {
            node.op = op;
        }
    }
    let free = parts.rebuilt();
    // One part of the free network is what the fixed one takes.
    let is_same = batch_shapes(&free, *fixed).is_ok_and(|shapes| shapes == part);
    let stays_apart = |&n: &usize| images_stay_apart(&free, &part, &constants, n);
    (is_same && TRIALS.iter().all(stays_apart)).then_some(free)
}
