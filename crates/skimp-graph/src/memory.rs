//! How much memory the values of a graph take, before anything is allocated.

use skimp_memory::OutOfMemory;

use crate::Graph;
use crate::shape::Shapes;

/// The most bytes that values alive at once take in a run node by node, and the node at which they do. Constants, which
/// are there already, do not count. `sizes` has the bytes of each value; each node lists the values that it reads and
/// makes; `kept` live to the end.
pub fn peak<'a>(
    sizes: &[u64],
    nodes: impl Iterator<Item = (Vec<usize>, Vec<usize>)> + Clone + 'a,
    inputs: &[usize],
    kept: &[usize],
) -> (u64, Option<usize>) {
    let mut last = vec![usize::MAX; sizes.len()];
    for (idx, (reads, _)) in nodes.clone().enumerate() {
        reads.into_iter().for_each(|value| last[value] = idx);
    }
    kept.iter().for_each(|&value| last[value] = usize::MAX);
    let mut alive: u64 = inputs.iter().fold(0, |sum, &value| sum.saturating_add(sizes[value]));
    let mut found = (alive, None);
    for (idx, (reads, makes)) in nodes.enumerate() {
        alive = makes.iter().fold(alive, |sum, &value| sum.saturating_add(sizes[value]));
        if alive > found.0 {
            found = (alive, Some(idx));
        }
        let mut dead: Vec<usize> = reads.into_iter().filter(|&value| last[value] == idx).collect();
        dead.sort_unstable();
        dead.dedup();
        alive = dead.into_iter().fold(alive, |sum, value| sum.saturating_sub(sizes[value]));
    }
    found
}

/// The most bytes that the computed values of `graph`, of the given shapes, take at once in a run node by node; its
/// inputs do not count.
pub fn beside_inputs(graph: &Graph, shapes: &Shapes) -> u64 {
    let mut sizes = sizes(graph, shapes);
    graph.inputs().iter().for_each(|input| sizes[input.value.0] = 0);
    peak_of(graph, &sizes).0
}

/// Bytes of each value; none of constants.
fn sizes(graph: &Graph, shapes: &Shapes) -> Vec<u64> {
    let size = |(idx, value): (usize, &crate::Value)| match shapes.get(crate::ValueId(idx)) {
        Some(of_value) if value.constant.is_none() => {
            of_value.n_elements().saturating_mul(of_value.dtype.n_bytes() as u64)
        }
        _ => 0,
    };
    graph.values().iter().enumerate().map(size).collect()
}

/// [`peak`] of a graph's values of those sizes.
fn peak_of(graph: &Graph, sizes: &[u64]) -> (u64, Option<usize>) {
    let nodes = graph.nodes().iter().map(|node| {
        let reads = node.inputs.iter().flatten().map(|id| id.0).collect();
        (reads, node.outputs.iter().map(|id| id.0).collect())
    });
    let inputs: Vec<usize> = graph.inputs().iter().map(|input| input.value.0).collect();
    let kept: Vec<usize> = graph.outputs().iter().map(|id| id.0).collect();
    peak(sizes, nodes, &inputs, &kept)
}

/// Checks that the values of `graph`, of the given shapes, fit into the memory budget, `copies` times (as many images at
/// once).
///
/// # Errors
/// [`OutOfMemory`] naming the node at which they do not.
pub fn check(graph: &Graph, shapes: &Shapes, copies: u64) -> Result<(), OutOfMemory> {
    let (bytes, at) = peak_of(graph, &sizes(graph, shapes));
    skimp_memory::check(bytes.saturating_mul(copies), || {
        let node = at.and_then(|idx| graph.nodes().get(idx));
        node.map_or_else(|| format!("network \"{}\"", graph.name()), |node| describe(&node.name, node.op.name()))
    })
}

/// A node in an [`OutOfMemory`].
pub(crate) fn describe(node: &str, op: &str) -> String {
    format!("node \"{node}\" ({op})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_counts_what_is_alive_together() {
        // 0 -> 1 -> 2, and 0 again with 2 -> 3.
        let nodes = [(vec![0], vec![1]), (vec![1], vec![2]), (vec![0, 2], vec![3])];
        let (bytes, at) = peak(&[1, 10, 100, 5], nodes.iter().cloned(), &[0], &[3]);
        assert_eq!((bytes, at), (111, Some(1)));
        let (bytes, _) = peak(&[u64::MAX, 1, 1, 1], nodes.iter().cloned(), &[0], &[3]);
        assert_eq!(bytes, u64::MAX);
        let (bytes, at) = peak(&[7], std::iter::empty(), &[0], &[0]);
        assert_eq!((bytes, at), (7, None));
    }
}
