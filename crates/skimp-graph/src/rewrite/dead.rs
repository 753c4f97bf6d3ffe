//! Removal of what no output needs.

use super::Editor;
use crate::Graph;

/// Removes nodes that no output depends on, and values that nothing uses. Inputs stay.
pub fn remove_dead(graph: &Graph) -> Graph {
    let mut parts = Editor::new(graph);
    let mut needed = vec![false; parts.values.len()];
    for output in &parts.outputs {
        needed[output.0] = true;
    }
    let mut nodes = Vec::with_capacity(parts.nodes.len());
    // Readers come after what they read, so that one walk from the end finds all that is needed.
    for node in parts.nodes.drain(..).rev() {
        if node.outputs.iter().any(|output| needed[output.0]) {
            for id in node.inputs.iter().flatten().chain(&node.outputs) {
                needed[id.0] = true;
            }
            nodes.push(node);
        }
    }
    nodes.reverse();
    for input in &parts.inputs {
        needed[input.value.0] = true;
    }

    parts.nodes = nodes;
    parts.compact(&needed);
    parts.rebuilt()
}
