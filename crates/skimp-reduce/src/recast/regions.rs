//! Where a network narrows to a single value, and what lies between two such places.

use skimp_graph::{Graph, Node, ValueId};

use crate::ReduceError;

/// What lies between two values through which everything passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Indices of the nodes, in the order of the network.
    pub(super) nodes: Vec<usize>,
    /// The value before it.
    pub(super) input: ValueId,
    /// The value behind it.
    pub(super) output: ValueId,
}

/// Inputs of a node that are no constants, in order.
pub(super) fn variables<'a>(graph: &'a Graph, node: &'a Node) -> impl Iterator<Item = ValueId> + 'a {
    node.inputs.iter().flatten().copied().filter(|&id| graph.constant(id).is_none())
}

/// The network as a chain of segments from its input to its output.
///
/// Every path from the input to the output passes through the values between them. What hangs on constants only, and
/// what no output needs, lies in none.
pub(super) fn segments(graph: &Graph) -> Result<Vec<Segment>, ReduceError> {
    let nothing = |cause: String| ReduceError::Nothing { network: graph.name().to_owned(), cause };
    let ([input], [output]) = (graph.inputs(), graph.outputs()) else {
        let (inputs, outputs) = (graph.inputs().len(), graph.outputs().len());
        return Err(nothing(format!(
            "blocks are found between one input and one output, it has {inputs} inputs and {outputs} outputs; cut the \
             others off first"
        )));
    };
    let (input, output) = (input.value, *output);
    let mut depends = vec![false; graph.values().len()];
    depends[input.0] = true;
    for node in graph.nodes() {
        if node.inputs.iter().flatten().any(|id| depends[id.0]) {
            node.outputs.iter().for_each(|id| depends[id.0] = true);
        }
    }
    let mut needed = vec![false; graph.values().len()];
    needed[output.0] = true;
    for node in graph.nodes().iter().rev() {
        if node.outputs.iter().any(|id| needed[id.0]) {
            node.inputs.iter().flatten().for_each(|id| needed[id.0] = true);
        }
    }
    let lies_between = |id: ValueId| depends[id.0] && needed[id.0];
    let is_part = |node: &Node| node.outputs.iter().any(|&id| lies_between(id));
    // How often each value is still to be read.
    let mut n_reads = vec![0_usize; graph.values().len()];
    n_reads[output.0] += 1;
    for node in graph.nodes().iter().filter(|node| is_part(node)) {
        node.inputs.iter().flatten().filter(|&&id| lies_between(id)).for_each(|id| n_reads[id.0] += 1);
    }
    let (mut found, mut nodes, mut start) = (Vec::new(), Vec::new(), input);
    let mut n_live = 1_usize;
    for (idx, node) in graph.nodes().iter().enumerate().filter(|(_, node)| is_part(node)) {
        nodes.push(idx);
        for &id in node.inputs.iter().flatten().filter(|&&id| lies_between(id)) {
            n_reads[id.0] -= 1;
            n_live -= usize::from(n_reads[id.0] == 0);
        }
        let mut alive = node.outputs.iter().filter(|id| n_reads[id.0] > 0);
        let last = alive.next().copied();
        n_live += usize::from(last.is_some()) + alive.count();
        if let (Some(last), 1) = (last, n_live) {
            found.push(Segment { nodes: std::mem::take(&mut nodes), input: start, output: last });
            start = last;
        }
    }
    if start == output && start != input {
        return Ok(found);
    }
    Err(nothing("its output does not depend on its input by one chain of blocks".to_owned()))
}
