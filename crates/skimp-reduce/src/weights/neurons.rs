//! Neurons that nothing reaches any more, or that reach nothing.

use skimp_graph::ops::{self, Class};
use skimp_graph::{Graph, Node, Op, ValueId};

use super::tensors::Found;

/// Neurons (output channels of a layer) without connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadNeurons {
    /// Name of the layer.
    pub layer: String,
    /// Neurons.
    pub n_neurons: usize,
    /// Those without any incoming weight: they give a constant.
    pub without_inputs: Vec<usize>,
    /// Those that no layer behind them reads with any weight, where that can be told.
    pub without_readers: Vec<usize>,
}

/// The neurons without connections, of all layers that have any.
pub fn dead_neurons(graph: &Graph, found: &Found, masks: &[Vec<f32>]) -> Vec<DeadNeurons> {
    let consumers = graph.consumers();
    let of = |position: usize| {
        let tensor = &found.tensors[position];
        let (matrix, mask) = (&tensor.matrix, &masks[position]);
        let is_empty = |row: usize| (0..matrix.columns()).all(|column| mask[matrix.index(row, column)] <= 0.0);
        let readers = match tensor.nodes.as_slice() {
            &[node] if graph.nodes()[node].outputs.len() == 1 => {
                readers(graph, &consumers, found, graph.nodes()[node].outputs[0], matrix.rows())
            }
            _ => None,
        };
        let is_unread = |row: usize| {
            readers.as_ref().is_some_and(|readers| {
                readers.iter().all(|&(reader, spread)| {
                    let (matrix, mask) = (&found.tensors[reader].matrix, &masks[reader]);
                    let taps = spread * matrix.taps();
                    let mut columns = row * taps..(row + 1) * taps;
                    columns.all(|column| (0..matrix.rows()).all(|r| mask[matrix.index(r, column)] <= 0.0))
                })
            })
        };
        DeadNeurons {
            layer: tensor.layer.clone(),
            n_neurons: matrix.rows(),
            without_inputs: (0..matrix.rows()).filter(|&row| is_empty(row)).collect(),
            without_readers: (0..matrix.rows()).filter(|&row| is_unread(row)).collect(),
        }
    };
    let all = (0..found.tensors.len()).map(of);
    all.filter(|dead| !dead.without_inputs.is_empty() || !dead.without_readers.is_empty()).collect()
}

/// Cuts the weights into neurons that nothing reads, layer after layer from the end; gives how many went. The network's
/// outputs do not change.
pub(crate) fn cut_unread(graph: &Graph, found: &Found, masks: &mut [Vec<f32>]) -> usize {
    let mut n_cut = 0;
    loop {
        let before = n_cut;
        for dead in dead_neurons(graph, found, masks) {
            let Some(position) = found.tensors.iter().position(|tensor| tensor.layer == dead.layer) else { continue };
            let matrix = &found.tensors[position].matrix;
            for row in dead.without_readers {
                for column in 0..matrix.columns() {
                    let mask = &mut masks[position][matrix.index(row, column)];
                    n_cut += usize::from(*mask > 0.0);
                    *mask = 0.0;
                }
            }
        }
        if n_cut == before {
            return n_cut;
        }
    }
}

/// The tensors that read the channels of a value, each with the columns (times taps) that a channel has there; `None` if
/// something else reads them.
fn readers(
    graph: &Graph,
    consumers: &[Vec<usize>],
    found: &Found,
    value: ValueId,
    n_channels: usize,
) -> Option<Vec<(usize, usize)>> {
    let mut readers = Vec::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        if graph.outputs().contains(&value) || consumers[value.0].is_empty() {
            return None;
        }
        for &idx in &consumers[value.0] {
            let node = &graph.nodes()[idx];
            let is_first = node.inputs.first() == Some(&Some(value));
            let reader = found.tensors.iter().position(|tensor| tensor.nodes.contains(&idx));
            match reader.filter(|_| is_first) {
                Some(reader) => {
                    let matrix = &found.tensors[reader].matrix;
                    let is_whole = matrix.groups() == 1 && matrix.inputs().is_multiple_of(n_channels);
                    if !is_whole {
                        return None;
                    }
                    readers.push((reader, matrix.inputs() / n_channels));
                }
                None if keeps_channels(graph, node) => open.push(node.outputs[0]),
                None => return None,
            }
        }
    }
    Some(readers)
}

/// Whether each channel of the output comes from the same channel of the one computed input, and from constants.
fn keeps_channels(graph: &Graph, node: &Node) -> bool {
    let computed = node.inputs.iter().flatten().filter(|&&id| graph.constant(id).is_none()).count();
    let passes = matches!(node.op.class(), Class::ElementWise | Class::Pools)
        || matches!(node.op, Op::BatchNormalization(_) | Op::GlobalAveragePool | Op::GlobalMaxPool)
        || matches!(node.op, Op::Identity | Op::Dropout(_) | Op::Flatten(ops::Flatten { axis: 1 }));
    computed == 1 && node.outputs.len() == 1 && passes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::select::keep_all;
    use crate::weights::tensors::find;
    use crate::weights::testing::small_net;

    /// conv2's channel 3 is read by no weight of fc, and its channel 5 has no weights; conv1's channel 2 is read by conv2's
    /// channel 3 only, so it goes with it.
    #[test]
    fn neurons_without_connections() {
        let graph = small_net();
        let found = find(&graph, |_| false);
        let mut masks: Vec<Vec<f32>> = found.tensors.iter().map(|tensor| keep_all(tensor.len())).collect();
        assert_eq!(dead_neurons(&graph, &found, &masks), []);
        for row in 0..10 {
            masks[2][row * 588 + 3 * 49..][..49].fill(0.0);
        }
        masks[1][5 * 72..][..72].fill(0.0);
        for row in (0..12).filter(|&row| row != 3) {
            masks[1][row * 72 + 2 * 9..][..9].fill(0.0);
        }
        let dead = |layer: &str, n, without_inputs: &[usize], without_readers: &[usize]| DeadNeurons {
            layer: layer.to_owned(),
            n_neurons: n,
            without_inputs: without_inputs.to_vec(),
            without_readers: without_readers.to_vec(),
        };
        assert_eq!(dead_neurons(&graph, &found, &masks), [dead("conv2", 12, &[5], &[3])]);
        assert_eq!(cut_unread(&graph, &found, &mut masks), 72 + 9);
        let expected = [dead("conv1", 8, &[2], &[2]), dead("conv2", 12, &[3, 5], &[3])];
        assert_eq!(dead_neurons(&graph, &found, &masks), expected);
    }
}
