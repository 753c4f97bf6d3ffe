//! Removal of nodes that hand their input on.

use super::{Editor, remove_dead};
use crate::{DType, Graph};

/// Removes `Identity`, `Dropout`, `Cast` to the type at hand, `Pad` by nothing, `Transpose` to the same order, `Clip`
/// without bounds, and `Concat` of one. One that joins a graph input or constant, or another graph output, to an
/// output stays: it carries the output's name.
pub fn remove_identities(graph: &Graph) -> Graph {
    let mut parts = Editor::new(graph);
    let dtypes = dtypes(graph);
    let mut idx = 0;
    while idx < parts.nodes.len() {
        let node = &parts.nodes[idx];
        let (Some(&Some(input)), [_]) = (node.inputs.first(), node.outputs.as_slice()) else {
            idx += 1;
            continue;
        };
        let is_identity = node.op.is_identity(dtypes[input.0], node.inputs.len());
        if !is_identity || parts.bypass(idx).is_err() {
            idx += 1;
        }
    }
    remove_dead(&parts.rebuilt())
}

/// Element type of every value, without shapes.
fn dtypes(graph: &Graph) -> Vec<Option<DType>> {
    let mut dtypes: Vec<Option<DType>> =
        graph.values().iter().map(|value| value.constant.as_ref().map(|tensor| tensor.dtype())).collect();
    for input in graph.inputs() {
        dtypes[input.value.0] = Some(input.dtype);
    }
    for node in graph.nodes() {
        let inputs: Vec<Option<DType>> = node.inputs.iter().map(|id| id.and_then(|id| dtypes[id.0])).collect();
        for (idx, output) in node.outputs.iter().enumerate() {
            dtypes[output.0] = node.op.output_dtype(&inputs, idx).ok();
        }
    }
    dtypes
}
