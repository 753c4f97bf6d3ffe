//! Constant folding.

use super::{Editor, remove_dead};
use crate::reference::evaluate;
use crate::shape::{TensorType, output_shapes};
use crate::{Graph, Op, Tensor};

/// Results up to this many elements are always folded; larger ones only where they are no larger than what they are
/// computed from.
const MAX_GROWN_ELEMENTS: u64 = 1 << 24;

/// Replaces every node whose inputs are all constant by its result, as the reference interpreter computes it, and
/// removes what is no longer used.
///
/// Left alone: `DequantizeLinear`, which says how a constant is stored; convolutions, matrix products and pools, whose
/// cost has no bound; nodes that fail (they name their error when they run); and results that would be much larger than
/// the constants they come from.
pub fn fold_constants(graph: &Graph) -> Graph {
    let mut parts = Editor::new(graph);
    let nodes = std::mem::take(&mut parts.nodes);
    for node in nodes {
        let inputs: Vec<Option<&Tensor>> =
            node.inputs.iter().map(|input| input.and_then(|id| parts.values[id.0].constant.as_ref())).collect();
        let is_constant = node.inputs.iter().zip(&inputs).all(|(input, found)| input.is_none() == found.is_none())
            && inputs.iter().any(Option::is_some);
        let results = if is_constant { folded(&node.op, &node.name, &inputs) } else { None };
        match results.filter(|results| results.len() == node.outputs.len()) {
            Some(results) => {
                for (output, result) in node.outputs.iter().zip(results) {
                    parts.values[output.0].constant = Some(result);
                }
            }
            None => parts.nodes.push(node),
        }
    }
    remove_dead(&parts.rebuilt())
}

/// What a node of constants gives, if it is one of those that are folded.
pub(crate) fn folded(op: &Op, node: &str, inputs: &[Option<&Tensor>]) -> Option<Vec<Tensor>> {
    if !op.folds() {
        return None;
    }
    let types: Vec<Option<TensorType>> = inputs.iter().map(|input| input.map(TensorType::of)).collect();
    let types: Vec<Option<&TensorType>> = types.iter().map(Option::as_ref).collect();
    let n_inputs: u64 = types.iter().flatten().map(|t| t.n_elements()).fold(0, u64::saturating_add);
    let outputs = output_shapes(op, node, &types).ok()?;
    let n_outputs = outputs.iter().map(TensorType::n_elements).fold(0, u64::saturating_add);
    if n_outputs > n_inputs.max(MAX_GROWN_ELEMENTS) {
        return None;
    }
    evaluate(op, node, inputs).ok()
}
