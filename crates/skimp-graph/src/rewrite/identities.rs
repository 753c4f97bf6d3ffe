//! Removal of nodes that hand their input on.

use super::{Parts, remove_dead};
use crate::{DType, Graph, Node, Op, ValueId};

/// Removes `Identity`, `Dropout`, `Cast` to the type at hand, `Pad` by nothing, `Transpose` to the same order, `Clip`
/// without bounds, and `Concat` of one. One that joins a graph input or constant, or another graph output, to an
/// output stays: it carries the output's name.
pub fn remove_identities(graph: &Graph) -> Graph {
    let mut parts = Parts::of(graph);
    let dtypes = dtypes(graph);
    let mut is_produced: Vec<bool> = graph.producers().iter().map(Option::is_some).collect();
    let mut idx = 0;
    while idx < parts.nodes.len() {
        let node = &parts.nodes[idx];
        let (Some(&Some(input)), [output]) = (node.inputs.first(), node.outputs.as_slice()) else {
            idx += 1;
            continue;
        };
        let output = *output;
        if !is_identity(node, dtypes[input.0]) {
            idx += 1;
        } else if !parts.outputs.contains(&output) {
            parts.nodes.remove(idx);
            parts.replace_uses(output, input);
        } else if is_produced[input.0] && !parts.outputs.contains(&input) {
            // The producer of the input makes the output under the output's name instead.
            parts.nodes.remove(idx);
            parts.replace_uses(input, output);
            for id in parts.nodes.iter_mut().flat_map(|node| node.outputs.iter_mut()) {
                if *id == input {
                    *id = output;
                }
            }
            is_produced[input.0] = false;
        } else {
            idx += 1;
        }
    }
    remove_dead(&parts.finish())
}

fn is_identity(node: &Node, input: Option<DType>) -> bool {
    match &node.op {
        Op::Identity | Op::Dropout { .. } => true,
        Op::Cast { to } => Some(*to) == input,
        Op::Pad(pad) => pad.begin.iter().chain(&pad.end).all(|&pad| pad == 0),
        Op::Transpose { perm } => perm.iter().copied().eq(0..perm.len()),
        Op::Clip { min, max } => min.is_none() && max.is_none(),
        Op::Concat { .. } => node.inputs.len() == 1,
        Op::Conv { .. }
        | Op::Gemm(_)
        | Op::MatMul
        | Op::BatchNormalization { .. }
        | Op::Relu
        | Op::LeakyRelu { .. }
        | Op::PRelu
        | Op::Sigmoid
        | Op::HardSigmoid { .. }
        | Op::HardSwish
        | Op::Tanh
        | Op::Sign
        | Op::Softmax { .. }
        | Op::Add
        | Op::Sub
        | Op::Mul
        | Op::Div
        | Op::Split { .. }
        | Op::Slice(_)
        | Op::MaxPool(_)
        | Op::AveragePool { .. }
        | Op::GlobalAveragePool
        | Op::GlobalMaxPool
        | Op::ReduceMean { .. }
        | Op::Flatten { .. }
        | Op::Reshape { .. }
        | Op::Squeeze { .. }
        | Op::Unsqueeze { .. }
        | Op::Lrn { .. }
        | Op::QuantizeLinear { .. }
        | Op::DequantizeLinear { .. } => false,
    }
}

/// Element type of every value, without shapes.
fn dtypes(graph: &Graph) -> Vec<Option<DType>> {
    let mut dtypes: Vec<Option<DType>> =
        graph.values().iter().map(|value| value.constant.as_ref().map(|tensor| tensor.dtype())).collect();
    for input in graph.inputs() {
        dtypes[input.value.0] = Some(input.dtype);
    }
    for node in graph.nodes() {
        let at = |idx: usize| node.inputs.get(idx).copied().flatten().and_then(|id: ValueId| dtypes[id.0]);
        let dtype = match &node.op {
            Op::Cast { to } => Some(*to),
            Op::QuantizeLinear { .. } if node.inputs.get(2).copied().flatten().is_none() => Some(DType::U8),
            Op::QuantizeLinear { .. } => at(2),
            Op::DequantizeLinear { .. } => Some(DType::F32),
            Op::Conv { .. }
            | Op::Gemm(_)
            | Op::MatMul
            | Op::BatchNormalization { .. }
            | Op::Relu
            | Op::LeakyRelu { .. }
            | Op::PRelu
            | Op::Clip { .. }
            | Op::Sigmoid
            | Op::HardSigmoid { .. }
            | Op::HardSwish
            | Op::Tanh
            | Op::Sign
            | Op::Softmax { .. }
            | Op::Add
            | Op::Sub
            | Op::Mul
            | Op::Div
            | Op::Concat { .. }
            | Op::Split { .. }
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::MaxPool(_)
            | Op::AveragePool { .. }
            | Op::GlobalAveragePool
            | Op::GlobalMaxPool
            | Op::ReduceMean { .. }
            | Op::Flatten { .. }
            | Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Squeeze { .. }
            | Op::Unsqueeze { .. }
            | Op::Lrn { .. }
            | Op::Dropout { .. }
            | Op::Identity => at(0),
        };
        for output in &node.outputs {
            dtypes[output.0] = dtype;
        }
    }
    dtypes
}
