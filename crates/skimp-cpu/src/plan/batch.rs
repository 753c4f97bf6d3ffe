//! Whether the images of a batch can run apart.

use skimp_graph::shape::{self, Shapes};
use skimp_graph::{Graph, Op, ValueId};

/// Whether running every image alone and stacking the outputs is the same as running the batch of `n_images`.
///
/// `single` holds the shapes for a batch of one, `constants` which values do not depend on the inputs.
pub(crate) fn is_per_image(graph: &Graph, single: &Shapes, constants: &[bool], n_images: usize) -> bool {
    let input_shapes: Option<Vec<Vec<usize>>> = graph
        .inputs()
        .iter()
        .map(|input| match single.shape(input.value).split_first() {
            Some((1, rest)) => Some(std::iter::once(n_images).chain(rest.iter().copied()).collect()),
            _ => None,
        })
        .collect();
    let Some(batch) = input_shapes.and_then(|shapes| shape::infer(graph, &shapes).ok()) else { return false };
    let stacks = |id: ValueId| {
        let (one, all) = (single.shape(id), batch.shape(id));
        constants[id.0]
            || one.len() == all.len()
                && one.first() == Some(&1)
                && all.first() == Some(&n_images)
                && one[1..] == all[1..]
    };
    graph.inputs().iter().all(|input| stacks(input.value))
        && graph.nodes().iter().all(|node| {
            let is_constant = node.outputs.iter().all(|id| constants[id.0]);
            is_constant || node.outputs.iter().all(|&id| stacks(id)) && keeps_images_apart(node, single, constants)
        })
}

/// Whether the first axis of every computed input stays the first axis of the outputs and nothing crosses it.
fn keeps_images_apart(node: &skimp_graph::Node, single: &Shapes, constants: &[bool]) -> bool {
    let inputs = || node.inputs.iter().flatten().copied();
    let rank = |id: ValueId| single.shape(id).len();
    let computed = |idx: usize| node.inputs.get(idx).copied().flatten().is_some_and(|id| !constants[id.0]);
    let only_first_computed = inputs().skip(1).all(|id| constants[id.0]);
    let is_first = |axis: i64| {
        let rank = node.inputs.first().copied().flatten().map_or(0, rank);
        axis == 0 || axis == -(rank as i64)
    };
    let out_rank = node.outputs.first().map_or(0, |&id| rank(id));
    // A constant may be broadcast over the images, not hold one element for each.
    let broadcasts = || {
        inputs().all(|id| {
            if constants[id.0] {
                rank(id) < out_rank || single.shape(id).first() == Some(&1)
            } else {
                rank(id) == out_rank
            }
        })
    };
    match &node.op {
        Op::Conv { .. } | Op::BatchNormalization { .. } => only_first_computed,
        Op::Gemm(gemm) => computed(0) && !gemm.trans_a && only_first_computed,
        Op::MatMul => {
            let ranks: Vec<usize> = inputs().map(rank).collect();
            match (computed(0), computed(1), ranks.as_slice()) {
                (true, false, [a, b]) => *b <= 2 && *a >= 2,
                (true, true, [a, b]) => a == b && *a >= 3,
                _ => false,
            }
        }
        Op::PRelu | Op::Add | Op::Sub | Op::Mul | Op::Div => broadcasts(),
        Op::Relu
        | Op::LeakyRelu { .. }
        | Op::Clip { .. }
        | Op::Sigmoid
        | Op::HardSigmoid { .. }
        | Op::HardSwish
        | Op::Tanh
        | Op::Sign
        | Op::MaxPool(_)
        | Op::AveragePool { .. }
        | Op::GlobalAveragePool
        | Op::GlobalMaxPool
        | Op::Lrn { .. }
        | Op::Dropout { .. }
        | Op::Identity
        | Op::Cast { .. } => true,
        Op::Softmax { axis } | Op::Split { axis, .. } => !is_first(*axis),
        Op::Concat { axis } => !is_first(*axis) && inputs().all(|id| !constants[id.0]),
        Op::Slice(slice) => slice.axes.iter().all(|&axis| !is_first(axis)),
        Op::Pad(pad) => pad.begin.first() == Some(&0) && pad.end.first() == Some(&0),
        Op::ReduceMean { axes, .. } => !axes.is_empty() && axes.iter().all(|&axis| !is_first(axis)),
        // The shapes stack, and row-major order keeps the elements of an image together.
        Op::Flatten { .. } | Op::Reshape { .. } => true,
        Op::Transpose { perm } => perm.first() == Some(&0),
        Op::Squeeze { axes } => !axes.is_empty() && axes.iter().all(|&axis| !is_first(axis)),
        Op::Unsqueeze { axes } => axes.iter().all(|&axis| axis != 0 && axis != -(out_rank as i64)),
        Op::QuantizeLinear { .. } | Op::DequantizeLinear { .. } => {
            only_first_computed && inputs().skip(1).all(|id| rank(id) == 0 || single.shape(id) == [1])
        }
    }
}
