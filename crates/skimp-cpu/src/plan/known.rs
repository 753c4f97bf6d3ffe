//! What does not depend on the elements of the inputs once their shapes are known.

use skimp_graph::shape::Shapes;
use skimp_graph::{Data, Graph, GraphError, Op, Tensor, reference};

/// The constants, and the values that follow from them and from the shapes: an exclusive or of a value with itself is false
/// (as which importing writes a value that is known except for its extents), and so on through what reads it.
///
/// # Errors
/// A node's error if its constants do not fit.
pub(super) fn constants(
    graph: &Graph,
    shapes: &Shapes,
    constants: &[Option<Tensor>],
) -> Result<Vec<Option<Tensor>>, GraphError> {
    let mut known = constants.to_vec();
    for node in graph.nodes() {
        let &[out] = node.outputs.as_slice() else { continue };
        if known[out.0].is_some() {
            continue;
        }
        if matches!((&node.op, node.inputs.as_slice()), (Op::Xor, [a, b]) if a == b) {
            let shape = shapes.shape(out).to_vec();
            let n = shape.iter().product();
            known[out.0] = Tensor::new(shape, Data::from(vec![false; n]));
            continue;
        }
        let inputs: Vec<Option<&Tensor>> =
            node.inputs.iter().map(|input| input.and_then(|id| known[id.0].as_ref())).collect();
        if node.inputs.iter().zip(&inputs).all(|(id, tensor)| id.is_none() == tensor.is_none()) {
            known[out.0] = reference::evaluate(&node.op, &node.name, &inputs)?.pop();
        }
    }
    Ok(known)
}

/// Which nodes an output needs, by what is known.
pub(super) fn needed(graph: &Graph, known: &[Option<Tensor>]) -> Vec<bool> {
    let mut wanted = vec![false; graph.values().len()];
    graph.outputs().iter().for_each(|id| wanted[id.0] = true);
    let mut needed = vec![false; graph.nodes().len()];
    for (idx, node) in graph.nodes().iter().enumerate().rev() {
        if node.outputs.iter().any(|id| wanted[id.0] && known[id.0].is_none()) {
            needed[idx] = true;
            node.inputs.iter().flatten().for_each(|id| wanted[id.0] = true);
        }
    }
    needed
}
