//! Removal of what no output needs.

use super::Parts;
use crate::{Graph, ValueId};

/// Removes nodes that no output depends on, and values that nothing uses. Inputs stay.
pub fn remove_dead(graph: &Graph) -> Graph {
    let mut parts = Parts::of(graph);
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

    let mut new_ids = Vec::with_capacity(needed.len());
    let mut n_kept = 0;
    for &needed in &needed {
        new_ids.push(ValueId(n_kept));
        n_kept += usize::from(needed);
    }
    let mut is_needed = needed.into_iter();
    parts.values.retain(|_| is_needed.next().unwrap_or(false));
    for node in &mut nodes {
        for id in node.inputs.iter_mut().flatten().chain(&mut node.outputs) {
            *id = new_ids[id.0];
        }
    }
    for input in &mut parts.inputs {
        input.value = new_ids[input.value.0];
    }
    for output in &mut parts.outputs {
        *output = new_ids[output.0];
    }
    parts.nodes = nodes;
    parts.finish()
}
